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
# # The other deconvolution: convolutional sparse coding
#
# "Deconvolution" names two things. In DeconvNet (2015) it is a layer, transposed convolution, whose input the layers below have computed. Five years earlier Zeiler, Krishnan, Taylor and Fergus had called
# *networks* deconvolutional in which the same operation describes a picture, and its input must be **found**: which stamps, and where, add up to this picture? That is the one idea of this notebook:
# **explain a picture as a sum of few stamps; finding them is a search, and the stamps themselves can be learned, without any labels.**
#
# You need: transposed convolution as stamping ([*The transpose stamps*](04_transposed_convolution_stamps.ipynb)) and the gradient of a
# squared error ([*Backward of convolution*](07_backward_of_convolution.ipynb)). It runs in ten seconds on any CPU.

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
from minideconv.ops.shrinkage import soft_threshold
from minideconv.sparse_coding import (
    BatchLearner,
    Problem,
    analysis,
    code,
    coherence,
    oriented,
    random_filters,
    synthesis,
)
from minideconv.sparse_coding.hierarchy import Layer, stamps
from minideconv.sparse_coding.hierarchy.drawings import drawings
from minideconv.sparse_coding.spectrum import lipschitz
from minideconv.testing import check_answer
from minideconv.visualize import show, use_style

use_style()

# %% [markdown]
# ## 1. A picture as a sum of stamps
#
# Here are six small [stamps](../docs/glossary.md#stamp), and a sheet on which they were put down about thirty times. Beside each stamp is its *map*: an image of the sheet's size that is zero but for the places where this stamp was put.


# %% tags=["hide-input"]
def bar(angle):
    """A soft bar of 7 x 7 pixels."""
    r, c = np.mgrid[-3:4, -3:4].astype(float)
    across = np.abs(r * np.cos(angle) + c * np.sin(angle))
    along = np.abs(c * np.cos(angle) - r * np.sin(angle))
    return np.clip(1.3 - across, 0, 1) * np.clip(3.6 - along, 0, 1)


r, c = np.mgrid[-3:4, -3:4]
ring = np.clip(1.2 - np.abs(np.hypot(r, c) - 2.2), 0, 1)
corner = np.zeros((7, 7))
corner[1, 1:6] = corner[1:6, 1] = 1

# %%
planted = np.stack([bar(0), bar(np.pi / 2), bar(np.pi / 4), bar(-np.pi / 4), ring, corner])[:, None]
planted /= np.linalg.norm(planted, axis=(2, 3), keepdims=True)  # (6, 1, 7, 7), each of norm 1

rng = np.random.default_rng(0)
shape = (6, 6, 40, 40)  # six sheets, six maps each
true_maps = (rng.random(shape) < 0.003) * rng.uniform(1, 2, shape)
sheets = synthesis(true_maps, planted)  # (6, 1, 40, 40): transposed convolution
sheet, true_map = sheets[:1], true_maps[:1]
print("stamps on the first sheet:", np.count_nonzero(true_map))


# %% tags=["hide-input"]
def image(ax, plane, title, most=None):
    """Draw a plane of numbers that are not negative: 0 is white."""
    ax.imshow(plane, cmap="Greys", vmin=0, vmax=most or plane.max())
    ax.set(title=title, xticks=[], yticks=[])
    ax.spines[:].set_visible(True)


def signed(ax, plane, title):
    """Draw a plane of any numbers: 0 is white, positive ones violet, negative ones orange."""
    most = max(np.abs(plane).max(), 1e-9)
    ax.imshow(plane, cmap="PuOr", vmin=-most, vmax=most)
    ax.set(title=title, xticks=[], yticks=[])
    ax.spines[:].set_visible(True)


