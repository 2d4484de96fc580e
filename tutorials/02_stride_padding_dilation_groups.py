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
# # Stride, padding, dilation, channels, groups: where the window looks
#
# In *[Convolution by hand](01_convolution_by_hand.ipynb)* a window visited every place of an image,
# one pixel after the other. A layer of a network (one of its steps) has five settings that change
# this. They never change what happens in a window: pixels times taps, one sum. They only say
# **which pixels lie under the taps**. That is the one idea of this notebook, and it has a useful
# consequence: nobody needs to remember the formula for the size of an output, because you can count
# windows.
#
# You need: the notebook before this one, and Python with NumPy.

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

from itertools import product

import numpy as np

from minideconv import data, ops
from minideconv.testing import check_answer, check_op
from minideconv.visualize import (
    Picture,
    overlap_counts,
    overlap_map,
    show,
    side_by_side,
    tap_colour,
    use_style,
)

use_style()

# %% [markdown]
# ## 1. One ruler, four geometries
#
# One row of pixels is enough to see it all. Think of the row as a ruler: $n = 8$ pixels, numbered 0
# to 7. The [kernel](../docs/glossary.md#kernel) has $k = 3$ [taps](../docs/glossary.md#tap). Below
# the ruler, each line is one window: it shows on which pixels the taps 1, 2, 3 lie. So each line is
# one number of the output: `y[0]` is the first, `y[1]` the second, and so on.


# %% tags=["hide-input"]
SIDE, RED, GREY = 26.0, "#b3261e", "#51606f"


def ruler(n, windows, title, taps, *, padding=0, after=1, refused=None):
    """Draw n pixels with their padding, and below them a line for each window."""
    left, top, before = 44.0, 34.0, max(1, padding)
    lines = len(windows) + (refused is not None)
    wide = left + (before + n + max(after, padding)) * SIDE + 6
    picture = Picture(max(wide, 7.9 * len(title)), top + SIDE + 10 + lines * (SIDE + 4) + 4)
    picture.words(2, 12, title, anchor="start", bold=True)
    for pixel in range(-padding, n + padding):
        x = left + (pixel + before) * SIDE
        if 0 <= pixel < n:
            picture.cell(x, top, SIDE, str(pixel), fill="#eef2f6")
        else:
            picture.cell(x, top, SIDE, dashed=True)
            picture.words(x + SIDE / 2, top + SIDE / 2, "pad", size=11, colour=GREY)
    for line, window in enumerate([*windows, *([] if refused is None else [refused])]):
        y = top + SIDE + 10 + line * (SIDE + 4)
        fits = line < len(windows)
        name = f"y[{line}]" if fits else "none"
        picture.words(left - 6, y + SIDE / 2, name, anchor="end", size=12, colour=GREY)
        first, last = (left + (pixel + before) * SIDE for pixel in (window[0], window[-1]))
        picture.line([(first, y + SIDE / 2), (last, y + SIDE / 2)], colour=GREY)
        for tap, pixel in enumerate(window, start=1):
            fill = tap_colour(tap, taps) if fits else "#ffffff"
            x = left + (pixel + before) * SIDE
            colour = "" if fits else RED
            stroke = {} if fits else {"stroke": RED}
            picture.cell(x, y, SIDE, str(tap), fill=fill, dashed=not fits, colour=colour, **stroke)
    return picture


# %%
def places(n, k, stride=1, padding=0, dilation=1):
    """Return for each window the pixels that its taps lie on (below 0 or from n: padding)."""
    if stride < 1:
        raise ValueError("the stride must be at least 1: a window that stands still gets nowhere")
    windows = []
    start = -padding  # the pixel of the first tap
    while start + dilation * (k - 1) < n + padding:  # the last tap is on the ruler
        windows.append([start + dilation * tap for tap in range(k)])
        start += stride
    return windows


four = {
    "plain": {},
    "stride 2": {"stride": 2},
    "padding 1": {"padding": 1},
    "dilation 2": {"dilation": 2},
}
all_windows = {name: places(8, 3, **setting) for name, setting in four.items()}

# %% tags=["hide-input"]
pictures = []
for name, setting in four.items():
    windows = all_windows[name]
    pictures.append(
        ruler(8, windows, f"{name}: {len(windows)} windows", 3, padding=setting.get("padding", 0))
    )

