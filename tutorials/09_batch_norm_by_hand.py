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
# # Batch normalisation by hand
#
# [Batch normalisation](../docs/glossary.md#batch-normalisation) shifts and scales every channel of a network so that
# its mean becomes 0 and its spread 1. The idea of this notebook: **mean and spread are computed from the channel's
# own numbers, so every output depends on every number, and a gradient comes back to a number by three ways.** We
# write the forward pass in six lines, turn each of them round, and check each. The same fact explains why a popular
# test of its backward pass tests almost nothing, and why the layer has two modes.
#
# You need the words gradient and cotangent, and the gradient check (notebook 7, *The backward pass of a convolution*), and from
# school the derivative of a power. The notebook before this one is *Pooling, switches and unpooling*. It runs in a few seconds on any CPU.

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
from minideconv.testing import OperationError, check_answer, check_op
from minideconv.visualize import Picture, show, use_style
from minideconv.visualize.figures.style import FILLS, HUES, INK, LINE, MUTED

use_style()
np.set_printoptions(precision=4, suppress=True)

# %% [markdown]
# ## 1. Four numbers on a line
#
# Take the four numbers 4, 10, 2, 4 (two of them are equal). Their *mean* is 5. Subtract it, and they lie around 0. Their *variance* is the mean of the
# squares of what is left, $(1 + 25 + 9 + 1)/4 = 9$, and its square root, 3, the *standard deviation*, says how far they
# typically are from 0. Divide by it, and the mean is 0 and the variance 1, whatever the numbers were. The last line is a
# scale $\gamma$ and a shift $\beta$, so that the layer can undo all this if that is better. $\gamma$ and $\beta$ are
# [trainable parameters](../docs/glossary.md#trainable-parameter): numbers that training changes, one of each for every
# channel. PyTorch and this library call them `weight` and `bias`.

# %%
x = np.array([4.0, 10, 2, 4])
weight, bias, eps = 2.0, 1.0, 1e-5

mean = x.mean()
c = x - mean  # centred
var = (c**2).mean()
inv_std = (var + eps) ** -0.5  # one over the standard deviation
xh = c * inv_std  # "x hat": normalised
y = weight * xh + bias

# %% tags=["hide-input"]
lines = (("x", x), ("c = x − mean", c), ("xh = c / 3", xh), ("y = 2 xh + 1", y))
ruler, left, unit, step = Picture(700, 258), 150.0, 33.0, 64
places = [[(left + (v + 4) * unit, 26 + step * k) for v in vs] for k, (_, vs) in enumerate(lines)]
for i in range(4):  # the first 4 is drawn thicker, so that it shows beneath the other one
    thick = 6.0 if i == 0 else 2.0
    ruler.line([row[i] for row in places], colour=(*HUES[:3], MUTED)[i], line=thick)
for k, (name, _) in enumerate(lines):
    y0 = 26 + step * k
    ruler.words(4, y0, name, anchor="start", bold=True)
    ruler.line([(left, y0), (left + 14 * unit, y0)], colour=LINE, line=1.2)
    for tick in range(-4, 11, 2):
        ruler.line(
            [(left + (tick + 4) * unit, y0 - 4), (left + (tick + 4) * unit, y0 + 4)], colour=LINE
        )
        label = str(tick).replace("-", "−")
        ruler.dot(left + (tick + 4) * unit, y0 + 15, 7, fill="#ffffff", stroke="#ffffff", line=0)
        ruler.words(left + (tick + 4) * unit, y0 + 15, label, size=11.0, colour=MUTED)
    for i, place in enumerate(places[k]):
        radius = 9 if i == 0 else 6
        ruler.dot(*place, radius, fill=(*HUES[:3], MUTED)[i], stroke="#ffffff")
show(
    ruler,
    alt="Four number lines, one below the other. The numbers 4, 10, 2, 4 move left by 5, shrink "
    "towards 0 by a factor 3, and are stretched by 2 and moved right by 1",
)

# %% [markdown]
# (One colour for each number; the two that are equal, blue and grey, stay together.) `eps`, here 0.00001, keeps the
# division possible when all numbers are equal. That is also why the numbers below are not quite what you get on
# paper.
#
# ### Your turn
#
# Normalise the four numbers 1, 7, 7, 9 on paper: subtract the mean, divide by the standard deviation (no scale, no
# shift). Write fractions as fractions: 2 / 7, not 0.29.

# %%
my_xh = None  # four numbers

