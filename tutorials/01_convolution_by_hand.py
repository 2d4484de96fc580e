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
# # Convolution by hand: one window, nine products, one sum
#
# A **[convolution](../docs/glossary.md#convolution)** turns one image into another. Every number of
# the new image is made in the same way: look at a small window of the old image, multiply the nine
# numbers in it by nine fixed numbers, and add up the products. Then move the window by one pixel
# and do the same again, with the *same* nine numbers. That is all, and it is the one idea of this
# notebook. A neural network that sees is a program made of such steps: many of them side by side
# are a layer, each layer works on what the one before it made, and together they compute billions
# of these small sums. Its fixed numbers were not chosen by anybody but learned from examples. When
# you have read this page, you have computed one of the sums with a pencil, made a picture of edges,
# and let the computer find a sign in a noisy picture.
#
# You need: Python, and arrays of NumPy. This is the first notebook; nothing comes before it. It
# runs in a few seconds on any computer.

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

from minideconv import data, ops
from minideconv.testing import check_answer
from minideconv.visualize import Picture, show, tap_colour, use_style

use_style()

# %% [markdown]
# ## 1. One window
#
# To a computer a grey image is a table of numbers, one for each pixel: how bright it is. Here is an
# image of 5 × 6 pixels (5 rows, 6 columns: rows always come first), and the nine fixed numbers.

# %%
image = np.array(
    [
        [1, 0, 2, 3, 0, 1],
        [0, 2, 1, 0, 1, 2],
        [3, 1, 0, 2, 2, 0],
        [1, 0, 2, 1, 0, 3],
        [0, 2, 1, 3, 1, 0],
    ]
)

kernel = np.array(
    [
        [1, 0, 2],
        [0, 3, 0],
        [-1, 0, 1],
    ]
)

# %% [markdown]
# The nine numbers together are the **[kernel](../docs/glossary.md#kernel)**, and each of them is a
# **[tap](../docs/glossary.md#tap)**. The part of the image that the kernel lies on is the
# **window**. Choose where its top left corner is, and compute:

# %%
top, left = 1, 2  # row 1, column 2: both are counted from 0

window = image[top : top + 3, left : left + 3]  # 3 x 3 pixels
products = window * kernel  # each pixel times the tap on it
total = products.sum()

print("the sum:", total)


# %% tags=["hide-input"]
CELL = 34.0
TAPS = np.array([[tap_colour(3 * i + j + 1) for j in range(3)] for i in range(3)])
RED = "#b3261e"


def minus(numbers):
    """The texts of numbers, with the sign that printers use."""
    return [[f"{n:g}".replace("-", "−") for n in row] for row in np.asarray(numbers)]


def numbered(picture, x, y, shape):
    """Write the numbers of rows and columns beside a table at (x, y)."""
    for r in range(shape[0]):
        picture.words(x - 9, y + (r + 0.5) * CELL, str(r), size=11, colour="#51606f")
    for c in range(shape[1]):
        picture.words(x + (c + 0.5) * CELL, y - 10, str(c), size=11, colour="#51606f")


def window_picture(image, kernel, top, left):
    """The window on the image, the kernel, the products, and where their sum goes."""
    rows, columns = np.subtract(image.shape, 2)
    lit = np.full(image.shape, "#ffffff", object)
    lit[top : top + 3, left : left + 3] = TAPS
    window = image[top : top + 3, left : left + 3]
    wide = CELL * (image.shape[1] + 3 + 3 + columns) + 172
    picture = Picture(wide, CELL * image.shape[0] + 52)
    high, x = 48.0, 20.0
    middle = high + image.shape[0] * CELL / 2
    picture.words(x, 12, "image", anchor="start", bold=True)
    numbered(picture, x, high, image.shape)
    picture.grid(x, high, image, cell=CELL, fills=lit)
    corner = (x + left * CELL, high + top * CELL)
    picture.box(*corner, 3 * CELL, 3 * CELL, stroke=RED, line=4, about="window")
    x += CELL * image.shape[1]
    for sign, numbers, title in (
        ("×", kernel, "kernel"),
        ("=", window * kernel, "nine products"),
    ):
        picture.words(x + 16, middle, sign, size=20, bold=True)
        x += 32
        names = minus(numbers)
        picture.grid(x, middle - 1.5 * CELL, numbers, cell=CELL, fills=TAPS, names=names)
        picture.words(x, 12, title, anchor="start", bold=True)
        x += 3 * CELL
    picture.line([(x + 5, middle), (x + 54, middle)], arrow=True)
    picture.words(x + 29, middle - 14, "add", size=13)
    x += 82
    names = [["" for _ in range(columns)] for _ in range(rows)]
    fills = [["#ffffff" for _ in range(columns)] for _ in range(rows)]
    names[top][left] = minus([[(window * kernel).sum()]])[0][0]
    fills[top][left] = "#f7d488"
    picture.words(x, 12, "output", anchor="start", bold=True)
    place = middle - rows * CELL / 2
    numbered(picture, x, place, (rows, columns))
    picture.grid(x, place, np.zeros((rows, columns)), cell=CELL, names=names, fills=fills)
    corner = (x + left * CELL, place + top * CELL)
    picture.box(*corner, CELL, CELL, stroke=RED, line=4, about="output pixel")
    return picture


