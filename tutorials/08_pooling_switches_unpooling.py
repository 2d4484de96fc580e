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
# Max pooling keeps the largest value of each window and forgets where it stood. DeconvNet *remembers*: its
# pooling layers write down which pixel won (a **switch**), and on the way back up the unpooling layers put values at exactly these
# pixels. The idea of this notebook: **with the switches held still, pooling is a matrix with a single 1 in every
# row; its transpose is the backward pass of pooling. Unpooling is the same transpose only as long as no two
# windows chose the same pixel. When they did, unpooling keeps one of the two values, and the transpose adds them.**
#
# You need the transpose of a matrix (notebook 3) and the backward pass as an adjoint (notebook 7, *The backward pass of a
# convolution*, which comes just before). It runs in a few seconds on any CPU.

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

from minideconv import ops
from minideconv.data import Shapes
from minideconv.testing import OperationError, check_answer, check_op
from minideconv.visualize import Picture, show, switch_map, use_style
from minideconv.visualize.figures.style import HUES, INK, MUTED

use_style()

# %% [markdown]
# ## 1. Follow the threads
#
# Sixteen numbers, cut into four [windows](../docs/glossary.md#window) of 2 × 2. [Max
# pooling](../docs/glossary.md#max-pooling) takes the largest number of each window. Follow a thread from the left:
# from the winner in its window, to its place among the pooled numbers, and on to where
# [unpooling](../docs/glossary.md#unpooling) puts it: back to the pixel it came from. In the unpooled plane there are
# zeros in the places of the losers; the small grey numbers beside the zeros only recall what stood there.

# %% tags=["hide-input"]
THREADS = (HUES[0], HUES[1], HUES[2], HUES[3])  # one for each window
CELL, TOP = 46.0, 44.0


def cells(picture, left, top, shape, title=""):
    """Draw empty cells with a title above."""
    picture.words(left, top - 20, title, anchor="start", bold=True)
    for r, c in np.ndindex(shape):
        picture.box(left + c * CELL, top + r * CELL, CELL, CELL, fill="#ffffff", stroke="#c3ccd4")


def middle_of(left, top, r, c):
    return left + (c + 0.5) * CELL, top + (r + 0.5) * CELL


def numbers(picture, left, top, array, ghosts=None):
    """Write numbers; where `array` is 0 and `ghosts` is not, also the ghost, small and grey."""
    for (r, c), value in np.ndenumerate(array):
        x, y = middle_of(left, top, r, c)
        if ghosts is not None and value == 0 and ghosts[r, c] != 0:
            picture.dot(x - 13, y - 13, 6, fill="#ffffff", stroke="#ffffff", line=0)
            picture.words(x - 13, y - 13, f"{ghosts[r, c]:g}", size=11.0, colour=MUTED)
        picture.dot(x, y, 9, fill="#ffffff", stroke="#ffffff", line=0)
        picture.words(x, y, f"{value:g}", size=15.0)