def dots(ax, plane, title, hue="#0072b2"):
    """Draw a map: a dot where it is not 0, the larger the number the larger the dot."""
    rows, columns = np.nonzero(plane)
    sizes = 2 + 16 * np.abs(plane[rows, columns])
    ax.scatter(columns, rows, s=sizes, color=hue, linewidth=0)
    ax.set(title=title, xlim=(-1, 40), ylim=(40, -1), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(True)


figure = plt.figure(figsize=(7.5, 3.9))
grid = figure.add_gridspec(3, 5, width_ratios=[0.7, 1.2, 0.7, 1.2, 3.6], wspace=0.25)
for m in range(6):
    row, column = m % 3, 2 * (m // 3)
    image(
        figure.add_subplot(grid[row, column]),
        planted[m, 0],
        f"stamp {m + 1}" if row == 0 else str(m + 1),
    )
    dots(figure.add_subplot(grid[row, column + 1]), true_map[0, m], "its map" if row == 0 else "")
image(figure.add_subplot(grid[:, 4]), sheet[0, 0], "the sheet: all stamps, added up")
show(
    figure,
    alt="Six stamps of 7 by 7 pixels, four bars, a ring and a corner, each with a map that has a few "
    "dots; and the sheet of 40 by 40 pixels on which they all are",
)

# %% [markdown]
# A dot is where the *upper left corner* of a stamp was put, and the larger the dot, the stronger the stamp: its number in the map is between 1 and 2.
#
# From the maps $x_m$ to the sheet is [transposed convolution](../docs/glossary.md#transposed-convolution), with the stamps $d_m$ as its [weight](../docs/glossary.md#weight) and the maps as its [channels](../docs/glossary.md#channel):
#
# $$A\,x \;=\; \sum_m d_m * x_m$$
#
# where $d * x$ lays $d$ down at every pixel of $x$, multiplied by that pixel. The stamps are also called *filters*, and all of them a [dictionary](../docs/glossary.md#dictionary). $A^{\mathsf T}$, its [transpose](../docs/glossary.md#transpose), is an ordinary
# [convolution](../docs/glossary.md#convolution): it compares each stamp with each place of a picture. The library calls the two `synthesis` and `analysis`. One convention: borders are *circular*, what is stamped over the right border comes in at the left.

# %%
d = rng.integers(-3, 4, (6, 1, 7, 7)) * 1.0  # six stamps of whole numbers,
x = rng.integers(-3, 4, (1, 6, 40, 40)) * 1.0  # their maps,
s = rng.integers(-3, 4, (1, 1, 40, 40)) * 1.0  # and a sheet
print("<A x, s>  =", np.sum(synthesis(x, d) * s))
print("<x, Aᵀ s> =", np.sum(x * analysis(s, d)))

inside = np.zeros((1, 6, 40, 40))
inside[:, :, :34, :34] = true_map[:, :, :34, :34]  # nothing over the border: then the layer itself
assert np.allclose(synthesis(inside, planted), ops.conv_transpose2d(inside[..., :34, :34], planted))

# %% [markdown]
# ## 2. Now backwards
#
# You get the sheet $s$ and the stamps. Where were they put? This is what DeconvNet never asks: its maps come from an encoder. Here there is none.
#
# ### Your turn
#
# How many unknown numbers are there for each known one? (The six maps are unknown, the sheet is known.)

# %%
my_ratio = None

# %%
check_answer(
    "my_ratio",
    my_ratio,
    true_map.size // sheet.size,
    hints=[(lambda n: 0 < n < 1, "The other way round.")],
    hint="A map has as many pixels as the sheet. How many maps are there?",
)

# %% [markdown]
# So there are infinitely many ways to make the same sheet, and "solve $A x = s$" does not say which is meant. Three candidates, of which the figure shows map 1 (horizontal bars; violet is positive, orange negative):
#
# - $A^{\mathsf T} s$: at each place, how similar is the sheet to the stamp?
# - the *smallest* solution of $A x = s$, the one whose squares add up to the least (steps down the squared error find it, if they begin at $x = 0$);
# - the *sparsest* one that we can find, with few numbers that are not zero. How, comes in section 3.

# %%
similar = analysis(sheet, planted)
smallest = code(
    Problem(sheet, sparsity=0.0), planted, method="fista", iterations=150, tolerance=0
).maps
sparse = code(Problem(sheet, sparsity=0.05), planted, iterations=150, tolerance=0).maps

# %% tags=["hide-input"]
candidates = {"planted": true_map, "$A^T s$": similar, "smallest": smallest, "sparse": sparse}
figure, axes = plt.subplots(1, 4, figsize=(7.5, 2.3))
for ax, (name, maps) in zip(axes, candidates.items(), strict=True):
    signed(ax, maps[0, 0], name)
plt.tight_layout()
show(
    figure,
    alt="Map 1 four times: as planted, a few dots; A transposed s, blurred blobs everywhere; the "
    "smallest solution, dots with ripples around them; and the sparse one, a few dots again",
)
print("             not zero   largest error of A x   its largest distance from the planted maps")
for name, maps in candidates.items():
    error = np.abs(synthesis(maps, planted) - sheet).max()
    count, apart = np.count_nonzero(np.abs(maps) > 1e-6), np.abs(maps - true_map).max()
    print(f"{name.strip('$'):10} {count:10d} {error:18.3f} {apart:24.3f}")

# %% [markdown]
# $A^{\mathsf T}s$ is no solution at all: a transpose is not an inverse (notebook 4). The smallest one reproduces the sheet, with numbers nearly everywhere. The sparse one has its large numbers where the stamps were put, with values that are
# a little too small, and six small ones elsewhere. There are infinitely many explanations by many stamps; the one by few is, here, the true one. That is the point of [sparse coding](../docs/glossary.md#sparse-coding).
#
# ## 3. The search
#
# Sparse and right are two wishes, so weigh one against the other:
#
# $$F(x) \;=\; \tfrac12 \,\lVert s - A x\rVert^2 \;+\; \lambda \sum |x|$$
#
# The first term is the squared error. The second, the sum of absolute values (the [L1 norm](../docs/glossary.md#l1-norm)), is what makes numbers *exactly* zero, and $\lambda$ ("lambda") says how much a unit of them costs. Why absolute values and not squares? Look at a single number, which is to
# be near 1, and pays for its size:

# %% tags=["hide-input"]
x = np.linspace(-0.5, 1.5, 401)
figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.0))
for ax, cost, name in (
    (axes[0], x**2, "squares: $\\lambda x^2$"),
    (axes[1], np.abs(x), "absolute values: $\\lambda |x|$"),
):
    for weight, style in ((0, "-"), (0.5, "--"), (1.2, ":")):
        total = (x - 1) ** 2 / 2 + weight * cost
        (line,) = ax.plot(x, total, style, label=f"λ = {weight}")
        ax.plot(x[total.argmin()], total.min(), "o", color=line.get_color())
    ax.set(title=name, xlabel="x", ylim=(-0.06, 2))
