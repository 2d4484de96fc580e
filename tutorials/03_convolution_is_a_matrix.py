# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A convolution is a matrix
#
# A convolution moves a small kernel over an image. It is also **one large matrix that multiplies
# the image**, in which the same few numbers are written again and again. That is the one idea of
# this notebook. Once you have *seen* the matrix, three things that sound hard are easy: how to
# compute a convolution fast (below), how to go back from a small image to a large one (notebook 4:
# the same matrix, on its side), and how a network learns its kernels (notebook 7: the same again).
#
# You need: notebooks [1](01_convolution_by_hand.ipynb) and
# [2](02_stride_padding_dilation_groups.ipynb), and from school the product of a matrix and a
# vector: entry $r$ of $A v$ is the sum of the products of row $r$ of $A$ with $v$.

# %%
try:
    import matplotlib.pyplot as plt

    import minideconv  # noqa: F401
except ModuleNotFoundError:
    # A fresh kernel: install what is missing, from the checkout that this notebook is in or from
    # what MINIDECONV_SOURCE names; on a notebook service, from a wheel uploaded beside the notebook.
    import importlib.util
    import os
    import subprocess
    import sys
    from pathlib import Path

    packages = ["matplotlib>=3.8"]
    if importlib.util.find_spec("minideconv") is None:
        checkout = ".." if Path("../minideconv/__init__.py").exists() else ""
        wheels = sorted(map(str, Path().glob("minideconv-*.whl")))
        places = [os.environ.get("MINIDECONV_SOURCE"), checkout, *wheels, ""]
        packages += [next(filter(None, places), "")]
    if "" in packages:
        raise ModuleNotFoundError(
            "minideconv is not installed here: build a wheel in the project's folder with `python -m"
            " pip wheel --no-deps .`, upload it beside this notebook, and run this cell again."
        ) from None
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *packages], check=True)
    import matplotlib.pyplot as plt

import time

import numpy as np

from minideconv import data, ops
from minideconv.testing import check_answer, check_op
from minideconv.visualize import (
    Picture,
    lit_matrix,
    numbered_taps,
    overlap_counts,
    overlap_map,
    show,
    side_by_side,
    tap_matrix,
    taps_picture,
    use_style,
)

use_style()

# %% [markdown]
# ## 1. Number the taps, and write down every window
#
# Take an image of 4 × 4 pixels and a [kernel](../docs/glossary.md#kernel) of 3 × 3. The kernel fits
# in four places, so the output has 2 × 2 pixels. To see which of the nine
# [taps](../docs/glossary.md#tap) goes where, we give them the values 1 to 9: from here on, a number
# *is* the name of a tap. The colour says the same: the hue is the row of the kernel, the shade is
# its column.

# %%
kernel = np.arange(1.0, 10.0).reshape(3, 3)  # 1 2 3 / 4 5 6 / 7 8 9

windows = []
for r in range(2):
    for c in range(2):
        place = np.zeros((4, 4))
        place[r : r + 3, c : c + 3] = kernel
        windows.append(place)

# %% tags=["hide-input"]
pictures = [taps_picture(kernel, width=3, title="kernel", cell=30)]
for number, place in enumerate(windows):
    pictures.append(taps_picture(place, width=3, title=f"output pixel {number}", cell=30))
show(
    side_by_side(pictures, gap=27),
    alt="A kernel of 3 by 3 with its taps numbered 1 to 9, then four images of 4 by"
    " 4 pixels: in each the kernel lies in another of its four places, and all "
    "other pixels are empty",
)

# %% [markdown]
# An output pixel is the sum of the products of one of these pictures with the image, pixel by
# pixel. Where the picture is empty, the factor is 0.
#
# Now comes the whole trick: **write each picture in one line**, its rows one behind the other, and
# put the four lines below each other.

# %%
A = np.stack([place.ravel() for place in windows])  # ravel: row by row, one line

W = kernel[None, None]  # two more axes, of length 1: one kernel, one channel
assert np.array_equal(A, ops.conv_matrix(W, (4, 4)))  # the library's matrix