show(
    side_by_side(pictures[:2], gap=60),
    alt="Two rulers of 8 pixels. Plain: six windows of three neighbouring pixels, "
    "each one pixel further right. Stride 2: three windows, each two pixels "
    "further right; pixel 7 lies under none",
)
show(
    side_by_side(pictures[2:], gap=60),
    alt="Two more rulers. Padding 1: eight windows, of which the first and the last"
    " have one tap on a padding cell. Dilation 2: four windows whose taps lie "
    "on every second pixel",
)

# %% [markdown]
# The code above is all there is to it, and the pictures are drawn from what it returns.
#
# - **[Stride](../docs/glossary.md#stride)** $s$: how far the window moves from one output to the
#   next. With $s = 2$ it skips every second place, and the output has about half as many numbers.
#   Pixel 7 is under no window: it is left over.
# - **[Padding](../docs/glossary.md#padding)** $p$: how many zeros are put before the first and
#   behind the last pixel. The window may lie on them, so there are more places. With a kernel of 3
#   and $p = 1$ there is a window for every pixel, and the output is as long as the input.
# - **[Dilation](../docs/glossary.md#dilation)** $d$: how far apart neighbouring taps lie. With
#   $d = 2$ there is a gap of one pixel between them: three taps look at a stretch of five pixels.
#   (No zeros are put in anywhere: the gaps are simply not looked at.)
#
# The numbers $n$, $k$, $s$, $p$ and $d$ together are called the *geometry* of a convolution. They
# may be combined at will. Change one of them here, guess the picture, and run the cell:

# %%
n, k, s, p, d = 9, 3, 2, 1, 2

title = f"n = {n}, k = {k}, s = {s}, p = {p}, d = {d}"
show(
    ruler(n, places(n, k, s, p, d), title, k, padding=p),
    alt="The ruler with the windows of the geometry that is set in this cell",
)

# %% [markdown]
# ## 2. Count the windows
#
# How many windows are there, without drawing them? Walk along the ruler. Here are 9 pixels with
# $p = 1$, a kernel of $k = 3$ and the stride $s = 3$, and with it the window that would come next
# and does not fit.

# %% tags=["hide-input"]
show(
    ruler(
        9,
        places(9, 3, 3, 1),
        "room 11, span 3, stride 3",
        3,
        padding=1,
        after=2,
        refused=[8, 9, 10],
    ),
    alt="A ruler of 9 pixels with one padding cell at both ends, so 11 cells; three"
    " windows, each three cells further right; a fourth, dashed in red, would "
    "hang over the end by one cell",
)

# %% [markdown]
# 1. The **room** on the ruler is $n + 2p$: the pixels, and the padding at both ends. Here
#    $9 + 2 = 11$.
# 2. The **span** of a window is the stretch from its first to its last tap. $k$ taps have $k - 1$
#    steps of $d$ pixels between them, and the first tap itself takes one pixel: $d\,(k - 1) + 1$.
#    Here 3.
# 3. The first window stands at the beginning of the room. How far can it still move? By *room minus
#    span* pixels. Here $11 - 3 = 8$.
# 4. It moves in steps of $s$. The number of steps is $8 / 3$, rounded down: 2 steps. Two pixels of
#    room are left over.
# 5. The number of windows is the number of steps **plus one**: the window stood somewhere before
#    the first step. Here 3.
#
# Written in one line, with $\lfloor\;\rfloor$ for rounding down, the output has the length
#
# $$n' \;=\; \left\lfloor \frac{n + 2p - (d\,(k-1) + 1)}{s} \right\rfloor + 1$$
#
# If the room is smaller than the span, there is no window at all, and a library refuses. That was
# an argument. Let us also count, for every geometry up to 9 pixels, 4 taps, stride 4, padding 3 and
# dilation 3, and ask the library as well:


# %%
def output_size(n, k, s=1, p=0, d=1):
    """Return the number of windows, by the formula."""
    room, span = n + 2 * p, d * (k - 1) + 1
    return (room - span) // s + 1


def library_size(n, k, s, p, d):
    """Return the length that the library's convolution of one row gives."""
    row, taps = np.ones((1, 1, 1, n)), np.ones((1, 1, 1, k))
    return ops.conv2d(row, taps, None, (1, s), (0, p), (1, d)).shape[3]