# %% tags=["hide-input"]
yours = np.array([1.0, 7, 7, 9])
centred = yours - yours.mean()
right = ops.batch_norm(yours.reshape(1, 1, 2, 2), None, None, eps=1e-12).ravel()
check_answer(
    "my_xh",
    my_xh,
    right,
    hints=[
        (
            lambda a: np.allclose(a, centred),
            "They are centred. Now divide by the standard deviation.",
        ),
        (lambda a: np.allclose(a, centred / 9), "Divide by the root of the variance."),
        (lambda a: np.allclose(a, right, atol=0.05), "Rounded: write the fractions as fractions."),
        (
            lambda a: np.allclose(a, centred / yours.std(ddof=1)),
            "The variance is the mean of the four squares: divide their sum by 4, not by 3.",
        ),
    ],
    hint="First the mean of the four; then the mean of the squares of the distances from it; then its root.",
)

# %% [markdown]
# ## 2. Which numbers belong together
#
# A network is trained with several images at a time, a [batch](../docs/glossary.md#batch), and each layer holds for
# each image several planes of numbers, its [channels](../docs/glossary.md#channel): an array of shape $(N, C, H, W)$.
# Batch normalisation takes *all numbers of one channel* together, over all images and all pixels: $M = N H W$
# numbers. Each channel has its own mean and variance. The drawing shows a small batch, three images of 2 × 3 pixels;
# the code takes 16 of 8 × 8. (`None, None` are the places of what section 5 adds.)

# %%
rng = np.random.default_rng(0)
batch = rng.standard_normal((16, 3, 8, 8)) * np.array([1, 4, 0.5])[:, None, None]
batch += np.array([3, -2, -6])[:, None, None]
normalised = ops.batch_norm(batch, None, None)

# %% tags=["hide-input"]
sheet = Picture(330, 214)
sheet.words(6, 12, "one batch: the numbers of channel 1", anchor="start", bold=True)
for n in range(3):
    sheet.words(104 + 84 * n, 38, f"image {n}", size=12.0)
    for k in range(3):
        if n == 0:
            sheet.words(6, 76 + 50 * k, f"channel {k}", anchor="start", size=12.0)
        for r, q in np.ndindex(2, 3):
            fill = FILLS["amber"] if k == 1 else "#ffffff"
            edge = INK if k == 1 else LINE
            sheet.box(74 + 84 * n + 20 * q, 56 + 50 * k + 20 * r, 20, 20, fill=fill, stroke=edge)
show(
    sheet,
    alt="Three images side by side, each with three channels of 2 by 3 pixels; the pixels of channel "
    "1 are marked in all three images",
)

figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.6), layout="constrained")
for ax, array, title in ((axes[0], batch, "before"), (axes[1], normalised, "after")):
    for k, style in enumerate(("-", "--", ":")):
        counts, edges = np.histogram(array[:, k], bins=28)
        density = counts / counts.sum() / np.diff(edges)
        middle = (edges[1:] + edges[:-1]) / 2
        ax.plot(middle, density, style, color=HUES[k], label=f"channel {k}")
    ax.set(title=title, xlabel="value", ylabel="share per unit")
axes[0].legend(loc="upper left")
show(
    figure,
    alt="How the values of three channels are spread. Before: around 3, -2 and -6, with widths 1, 4 "
    "and 0.5. After: all three around 0 with width 1, one curve upon the other",
)

# %% [markdown]
# From here on we look at a single channel again, with its numbers in one row.
#
# ## 3. Backward, line by line
#
# Suppose the [cotangent](../docs/glossary.md#cotangent) `dy` arrives: how much the [loss](../docs/glossary.md#loss) $L$ changes
# per unit of each $y_i$. What is `dx`? Look first at who uses whom.