def threads(plane, kernel, stride, sent=None, rule="assign", titles=("x", "pooled", "unpooled")):
    """Draw winners, pooled numbers and unpooled ones of four windows, joined by threads."""
    pooled, switches = ops.max_pool2d(plane[None, None], kernel, stride, return_switches=True)
    values = pooled if sent is None else sent[None, None]
    unpooled = ops.max_unpool2d(values, switches, duplicates=rule)[0, 0]
    values, places = values[0, 0], switches.indices.ravel().tolist()
    (high, wide), (rows, columns) = plane.shape, values.shape
    left, right = 4.0, 4 + wide * CELL + 250
    centre, low = (left + right + wide * CELL - columns * CELL) / 2, TOP + high * CELL + 20
    picture = Picture(right + wide * CELL + 4, low + rows * CELL + 30)
    cells(picture, left, TOP, plane.shape, titles[0])
    cells(picture, right, TOP, plane.shape, titles[2])
    cells(picture, centre, low, values.shape)
    below = centre + columns * CELL / 2, low + rows * CELL + 16
    picture.words(*below, titles[1], bold=True)
    for k, (r, c) in enumerate(np.ndindex(rows, columns)):
        inset = 3.0 if stride == kernel else 2.0 + 2.6 * k
        corner = left + c * stride * CELL + inset, TOP + r * stride * CELL + inset
        side = kernel * CELL - 2 * inset
        picture.box(*corner, side, side, stroke=THREADS[k], line=2.0, about=f"window {k}")
    for k, place in enumerate(places):
        r, c = divmod(place, wide)
        up, down = middle_of(left, TOP, r, c), middle_of(right, TOP, r, c)
        end = middle_of(centre, low, *divmod(k, columns))
        lost = rule == "assign" and place in places[k + 1 :]  # overwritten by a later one
        look = {"colour": THREADS[k], "line": 2.4}
        picture.line([up, end], **look, about=f"thread {k} of pooling")
        along = np.array(down) - end
        stop = np.array(down) - along * (17 / np.hypot(*along))
        picture.line([end, tuple(stop)], **look, arrow=True, dashed=lost, about=f"thread {k} back")
    for k, place in enumerate(places):
        radius = 15 + 3.0 * places[:k].count(place)
        r, c = divmod(place, wide)
        places_of_circles = (
            (*middle_of(left, TOP, r, c), radius, radius == 15),
            (*middle_of(centre, low, *divmod(k, columns)), 15, True),
            (*middle_of(right, TOP, r, c), 15, True),
        )
        for x, y, size, filled in places_of_circles:
            fill = "#ffffff" if filled else "none"
            picture.dot(x, y, size, fill=fill, stroke=THREADS[k], line=2.4)
    numbers(picture, left, TOP, plane)
    numbers(picture, centre, low, values)
    numbers(picture, right, TOP, unpooled, plane)
    return picture


# %%
plane = np.array([[3, 1, 0, 2], [7, 2, 6, 1], [0, 4, 1, 1], [5, 9, 3, 8]], dtype=float)
x = plane[None, None]  # (N, C, H, W) = (1, 1, 4, 4)
y, switches = ops.max_pool2d(x, 2, return_switches=True)
z = ops.max_unpool2d(y, switches)

# %% tags=["hide-input"]
show(
    threads(plane, kernel=2, stride=2),
    alt="4 by 4 numbers in four framed windows of 2 by 2. From the winners 7, 6, 9 and 8 coloured "
    "threads lead to the 2 by 2 pooled numbers, and on to the same pixels of the unpooled plane, "
    "in which zeros stand for the losers, with small grey ghosts beside them",
)

# %% [markdown]
# Where a winner stood is its *[switch](../docs/glossary.md#switches)*. The library stores it as one number,
# `row * width + column` in the plane that was pooled, with rows and columns counted from 0. The plane's shape travels
# along, so unpooling needs no output size. The 7 stands in row 1, column 0 of a plane of width 4: its switch is 4.
# (The shape that is printed is that of the pooled map, $(N, C, H', W')$.)

# %%
print(switches)
print(switches.indices[0, 0])

# %% [markdown]
# ### Your turn
#
# Here is a larger plane, and its nine windows. What is the switch of the window in the middle of the right-hand side
# (the one that holds 2, 6, 8, 1)?

# %%
large = np.array(
    [
        [3, 1, 0, 2, 5, 4],
        [7, 2, 6, 1, 0, 3],
        [0, 4, 1, 1, 2, 6],
        [5, 9, 3, 0, 8, 1],
        [2, 2, 4, 7, 1, 0],
        [1, 6, 5, 3, 2, 9],
    ],
    dtype=float,
)

# %% tags=["hide-input"]
windows = Picture(6 * CELL + 40, 6 * CELL + 50)
cells(windows, 30, 44, large.shape)
numbers(windows, 30, 44, large)
for r, c in np.ndindex(3, 3):
    windows.box(30 + 2 * c * CELL, 44 + 2 * r * CELL, 2 * CELL, 2 * CELL, stroke=INK, line=2.4)
