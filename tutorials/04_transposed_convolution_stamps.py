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
# # A transposed convolution stamps
#
# A [transposed convolution](../docs/glossary.md#transposed-convolution) makes a small map larger.
# Each pixel of the small map lays down one copy of a [kernel](../docs/glossary.md#kernel) (a small
# array of weights), multiplied by that pixel. Where copies overlap, the numbers are added. We call
# one such copy a *stamp*. That is the whole operation, and the one idea of this notebook. The
# second half of [DeconvNet](../docs/glossary.md#deconvnet), which draws a
# [mask](../docs/glossary.md#mask) (which pixels belong to an object?) from a small map of numbers,
# is made of it and of [unpooling](../docs/glossary.md#unpooling) ([notebook
# 8](08_pooling_switches_unpooling.ipynb)).
#
# You need NumPy, and the product of a matrix and a vector. The notebook before this one, [3: a
# convolution is a matrix](03_convolution_is_a_matrix.ipynb), shows the matrix that we turn on its
# side here; what we need of it is repeated.

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

import numpy as np

import minideconv as md
from minideconv import data, nn, ops, optim
from minideconv import functional as F
from minideconv.testing import Limits, OperationError, check_answer, check_op
from minideconv.visualize import (
    Picture,
    ink_on,
    numbered_taps,
    show,
    side_by_side,
    single_stamps,
    stamps,
    tap_colour,
    taps_picture,
    use_style,
)

use_style()

# %% [markdown]
# ## 1. Four stamps become one sum
#
# The kernel has nine entries, called [taps](../docs/glossary.md#tap). We give them the values 1 to
# 9, so that a digit *is* the name of a tap. The small map has four pixels: 1, 10, 100 and 1000. The
# [stride](../docs/glossary.md#stride) is 2: one pixel to the right in the small map is two pixels
# to the right in the large one.

# %%
taps = numbered_taps(3)[0, 0]  # 1 2 3 / 4 5 6 / 7 8 9
y = np.array([[1.0, 10.0], [100.0, 1000.0]])

show(
    stamps(y, taps, stride=2),
    alt="A map of 2 by 2 pixels, 1, 10, 100 and 1000, each in a colour of its own; "
    "four translucent squares of 3 by 3 in these colours, which overlap by one "
    "row and one column; and the 5 by 5 sums, 1379 in the middle, where all "
    "four overlap",
)

# %% [markdown]
# Read the middle pixel: 1379. Its digits say what happened there. The pixel 1 laid its tap 9 on it,
# the pixel 10 its tap 7, the pixel 100 its tap 3 and the pixel 1000 its tap 1: 9 + 70 + 300 + 1000
# = 1379. A corner is reached by one stamp only: 700 is the tap 7 times the pixel 100. (The darker a
# cell of the sum, the more stamps lie on it.)
#
# Here are the four stamps, each by itself. Add the four pictures, pixel by pixel, and you have the
# sum above.


# %% tags=["hide-input"]
def stamp_pictures(y, kernel, stride, cell):
    """Draw each stamp by itself, its cells in the colours of the taps."""
    marks = single_stamps(np.ones_like(y), kernel, stride)  # which tap lies where
    pictures = []
    for value, stamp, mark in zip(y.ravel(), single_stamps(y, kernel, stride), marks, strict=True):
        rows, columns = stamp.shape
        fills = [[tap_colour(int(t), 3) if t else "#ffffff" for t in line] for line in mark]
        picture = Picture(columns * cell + 4, rows * cell + 38)
        picture.words(2, 12, f"stamp of {value:g}", anchor="start", bold=True)
        picture.grid(2, 34, stamp, cell=cell, fills=fills, names=np.full(stamp.shape, ""))
        for (r, c), number in np.ndenumerate(stamp):
            if number:
                place = (2 + (c + 0.5) * cell, 34 + (r + 0.5) * cell)
                size = 11 if number >= 1000 else 13
                picture.words(*place, f"{number:g}", size=size, colour=ink_on(fills[r][c]))
        pictures.append(picture)
    return side_by_side(pictures, gap=16)


show(
    stamp_pictures(y, taps, 2, cell=33),
    alt="The four stamps, each alone on 5 by 5 pixels: the kernel at the top left; "
    "ten times the kernel at the top right; a hundred times at the bottom left; "
    "a thousand times at the bottom right",
)

# %% [markdown]
# In one dimension the operation is four lines. The important part is `+=`: a stamp is *added* to
# what is there already.


# %%
def stamp_row(y, kernel, stride):
    """Transposed convolution of a row of numbers."""
    x = np.zeros((len(y) - 1) * stride + len(kernel))
    for i, value in enumerate(y):
        x[i * stride : i * stride + len(kernel)] += value * kernel
    return x


print(stamp_row(np.array([1.0, 10.0, 100.0]), np.array([1.0, 2.0, 3.0]), stride=2))

