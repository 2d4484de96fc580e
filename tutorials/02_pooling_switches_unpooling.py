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
# # Pooling, switches and unpooling
#
# Max pooling keeps the largest value of each window and forgets where it stood. For naming what is in
# a picture that is welcome; for drawing its outline it is a disaster. DeconvNet's answer is to *remember*: each
# pooling writes down which pixel won (a **switch**), and on the way back up the unpooling layer puts
# values at exactly these pixels. That is the one idea of this notebook: **pooling with its switches
# is a matrix with a single 1 in every row, and unpooling is its transpose.**
#
# It follows *A convolution is a matrix, and "deconvolution" is its transpose*, and runs in a few
# seconds on any CPU.

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
from matplotlib.patches import Rectangle

from minideconv import ops
from minideconv.data import Shapes
from minideconv.visualize import show, use_style

use_style()

# %% [markdown]
# ## 1. A map of the switches
#
# Six by six numbers, cut into windows of 2 × 2. The circles are the switches: the winner of each
# window. On the right is what unpooling makes of the pooled values: each returns to its circle, and
# everything that lost is gone (the grey numbers).

# %%
x = np.array(
    [
        [3, 1, 0, 2, 5, 4],
        [7, 2, 6, 1, 0, 3],
        [0, 4, 1, 1, 8, 2],
        [5, 9, 3, 0, 6, 1],
        [2, 2, 4, 7, 1, 0],
        [1, 6, 5, 3, 2, 9],
    ],
    dtype=float,
)[None, None]  # (N, C, H, W) = (1, 1, 6, 6)
y, switches = ops.max_pool2d(x, 2, return_switches=True)
z = ops.max_unpool2d(y, switches)


# %% tags=["hide-input"]
def numbers(ax, plane, title, faint=None, cells=1, circles=()):
    """Draw a plane as squares with numbers; `faint` are grey ghosts where the plane is 0."""
    ax.imshow(plane, cmap="Oranges", vmin=0, vmax=14)
    height, width = plane.shape
    for (r, c), value in np.ndenumerate(plane):
        ghost = faint is not None and value == 0
        shown = faint[r, c] if ghost else value
        ax.text(c, r, f"{shown:g}", ha="center", va="center", color="0.42" if ghost else "black")
    for r in range(0, height, cells):
        for c in range(0, width, cells):
            box = Rectangle((c - 0.5, r - 0.5), cells, cells, fill=False, edgecolor="0.3")
            ax.add_patch(box)
    for index in circles:
        r, c = divmod(int(index), width)
        ax.add_patch(plt.Circle((c, r), 0.4, fill=False, edgecolor="tab:blue", linewidth=1.8))
    ax.set(title=title, xticks=[], yticks=[])


figure, axes = plt.subplots(1, 3, figsize=(7.5, 3.3), width_ratios=[6, 3, 6])
winners = switches.indices.ravel()
numbers(axes[0], x[0, 0], "x and its switches", cells=2, circles=winners)
numbers(axes[1], y[0, 0], "max_pool2d(x)")
numbers(axes[2], z[0, 0], "max_unpool2d", faint=x[0, 0], cells=2, circles=winners)
plt.tight_layout()
show(
    figure,
    alt="6 by 6 numbers in windows of 2 by 2, the largest of each window in a circle; "
    "the 3 by 3 maxima; and the unpooled plane, in which each maximum stands in "
    "its circle again and the other numbers are ghosts",
)

# %% [markdown]
# A switch is stored as one number: `row * width + column` in the plane that was pooled. The shape of
# that plane travels with it, so unpooling does not need the output size as an argument.

# %%
print(switches)
print(switches.indices[0, 0])

# %% [markdown]
# ### Your turn
#
# The window in the middle of the bottom row holds 4, 7, 5, 3. Work out its switch on paper, then
# check. (Rows and columns count from 0.)

# %%
my_switch = None


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


check("my_switch", my_switch, switches.indices[0, 0, 2, 1])

# %% [markdown]
# ## 2. The matrix
#
# The maximum is not linear: which pixel wins depends on the data. But once the switches are written
# down, what is left is. Each output is *one chosen input*: a row with a single 1. Call that matrix $G$, for
# gather.

# %%
G = np.zeros((9, 36))
G[np.arange(9), winners] = 1

figure, axes = plt.subplots(1, 2, figsize=(7.5, 5), width_ratios=[36, 12])
for ax, matrix, title in ((axes[0], G, "G (pooling)"), (axes[1], G.T, "Gᵀ (unpooling)")):
    ax.imshow(matrix, cmap="Oranges", vmin=0, vmax=1.3)
    ax.set_xticks(np.arange(-0.5, matrix.shape[1]), minor=True)
    ax.set_yticks(np.arange(-0.5, matrix.shape[0]), minor=True)
    ax.grid(which="minor", color="0.6", linewidth=0.4)
    ax.tick_params(which="both", length=0)
    ax.set(title=title, xticks=[], yticks=[])