for k in range(6):
    windows.words(30 + (k + 0.5) * CELL, 32, str(k), colour=MUTED)
    windows.words(18, 44 + (k + 0.5) * CELL, str(k), colour=MUTED)
show(
    windows,
    alt="A plane of 6 by 6 numbers in nine framed windows, with rows and columns numbered 0 to 5",
)

# %%
my_switch = None

# %% tags=["hide-input"]
_, large_switches = ops.max_pool2d(large[None, None], 2, return_switches=True)
check_answer(
    "my_switch",
    my_switch,
    large_switches.indices[0, 0, 1, 2],
    hints=[
        (lambda a: len(a) == 2, "A switch is one number: row * width + column."),
        (lambda a: a in (2, 3), "Counted in the whole plane, not inside the window."),
        (lambda a: a == large.max() - 1, "Where does the number stand? Not: how large is it."),
        (lambda a: a == 4 * 6 + 3, "row * width + column, not column * width + row."),
        (lambda a: a == 4 * 6 + 5, "Rows and columns are counted from 0."),
        (lambda a: a == 3 * 4 + 4, "This plane is 6 pixels wide."),
    ],
    hint="Find the largest of the four, its row and its column; then row * width + column.",
)

# %% [markdown]
# ## 2. The matrix
#
# The maximum is not linear: which pixel wins depends on the numbers. But once the switches are written
# down, what is left is linear: each output is *one chosen input*. So there is a matrix, with a single 1 in every row. We call it
# $G$, for *[gather](../docs/glossary.md#gather)*. It has a row per pooled number and a column per pixel of `x`; the colours are those of the threads.

# %%
winners = switches.indices.ravel()
G = np.zeros((4, 16))
G[np.arange(4), winners] = 1


# %% tags=["hide-input"]
def ones_picture(matrix, title, below, transposed=False):
    """Draw a matrix of zeros and ones, with a row (or column, if transposed) per thread."""
    side, left, top = 22.0, 6.0, 34.0
    high, wide = matrix.shape
    picture = Picture(max(left + wide * side + 6, 8.2 * len(below)), top + high * side + 28)
    picture.words(left, 14, title, anchor="start", bold=True)
    picture.words(left, top + high * side + 15, below, anchor="start", size=12.0)
    for (r, c), one in np.ndenumerate(matrix):
        colour = THREADS[c if transposed else r]
        fill = colour if one else "#ffffff"
        picture.cell(left + c * side, top + r * side, side, "1" if one else "", fill=fill)
    return picture


matrices = Picture(620, 420)
matrices.add(ones_picture(G, "G, the gather: pooling", "16 columns: pixels of x, row by row"), 0, 0)
matrices.add(ones_picture(G.T, "its transpose", "16 rows: pixels of x", True), 440, 0)
show(
    matrices,
    alt="G has 4 rows and 16 columns, with a single 1 in each row, in the columns 4, 6, 13 and 15; "
    "beside it the transpose of 16 rows and 4 columns, with a single 1 in each column",
)

# %%
assert np.array_equal(G @ x.ravel(), y.ravel())  # pooling
assert np.array_equal(G.T @ y.ravel(), z.ravel())  # unpooling, with these windows

# %% [markdown]
# In notebook 7 the backward pass of a linear map was its adjoint, the transpose of its matrix. So *the [backward
# pass](../docs/glossary.md#backward-pass) of pooling is $G^{\mathsf T}$*: it sends the
# [cotangent](../docs/glossary.md#cotangent) of each pooled number (how much the loss changes with it) to the winner,
# and nothing to the losers. Is that right for a maximum, which is not linear? Try it: let one pixel of the first
# window grow from 0 to 12, past its neighbours.

# %%
dragged = np.linspace(0, 12, 121)


def pooled_first(value):
    """The first pooled number and its switch, if the pixel in row 0, column 1 is `value`."""
    other = x.copy()
    other[0, 0, 0, 1] = value
    out, where = ops.max_pool2d(other, 2, return_switches=True)
    return out[0, 0, 0, 0], where.indices[0, 0, 0, 0]


