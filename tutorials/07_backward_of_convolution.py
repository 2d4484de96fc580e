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
# # The backward pass of a convolution
#
# Three arrays meet in a convolution: the image, the kernel and the output. The idea of this notebook:
# **one sum of products can be added up in three ways, by output pixel, by image pixel or by kernel
# entry. These are the three operations, and the backward pass of each is made of the other two.** So
# nobody has to derive a gradient of a convolution; you only have to see which of the three it is.
#
# You need the matrix of a convolution (notebook 3, *A convolution is a matrix*), the transposed convolution
# (notebook 4) and from school what a slope is. The notebook before this one is *Checkerboards*. It
# runs in a few seconds on any CPU.

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
from minideconv.testing import Limits, OperationError, check_answer, check_gradients, check_op
from minideconv.visualize import Picture, contrast, show, use_style
from minideconv.visualize.figures.style import ACCENT, FILLS, HUES, INK, LINE

use_style()

# %% [markdown]
# ## 1. The question that a backward pass answers
#
# A network is trained by making one number small, the [loss](../docs/glossary.md#loss) $L$: it says how wrong the
# network is. Computing it is the [forward pass](../docs/glossary.md#forward-pass). Somewhere on the way there is a
# [convolution](../docs/glossary.md#convolution) of an image `x` with a [kernel](../docs/glossary.md#kernel) `W` (`w`
# in the code), and its output is `y`.


# %% tags=["hide-input"]
def node(picture, x, y, text, fill="#ffffff", radius=21, stroke=LINE, size=13.0):
    """Draw a circle with a text in it."""
    picture.dot(x, y, radius, fill=fill, stroke=stroke, line=2.0 if stroke != LINE else 1.2)
    picture.words(x, y, text, bold=True, size=size)


chain = Picture(700, 170)
for x0, y0, wide, text in ((150, 34, 120, "convolution"), (395, 34, 164, "rest of the network")):
    chain.box(x0, y0, wide, 90, fill=FILLS["pale"], stroke=LINE)
    chain.words(x0 + wide / 2, y0 + 45, text, bold=True)
for x0, x1, y0, text in (
    (50, 150, 50, "x"),
    (270, 395, 50, "y"),
    (559, 650, 50, "L"),
):
    chain.line([(x0, y0), (x1 - 2, y0)], arrow=True, line=2.0)
    chain.words((x0 + x1) / 2, y0 - 14, text, bold=True)
for x0, x1, y0, text in ((395, 270, 108, "dy"), (150, 50, 108, "dx")):
    chain.line([(x0, y0), (x1 + 2, y0)], arrow=True, line=2.0, colour=ACCENT)
    chain.words((x0 + x1) / 2, y0 + 15, text, bold=True, colour=ACCENT)
chain.line([(190, 6), (190, 33)], arrow=True, line=2.0)
chain.words(174, 12, "W", bold=True)
chain.line([(230, 34), (230, 8)], arrow=True, line=2.0, colour=ACCENT)
chain.words(252, 12, "dW", bold=True, colour=ACCENT)
chain.words(6, 158, "black: forward pass", anchor="start")
chain.words(200, 158, "red: backward pass", anchor="start", colour=ACCENT)
show(
    chain,
    alt="Boxes for a convolution and the rest of the network. Black arrows lead from x and W through "
    "y to the loss L; red arrows lead back: dy arrives at the convolution, dx and dW leave it",
)

# %% [markdown]
# To make $L$ smaller we have to know, for every single number, what a small change of it does to $L$. That is
# a [gradient](../docs/glossary.md#gradient): the gradient of $L$ with respect to `x` (we say *by* `x`) has the shape of `x`, and
# each of its entries is a slope, *how much L changes per unit of change of this pixel*. We call it `dx`; `dy` and `dW`
# are those by `y` and by `W`.
#
# The [backward pass](../docs/glossary.md#backward-pass) goes through the network from its end. When it comes to
# our convolution, `dy` is known already. The gradient that arrives from above, of the shape of the output, is called the
# [cotangent](../docs/glossary.md#cotangent). The convolution knows nothing else of the rest of the
# network, and needs nothing else: a small change $\Delta y$ of its output changes $L$ by
#
# $$\Delta L = \sum_p dy_p\, \Delta y_p ,$$
#
# where $p$ counts the output pixels, from 0.
#
# **The question is: given `dy`, what are `dx` and `dW`?** We begin with an image of one row, four pixels, and a
# kernel of two entries, which we call *[taps](../docs/glossary.md#tap)*. Pixels and taps are counted from 0 as well:
# the taps below are $w_0 = 2$ and $w_1 = 1$.