# %% [markdown]
# Why `(len(y) - 1) * stride + len(kernel)`? The first stamp begins at pixel 0, the last one at
# `(len(y) - 1) * stride`, and a stamp is as long as the kernel.
#
# ### Your turn
#
# Before you compute anything: with `y` = 1, 10, 100, 1000 as above and the same kernel, but
# **stride 1**, the result has 4 × 4 pixels. Which number stands in its second row, third column?
# (Draw the four stamps on paper: they now begin one pixel apart.)

# %%
my_number = None  # a whole number

# %%
with_stride_1 = ops.conv_transpose2d(y[None, None], taps[None, None], stride=1)[0, 0]
check_answer(
    "my_number",
    my_number,
    int(with_stride_1[1, 2]),
    hints=[
        (lambda n: n == with_stride_1[2, 1], "That is the third row, second column."),
        (lambda n: n in with_stride_1, "That number stands in another place of the result."),
        (
            lambda n: sorted(str(n)) == sorted(str(int(with_stride_1[1, 2]))),
            "The right taps; which pixel lays down which of them?",
        ),
    ],
    hint="Four stamps reach that pixel, so four taps add up. Where does each stamp begin?",
)

# %% [markdown]
# ### Your turn
#
# Now write it in two dimensions: `y` is (H, W), `kernel` is (kh, kw), not always square; `stride`
# is the same along both axes. The check below draws many geometries, and if one fails it says what
# your function does instead. (It calls arrays by the names that the library has: the small map is
# `x` there, the kernel `w`, the result `y`.)

# %%
my_stamps = None  # replace by a function: def my_stamps(y, kernel, stride): ...


# %%
def as_layer(x, w, b=None, *, stride, **_):
    """Several images and channels: every input channel stamps onto every output channel."""
    result = []
    for image in x:
        for k in range(w.shape[1]):
            stamped = [my_stamps(image[c], w[c, k], stride[0]) for c in range(len(w))]
            result.append(sum(stamped))
    return np.array(result, x.dtype).reshape(len(x), w.shape[1], *result[0].shape)


no_more_than = Limits(
    square=("stride",),
    fixed={"padding": (0, 0), "output_padding": (0, 0), "dilation": (1, 1), "groups": 1},
    without=("b",),
)
if my_stamps is None:
    print("my_stamps: nothing written yet")
else:
    try:
        check_op(as_layer, "conv_transpose2d", limits=no_more_than)
        print("my_stamps: ✓")
    except OperationError as error:
        print("my_stamps: ✗ not yet.", str(error).split("\n\n")[0])

# %% [markdown]
# ## 2. Gather and scatter
#
# A [convolution](../docs/glossary.md#convolution) with the same kernel and stride goes the other
# way, from 5 × 5 pixels to 2 × 2. It lays the kernel over nine pixels (the *window*), multiplies
# each pixel by the tap on it, and adds the nine products up to *one* number. It **gathers**. The
# transposed convolution takes *one* number to nine pixels. It **scatters**. Same kernel, same nine
# places, the arrow turned round.


# %% tags=["hide-input"]
def one_window(output, gathers, cell=32):
    """Draw the link between one pixel of the 2 x 2 map and the 3 x 3 window of the 5 x 5 map."""
    top, left = divmod(output, 2)
    large = np.zeros((5, 5))
    large[2 * top : 2 * top + 3, 2 * left : 2 * left + 3] = taps
    small_fills = np.full((2, 2), "#ffffff", object)
    small_fills[top, left] = "#f7d488"
    blank = np.full((2, 2), "")
    big = taps_picture(large, width=3, cell=cell)
    picture = Picture(7 * cell + 84, 5 * cell + 38)
    title = "convolution: nine pixels to one" if gathers else "transposed: one pixel to nine"
    picture.words(2, 12, title, anchor="start", bold=True)
    middle = 34 + 2.5 * cell
    if gathers:
        picture.add(big, 0, 32)
        picture.line([(5 * cell + 12, middle), (5 * cell + 66, middle)], arrow=True, line=2)
        picture.grid(5 * cell + 76, middle - cell, blank, cell=cell, fills=small_fills, names=blank)
    else:
        picture.grid(2, middle - cell, blank, cell=cell, fills=small_fills, names=blank)
        picture.line([(2 * cell + 12, middle), (2 * cell + 66, middle)], arrow=True, line=2)
        picture.add(big, 2 * cell + 76, 32)
    return picture


show(
    side_by_side([one_window(1, True), one_window(1, False)], gap=40),
    alt="Left: on 5 by 5 pixels the nine taps cover the upper right corner, and an "
    "arrow leads from them to one lit pixel of a 2 by 2 map. Right: the same "
    "two maps with the arrow the other way",
)

