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
# # A convolution is a matrix, and "deconvolution" is its transpose
#
# A convolution slides a small kernel over an image. It is also one big matrix that multiplies the
# image, with the same nine numbers written into it again and again. Once you have *seen* that
# matrix, transposed convolution is no new operation: it is the same matrix, read by columns instead
# of by rows. That is the one idea of this notebook, and half of the DeconvNet of Noh, Hong and Han
# (2015) is built on it.
#
# You need: NumPy, and the product of a matrix and a vector. It runs in a few seconds on any CPU.

# %%
try:
    import matplotlib.pyplot as plt

    import minideconv  # noqa: F401
except ModuleNotFoundError:
    # A fresh kernel: install the package from the checkout that this notebook is in.
    import subprocess
    import sys

    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "..[viz]"], check=True)
    import matplotlib.pyplot as plt

import numpy as np
from matplotlib.patches import Rectangle

from minideconv import ops
from minideconv.visualize import ink_on, show, tap_colour, use_style

use_style()

# %% [markdown]
# ## 1. A picture of the matrix
#
# Take an image of 4 × 4 pixels and a kernel of 3 × 3. The kernel fits in four places, so the
# output has 2 × 2 pixels. To see which of the nine kernel entries (the *taps*) goes where, we give
# them the values 1 to 9: from here on a number *is* the name of a tap. The colour says the same
# thing: the hue is the row of the kernel, the shade is the column.


# %% tags=["hide-input"]
def show_taps(ax, matrix, title="", width=3, xlabel="", ylabel=""):
    """Draw a matrix whose entries are tap numbers: zeros are blank, taps are coloured squares."""
    rows, columns = matrix.shape
    for r in range(rows):
        for c in range(columns):
            tap = matrix[r, c]
            face = tap_colour(int(tap), width) if tap else "#ffffff"
            ax.add_patch(Rectangle((c, r), 1, 1, facecolor=face, edgecolor="0.5", linewidth=0.6))
            if tap:
                ink = ink_on(face)
                ax.text(c + 0.5, r + 0.53, f"{tap:g}", color=ink, ha="center", va="center", size=9)
    ax.set(xlim=(0, columns), ylim=(rows, 0), aspect="equal", title=title)
    ax.set(xlabel=xlabel, ylabel=ylabel, xticks=[], yticks=[])


taps = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)  # (C_out, C_in, kh, kw)
A = ops.conv_matrix(taps, input_size=(4, 4))

figure, axes = plt.subplots(1, 5, figsize=(7.5, 2.1), width_ratios=[3, 4, 4, 4, 4])
show_taps(axes[0], taps[0, 0], "the kernel")
for position, ax in enumerate(axes[1:]):
    top, left = divmod(position, 2)
    image = np.zeros((4, 4))
    image[top : top + 3, left : left + 3] = taps[0, 0]
    show_taps(ax, image, f"output pixel {position}")
plt.tight_layout()
show(
    figure,
    alt="A 3 by 3 kernel with its taps numbered 1 to 9, then four images of 4 by 4 "
    "pixels: the kernel lies in each of its four places",
)

# %% [markdown]
# Now unroll each of those four pictures into one row of 16 numbers, and stack the rows.

# %%
figure, ax = plt.subplots(figsize=(7.5, 2.6))
show_taps(
    ax,
    A,
    "A: one row per output pixel, one column per image pixel",
    xlabel="image pixel 0 … 15 (row by row)",
    ylabel="output pixel",
)
ax.set_yticks([0.5, 1.5, 2.5, 3.5], ["0", "1", "2", "3"])
plt.tight_layout()
show(
    figure,
    alt="The matrix A: 4 rows and 16 columns; every row holds the taps 1 to 9 in "
    "three groups of three, each row shifted to other columns",
)

# %% [markdown]
# That is all a convolution is. Every row holds the same nine weights, moved; most entries are zero.
#
# $$\mathrm{vec}(y) = A\,\mathrm{vec}(x), \qquad
# y_{pq} = \sum_{i,j} W_{ij}\, x_{p s + i - \pi,\; q s + j - \pi}$$
#
# with stride $s$ and padding $\pi$ (here $s = 1$, $\pi = 0$). Let us hold the library to it, with
# whole numbers, so that "equal" means *equal* and not "close".

# %%
rng = np.random.default_rng(0)
x = rng.integers(-3, 4, (1, 1, 4, 4)).astype(float)