# %% tags=["hide-input"]
def flow(names):
    """Draw the six lines of the forward pass as boxes, with an arrow for each use."""
    picture, wide = Picture(716, 146), 78
    lefts = [4 + 105 * k for k in range(len(names))]
    y0, y1 = 52, 86

    def arrow(start, end, colour, bend=0.0):
        a, b = lefts[start] + wide, lefts[end]
        if bend:
            a, b = lefts[start] + wide / 2, lefts[end] + wide / 2
            base = y0 if bend < 0 else y1
            points = [(a, base), (a + 14, base + bend), (b - 14, base + bend), (b, base)]
        else:
            points = [(a, (y0 + y1) / 2), (b, (y0 + y1) / 2)]
        picture.line(points, colour=colour, line=2.4, arrow=True)

    arrow(0, 1, HUES[2])
    arrow(1, 2, HUES[2])
    arrow(0, 2, HUES[0], -34)
    arrow(2, 3, HUES[1])
    arrow(3, 4, HUES[1])
    arrow(4, 5, HUES[1])
    arrow(2, 5, HUES[0], -34)
    arrow(5, 6, INK)
    for place, name in zip(lefts, names, strict=True):
        picture.box(place, y0, wide, y1 - y0, fill=FILLS["pale"], stroke=LINE)
        picture.words(place + wide / 2, (y0 + y1) / 2, name, bold=True)
    for k, (colour, text) in enumerate(
        ((HUES[0], "directly"), (HUES[2], "by the mean"), (HUES[1], "by the variance"))
    ):
        picture.line([(10 + 190 * k, 124), (34 + 190 * k, 124)], colour=colour, line=3.0)
        picture.words(42 + 190 * k, 124, text, anchor="start")
    return picture


show(
    flow(("x", "mean", "c", "var", "inv_std", "xh", "y")),
    alt="Boxes x, mean, c, var, inv_std, xh, y in a row with arrows: x is used by mean and by c, c is "
    "used by var and by xh. So from x to y there is a direct way, one by the mean and one by the variance",
)

# %% [markdown]
# `x` is used twice: for the mean, and to be centred. `c` is used twice: for the variance, and to be divided. (The
# arrows also allow a fourth way, by the mean and then by the variance. What comes back on it is always 0, as you will
# see.) The backward pass goes through the same boxes from right to left. The rule for each box is the one of notebook
# 7: a line turns the gradient of its result into the gradients of what it used, and **what was used twice receives
# two gradients, which add up**. Here are the six lines, last one first:
#
# | forward | backward |
# |---|---|
# | `y = weight * xh + bias` | `dweight = sum(dy * xh)`, `dbias = sum(dy)`, `dxh = weight * dy` |
# | `xh = c * inv_std` | `dc = dxh * inv_std`, `dinv_std = sum(dxh * c)` |
# | `inv_std = (var + eps) ** -0.5` | `dvar = ` ... yours |
# | `var = mean(c ** 2)` | `dc` gets `dvar * 2 * c / M` more |
# | `c = x - mean` | `dx = dc`, `dmean = -sum(dc)` |
# | `mean = mean(x)` | `dx` gets `dmean / M` more |
#
# A single number that was used for many (`weight`, `inv_std`, `mean`) receives the sum of what comes from all of
# them. And a mean over $M$ numbers gives each of them one $M$th.
#
# How do we know that each line is right? We *measure* it. The loss is that of notebook 7: each $y_i$ counts $dy_i$
# times. The function below runs the six lines, but takes a value in the middle from us if we give one. So we can move
# any of them by a little bit, and see what the loss does.

# %%
dy = np.array([1.0, -2, 3, 2])  # what arrived
M = len(x)


def loss(x=x, mean=None, c=None, var=None, inv_std=None, xh=None, dy=dy):
    """The six lines; a value that is given replaces its line."""
    mean = x.mean() if mean is None else mean
    c = x - mean if c is None else c
    var = (c**2).mean() if var is None else var
    inv_std = (var + eps) ** -0.5 if inv_std is None else inv_std
    xh = c * inv_std if xh is None else xh
    y = weight * xh + bias
    return np.sum(dy * y)


def measure(name, value, h=1e-4, dy=dy):
    """The slope of the loss by each entry of one of the values, from two points."""
    value = np.atleast_1d(np.asarray(value, dtype=float))
    slopes = np.zeros(len(value))
    for i in range(len(value)):
        step = h * (np.arange(len(value)) == i)
        high, low = (value + s * step for s in (1, -1))
        if len(value) == 1:
            high, low = high[0], low[0]
        slopes[i] = (loss(dy=dy, **{name: high}) - loss(dy=dy, **{name: low})) / (2 * h)
    return slopes


def compare(name, value, gradient):
    measured = measure(name, value)
    same = np.allclose(gradient, measured, rtol=1e-6, atol=1e-6)
    verdict = "✓" if same else "✗ DIFFERENT"
    print(f"d{name:8} {np.atleast_1d(gradient)}  measured {measured}  {verdict}")


# %%
dxh = weight * dy
compare("xh", xh, dxh)

dc_direct = dxh * inv_std
dinv_std = np.sum(dxh * c)
compare("inv_std", inv_std, dinv_std)