# %% [markdown]
# So a transposed convolution always belongs to a convolution. We keep the names of that pair in
# this notebook and the next two: **`x` is the large map, `y` the small one**. The convolution takes
# `x` to `y`, its transpose takes a map of the shape of `y` to one of the shape of `x`.
#
# ## 3. The same matrix, on its side
#
# Number the 25 pixels of the large map row by row, and write each output pixel of the convolution
# as a row: the tap that each pixel is multiplied by, and nothing where no tap lies. This gives a
# matrix $A$ of 4 rows and 25 columns, one row for each *window*.

# %%
A = ops.conv_matrix(numbered_taps(3), input_size=(5, 5), stride=2)

show(
    taps_picture(
        A,
        width=3,
        title="A, row 1 lit: the window of small pixel 1",
        beside="row",
        below="25 columns: the pixels of the large map, row by row",
        rows=[1],
    ),
    alt="A matrix of 4 rows and 25 columns. Each row holds the taps 1 to 9 in three "
    "groups of three; row 1, which is framed, has them in columns 2 to 4, 7 to "
    "9 and 12 to 14",
)

# %% [markdown]
# With $\mathrm{vec}(x)$, the pixels of `x` row by row in one column, the convolution is
# $\mathrm{vec}(y) = A\,\mathrm{vec}(x)$.
#
# The [transpose](../docs/glossary.md#transpose) $A^{\mathsf T}$ is the same table with rows and
# columns exchanged: 25 rows, 4 columns. Row 1 of $A$ has become column 1. Fold each column back
# into 5 × 5 pixels, and you see the stamps.

# %% tags=["hide-input"]
whole = taps_picture(
    A.T,
    width=3,
    title="transpose of A",
    beside="row",
    below="column 1 is lit",
    columns=[1],
    cell=18,
)
columns = Picture(420, whole.height)
for pixel in range(4):
    row, column = divmod(pixel, 2)
    folded = taps_picture(
        A.T[:, pixel].reshape(5, 5), width=3, title=f"column {pixel}, folded", cell=28
    )
    columns.add(folded, 60 + 180 * column, 30 + 230 * row)
show(
    side_by_side([whole, columns], gap=20),
    alt="The transposed matrix of 25 rows and 4 columns, column 1 framed; beside it "
    "each of the four columns folded to 5 by 5 pixels: the whole kernel at the "
    "top left, top right, bottom left and bottom right",
)

# %% [markdown]
# A matrix times a vector is a sum of the matrix's columns, each multiplied by one entry of the
# vector. Here a column is a stamp, and the entry is a pixel of the small map:
#
# $$A^{\mathsf T}\,\mathrm{vec}(y) \;=\; \sum_k y_k \cdot (\text{column } k \text{ of } A^{\mathsf T})
# \;=\; \text{the sum of the stamps.}$$
#
# That is where the name comes from: a transposed convolution multiplies by the *transposed* matrix
# of a convolution. All numbers here are whole, so we can ask for *equal*, not for "close".

# %%
by_columns = sum(y.ravel()[k] * A.T[:, k] for k in range(4))
by_matrix = A.T @ y.ravel()
by_library = ops.conv_transpose2d(y[None, None], taps[None, None], stride=2)  # (N, C, H, W)

assert np.array_equal(by_columns, by_matrix)
assert np.array_equal(by_matrix, by_library.ravel())
print(by_library[0, 0].astype(int))

# %% [markdown]
# There is a test for "this is the transpose of that" that needs no matrix. The [inner
# product](../docs/glossary.md#inner-product) $\langle a, b\rangle$ multiplies two arrays entry by
# entry and adds the products up. For all $x$ and $y$
#
# $$\langle A x,\; y\rangle \;=\; \langle x,\; A^{\mathsf T} y\rangle .$$
#
# If it holds for every pair, the second map *is* the transpose (one also says
# [adjoint](../docs/glossary.md#adjoint)) of the first. Two random arrays of whole numbers are a
# sharp test. (In the code the random small map is called `z`, because `y` is our four pixels.)

# %%
rng = np.random.default_rng(4)
x = rng.integers(-9, 10, (1, 1, 5, 5)).astype(float)
z = rng.integers(-9, 10, (1, 1, 2, 2)).astype(float)
left = np.sum(ops.conv2d(x, numbered_taps(3), stride=2) * z)
right = np.sum(x * ops.conv_transpose2d(z, numbered_taps(3), stride=2))
print(f"<A x, z> = {left:g}     <x, transpose of A z> = {right:g}")
assert left == right

# %% [markdown]
# ## 4. Padding cuts off
#
# In a convolution, [padding](../docs/glossary.md#padding) `p` puts `p` rows and columns of zeros
# around `x`. What does its transpose do with them? Stamps fall on the border too, but the border is
# not part of `x`. So the transposed convolution **cuts `p` pixels off each side**. A larger padding
# makes its result *smaller*.