tried = 0
small = range(1, 10), range(1, 5), range(1, 5), range(4), range(1, 4)
for n, k, s, p, d in product(*small):
    if n + 2 * p >= d * (k - 1) + 1:
        assert output_size(n, k, s, p, d) == len(places(n, k, s, p, d))
        assert output_size(n, k, s, p, d) == library_size(n, k, s, p, d)
        tried += 1
print(f"{tried} geometries: the formula, counting, and the library agree")

# %% [markdown]
# ### Your turn: sizes, in your head
#
# How long is the output in these four cases? Write a list of four numbers.
#
# | | pixels $n$ | taps $k$ | stride $s$ | padding $p$ | dilation $d$ |
# |---|---|---|---|---|---|
# | first | 10 | 5 | 1 | 0 | 1 |
# | second | 10 | 5 | 1 | 2 | 1 |
# | third | 224 | 7 | 2 | 3 | 1 |
# | fourth | 16 | 3 | 2 | 1 | 3 |

# %%
my_sizes = None  # [first, second, third, fourth]

# %% tags=["hide-input"]
cases = [(10, 5, 1, 0, 1), (10, 5, 1, 2, 1), (224, 7, 2, 3, 1), (16, 3, 2, 1, 3)]


def sizes(rule):
    """The four sizes by a rule, right or wrong."""
    return [rule(*case) for case in cases]