picture = window_picture(image, kernel, top, left)
show(
    picture,
    alt="An image of 5 by 6 numbers with a window of 3 by 3 framed in red; the "
    "kernel; the nine products of pixels and taps in the same nine colours; and"
    " an output of 3 by 4 cells, in which one cell holds the sum of the "
    "products",
)

# %% [markdown]
# Read it from left to right. One window is lit; each of its pixels is multiplied by the tap of the
# same colour; the nine products become one sum. A sum of products of this kind is called an
# **[inner product](../docs/glossary.md#inner-product)**. The sum is *one pixel of the output*, in
# the place that belongs to the window: the window in row 1 and column 2 makes the output pixel in
# row 1 and column 2.
#
# Change `top` and `left` above, run both cells again, and watch the window move. (With `left = 4`
# the window would hang over the edge. What to do there is a question for the next notebook.)
#
# ### Your turn: one sum, with a pencil
#
# Here is another kernel. Lay it on the same image: what is the output pixel in row 1, column 3?
# Compute it by hand (four of the nine products are not zero), write the sum in place of `None`, run
# the cell, and run the check.

# %%
other = np.array(
    [
        [0, 1, 0],
        [-1, 2, 1],
        [0, 0, -2],
    ]
)

my_sum = None

# %% tags=["hide-input"]
there = ops.conv2d(image[None, None] * 1.0, other[None, None] * 1.0)[0, 0]
under = image[1:4, 3:6]
check_answer(
    "my_sum",
    my_sum,
    int(there[1, 3]),
    hints=[
        (lambda n: n == under.sum(), "You added up the pixels. Where are the taps?"),
        (lambda n: n == (under * kernel).sum(), "That is the kernel of the figure, not `other`."),
        (lambda n: n == there[0, 2], "Row 1, column 3 is the window's corner, counted from 0."),
        (lambda n: n == (under * abs(other)).sum(), "Two of the taps are negative."),
        (lambda n: n == (under * other[::-1, ::-1]).sum(), "The kernel lies as it is written."),
    ],
    hint="The window's top left corner is in row 1, column 3. Write down its nine pixels first.",
)

# %% [markdown]
# ## 2. Every window: the output is an image again
#
# Now let the window visit every place where it fits. Below, each little image shows the window in
# one place, and the number under it is the sum. The little images stand where their sums stand in
# the output.


# %% tags=["hide-input"]
def all_windows(image, kernel):
    """A small copy of the image for each window, arranged as the output."""
    output = ops.conv2d(image[None, None] * 1.0, kernel[None, None] * 1.0)[0, 0]
    cell, gap = 24.0, 30.0
    high, wide = image.shape[0] * cell, image.shape[1] * cell
    rows, columns = output.shape
    picture = Picture(columns * (wide + 34) - 30, rows * (high + gap + 16))
    for r in range(rows):
        for c in range(columns):
            x, y = 2 + c * (wide + 34), 2 + r * (high + gap + 16)
            lit = np.full(image.shape, "#ffffff", object)
            lit[r : r + 3, c : c + 3] = TAPS
            picture.grid(x, y, image, cell=cell, fills=lit, about=f"window {r},{c}")
            picture.box(x + c * cell, y + r * cell, 3 * cell, 3 * cell, stroke=RED, line=3)
            label = f"output ({r}, {c}) = {output[r, c]:g}".replace("-", "−")
            picture.words(x + wide / 2, y + high + 15, label, bold=True)
    return picture


