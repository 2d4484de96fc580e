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
# # Zero-stuffing and output_padding
#
# There is a second recipe for a [transposed
# convolution](../docs/glossary.md#transposed-convolution): put zeros between the pixels, turn the
# [kernel](../docs/glossary.md#kernel) by 180°, and run an ordinary
# [convolution](../docs/glossary.md#convolution). This is called
# [zero-stuffing](../docs/glossary.md#zero-stuffing). It gives the numbers that stamps give, because
# it is the *same matrix* read in another direction. That is the one idea of this notebook. It also
# settles a question that stamps leave open: when several sizes fit, which one is meant? There are
# then several matrices to choose from, and `output_padding` chooses.
#
# You need NumPy, and [notebook 4](04_transposed_convolution_stamps.ipynb), the one before this: a
# transposed convolution lays down one copy of the kernel per pixel, multiplied by the pixel (a
# *stamp*), and adds what overlaps. As there, **`x` is the large map and `y` the small one**: a
# convolution takes `x` to `y`, its transpose takes a map of the shape of `y` to one of the shape of
# `x`.

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

from minideconv import Tensor, nn, ops
from minideconv.testing import Limits, OperationError, check_answer, check_op
from minideconv.visualize import (
    Picture,
    numbered_taps,
    show,
    side_by_side,
    single_stamps,
    taps_picture,
    use_style,
    zero_stuffing,
)
from minideconv.visualize.figures.stamps import stuffed as stuffed_geometry

use_style()

# %% [markdown]
# ## 1. Zeros between the pixels, and a turned kernel
#
# The same numbers as in notebook 4: nine [taps](../docs/glossary.md#tap) (the kernel's entries)
# with the values 1 to 9, four pixels 1, 10, 100 and 1000, [stride](../docs/glossary.md#stride) 2.

# %%
taps = numbered_taps(3)[0, 0]  # 1 2 3 / 4 5 6 / 7 8 9
y = np.array([[1.0, 10.0], [100.0, 1000.0]])

show(
    zero_stuffing(y, taps, stride=2),
    alt="Four pixels 1, 10, 100 and 1000; the same on a 7 by 7 plane of zeros, one "
    "zero between them and two around them; the kernel turned by 180 degrees, 9 "
    "8 7 in its first row; and the result of 5 by 5, 1379 in its middle",
)

# %% [markdown]
# Put the turned kernel on the middle of the 7 × 7 plane. Its corners 9, 7, 3 and 1 lie on the
# pixels 1, 10, 100 and 1000, its other taps on zeros: 9 + 70 + 300 + 1000 = 1379. Four stamps have
# given the same number in notebook 4. There we asked: *where does this input pixel go?* Here we
# ask: *where does this output pixel come from?*
#
# ## 2. Why it is the same
#
# One dimension is enough to see it. A row of three pixels, a kernel of three taps, stride 2. The
# transposed matrix has one stamp per column: the taps 1, 2, 3, read downwards, two rows lower every
# time.
#
# Beside it stands the transposed matrix for **stride 1** and five pixels. Its columns 0, 2 and 4
# are just the stamps. Columns 1 and 3 are stamps too many. To get rid of a column, multiply it by
# zero. That is what the zeros between the pixels are for.

# %% tags=["hide-input"]
row_taps = numbered_taps((1, 3))
stride_2 = ops.conv_matrix(row_taps, (1, 7), stride=(1, 2)).T  # (7, 3)
stride_1 = ops.conv_matrix(row_taps, (1, 7)).T  # (7, 5)

show(
    side_by_side(
        [
            taps_picture(stride_2, width=3, title="stride 2, transposed", beside="row", cell=26),
            taps_picture(
                stride_1, width=3, title="stride 1: columns 0, 2, 4 lit", columns=[0, 2, 4], cell=26
            ),
            taps_picture(stride_1, width=3, title="stride 1: row 3 lit", rows=[3], cell=26),
        ],
        gap=30,
    ),
    alt="Left a matrix of 7 rows and 3 columns, each column the taps 1, 2, 3 "
    "downwards, two rows lower every time. Middle a matrix of 7 rows and 5 "
    "columns, each column one row lower; columns 0, 2 and 4 are framed and "
    "equal the left matrix. Right the same matrix with row 3 framed: it reads "
    "3, 2, 1",
)