axes[0].set(xlabel="pixel of x", ylabel="pixel of y")
plt.tight_layout()
show(
    figure,
    alt="The matrix of the gather, 9 rows with a single 1 each, and its transpose, "
    "the matrix of unpooling, 9 columns with a single 1 each",
)

assert np.array_equal(G @ x.ravel(), y.ravel())  # pooling
assert np.array_equal(G.T @ y.ravel(), z.ravel())  # unpooling
assert np.array_equal(ops.max_pool2d_backward(y, switches), z)  # and the gradient of pooling

# %% [markdown]
# The last line is worth a second look. The gradient of a maximum flows to the winner and to no
# other pixel, so **the backward pass of pooling is unpooling** (as long as windows do not overlap: section 4).
# And the backward pass of unpooling gathers, which is pooling with the switches held still.
#
# ## 3. Who wins a tie?
#
# Equal values are not rare in a network. Behind a ReLU, a window that is zero throughout is a tie of all its
# pixels. The rule here, as in PyTorch and Caffe, is: **the first in row-major order**. On a flat
# image all the switches therefore sit in the top left corner of their windows.

# %%
flat = np.zeros((1, 1, 6, 6))
flat[0, 0, 2:4, 2:4] = [[0, 5], [5, 0]]  # two fives: another tie
pooled, flat_switches = ops.max_pool2d(flat, 2, return_switches=True)

figure, axes = plt.subplots(1, 2, figsize=(5.5, 2.9), width_ratios=[6, 3])
numbers(axes[0], flat[0, 0], "ties everywhere", cells=2, circles=flat_switches.indices.ravel())
numbers(axes[1], pooled[0, 0], "pooled")
plt.tight_layout()
show(
    figure,
    alt="A plane of zeros with two fives on a diagonal, in windows of 2 by 2: every "
    "switch is in the top left corner of its window, or at the first of the two "
    "fives; beside it the pooled plane",
)

rng = np.random.default_rng(0)
activations = np.maximum(rng.standard_normal((1, 64, 64, 64)), 0)  # ReLU of noise
share = np.mean(ops.max_pool2d(activations, 2) == 0)
print(f"windows of 2 x 2 that are all zero behind a ReLU: {share:.1%} (expected: 1/16)")

# %% [markdown]
# ## 4. A puzzle: two windows, one winner
#
# Let the windows overlap: 3 × 3, stride 2. Now one bright pixel can win twice. When we unpool, two
# values want the same place. There are two rules: the last one stays (`"assign"`), or both are summed
# (`"add"`).

# %%
x = np.zeros((1, 1, 5, 5))
x[0, 0, 2, 2] = 9  # in the middle: every window sees it
x[0, 0, 0, 0], x[0, 0, 4, 3] = 3, 5
y, switches = ops.max_pool2d(x, 3, stride=2, return_switches=True)
marks = np.array([1.0, 2, 3, 4]).reshape(1, 1, 2, 2)  # recognisable values to send back

figure, axes = plt.subplots(2, 2, figsize=(6, 6))
axes = axes.ravel()
numbers(axes[0], x[0, 0], "x and its switches", circles=switches.indices.ravel())
numbers(axes[1], marks[0, 0], "send back")
for ax, rule in ((axes[2], "assign"), (axes[3], "add")):
    numbers(ax, ops.max_unpool2d(marks, switches, duplicates=rule)[0, 0], f'"{rule}"')
plt.tight_layout()
show(
    figure,
    alt="A 5 by 5 plane whose middle wins all four overlapping windows; the values 1 to 4 to be "
    "sent back; with assign the middle receives the last of them, 4, with add their sum, 10",
)

# %% [markdown]
# Which rule is right? It depends on the question, and here are the two questions. *Decide before you run
# the cell* which rule each of them calls for:
#
# 1. **Round trip.** Pool, unpool, pool again: do we get the same pooled map?
# 2. **Adjoint.** Is it the transpose of the gather, $\langle Gx, y\rangle = \langle x, Uy\rangle$?

# %%
x = rng.integers(0, 100, (1, 4, 9, 9)).astype(float)  # not negative, as behind a ReLU
y, switches = ops.max_pool2d(x, 3, stride=2, return_switches=True)
v = rng.integers(-9, 10, y.shape).astype(float)