show(
    all_windows(image, kernel),
    alt="Twelve copies of the image in 3 rows and 4 columns. In each the window is "
    "in another place, from the top left to the bottom right, and below stands "
    "the output pixel it makes",
)

# %% [markdown]
# There are 3 × 4 places, so the output has 3 × 4 pixels: two fewer than the image in both
# directions, because a window of 3 pixels has its first place at 0 and its last place 2 pixels
# before the end. You can *count* the size of an output; there is no need to know a formula.
#
# Here is the whole operation as a program: two loops visit the places, and the line inside is what
# you did with the pencil.


# %%
def convolve(image, kernel):
    """Convolve an image (H, W) with a kernel (kh, kw): one sum for each place."""
    kh, kw = kernel.shape
    rows = image.shape[0] - kh + 1  # places from top to bottom
    columns = image.shape[1] - kw + 1  # places from left to right
    output = np.zeros((rows, columns))
    for r in range(rows):
        for c in range(columns):
            output[r, c] = (image[r : r + kh, c : c + kw] * kernel).sum()
    return output


print(convolve(image, kernel))

# %% [markdown]
# Written as a formula, the same line is
#
# $$y_{r,c} \;=\; \sum_{i=0}^{k_h-1}\;\sum_{j=0}^{k_w-1} W_{i,j}\; x_{r+i,\;c+j}$$
#
# In words: the output $y$ in row $r$ and column $c$ is the sum, over all taps $(i, j)$ of the
# kernel $W$, of the tap times the pixel of the image $x$ that it lies on: $i$ rows below and $j$
# columns to the right of the window's corner. $k_h \times k_w$ is the kernel's size (h for height,
# w for width), here 3 × 3.
#
# The library's function is called `conv2d`. It takes many images at once, and images of several
# channels (such as red, green and blue: the next notebook), so its arrays have four axes: images,
# channels, rows, columns. With one image of one channel the first two have length 1. The numbers
# here are whole, so we can ask for *equal*, not for *about equal*:

# %%
x = image.astype(float).reshape(1, 1, 5, 6)
W = kernel.astype(float).reshape(1, 1, 3, 3)

print(ops.conv2d(x, W)[0, 0])
assert np.array_equal(ops.conv2d(x, W)[0, 0], convolve(image, kernel))

# %% [markdown]
# ## 3. What nine numbers can do
#
# So far the kernel was arbitrary. Choose its taps with a purpose, and the output says something
# about the image. Below is a drawing of 96 × 96 pixels and four kernels. Compare each output with
# its kernel before you read on.

# %%
drawing = data.Shapes("val", size=96)[2][0]  # the image of drawing 2: rows, columns, colours
drawing = drawing.mean(axis=2) / 255  # grey, from 0 (black) to 1 (white)

kernels = {
    "mean": np.full((3, 3), 1 / 9),
    "left to right": np.array([[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]]),
    "top to bottom": np.array([[-1, -1, -1], [0, 0, 0], [1, 1, 1]]),
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
}
outputs = {name: convolve(drawing, taps) for name, taps in kernels.items()}


# %% tags=["hide-input"]
def kernel_axes(ax, taps, title):
    """Write the nine taps of a kernel into nine squares."""
    ax.imshow(np.zeros((3, 3)), cmap="Greys", vmin=0, vmax=1)
    for (i, j), tap in np.ndenumerate(taps):
        text = "1/9" if abs(tap - 1 / 9) < 1e-9 else f"{tap:g}".replace("-", "−")
        ax.text(j, i, text, ha="center", va="center", fontsize=10)
    for edge in (0.5, 1.5):
        ax.axhline(edge, color="0.5", linewidth=1)
        ax.axvline(edge, color="0.5", linewidth=1)
    for side in ax.spines.values():
        side.set(visible=True, color="0.5")
    ax.set(title=title, xticks=[], yticks=[])