# %%
y_row = np.array([1.0, 10.0, 100.0])
stuffed = np.zeros(5)
stuffed[::2] = y_row  # 1 0 10 0 100
print("stride 2, three pixels:          ", stride_2 @ y_row)
print("stride 1, three pixels and zeros:", stride_1 @ stuffed)
assert np.array_equal(stride_2 @ y_row, stride_1 @ stuffed)

# %% [markdown]
# Now read the stride-1 matrix by *rows* (right picture). Every row in the middle holds the same
# three taps, moved by one: this is the matrix of an ordinary convolution with stride 1. But a row
# reads **3 2 1**. The columns hold the kernel from top to bottom, one row lower each time, so along
# a row the taps appear backwards. Nobody turned anything: *stamps read along a row are a turned
# kernel*.
#
# The first rows read "1" and "2 1", the last ones "3 2" and "3". There the kernel hangs over the
# end of the row, by up to two pixels: `k - 1` zeros have to be put around the pixels as well.

# %%
around = np.pad(stuffed, 2)  # 0 0 1 0 10 0 100 0 0
turned = row_taps[0, 0, 0, ::-1]  # 3 2 1
windows = [around[i : i + 3] for i in range(7)]
print("an ordinary convolution:         ", np.array([window @ turned for window in windows]))
assert np.array_equal([window @ turned for window in windows], stride_2 @ y_row)

# %% [markdown]
# ## 3. How many zeros
#
# [Padding](../docs/glossary.md#padding) `p` of a transposed convolution cuts `p` pixels off each
# side of the result (notebook 4, section 4). Here we need not compute these pixels in the first
# place: a window that begins `p` pixels later needs `p` zeros fewer. Along each axis, for kernel
# `k`, stride `s` and padding `p`:
#
# | where | zeros |
# |---|---|
# | between two pixels | `s - 1` |
# | before the first and behind the last | `k - 1 - p` |
# | behind the last, once more | `output_padding`: 0, if you do not ask for a larger result |
#
# The convolution itself has stride 1 and no padding, whatever the numbers are. Here with padding 1,
# and with `output_padding` 1: one more row and column of zeros, and so a result that is one row and
# one column larger. (Section 6 says what that is good for.)

# %%
show(
    zero_stuffing(y, taps, stride=2, padding=1, output_padding=1),
    alt="The four pixels on a 6 by 6 plane: one zero between them, one around them, "
    "and one more row and column at the bottom and at the right, marked as "
    "output_padding; the turned kernel; and the result of 4 by 4",
)

# %% [markdown]
# ### Your turn
#
# How many zeros have to be put before the first pixel for a kernel of 5, stride 3 and padding 1?
# And how long is the whole stuffed row, borders included, for 4 pixels (with `output_padding` 0)?
# Your answer is a pair.

# %%
my_zeros = None  # (zeros before the first pixel, length of the stuffed row)

# %%
# For a row of 4 pixels: how large the stuffed row is, and where its pixels stand.
stuffed_size, places = stuffed_geometry(
    (1, 4), kernel=(1, 5), stride=(1, 3), padding=(0, 1), output_padding=(0, 0), dilation=(1, 1)
)
right = (places[0][1], stuffed_size[1])
check_answer(
    "my_zeros",
    my_zeros,
    right,
    hints=[
        (lambda a: a[0] == 1, "A larger padding needs fewer zeros, not more."),
        (lambda a: a[0] == 4, "That is without padding."),
        (
            lambda a: a[0] == right[0] and a[1] == right[1] - 2 * right[0],
            "The zeros of the border belong to the row, too.",
        ),
        (
            lambda a: a[0] == right[0] and a[1] == right[1] + 2,
            "Behind the last pixel stands the border alone.",
        ),
        (
            lambda a: a[0] == right[0],
            "The border is right. Between two pixels there are s - 1 zeros.",
        ),
    ],
    hint="See the table above.",
)

# %% [markdown]
# ### Your turn
#
# Write the whole recipe: `y` is (H, W), `kernel` is (kh, kw), not always square; `stride`,
# `padding` and `output_padding` are whole numbers, the same along both axes; `padding` is less than
# the kernel. For the convolution call `slide`. The check draws many geometries; if one fails it
# says what your function does instead. (It uses the names of the library: the small map is `x`
# there, the kernel `w`, the result `y`.)