# %% tags=["hide-input"]
show(
    tap_matrix(size=(4, 4), kernel=3, title="A"),
    alt="The matrix A: 4 rows and 16 columns; every row holds the taps 1 to 9 in "
    "three groups of three, and each row has them in other columns",
)

# %% [markdown]
# One row for each output pixel, one column for each pixel of the image. Take one row and fold it
# into an image again, and you have the window back:

# %% tags=["hide-input"]
show(
    lit_matrix(size=(4, 4), kernel=3, output=2),
    alt="The same matrix with row 2 framed, and beside it the 4 by 4 image on which"
    " the nine taps of that row cover the lower left 3 by 3 pixels",
)

# %% [markdown]
# The image has to be written in the same order, row by row in one long column. This is called
# **[vec](../docs/glossary.md#vec)** of the image:

# %% tags=["hide-input"]
cell, hues = 30.0, ["#f7d488", "#9fd0f0", "#9fdcc3"]
letters = np.array([["a", "b"], ["c", "d"], ["e", "f"]])
picture = Picture(360, 6 * cell + 34)
fills = [[hue, hue] for hue in hues]
picture.grid(2, 78, np.zeros((3, 2)), cell=cell, names=letters, fills=fills)
picture.words(2, 64, "an image x", anchor="start", bold=True)
picture.line([(86, 124), (176, 124)], arrow=True)
picture.words(130, 110, "row by row")
fills = [[hue] for hue in hues for _ in range(2)]
picture.grid(190, 32, np.zeros((6, 1)), cell=cell, names=letters.reshape(6, 1), fills=fills)
picture.words(190, 14, "vec(x)", anchor="start", bold=True)
show(
    picture,
    alt="An image of 3 by 2 pixels named a to f, each row in a colour of its own, and "
    "beside it the column a, b, c, d, e, f",
)

# %% [markdown]
# With it, a convolution is written in one line:
#
# $$\operatorname{vec}(y) = A \, \operatorname{vec}(x)$$
#
# In words: the output, written in a column, is a matrix times the image, written in a column. (Many
# books read vec column by column. It makes no difference, as long as one does the same everywhere.)
# In NumPy, vec is `x.ravel()`. With whole numbers, equal means *equal*:

# %%
rng = np.random.default_rng(0)
x = rng.integers(-3, 4, (4, 4)).astype(float)
y = ops.conv2d(x[None, None], W)[0, 0]

print("A @ vec(x):", A @ x.ravel())
print("vec(y)    :", y.ravel())
assert np.array_equal(A @ x.ravel(), y.ravel())

# %% [markdown]
# There is a second way to find the matrix, which needs to know nothing about windows. A matrix
# times a column that is 0 except for a single 1 gives one of its columns. So ask the operation
# itself: put a 1 into one pixel at a time, and write the answers side by side. This works for every
# [linear map](../docs/glossary.md#linear-map) (exercise 3 of notebook 1), and you can use it to
# look inside any of them:

# %%
columns = []
for pixel in range(16):
    single = np.zeros(16)
    single[pixel] = 1
    answer = ops.conv2d(single.reshape(1, 1, 4, 4), W)
    columns.append(answer.ravel())

assert np.array_equal(np.stack(columns, axis=1), A)

# %% [markdown]
# ### Your turn: write a matrix down
#
# A single row of 7 pixels, a kernel of the three taps 1, 2, 3, [stride](../docs/glossary.md#stride)
# 2 and [padding](../docs/glossary.md#padding) 1. (Notebook 2: the window moves by two pixels, and
# there is a zero before the first and behind the last pixel.) Draw the ruler on paper, and write
# the matrix: a list with one list for each output pixel. A tap that lies on the padding multiplies
# a zero, and has no column.

# %%
my_matrix = None  # [[..., ...], ...]