print("A @ vec(x) ", A @ x.ravel())
print("conv2d(x)  ", ops.conv2d(x, taps).ravel())
assert np.array_equal(A @ x.ravel(), ops.conv2d(x, taps).ravel())

# %% [markdown]
# ### Your turn
#
# Predict before you compute: how many rows and columns has the matrix for an image of 5 × 7 pixels, the same
# kernel, stride 2 and padding 1? Write your answer in place of `None` and run the check.

# %%
my_shape = None  # (rows, columns)


# %%
def check(name, mine, right):
    """Say whether `mine` equals `right`, and if not, where they part."""
    if mine is None:
        print(f"{name}: nothing written yet")
        return
    mine, right = np.asarray(mine), np.asarray(right)
    if mine.shape != right.shape:
        print(f"{name}: ✗ your shape is {mine.shape}; it should be {right.shape}")
    elif np.array_equal(mine, right):
        print(f"{name}: ✓")
    else:
        where = tuple(int(i) for i in np.argwhere(mine != right)[0])
        print(f"{name}: ✗ at {where} you have {mine[where]:g}; it should be {right[where]:g}")


check("my_shape", my_shape, ops.conv_matrix(taps, (5, 7), stride=2, padding=1).shape)

# %% [markdown]
# ## 2. im2col: the same product, without the zeros
#
# In practice A is never multiplied: almost all of it is zeros. `im2col` copies the pixels under each
# window into a column instead. There is one column per output pixel, and the *kernel* becomes a single
# row. Same sums, no zeros, and one fast matrix product, which is how the library computes every
# convolution.

# %%
pixels = np.arange(16.0).reshape(1, 1, 4, 4)
columns = ops.im2col(pixels, (3, 3))[0]

figure, axes = plt.subplots(1, 3, figsize=(7.5, 3.4), width_ratios=[4, 9, 4])
show_taps(axes[1], taps.reshape(1, 9), "the kernel as one row")
for ax, numbers, title in (
    (axes[0], pixels[0, 0], "image (pixel numbers)"),
    (axes[2], columns, "im2col: a column\nper output pixel"),
):
    ax.imshow(numbers, cmap="Blues", vmin=-4, vmax=40)
    for (r, c), number in np.ndenumerate(numbers):
        ax.text(c, r, f"{number:g}", ha="center", va="center", color="black", fontsize=9)
    ax.set(title=title, xticks=[], yticks=[])
plt.tight_layout()
show(
    figure,
    alt="Left an image of 16 numbered pixels, in the middle the kernel as one row of "
    "nine taps, right the im2col matrix: nine rows and a column for each of the "
    "four output pixels",
)

product = taps.reshape(1, 9) @ ops.im2col(x, (3, 3))[0]
assert np.array_equal(product.ravel(), ops.conv2d(x, taps).ravel())

# %% [markdown]
# `im2col` copies pixels, so going back is a question of what to do with the copies. `col2im` *adds*
# them: each entry of a column returns to its pixel. Feed it ones and it counts how many windows
# look at each pixel. Remember the right picture: you will meet it again, as an artefact.

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(6.5, 3.0))
for ax, size, stride in ((axes[0], 4, 1), (axes[1], 7, 2)):
    windows = ops.im2col(np.ones((1, 1, size, size)), (3, 3), stride)
    counts = ops.col2im(np.ones_like(windows), (size, size), (3, 3), stride)[0, 0]
    ax.imshow(counts, cmap="cividis")
    for (r, c), count in np.ndenumerate(counts):
        colour = "white" if count <= counts.max() / 2 else "black"
        ax.text(c, r, f"{count:g}", ha="center", va="center", color=colour)
    ax.set(
        title=f"windows that see each pixel\n3 × 3 kernel, stride {stride}", xticks=[], yticks=[]
    )
plt.tight_layout()
show(
    figure,
    alt="How many 3 by 3 windows see each pixel. Stride 1 on 4 by 4 pixels: 1 in the "
    "corners, 4 in the middle. Stride 2 on 7 by 7: a checkerboard of 1, 2 and 4",
)

# %% [markdown]
# ### Your turn
#
# `col2im(im2col(x))` is not `x`. What is it? Write it with `x4` and `counts4`, and no library call.

# %%
x4 = x[0, 0]
counts4 = np.array([[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]])

my_round_trip = None  # in terms of x4 and counts4