# %%
def slide(plane, kernel):
    """An ordinary convolution: stride 1, no padding, the kernel not turned."""
    plane, kernel = np.array(plane, float), np.array(kernel, float)
    return ops.conv2d(plane[None, None], kernel[None, None])[0, 0]


my_route = None  # replace by def my_route(y, kernel, stride, padding, output_padding): ...


# %%
def as_layer(x, w, b=None, *, stride, padding, output_padding, **_):
    """Several images and channels: every input channel goes to every output channel."""
    numbers = stride[0], padding[0], output_padding[0]
    result = []
    for image in x:
        for k in range(w.shape[1]):
            result.append(sum(my_route(image[c], w[c, k], *numbers) for c in range(len(w))))
    return np.array(result, x.dtype).reshape(len(x), w.shape[1], *result[0].shape)


def has_room(geometry):
    """Padding smaller than the kernel, and at least one pixel without output_padding."""
    sizes = zip(geometry.out_size, geometry.output_padding, strict=True)
    return max(geometry.padding) < min(geometry.kernel) and all(n > extra for n, extra in sizes)


no_more_than = Limits(
    square=("stride", "padding", "output_padding"),
    fixed={"dilation": (1, 1), "groups": 1},
    without=("b",),
    fits=has_room,
)
if my_route is None:
    print("my_route: nothing written yet")
else:
    try:
        check_op(as_layer, "conv_transpose2d", limits=no_more_than)
        print("my_route: ✓")
    except OperationError as error:
        print("my_route: ✗ not yet.", str(error).split("\n\n")[0])

# %% [markdown]
# ## 4. Three routes to the same numbers
#
# Stamps, the transposed matrix, and zero-stuffing (here by the library's own convolution, with a
# border of zeros as its padding). We draw 100 geometries at random, with different numbers along
# the two axes and whole-number values, and ask for *equal*.

# %%
rng = np.random.default_rng(5)


def by_stuffing(y, kernel, stride, padding):
    (h, w), (sh, sw) = y.shape, stride
    plane = np.zeros(((h - 1) * sh + 1, (w - 1) * sw + 1))
    plane[::sh, ::sw] = y
    border = tuple(k - 1 - p for k, p in zip(kernel.shape, padding, strict=True))
    turned = np.ascontiguousarray(kernel[::-1, ::-1])
    return ops.conv2d(plane[None, None], turned[None, None], padding=border)[0, 0]


compared = 0
while compared < 100:
    size, stride, kernel = rng.integers(1, 6, 2), rng.integers(1, 5, 2), rng.integers(2, 6, 2)
    size, stride, kernel = size.tolist(), stride.tolist(), kernel.tolist()
    padding = rng.integers(0, np.minimum(kernel, 3)).tolist()
    large = [
        (n - 1) * s + k - 2 * p for n, s, k, p in zip(size, stride, kernel, padding, strict=True)
    ]
    if min(large) < 1:
        continue  # the padding would cut everything off
    small = rng.integers(-9, 10, size).astype(float)
    w = rng.integers(-9, 10, kernel).astype(float)

    stamped = single_stamps(small, w, tuple(stride), tuple(padding)).sum(axis=0)
    A = ops.conv_matrix(w[None, None], tuple(large), tuple(stride), tuple(padding))
    multiplied = (A.T @ small.ravel()).reshape(large)
    convolved = by_stuffing(small, w, tuple(stride), tuple(padding))

    assert np.array_equal(stamped, multiplied)
    assert np.array_equal(multiplied, convolved)
    compared += 1
print(f"stamps = matrix = zero-stuffing, in each of {compared} geometries")

# %% [markdown]
# The numbers are the same; the work is not. Count the multiplications for a map of 32 × 32 pixels,
# a kernel of 4 × 4 and padding 1.

# %%
strides = np.array([1, 2, 4, 8])
side = (32 - 1) * strides + 4 - 2  # of the large map
multiplications = {
    "the whole matrix": side**2 * 32**2,
    "zero-stuffing": side**2 * 4**2,
    "stamps": np.full(4, 32**2 * 4**2),
}
print("stride           ", *(f"{stride:12d}" for stride in strides))
for name, counts in multiplications.items():
    print(f"{name:17s}", *(f"{count:12,d}" for count in counts))