# %% tags=["hide-input"]
def cropped(y, kernel, stride, padding, cell=44):
    """Draw the sum of the stamps, and what is left of it inside the padding."""
    total = single_stamps(y, kernel, stride).sum(axis=0)
    rows, columns = total.shape
    inside = np.zeros(total.shape, bool)
    inside[padding : rows - padding, padding : columns - padding] = True
    fills = np.where(inside, "#9fdcc3", "#eef2f6")
    picture = Picture(columns * cell + 4, rows * cell + 40)
    picture.words(2, 12, "the sum of all stamps", anchor="start", bold=True)
    picture.grid(2, 34, total, cell=cell, fills=fills)
    side = 2 + padding * cell, 34 + padding * cell
    size = (columns - 2 * padding) * cell, (rows - 2 * padding) * cell
    picture.box(*side, *size, stroke="#b3261e", line=3)
    kept = total[padding : rows - padding, padding : columns - padding]
    rest = Picture(200, rows * cell + 40)
    rest.words(2, 12, f"padding {padding}: what is left", anchor="start", bold=True)
    rest.grid(2, 34 + padding * cell, kept, cell=cell, fills=np.full(kept.shape, "#9fdcc3"))
    return side_by_side([picture, rest], gap=60), kept


picture, kept = cropped(y, taps, stride=2, padding=1)
show(
    picture,
    alt="The 5 by 5 sums with a red frame around the inner 3 by 3 pixels; beside it "
    "these 3 by 3 pixels alone: the border of one pixel is gone",
)
assert np.array_equal(
    kept, ops.conv_transpose2d(y[None, None], taps[None, None], stride=2, padding=1)[0, 0]
)

# %% [markdown]
# In the matrix: with padding, a tap that hangs over the edge multiplies a zero of the border. It
# has no column in $A$, hence no row in $A^{\mathsf T}$. The matrix of the convolution of 3 × 3
# pixels with padding 1 has 9 columns, and its transpose gives the 9 numbers in the frame:

# %%
padded_A = ops.conv_matrix(numbered_taps(3), input_size=(3, 3), stride=2, padding=1)
print(padded_A.shape)
assert np.array_equal(padded_A.T @ y.ravel(), kept.ravel())

# %% [markdown]
# Along one axis, with `n` pixels, kernel `k`, stride `s` and padding `p`, the result has
#
# $$n' = (n - 1)\,s + k - 2p$$
#
# pixels: from the first pixel of the first stamp to the last pixel of the last one, less the two
# borders.
#
# ### Your turn
#
# A map of 7 × 5 pixels goes through a transposed convolution with a kernel of 4 × 4, stride 2 and
# padding 1. How large is the result? Your answer is a pair, (rows, columns). Look at it for a
# moment when it is right: this geometry is common in networks, and you will see why.

# %%
my_size = None  # (rows, columns)

# %%
doubled = ops.conv_transpose2d(np.ones((1, 1, 7, 5)), np.ones((1, 1, 4, 4)), stride=2, padding=1)
check_answer(
    "my_size",
    my_size,
    doubled.shape[2:],
    hints=[
        (lambda a: tuple(a) == (18, 14), "Padding makes the result smaller, not larger."),
        (lambda a: tuple(a) == (16, 12), "The border is still there: where does padding come in?"),
        (lambda a: tuple(a) == (15, 11), "Padding is on both sides."),
        (lambda a: tuple(a) == (3, 2), "That is the convolution; this is the way back."),
        (lambda a: tuple(a) == doubled.shape[3:1:-1], "(rows, columns), in this order."),
    ],
    hint="Where does the last stamp begin, where does it end, and what is cut off?",
)

# %% [markdown]
# ## 5. Channels
#
# A [feature map](../docs/glossary.md#feature-map) in a network has many
# [channels](../docs/glossary.md#channel): arrays of the same size that lie on top of each other.
# There is one kernel for each pair of an input channel and an output channel. Every input channel
# stamps onto every output channel, and everything is added. `weight[i, j]` is the kernel from input
# channel `i` to output channel `j`.

# %%
maps = rng.integers(-3, 4, (1, 2, 3, 4)).astype(float)  # 1 image, 2 channels, 3 x 4 pixels
weight = rng.integers(-3, 4, (2, 5, 3, 3)).astype(float)  # 2 channels in, 5 out

whole = ops.conv_transpose2d(maps, weight, stride=2)
pieces = np.zeros_like(whole)
for i in range(2):
    for j in range(5):
        pieces[0, j] += single_stamps(maps[0, i], weight[i, j], stride=2).sum(axis=0)

print(maps.shape, "->", whole.shape)
assert np.array_equal(whole, pieces)