# %% tags=["hide-input"]
row_taps = numbered_taps((1, 3))
right = ops.conv_matrix(row_taps, (1, 7), (1, 2), (0, 1))
check_answer(
    "my_matrix",
    my_matrix,
    right,
    hints=[
        (
            lambda a: np.shape(a) == (7, 4),
            "One list for each output pixel, not one for each pixel of the image.",
        ),
        (
            lambda a: np.shape(a)[0] != 4,
            "Count the windows: the first has its tap 1 on the padding.",
        ),
        (lambda a: np.shape(a)[1] == 9, "The padding's two cells are no pixels: no columns."),
        (lambda a: np.shape(a)[1] != 7, "Every row has one number for each pixel of the image."),
        (
            lambda a: np.array_equal(
                a, ops.conv_matrix(row_taps[..., ::-1], (1, 7), (1, 2), (0, 1))
            ),
            "The kernel is not turned: tap 1 lies furthest left.",
        ),
        (
            lambda a: (np.array(a)[0] == right[0]).all(),
            "The first row is right. Move on by the stride.",
        ),
        (lambda a: np.array(a)[0][0] == 1, "In the first window, tap 1 is on the padding."),
    ],
    hint="Row r has the taps of window r, each in the column of the pixel that it lies on.",
)

# %% [markdown]
# ## 2. What is special about this matrix
#
# Any matrix of 36 × 64 turns 64 pixels into 36 numbers. A **[fully connected
# layer](../docs/glossary.md#fully-connected-layer)** uses one in which every entry is a number of
# its own. In the second picture below, only the entries are kept that a window of 3 × 3 on 8 × 8
# pixels allows. In the third, all windows share their numbers. A colour is a number: orange is
# below 0, violet above 0, pale is near 0; white is an entry that is 0 because no tap is there.

# %%
local = ops.conv_matrix(np.ones((1, 1, 3, 3)), (8, 8)) != 0  # where a tap can be
nine = rng.standard_normal((1, 1, 3, 3))

everything = rng.standard_normal((36, 64))
windows_only = np.where(local, everything, 0)
shared = ops.conv_matrix(nine, (8, 8))

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 3, figsize=(7.5, 1.95), layout="constrained")
for ax, matrix, title in (
    (axes[0], everything, "fully connected"),
    (axes[1], windows_only, "windows only"),
    (axes[2], shared, "shared: a convolution"),
):
    ax.imshow(np.where(matrix == 0, np.nan, matrix), cmap="PuOr", vmin=-2, vmax=2)
    ax.set(title=f"{title}\n{np.unique(matrix[matrix != 0]).size} different numbers")
    ax.set(xticks=[], yticks=[])
    for side in ax.spines.values():
        side.set_visible(True)
show(
    figure,
    alt="Three matrices of 36 by 64 in colours. Fully connected: 2304 different "
    "numbers, no pattern. Windows only: 324 numbers in slanted bands, the rest "
    "empty. Convolution: the same bands, each of one colour, 9 numbers",
)

# %% [markdown]
# So two things make a matrix a convolution. **Locality**: an output pixel depends on a window, and
# on nothing else. **Weight sharing**: the same numbers are used at every place, so along each
# slanted band the number is the same. Most matrices of this size are no convolutions: a layer that
# is one has fewer maps to choose from, and in return nine numbers to learn instead of 2304.
#
# ## 3. Four geometries, four matrices
#
# What do stride, padding and [dilation](../docs/glossary.md#dilation) do to the matrix? On one row
# of 8 pixels the matrices are small. Compare them with the four rulers of notebook 2: they are the
# same pictures.

# %%
one_row = {"size": (1, 8), "kernel": (1, 3), "room": 330}
pictures = [
    tap_matrix(**one_row, title="plain"),
    tap_matrix(**one_row, stride=(1, 2), title="stride 2"),
    tap_matrix(**one_row, padding=(0, 1), title="padding 1"),
    tap_matrix(**one_row, dilation=(1, 2), title="dilation 2"),
]

# %% tags=["hide-input"]
show(
    side_by_side(pictures[:2], gap=40),
    alt="Two matrices of 8 columns with the taps 1, 2, 3 in each row. Plain: 6 "
    "rows, each one column further right. Stride 2: 3 rows, each two columns "
    "further right; the last column is empty",
)
show(
    side_by_side(pictures[2:], gap=40),
    alt="Two more matrices of 8 columns. Padding 1: 8 rows, of which the first "
    "lacks tap 1 and the last lacks tap 3. Dilation 2: 4 rows, in which the "
    "taps have an empty column between them",
)