# %% tags=["hide-input"]
figure, ax = plt.subplots(figsize=(7.0, 2.6), layout="constrained")
for (name, counts), dashes in zip(multiplications.items(), ("-", "--", "-"), strict=True):
    ax.plot(strides, counts, dashes, marker="o")
    ax.annotate(name, (strides[-1], counts[-1]), (8, -4), textcoords="offset points")
ax.set(xscale="log", yscale="log", xlabel="stride", ylabel="multiplications", xlim=(0.9, 13))
ax.set_xticks(strides, [str(s) for s in strides])
ax.minorticks_off()
show(
    figure,
    alt="Multiplications over the stride, both axes logarithmic: stamps stay at 16 "
    "thousand, zero-stuffing rises from there to a million at stride 8, the "
    "matrix from one million to 64 million",
)

# %% [markdown]
# Nearly all that zero-stuffing multiplies at a large stride is zeros. The recipe is good for
# *understanding*. This library computes stamps: one matrix product for all of them, then an
# addition.
#
# ## 5. Stride 1: an ordinary convolution
#
# With stride 1 there is nothing to stuff. What is left is a convolution with a turned kernel. With
# channels, the two channel axes of the weight change places too.

# %%
maps = rng.integers(-3, 4, (2, 4, 6, 7)).astype(float)  # 2 images, 4 channels
weight = rng.integers(-3, 4, (4, 3, 3, 3)).astype(float)  # from 4 channels to 3

transposed = ops.conv_transpose2d(maps, weight, stride=1, padding=1)
ordinary = ops.conv2d(
    maps, np.ascontiguousarray(weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]), padding=3 - 1 - 1
)
assert np.array_equal(transposed, ordinary)
print(maps.shape, "->", transposed.shape)

# %% [markdown]
# This is worth a second thought. All but one of the deconvolution layers of
# [DeconvNet](../docs/glossary.md#deconvnet) have kernel 3, stride 1 and padding 1. By the lines
# above each *is* an ordinary convolution layer of kernel 3 with padding 1, with its weights in
# another order. As training finds the weights, the two have the same choice. What makes DeconvNet's
# maps larger is not these layers; it is [unpooling](../docs/glossary.md#unpooling), [notebook
# 8](08_pooling_switches_unpooling.ipynb). (The one exception, `fc6-deconv`, turns one pixel into 7
# × 7: a single stamp.)
#
# ## 6. Several sizes go in, one comes out
#
# Now the question of sizes. A convolution with stride `s` moves its window by `s` pixels; if fewer
# than `s` are left at the end, the window does not move again, and they make no difference to the
# size of the output. So several input sizes give one output size: `s` of them. (Only for the
# smallest output that there is, fewer may be left: an input has at least one pixel.)


# %% tags=["hide-input"]
def sizes_picture(kernel, stride, padding, first, last):
    """Draw which input size of a convolution gives which output size."""
    picture = Picture(346, 150)
    title = f"kernel {kernel}, stride {stride}, padding {padding}"
    picture.words(2, 12, title, anchor="start", bold=True)
    picture.words(2, 50, "pixels in", anchor="start")
    picture.words(2, 130, "pixels out", anchor="start")
    met = {}
    for place, n in enumerate(range(first, last + 1)):
        out = ops.conv2d(
            np.ones((1, 1, 1, n)),
            np.ones((1, 1, 1, kernel)),
            stride=(1, stride),
            padding=(0, padding),
        ).shape[3]
        met.setdefault(out, []).append((n, 90 + 30 * place))
    hues = ["#9fd0f0", "#f7d488", "#9fdcc3"]
    for colour, (out, members) in enumerate(met.items()):
        middle = sum(x for _, x in members) / len(members)
        for n, x in members:
            picture.line([(x, 62), (middle, 118)], colour="#51606f")
            picture.cell(x - 12, 38, 24, str(n), fill=hues[colour % 3])
        picture.cell(middle - 12, 118, 24, str(out), fill=hues[colour % 3])
    return picture