# %% tags=["hide-input"]
answers = [pooled_first(value) for value in dragged]
figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.7), layout="constrained")
axes[0].plot(dragged, [a for a, _ in answers])
axes[0].set(title="the window's maximum", xlabel="value of the pixel in row 0, column 1")
axes[1].plot(dragged, [b for _, b in answers], ".", markersize=4, color=HUES[1])
axes[1].set(title="its switch", xlabel="value of the pixel in row 0, column 1", yticks=[1, 4])
for ax in axes:
    ax.axvline(7, color=MUTED, linestyle=":", linewidth=1.2)
show(
    figure,
    alt="While the pixel is below 7 the maximum stays 7 and the switch 4; above 7 the maximum grows "
    "with the pixel, at slope 1, and the switch is 1",
)

# %% [markdown]
# While the pixel loses, its slope is 0; as soon as it wins, its slope is 1. That is what
# $G^{\mathsf T}$ says, with the switches of the moment. Only at 7 exactly, where the switch jumps, is there a corner and no slope.
#
# ## 3. Who wins a tie?
#
# Equal values are not rare in a network. Behind a [ReLU](../docs/glossary.md#relu), which replaces negative numbers
# by 0, a window that is zero throughout is a tie of all its pixels. The rule here is: **the first one, row by row**.
# Where a plane is flat, the switches therefore sit in the top left corners of their windows. In the picture a circle
# is a switch and the fives are amber; the grey 5 lost the tie, and what stands in its place is 0.

# %%
flat = np.zeros((6, 6))
flat[2:4, 2:4] = [[0, 5], [5, 0]]  # two fives: another tie
picture = switch_map(flat, kernel_size=2)

# %% tags=["hide-input"]
show(
    picture,
    alt="A plane of zeros with two fives on a diagonal, in windows of 2 by 2: every switch is in the "
    "top left corner of its window, or at the upper one of the fives",
)

# %% [markdown]
# How often is a window all zero? A random number is negative in one case of two, so all four are in one of
# $2^4 = 16$:

# %%
rng = np.random.default_rng(0)
activations = ops.relu(rng.standard_normal((1, 64, 64, 64)))
share = np.mean(ops.max_pool2d(activations, 2) == 0)
print(f"windows of random numbers that are all zero behind a ReLU: {share:.1%} (1/16 = 6.2%)")

# %% [markdown]
# ## 4. Two windows, one winner
#
# So far windows lay side by side. Now let them overlap: 3 × 3 pixels, [stride](../docs/glossary.md#stride) 2, that is, a new window every two
# pixels. The 9 in the middle is seen by all four windows, and wins three of them. We send the numbers
# 1, 2, 3 and 4 back, so that you can see which is which. Three of them want the same pixel. There are
# two rules: the last one stays (`"assign"`; the dashed threads are those of values that were overwritten), or
# they are summed (`"add"`).

# %%
shared = np.zeros((5, 5))
shared[2, 2], shared[0, 0], shared[1, 3], shared[4, 4] = 9, 3, 5, 12
marks = np.array([[1.0, 2], [3, 4]])

# %% tags=["hide-input"]
for rule, what in (("assign", "the last one stays"), ("add", "the sum")):
    show(
        threads(shared, 3, 2, marks, rule, ("x, four windows", "sent back", f'"{rule}": {what}')),
        alt="A 5 by 5 plane with four overlapping windows of 3 by 3. The 9 in the middle wins three of "
        "them, the 12 in the corner the fourth. Of the numbers 1 to 4 that are sent back, 1, 2 and 3 "
        f"arrive in the middle: with {rule} there is {3 if rule == 'assign' else 6}",
    )

# %% [markdown]
# ### Your turn
#
# 1. **The round trip.** Pool, unpool, pool again. With which rule is the pooled map always the same as the first time
#    (for values that are not negative)? Write `"assign"` or `"add"`.
# 2. **The backward pass of unpooling.** Unpooling was done with `"assign"`, as in the upper picture, and a gradient arrives: 10 at the
#    pixel in the middle, 5 at the one in the lower right corner, 0 elsewhere. How much does the
#    loss change per unit of change of each of the four numbers that were sent back? Write two rows of two numbers.