# %% [markdown]
# ### Your turn
#
# The third line: `inv_std` is a power of `var + eps`. How does its slope lead from `dinv_std` to `dvar`?
# Write the formula with the names `dinv_std`, `var` and `eps`, or `inv_std`.

# %%
my_dvar = None

# %% tags=["hide-input"]
check_answer(
    "my_dvar",
    my_dvar,
    measure("var", var, h=1e-3)[0],
    hints=[
        (lambda a: np.isclose(a, dinv_std * inv_std**3 / 2), "Look at the sign of the exponent."),
        (lambda a: np.isclose(a, -dinv_std * inv_std**3), "What comes down in front of a power?"),
        (lambda a: np.isclose(a, -dinv_std * inv_std / 2), "The exponent becomes smaller by one."),
        (
            lambda a: np.isclose(a, -(inv_std**3) / 2),
            "That is the slope. Multiply by what arrived.",
        ),
        (
            lambda a: np.isclose(a, -dinv_std * inv_std**3 / 2, rtol=0.01),
            "Nearly: write the formula with the names, so that nothing is rounded.",
        ),
    ],
    hint="The derivative of v ** p is p * v ** (p - 1). Multiply it by the gradient that arrives.",
)

# %% [markdown]
# Now the rest. (If you have not written `my_dvar`, the measured slope stands in for it.) Where `dc` and `dx`
# have received both of their parts, they agree with the measurement:

# %%
dvar = measure("var", var, h=1e-3)[0] if my_dvar is None else my_dvar
dc_by_variance = dvar * 2 * c / M
dc = dc_direct + dc_by_variance
compare("c", c, dc)

dmean = -np.sum(dc)
compare("mean", mean, dmean)
print(f"part of dmean that comes by the variance: {abs(np.sum(dc_by_variance)):.4f}")

dx_by_mean = np.full(M, dmean / M)
dx = dc + dx_by_mean
compare("x", x, dx)

# %% tags=["hide-input"]
figure, ax = plt.subplots(figsize=(7.5, 3.0), layout="constrained")
parts = (("directly", dc_direct, HUES[0], ""), ("by the mean", dx_by_mean, HUES[2], "//"),
         ("by the variance", dc_by_variance, HUES[1], ".."))  # fmt: skip
for k, (name, part, colour, hatch) in enumerate(parts):
    ax.bar(np.arange(M) + 0.2 * (k - 1.5), part, 0.18, color=colour, hatch=hatch,
           edgecolor="white", label=name)  # fmt: skip
ax.bar(np.arange(M) + 0.3, dx, 0.18, color=INK, label="sum: dx")
ax.axhline(0, color=LINE, linewidth=1)
ax.set(xticks=range(M), xticklabels=[f"x = {v:g}" for v in x], ylabel="gradient")
ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
show(
    figure,
    alt="For each of the four numbers three bars, the parts of its gradient that came directly, by the "
    "mean and by the variance, and a black bar, their sum. Every sum is smaller than its "
    "direct part, three of the four by far",
)

# %% [markdown]
# The part of `dmean` that comes by the variance is the fourth way: 0, because `c` sums to 0. The black bars are `dx`.
# For the two numbers that are equal, 4 and 4, the two indirect parts are equal too; only the direct ones differ,
# because `dy` does.
#
# ### All six lines in one
#
# Put the lines into each other, from the last table line upwards. The part of `dc` by the variance, with
# $c = xh / \mathrm{inv\_std}$, is
#
# $$\mathrm{dvar}\, \frac{2c}{M} = -\frac{\mathrm{inv\_std}^3}{2}\, \mathrm{sum}(dxh \cdot c)\, \frac{2c}{M} = -\mathrm{inv\_std}\; xh \cdot \mathrm{mean}(dxh \cdot xh).$$
#
# The part by the mean is $\mathrm{dmean}/M = -\mathrm{mean}(dc) = -\mathrm{inv\_std}\; \mathrm{mean}(dxh)$, because
# the part by the variance sums to 0. With $dxh = \gamma\, dy$ the three parts together are
#
# $$dx = \gamma\; \mathrm{inv\_std}\, \bigl(dy - \mathrm{mean}(dy) - xh \cdot \mathrm{mean}(dy \cdot xh)\bigr).$$
#
# The first term is the direct way, the second the one by the mean, the third the one by the variance. And it says
# something: a part is taken *out* of `dy`. Why? Because there are two changes of `x` that the layer does not notice: a shift of all
# numbers, and a stretch of all distances from the mean.