show(
    side_by_side([sizes_picture(3, 2, 1, 5, 12), sizes_picture(3, 3, 0, 3, 11)], gap=24),
    alt="Left, kernel 3, stride 2, padding 1: inputs of 5 and 6 pixels give 3, of 7 "
    "and 8 give 4, of 9 and 10 give 5, of 11 and 12 give 6. Right, kernel 3, "
    "stride 3: 3, 4 and 5 give 1, 6 to 8 give 2, 9 to 11 give 3",
)

# %% [markdown]
# On the way back there is a choice, and the small map does not know the answer: three pixels may
# have come from 5 or from 6. Each of the two sizes has a convolution matrix of its own, and each
# matrix its own transpose. Here are both, with kernel 3, stride 2 and padding 1. (A window
# that begins or ends in the padding has only two taps on the row.)

# %%
both = {n: ops.conv_matrix(row_taps, (1, n), stride=(1, 2), padding=(0, 1)) for n in (5, 6)}

show(
    side_by_side(
        [
            taps_picture(both[5], width=3, title="A for 5 pixels", cell=24),
            taps_picture(both[6], width=3, title="A for 6 pixels", cell=24),
            taps_picture(both[5].T, width=3, title="transpose, 5", cell=24, beside="row"),
            taps_picture(both[6].T, width=3, title="transpose, 6", cell=24, beside="row", rows=[5]),
        ],
        gap=16,
    ),
    alt="Two matrices of three rows, with 5 and with 6 columns; the second one's "
    "last row holds all three taps, the first one's only 1 and 2. Their "
    "transposes have 5 and 6 rows; the sixth row of the second is framed and "
    "holds a tap 3",
)

# %% [markdown]
# **`output_padding` says which matrix is transposed**: 0 means the smallest size that fits, 1 the
# next one, up to `s - 1`. Along one axis the result has
#
# $$n' = (n - 1)\,s + k - 2p + \text{output padding}$$
#
# pixels, with the extra ones at the end (at the bottom and at the right of an image).
#
# The name misleads. It suggests that zeros are added to the output. Look at the framed row: it
# holds the tap 3 of the last stamp. Padding has cut that tap off when the size was 5; with size 6
# it is back.

# %%
y_row = np.array([1.0, 10.0, 100.0]).reshape(1, 1, 1, 3)
for extra in (0, 1):
    out = ops.conv_transpose2d(
        y_row, row_taps, stride=(1, 2), padding=(0, 1), output_padding=(0, extra)
    )
    print(f"output_padding={extra}: {out.shape[3]} pixels  {out.ravel()}")
    assert np.array_equal(out.ravel(), both[5 + extra].T @ y_row.ravel())

without = ops.conv_transpose2d(y_row, row_taps, stride=(1, 2), output_padding=(0, 1))
print(f"padding 0, output_padding=1: {without.ravel()}")

# %% [markdown]
# The new pixel is 300, not 0. In the zero-stuffing recipe the extra zero stands *before* the
# convolution: a window more finds room, and this window sees the last pixel. (If no
# stamp reaches the new pixel, it is 0: the last line above, with padding 0.)
#
# What if one asks for more? With `s` more pixels the convolution would have room for another
# window, and give a larger map. So no convolution takes a map of that size to the small one, there
# is no matrix to transpose, and the library says so:

# %%
try:
    ops.conv_transpose2d(y_row, row_taps, stride=(1, 2), padding=(0, 1), output_padding=(0, 2))
except ValueError as error:
    print(error)

# %% [markdown]
# ### Your turn
#
# The first layer of the networks of [He and others (2015)](https://arxiv.org/abs/1512.03385) is a
# convolution with kernel 7 and stride 2; it is usually programmed with padding 3. It takes a
# photograph of 224 × 224 to 112 × 112. You want the transpose of exactly that layer. Which
# `output_padding` does it need?

# %%
my_output_padding = None  # a whole number

# %%
options = {"stride": 2, "padding": 3}
made = [
    ops.conv_transpose2d(
        np.zeros((1, 1, 112, 112)), np.zeros((1, 1, 7, 7)), output_padding=extra, **options
    ).shape[2]
    for extra in range(2)
]
check_answer(
    "my_output_padding",
    my_output_padding,
    made.index(224),
    hints=[
        (
            lambda a: a not in (0, 1),
            "With stride 2 two sizes fit, so there are two possible answers.",
        )
    ],
    hint="Use the formula: which size do you get with 0?",
)