axes[0].set_ylabel("½ (x − 1)² + cost")
axes[0].legend(loc="upper center")
plt.tight_layout()
show(
    figure,
    alt="Two plots of a squared distance from 1 plus a cost. With squares the minimum moves from 1 "
    "towards 0 but never reaches it; with absolute values it is at 1, 0.5, and at lambda 1.2 exactly at 0",
)

# %% [markdown]
# With squares the lowest point (dot) only moves towards zero. The absolute value has a kink at zero, and when $\lambda$ is large enough the lowest point sits in the kink. For one number that should be $z$, the lowest point is **soft thresholding**: move $z$ towards zero by $\lambda$, and stop at zero.
#
# ### Your turn
#
# Write `soft(z, a)` for an array `z`: every number moves towards zero by `a`; those that are nearer than `a` become 0. (Both signs!)

# %%
my_soft = None  # replace by: def my_soft(z, a): ...

# %% tags=["hide-input"]
z = np.array([-2.0, -0.5, -0.1, 0.0, 0.3, 0.7, 3.0])
softened = None if my_soft is None else my_soft(z.copy(), 0.5)
check_answer(
    "my_soft",
    softened,
    soft_threshold(z, 0.5),
    hints=[
        (
            lambda m: m[0] == 0,
            "The negative numbers are gone: they move towards zero like the others.",
        ),
        (lambda m: m[0] == -2.5, "Negative numbers move towards zero too, and that is upwards."),
        (lambda m: (m[4] < 0) or (m[2] > 0), "Some have jumped over zero: where must they stop?"),
        (lambda m: m[5] == 0.7, "Those that stay are smaller afterwards: they have moved as well."),
    ],
    hint="np.sign and np.maximum are enough.",
)
right = np.shape(softened) == z.shape and np.allclose(softened, soft_threshold(z, 0.5))
soft = my_soft if right else soft_threshold