# %%
check("my_round_trip", my_round_trip, ops.col2im(ops.im2col(x, (3, 3)), (4, 4), (3, 3))[0, 0])

# %% [markdown]
# ## 3. Turn the matrix on its side
#
# $A$ takes 16 numbers to 4. Its transpose takes 4 numbers to 16. Look at it by *columns* this time:
# column $k$ is what input pixel $k$ contributes, and that is the whole kernel, laid down at one
# place.

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 5, figsize=(7.5, 5.6), width_ratios=[4, 4, 4, 4, 4])
show_taps(axes[0], A.T, "Aᵀ", xlabel="input pixel", ylabel="output pixel 0 … 15 (row by row)")
axes[0].set_xticks([0.5, 1.5, 2.5, 3.5], ["0", "1", "2", "3"])
for pixel, ax in enumerate(axes[1:]):
    show_taps(ax, A.T[:, pixel].reshape(4, 4), f"column {pixel},\nas an image")
plt.tight_layout()
show(
    figure,
    alt="The transposed matrix of 16 rows and 4 columns; beside it each of its "
    "columns as a 4 by 4 image: the whole kernel, laid down at one of four places",
)

# %% [markdown]
# So a transposed convolution **stamps**: every input pixel lays the kernel, multiplied by the
# pixel's value, onto the output, and overlapping stamps add up. A convolution *gathers* a window
# into one number; the transpose *scatters* one number into a window.
#
# `ops.conv_transpose2d` takes the very same weight array and does exactly this.

# %%
y = rng.integers(-3, 4, (1, 1, 2, 2)).astype(float)
stamped = ops.conv_transpose2d(y, taps)

print(stamped[0, 0])
assert np.array_equal(A.T @ y.ravel(), stamped.ravel())

# %% [markdown]
# There is a test for "B is the transpose of A" that needs neither matrix. For *every* $x$ and $y$:
#
# $$\langle A x,\; y\rangle = \langle x,\; A^{\mathsf T} y\rangle$$
#
# Two inner products: one among the outputs, one among the inputs. This is the **adjoint identity**,
# and it is how the library tests every linear layer, whatever the stride, padding, dilation or
# number of channels. It is also why the library writes no backward pass for convolution: if
# $y = A x$, the gradient with respect to $x$ is $A^{\mathsf T}$ times the gradient with respect
# to $y$. **The backward pass of a convolution is the transposed convolution, and the other way
# round.**

# %%
geometry = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}
x = rng.integers(-3, 4, (2, 3, 9, 8)).astype(float)  # 2 images, 3 channels
w = rng.integers(-3, 4, (5, 3, 3, 2)).astype(float)  # 5 kernels of 3 x 2
Ax = ops.conv2d(x, w, **geometry)
y = rng.integers(-3, 4, Ax.shape).astype(float)
Aty = ops.conv_transpose2d(y, w, **geometry)

print(f"A : {x.shape} -> {Ax.shape}    Aᵀ: {y.shape} -> {Aty.shape}")
print(f"<Ax, y>  = {np.sum(Ax * y):g}")
print(f"<x, Aᵀy> = {np.sum(x * Aty):g}")
assert np.sum(Ax * y) == np.sum(x * Aty)

# %% [markdown]
# ## 4. A transpose is not an inverse
#
# The 2015 paper calls the layer "deconvolution", and the name promises too much: it does not undo a
# convolution. Watch. Below, a picture goes through a convolution of stride 2 and comes back through
# its transpose. The last panel is the pseudo-inverse $A^+$: of all the images that would have given
# the same $A x$, it picks the one with the smallest values.

# %%
rows, cols = np.mgrid[0:24, 0:24]
picture = np.where((rows - 11.5) ** 2 + (cols - 11.5) ** 2 < 100, 1.0, 0.0)  # a disc ...
picture[(rows - 11.5) ** 2 + (cols - 11.5) ** 2 < 36] = 0.3  # ... with a hole ...
picture[10:14, 2:22] = 0.8  # ... and a bar

mean = np.full((1, 1, 3, 3), 1 / 9)  # every output pixel is the mean of a window
B = ops.conv_matrix(mean, (24, 24), stride=2, padding=1)  # (144, 576)
small = B @ picture.ravel()
back = B.T @ small
least = np.linalg.lstsq(B, small, rcond=None)[0]