# %% [markdown]
# In a network, sizes are known when the program runs, not when it is written. Then ask for the
# size: the layer works `output_padding` out. Here a map of 33 × 46 pixels with 4 channels goes down
# to 8 channels through a convolution, and what comes back is added to the map that went in, as
# networks do that join coarse and fine maps. Without the size the shapes do not fit. (`nn` holds
# the layers: each is one of the operations above together with its weights, which are random here.
# They take a `Tensor`, which holds an array.)

# %%
fine = Tensor(np.ones((1, 4, 33, 46), np.float32))
down = nn.Conv2d(4, 8, kernel_size=3, stride=2, padding=1)
up = nn.ConvTranspose2d(8, 4, kernel_size=3, stride=2, padding=1)

coarse = down(fine)
print("down:           ", fine.shape, "->", coarse.shape)
print("up:             ", coarse.shape, "->", up(coarse).shape)
print("up, size asked: ", coarse.shape, "->", up(coarse, output_size=(33, 46)).shape)
total = fine + up(coarse, output_size=(33, 46))

# %% [markdown]
# ## Break it
#
# Turning the kernel is easily forgotten. Here is the recipe with a switch. Run it as it is, look at
# the two inner products (products entry by entry, added up; if they are equal for every `x` and
# `y`, one map is the transpose of the other) and at the picture. Then set `TURN = True`. Then set
# `TURN = False` again, and `KERNEL = np.ones((3, 3))`.

# %%
TURN = False
KERNEL = taps


def recipe(y, kernel, stride):
    plane = np.zeros([(n - 1) * stride + 1 for n in y.shape])
    plane[::stride, ::stride] = y
    plane = np.pad(plane, len(kernel) - 1)
    return slide(plane, kernel[::-1, ::-1] if TURN else kernel)


x = rng.integers(-9, 10, (5, 5)).astype(float)
z = rng.integers(-9, 10, (2, 2)).astype(float)
left = np.sum(ops.conv2d(x[None, None], KERNEL[None, None], stride=2) * z)
right = np.sum(x * recipe(z, KERNEL, 2))
print(
    f"<A x, y> = {left:g}   <x, recipe(y)> = {right:g}   {'equal' if left == right else 'NOT equal'}"
)

# %% tags=["hide-input"]
dot = np.array([[0.0, 0.0], [0.0, 1.0]])  # one lit pixel: its stamp is the kernel
show(
    side_by_side(
        [
            taps_picture(dot, width=3, title="one lit pixel", cell=30),
            taps_picture(
                single_stamps(dot, KERNEL, 2).sum(axis=0), width=3, title="its stamp", cell=30
            ),
            taps_picture(recipe(dot, KERNEL, 2), width=3, title="the recipe's stamp", cell=30),
        ],
        gap=40,
    ),
    alt="One lit pixel of 2 by 2; its stamp on 5 by 5 pixels at the lower right; "
    "and beside it what the recipe makes of that pixel, with the taps in the "
    "reverse order while the kernel is not turned",
)