# %% [markdown]
# The maps are not alone: stamps overlap, so one number's best value depends on its neighbours'. The way out is to take turns. First a step down the [gradient](../docs/glossary.md#gradient) of the squared error, which is $A^{\mathsf T}(A x - s)$: compare the *residual* $s - A x$, the part of the sheet that is not explained yet, with every stamp, and change the sign. Then soft thresholding of each number by itself:
#
# $$x \;\leftarrow\; \mathrm{soft}\big(x - \tfrac1L A^{\mathsf T}(A x - s),\ \tfrac{\lambda}{L}\big)$$
#
# $1/L$ is the length of the step, for the penalty too: hence $\lambda/L$. $L$ is the most by which $A^{\mathsf T}A$ can lengthen anything; with a smaller one, $F$ may rise. The library computes it from the stamps. This is ISTA, *iterative shrinkage and thresholding*.
#
# ### Your turn
#
# Write the step. You have `synthesis(x, filters)` for $A x$, `analysis(s, filters)` for $A^{\mathsf T} s$, and `soft(z, a)`.

# %%
my_step = None  # replace by: def my_step(x, s, filters, L, lam): ...


# %% tags=["hide-input"]
def library_step(x, s, filters, L, lam):
    slope = analysis(synthesis(x, filters) - s, filters)
    return soft_threshold(x - slope / L, lam / L)


# %%
L = lipschitz(planted, (40, 40))

# %% tags=["hide-input"]
start = 0.5 * true_map + 0.2 * similar
wanted = library_step(start, sheet, planted, L, 0.3)
mine = None if my_step is None else my_step(start.copy(), sheet.copy(), planted, L, 0.3)
check_answer(
    "my_step",
    None if mine is None else np.asarray(mine),
    wanted,
    hints=[
        (
            lambda m: np.allclose(m, library_step(start, sheet, planted, L, 0.3 * L)),
            "How far does the threshold go, when the step is only 1/L long?",
        ),
        (
            lambda m: np.allclose(
                m,
                library_step(start, 2 * synthesis(start, planted) - sheet, planted, L, 0.3),
            ),
            "That walks uphill: which sign has the gradient?",
        ),
    ],
    hint="Residual, its comparison with the stamps, a step of 1/L down, and only then the threshold.",
)
right = np.shape(mine) == wanted.shape and np.allclose(mine, wanted)
step = my_step if right else library_step


# %%
def objective(x, s, filters, lam):
    return 0.5 * np.sum((s - synthesis(x, filters)) ** 2) + lam * np.abs(x).sum()


x, seen, costs = np.zeros_like(true_map), {}, []
for iteration in range(1, 301):
    x = step(x, sheet, planted, L, 0.05)
    costs.append(objective(x, sheet, planted, 0.05))
    if iteration in (1, 10, 300):
        seen[iteration] = x[0, 0]
print("numbers not zero after 300 steps:", np.count_nonzero(x), "of", x.size)

faster = code(Problem(sheet, 0.05), planted, "fista", iterations=300, tolerance=0).objectives

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 4, figsize=(7.5, 2.5), width_ratios=[1, 1, 1, 1.7])
for ax, (iteration, plane) in zip(axes, seen.items(), strict=False):
    signed(ax, plane, f"step {iteration}")
axes[3].loglog(range(1, 301), costs, label="ISTA")
axes[3].loglog(*zip(*faster, strict=True), "--", label="FISTA")
axes[3].set(xlabel="step", title="F(x)", yticks=[2, 5, 10, 20], yticklabels=["2", "5", "10", "20"])
axes[3].minorticks_off()
axes[3].legend()
plt.tight_layout()
show(
    figure,
    alt="Map 1 after 1, 10 and 300 steps: first blobs, then sharper, then a few dots. The objective "
    "falls over the steps, and faster with FISTA than with ISTA",
)

# %% [markdown]
# After 300 steps of ISTA the dots stand out, but more than a thousand numbers of the six maps are not yet zero, and $F$ still falls: ISTA is slow. (The library notes the objective of every tenth step, so FISTA's curve begins at 10. Each map has its own scale of colours.)
#
# FISTA is the same step with [momentum](../docs/glossary.md#momentum): it starts each step a little beyond the last point, in the direction in which it came. The library has a third algorithm, ADMM, by which the sparse maps of section 2 were found ([Sparse coding](../docs/sparse_coding.md) explains it).
#
# ## Break it
#
# $\lambda$ decides everything. Here is the sheet with noise on it, as if badly photocopied. The maps of the *noisy* sheet are searched, and what they stamp is compared with the *clean* one. Set `LAMBDA` to 0.25, then to 4. The curves show nine values from 0.01 to 5.6.

# %%
LAMBDA = 0.02

noisy = sheet + 0.15 * np.random.default_rng(7).standard_normal(sheet.shape)