figure, axes = plt.subplots(2, 5, figsize=(7.5, 3.2), height_ratios=[1, 1.65], layout="constrained")
axes[0, 0].axis("off")
axes[1, 0].imshow(drawing, cmap="gray", vmin=0, vmax=1)
axes[1, 0].set(title="the drawing", xticks=[], yticks=[])
for column, (name, taps) in enumerate(kernels.items(), start=1):
    kernel_axes(axes[0, column], taps, name)
    signed = taps.sum() == 0
    low, high = (-1.5, 1.5) if signed else (0, 1)
    axes[1, column].imshow(outputs[name], cmap="gray", vmin=low, vmax=high)
    axes[1, column].set(title="grey is 0" if signed else "black is 0", xticks=[], yticks=[])
show(
    figure,
    alt="A drawing of a dotted moon and a dark cross, and four kernels with their "
    "outputs: the mean is blurred; left to right shows upright edges, bright "
    "where it grows brighter to the right and dark where darker; top to bottom "
    "shows level edges; sharpen makes edges and noise stronger",
)

# %% [markdown]
# - **mean**: every pixel becomes the average of its window. Small specks (noise) become fainter,
#   and edges become soft.
# - **left to right**: the pixels in the right column of the window minus those in the left column.
#   Where the picture grows brighter to the right the output is positive (white), where it grows
#   darker negative (black), and where nothing changes 0 (grey). It answers the question: "is there
#   an upright edge here, and which way?"
# - **top to bottom**: the same question for level edges.
# - **sharpen**: five times the pixel, minus its four neighbours: what differs from its surroundings
#   is made stronger. The noise too.
#
# An output that shows where something is in the image is called a **[feature
# map](../docs/glossary.md#feature-map)**. Why do the two edge kernels answer 0 on an even surface,
# however bright it is? Their taps add up to 0:

# %%
for brightness in (0, 1, 7):
    even = np.full((3, 3), brightness)
    total = (even * kernels["left to right"]).sum()
    print(f"an even window of {brightness}s: the sum is {total}")

# %% [markdown]
# ### Your turn: two kernels with a purpose
#
# Write two kernels of 3 × 3 taps, as lists of lists:
#
# 1. `my_copy`: the output pixel is the pixel in the *middle of the window's right column*,
#    unchanged.
# 2. `my_average`: the output pixel is the average of two pixels of the window: the one right above
#    the middle and the one right below it.

# %%
my_copy = None  # such as [[0, 0, 0], [0, 0, 0], [0, 0, 0]]
my_average = None


# %% tags=["hide-input"]
def try_kernel(name, mine, right, mistake, hint):
    """Check what a kernel makes of the image, not how it is written."""
    shape = np.array(mine, object).shape  # rows of different lengths have one axis only
    if mine is not None and shape != (3, 3):
        print(f"{name}: ✗ a kernel has 3 rows of 3 numbers; yours has the shape {shape}")
        return
    check_answer(
        f"{name}, its output",
        mine if mine is None else convolve(image, np.array(mine)),
        right,
        hints=[
            (lambda y: np.allclose(y, mistake), hint),
            (
                lambda y: np.allclose(y, image[1:-1, 1:-1]),
                "This takes the pixel in the middle of the window.",
            ),
            (lambda y: np.allclose(y, 2 * right), "Twice too much: an average, not a sum."),
            (lambda y: not y.any(), "All taps are 0: the kernel takes nothing of the window."),
        ],
        hint="The tap for a pixel stands where the pixel stands in the window; other taps are 0.",
    )


on_left, on_right = image[1:-1, :-2], image[1:-1, 2:]
above, below = image[:-2, 1:-1], image[2:, 1:-1]
try_kernel("my_copy", my_copy, on_right, on_left, "This takes the left column.")
sideways = "These two lie left and right of the middle."
try_kernel("my_average", my_average, (above + below) / 2, (on_left + on_right) / 2, sideways)