# %%
my_round_trip = None
my_gradient = None

# %% tags=["hide-input"]
first, four = ops.max_pool2d(shared[None, None], 3, stride=2, return_switches=True)


def returns(rule):
    """Whether pool(unpool(pool(x))) is pool(x)."""
    back = ops.max_unpool2d(first, four, duplicates=rule)
    return np.array_equal(ops.max_pool2d(back, 3, stride=2), first)


check_answer(
    "my_round_trip",
    my_round_trip.lower() if isinstance(my_round_trip, str) else my_round_trip,
    next(rule for rule in ("assign", "add") if returns(rule)),
    hint="Suppose that 9, 9, 9 and 12 are sent back, as was pooled. What stands in the middle then?",
)
arrived = np.zeros((1, 1, 5, 5))
arrived[0, 0, 2, 2], arrived[0, 0, 4, 4] = 10, 5
check_answer(
    "my_gradient",
    my_gradient,
    ops.max_unpool2d_backward(arrived, four)[0, 0],
    hints=[
        (
            lambda a: np.array_equal(a, [[10, 10], [10, 5]]),
            "Change the 1 that is sent back into a 100. Does the unpooled plane change?",
        ),
        (
            lambda a: np.isclose(np.sum(a), 15) and np.ndim(a) == 2 and np.max(a) < 10,
            "The 10 is not shared out: one of the four numbers stands in the middle, unchanged.",
        ),
    ],
    hint="Follow the threads that are not dashed, backwards.",
)

# %% [markdown]
# Here is the round trip on random images, and beside it the other question: is unpooling with this rule, $U$, the
# transpose of the gather, so that $\langle Gx, v\rangle = \langle x, Uv\rangle$ for all $v$? (We try one random $v$
# of whole numbers, as in notebook 7. $Gx$ is the pooled map.)

# %%
images = rng.integers(0, 100, (1, 4, 9, 9)).astype(float)
pooled, overlapping = ops.max_pool2d(images, 3, stride=2, return_switches=True)  # G x
v = rng.integers(-9, 10, pooled.shape).astype(float)

for rule in ("assign", "add"):
    back = ops.max_unpool2d(pooled, overlapping, duplicates=rule)
    returned = np.array_equal(ops.max_pool2d(back, 3, stride=2), pooled)
    unpooled_v = ops.max_unpool2d(v, overlapping, duplicates=rule)  # U v
    adjoint = bool(np.sum(pooled * v) == np.sum(images * unpooled_v))
    print(f"{rule:8} round trip: {returned!s:7} transpose of the gather: {adjoint}")

# %% [markdown]
# Each rule keeps one of the promises, so the library has both: `max_unpool2d` assigns unless you ask for something
# else, and `max_pool2d_backward`, through which gradients flow, adds. Where windows do not overlap, as in all of
# DeconvNet, there is no difference between them, and unpooling is the transpose of pooling. Where they overlap it is
# not:

# %%
for title, array, size in (("side by side", x, 2), ("overlapping ", images, 3)):
    out, where = ops.max_pool2d(array, size, stride=2, return_switches=True)
    transposed = ops.max_pool2d_backward(out, where)
    same = np.array_equal(ops.max_unpool2d(out, where), transposed)
    print(f"{title}  unpooling equals the transpose: {same}")

# %% [markdown]
# And the backward pass of unpooling itself, your second answer: of a value that was overwritten nothing is left in the output, so its
# gradient has to be 0; only the value that *stayed* gets the gradient of the pixel. A backward pass that gathers at every switch
# gives the overwritten ones a gradient too, and is not the adjoint of what forward did:

# %%
dz = rng.integers(-9, 10, images.shape).astype(float)
forward = ops.max_unpool2d(v, overlapping)  # assigns
only_stayed = ops.max_unpool2d_backward(dz, overlapping)
every_switch = np.take_along_axis(
    dz.reshape(1, 4, -1), overlapping.indices.reshape(1, 4, -1), axis=2
).reshape(v.shape)