# %% [markdown]
# The *convolution* that this is the transpose of goes from 5 channels to 2. Its weight has the
# shape (channels out, channels in, kh, kw) = (2, 5, 3, 3). That is the very same array:
# `conv_transpose2d` takes the weight of the convolution whose transpose it is, as it stands. So the
# *first* axis of a transposed convolution's weight is its input channels. This is the usual
# stumbling block, and now you know its reason.

# %%
back = ops.conv2d(whole, weight, stride=2)  # from 5 channels to 2, with the same weight
print(whole.shape, "->", back.shape)

# %% [markdown]
# ## 6. A transpose is not an inverse
#
# The layer is often called [deconvolution](../docs/glossary.md#deconvolution), as if it undid a
# convolution. Let a picture go down through a convolution and come back through its transpose. The
# convolution takes the mean of each 3 × 3 window, with stride 2.


# %%
def greys(split, count):
    """Drawn pictures of 33 x 33 pixels as grey values from 0 to 1: (count, 1, 33, 33)."""
    drawn = data.Shapes(split, length=count, size=33, difficulty="easy")
    return np.array([drawn[i][0].mean(axis=2) for i in range(count)])[:, None] / 255


unseen = greys("val", 40)
picture = unseen[3:4]
mean = np.full((1, 1, 3, 3), 1 / 9)

small = ops.conv2d(picture, mean, stride=2)  # A x, 16 x 16
back = ops.conv_transpose2d(small, mean, stride=2)  # the transpose of A, applied to A x

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 4, figsize=(7.5, 2.4), layout="constrained")
for ax, image, title, white in (
    (axes[0], picture, "x, 33 × 33", 1),
    (axes[1], small, "A x, 16 × 16", 1),
    (axes[2], back, "and back again,\n33 × 33", 1),
    (axes[3], back, "the same, 4 times\nas bright", 0.25),
):
    ax.imshow(image[0, 0], cmap="gray", vmin=0, vmax=white)
    ax.set(title=title, xticks=[], yticks=[])
show(
    figure,
    alt="A grey drawing with a disc and a cross on stripes; a smaller, blurred "
    "version of it; what comes back, of the right size but nearly black; the "
    "same made brighter: a blurred drawing under a fine grid",
)
print(f"mean of x: {picture.mean():.2f}     mean of what came back: {back.mean():.2f}")

# %% [markdown]
# The size is right and things are in the right place. The values are wrong. It is far too dark: 1,
# 2 or 4 stamps reach a pixel, and each brings a ninth of a grey value only. It is blurred. And a
# grid lies over it, because the number of stamps changes from pixel to pixel ([notebook
# 6](06_checkerboards.ipynb) is about that).
#
# To see why, multiply the two matrices. If the way back undid the way down, $A^{\mathsf T}A$ would
# be the identity: ones on the diagonal, zeros elsewhere. Here is a case small enough to print: a
# row of 7 pixels, kernel 1 2 1, stride 2.

# %% tags=["hide-input"]
kernel_row = np.array([1.0, 2.0, 1.0]).reshape(1, 1, 1, 3)
small_A = ops.conv_matrix(kernel_row, (1, 7), stride=(1, 2))


def number_picture(matrix, title, cell=25):
    """Draw a matrix of small numbers; the larger the number the deeper the blue."""
    shades = ["#ffffff", "#d6e6f4", "#abcfe5", "#9fd0f0", "#6aaed6"]
    fills = [[shades[int(v)] for v in line] for line in matrix]
    names = [[f"{v:g}" if v else "" for v in line] for line in matrix]
    rows, columns = matrix.shape
    drawn = Picture(max(columns * cell + 4, 7.8 * len(title)), rows * cell + 40)
    drawn.words(2, 12, title, anchor="start", bold=True)
    drawn.grid(2, 34, matrix, cell=cell, fills=fills, names=names)
    return drawn


show(
    side_by_side(
        [
            number_picture(small_A, "A"),
            number_picture(small_A.T, "transpose"),
            number_picture(small_A.T @ small_A, "transpose times A"),
            number_picture(np.eye(7), "an inverse would give"),
        ],
        gap=20,
    ),
    alt="A, three rows 1 2 1 that move by two columns; its transpose; their product "
    "of 7 by 7, which has 1, 4 and 2 on its diagonal and other numbers beside "
    "it; and the identity of 7 by 7",
)

# %% [markdown]
# $A^{\mathsf T}A$ multiplies every pixel by 1, 2 or 4 (the diagonal) and adds something of its
# neighbours (the numbers beside the diagonal). It is not the identity.
#
# Could another map do better, and undo the convolution exactly? No. $A$ has 16 · 16 = 256 rows and
# 33 · 33 = 1089 columns: 256 equations for 1089 unknown pixels have many solutions. So different
# pictures give the same small one, and nothing can tell from it which one it was. Here is a second
# picture that the convolution cannot tell from the first: NumPy's least-squares solver
# finds, among all pictures with the same $A x$, the one with the smallest sum of squares.