# %%
short = weight * inv_std * (dy - dy.mean() - xh * (dy * xh).mean())
print("one formula      ", short)
print("line by line     ", dx)


def normalise(x):
    return ops.batch_norm(x.reshape(1, 1, 2, 2), None, None, eps=eps).ravel()


print("normalised x     ", normalise(x))
print("normalised x + 7 ", normalise(x + 7))
print("normalised 5 * x ", normalise(5 * x))
print(f"sum of dx {abs(dx.sum()):.5f}   sum of dx * xh {abs((dx * xh).sum()):.5f}")

# %% [markdown]
# A change that is not noticed does not change the loss. So the gradient has no part in these two directions: its
# sum is 0, and its [inner product](../docs/glossary.md#inner-product) with `xh` is 0 (up to `eps`).
#
# ## 4. Why a cotangent of ones tests almost nothing
#
# A popular test of a backward pass is short: compute `loss = y.sum()`, go backward, compare with differences. It
# means that `dy` is an array of ones. For batch normalisation, look what the formula does with it: `dy - mean(dy)` is
# 0, and `mean(xh)` is 0. **The gradient is 0, whatever x is**, and it has to be: the sum of `y` is always $M \beta$.
# So a backward pass that returns zeros passes this test. Often `loss = (y ** 2).sum() / 2` is taken instead, so that
# `dy = y`. That is a shift and a multiple of `xh`: the other direction that is taken out.
#
# Five wrong backward passes, each with one mistake, against three cotangents. How far is each from the measured gradient, relative to the
# largest number of the direct way?


# %%
def wrong_ones(dy, x):
    """The right gradient and five wrong ones, of one channel."""
    c = x - x.mean()
    inv_std = ((c**2).mean() + eps) ** -0.5
    xh = c * inv_std
    by_mean, by_variance, scale = dy.mean(), xh * (dy * xh).mean(), weight * inv_std
    return {
        "right": scale * (dy - by_mean - by_variance),
        "returns zeros": 0 * dy,
        "forgets the mean": scale * (dy - by_variance),
        "forgets the variance": scale * (dy - by_mean),
        "variance's sign wrong": scale * (dy - by_mean + by_variance),
        "forgets weight": scale / weight * (dy - by_mean - by_variance),
    }


channel = rng.standard_normal(12) * 2 + 1
channel_xh = ops.batch_norm(channel.reshape(1, 1, 3, 4), None, None).ravel()
channel_y = weight * channel_xh + bias
cotangents = {
    "ones: sum(y)": np.ones(12),
    "y: sum(y²)/2": channel_y,
    "random": np.random.default_rng(1).standard_normal(12),
}
errors = {}
for kind, cotangent in cotangents.items():
    true = measure("x", channel, dy=cotangent)
    scale = np.abs(weight * cotangent / channel.std()).max()
    for name, gradient in wrong_ones(cotangent, channel).items():
        errors[name, kind] = np.abs(gradient - true).max() / scale

# %% tags=["hide-input"]
names = list(wrong_ones(cotangent, channel))
grid, left, wide, high = Picture(640, 44 + 34 * len(names)), 190, 148, 34
for k, kind in enumerate(cotangents):
    grid.words(left + (k + 0.5) * wide, 24, kind, bold=True)
    for r, name in enumerate(names):
        error = errors[name, kind]
        noticed = error > 1e-3
        fill = "#ffffff" if name == "right" else FILLS["green"] if noticed else FILLS["red"]
        place = left + k * wide, 42 + r * high
        grid.box(*place, wide, high, fill=fill)
        text = "agrees" if not noticed else f"off by {error:.2f}"
        text += "" if name == "right" else ": found" if noticed else ": missed"
        grid.words(place[0] + wide / 2, place[1] + high / 2, text)
for r, name in enumerate(names):
    grid.words(4, 42 + (r + 0.5) * high, name, anchor="start", bold=True)
show(
    grid,
    alt="A table of five wrong backward passes and three cotangents. Ones find only the one that "
    "forgets the mean; y finds three of them, and misses zeros and the forgotten weight; the random "
    "cotangent finds all five",
)

# %% [markdown]
# The ones find a single mistake, the forgotten mean. Zeros pass both of the popular tests. A random cotangent has
# parts in all directions and finds all five. That is why the library's `check_gradients` always draws one, and never
# uses ones.
#
# ### Your turn
#
# Write the backward pass for whole batches of shape $(N, C, H, W)$. `forward` below is the layer; it keeps in `cache` what
# its backward pass needs. You return `dx`, of the shape of `x`, and `dweight` and `dbias`, of the shape
# $(C,)$. (`a.sum(axis=(0, 2, 3), keepdims=True)` sums over images, rows and columns, and keeps the axes, so that
# the result fits to arrays of shape $(N, C, H, W)$ again.)