print("<unpool(v), dz>                 =", np.sum(forward * dz))
print("<v, backward(dz)>               =", np.sum(v * only_stayed))
print("<v, dz gathered at each switch> =", np.sum(v * every_switch))
assert np.sum(forward * dz) == np.sum(v * only_stayed)

# %% [markdown]
# ### Your turn
#
# Write unpooling with the rule `"assign"`: `y` and `switches` are arrays of the shape $(N, C, H', W')$, and
# `switches` holds numbers `row * width + column` into planes of the given `size` (height, width). The result has the
# data type of `y` (`y.dtype`). Loops are fine.


# %%
def my_unpool(y, switches, size):
    """Put every value at its switch; zeros elsewhere: (N, C, height, width)."""
    planes = None
    return planes


# %% tags=["hide-input"]
if my_unpool(np.ones((1, 1, 1, 1)), np.zeros((1, 1, 1, 1), int), (1, 1)) is None:
    print("my_unpool: nothing written yet")
else:
    try:
        check_op(my_unpool, "max_unpool2d")
        print("my_unpool: ✓")
    except OperationError as error:  # the likely mistake and a small example, no right values
        said = str(error).partition("\nRule:")[0].partition("\nAgain:")[0].splitlines()
        print("\n".join(line for line in said if "must be" not in line))

# %% [markdown]
# ## 5. Why bother? Outlines
#
# Here is a [feature map](../docs/glossary.md#feature-map) of the kind that the first layers of a network hold: a
# [convolution](../docs/glossary.md#convolution) that answers at edges, behind a ReLU. We pool it twice, from 96 × 96
# to 24 × 24 pixels, and go back up without learning anything: once by [bilinear
# interpolation](../docs/glossary.md#bilinear-interpolation), which draws smooth transitions between the pixels, and
# once through the switches. (`Shapes` draws random pictures; in all panels but the first, bright is large and black
# is 0.)

# %%
pictures = Shapes("val", size=96, difficulty="easy")
sobel = np.array([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]]) / 12
directions = np.stack([sobel, -sobel, sobel.T, -sobel.T])  # edges in four directions
edge_weight = directions[:, None].repeat(3, axis=1)  # (4, 3, 3, 3)


def edges(number):
    """A picture (H, W, 3) and where it has edges: (1, 1, H, W), not negative."""
    image = pictures[number][0]
    x = ops.pad(image.transpose(2, 0, 1)[None] / 255.0, (1, 1, 1, 1), mode="replicate")
    answers = ops.relu(ops.conv2d(x, edge_weight))
    return image, ops.relu(answers.sum(axis=1, keepdims=True) - 0.06)  # faint answers become 0


def pool_twice(x):
    """(N, C, H, W) -> (N, C, H/4, W/4) and the two maps of switches."""
    y1, s1 = ops.max_pool2d(x, 2, return_switches=True)
    y2, s2 = ops.max_pool2d(y1, 2, return_switches=True)
    return y2, s1, s2


def unpool_twice(y, s1, s2):
    """Undo `pool_twice`: last in, first out."""
    return ops.max_unpool2d(ops.max_unpool2d(y, s2), s1)


image, map96 = edges(8)
y, s1, s2 = pool_twice(map96)
bilinear = ops.interpolate(y, size=(96, 96), mode="bilinear")
unpooled = unpool_twice(y, s1, s2)
bump = np.array([1.0, 4, 6, 4, 1]) / 6
stamp = np.outer(bump, bump).reshape(1, 1, 5, 5)  # 1 in the middle
filled = ops.conv_transpose2d(unpooled, stamp, padding=2)