def coded(lam):
    """Return the maps of the noisy sheet, how many numbers are not zero, and the error."""
    maps = code(Problem(noisy, lam), planted, iterations=60, tolerance=0).maps
    error = np.linalg.norm(synthesis(maps, planted) - sheet) / np.linalg.norm(sheet)
    return maps, np.count_nonzero(maps), error


values = 10.0 ** np.linspace(-2, 0.75, 9)
tried = np.array([coded(lam)[1:] for lam in values])
maps, count, error = coded(LAMBDA)

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 4, figsize=(7.5, 2.4), width_ratios=[1, 1, 0.9, 0.9])
for ax, curve, title in (
    (axes[0], tried[:, 0], "numbers not zero"),
    (axes[1], 100 * tried[:, 1], "error in %"),
):
    ax.semilogx(values, curve)
    if LAMBDA > 0:
        ax.axvline(LAMBDA, color="#1b2733", linewidth=1, linestyle=":")
    ax.set(xlabel="λ", title=title, ylim=(0, None))
axes[0].set(ylim=(0, 2000))
image(axes[2], np.maximum(noisy[0, 0], 0), "noisy sheet", most=sheet.max())
image(axes[3], np.maximum(synthesis(maps, planted)[0, 0], 0), "A x", most=sheet.max())
plt.tight_layout()
show(
    figure,
    alt="With a growing lambda fewer numbers are not zero; the error is lowest in between, near 0.25, and 100 percent "
    f"at the end. Beside the curves the noisy sheet, and what the maps stamp at lambda {LAMBDA:g}",
)
print(f"lambda {LAMBDA:g}: {count} numbers are not zero (27 stamps), error {error:.1%}")
print(
    f"error of the noisy sheet itself: {np.linalg.norm(noisy - sheet) / np.linalg.norm(sheet):.1%}"
)

# %% [markdown]
# Too small, and every speck of noise is explained by a stamp; too large, and the explanation is "there is nothing to see": the penalty is 0, and the whole sheet is error. In between, noise is what has no short explanation, and is left out. Which $\lambda$ that is depends on the noise, and nothing in $F$ tells it.
#
# ## 4. Learn the stamps
#
# So far the stamps were known. Now forget them: start with random ones and take turns. For fixed stamps, search the maps; for fixed maps, the squared error is a function of the stamps, whose gradient is that of a convolution by its kernel (`ops.conv2d_weight_grad`, notebook 7): take a step down. Stamps may not grow beyond norm 1, or they would become huge and the maps, which
# are all that costs, tiny. No one tells the algorithm what a bar or a ring is.


# %%
def learned(pictures, count, lam, steps, seed, size=(7, 7)):
    """Return stamps before and after learning from pictures (N, 1, H, W)."""
    before = random_filters(count, 1, size, np.random.default_rng(seed), pictures.dtype)
    learner = BatchLearner(Problem(pictures, lam), before)
    for _ in range(steps):
        learner.step()
    return before, learner.filters


def likeness(one, other):
    """Return the largest cosine, without its sign, over all shifts: 1 for the same stamp anywhere."""
    moved = np.lib.stride_tricks.sliding_window_view(np.pad(one, 6), (7, 7))
    norms = np.linalg.norm(one) * np.linalg.norm(other)
    return np.abs((moved * other).sum((2, 3))).max() / max(norms, 1e-12)


before, after = learned(sheets, count=6, lam=0.05, steps=150, seed=1)
table = np.array([[likeness(a[0], p[0]) for a in after] for p in planted])
chance = np.array([[likeness(b[0], p[0]) for b in before] for p in planted])

# %% tags=["hide-input"]
figure, axes = plt.subplots(3, 6, figsize=(7.5, 4.0))
best = table.argmax(axis=1)
for m in range(6):
    signed(axes[0, m], before[m, 0], f"random {m + 1}")
    signed(axes[1, m], after[best[m], 0], f"learned {best[m] + 1}")
    signed(axes[2, m], planted[m, 0], f"planted {m + 1}")
plt.tight_layout()
show(
    figure,
    alt="Three rows of six stamps: random noise; for each planted stamp the most similar one of those "
    "that were learned; and the planted bars, ring and corner",
)
print("likeness, 1 is the same stamp   ", " ".join(f"{n:5d}" for n in range(1, 7)))
print("best of the random ones         ", " ".join(f"{v:5.2f}" for v in chance.max(axis=1)))
print("best of the learned ones        ", " ".join(f"{v:5.2f}" for v in table.max(axis=1)))