# %% [markdown]
# - The **stride** is how many columns a row is shifted against the one above it.
# - **Padding** adds rows with missing taps, and no columns: the matrix still has 8, one for each
#   pixel, because a tap that lies on a padding zero adds nothing.
# - **Dilation** moves the taps of each row apart.
# - An empty column (the last one, with stride 2) is a pixel that no window looks at.
#
# And [channels](../docs/glossary.md#channel)? The image is then written channel after channel, and
# the output as well. Below, 2 channels of 4 pixels go to 3 channels: three kernels of two slices
# with 2 taps each, 12 numbered taps. Beside it, two [groups](../docs/glossary.md#groups): the first
# two kernels see the first channel only, the other two the second.


# %% tags=["hide-input"]
def blocks_picture(kernels, slices, groups, title):
    """The matrix of a layer with channels, with lines between the blocks of pairs of channels."""
    taps = np.arange(1.0, kernels * slices * 2 + 1).reshape(kernels, slices, 1, 2)
    matrix = ops.conv_matrix(taps, (1, 4), groups=groups)
    cell, inputs = 30.0, slices * groups
    inner = taps_picture(matrix, width=2, cell=cell)
    picture = Picture(inner.width + 78, inner.height + 58)
    picture.words(0, 12, title, anchor="start", bold=True)
    picture.add(inner, 74, 54)
    for c in range(inputs):
        picture.words(76 + (4 * c + 2) * cell, 38, f"channel {c} in", size=12)
    for k in range(kernels):
        picture.words(70, 56 + (3 * k + 1.5) * cell, f"{k} out", anchor="end", size=12)
        for c in range(inputs):
            corner = (76 + 4 * c * cell, 56 + 3 * k * cell)
            picture.box(*corner, 4 * cell, 3 * cell, stroke="#1b2733", line=2.5)
    return picture


show(
    side_by_side(
        [
            blocks_picture(3, 2, 1, "3 kernels of 2 slices"),
            blocks_picture(4, 1, 2, "4 kernels in 2 groups"),
        ],
        gap=30,
    ),
    alt="Two matrices of blocks. Left, 3 by 2 blocks, each the matrix of one slice "
    "of one kernel in a colour of its own: every output channel has a block for"
    " each input channel. Right, with two groups, 4 by 2 blocks: the upper two "
    "have taps below channel 0 only, the lower two below channel 1 only",
)

# %% [markdown]
# Every block is the matrix of one slice of one kernel. The blocks of one row stand side by side, so
# their products are added: that is the sum over channels. Groups leave blocks empty.
#
# ## 4. im2col: the same product without the zeros
#
# Nobody multiplies by $A$. Here is why, for the second layer of
# [DeconvNet](../docs/glossary.md#deconvnet), the network that these notebooks build up to: 64
# channels in, 64 out, images of 224 × 224, kernels of 3 × 3.

# %%
inputs = outputs = 64 * 224 * 224
print(f"entries of A: {outputs * inputs:,}")
print(f"at 4 bytes each: {4 * outputs * inputs / 1e12:.0f} terabytes")
print(f"of these not zero, at most: {64 * 9 / inputs:.3%}")

# %% [markdown]
# So turn the roles around. Copy the *pixels* of each window into a column, one column for each
# output pixel. This arrangement is called **[im2col](../docs/glossary.md#im2col)** ("image to
# columns"). The kernel then becomes a single row, and again it is one product of matrices: the same
# sums, no zeros.