# %% tags=["hide-input"]
figure, axes = plt.subplots(2, 3, figsize=(7.5, 5.4), layout="constrained")
for ax, shown, title in zip(
    axes.ravel(),
    (image, map96[0, 0], y[0, 0], bilinear[0, 0], unpooled[0, 0], filled[0, 0]),
    (
        "picture, 96 × 96",
        "edges",
        "pooled twice, 24 × 24",
        "bilinear interpolation",
        "unpooling",
        "unpooling, then stamps",
    ),
    strict=True,
):
    ax.imshow(shown, cmap="magma", vmin=0, vmax=0.8 * map96.max(), interpolation="nearest")
    ax.set(title=title, xticks=[], yticks=[])
show(
    figure,
    alt="A drawn picture, its edges, the edges pooled twice to 24 by 24 pixels, and three ways back: "
    "bilinear interpolation blurs the outlines, unpooling gives dots on them, and a 5 by 5 stamp at "
    "each dot makes them lines with gaps",
)

# %% tags=["hide-input"]
true = map96[0, 0]
for title, made in (("bilinear interpolation", bilinear), ("unpooling, then stamps", filled)):
    made = made[0, 0]
    thick = np.sum(made > 0.5 * true.max()) / np.sum(true > 0.5 * true.max())
    match = np.sum(true * made) / np.sqrt(np.sum(true**2) * np.sum(made**2))
    print(f"{title}: {thick:.2f} times as many bright pixels as the edges have, match {match:.2f}")

# %% [markdown]
# Bilinear interpolation spreads each of the 24 × 24 numbers over the pixels around it. Unpooling has the same
# numbers, in at most one of sixteen pixels, but each stands *exactly* where it was found. The last panel lays down a
# small fixed stamp at each of them, a [transposed convolution](../docs/glossary.md#transposed-convolution), and the
# dots grow together into lines, with gaps. (The match is the inner product of both planes, divided by their lengths:
# 1 would be the edges themselves, brighter or darker.)
#
# That is the second half of DeconvNet in one sentence: *unpooling places, transposed convolution fills in*. In the
# network the stamps are not fixed but learned.
#
# ## Break it
#
# Where is the outline stored: in the values or in the switches? Take the values of this picture and
# the switches of another one. Set `OTHER = 8` to see the right ones again, and try others.

# %%
OTHER = 1

other_image, other_map = edges(OTHER)
_, other1, other2 = pool_twice(other_map)
wrong = unpool_twice(y, other1, other2)

# %% tags=["hide-input"]
figure, axes = plt.subplots(2, 2, figsize=(6.5, 6.8), layout="constrained")
for ax, shown, title in zip(
    axes.ravel(),
    (image, other_image, filled[0, 0], ops.conv_transpose2d(wrong, stamp, padding=2)[0, 0]),
    ("values from here", "switches from here", "its own switches", "the other's switches"),
    strict=True,
):
    ax.imshow(shown, cmap="magma", vmin=0, vmax=0.8 * map96.max(), interpolation="nearest")
    ax.set(title=title, xticks=[], yticks=[])
show(
    figure,
    alt="The picture whose values are used, the picture whose switches are used, the outlines drawn "
    "with its own switches, and those with the other picture's, which are broken up",
)

# %%
for title, planes in (("its own", unpooled), ("the other's", wrong)):
    kept = np.mean(planes[planes > 0] == map96[planes > 0])
    print(f"{title:12} switches: {kept:.0%} of the values stand where they were found")