print("rule      round trip   adjoint of the gather")
for rule in ("assign", "add"):
    again = ops.max_pool2d(ops.max_unpool2d(y, switches, duplicates=rule), 3, stride=2)
    Gx = ops.max_unpool2d_backward(
        x, switches, duplicates="add"
    )  # the plain gather: x at the switches
    adjoint = np.sum(Gx * v) == np.sum(x * ops.max_unpool2d(v, switches, duplicates=rule))
    print(f"{rule:8}  {np.array_equal(again, y)!s:11}  {adjoint}")

# %% [markdown]
# Each rule answers one. The paper wants values put back, so unpooling assigns (its Caffe code does,
# PyTorch does, and it is the default here). The gradient of pooling wants *everything* that flowed
# out of a pixel to flow back to it, so `max_pool2d_backward` adds.
#
# Assigning has a trap of its own: its backward pass must send the gradient only to the value that
# *stayed*. The overwritten ones had no influence on the output. Libraries that gather at every switch get
# this wrong for overlapping windows. Here forward and backward are transposes for both rules:

# %%
dz = rng.integers(-9, 10, x.shape).astype(float)
for rule in ("assign", "add"):
    left = np.sum(ops.max_unpool2d(v, switches, duplicates=rule) * dz)
    right = np.sum(v * ops.max_unpool2d_backward(dz, switches, duplicates=rule))
    print(f'"{rule}":  <U v, dz> = {left:g}   <v, Uᵀ dz> = {right:g}')
    assert left == right

# %% [markdown]
# ## 5. Why bother? Outlines
#
# Here is a feature map of the kind that the first layers of a network hold: a convolution that
# answers at edges, behind a ReLU. We pool it twice, from 96 × 96 to 24 × 24, and go back up without
# learning anything: once by bilinear upsampling, once through the switches.

# %%
pictures = Shapes("val", size=96, difficulty="easy")
sobel = np.array([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]]) / 12
edge_weight = np.stack([sobel, -sobel, sobel.T, -sobel.T])[:, None].repeat(
    3, axis=1
)  # (4, 3, 3, 3)


def edges(number):
    """A picture of the set as (H, W, 3) bytes, and where it has edges: (1, 1, H, W), not negative."""
    image = pictures[number][0]
    x = ops.pad(image.transpose(2, 0, 1)[None] / 255.0, (1, 1, 1, 1), mode="replicate")
    answers = ops.relu(ops.conv2d(x, edge_weight))  # four directions
    return image, ops.relu(answers.sum(axis=1, keepdims=True) - 0.06)


def pool_twice(x):
    """(N, C, H, W) -> (N, C, H/4, W/4) and the two maps of switches."""
    y1, s1 = ops.max_pool2d(x, 2, return_switches=True)
    y2, s2 = ops.max_pool2d(y1, 2, return_switches=True)
    return y2, s1, s2


def unpool_twice(y, s1, s2):
    """Undo `pool_twice`: last in, first out."""
    return ops.max_unpool2d(ops.max_unpool2d(y, s2), s1)


image, x = edges(8)
y, s1, s2 = pool_twice(x)
bilinear = ops.interpolate(y, size=(96, 96), mode="bilinear")
unpooled = unpool_twice(y, s1, s2)
stamp = np.outer([1.0, 4, 6, 4, 1], [1.0, 4, 6, 4, 1]).reshape(1, 1, 5, 5) / 36  # 1 in the middle
filled = ops.conv_transpose2d(unpooled, stamp, padding=2)

figure, axes = plt.subplots(2, 3, figsize=(7.5, 5.6))
for ax, shown, title in zip(
    axes.ravel(),
    (image, x[0, 0], y[0, 0], bilinear[0, 0], unpooled[0, 0], filled[0, 0]),
    (
        "picture, 96 × 96",
        "edges",
        "pooled twice, 24 × 24",
        "bilinear upsampling",
        "unpooling",
        "unpooling, then a 5 × 5 stamp",
    ),
    strict=True,
):
    ax.imshow(shown, cmap="magma", vmin=0, vmax=0.8 * x.max())
    ax.set(title=title, xticks=[], yticks=[])
plt.tight_layout()
show(
    figure,
    alt="A drawn picture, its edges, the edges pooled twice to 24 by 24 pixels, and "
    "three ways back: bilinear upsampling blurs the outlines, unpooling gives "
    "dots on them, and a 5 by 5 stamp at each dot makes them lines",
)

# %% [markdown]
# Bilinear upsampling smears 24 × 24 numbers over the picture: the lines are four pixels thick and more.
# Unpooling has the same numbers, at most one in sixteen pixels, but each stands *exactly* where
# it was found. The last panel lays down a small fixed stamp at each of them, a transposed convolution, and the
# dots join into lines.
#
# That is the decoder of DeconvNet in one sentence: *unpooling places, deconvolution fills in*. In the
# network the stamps are not fixed; the next notebook lets them learn.
#
# ## 6. Break it
#
# Where is the outline stored: in the values or in the switches? Take the values of this picture and
# the switches of another one. Set `OTHER = 8` to see the right ones again, and try others.