# %% tags=["hide-input"]
cell, amber = 30.0, "#f7d488"
pixels = np.arange(16.0).reshape(4, 4)
columns = ops.im2col(pixels[None, None], (3, 3))[0]
picture = Picture(676, 9 * cell + 42)
middle = 36 + 4.5 * cell
window = np.full((4, 4), "#ffffff", object)
window[:3, :3] = amber
picture.grid(2, middle - 2 * cell, pixels, cell=cell, fills=window)
picture.words(2, 12, "image: numbered pixels", anchor="start", bold=True)
picture.box(2, middle - 2 * cell, 3 * cell, 3 * cell, stroke="#b3261e", line=3)
picture.add(taps_picture(kernel.reshape(1, 9), width=3, cell=cell), 168, middle - cell / 2 - 2)
picture.words(170, middle - 30, "the kernel as one row", anchor="start", bold=True)
picture.words(460, middle, "×", size=20, bold=True)
left = 480
fills = np.tile(np.array([amber, "#ffffff", "#ffffff", "#ffffff"]), (9, 1))
picture.grid(left, 36, columns, cell=cell, fills=fills)
picture.words(left, 12, "im2col", anchor="start", bold=True)
picture.box(left, 36, cell, 9 * cell, stroke="#b3261e", line=3)
for tap in range(9):
    picture.words(
        left + 4 * cell + 8, 36 + (tap + 0.5) * cell, f"tap {tap + 1}", anchor="start", size=12
    )
show(
    picture,
    alt="An image of 16 numbered pixels with its upper left window framed; the "
    "kernel as one row of nine taps; and the im2col matrix of nine rows and "
    "four columns, whose first column, framed, holds the nine pixels of that "
    "window",
)

# %% [markdown]
# As a program:


# %%
def image_to_columns(image, kh, kw):
    """Copy each window of an image into a column: (kh * kw, number of windows)."""
    rows, columns = image.shape[0] - kh + 1, image.shape[1] - kw + 1
    windows = []
    for r in range(rows):
        for c in range(columns):
            windows.append(image[r : r + kh, c : c + kw].ravel())
    return np.stack(windows, axis=1)


product = kernel.reshape(1, 9) @ image_to_columns(x, 3, 3)
assert np.array_equal(product.ravel(), y.ravel())
library = ops.im2col(x[None, None], (3, 3))[0]
assert np.array_equal(image_to_columns(x, 3, 3), library)

# %% [markdown]
# A column is a window. But look at the *rows*: the row of tap 1 holds all the pixels that tap 1
# meets, and that is a part of the image itself, 0, 1, 4, 5; the row of tap 2 is the same part one
# pixel further right: 1, 2, 5, 6. So the columns can be made with a loop over the 9 taps instead of
# a loop over all windows, and each step copies a whole piece of the image. This is what the library
# does:


# %%
def image_to_columns_by_taps(image, kh, kw):
    """Do the same, one row for each tap."""
    rows, columns = image.shape[0] - kh + 1, image.shape[1] - kw + 1
    under = []
    for i in range(kh):
        for j in range(kw):
            under.append(image[i : i + rows, j : j + columns].ravel())
    return np.stack(under)


assert np.array_equal(image_to_columns_by_taps(x, 3, 3), image_to_columns(x, 3, 3))

# %% [markdown]
# With more channels the columns are longer: the pixels of all channels, one channel behind the
# other. With more kernels there are more rows, one for each kernel. It stays one product:

# %%
some = rng.integers(-3, 4, (1, 3, 6, 7)).astype(float)  # 3 channels of 6 x 7 pixels
weights = rng.integers(-3, 4, (5, 3, 3, 2)).astype(float)  # 5 kernels of 3 slices

rows = weights.reshape(5, 3 * 3 * 2)  # a kernel is a row
columns = ops.im2col(some, (3, 2))[0]  # a window is a column
print(rows.shape, "@", columns.shape, "->", (rows @ columns).shape)
assert np.array_equal((rows @ columns).reshape(5, 4, 6), ops.conv2d(some, weights)[0])

# %% [markdown]
# For the layer of DeconvNet above, the columns fit into memory:

# %%
entries = (64 * 9) * (224 * 224)  # pixels of a window, windows
print(f"entries of the columns: {entries:,}, at 4 bytes each: {4 * entries / 1e9:.1f} gigabytes")

# %% [markdown]
# And what is gained in time? The same convolution of a drawing of 96 × 96 pixels, in both ways (the
# least of three times):

# %%
drawing = data.Shapes("val", size=96)[2][0].mean(axis=2)
small = np.array([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])


def window_by_window(image):
    """The double loop of notebook 1."""
    rows, columns = image.shape[0] - 2, image.shape[1] - 2
    sums = np.zeros((rows, columns))
    for r in range(rows):
        for c in range(columns):
            sums[r, c] = (image[r : r + 3, c : c + 3] * small).sum()
    return sums