# %%
big_A = ops.conv_matrix(mean, (33, 33), stride=2)  # (256, 1089)
twin = np.linalg.lstsq(big_A, small.ravel(), rcond=None)[0].reshape(1, 1, 33, 33)
small_twin = ops.conv2d(twin, mean, stride=2)

print(f"largest difference of the two pictures:      {abs(picture - twin).max():.2f}")
print(f"largest difference of their convolutions:    {abs(small - small_twin).max():.0e}")
assert np.allclose(small, small_twin)
assert abs(picture - twin).max() > 0.3

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 4, figsize=(7.5, 2.2), layout="constrained")
for ax, image, title in (
    (axes[0], picture, "a picture"),
    (axes[1], small, "its convolution"),
    (axes[2], twin, "another picture"),
    (axes[3], small_twin, "its convolution"),
):
    ax.imshow(image[0, 0], cmap="gray", vmin=0, vmax=1)
    ax.set(title=title, xticks=[], yticks=[])
show(
    figure,
    alt="The drawing and its convolution; a second picture in which light and dark "
    "lines cross like a woven cloth, and its convolution, which looks the same "
    "as the first",
)

# %% [markdown]
# What the convolution has thrown away is gone. No layer brings it back, whatever its name.
#
# ## 7. Why networks use it all the same
#
# Because the taps need not be those of the convolution. In a network they are [trainable
# parameters](../docs/glossary.md#trainable-parameter): numbers that training changes. The layer
# offers the wiring, *one coarse pixel spreads over a neighbourhood*, and training finds taps that
# make the spread useful. Let us see whether that is true.
#
# The task: from the small picture $A x$, draw `x` again. The layer is one transposed convolution
# with stride 2. It starts with the taps of the transpose above, nine times 1/9. Training shows it
# 160 drawings, compares its drawing with the true one, and moves the taps a little in the direction
# in which the mean of (drawn − true)² falls; a thousand times. (How it finds that direction is
# [notebook 7](07_backward_of_convolution.ipynb); the steps are made by an
# [optimiser](../docs/glossary.md#optimiser) called Adam.) We then try the layer on 40 drawings that
# it has not seen, once with a kernel of 3 × 3 and once of 7 × 7. A frame of 4 pixels is left out:
# near the edge fewer stamps arrive.

# %%
inside = (slice(None), slice(None), slice(4, -4), slice(4, -4))
seen = greys("train", 160)
seen_small = ops.conv2d(seen, mean, stride=2)
unseen_small = ops.conv2d(unseen, mean, stride=2)


def tensor(array):
    """The array as the layer wants it: it remembers how it was computed, for the training."""
    return md.Tensor(array.astype(np.float32))


def error(drawn, true):
    """Root of the mean squared error, without the frame."""
    return float(np.sqrt(np.mean((drawn[inside] - true[inside]) ** 2)))