# %% [markdown]
# ## 4. A kernel is a small picture of what it looks for
#
# Here is the most useful way to think of the nine numbers (or 25, or any other count). An inner
# product is large where the large pixels of the window meet the large taps. So make the kernel
# *look like* a thing, and the output is largest where the window looks like that thing.
#
# The picture below holds six signs of 5 × 5 pixels, with small random numbers (noise) added
# everywhere. Each sign has nine bright pixels, so none of them is brighter than another. The kernel
# is one of the signs, the hook at the top left, with its average subtracted so that its taps add up
# to 0, as those of the edge kernels do.

# %% tags=["hide-input"]
hook = np.array(
    [[1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1]]
)
cross = np.array(
    [[1, 0, 0, 0, 1], [0, 1, 0, 1, 0], [0, 0, 1, 0, 0], [0, 1, 0, 1, 0], [1, 0, 0, 0, 1]]
)
plus = np.array(
    [[0, 0, 1, 0, 0], [0, 0, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0], [0, 0, 1, 0, 0]]
)
block = np.zeros((5, 5), int)
block[1:4, 1:4] = 1
tee = np.array(
    [[1, 1, 1, 1, 1], [0, 0, 1, 0, 0], [0, 0, 1, 0, 0], [0, 0, 1, 0, 0], [0, 0, 1, 0, 0]]
)
signs = [hook, cross, plus, tee, block, hook[::-1, ::-1]]
corners = [(2, 3), (3, 12), (2, 22), (12, 4), (12, 14), (12, 23)]

rng = np.random.default_rng(0)
scene = 0.15 * rng.standard_normal((20, 31))
for sign, (r, c) in zip(signs, corners, strict=True):
    scene[r : r + 5, c : c + 5] += sign

# %%
looks_for = hook - hook.mean()
answer = convolve(scene, looks_for)
best = np.unravel_index(answer.argmax(), answer.shape)
print(f"the largest output is at row {best[0]}, column {best[1]}")
print("the hook is at", corners[0])
assert best == corners[0]


# %% tags=["hide-input"]
def search_figure(scene, taps, answer):
    """The scene, the kernel, and the output with its largest pixel marked."""
    figure, pixel = plt.figure(figsize=(7.5, 2.45)), 0.1  # inches
    axes, left = [], 0.02
    for image, size in ((scene, pixel), (taps, 2 * pixel), (answer, pixel)):
        high, wide = np.multiply(image.shape, size)
        place = (left / 7.5, (2.15 - high) / 2.45, wide / 7.5, high / 2.45)
        axes.append(figure.add_axes(place))
        left += wide + 0.3
    axes[0].imshow(scene, cmap="gray", vmin=-0.4, vmax=1.3)
    axes[0].set(title="the picture")
    axes[1].imshow(taps, cmap="gray", vmin=-0.8, vmax=0.9)
    axes[1].set(title="the kernel")
    shown = axes[2].imshow(answer, cmap="gray", vmin=-6, vmax=6)
    axes[2].set(title="the output")
    place = axes[2].get_position()
    bar = figure.add_axes((place.x0, place.y0 - 0.06, place.width, 0.04))
    figure.colorbar(shown, cax=bar, orientation="horizontal")
    r, c = np.unravel_index(answer.argmax(), answer.shape)
    for ax, size in ((axes[0], 5), (axes[2], 1)):
        frame = {"fill": False, "color": "#d55e00", "linewidth": 2.5}
        ax.add_patch(plt.Rectangle((c - 1.1, r - 1.1), size + 1.2, size + 1.2, **frame))
    for ax in axes:
        ax.set(xticks=[], yticks=[])
        for side in ax.spines.values():
            side.set_visible(True)
    return figure


show(
    search_figure(scene, looks_for, answer),
    alt="Six signs with noise over them: a hook, a cross, a plus, a T, a block, and"
    " the hook upside down. The kernel is a small picture of the hook. In the "
    "output one pixel is by far the brightest, and its window is the hook, "
    "framed in orange",
)

# %% [markdown]
# The output is brightest at one pixel, and the window of this pixel is the hook; both are framed in
# orange. Grey is 0, as the scale below the output says. The other signs share some pixels with it
# and answer less. (Remember that an output pixel stands for its window's *top left corner*: the
# bright pixel is at the corner of the hook, not in its middle.)
#
# But it is a comparison and no proof. Brightness counts as well as shape: make the T twice as
# bright, and the largest output is near the T, at a place where seven of its nine pixels lie on
# bright taps of the hook.