# %% [markdown]
# From six sheets, and nothing but "few stamps", the planted stamps come back: in another order, some moved within their 7 × 7 pixels, and all with the opposite sign. None of this can be told from a sheet, as maps that are moved the other way and have the opposite sign make up for it. It does not always succeed. This start was chosen because it does; exercise 3 tries others.
#
# What if nothing was planted? Here are line drawings, outlines and crossing lines, made by the library.

# %%
scenes = np.stack([d.image for d in drawings(6, side=48, seed=0)])[:, None]
_, strokes = learned(scenes, count=9, lam=0.1, steps=120, seed=0)
noise = random_filters(900, 1, (7, 7), np.random.default_rng(0), np.float64)

# %% tags=["hide-input"]
figure = plt.figure(figsize=(7.5, 3.2))
grid = figure.add_gridspec(3, 6, width_ratios=[3, 3, 0.2, 1.1, 1.1, 1.1], wspace=0.15)
for k in range(2):
    image(figure.add_subplot(grid[:, k]), scenes[k, 0], f"drawing {k + 1}")
for m in range(9):
    ax = figure.add_subplot(grid[m // 3, 3 + m % 3])
    signed(ax, strokes[m, 0], "learned" if m == 1 else "")
show(
    figure,
    alt="Two line drawings with rectangles and triangles, and the nine stamps learned from six such "
    "drawings, most of which are pieces of lines in one of four directions",
)
print(
    f"oriented: {oriented(strokes).sum()} of 9 learned, {oriented(noise).mean():.0%} of 900 random"
)
print(
    f"mean coherence: {coherence(strokes).mean():.2f} learned, {coherence(noise).mean():.2f} random"
)

# %% [markdown]
# Pieces of lines, and one corner. *Coherence* puts a number on "looks like a line": 1 for stripes, 0 for a round blob; a stamp is called *oriented* if it has more of it than 95 % of random ones.
#
# ## 5. Maps of maps
#
# Zeiler's networks do it again: the *maps* of the first layer are coded as sums of few stamps, whose channels are the first layer's maps. A stamp of the second layer says which strokes go together, and where. Here is such a stamp, written by hand: a 1 for the horizontal bar, and a 1 for the vertical one, four rows lower and three columns to the left.

# %%
# A horizontal and a vertical bar. The ones say that every map has a stamp for every channel.
first = Layer(planted[:2], np.ones((2, 1)))
together = np.zeros((1, 2, 7, 7))
together[0, 0, 1, 4] = together[0, 1, 5, 1] = 1
second = Layer(together, np.ones((1, 2)))
pixels = stamps([first, second])[0, 0]  # what one number in the second layer's map becomes

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.6))
for ax, plane, title in (
    (axes[0], together[0, 0], "layer 2, for bar 1"),
    (axes[1], together[0, 1], "layer 2, for bar 2"),
    (axes[2], pixels, "one number, in pixels"),
):
    image(ax, plane, title)
plt.tight_layout()
show(
    figure,
    alt="Two 7 by 7 planes with a single 1 each, at different places, and the 13 by 13 pixels that "
    "they stand for: a horizontal and a vertical bar that meet in a corner",
)