# %%
def row(*numbers):
    """Numbers as an image of one row: (N, C, H, W) = (1, 1, 1, len(numbers))."""
    return np.array(numbers, dtype=float).reshape(1, 1, 1, -1)


x, w = row(1, 2, 3, 1), row(2, 1)
y = ops.conv2d(x, w)
dy = row(1, -2, 3)  # what arrived from above

print("y =", y.ravel())

# %% [markdown]
# Now the picture that answers the question. Every line is one product: it takes a pixel of `x`, at the top, times a
# tap, to a pixel of `y`, at the bottom. A line that leans to the right is tap 0 (blue where it is lit), one that
# leans to the left tap 1 (vermilion). In the forward pass an output pixel collects what comes down its two lines.
# Pixel $x_1$ is lit: only two lines leave it, so a change of $x_1$ can reach $L$ by these two only.


# %% tags=["hide-input"]
TAPS = (HUES[0], HUES[1])  # tap 0 is blue, tap 1 vermilion


def wiring(top, bottom, names, title, lit, upwards=False):
    """Draw the products of a convolution of one row: lines from pixels to output pixels."""
    picture = Picture(335, 245)
    picture.words(4, 12, title, anchor="start", bold=True)
    across = [48 + 80 * i for i in range(4)]
    down = [88 + 80 * p for p in range(3)]
    for p in range(3):
        for tap in range(2):
            bright = p + tap == lit
            start, end = (across[p + tap], 92), (down[p], 188)
            ends = (end, start) if upwards else (start, end)
            shade = TAPS[tap] if bright else "#c3ccd4"
            picture.line(ends, colour=shade, line=3.0 if bright else 1.3, arrow=bright)
            if bright:
                middle = (start[0] + end[0]) / 2 + (13 if tap == 0 else -13), 138
                picture.words(*middle, f"{w.ravel()[tap]:g}", bold=True, colour=TAPS[tap])
    for where, height, label, texts in ((across, 72, names[0], top), (down, 208, names[1], bottom)):
        for place, (left, text) in enumerate(zip(where, texts, strict=True)):
            own = label == names[0] and place == lit
            node(picture, left, height, text, FILLS["amber"] if own else "#ffffff")
            picture.words(
                left, height + (-29 if height < 100 else 30), f"{label}{place}", size=11.0
            )
    return picture


def texts(array):
    return [f"{number:g}".replace("-", "−") for number in np.ravel(array)]


forward = wiring(texts(x), texts(y), ("x", "y"), "forward: lines from x1", lit=1)
answer = float(dy.ravel()[0] * w.ravel()[1] + dy.ravel()[1] * w.ravel()[0])
backward = wiring(
    ["?", *texts(answer), "?", "?"], texts(dy), ("dx", "dy"), "backward: the same lines", 1, True
)
both = Picture(700, 250)
both.add(forward, 0, 0)
both.add(backward, 358, 0)
show(
    both,
    alt="Left four pixels of x above three of y, joined by six lines; the two lines from x1 are lit: "
    "tap 1, of value 1, leads to y0, and tap 0, of value 2, to y1. Right the same lines upwards: "
    "dy0 = 1 and dy1 = -2 come up to dx1, which is -3",
)

# %% [markdown]
# If $x_1$ grows by a little bit $\varepsilon$, then $y_0$ grows by $1\,\varepsilon$ (tap 1) and $y_1$ by
# $2\,\varepsilon$ (tap 0). $L$ therefore changes by
# $dy_0 \cdot 1\,\varepsilon + dy_1 \cdot 2\,\varepsilon = (1 - 4)\,\varepsilon$, so $dx_1 = -3$. **The backward pass collects along the same lines, upwards.** The
# experiment agrees:


# %%
def loss(x, w):
    """L as far as this convolution sees it: each output pixel counts dy times."""
    return np.sum(dy * ops.conv2d(x, w))


print("change of L when x1 grows by 1:", loss(x + row(0, 1, 0, 0), w) - loss(x, w))

# %% [markdown]
# ### Your turn
#
# What is $dx_2$, the gradient by the third pixel? Follow its two lines, with pencil and paper.

# %%
my_dx2 = None

# %% tags=["hide-input"]
(v0, v1), (_, d1, d2) = w.ravel(), dy.ravel()
check_answer(
    "my_dx2",
    my_dx2,
    ops.conv_transpose2d(dy, w).ravel()[2],
    hints=[
        (lambda a: a == d1 * v0 + d2 * v1, "Which tap is on which line? x2 meets y1 by tap 1."),
        (lambda a: a in (d1 * v1, d2 * v0), "That is one of its lines. The other one counts too."),
        (
            lambda a: a == v0 + v1,
            "Each tap is multiplied by the cotangent at the line's lower end.",
        ),
    ],
    hint="Two lines end at x2: one from y1, one from y2. Multiply dy by the tap, and add.",
)