figure, axes = plt.subplots(2, 2, figsize=(7.5, 6.6))
for ax, image, title in (
    (axes[0, 0], picture, "x, 24 × 24"),
    (axes[0, 1], small.reshape(12, 12), "A x, 12 × 12"),
    (axes[1, 0], back.reshape(24, 24), "Aᵀ A x"),
    (axes[1, 1], least.reshape(24, 24), "A⁺ A x"),
):
    shown = ax.imshow(image, cmap="cividis")
    figure.colorbar(shown, ax=ax, fraction=0.046)
    ax.set(title=title, xticks=[], yticks=[])
plt.tight_layout()
show(
    figure,
    alt="A ring with a bar, of 24 by 24 pixels; its convolution of 12 by 12; the transpose of that, "
    "with values up to 0.4 and a grid in it; and the pseudo-inverse, with values up to 1.7",
)

print("numbers in x:", B.shape[1], "   rank of A:", np.linalg.matrix_rank(B))

# %% [markdown]
# $A^{\mathsf T}A x$ has the right *shape* and puts things in the right *place*, but the values are
# wrong (read the colour bars), and there is a grid in it: it is the count picture from section 2.
# Some pixels collect four stamps, their neighbours two or one. The pseudo-inverse gets the scale
# right, but even it cannot bring back what the rank has lost: 576 numbers went through 144.
#
# So why do networks use it? Because its weights are **learned**. The layer does not undo anything;
# it offers the right wiring, *one coarse pixel spreads over a neighbourhood*, and training finds
# weights that make the spread useful.
#
# ## 5. Two sizes go in, one comes out: `output_padding`
#
# With stride 2, rows of 5 and of 6 pixels give an output of the same size. Here are both matrices
# (one-dimensional, so that they fit on the page):

# %%
row_taps = np.arange(1.0, 4.0).reshape(1, 1, 1, 3)

figure, axes = plt.subplots(1, 2, figsize=(6.5, 1.9), width_ratios=[5, 6])
for ax, width in zip(axes, (5, 6), strict=True):
    matrix = ops.conv_matrix(row_taps, (1, width), stride=(1, 2))
    show_taps(ax, matrix, f"{width} pixels in, {matrix.shape[0]} out")
plt.tight_layout()
show(
    figure,
    alt="Two matrices of two rows with the taps 1, 2, 3 at stride 2: one has five "
    "columns, the other six, of which the last is empty",
)

for width in (5, 6):
    x_row = np.zeros((1, 1, 1, width))
    print(f"{width} pixels -> {ops.conv2d(x_row, row_taps, stride=(1, 2)).shape[3]}")

# %% [markdown]
# The sixth pixel's column is empty: no window reaches it. The way back therefore has a choice, 5 or
# 6, and nothing in the two numbers that go in can decide it. `output_padding` is that choice: the
# number of pixels at the end that the stride left over. It chooses *which matrix is transposed*. It is
# not a border of zeros added afterwards (exercise 3).

# %%
y_row = np.array([10.0, 100.0]).reshape(1, 1, 1, 2)
for left_over in (0, 1):
    out = ops.conv_transpose2d(y_row, row_taps, stride=(1, 2), output_padding=(0, left_over))
    print(f"output_padding={left_over}: {out.shape[3]} pixels", out.ravel())

try:
    ops.conv_transpose2d(y_row, row_taps, stride=(1, 2), output_padding=(0, 2))
except ValueError as error:
    print("output_padding=2:", error)

# %% [markdown]
# ## 6. Break it
#
# Many textbooks describe the transpose as "put zeros between the pixels, then convolve". That is
# right, **if** the kernel is turned by 180° first. Here is that recipe, with a switch. Run it as it
# is, look at the two inner products and at the difference, then set `TURN = True`.

# %%
TURN = False


def zero_stuffing(y, weight, stride):
    """A transposed convolution of one channel, by the textbook recipe."""
    k = weight.shape[2]
    high, wide = ((n - 1) * stride + 1 for n in y.shape[2:])
    stuffed = np.zeros((1, 1, high, wide))
    stuffed[:, :, ::stride, ::stride] = y
    kernel = weight[:, :, ::-1, ::-1] if TURN else weight
    return ops.conv2d(stuffed, kernel, padding=k - 1)