# %%
r, c = corners[3]
brighter = scene.copy()
brighter[r : r + 5, c : c + 5] += tee
best_now = np.unravel_index(convolve(brighter, looks_for).argmax(), answer.shape)
print(f"the largest output is now at row {best_now[0]}, column {best_now[1]}")
print("the T is at", corners[3])

only_tee = np.zeros_like(scene)
only_tee[r : r + 5, c : c + 5] = tee
r, c = best_now
met = (only_tee[r : r + 5, c : c + 5] * hook).sum()
print(f"{met:g} of its pixels lie on bright taps there")

# %% [markdown]
# In a network nobody draws the kernels. Their taps are **[weights](../docs/glossary.md#weight)**:
# numbers that start at random and are changed, little by little, until the outputs are useful. But
# what a kernel *does* is what you have just seen: it is a small picture, and it is compared with
# the window at every place.
#
# ## 5. The same nine numbers everywhere
#
# The kernel does not know where it is. So if the image moves, the output moves along. (Only at the
# edges, where other pixels come into the image, there are new sums.) Here the scene moves by 1 row
# and 3 columns, and the part of the output that has moved is compared with what it was:

# %%
moved = np.zeros_like(scene)
moved[1:, 3:] = scene[:-1, :-3]

assert np.array_equal(convolve(moved, looks_for)[1:, 3:], answer[:-1, :-3])
r, c = np.unravel_index(convolve(moved, looks_for).argmax(), answer.shape)
print(f"the largest output was at row {best[0]}, column {best[1]}")
print(f"and is now at row {r}, column {c}")

# %% [markdown]
# What was learned in one place is known in every place. And it is cheap: however large the image, a
# 3 × 3 kernel is nine numbers. Suppose that every output pixel had numbers of its own, one for each
# image pixel, as in a **[fully connected layer](../docs/glossary.md#fully-connected-layer)**:

# %%
for side in (6, 96, 224):
    free = (side - 2) ** 2 * side**2
    print(f"{side:3d} x {side:<3d} pixels: {free:13,d} numbers, or 9 shared ones")

# %% [markdown]
# ## Break it
#
# In mathematics, "convolution" means something slightly different: there the kernel is *turned by
# 180 degrees* before it is laid on the image. What you have computed, without the turn, is called
# **[cross-correlation](../docs/glossary.md#cross-correlation)** there. Networks use it and say
# "convolution"; so do we. NumPy's own one-dimensional functions keep the two apart:

# %%
row, taps = np.array([0, 0, 1, 0, 0, 2, 0]), np.array([1, 2, 3])
print("ours        :", convolve(row[None], taps[None])[0].astype(int))
print("np.correlate:", np.correlate(row, taps, "valid"))
print("np.convolve :", np.convolve(row, taps, "valid"))

# %% [markdown]
# Does it matter? Set `TURN = True` below and run the cell. What does the kernel find now, and why?
# Then go on to the table: for which of the four kernels of section 3 would a wrong turn go
# unnoticed?

# %%
TURN = False

taps = looks_for[::-1, ::-1] if TURN else looks_for
show(
    search_figure(scene, taps, convolve(scene, taps)),
    alt="The search of section 4 once more, with the kernel as it is, or turned round",
)

for name, taps in kernels.items():
    change = np.abs(convolve(drawing, taps[::-1, ::-1]) - outputs[name]).max()
    print(f"{name:14s} turned: the output changes by at most {change:.2f}")

# %% [markdown]
# A turned kernel finds the turned hook. And a kernel that looks the same after the turn, such as
# the mean, cannot tell right from wrong. Keep that in mind for testing: *test with a kernel that
# has no symmetry*. It is the reason why the kernel of section 1 looks so arbitrary.
#
# ## What the paper says
#
# Dumoulin and Visin, *[A guide to convolution arithmetic for deep
# learning](https://arxiv.org/abs/1603.07285)* (2016), begin with the same picture: their Figure 1.1
# moves a kernel of 3 × 3 over an image of 5 × 5 and shows all nine sums. Here are the figure's
# numbers, put through our loops:

# %%
figure_image = np.array(
    [
        [3, 3, 2, 1, 0],
        [0, 0, 1, 3, 1],
        [3, 1, 2, 2, 3],
        [2, 0, 0, 2, 2],
        [2, 0, 0, 0, 1],
    ]
)
figure_kernel = np.array([[0, 1, 2], [2, 2, 0], [0, 1, 2]])
nine = convolve(figure_image, figure_kernel)
print(nine)
assert nine.tolist() == [[12, 12, 17], [10, 17, 19], [9, 6, 14]]

# %% [markdown]
# They, too, do not turn the kernel; a footnote says why they call it a convolution all the same.
# Noh, Hong and Han, *[Learning Deconvolution Network for Semantic
# Segmentation](https://arxiv.org/abs/1505.04366)* (2015), whose network these notebooks build up
# to, use 13 layers of such kernels, all of them 3 × 3, on the way from a photograph to what is in
# it, and two fully connected layers behind them. Two things differ from this page: their taps are
# learned, and their windows may hang over the edge (the next notebook).
#
# ## Exercises
#
# **1.** Use the mean kernel on the drawing twice. There is one single, larger kernel that does the
# same in one go. How large is it, and what are its taps? (No formula needed: what comes out if you
# put an image through that is 0 except for a single 1 in the middle?)
#
# <details><summary>Answer</summary>
#
# It has 5 × 5 taps: an output pixel sees 3 × 3 pixels of the first output, and these see 5 × 5
# pixels of the drawing. An image with a single 1 shows the taps one by one (turned by 180 degrees,
# which is not noticed here).
#
# ```python
# single = np.zeros((9, 9))
# single[4, 4] = 1
# twice = convolve(convolve(single, kernels["mean"]), kernels["mean"])
# print((81 * twice).round().astype(int))  # 1 2 3 2 1 times 1 2 3 2 1
# both = convolve(convolve(drawing, kernels["mean"]), kernels["mean"])
# assert np.allclose(convolve(drawing, twice), both)
# ```
# </details>
#
# **2.** A kernel of 1 × 1 has a single tap. What can it do, and what can it not do?
#
# <details><summary>Answer</summary>
#
# It multiplies every pixel by the same number. It cannot look at a neighbour, so it cannot see an
# edge.
#
# ```python
# assert np.array_equal(convolve(image, np.array([[3]])), 3 * image)
# ```
# </details>
#
# **3.** Take any two images of the same size and any two numbers $a$ and $b$. Show with an example
# that the convolution of $a x + b z$ is $a$ times that of $x$ plus $b$ times that of $z$. Such a
# map is called a [linear map](../docs/glossary.md#linear-map). Which step of the loop would have to
# change to spoil it?
#
# <details><summary>Answer</summary>
#
# ```python
# x1, x2 = rng.integers(-3, 4, (2, 7, 8))
# together = convolve(2 * x1 - 5 * x2, kernel)
# assert np.array_equal(together, 2 * convolve(x1, kernel) - 5 * convolve(x2, kernel))
# ```
#
# The output is made of products with fixed taps, and of sums, and both let $a$ and $b$ through.
# Products of two pixels, or a step such as "replace a negative sum by 0", would spoil it. Linear
# maps are what a matrix does, and in notebook 3 you will see the matrix.
# </details>
#
# ## In the library
# `convolve` is what the library computes; these functions do it for real, for many images and
# channels at once, and fast:
#
# - [`minideconv.ops.conv.conv2d`](../minideconv/ops/conv.py#L134): checks what it is given, and
#   says what the numbers mean.
# - [`minideconv.ops.conv.conv2d_core`](../minideconv/ops/conv.py#L178): the computation, in 20
#   lines. Its loop over windows is gone; notebook 3 shows where it went.
#
# On the [page to play with](../docs/play.md) you can move the window yourself, and drag the values
# of the taps. To step through the windows of an image of your own size, run this in a terminal; it
# writes a page that obeys the arrow keys:
#
# ```sh
# python -m minideconv.visualize animate conv --size 5 6 --kernel 3 --out conv.html
# ```
#
# Next: *[Stride, padding, dilation, channels, groups](02_stride_padding_dilation_groups.ipynb)*:
# the same nine products and one sum, with the window in other places.