# %% [markdown]
# One number in a map of the second layer is now a corner in the picture. Whether such corners are *learned* is another question. [Layers of maps](../docs/hierarchy.md) has that experiment on line drawings, with its command (`python -m benchmarks.hierarchy`): a few maps of the second layer have their numbers at corners more often than by chance, but most of what it has learned is longer lines.
#
# ## What the paper says
#
# - [Zeiler, Krishnan, Taylor and Fergus, *Deconvolutional networks* (CVPR 2010)](https://doi.org/10.1109/CVPR.2010.5539957): their pictures are $A x$ too, and they look for the minimum of our $F$ with $|x|^p$ in place of $|x|$ ($p$ is 0.8 for the first two layers in their published code), and with the weight at the squared error instead of the penalty. That needs another algorithm, which `minideconv.sparse_coding.hierarchy` has. Our section 4 is their experiment of a first layer: theirs learns edges from photographs, ours pieces of lines from drawings.
# - FISTA is from [Beck and Teboulle (2009)](https://doi.org/10.1137/080716542).
# - [Noh, Hong and Han (2015)](https://arxiv.org/abs/1505.04366) took the word and the operation, not the search:
#
# | | sparse coding (2010) | DeconvNet (2015) |
# |---|---|---|
# | the operation | transposed convolution | transposed convolution |
# | its input | found by a search for each picture | computed by the layers below, in one pass |
# | what is asked of it | few numbers, and the picture again | the right class at each pixel |
# | learned from | pictures alone | pictures with masks |
#
# ## Exercises
#
# **1.** What is the smallest $\lambda$ for which *all* maps are zero? Work it out from the step, at $x = 0$.
#
# <details><summary>Answer</summary>
#
# At $x = 0$ the step is $\mathrm{soft}(\tfrac1L A^{\mathsf T}s, \tfrac{\lambda}{L})$. It stays 0 if no entry of $A^{\mathsf T} s$ is larger in size than $\lambda$. On the noisy sheet of "Break it":
#
# ```python
# limit = np.abs(analysis(noisy, planted)).max()
# nothing = np.zeros_like(true_map)
# assert not step(nothing, noisy, planted, L, 1.001 * limit).any()
# assert step(nothing, noisy, planted, L, 0.999 * limit).any()
# ```
# </details>
#
# **2.** One stamp alone on a sheet, with the value 2. Which value does sparse coding find for $\lambda = 0.3$, and why is it not 2?
#
# <details><summary>Answer</summary>
#
# ```python
# alone = np.zeros((1, 1, 20, 20))
# alone[0, 0, 5, 5] = 2
# ring_only = planted[4:5]
# found = code(Problem(synthesis(alone, ring_only), 0.3), ring_only, iterations=300, tolerance=0).maps
# assert np.isclose(found[0, 0, 5, 5], 2 - 0.3, atol=1e-3)
# ```
#
# 1.7: the penalty pulls with the force $\lambda$, the squared error pulls back by the distance (the stamp has norm 1). They balance at a distance of 0.3. The library's `refit` removes this *bias*: it keeps which numbers are zero, and fits the others again without the penalty.
# </details>
#
# **3.** Learning depends on the random start. Learn from the sheets with the seeds 2 and 3 too, for 150 steps as above, and count how many planted stamps were found (likeness above 0.9). Where one is missing: do twice as many steps help?
#
# <details><summary>Answer</summary>
#
# ```python
# def found(seed, steps):
#     _, stamps_found = learned(sheets, count=6, lam=0.05, steps=steps, seed=seed)
#     best = [max(likeness(f[0], p[0]) for f in stamps_found) for p in planted]
#     return sum(bool(b > 0.9) for b in best), stamps_found
#
#
# counts = [found(seed, 150)[0] for seed in (2, 3)]
# longer, stuck = found(3, 300)
# print(counts, "of 6; seed 3 after 300 steps:", longer)
# bar_found = max(stuck, key=lambda f: likeness(f[0], planted[0, 0]))[0]
# print(bar_found.round(1))
# assert counts[0] > counts[1] and longer == counts[1]
# two = bar_found + np.roll(bar_found, -3, axis=1)
# assert likeness(two, planted[0, 0]) > 0.95
# ```
#
# With seed 3 the horizontal bar is not found, and more steps do not help. The stamp at which it stopped is a shorter bar: two of them, three pixels apart, make the whole one, at the
# cost of two numbers instead of one. $F$ as a function of stamps *and* maps has more than one valley, and the start decides which is reached.
# </details>
#
# ## In the library
#
# - [`minideconv.sparse_coding.operators.synthesis`](../minideconv/sparse_coding/operators.py#L42): $A$, two lines around `conv_transpose2d`.
# - [`minideconv.ops.shrinkage.soft_threshold`](../minideconv/ops/shrinkage.py#L25): your `soft`.
# - [`minideconv.sparse_coding.fista.Fista`](../minideconv/sparse_coding/fista.py#L29): your step, with momentum.
# - [`minideconv.sparse_coding.learning.BatchLearner`](../minideconv/sparse_coding/learning.py#L28): section 4.
# - [`minideconv.sparse_coding.hierarchy.layer.Layer`](../minideconv/sparse_coding/hierarchy/layer.py#L59): section 5, with $p < 1$.
#
# Next: [*The same code on a GPU*](16_on_a_gpu.ipynb).