# %% [markdown]
# Without the turn every stamp is turned by 180°; only the tap in the middle, 5, is in its place.
# And with a kernel of ones the wrong recipe passes the test, because a symmetric kernel does not
# change when it is turned. **Test with kernels that have no symmetry.**
#
# ## What the paper says
#
# - [Dumoulin and Visin, "A guide to convolution arithmetic for deep learning"
#   (2016)](https://arxiv.org/abs/1603.07285), in the chapter on transposed convolution, name the
#   matrix first and then explain every case by zero-stuffing. Our first figure is their case "no
#   zero padding, non-unit strides", with the same kernel and stride. In their last case the letter
#   *a* stands for the pixels left over; the size that they give there is the formula of section 6,
#   and *a* is `output_padding`. They too say that computing with the zeros is wasteful.
# - We differ in the middle part: they go on with zeros, we stay with the matrix. In it you *see*
#   why the kernel is turned and why sizes have to be chosen.
# - [Noh, Hong and Han (2015)](https://arxiv.org/abs/1505.04366) need no `output_padding`: their
#   layers have stride 1, and the sizes of the maps come from unpooling. The networks of [Long,
#   Shelhamer and Darrell (2015)](https://arxiv.org/abs/1411.4038) cut the enlarged maps to the size
#   that they need instead.
# - [`ConvTranspose2d` of
#   PyTorch](https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose2d.html) has the
#   same arguments with the same meaning.
# - [Shi and others (2016)](https://arxiv.org/abs/1609.07009) avoid the zeros by a fourth route:
#   exercise 2.
#
# ## Exercises
#
# **1.** Show by trying out that exactly `s` input sizes give the same output size. (Leave the
# smallest output aside: with kernel 2, stride 2 and padding 1 only an input of 1 pixel gives 1.)
#
# <details><summary>Answer</summary>
#
# ```python
# from collections import Counter
#
# for k, s, p in ((3, 2, 1), (3, 3, 0), (5, 4, 2), (2, 1, 0), (7, 3, 3)):
#     counts = Counter((n + 2 * p - k) // s + 1 for n in range(k, k + 20 * s))
#     whole = [counts[size] for size in sorted(counts)[1:-1]]  # the first and last are cut by the range
#     assert set(whole) == {s}
#     n = k + 4
#     layer = ops.conv2d(np.ones((1, 1, 1, n)), np.ones((1, 1, 1, k)), stride=(1, s), padding=(0, p))
#     assert layer.shape[3] == (n + 2 * p - k) // s + 1
# ```
#
# The output size is `floor((n + 2p - k) / s) + 1`. It changes each time `n` has grown by `s`.
# </details>
#
# **2.** A fourth route without zeros. At stride 2 an *even* output pixel meets only the taps 1, 3,
# ... of the kernel, an odd one only 2, 4, .... Split a kernel of 4 × 4 into four kernels of 2 × 2,
# run four ordinary convolutions, and interleave their results.
#
# <details><summary>Answer</summary>
#
# ```python
# small = rng.integers(-9, 10, (5, 6)).astype(float)
# w = rng.integers(-9, 10, (4, 4)).astype(float)
# large = ops.conv_transpose2d(small[None, None], w[None, None], stride=2)[0, 0]
# around = np.pad(small, 1)
# woven = np.zeros_like(large)
# for a in range(2):
#     for b in range(2):
#         part = w[a::2, b::2]  # the taps that output pixels (even + a, even + b) meet
#         woven[a::2, b::2] = slide(around, part[::-1, ::-1])
# assert np.array_equal(woven, large)
# ```
#
# As a layer this is called sub-pixel convolution. It stuffs no zeros in: four convolutions
# with four taps each, on the small map and its border.
# </details>
#
# **3.** With padding `p` larger than `k - 1` the table asks for a *negative* number of zeros. What
# does that mean? Check it with kernel 2, stride 3 and padding 2.
#
# <details><summary>Answer</summary>
#
# ```python
# row = np.array([1.0, 10.0, 100.0])
# kernel = np.array([1.0, 2.0])
# true = ops.conv_transpose2d(
#     row.reshape(1, 1, 1, 3), kernel.reshape(1, 1, 1, 2), stride=(1, 3), padding=(0, 2)
# ).ravel()
# plane = np.zeros(7)
# plane[::3] = row
# plane = plane[1:-1]  # k - 1 - p = -1: one pixel is cut off at each end
# mine = np.array([plane[i : i + 2] @ kernel[::-1] for i in range(len(plane) - 1)])
# assert np.array_equal(mine, true)
# ```
#
# Pixels of the stuffed row are cut off. The first pixel, 1, and the last one, 100, are lost
# altogether: their whole stamps lie in the border.
# </details>
#
# ## In the library
#
# - [`minideconv.ops.conv.conv_transpose2d`](../minideconv/ops/conv.py#L199): all the geometry that
#   you met here, in one docstring;
# - [`minideconv.ops.geometry.conv_transpose_output_size`](../minideconv/ops/geometry.py#L217): the
#   formula of section 6;
# - [`minideconv.ops.geometry.check_output_padding`](../minideconv/ops/geometry.py#L204): the
#   sentence that you saw, and when it is said;
# - [`minideconv.ops.geometry.output_padding_for`](../minideconv/ops/geometry.py#L249): from a
#   wanted size to `output_padding`;
# - [`minideconv.visualize.figures.stamps.stuffed`](../minideconv/visualize/figures/stamps.py#L134):
#   the table of section 3, with dilation.
#
# Next: [6: checkerboards](06_checkerboards.ipynb), what happens where stamps overlap unevenly.