# %% [markdown]
# (A value has sixteen pixels to stand in, so 6% is what chance alone would give.) The blocks of 4 × 4 pixels are
# where they belong: that much is in the place of the *values*. But inside each block the value has moved to wherever
# the other picture had its maximum, and where the other picture is empty (a tie!) to the top left corner. The outline
# breaks up. The fine position is in the *switches*.
#
# ## What the paper says
#
# Noh, Hong and Han, [Learning deconvolution network for semantic segmentation](https://arxiv.org/abs/1505.04366)
# (2015), section 3.2.1, "Unpooling"; the picture of section 1 is the upper half of their Figure 3, with
# numbers. Their pooling windows are 2 × 2 at stride 2, so they never overlap, and the text does not say what would happen if they
# did. Their published code assigns, and so does `max_unpool2d`. We differ in the backward pass: theirs gathers at every switch, as in the last experiment of
# section 4, which makes a difference for overlapping windows only. The *switches* are taken over from Zeiler and Fergus,
# [Visualizing and understanding convolutional networks](https://arxiv.org/abs/1311.2901) (2014), section 2.1,
# who used them to look into a trained network (notebook 14).
#
# ## Exercises
#
# **1.** The round trip of section 4 needs values that are not negative. Find a smallest possible `x`,
# even with windows that do not overlap, for which pool(unpool(pool(x))) differs from pool(x).
#
# <details><summary>Answer</summary>
#
# ```python
# negative = np.array([-1.0, -2.0]).reshape(1, 1, 1, 2)
# small, where = ops.max_pool2d(negative, (1, 2), return_switches=True)
# again = ops.max_pool2d(ops.max_unpool2d(small, where), (1, 2))
# print(small.ravel(), again.ravel())
# assert small[0, 0, 0, 0] == -1 and again[0, 0, 0, 0] == 0
# ```
#
# The unpooled plane is filled with zeros, and zero beats -1. Behind a ReLU this cannot happen.
# </details>
#
# **2.** A plane of 5 × 5 pooled by 2 × 2 gives 2 × 2, and so does one of 4 × 4. What does
# `max_unpool2d` do about it, and what does it put into the fifth row?
#
# <details><summary>Answer</summary>
#
# ```python
# fifths = np.arange(25.0).reshape(1, 1, 5, 5)
# small, where = ops.max_pool2d(fifths, 2, return_switches=True)
# back = ops.max_unpool2d(small, where)
# print(where, back.shape)
# assert back.shape == (1, 1, 5, 5) and not back[..., 4, :].any()
# ```
#
# The switches remember that the plane was 5 × 5, so the result is 5 × 5. No window saw the fifth row, so
# it stays zero. Compare `output_padding` in notebook 5: the same lost remainder, but a
# transposed convolution has no memory and needs it as an argument.
# </details>
#
# **3.** [Average pooling](../docs/glossary.md#average-pooling) takes the mean of a window in place of its maximum. What does its
# matrix look like, and what does its backward pass do? Check it with the adjoint identity.
#
# <details><summary>Answer</summary>
#
# A row has 1/4 in the four columns of its window: no switches are needed, because the matrix does not depend on `x`. The
# transpose gives a quarter of each cotangent to each of the four pixels.
#
# ```python
# units = np.eye(16).reshape(16, 1, 1, 4, 4)
# M = np.stack([ops.avg_pool2d(unit, 2).ravel() for unit in units], axis=1)
# assert sorted(set(M.ravel().tolist())) == [0, 0.25] and (M.sum(axis=1) == 1).all()
# arrived = np.array([4.0, 8, 12, 16])
# spread = (M.T @ arrived).reshape(4, 4)
# assert np.sum((M @ x.ravel()) * arrived) == np.sum(plane * spread)
# assert np.array_equal(spread[:2, :2], np.ones((2, 2)))
# ```
# </details>
#
# ## In the library
#
# These lines do it for real:
#
# - [`minideconv.ops.pooling.max_pool2d_core`](../minideconv/ops/pooling.py#L90): the maximum and the switch, tap by tap.
# - [`minideconv.ops.pooling.max_pool2d_backward`](../minideconv/ops/pooling.py#L116): $G^{\mathsf T}$.
# - [`minideconv.ops.unpooling.max_unpool2d`](../minideconv/ops/unpooling.py#L51): the two rules.
# - [`minideconv.ops.unpooling.gather_taps`](../minideconv/ops/unpooling.py#L125) and
#   [`minideconv.ops.unpooling.scatter_taps`](../minideconv/ops/unpooling.py#L143): $G$ and its transpose.
# - [`minideconv.ops.switches.Switches`](../minideconv/ops/switches.py#L47): what a switch is, and how other libraries
#   number it.
#
# Next: *Batch normalisation by hand*.