def by_columns(image):
    """Nine copies, and one product of matrices."""
    sums = small.reshape(1, 9) @ image_to_columns_by_taps(image, 3, 3)
    return sums.reshape(image.shape[0] - 2, image.shape[1] - 2)


def fastest(function, image):
    """Return the result and the least time of three runs, in milliseconds."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        result = function(image)
        times.append(1000 * (time.perf_counter() - start))
    return result, min(times)


slow, long = fastest(window_by_window, drawing)
fast, short = fastest(by_columns, drawing)
assert np.allclose(slow, fast)
print(f"window by window:             {long:6.2f} ms")
print(f"nine copies and one product: {short:6.2f} ms")

# %% [markdown]
# Both make the same products of pixels and taps, 9 × 94 × 94. The difference is who counts: in the
# first the loop takes 94 × 94 = 8,836 steps in Python, in the second 9, and NumPy's compiled code
# does the rest.
#
# ### Your turn: im2col with a stride
#
# Write `im2col` for images of several channels, with stride, padding and dilation. The rows belong
# to (channel, row of the kernel, column of the kernel), in this order; the columns to the windows,
# row by row. Hint: pad first (`np.pad`); then the pixels under tap $(i, j)$ begin at row $d\,i$ and
# column $d\,j$ of the padded image, and there is one every $s$ pixels. You know from notebook 2 how
# many there are.


# %%
def my_im2col(x, kernel_size, stride=(1, 1), padding=(0, 0), dilation=(1, 1)):
    """Turn images (N, C, H, W) into columns (N, C * kh * kw, H' * W')."""
    return None  # your turn


# %%
if my_im2col(x[None, None], (3, 3)) is None:
    print("my_im2col: nothing written yet")
else:
    print(check_op(my_im2col, "im2col").text())

# %% [markdown]
# ## 5. The way back adds: col2im
#
# `im2col` copies: a pixel in the middle of the image is in several columns. What should the way
# back do with the copies? The answer that will matter for the rest of this book is to *add* them.
# **[col2im](../docs/glossary.md#col2im)** returns every entry of every column to its pixel, and
# adds what meets there. Put ones into all columns, and it counts how many windows look at each
# pixel:

# %%
ones = np.ones((1, 9, 4))  # 1 image; 9 rows, one for each tap; 4 windows
print(ops.col2im(ones, (4, 4), (3, 3))[0, 0])

# %% tags=["hide-input"]
show(
    side_by_side(
        [
            overlap_map(overlap_counts(4, 3), title="4 × 4 pixels, stride 1", cell=32),
            overlap_map(overlap_counts(7, 3, 2), title="7 × 7 pixels, stride 2", cell=32),
        ],
        gap=60,
    ),
    alt="How many 3 by 3 windows look at each pixel. Stride 1 on 4 by 4 pixels: 1 "
    "in the corners, 4 in the middle. Stride 2 on 7 by 7: a checkerboard of 1, "
    "2 and 4",
)

# %% [markdown]
# Remember the right picture. You will meet it again in notebook 6, as a fault in images.
#
# ### Your turn: there and back
#
# So `col2im` of `im2col` of an image is not the image. What is it? Write it with `x` (4 × 4, from
# section 1) and `counts`, without a function of the library.

# %%
counts = np.array([[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]])

my_round_trip = None  # in terms of x and counts

# %% tags=["hide-input"]
round_trip = ops.col2im(ops.im2col(x[None, None], (3, 3)), (4, 4), (3, 3))[0, 0]
check_answer(
    "my_round_trip",
    my_round_trip,
    round_trip,
    hints=[
        (lambda a: np.array_equal(a, x), "Each pixel comes back more than once."),
        (lambda a: np.array_equal(a, counts), "That is what ones would give. Where is x?"),
        (
            lambda a: np.array_equal(a, x + counts),
            "What is added are copies of the pixel, not ones.",
        ),
        (
            lambda a: np.array_equal(a, x @ counts),
            "@ is the product of matrices, * that of entries.",
        ),
    ],
    hint="How many copies of a pixel are there in all columns together?",
)

# %% [markdown]
# ## Break it
#
# Is a matrix a convolution? In notebook 1 you saw a test: if the image moves by one pixel, the
# output moves along. Here it is for matrices of 36 × 64, with a move down by one row and with a
# move to the right by one column. The three matrices of section 2 are tested, and one in which
# every column of the output has a kernel of its own. In one more, a single entry of the convolution
# is changed by `CHANGE`. Set it to 0.1, and see whether the tests notice, and where the outputs
# differ. Then change an entry at another place: are there changes that one of the tests does not
# see?

# %%
CHANGE, ROW, COLUMN = 0.0, 14, 27  # output (2, 2) of 6 × 6, pixel (3, 3) of 8 × 8: a tap


def moves_along(matrix, down, right):
    """How far the outputs are from moving along when the image moves down and to the right."""
    picture = np.random.default_rng(1).standard_normal((8, 8))
    moved = np.zeros((8, 8))
    moved[down:, right:] = picture[: 8 - down, : 8 - right]
    before = (matrix @ picture.ravel()).reshape(6, 6)
    after = (matrix @ moved.ravel()).reshape(6, 6)
    return np.abs(after[down:, right:] - before[: 6 - down, : 6 - right])


broken = shared.copy()
broken[ROW, COLUMN] += CHANGE

by_column = np.zeros((36, 64))  # column c of the output has a kernel of its own
for c in range(6):
    another = np.random.default_rng(c).standard_normal((1, 1, 3, 3))
    by_column[c::6] = ops.conv_matrix(another, (8, 8))[c::6]

print("of 30 outputs do not move along:   moved down   moved right")
for name, matrix in (
    ("fully connected", everything),
    ("windows only", windows_only),
    ("convolution", shared),
    ("one entry changed", broken),
    ("a kernel for each column", by_column),
):
    rows = (moves_along(matrix, 1, 0) > 1e-9).sum()
    columns = (moves_along(matrix, 0, 1) > 1e-9).sum()
    print(f"{name:33s} {rows:10d} {columns:12d}")

# %% tags=["hide-input"]
pictures = []
for title, down, right in (("moved down", 1, 0), ("moved right", 0, 1)):
    marked = 1.0 * (moves_along(broken, down, right) > 1e-9)
    pictures.append(taps_picture(marked, width=1, title=title, cell=30))
show(
    side_by_side(pictures, gap=60),
    alt="Two pictures of the outputs of the matrix with one changed entry, 5 by 6 for "
    "the move down and 6 by 5 for the move to the right; a coloured cell "
    "with a 1 is an output that does not move along, and there is none while no "
    "entry is changed",
)

# %% [markdown]
# A single entry that differs from the others of its band is enough. It changes one output, and a
# test looks at this output up to twice: before the move, against the output that it moves to, and
# after the move, against the one that it came from. (An output at the edge is looked at once, and
# so is one whose changed entry meets a pixel that the move has emptied.)
#
# One test alone is not enough. The move down does not see a change of an entry that is in the last
# six rows and in the first eight columns at once: the lowest outputs have no place to move to, and
# only zeros come in at the top of the image. And it finds no fault in the matrix with a kernel for
# each column, which is no convolution. Both tests together find that one, and every change of a
# single entry but one: try `ROW, COLUMN = 35, 0`, the lowest output at the right and the first
# pixel.
#
# ## What the paper says
#
# Dumoulin and Visin, *[A guide to convolution arithmetic for deep
# learning](https://arxiv.org/abs/1603.07285)* (2016), section 4.1, write down the same 4 × 16
# matrix, with $w_{0,0} \dots w_{2,2}$ where we have the numbers 1 to 9; it is the starting point of
# their chapter on transposed convolution, as it is of our next notebook. They, too, unroll row by
# row.
#
# Computing convolutions by copying windows was proposed by Chellapilla, Puri and Simard, *[High
# performance convolutional neural networks for document
# processing](https://inria.hal.science/inria-00112631)* (2006). It became common under the name
# im2col with Caffe, the program in which Noh, Hong and Han wrote DeconvNet.
#
# Where we differ: the guide shows the matrix of one geometry, for one channel; `ops.conv_matrix`
# gives it for all five settings.
#
# ## Exercises
#
# **1.** Draw the matrix for stride 2 and padding 1 on a 5 × 5 image. Why do some rows have fewer
# than nine entries, and where did the missing taps go?
#
# <details><summary>Answer</summary>
#
# ```python
# picture = tap_matrix(size=5, kernel=3, stride=2, padding=1, title="stride 2, padding 1")
# show(picture, alt="A matrix of 9 rows and 25 columns; its rows have 4, 6 or 9 taps")
# padded = ops.conv_matrix(numbered_taps(3), (5, 5), stride=2, padding=1)
# assert [int(n) for n in (padded != 0).sum(axis=1)] == [4, 6, 4, 6, 9, 6, 4, 6, 4]
# ```
#
# The windows at the border hang over the edge. Those taps multiply the padding's zeros, so they
# have no column.
# </details>
#
# **2.** A fully connected layer of 10 outputs on images of 7 × 7 is also a convolution. With which
# kernels? What does its matrix look like? (Long, Shelhamer and Darrell, *[Fully convolutional
# networks for semantic segmentation](https://arxiv.org/abs/1411.4038)*, 2015, Figure 2, turn a
# network for whole images into one for pixels in this way.)
#
# <details><summary>Answer</summary>
#
# With ten kernels as large as the image. Each fits in a single place, so the output has 1 × 1 pixel
# in ten channels, and the matrix has no zeros.
#
# ```python
# layer = rng.standard_normal((10, 49))
# kernels = layer.reshape(10, 1, 7, 7)
# assert np.array_equal(ops.conv_matrix(kernels, (7, 7)), layer)
# ```
# </details>
#
# **3.** Two convolutions, one behind the other, are two matrices, and so their product. Is this
# product again the matrix of a convolution? Find out with two kernels of 3 × 3 on an image of
# 8 × 8. What would happen to it if negative numbers were replaced by 0 between the two?
#
# <details><summary>Answer</summary>
#
# It is, of one kernel of 5 × 5. Its taps can be read off the first row of the product.
#
# ```python
# one, two = rng.integers(-3, 4, (2, 1, 1, 3, 3)).astype(float)
# both = ops.conv_matrix(two, (6, 6)) @ ops.conv_matrix(one, (8, 8))
# five = both[0].reshape(8, 8)[:5, :5]
# assert np.array_equal(both, ops.conv_matrix(five[None, None], (8, 8)))
# ```
#
# So two layers with nothing between them can be replaced by one. Replacing negative numbers by 0
# (an **[activation](../docs/glossary.md#activation)**; this one is called
# [ReLU](../docs/glossary.md#relu)) is not linear, and then no matrix does the same. A matrix turns
# $-v$ into minus what it turns $v$ into; this does not:
#
# ```python
# relu = lambda a: np.maximum(a, 0)
# first, second = ops.conv_matrix(one, (8, 8)), ops.conv_matrix(two, (6, 6))
# v = rng.standard_normal(64)
# assert not np.allclose(second @ relu(first @ -v), -(second @ relu(first @ v)))
# ```
# </details>
#
# ## In the library
#
# These lines do it for real:
#
# - [`minideconv.ops.conv_matrix.conv_matrix`](../minideconv/ops/conv_matrix.py#L30): the matrix A
#   of any geometry, to look at and to test with.
# - [`minideconv.ops.im2col.gather`](../minideconv/ops/im2col.py#L91): the loop over taps that
#   copies, and below it [`minideconv.ops.im2col.scatter`](../minideconv/ops/im2col.py#L105), the
#   one that adds.
# - [`minideconv.ops.conv.conv2d_core`](../minideconv/ops/conv.py#L178): a convolution as one
#   product of matrices, with a block of images at a time, so that the columns need little memory.
#
# Next: *[The transpose stamps](04_transposed_convolution_stamps.ipynb)*. You have read the matrix
# by rows: each is a window, and gathers. Turn it on its side and read it by columns. (On the [page
# to play with](../docs/play.md) the row of each output pixel and the column of each input pixel
# light up.)