# %%
def per_channel(a):
    """(C,) -> (1, C, 1, 1)."""
    return a[None, :, None, None]


def forward(x, weight, bias, *running, training=True, momentum=0.1, eps=1e-5):
    """Batch normalisation in training: y, and what the backward pass needs.

    `running`, `training` and `momentum` are not used here: section 5 tells what they are.
    """
    axes = (0, 2, 3)
    c = x - x.mean(axis=axes, keepdims=True)
    inv_std = ((c**2).mean(axis=axes, keepdims=True) + eps) ** -0.5
    xh = c * inv_std
    return per_channel(weight) * xh + per_channel(bias), (xh, inv_std, weight)


def my_backward(dy, cache):
    """The gradients by x, weight and bias."""
    xh, inv_std, weight = cache
    dx = None
    dweight = None
    dbias = None
    return dx, dweight, dbias


# %% tags=["hide-input"]
two = np.arange(2.0).reshape(1, 1, 1, 2)
_, kept = forward(two, np.ones(1), np.zeros(1), None, None)
if any(part is None for part in my_backward(two, kept)):
    print("my_backward: nothing written yet")
else:
    try:
        check_op(my_backward, "batch_norm_backward", beside={"batch_norm": forward})
        print("my_backward: ✓")
    except OperationError as error:  # the likely mistake and a small example, no right values
        said = str(error).partition("\nRule:")[0].partition("\nAgain:")[0].splitlines()
        print("\n".join(line for line in said if "must be" not in line))

# %% [markdown]
# ## 5. Training and evaluation
#
# In training, what the layer says about one image depends on the other images of the batch, because mean and variance
# do. For a prediction that would be strange: whether there is a cat in your photograph must not depend on the
# photographs beside it. And a batch of one image may have one number per channel: minus its mean, that is 0, whatever
# it was.
#
# So the layer has two modes. **In training** it normalises with the batch's own mean and variance, and on the side it keeps
# *running averages* of both, its [running statistics](../docs/glossary.md#running-statistics):
#
#     running = (1 - momentum) * running + momentum * of_this_batch
#
# **In evaluation** it normalises with the running averages, whatever batch comes. Then mean and variance are
# constants, two of the three ways are closed, and the layer is a fixed scale and shift. The momentum is the share of
# the new number, 0.1 unless you say otherwise, as in PyTorch. (In Keras it is the share of the old number: there you
# would write 0.9 for the same layer.) The library's call is
# `ops.batch_norm(x, running_mean, running_var, weight, bias, training=...)`; in training it changes the two running
# arrays in place. With `None` for both, as above, it always takes the batch's own mean and variance.

# %%
true_mean, true_var = 3.0, 4.0
running_mean, running_var = np.zeros(1), np.ones(1)  # where they begin
history = []
for _ in range(80):
    images = rng.normal(true_mean, true_var**0.5, (4, 1, 3, 3))  # M = 36 numbers
    ops.batch_norm(images, running_mean, running_var, training=True)  # changes both
    history.append((images.mean(), images.var(ddof=1), running_mean[0], running_var[0]))

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.8), layout="constrained")
for k, (ax, name, true) in enumerate(
    ((axes[0], "mean", true_mean), (axes[1], "variance", true_var))
):
    ax.plot([h[k] for h in history], ".", color=MUTED, markersize=5, label="of each batch")
    ax.plot([h[k + 2] for h in history], color=HUES[0], label="running average")
    ax.axhline(true, color=HUES[1], linestyle="--", linewidth=1.5, label="of all data")
    ax.set(title=name, xlabel="batch")
axes[0].legend(loc="lower right")
show(
    figure,
    alt="Mean and variance over 80 batches: dots that scatter around the value of all data, and the "
    "running average, a line that starts at 0 (mean) and at 1 (variance), reaches that value after "
    "about 30 batches and then stays near it",
)

# %% [markdown]
# One detail: the variance of a batch is measured around the batch's *own* mean, which lies a little too near to its numbers. On
# average it is too small by the factor $(M-1)/M$. The batch is normalised with it all the same; the running variance, which stands
# for all data, gets it with the factor $M/(M-1)$ put right ("unbiased"):