check_answer(
    "my_sizes",
    my_sizes,
    sizes(lambda *case: len(places(*case))),
    hints=[
        (
            lambda a: np.equal(a, sizes(lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s)),
            "You counted the steps. There is one window more than steps.",
        ),
        (
            lambda a: np.equal(a, sizes(lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1)),
            "The padding is put at both ends.",
        ),
        (
            lambda a: np.equal(a, sizes(lambda n, k, s, p, d: (n + 2 * p - k) // s + 1)),
            "Dilation makes the span of the taps longer.",
        ),
        (
            lambda a: np.equal(a, sizes(lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1)),
            "Between k taps there are k - 1 steps, and the first tap takes one pixel.",
        ),
        (
            lambda a: np.equal(
                a, sizes(lambda n, k, s, p, d: -((d * (k - 1) + 1 - n - 2 * p) // s) + 1)
            ),
            "A step that does not fit in whole is not made: round down.",
        ),
    ],
    hint="Write down room, span and steps of that case, as in the list above.",
)

# %% [markdown]
# ### Your turn: the padding that keeps the size
#
# Very often a layer should have an output as large as its input. With stride 1 and an odd number of
# taps $k$ there is one padding that does it, whatever $n$ is. Which? Complete the function; it
# should work for any odd $k$ and any $d$.


# %%
def my_padding(k, d):
    """Return the padding with which n pixels have n windows of k taps, d apart."""
    return None  # your turn


# %% tags=["hide-input"]
pairs_of_k_d = [(k, d) for k in (1, 3, 5, 7) for d in (1, 2, 3)]
written = my_padding(3, 1) is not None
paddings = [my_padding(k, d) for k, d in pairs_of_k_d] if written else None
lengths = (
    [len(places(20, k, 1, int(p), d)) for (k, d), p in zip(pairs_of_k_d, paddings, strict=True)]
    if written
    else None
)
check_answer(
    "my_padding, the lengths of outputs for 20 pixels",
    lengths,
    [20] * len(pairs_of_k_d),
    hints=[
        (lambda a: np.greater_equal(a, 20), "Too much, in some cases. It is put at both ends."),
        (lambda a: np.equal(np.array(a)[::3], 20), "Right for d = 1. The span depends on d."),
    ],
    hint="The output is shorter by span - 1 without padding. How much must each end give back?",
)

# %% [markdown]
# ## 3. Two axes: two rulers
#
# An image has rows and columns, and each axis has a ruler of its own, with its own $n$, $k$, $s$,
# $p$ and $d$. The window in row $r$ and column $c$ of the output is where window $r$ of the upright
# ruler crosses window $c$ of the level one. Here a kernel of 3 × 4 taps moves by 2 rows and 3
# columns over an image of 7 × 10:


# %% tags=["hide-input"]
def two_rulers(size, kernel, stride, lit):
    """An image between its two rulers, with the window `lit` where two of their windows cross."""
    rows, columns = (places(n, k, s) for n, k, s in zip(size, kernel, stride, strict=True))
    cell, gap = 26.0, 4.0
    left, top = len(rows) * (cell + gap) + 60, len(columns) * (cell + gap) + 34
    picture = Picture(left + size[1] * cell + 160, top + size[0] * cell + 6)

    def mark(x, y, tap, count, on):
        colour = tap_colour(tap, count)
        picture.cell(x, y, cell, str(tap), fill=colour if on else "#eef2f6")

    for c, window in enumerate(columns):
        y = c * (cell + gap) + 4
        picture.words(left - 8, y + cell / 2, f"column {c}", anchor="end", size=12, colour=GREY)
        for tap, pixel in enumerate(window, start=1):
            mark(left + pixel * cell, y, tap, kernel[1], c == lit[1])
    picture.words(24, top - 12, "row", anchor="end", size=12, colour=GREY)
    for r, window in enumerate(rows):
        x = r * (cell + gap) + 30
        picture.words(x + cell / 2, top - 12, str(r), size=12, colour=GREY)
        for tap, pixel in enumerate(window, start=1):
            mark(x, top + pixel * cell, tap, kernel[0], r == lit[0])
    for i, j in product(*map(range, size)):
        inside = i in rows[lit[0]] and j in columns[lit[1]]
        fill, label = "#ffffff", ""
        if inside:
            tap = rows[lit[0]].index(i) * kernel[1] + columns[lit[1]].index(j) + 1
            fill, label = tap_colour(tap, kernel[1]), str(tap)
        picture.cell(left + j * cell, top + i * cell, cell, label, fill=fill)
    x, y = left + columns[lit[1]][0] * cell, top + rows[lit[0]][0] * cell
    picture.box(x, y, kernel[1] * cell, kernel[0] * cell, stroke=RED, line=3)
    x = left + size[1] * cell + 40
    picture.words(x, top - 12, "output", anchor="start", bold=True)
    for r, c in product(range(len(rows)), range(len(columns))):
        fill = "#f7d488" if (r, c) == lit else "#ffffff"
        picture.cell(x + c * cell, top + r * cell, cell, fill=fill)
        if (r, c) == lit:
            picture.box(x + c * cell, top + r * cell, cell, cell, stroke=RED, line=3)
    return picture


show(
    two_rulers((7, 10), (3, 4), (2, 3), lit=(1, 2)),
    alt="An image of 7 by 10 pixels. Above it a ruler with three windows of four "
    "taps, at its left one with three windows of three taps. Row window 1 and "
    "column window 2 are lit, and where they cross lie the 12 taps of the "
    "window on the image; in the 3 by 3 output, row 1, column 2 is lit",
)


# %% [markdown]
# As a program: two rulers, and the double loop of the last notebook.
# (`padded[np.ix_(rows, columns)]` picks the given rows, and of these the given columns: it is the
# crossing.)


# %%
def convolve(image, kernel, stride=(1, 1), padding=(0, 0), dilation=(1, 1)):
    """Convolve an image (H, W) with a kernel (kh, kw); settings: (rows, columns)."""
    (H, W), (kh, kw), (ph, pw) = image.shape, kernel.shape, padding
    padded = np.pad(image, [(ph, ph), (pw, pw)])  # zeros at both ends of both axes
    rows = np.array(places(H, kh, stride[0], ph, dilation[0])) + ph  # counted in `padded`
    columns = np.array(places(W, kw, stride[1], pw, dilation[1])) + pw
    number_type = np.result_type(image, kernel)  # float32 stays float32
    output = np.zeros((len(rows), len(columns)), number_type)
    for r in range(len(rows)):
        for c in range(len(columns)):
            output[r, c] = (padded[np.ix_(rows[r], columns[c])] * kernel).sum()
    return output


rng = np.random.default_rng(0)
image = rng.integers(-3, 4, (9, 12)) * 1.0
kernel = rng.integers(-3, 4, (3, 2)) * 1.0
settings = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 3)}

ours = convolve(image, kernel, **settings)
x, w = image[None, None], kernel[None, None]  # with two more axes, of length 1
library = ops.conv2d(x, w, **settings)[0, 0]
print("9 x 12 pixels ->", ours.shape)
assert np.array_equal(ours, library)

# %% [markdown]
# What do the padding's zeros do to an image? They are black pixels that are not in the photograph.
# Take an even white image, and the mean of each 3 × 3 window:

# %%
white = np.ones((4, 6))
mean = convolve(white, np.full((3, 3), 1 / 9), padding=(1, 1))
print((9 * mean).round().astype(int), "ninths")

# %% [markdown]
# In the middle all nine taps lie on white pixels; at an edge only six, in a corner four. So the
# border of the output is darker although the image is even. A padded layer can tell where the
# border is.
#
# ## 4. Channels: several images, still one sum
#
# A colour photograph is three images of the same size: how much red, green and blue there is. Each
# is a **[channel](../docs/glossary.md#channel)**. Then the kernel has a slice for each channel, and
# the window goes through all of them: $3 \times 3 \times 3 = 27$ products, and **one sum**.
# Channels are not kept apart; they are added up.
#
# To get more than one output, use more than one kernel. Each kernel makes one channel of the
# output.


# %% tags=["hide-input"]
def channels_picture():
    """Three channels, two kernels of three slices, two output channels."""
    tints = ["#f2b09a", "#9fdcc3", "#9fd0f0"]
    picture = Picture(700, 316)
    picture.words(2, 12, "x: 3 channels", anchor="start", bold=True)
    for c, tint in enumerate(tints):
        y, cell = 26 + 98 * c, 15.0
        for i, j in product(range(5), range(6)):
            fill = tint if i in (1, 2, 3) and j in (2, 3, 4) else "#ffffff"
            picture.cell(2 + j * cell, y + i * cell, cell, fill=fill)
        picture.box(2 + 2 * cell, y + cell, 3 * cell, 3 * cell, stroke=RED, line=2.5)
        picture.words(100, y + 36, f"channel {c}", anchor="start", size=12, colour=GREY)
    picture.line([(162, 28), (168, 28), (168, 296), (162, 296)], colour=GREY)
    picture.words(230, 12, "w: 2 kernels of 3 slices", anchor="start", bold=True)
    picture.words(600, 12, "y: 2 channels", anchor="start", bold=True)
    cell = 20.0
    for k, y in enumerate((62, 204)):
        picture.line([(168, 158), (222, y + 30)], arrow=True, colour=GREY)
        for c, tint in enumerate(tints):
            x = 230 + 82 * c
            picture.grid(
                x, y, np.zeros((3, 3)), cell=cell, names=[[""] * 3] * 3, fills=[[tint] * 3] * 3
            )
            if c:
                picture.words(x - 11, y + 30, "+", size=16, bold=True)
        picture.words(230, y + 76, f"w[{k}]: 27 taps", anchor="start", size=12, colour=GREY)
        picture.line([(462, y + 30), (592, y + 30)], arrow=True, colour=GREY)
        picture.words(527, y + 16, "27 products,", size=12)
        picture.words(527, y + 44, "one sum", size=12)
        for i, j in product(range(3), range(4)):
            lit = (i, j) == (1, 2)
            picture.cell(600 + j * cell, y + i * cell, cell, fill="#f7d488" if lit else "#ffffff")
        picture.box(600 + 2 * cell, y + cell, cell, cell, stroke=RED, line=2.5)
        picture.words(600, y + 76, f"channel {k}", anchor="start", size=12, colour=GREY)
    return picture


show(
    channels_picture(),
    alt="An image of three channels with a 3 by 3 window lit in all of them; two "
    "kernels, each with three slices; from each an arrow, labelled 27 products,"
    " one sum, to one pixel of an output channel",
)

# %% [markdown]
# This is where the four axes of the library's arrays come from (an array with several axes is also
# called a **[tensor](../docs/glossary.md#tensor)**):
#
# | array | shape | axes |
# |---|---|---|
# | `x` | $(N, C, H, W)$ | images in the **[batch](../docs/glossary.md#batch)** (computed together, for speed), channels, rows, columns |
# | `w` | $(K, C, k_h, k_w)$ | kernels, slices of each, rows and columns of taps |
# | `b` | $(K)$ | the **[bias](../docs/glossary.md#bias)**: one number for each kernel, which is added to all its outputs |
# | `y` | $(N, K, H', W')$ | images, channels (one for each kernel), rows, columns |
#
# Here is the sum over channels, computed with `convolve` and by the library:

# %%
x = rng.integers(-3, 4, (2, 3, 7, 8)) * 1.0  # 2 images of 3 channels, 7 x 8 pixels
w = rng.integers(-3, 4, (5, 3, 3, 2)) * 1.0  # 5 kernels of 3 slices, 3 x 2 taps
b = rng.integers(-3, 4, 5) * 1.0

y = ops.conv2d(x, w, b)
print(f"x {x.shape}, w {w.shape}, b {b.shape} -> y {y.shape}")

n, k = 1, 4  # channel 4 of image 1, by hand
by_hand = sum(convolve(x[n, c], w[k, c]) for c in range(3)) + b[k]
assert np.array_equal(by_hand, y[n, k])

# %% [markdown]
# A small but important case is the kernel of **1 × 1** taps. With one channel it could only
# multiply. With several it *mixes*: each output is a weighted sum of the channels of a single
# pixel. Three weights turn a colour drawing grey:

# %%
colour = data.Shapes("val", size=64)[3][0] / 255  # (H, W, 3): images have channels last
mix = np.array([0.3, 0.59, 0.11]).reshape(1, 3, 1, 1)  # the eye sees green best
grey = ops.conv2d(colour.transpose(2, 0, 1)[None], mix)[0, 0]

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 5, figsize=(7.5, 1.9), layout="constrained")
panels = [
    ("the drawing", colour),
    *zip(("red", "green", "blue"), colour.transpose(2, 0, 1), strict=True),
]
for ax, (title, panel) in zip(axes, [*panels, ("a 1 × 1 kernel", grey)], strict=True):
    ax.imshow(panel, cmap="gray", vmin=0, vmax=1)
    ax.set(title=title, xticks=[], yticks=[])
show(
    figure,
    alt="A coloured drawing, its red, green and blue channels as three grey images "
    "that differ in brightness, and their mixture by a 1 by 1 kernel: one grey "
    "image",
)

# %% [markdown]
# ## 5. Groups: not every kernel sees every channel
#
# The last setting splits the channels into **[groups](../docs/glossary.md#groups)**. The first
# kernels see only the first channels, the next kernels the next ones, and so on. Nothing passes
# from one group to another.


# %% tags=["hide-input"]
def wiring(channels, groups):
    """Which input channels (above) each kernel (below) sees."""
    step, cell, high = 34.0, 26.0, 92.0
    picture = Picture(channels * step + 8, high + 100)
    picture.words(2, 12, f"groups = {groups}", anchor="start", bold=True)
    size = channels // groups
    colours = ["#0072b2", "#d55e00", "#009e73", "#a0457c", "#51606f", "#8a6100"]
    middle = [4 + c * step + cell / 2 for c in range(channels)]
    for k, c in product(range(channels), range(channels)):
        if k // size == c // size:
            ends = [(middle[c], 28 + cell), (middle[k], 28 + high)]
            picture.line(ends, colour=colours[k // size], line=1.3)
    for c in range(channels):
        fill = "#eef2f6"
        picture.cell(middle[c] - cell / 2, 28, cell, str(c), fill=fill)
        picture.cell(middle[c] - cell / 2, 28 + high, cell, str(c), fill=fill)
    count = channels * size * 9
    picture.words(
        4, 28 + high + cell + 16, f"{channels} kernels of {size} × 3 × 3", anchor="start", size=12
    )
    picture.words(4, 28 + high + cell + 33, f"= {count} weights", anchor="start", size=12)
    return picture


show(
    side_by_side([wiring(6, groups) for groups in (1, 2, 6)], gap=28),
    alt="Three wirings of six input channels, above, and six kernels, below. One "
    "group: all 36 pairs are joined, 324 weights. Two groups: channels 0 to 2 "
    "with kernels 0 to 2, and 3 to 5 with 3 to 5, 162 weights. Six groups: each"
    " kernel sees one channel, 54 weights",
)

# %% [markdown]
# So a kernel has fewer slices, $C / \text{groups}$, and there are fewer
# **[weights](../docs/glossary.md#weight)** (taps that are learned) to store and to multiply. With
# as many groups as channels, each kernel sees a single channel: a **[depthwise
# convolution](../docs/glossary.md#depthwise-convolution)**. A grouped convolution is nothing new:
# it is several convolutions side by side.

# %%
x = rng.integers(-3, 4, (1, 4, 7, 8)) * 1.0
w = rng.integers(-3, 4, (6, 2, 3, 3)) * 1.0  # 6 kernels of 4 / 2 slices

together = ops.conv2d(x, w, groups=2)
first = ops.conv2d(x[:, 0:2], w[0:3])  # channels 0 and 1, kernels 0 to 2
second = ops.conv2d(x[:, 2:4], w[3:6])  # channels 2 and 3, kernels 3 to 5
assert np.array_equal(together, np.concatenate([first, second], axis=1))

# %% [markdown]
# ### Your turn: the whole layer
#
# Now put everything together. Write a `conv2d` with all the settings, from `convolve`, which does
# one image, one channel and one slice of a kernel. You need three loops: over images, over kernels,
# and over the channels that the kernel sees. With $K$ kernels and $C$ channels, kernel $k$ is in
# group $k\,/\,(K / \text{groups})$, rounded down, and group $g$ begins at channel
# $g\,(C / \text{groups})$. Do not forget the bias, which may be `None`. The output has the number
# type of the inputs, as that of `convolve` has: float32 stays float32.


# %%
def my_conv2d(x, w, b=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """Convolve (N, C, H, W) with (K, C / groups, kh, kw): -> (N, K, H', W')."""
    return None  # your turn


# %% [markdown]
# The check calls your function with more than a hundred small geometries, and compares. If it is
# wrong, read the first lines: they show the smallest case it could find, and name the mistake if it
# knows it.

# %%
if my_conv2d(x, w, groups=2) is None:
    print("my_conv2d: nothing written yet")
else:
    print(check_op(my_conv2d, "conv2d").text())

# %% [markdown]
# ## Break it
#
# Some geometries make a layer blind. Below, each number counts how many windows look at a pixel
# with one of their taps. Where it is 0, the cell puts in other values, and its last line makes sure
# that the output is the same. Run it as it is. Then set `STRIDE = 2`, leave `DILATION = 2`, and run
# it again.

# %%
STRIDE, DILATION, KERNEL, SIZE = 1, 2, 3, 9

counts = overlap_counts(SIZE, KERNEL, STRIDE, 0, DILATION)
show(
    overlap_map(counts, title="windows that look at each pixel"),
    alt="An image with the number of windows that look at it in each pixel",
)

unseen = counts == 0
print(f"{unseen.sum()} of {SIZE**2} pixels are never looked at")

picture = rng.standard_normal((SIZE, SIZE))
changed = np.where(unseen, 1000.0, picture)  # other values wherever nobody looks
taps = rng.standard_normal((KERNEL, KERNEL))
options = {"stride": (STRIDE, STRIDE), "dilation": (DILATION, DILATION)}
once, again = convolve(picture, taps, **options), convolve(changed, taps, **options)
assert np.array_equal(once, again)

# %% [markdown]
# With stride 2 and dilation 2, all taps of all windows fall on even rows and even columns: more
# than two thirds of the image could hold anything. Try `KERNEL = 1` with stride 2 as well, and
# `SIZE = 10` with stride 2 and dilation 1, where the last row and column are left over. The library
# also refuses some geometries, in a sentence:

# %%
for size, options in ((4, {"dilation": 3}), (9, {"groups": 2}), (9, {"stride": 0})):
    try:
        ops.conv2d(np.ones((1, 3, size, size)), np.ones((3, 3, 3, 3)), **options)
    except (ValueError, TypeError) as error:
        print("-", error)

# %% [markdown]
# ## What the paper says
#
# Dumoulin and Visin, *[A guide to convolution arithmetic for deep
# learning](https://arxiv.org/abs/1603.07285)* (2016), derive the size case by case, without and
# with padding, then with strides. Our formula without dilation is their Relationship 6, with
# dilation Relationship 15; their Figure 1.3 shows two input channels and three kernels, as our
# picture of channels does. Where the settings come from:
#
# | setting | in the literature |
# |---|---|
# | stride 1, padding 1, 3 × 3 taps: the size stays | VGG, [Simonyan and Zisserman (2015)](https://arxiv.org/abs/1409.1556), section 2.1, and with it the network of [Noh, Hong and Han (2015)](https://arxiv.org/abs/1505.04366) |
# | groups | [Krizhevsky, Sutskever and Hinton (2012)](https://papers.nips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html), Figure 2: half of the channels on each of two GPUs |
# | dilation | [Yu and Koltun (2016)](https://arxiv.org/abs/1511.07122), Figure 1 |
# | depthwise, then 1 × 1 | [Howard et al. (2017)](https://arxiv.org/abs/1704.04861), section 3.1 |
#
# One famous size can be checked: Krizhevsky and his co-authors write that their first layer has
# 11 × 11 taps, a stride of 4 and images of 224 × 224 pixels, and their Figure 2 gives its output
# 55 × 55. With no padding, the formula disagrees; with which padding does it agree?

# %%
for p in range(4):
    print(f"224 pixels, 11 taps, stride 4, padding {p}:", output_size(224, 11, 4, p))
print("227 pixels, 11 taps, stride 4, padding 0:", output_size(227, 11, 4))

# %% [markdown]
# Where we differ: the guide derives the sizes for square images and the same settings along both
# axes (and says that one axis does not influence the other); here they may differ. Some frameworks
# pad by different amounts at both ends; this library, as the guide, pads both ends alike.
#
# ## Exercises
#
# **1.** Put three layers of 3 taps (stride 1) behind each other, on one row of pixels. On how many
# pixels of the input does one number of the last output depend, if all have dilation 1? If the
# dilations are 1, 2 and 4? (This number is the **[receptive
# field](../docs/glossary.md#receptive-field)**.)
#
# <details><summary>Answer</summary>
#
# Every layer adds its span minus one: $1 + 2 + 2 + 2 = 7$, and $1 + 2 + 4 + 8 = 15$. As an
# experiment: follow the taps back from one output.
#
# ```python
# def seen(dilations, n=40):
#     pixels = {0}  # the first number of the last output
#     lengths = [n]
#     for d in dilations:
#         lengths.append(output_size(lengths[-1], 3, d=d))
#     for d, length in zip(reversed(dilations), reversed(lengths[:-1])):
#         windows = places(length, 3, dilation=d)
#         pixels = {pixel for place in pixels for pixel in windows[place]}
#     return len(pixels)
#
#
# assert seen([1, 1, 1]) == 7
# assert seen([1, 2, 4]) == 15
# ```
# </details>
#
# **2.** A layer has 3 taps, stride 2 and padding 1, and its output has 4 numbers. How many pixels
# had its input?
#
# <details><summary>Answer</summary>
#
# There are two right answers, 7 and 8: the stride has left over none or one pixel. From the output
# alone it cannot be told. This will return in notebook 5, where a layer has to go the way back.
#
# ```python
# assert [n for n in range(1, 20) if output_size(n, 3, s=2, p=1) == 4] == [7, 8]
# ```
# </details>
#
# **3.** A layer turns 256 channels into 256 channels with kernels of 3 × 3. How many weights has
# it? And how many have a depthwise convolution of 3 × 3 followed by a convolution of 1 × 1,
# together? What is missing in the cheaper one?
#
# <details><summary>Answer</summary>
#
# ```python
# whole = np.zeros((256, 256, 3, 3)).size
# depthwise, mixing = np.zeros((256, 1, 3, 3)).size, np.zeros((256, 256, 1, 1)).size
# print(whole, depthwise + mixing, whole / (depthwise + mixing))
# assert (whole, depthwise + mixing) == (589824, 67840)
# ```
#
# It has 8.7 times fewer. The whole layer has a pattern of nine taps of its own for each of the
# 65,536 pairs of channels. The cheap one has a single pattern for each input channel, and all
# outputs have to share it.
# </details>
#
# ## In the library
#
# These few lines do it for real:
#
# - [`minideconv.ops.geometry.conv_output_size`](../minideconv/ops/geometry.py#L177): the formula,
#   for both axes, and the refusal.
# - [`minideconv.ops.geometry.Window.tap`](../minideconv/ops/geometry.py#L117): both rulers at once:
#   where one tap of all windows lies, as a slice of rows and one of columns.
# - [`minideconv.ops.geometry.receptive_extent`](../minideconv/ops/geometry.py#L172): the span of a
#   kernel.
# - [`minideconv.ops.conv.conv2d`](../minideconv/ops/conv.py#L134): the layer with all five
#   settings.
#
# Next: *[A convolution is a matrix](03_convolution_is_a_matrix.ipynb)*. Look once more at the
# rulers of section 1: lines of taps, each a bit further right. You have been drawing that matrix
# all along. On the [page to play with](../docs/play.md) all the settings of this notebook are
# sliders.