# %% [markdown]
# ## 2. One sum, three ways to add it up
#
# Look at all six lines at once, not only at those of one pixel. Each is a product of *three*
# numbers: a pixel, a tap and the cotangent. Here they are in a table, with a row for each output pixel
# and a column for each image pixel. It is the matrix of notebook 3, with every tap multiplied by
# its pixel and its cotangent. Pixel $i$ meets output pixel $p$ by tap number $i - p$; the colour is the tap.


# %% tags=["hide-input"]
def light(colour):
    """A pale version of a colour, for a black text on it."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(0.32 * part + 0.68 * 255):02x}" for part in parts)


assert min(contrast(INK, light(tap)) for tap in TAPS) > 4.5

xs, ws, ds, ys = (a.ravel() for a in (x, w, dy, y))
terms = np.array([[ds[p] * ws[i - p] * xs[i] if 0 <= i - p < 2 else 0 for i in range(4)]
                  for p in range(3)])  # fmt: skip
column_sums, row_sums = terms.sum(axis=0), terms.sum(axis=1)
tap_sums = [sum(terms[p, p + tap] for p in range(3)) for tap in range(2)]

table, left, top, wide, high = Picture(700, 290), 52, 48, 118, 40
table.words(left + 2 * wide, 12, "cotangent × tap × pixel", bold=True)
for i in range(4):
    table.words(left + (i + 0.5) * wide, 36, f"x{i} = {xs[i]:g}")
    end = f"x{i}·dx{i} = {column_sums[i]:g}".replace("-", "−")
    table.words(left + (i + 0.5) * wide, top + 3 * high + 20, end, bold=True)
for p in range(3):
    table.words(left - 5, top + (p + 0.5) * high, f"y{p}", anchor="end")
    end = f"y{p}·dy{p} = {row_sums[p]:g}".replace("-", "−")
    table.words(left + 4 * wide + 12, top + (p + 0.5) * high, end, anchor="start", bold=True)
    for i in range(4):
        used = 0 <= i - p < 2
        fill = light(TAPS[i - p]) if used else "#ffffff"
        table.box(left + i * wide, top + p * high, wide, high, fill=fill)
        if used:
            product = f"{ds[p]:g} · {ws[i - p]:g} · {xs[i]:g} = {terms[p, i]:g}"
            table.words(left + (i + 0.5) * wide, top + (p + 0.5) * high, product.replace("-", "−"))
for tap in range(2):
    y0 = top + 3 * high + 48 + 26 * tap
    table.box(left, y0 - 9, 18, 18, fill=light(TAPS[tap]))
    parts = " + ".join(f"{terms[p, p + tap]:g}" for p in range(3)).replace("+ -", "- ")
    sentence = f"tap {tap}: {parts} = {tap_sums[tap]:g} = w{tap}·dW{tap}"
    table.words(left + 26, y0, sentence.replace("-", "−"), anchor="start", bold=True)
ways = ("rows", row_sums.sum()), ("columns", column_sums.sum()), ("colours", sum(tap_sums))
total = ", ".join(f"by {way}: {number:g}" for way, number in ways)
table.words(left, top + 3 * high + 104, total, anchor="start", bold=True, colour=ACCENT)
show(
    table,
    alt="A table of three rows and four columns with six products, two in each row, such as 1 · 2 · 1 "
    "= 2. Its sums by rows are 4, -14, 21, by columns 2, -6, 12, 3, by the two colours 12 and -1; "
    "all three add up to 11",
)

# %% [markdown]
# The total is 11 in all three ways. But look at *what* is collected each time, when the number that is common to a
# group is taken out:
#
# - **By rows.** Take $dy_p$ out of row $p$: what is left is $\sum_i w_{i-p} x_i = y_p$. That is the **convolution**.
# - **By columns.** Take $x_i$ out of column $i$: what is left is $\sum_p dy_p w_{i-p}$. These are the lines
#   that meet in pixel $i$: $dx_i$. It is what you did on paper, and it is the **[transposed
#   convolution](../docs/glossary.md#transposed-convolution)** of `dy`: each $dy_p$ lays down a [stamp](../docs/glossary.md#stamp), the kernel times $dy_p$.
# - **By colours.** Take $w_t$ out of colour $t$: what is left is $\sum_p dy_p x_{p+t}$. How much does $L$ change
#   when tap $t$ grows? It is on three lines, and the change comes down all of them: this is $dW_t$. The
#   library calls this operation `conv2d_weight_grad`.
#
# A sum of products entry by entry is an [inner product](../docs/glossary.md#inner-product), written
# $\langle a, b\rangle = \sum_k a_k b_k$, for arrays of any (equal) shape. With it, the three sums read
#
# $$\langle \mathrm{conv2d}(x, W),\ dy\rangle = \langle x,\ \mathrm{conv\_transpose2d}(dy, W)\rangle$$
#
# $$= \langle W,\ \mathrm{conv2d\_weight\_grad}(x, dy)\rangle .$$

# %%
dx = ops.conv_transpose2d(dy, w)
dw = ops.conv2d_weight_grad(x, dy, kernel_size=(1, 2))

print("rows    <conv2d(x, W), dy>             =", np.sum(y * dy))
print("columns <x, conv_transpose2d(dy, W)>   =", np.sum(x * dx))
print("colours <W, conv2d_weight_grad(x, dy)> =", np.sum(w * dw))

# %% [markdown]
# ## 3. The triangle
#
# Nothing in that argument needed a single row, or [stride](../docs/glossary.md#stride) 1, or one
# [channel](../docs/glossary.md#channel): with any geometry there is a list of products *pixel × tap × output pixel*.
# So draw the three arrays as the corners of a triangle. **Each edge joins two arrays, and the operation on it
# makes an array of the shape of the third corner.** In each picture below one edge is lit, for images of
# 3 channels, kernels of 3 × 2, and different strides, [paddings](../docs/glossary.md#padding) and
# [dilations](../docs/glossary.md#dilation) along the two axes. The corner `y` holds an array of the output's shape, here a
# random cotangent `dY`. All numbers are whole, so that equal means *equal*.

# %%
rng = np.random.default_rng(0)
geometry = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}
X = rng.integers(-3, 4, (2, 3, 9, 8)).astype(float)  # 2 images of 3 channels
W = rng.integers(-3, 4, (5, 3, 3, 2)).astype(float)  # 5 kernels
Y = ops.conv2d(X, W, **geometry)
dY = rng.integers(-3, 4, Y.shape).astype(float)

to_y = Y  # the edge x-W
to_x = ops.conv_transpose2d(dY, W, **geometry)  # the edge y-W
to_w = ops.conv2d_weight_grad(X, dY, (3, 2), **geometry)  # the edge x-y
numbers = [np.sum(to_y * dY), np.sum(X * to_x), np.sum(W * to_w)]
assert numbers[0] == numbers[1] == numbers[2]


# %% tags=["hide-input"]
CORNERS = {"x": (40, 150), "W": (190, 150), "y": (115, 46)}
OPPOSITE = {"y": ("x", "W"), "x": ("y", "W"), "W": ("x", "y")}
NAMES = {"y": "conv2d", "x": "conv_transpose2d", "W": "conv2d_weight_grad"}


def triangle(target, title, lines, arrived=None, colour=HUES[0], names=NAMES):
    """Draw the triangle with the edge opposite to `target` lit, and an arrow to `target`."""
    picture = Picture(230, 200 + 20 * len(lines))
    picture.words(115, 10, title, bold=True, size=12.0)
    for corner, (a, b) in OPPOSITE.items():
        lit = corner == target
        shade, thick = (colour, 7.0) if lit else ("#c3ccd4", 2.0)
        picture.line([CORNERS[a], CORNERS[b]], colour=shade, line=thick)
    (ax, ay), (bx, by) = (CORNERS[c] for c in OPPOSITE[target])
    tx, ty = CORNERS[target]
    mx, my = (ax + bx) / 2, (ay + by) / 2
    start = mx + 0.1 * (tx - mx), my + 0.1 * (ty - my)
    reach = 1 - 27 / np.hypot(tx - mx, ty - my)
    end = mx + reach * (tx - mx), my + reach * (ty - my)
    picture.line([start, end], colour=colour, arrow=True, line=3.0)
    for corner, place in CORNERS.items():
        fill = FILLS["green"] if corner == target else FILLS["amber"] if corner == arrived else ""
        given = fill or FILLS["pale"]
        prefix = "d" if arrived and corner in (target, arrived) else ""
        node(picture, *place, prefix + corner, given, stroke=colour if corner == target else LINE)
    picture.words(115, 186, names[target], bold=True, colour=colour)
    for k, line in enumerate(lines):
        picture.words(115, 208 + 20 * k, line, size=12.0)
    return picture


def beside(pictures, gap=4):
    whole = Picture(sum(p.width + gap for p in pictures), max(p.height for p in pictures))
    for k, picture in enumerate(pictures):
        whole.add(picture, k * (pictures[0].width + gap), 0)
    return whole


steps = [
    triangle("y", "edge x–W makes a y", ["⟨conv2d(x, W), y⟩", f"= {numbers[0]:g}"]),
    triangle("x", "edge y–W makes an x", ["⟨x, conv_transpose2d(y, W)⟩", f"= {numbers[1]:g}"]),
    triangle("W", "edge x–y makes a W", ["⟨W, conv2d_weight_grad(x, y)⟩", f"= {numbers[2]:g}"]),
]
show(
    beside(steps),
    alt="Three times the triangle with the corners x, W and y. The edge x–W is lit and points to y: "
    "conv2d. The edge y–W is lit and points to x: conv_transpose2d. The edge x–y is lit and points "
    "to W: conv2d_weight_grad. The inner product below each is the same whole number",
)

# %% [markdown]
# When $\langle A x, y\rangle = \langle x, B y\rangle$ for *all* $x$ and $y$, then $B$ is called the
# [adjoint](../docs/glossary.md#adjoint) of $A$. If $A$ is a matrix, the adjoint is its
# [transpose](../docs/glossary.md#transpose) $A^{\mathsf T}$, which you met in notebook 3. The adjoint is the same
# thing without a need to write the matrix down. So: with the kernel held still, conv_transpose2d is the adjoint of
# conv2d. With the image held still, conv2d_weight_grad is the adjoint of conv2d, taken as a function of
# the kernel.
#
# ## 4. Why the triangle gives every backward pass
#
# Change the image by $\Delta x$. The convolution is a [linear map](../docs/glossary.md#linear-map) of the image (it is a matrix), so
# $\Delta y = \mathrm{conv2d}(\Delta x, W)$, and by section 1
#
# $$\Delta L = \langle dy,\ \mathrm{conv2d}(\Delta x, W)\rangle = \langle \mathrm{conv\_transpose2d}(dy, W),\ \Delta x\rangle .$$
#
# The first inner product is the question, the second the answer: what stands beside $\Delta x$ is the slope for every
# pixel, so $dx = \mathrm{conv\_transpose2d}(dy, W)$. The other edge gives $dW$ in the same way. In the triangle: **the cotangent arrives at
# the corner that was computed, and lights up the two edges that meet there.**

# %% tags=["hide-input"]
steps = [
    triangle("y", "forward", ["y = conv2d(x, W)"]),
    triangle("x", "backward by x", ["dx = conv_transpose2d(dy, W)"], "y", ACCENT),
    triangle("W", "backward by W", ["dW = conv2d_weight_grad(x, dy)"], "y", ACCENT),
]
show(
    beside(steps),
    alt="The triangle three times. Forward: the edge x–W points to y. Backward by x: dy stands at the "
    "corner y, its edge to W is lit and points to dx. Backward by W: the edge from x to dy is lit "
    "and points to dW",
)

# %% [markdown]
# That is all of the convolution's backward pass. Only the [bias](../docs/glossary.md#bias) is not in the triangle. It is one
# number for each output channel that is added to all of the channel's pixels. So when it grows by $\varepsilon$, each of
# them does, and its gradient is the sum of the channel's `dy`.


# %%
def conv2d_backward(dy, x, w, stride, padding):
    """The gradients of y = conv2d(x, w) + b by x, w and b, given dy."""
    sides = zip(x.shape[2:], w.shape[2:], stride, padding, strict=True)
    left_over = tuple((n + 2 * p - k) % s for n, k, s, p in sides)
    dx = ops.conv_transpose2d(dy, w, None, stride, padding, output_padding=left_over)  # no bias
    dw = ops.conv2d_weight_grad(x, dy, w.shape[2:], stride, padding)
    db = dy.sum(axis=(0, 2, 3))
    return dx, dw, db


# %% [markdown]
# (If the stride does not divide evenly, the last window ends before the image does. `left_over` is the number of
# rows and columns behind it, and [`output_padding`](../docs/glossary.md#output-padding) makes `dx` as large as `x` again:
# notebook 5.)
#
# ### Your turn
#
# The second half of DeconvNet is made of transposed convolutions, so it needs *their* backward pass:
# `z = conv_transpose2d(y, w) + b`, where `z` has the large size, and `dz` arrives. Draw the triangle
# for it: which corner was computed, at which corner does the cotangent arrive, which edges does it light up? Then
# write the two missing gradients. Each is one call of one of
#
# - `ops.conv2d(x, w, **geometry)`,
# - `ops.conv_transpose2d(y, w, **geometry)`,
# - `ops.conv2d_weight_grad(x, y, w.shape[2:], **geometry)`, with the large array first.
#
# `geometry` holds stride, padding and groups of the convolution whose transpose this is. `output_padding` is not
# needed: `dz` has the right size already. (The check's messages call your three results dx, dw and db, in the order
# in which you return them: your `dy` is their dx.)


# %%
def my_backward(dz, y, w, output_padding, **geometry):
    """The gradients of z = conv_transpose2d(y, w) + b by y, w and b, given dz."""
    dy = None
    dw = None
    return dy, dw, dz.sum(axis=(0, 2, 3))


# %% tags=["hide-input"]
one = np.ones((1, 1, 1, 1))
if any(part is None for part in my_backward(one, one, one, 0)):
    print("my_backward: nothing written yet")
else:
    try:
        limits = Limits(fixed={"dilation": (1, 1)})  # any geometry without dilation
        check_op(my_backward, "conv_transpose2d_backward", limits=limits)
        print("my_backward: ✓")
    except OperationError as error:  # the likely mistake and a small example, no right values
        said = str(error).partition("\nRule:")[0].partition("\nAgain:")[0].splitlines()
        print("\n".join(line for line in said if "must be" not in line))

# %% [markdown]
# ## 5. How do you know? The gradient check
#
# A gradient is a slope, and a slope can be measured. Move one pixel a little to both sides, by $\pm h$, and look at
# how much the loss changes: that is the slope of the line through two points of the curve,
#
# $$\frac{L(x + h e) - L(x - h e)}{2h}, \qquad e = 1 \text{ at this pixel, } 0 \text{ elsewhere.}$$
#
# To compare it with what the backward pass says is a [gradient check](../docs/glossary.md#gradient-check). For
# once, the rest of the network is not linear: $L = \sum_p \sin y_p$, so that `dy` is $\cos y$.


# %%
picture = rng.standard_normal((1, 2, 6, 6))
kernel = rng.standard_normal((3, 2, 3, 3))


def L(x, w=kernel):
    """The loss, in the precision of its arguments."""
    return np.sin(ops.conv2d(x, w)).sum()


PIXEL = (0, 0, 2, 3)
cotangent = np.cos(ops.conv2d(picture, kernel))
claimed = ops.conv_transpose2d(cotangent, kernel)[PIXEL]


def moved(t):
    """The picture with one pixel changed by t."""
    other = picture.copy()
    other[PIXEL] += t
    return other


def measured(h, dtype=float):
    """The slope of the line through two points."""
    high, low = (L(moved(t).astype(dtype), kernel.astype(dtype)) for t in (h, -h))
    return float(high - low) / (2 * h)


print(f"backward says {claimed:.9f}")
print(f"measured      {measured(1e-5):.9f}")

# %% tags=["hide-input"]
figure, (ax, bx) = plt.subplots(1, 2, figsize=(7.5, 3.2))
t, h = np.linspace(-0.5, 0.5, 101), 0.3
ax.plot(t, [L(moved(s)) for s in t], color=INK, label="L")
ax.plot(t, L(picture) + claimed * t, color=HUES[0], linestyle="--", label="slope from backward")
ends = np.array([-h, h])
heights = np.array([L(moved(s)) for s in ends])
ax.plot(ends, heights, "o-", color=HUES[1], label="through two points")
ax.set(xlabel="change t of one pixel", ylabel="L", title="two slopes")
ax.legend(loc="best")
steps = 10.0 ** np.arange(-13, 0.1, 0.25)
for dtype, colour, style in ((np.float32, HUES[3], "--"), (np.float64, HUES[2], "-")):
    errors = [abs(measured(s, dtype) - claimed) / abs(claimed) for s in steps]
    name = np.dtype(dtype).name
    bx.loglog(steps, np.maximum(errors, 1e-13), style, color=colour, label=name)
bx.set(xlabel="step h", title="relative difference of the slopes")
bx.legend(loc="lower left")
figure.tight_layout()
show(
    figure,
    alt="Left the loss as a curve over the change of one pixel, with the straight line of the slope "
    "that the backward pass gave and a line through two points of the curve. Right the difference "
    "of the slopes over the step: in float64 it falls below 1e-10 at steps near 1e-6 and rises "
    "on both sides; in float32 it is never below 1e-6",
)

# %% [markdown]
# The right picture is worth remembering. If the step is too long, the curve bends within it. If it is too short, the
# two losses agree in nearly all their digits, and their difference is [rounding](../docs/glossary.md#rounding). In
# between is a valley. In float32 (numbers of 7 digits; float64 has 16) it is narrow and ends above $10^{-6}$: a
# smaller mistake cannot be told from rounding. In float64 it is a million times deeper. **Check gradients in float64,
# whatever you train in.**
#
# One pixel at a time would need two forward passes per pixel. Move all pixels at once instead, along one random
# direction $v$: the slope in this direction must be $\langle dx, v\rangle$. That is one number for a whole array, and
# a mistake in any entry shows in it. The library's `check_gradients` does it. The loss is that of section 1,
# $\langle dy, y\rangle$, with random numbers for `dy`. If the slopes differ, it raises an error that says where; else
# it returns how well they agree:

# %%
settings = {"stride": (2, 1), "padding": (1, 0)}
worst = check_gradients(
    lambda x, w: ops.conv2d(x, w, **settings),
    [picture, kernel],
    backward=lambda dy: conv2d_backward(dy, picture, kernel, **settings)[:2],
)
print(f"largest relative difference: {worst:.1e}")

# %% [markdown]
# For a linear function there is a second check, without step and without rounding: is backward the adjoint of
# forward? Take whole numbers, compute both inner products, compare by `==`, as in section 3.
#
# ## Break it
#
# Here is the transposed convolution as a loop, with three popular mistakes built in. Run the cell, then set `MISTAKE`
# to `"turned"` (the kernel turned by 180°), to `"stride"` (the stride forgotten) and to `None`. Each mistake is tried
# on three kinds of data, by the inner products of section 3. **Each time before you run it: on which of them will the
# mistake not be noticed?**

# %%
MISTAKE = "assign"  # "assign", "turned", "stride" or None


def stamps(dy, w, size, stride, mistake):
    """Gradient by x, for one channel and no padding: each dy stamps the kernel."""
    dx, (k, _) = np.zeros(size), w.shape
    step = 1 if mistake == "stride" else stride
    stamp = w[::-1, ::-1] if mistake == "turned" else w
    for (p, q), value in np.ndenumerate(dy):
        under = slice(p * step, p * step + k), slice(q * step, q * step + k)
        if mistake == "assign":
            dx[under] = value * stamp  # overwrites what an earlier stamp left
        else:
            dx[under] += value * stamp
    return dx


def adjoint_check(w, stride, mistake, n=9):
    """Whether <conv2d(x), dy> == <x, stamps(dy)>, and what stands in dx."""
    noise = np.random.default_rng(1)
    x = noise.integers(-3, 4, (n, n)).astype(float)
    out = ops.conv2d(x[None, None], w[None, None], stride=stride)[0, 0]
    dy = noise.integers(-3, 4, out.shape).astype(float)
    dx, right = (stamps(dy, w, (n, n), stride, m) for m in (mistake, None))
    return np.sum(out * dy) == np.sum(x * dx), right, dx


odd = np.arange(1.0, 10.0).reshape(3, 3)
even = np.array([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])
cases = {
    "kernel 1..9, stride 2": (odd, 2),
    "kernel 1..9, stride 3": (odd, 3),
    "symmetric kernel, stride 1": (even, 1),
}
for name, (k, s) in cases.items():
    holds, _, _ = adjoint_check(k, s, MISTAKE)
    print(f"{name:28} {'the adjoint: nothing noticed' if holds else 'NOT the adjoint: noticed'}")

# %% tags=["hide-input"]
_, right, wrong = adjoint_check(odd, 2, MISTAKE)
figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.5), layout="constrained")
limit = max(np.abs(right).max(), np.abs(wrong).max())
for ax, plane, title in (
    (axes[0], right, "right dx"),
    (axes[1], wrong, f"with the mistake “{MISTAKE}”"),
    (axes[2], wrong - right, "difference"),
):
    shown = ax.imshow(plane, cmap="RdBu", vmin=-limit, vmax=limit)
    ax.set(title=title, xticks=[], yticks=[])
figure.colorbar(shown, ax=axes, shrink=0.8, aspect=14)
show(
    figure,
    alt="The right gradient of 9 by 9 pixels at stride 2, the one with the chosen mistake, and their "
    "difference; with assign it is not zero in the rows and columns where two stamps overlap",
)

# %% [markdown]
# Assigning is wrong where stamps overlap, and with a 3 × 3 kernel at stride 3 none do. A turned kernel is
# the same kernel if it is symmetric. A forgotten stride does no harm at stride 1. **A check can find only
# what its data can show:** use kernels without symmetry, strides smaller than the kernel and larger than 1, and
# different numbers along the two axes. Notebook 11 makes that into a method.
#
# ## What the paper says
#
# Dumoulin and Visin, [A guide to convolution arithmetic for deep learning](https://arxiv.org/abs/1603.07285) (2016),
# section 4.1: a convolution is written as a matrix $C$, and the error goes back by multiplying with $C^{\mathsf T}$.
# Section 4.2: whether a kernel stands for a convolution or for a transposed one depends on which of $C$ and
# $C^{\mathsf T}$ is used forward and which backward. Our triangle has both as two of its edges; the third, the
# gradient of the kernel, is not in the guide. It is what trains the "deconvolution" layers of Noh, Hong and Han,
# [Learning deconvolution network for semantic segmentation](https://arxiv.org/abs/1505.04366) (2015), section 3.2.2.
# We turn no kernel: what deep learning calls a convolution is in mathematics a
# [cross-correlation](../docs/glossary.md#cross-correlation).
#
# ## Exercises
#
# **1.** What is the adjoint of *zero padding*, which puts two rows and columns of zeros around an image? Guess from
# the wiring (which lines leave the border?), then show it with the adjoint identity.
#
# <details><summary>Answer</summary>
#
# Cropping. The border's zeros come from no pixel, so what arrives there is dropped.
#
# ```python
# image = rng.integers(-3, 4, (1, 2, 4, 5)).astype(float)
# padded = np.pad(image, [(0, 0), (0, 0), (2, 2), (2, 2)])
# arrived = rng.integers(-3, 4, padded.shape).astype(float)
# assert np.sum(padded * arrived) == np.sum(image * arrived[..., 2:-2, 2:-2])
# ```
# </details>
#
# **2.** The third edge of the triangle: `w = conv2d_weight_grad(x, y)` is a function too, and someone may ask for its
# gradients (to differentiate a gradient once more). `v`, of the shape of `w`, arrives. Which operation gives the gradient
# by `y`, which that by `x`? Check it with `check_gradients`.
#
# <details><summary>Answer</summary>
#
# The cotangent is at the corner W; its edges lead to y (by conv2d, with x) and to x (by
# conv_transpose2d, with y).
#
# ```python
# a, b = rng.standard_normal((1, 2, 5, 5)), rng.standard_normal((1, 3, 3, 3))
# check_gradients(
#     lambda x, y: ops.conv2d_weight_grad(x, y, (3, 3)),
#     [a, b],
#     backward=lambda v: (ops.conv_transpose2d(b, v), ops.conv2d(a, v)),
# )
# ```
# </details>
#
# **3.** Write a pair of functions, forward and backward, that passes the adjoint check for every x and dy, and is
# *not* the convolution of the library. Then find one call that tells them apart.
#
# <details><summary>Answer</summary>
#
# Turn the kernel in both. The adjoint check compares backward with forward, and knows nothing of what
# forward should be. (The pair that always returns zeros passes too.) An image that is 0 but for a 1 in one
# pixel shows the kernel as it lies, so it needs no second implementation to compare with.
#
# ```python
# turned = W[:, :, ::-1, ::-1].copy()
# forward = ops.conv2d(X, turned, **geometry)
# backward = ops.conv_transpose2d(dY, turned, **geometry)
# assert np.sum(forward * dY) == np.sum(X * backward)  # the adjoint check is content
#
# dot = np.zeros((1, 1, 5, 5))
# dot[0, 0, 2, 2] = 1
# seen = ops.conv2d(dot, odd[None, None])[0, 0]
# assert np.array_equal(seen, odd[::-1, ::-1])  # window (0, 0): the 1 is under its last tap
# other = ops.conv2d(dot, odd[None, None, ::-1, ::-1].copy())[0, 0]
# assert not np.array_equal(other, seen)
# ```
# </details>
#
# ## In the library
#
# These lines do it for real:
#
# - [`minideconv.ops.conv.conv2d_weight_grad`](../minideconv/ops/conv.py#L282): the third edge, `dy @ im2col(x).T`.
# - [`minideconv.ops.conv.conv2d_backward`](../minideconv/ops/conv.py#L364): names two of the three, and computes
#   nothing itself.
# - [`minideconv.ops.conv.conv_transpose2d_backward`](../minideconv/ops/conv.py#L407): your turn of section 4.
# - [`minideconv.testing.gradients.check_gradients`](../minideconv/testing/gradients.py#L40): the gradient check.
# - [`minideconv.testing.adjoint.check_adjoint`](../minideconv/testing/adjoint.py#L40): the adjoint check.
#
# Next: *Pooling, switches and unpooling*.