# %%
draws = rng.normal(true_mean, true_var**0.5, (100_000, 4))  # batches of M = 4 numbers
print("variance of all data:         ", true_var)
print("mean of the batches' variance:", draws.var(axis=1).mean().round(2))
print("the same times 4/3:           ", (draws.var(axis=1).mean() * 4 / 3).round(2))

# %% [markdown]
# ## Break it
#
# A "network" says that an image is bright if its first normalised pixel is above 0. It was trained on images with
# mean brightness 0.5. Here it judges the same image, of brightness 0.6, beside three neighbours, which are black at
# the left end of the figure and get brighter towards its right end. Somebody has forgotten to switch to evaluation.
# Run it, then set `TRAINING = False`. Then set `BRIGHTNESS` to 0.4, in both modes. Which verdicts change, and why?

# %%
TRAINING = True
BRIGHTNESS = 0.6

neighbours = np.linspace(0, 1, 41)
verdicts = []
for brightness in neighbours:
    four = np.full((4, 1, 2, 2), brightness)
    four[0] = BRIGHTNESS
    four += 0.01 * np.arange(16.0).reshape(4, 1, 2, 2) / 16  # never all equal
    kept_mean, kept_var = np.array([0.5]), np.array([0.04])  # the running averages
    judged = ops.batch_norm(four, kept_mean, kept_var, training=TRAINING)
    verdicts.append(judged[0, 0, 0, 0])

# %% tags=["hide-input"]
figure, ax = plt.subplots(figsize=(7.5, 2.6), layout="constrained")
ax.axhline(0, color=LINE, linewidth=1)
ax.plot(neighbours, verdicts, ".-", color=HUES[1])
ax.set(xlabel="brightness of the neighbours", ylabel="first pixel, normalised", ylim=(-2, 2))
ax.set(title=f"the same image in {'training' if TRAINING else 'evaluation'} mode")
show(
    figure,
    alt="The normalised first pixel of the same image over the brightness of its neighbours. In "
    "training mode it is about 1.7 while they are darker and falls to -1.7 when they are brighter; in "
    "evaluation mode it is a level line",
)
bright = np.mean(np.array(verdicts) > 0)
print(f"the same image is called bright beside {bright:.0%} of the neighbours")

# %% [markdown]
# In training mode the verdict tells whether the image is brighter than its neighbours. In evaluation it tells whether
# the image is brighter than 0.5, the running mean, whoever its neighbours are. A network whose predictions for one
# image change with the rest of the batch has been left in training mode. In this library `net.eval()` switches all
# layers, and `net.train()` back.
#
# ## 6. What it is for
#
# Here are twelve [convolutions](../docs/glossary.md#convolution), each followed by a [ReLU](../docs/glossary.md#relu) (which replaces
# negative numbers by 0), with random kernels that we multiply by three factors. How large are the numbers after each layer, with and without batch
# normalisation?

# %%
start = rng.standard_normal((8, 8, 12, 12))
kernels = [rng.standard_normal((8, 8, 3, 3)) / 72**0.5 for _ in range(12)]


def sizes(factor, normal):
    """The standard deviation behind each of twelve layers."""
    h, found = start, []
    for kernel in kernels:
        h = ops.conv2d(h, factor * kernel, padding=1)
        h = ops.relu(ops.batch_norm(h, None, None) if normal else h)
        found.append(h.std())
    return found


# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.9), layout="constrained", sharey=True)
for ax, normal in zip(axes, (False, True), strict=True):
    for factor, colour, style in ((3, HUES[1], "--"), (1.4, HUES[0], "-"), (0.7, HUES[2], ":")):
        ax.semilogy(
            range(1, 13), sizes(factor, normal), style, color=colour, label=f"kernels × {factor}"
        )
    ax.set(xlabel="layer", title="with batch normalisation" if normal else "without")
axes[0].set(ylabel="standard deviation")
axes[0].legend(loc="upper left")
show(
    figure,
    alt="Standard deviation behind each of twelve layers, on a logarithmic scale. Without batch "
    "normalisation it grows beyond a thousand for large kernels and falls below a thousandth for "
    "small ones; with it, it stays near 0.6 for all three",
)