def learn(kernel):
    """Train a transposed convolution to enlarge the small pictures."""
    layer = nn.ConvTranspose2d(1, 1, kernel, stride=2, padding=(kernel - 3) // 2, bias=False)
    layer.weight.data[...] = np.pad(mean[0, 0], (kernel - 3) // 2)  # 3 x 3 of 1/9, zeros around
    optimiser = optim.Adam(layer.parameters(), lr=0.05)  # makes the steps
    for step in range(1000):
        batch = slice(32 * (step % 5), 32 * (step % 5) + 32)
        drawn = layer(tensor(seen_small[batch]))
        loss = F.mse_loss(drawn[inside], tensor(seen[batch])[inside])  # mean of (drawn - true)²
        optimiser.zero_grad()  # forget the direction of the step before
        loss.backward()  # find the direction in which the loss falls
        optimiser.step()  # move the taps
    return layer


layers = {kernel: learn(kernel) for kernel in (3, 7)}
redrawn = {kernel: layer(tensor(unseen_small)).numpy() for kernel, layer in layers.items()}

by_transpose = error(ops.conv_transpose2d(unseen_small, mean, stride=2), unseen)
print(f"error on unseen drawings, taps of the transpose:  {by_transpose:.3f}")
print(f"                          3 x 3 learned taps:     {error(redrawn[3], unseen):.3f}")
print(f"                          7 x 7 learned taps:     {error(redrawn[7], unseen):.3f}")
assert error(redrawn[7], unseen) < error(redrawn[3], unseen) < by_transpose
print(layers[3].weight.numpy()[0, 0].round(2))

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 4, figsize=(7.5, 2.2), layout="constrained")
for ax, image, title in (
    (axes[0], picture, "x"),
    (axes[1], back, "taps of the transpose"),
    (axes[2], redrawn[3][3:4], "3 × 3 learned taps"),
    (axes[3], redrawn[7][3:4], "7 × 7 learned taps"),
):
    ax.imshow(image[inside][0, 0], cmap="gray", vmin=0, vmax=1)
    ax.set(title=title, xticks=[], yticks=[])
show(
    figure,
    alt="The drawing; what the taps of the transpose make of it, nearly black; what "
    "3 by 3 learned taps make of it, as bright as the drawing, without a grid, "
    "and blurred; and 7 by 7, a little sharper",
)

# %% [markdown]
# Nothing has been undone: the fine stripes on the disc are lost in both. But the drawings are
# bright and the grid has gone. And look at the nine learned taps: they are ¼, ½ and 1. With exactly
# these taps the layer fills each gap with the mean of the neighbours on both sides, which the
# textbooks call [bilinear interpolation](../docs/glossary.md#bilinear-interpolation). Nobody told
# the layer; it found it in the examples. With room for 49 taps it finds something better than the
# textbook.

# %%
tent = np.array([0.5, 1.0, 0.5])
textbook = ops.conv_transpose2d(unseen_small, np.outer(tent, tent)[None, None], stride=2)
print(f"bilinear interpolation: {error(textbook, unseen):.3f}")
assert np.allclose(layers[3].weight.numpy()[0, 0], np.outer(tent, tent), atol=0.03)
assert error(redrawn[7], unseen) < error(textbook, unseen)

# %% [markdown]
# ## Break it
#
# Here is the stamping once more with something to change. Run the cell; then set `ADD = False`, so
# that a stamp *replaces* what lies under it. Which of the two tests notices? Then set `STRIDE = 3`.

# %%
ADD, STRIDE = True, 2


def stamping(y, kernel, stride):
    x = np.zeros([(n - 1) * stride + k for n, k in zip(y.shape, kernel.shape, strict=True)])
    for (i, j), value in np.ndenumerate(y):
        place = (
            slice(i * stride, i * stride + kernel.shape[0]),
            slice(j * stride, j * stride + kernel.shape[1]),
        )
        x[place] = value * kernel + (x[place] if ADD else 0)
    return x


size = 2 * STRIDE + 3  # of the large map, for a small one of 3 x 3
x = rng.integers(-9, 10, (size, size)).astype(float)
z = rng.integers(-9, 10, (3, 3)).astype(float)
left = np.sum(ops.conv2d(x[None, None], taps[None, None], stride=STRIDE) * z)
right = np.sum(x * stamping(z, taps, STRIDE))
dot = np.zeros((3, 3))
dot[1, 1] = 1.0
one_stamp = ops.conv_transpose2d(dot[None, None], taps[None, None], stride=STRIDE)[0, 0]

print("inner products:", "equal" if left == right else f"NOT equal: {left:g} and {right:g}")
print(
    "a single lit pixel gives the kernel:",
    bool(np.array_equal(stamping(dot, taps, STRIDE), one_stamp)),
)

# %% [markdown]
# With `ADD = False` at stride 2 the inner products differ: it is no transpose any more. With a
# single lit pixel (one 1, all others 0) the stamps of the other pixels are zeros. Some of them come
# later and wipe out a part of the kernel, so this test notices too. At stride 3 neither test
# notices: stamps of 3 × 3 at stride 3 do not overlap, and `=` and `+=` do the same. **A test needs
# a geometry in which stamps overlap.** That is why the check of your own function above draws so
# many.
#
# ## What the paper says
#
# - [Noh, Hong and Han (2015)](https://arxiv.org/abs/1505.04366), in the part on deconvolution,
#   describe the layer as we do: one activation in, a window of activations out, with learned
#   filters, and the border cropped so that the size stays. Our section 2 draws what their figure 3
#   shows for convolution and deconvolution. Two things are worth knowing. Their deconvolution
#   layers have **stride 1**. All but the first, which turns one pixel into 7 × 7, keep the size:
#   *unpooling* enlarges ([notebook 8](08_pooling_switches_unpooling.ipynb)), and the layers fill in
#   what it leaves empty. And the crop in their text is the padding of section 4.
# - [Dumoulin and Visin (2016)](https://arxiv.org/abs/1603.07285), at the beginning of the chapter
#   on transposed convolution, write the matrix of a convolution and transpose it. Our section 3 is
#   theirs with numbered taps; they draw the result by zero-stuffing, which is [notebook
#   5](05_zero_stuffing_and_output_padding.ipynb).
# - The name: [Zeiler and others (2010)](https://doi.org/10.1109/CVPR.2010.5539957) called a
#   *different* method "deconvolutional network", one that searches for the map whose stamps add up
#   to a given picture ([notebook 15](15_convolutional_sparse_coding.ipynb)). [Long, Shelhamer and
#   Darrell (2015)](https://arxiv.org/abs/1411.4038) say "backwards convolution". PyTorch says
#   [`ConvTranspose2d`](https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose2d.html),
#   and so do we.
# - We differ in section 7, which is ours: a task small enough to train here.
#
# ## Exercises
#
# **1.** Somebody gives you a transposed convolution as a function and does not tell you its kernel
# or its stride. Find both with a single call. (To try it, take
# `single_stamps(y, secret, stride=5).sum(axis=0)` with a square kernel `secret` of your own:
# `single_stamps` returns the stamps one by one, as in the second figure.)
#
# <details><summary>Answer</summary>
#
# ```python
# secret = rng.integers(-9, 10, (4, 4)).astype(float)
# secret[0, 0] = secret[-1, -1] = 7.0  # its corners are not 0, so that we see where it ends
#
# def unknown(y):
#     return single_stamps(y, secret, stride=5).sum(axis=0)
#
# probe = np.zeros((2, 2))
# probe[0, 0], probe[1, 1] = 1.0, 1000.0  # two stamps that cannot be mistaken for each other
# answer = unknown(probe)
# stride = int(np.argwhere(abs(answer) > 500)[0, 0])  # where the second stamp begins
# side = int(np.argwhere(abs(answer) > 500)[-1, 0]) + 1 - stride
# assert (stride, side) == (5, 4)
# assert np.array_equal(answer[:side, :side], secret)
# ```
#
# A lit pixel returns its column of the matrix, and a column is the kernel. Here the two stamps do
# not overlap. Where they do, both add up, and the factor 1000 tells them apart, as the digits in
# section 1.
# </details>
#
# **2.** Find a convolution whose transpose *is* its inverse. Hint: nothing may be lost, so as many
# numbers must come out as go in: stride 2, kernels of 2 × 2, and four output channels.
#
# <details><summary>Answer</summary>
#
# ```python
# signs = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
# haar = signs.reshape(4, 1, 2, 2) / 2.0  # four kernels: mean, and three kinds of difference
# H = ops.conv_matrix(haar, (6, 6), stride=2)
# assert H.shape == (36, 36)
# assert np.allclose(H.T @ H, np.eye(36))
# x = rng.normal(size=(1, 1, 6, 6))
# assert np.allclose(ops.conv_transpose2d(ops.conv2d(x, haar, stride=2), haar, stride=2), x)
# ```
#
# The four kernels, written as vectors, have length 1 and are at right angles to each other, and the
# windows do not overlap. So the rows of the matrix have length 1 and are at right angles, too. A
# square matrix has its transpose as its inverse exactly if its rows are like that.
# </details>
#
# **3.** Which kernel makes a transposed convolution with stride 2 repeat every pixel 2 × 2 times?
# And which kernel of 4 × 4 (with padding 1) gives bilinear enlargement? Hint: each small pixel now
# covers 2 × 2 large ones. Along one axis, the centre of a large pixel is a quarter of a small pixel
# from the nearest small centre and three quarters from the next one; the nearer counts more.
#
# <details><summary>Answer</summary>
#
# ```python
# small_map = rng.normal(size=(1, 1, 5, 5))
# repeated = ops.conv_transpose2d(small_map, np.ones((1, 1, 2, 2)), stride=2)
# assert np.array_equal(repeated, small_map.repeat(2, axis=2).repeat(2, axis=3))
#
# tent = np.array([1.0, 3.0, 3.0, 1.0]) / 4
# smooth = ops.conv_transpose2d(small_map, np.outer(tent, tent)[None, None], stride=2, padding=1)
# bilinear_map = ops.interpolate(small_map, (10, 10), mode="bilinear")
# inside = slice(1, -1)
# assert np.allclose(smooth[:, :, inside, inside], bilinear_map[:, :, inside, inside])
# ```
#
# Away from the border the two agree: bilinear enlargement *is* a transposed convolution with fixed
# taps. In section 7 the taps were ½, 1, ½, because there the small pixels lie *on* every second
# large one; here they lie between two. [FCN](../docs/glossary.md#fcn), an older network that draws
# masks, starts its learned layers from such taps.
# </details>
#
# ## In the library
#
# The lines that do it for real, for any geometry, channels, groups, and on a GPU:
#
# - [`minideconv.ops.conv.conv_transpose2d_core`](../minideconv/ops/conv.py#L255): one product with
#   the transposed weights makes the numbers of all stamps, in columns;
# - [`minideconv.ops.im2col.scatter`](../minideconv/ops/im2col.py#L105): adds them where they
#   belong, one tap at a time, so that `+=` never meets the same pixel twice in one statement;
# - [`minideconv.ops.im2col.col2im`](../minideconv/ops/im2col.py#L231): the same addition by itself;
# - [`minideconv.ops.conv_matrix.conv_matrix`](../minideconv/ops/conv_matrix.py#L30): the matrix
#   that we looked at.
#
# Next: [5: zero-stuffing and output_padding](05_zero_stuffing_and_output_padding.ipynb), another
# way to the same numbers, and what to do when two sizes fit.