x = rng.integers(-3, 4, (1, 1, 5, 5)).astype(float)
y = rng.integers(-3, 4, (1, 1, 2, 2)).astype(float)
left = np.sum(ops.conv2d(x, taps, stride=2) * y)
right = np.sum(x * zero_stuffing(y, taps, 2))
print(
    f"<Ax, y> = {left:g}   <x, By> = {right:g}   {'equal' if left == right else 'NOT the transpose'}"
)

# The matrix of any linear map: feed it one pixel at a time, and each answer is a column.
unit = np.eye(4).reshape(4, 1, 1, 2, 2)
mine = np.stack([zero_stuffing(e[None, 0], taps, 2).ravel() for e in unit], axis=1)
true = ops.conv_matrix(taps, (5, 5), stride=2).T

figure, axes = plt.subplots(1, 3, figsize=(5.2, 6.2))
show_taps(axes[0], true, "Aᵀ")
show_taps(axes[1], mine, "the recipe")
axes[2].imshow(mine != true, cmap="Reds", vmin=0, vmax=1.4, aspect="equal")
axes[2].set(title="where they differ", xticks=[], yticks=[])
plt.tight_layout()
show(
    figure,
    alt="The transposed matrix, that of the recipe, and where the two differ: at "
    "every tap but the middle one, while the kernel is not turned",
)

# %% [markdown]
# Only tap 5, the centre, is right: a turn by 180° leaves it in place. One more lesson hides here. Had
# we tested with a *symmetric* kernel, like `mean` above, the wrong recipe would have passed. Test
# linear maps with kernels that have no symmetry.
#
# ## Exercises
#
# **1.** Draw the matrix for stride 2 and padding 1 on a 5 × 5 image. Why do some rows have fewer
# than nine entries, and where did the missing taps go?
#
# <details><summary>Answer</summary>
#
# ```python
# padded = ops.conv_matrix(taps, (5, 5), stride=2, padding=1)
# figure, ax = plt.subplots(figsize=(7.5, 3))
# show_taps(ax, padded, "stride 2, padding 1")
# assert [int(n) for n in (padded != 0).sum(axis=1)] == [4, 6, 4, 6, 9, 6, 4, 6, 4]
# ```
#
# The windows at the border hang over the edge. Those taps multiply the padding's zeros, so they have
# no column. Zero padding is not a bigger image; it is a smaller row.
# </details>
#
# **2.** The answers to the two "your turn" cells.
#
# <details><summary>Answer</summary>
#
# ```python
# my_shape = (3 * 4, 5 * 7)  # floor((5 + 2 - 3) / 2) + 1 = 3 rows, floor((7 + 2 - 3) / 2) + 1 = 4 columns
# my_round_trip = x4 * counts4  # each pixel comes back once for every window that saw it
# check("my_shape", my_shape, ops.conv_matrix(taps, (5, 7), stride=2, padding=1).shape)
# again = ops.col2im(ops.im2col(x4[None, None], (3, 3)), (4, 4), (3, 3))[0, 0]
# check("my_round_trip", my_round_trip, again)
# assert my_shape == ops.conv_matrix(taps, (5, 7), stride=2, padding=1).shape
# assert np.array_equal(my_round_trip, again)
# ```
# </details>
#
# **3.** Show that `output_padding=1` is *not* the same as appending a zero: find a padding for
# which the extra pixel receives something.
#
# <details><summary>Answer</summary>
#
# ```python
# kwargs = {"stride": (1, 2), "padding": (0, 1)}
# short = ops.conv_transpose2d(y_row, row_taps, **kwargs)
# long = ops.conv_transpose2d(y_row, row_taps, **kwargs, output_padding=(0, 1))
# print(short.ravel(), long.ravel())
# assert np.array_equal(long[..., :-1], short)
# assert long[0, 0, 0, -1] == 300  # the last stamp's third tap, which padding=1 had cut off
# ```
#
# With padding, the transpose cuts pixels off at both ends. `output_padding` gives the ones at the
# far end back, with their values.
# </details>
#
# ## What to take with you
#
# - Convolution is a sparse matrix with one kernel's weights; `im2col` is the way to multiply by it fast.
# - Transposed convolution multiplies by that matrix's transpose: it stamps where convolution gathers.
# - Each is the other's backward pass, and $\langle Ax, y\rangle = \langle x, A^{\mathsf T}y\rangle$ tests it.
# - A transpose has the shape of an inverse, not the values.
#
# Next: *Pooling, switches and unpooling*, the other half of DeconvNet. Read along in the code:
# `minideconv/ops/conv.py`, from `im2col` down.