# %% [markdown]
# Without it, the size of the kernels decides after a few layers whether the numbers explode or vanish, and the one
# size that keeps them has to be hit. With it, the three lines lie one upon the other. The size of a kernel does not
# matter, as section 3 said: a stretch is not noticed. Whether that helps training is another question than whether
# numbers stay in range. For DeconvNet it was tried: see [ablations](../docs/ablations.md), where the network is
# trained with and without, and the command that repeats it.
#
# ## What the paper says
#
# Ioffe and Szegedy, [Batch normalization](https://arxiv.org/abs/1502.03167) (2015). Their Algorithm 1 is section 1;
# the list of derivatives in their section 3 is our table. The second term of their $\partial \ell / \partial \mu$,
# with the sum of $-2(x_i - \mu)/m$, is what the variance adds to our `dmean`: always 0, because `c` sums to 0. Their
# section 3.1 has the unbiased variance of evaluation. Noh, Hong and Han, [Learning deconvolution network for semantic
# segmentation](https://arxiv.org/abs/1505.04366) (2015), put the layer behind every convolution and every transposed
# one, and write that it is critical to escape a poor *local optimum*, a state that no small step makes better.
#
# ## Exercises
#
# **1.** A convolution has a [bias](../docs/glossary.md#bias), one number that is added to all of a channel. Why is it
# useless before batch normalisation, and what is its gradient? Show it with a random cotangent.
# (`y, saved = ops.batch_norm(x, None, None, return_saved=True)` keeps what
# `dx, dweight, dbias = ops.batch_norm_backward(dy, x, saved)` needs.)
#
# <details><summary>Answer</summary>
#
# It is a shift of the whole channel, which the mean takes out again. Its gradient is the sum of `dx` over the channel: 0 for
# every cotangent.
#
# ```python
# arrived = rng.standard_normal(batch.shape)
# _, saved = ops.batch_norm(batch, None, None, return_saved=True)
# back, _, _ = ops.batch_norm_backward(arrived, batch, saved)
# assert np.abs(back.sum(axis=(0, 2, 3))).max() < 1e-9 * np.abs(back).sum()
# ```
# </details>
#
# **2.** What does batch normalisation in training make of a channel that has only $M = 2$ numbers? What is its gradient? Try
# several pairs, some close together.
#
# <details><summary>Answer</summary>
#
# The larger becomes 1 and the smaller -1, whatever they are (as long as they differ by much more than the root of `eps`). A result that does
# not change has the gradient 0: two directions are taken out of two.
#
# ```python
# for pair in ([1.0, 2.0], [5.0, -300.0], [0.5, 0.6]):
#     two = np.array(pair).reshape(2, 1, 1, 1)
#     result, saved = ops.batch_norm(two, None, None, eps=1e-12, return_saved=True)
#     back, _, _ = ops.batch_norm_backward(rng.standard_normal(two.shape), two, saved)
#     assert np.allclose(np.sort(result.ravel()), [-1, 1])
#     assert np.abs(back).max() < 1e-6
# ```
# </details>
#
# **3.** In evaluation the layer is a fixed scale and shift. Put it into the convolution before it: find a kernel `w2`
# and a bias `b2` so that one convolution gives what convolution and batch normalisation gave. (`eps` is `1e-5`. That
# is how networks are made faster for use.)
#
# <details><summary>Answer</summary>
#
# ```python
# w, b = rng.standard_normal((3, 8, 3, 3)), rng.standard_normal(3)
# m, v = rng.standard_normal(3), rng.uniform(0.5, 2, 3)
# gamma, beta = rng.standard_normal(3), rng.standard_normal(3)
# both = ops.batch_norm(ops.conv2d(start, w, b), m, v, gamma, beta, training=False)
# scale = gamma / np.sqrt(v + 1e-5)
# w2, b2 = w * scale[:, None, None, None], (b - m) * scale + beta
# assert np.allclose(ops.conv2d(start, w2, b2), both)
# ```
# </details>
#
# ## In the library
#
# These lines do it for real:
#
# - [`minideconv.ops.batch_norm.moments`](../minideconv/ops/batch_norm.py#L184): mean and variance, in two passes so that no
#   digits are lost.
# - [`minideconv.ops.batch_norm.from_moments`](../minideconv/ops/batch_norm.py#L193): the running averages.
# - [`minideconv.ops.batch_norm.normalize`](../minideconv/ops/batch_norm.py#L222): the forward pass.
# - [`minideconv.ops.batch_norm.backward_sums`](../minideconv/ops/batch_norm.py#L260) and
#   [`minideconv.ops.batch_norm.backward_apply`](../minideconv/ops/batch_norm.py#L272): the one formula of section 3.
#
# Next: *Autograd in 100 lines*, which turns such lines round by itself.