# %%
OTHER = 1

other_image, other_x = edges(OTHER)
_, other1, other2 = pool_twice(other_x)
wrong = unpool_twice(y, other1, other2)

figure, axes = plt.subplots(2, 2, figsize=(6.5, 7))
axes = axes.ravel()
for ax, shown, title in (
    (axes[0], image, "values from here"),
    (axes[1], other_image, "switches from here"),
    (axes[2], filled[0, 0], "its own switches"),
    (axes[3], ops.conv_transpose2d(wrong, stamp, padding=2)[0, 0], "the other's switches"),
):
    ax.imshow(shown, cmap="magma", vmin=0, vmax=0.8 * x.max())
    ax.set(title=title, xticks=[], yticks=[])
plt.tight_layout()
show(
    figure,
    alt="The picture whose values are used, the picture whose switches are used, the "
    "outlines drawn with its own switches, and those with the other picture's, "
    "which are broken up",
)

for title, planes in (("its own", unpooled), ("the other's", wrong)):
    kept = np.mean(planes[planes > 0] == x[planes > 0])
    print(f"{title:12} switches: {kept:.0%} of the values stand where they were found")

# %% [markdown]
# The blocks of 4 × 4 are where they belong: that much is in the *values*. But inside each block the
# point has moved to wherever the other picture had its maximum, and where the other picture is empty
# (a tie!) to the top left corner. The outline breaks up. The fine position is in the *switches*.
#
# ## Exercises
#
# **1.** Write unpooling yourself: two lines of NumPy that turn `y` and `switches.indices` into the
# unpooled planes (for windows that do not overlap). Check it against the library.
#
# <details><summary>Answer</summary>
#
# ```python
# def my_unpool(y, switches):
#     n, c = y.shape[:2]
#     height, width = switches.plane_shape
#     planes = np.zeros((n, c, height * width))
#     np.put_along_axis(planes, switches.indices.reshape(n, c, -1), y.reshape(n, c, -1), axis=2)
#     return planes.reshape(n, c, height, width)
#
#
# small, where = ops.max_pool2d(edges(8)[1], 2, return_switches=True)
# check("my_unpool", my_unpool(small, where), ops.max_unpool2d(small, where))
# assert np.array_equal(my_unpool(small, where), ops.max_unpool2d(small, where))
# check("my_switch", 4 * 6 + 3, 27)  # and the answer of section 1: row 4, column 3, width 6
# ```
# </details>
#
# **2.** The round trip of section 4 needs values that are not negative. Find a smallest possible `x`,
# even with windows that do not overlap, for which pool(unpool(pool(x))) differs from pool(x).
#
# <details><summary>Answer</summary>
#
# ```python
# x = np.array([-1.0, -2.0]).reshape(1, 1, 1, 2)
# y, where = ops.max_pool2d(x, (1, 2), return_switches=True)
# again = ops.max_pool2d(ops.max_unpool2d(y, where), (1, 2))
# print(y.ravel(), again.ravel())
# assert y[0, 0, 0, 0] == -1 and again[0, 0, 0, 0] == 0
# ```
#
# The unpooled plane is filled with zeros, and zero beats -1. Behind a ReLU this cannot happen.
# </details>
#
# **3.** A plane of 5 × 5 pooled by 2 × 2 gives 2 × 2, and so does one of 4 × 4. What does
# `max_unpool2d` do about it, and what does it put into the fifth row?
#
# <details><summary>Answer</summary>
#
# ```python
# odd = np.arange(25.0).reshape(1, 1, 5, 5)
# y, where = ops.max_pool2d(odd, 2, return_switches=True)
# back = ops.max_unpool2d(y, where)
# print(where, back.shape)
# assert back.shape == (1, 1, 5, 5) and not back[..., 4, :].any()
# ```
#
# The switches remember that the plane was 5 × 5, so the result is 5 × 5. No window saw the fifth row, so
# it stays zero. Compare `output_padding` in the first notebook: the same lost remainder, but a
# transposed convolution has no memory and needs it as an argument.
# </details>
#
# ## What to take with you
#
# - A switch is the place of a maximum; with the switches held still, pooling is a matrix with one 1
#   in each row, and unpooling is its transpose.
# - Ties go to the first pixel in row-major order. A network full of ReLUs has many.
# - Overlapping windows: assign to put values back, add to send gradients back.
# - Values say *what*, switches say *where*. Unpooling places; the layers behind it fill in.
#
# Next: *Training DeconvNet, and watching it draw*. Read along in the code:
# `minideconv/ops/switches.py`, `pooling.py`, `unpooling.py`.
