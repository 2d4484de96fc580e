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
# # Segmenting photographs: more than one network
#
# A network gives each pixel of a small square a class. A photograph is larger, its objects have many sizes, and it has sharp edges that the network's
# answer has not. The paper on [DeconvNet](../docs/glossary.md#deconvnet) therefore does four things around the network: it looks at windows around
# what may be an object, joins what it sees, averages with a second network, an [FCN](../docs/glossary.md#fcn), and lets a *CRF*
# (a [conditional random field](../docs/glossary.md#conditional-random-field), section 6) move the outlines to where
# the colours change. One idea: **each of these steps is a small function on scores, and what it is worth can be measured by itself.**
#
# You need notebook 12 (DeconvNet, the [mask](../docs/glossary.md#mask), [intersection over union](../docs/glossary.md#intersection-over-union)).
# Photographs with masks may not be handed on with this project, so the pictures here are drawn; what came out on 120 photographs is stored, and stands in section 7.
# It runs in less than a minute on one core of a CPU.

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

import time

import numpy as np
from matplotlib.patches import Rectangle

from minideconv import Tensor, data, manual_seed, models, optim
from minideconv import functional as F
from minideconv.compare import paired_difference
from minideconv.compare.drawn import through_grid
from minideconv.data.transforms import Normalize, resize_image, resize_mask
from minideconv.segmentation import ConfusionMatrix, DenseCRF, Segmenter, edge_boxes
from minideconv.segmentation.boundaries import outline_bands
from minideconv.segmentation.ensemble import joined
from minideconv.segmentation.proposals import best_windows
from minideconv.testing import check_answer
from minideconv.visualize import mask_overlay, show, use_style

use_style()

# %% [markdown]
# ## 1. Scenes
#
# Leaves, sticks and stones on a table, 96 pixels wide and 72 high, from 10 to 50 pixels long. Each kind has a colour, but an object's own colour may be far from it, so
# that a network has to look at the outline too.

# %%
CLASSES = ["background", "leaf", "stick", "stone"]
SHADES = {1: (110, 150, 85), 2: (150, 115, 80), 3: (120, 128, 150)}
HEIGHT, WIDTH = 72, 96


# %% tags=["hide-input"]
class Scenes:
    """Pictures (72, 96, 3) uint8 with their masks, drawn by a seed."""

    classes, num_classes = CLASSES, len(CLASSES)

    def __init__(self, seed, count, radius=(5, 26), objects=(1, 4)):
        rng = np.random.default_rng(seed)
        self.items = [self._draw(rng, radius, objects) for _ in range(count)]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]

    def name(self, index):
        """Return what messages call a scene."""
        return f"scene {index}"

    def _draw(self, rng, radius, objects):
        y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
        image = rng.integers(150, 225) + rng.normal(0, 10, 3) + np.zeros((HEIGHT, WIDTH, 3))
        image += 14 * np.sin(x / rng.uniform(8, 20) + rng.uniform(0, 6))[..., None]
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        for _ in range(rng.integers(objects[0], objects[1] + 1)):
            label = int(rng.integers(1, 4))
            size = np.exp(rng.uniform(*np.log(radius)))
            corners, flat, long = {1: (4, 0.55, 1), 2: (4, 0.22, 1.3), 3: (14, 0.85, 1)}[label]
            angle = np.arange(corners) * 2 * np.pi / corners + (np.pi / 4 if label == 2 else 0)
            points = size * long * np.stack([np.cos(angle), flat * np.sin(angle)], axis=1)
            turn = rng.uniform(0, np.pi)
            points = points @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
            points += rng.uniform((6, 6), (WIDTH - 6, HEIGHT - 6))
            inside = np.ones((HEIGHT, WIDTH), bool)
            for p, q in zip(points, np.roll(points, -1, axis=0), strict=True):
                inside &= (q[0] - p[0]) * (y - p[1]) > (q[1] - p[1]) * (x - p[0])
            image[inside] = np.array(SHADES[label]) + rng.normal(0, 18, 3)
            mask[inside] = label
        image += rng.normal(0, 8, image.shape)
        return np.clip(image, 0, 255).astype(np.uint8), mask


COLOURS = np.zeros((256, 3), np.uint8)
COLOURS[:4] = [[238, 242, 246], [0, 158, 115], [213, 94, 0], [0, 114, 178]]


def board(rows, alt, first=0, count=5):
    """Show pictures or masks of some scenes in rows, with a title each."""
    figure, axes = plt.subplots(len(rows), count, figsize=(7.5, 1.15 * len(rows) + 0.1))
    for line, (title, pictures) in zip(np.atleast_2d(axes), rows.items(), strict=True):
        line[0].set_ylabel(title)
        for ax, picture in zip(line, pictures[first:], strict=False):
            ax.imshow(COLOURS[picture] if np.ndim(picture) == 2 else picture)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
    plt.tight_layout(pad=0.3)
    show(figure, alt=alt)


# %%
train_set, val_set = Scenes(seed=0, count=400), Scenes(seed=1, count=30)
images = [image for image, _ in val_set.items]
truths = [mask for _, mask in val_set.items]
ALL = next(i for i, truth in enumerate(truths) if len(np.unique(truth)) == len(CLASSES))
show(
    mask_overlay(images[ALL], truths[ALL], CLASSES, palette=COLOURS),
    alt="A scene whose objects are tinted in the colours of their classes, and a legend",
)

# %% [markdown]
# ## 2. Two networks
#
# Both take 32 × 32 pixels, and are trained on the same examples: square windows around an object or several, a little off, enlarged or reduced to that size (stage 2 of notebook 12).
#
# - **FCN-32s**, here with three stages: convolutions and three [max poolings](../docs/glossary.md#max-pooling) leave a coarse map of 4 × 4 places; a score for each class is found at each
#   place, and the scores are enlarged to 32 × 32 by [bilinear interpolation](../docs/glossary.md#bilinear-interpolation). The
#   number in the name is the distance of the scores, in pixels, after the five poolings of the original; after our three it is 8, and we keep the name. (FCN-8s is another: it adds finer maps of the first half.)
# - **DeconvNet** with the same first half; then [unpooling](../docs/glossary.md#unpooling) by switches and
#   [transposed convolutions](../docs/glossary.md#transposed-convolution). The layer between the two halves looks at 3 × 3 places of the coarse map and not at all of it.

# %%
SIZE = 32
normalize = Normalize()  # grey levels to numbers of about -2 to 2
crops = data.StageTwoCrops(train_set, per_image=5)
windows = [crops[number] for number in range(len(crops))]
x = np.stack([normalize.image(resize_image(image, (SIZE, SIZE))) for image, _ in windows])
y = np.stack([resize_mask(mask, (SIZE, SIZE)) for _, mask in windows])


def train(net, steps, seed=0):
    """Train on random batches of 16 windows; return the last loss."""
    optimizer = optim.AdamW(net.parameters(), lr=3e-3, weight_decay=5e-4)
    schedule = optim.CosineLR(optimizer, steps)
    rng = np.random.default_rng(seed)
    net.train()
    for _ in range(steps):
        chosen = rng.integers(0, len(x), 16)
        loss = F.cross_entropy(net(Tensor(x[chosen])), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return loss.item()


def two_networks(seed, steps=750):
    """Return a trained FCN and a trained DeconvNet, each as what segments whole pictures."""
    # "same" keeps a map's size; dropout, numbers left out at random in training, is not needed here
    same = {"num_classes": len(CLASSES), "width": 8, "fc": 64, "stages": 3, "fc_kernel": 3,
            "padding": "same", "batch_norm": "all", "dropout": 0.0}  # fmt: skip
    manual_seed(seed)
    one = models.FCN32s(**same, head_init="uniform")
    manual_seed(seed)
    other = models.deconvnet(**same, input_size=SIZE, deconvolutions=1)
    for net in (one, other):
        train(net, steps, seed)
    return [Segmenter(net, SIZE, normalize) for net in (one, other)]


start = time.perf_counter()
fcn, deconvnet = two_networks(seed=0)
print(f"two trainings in {time.perf_counter() - start:.0f} s")
for name, each in (("FCN", fcn), ("DeconvNet", deconvnet)):
    print(f"{name:10s}{each.model.num_parameters():8,d} parameters")
whole = sum(np.sum(truth > 0) for truth in truths) / (len(truths) * WIDTH**2)
print(
    f"objects' pixels: {np.mean(y > 0):.0%} of a training window, {whole:.0%} of a whole scene's square"
)

# %% [markdown]
# `Segmenter` does what a picture larger than the network needs: it cuts a square window out, resizes it to 32 × 32, computes the scores, and enlarges them back. Left alone, its window is the smallest square
# around the whole picture, 96 pixels reduced to 32. What of a window lies outside of the picture is black. So a whole scene differs from what the networks were trained on: far fewer of its pixels are objects', and these are small.


# %%
def softmax(scores):
    """Return probabilities (C, H, W): positive, and their sum over the classes is 1."""
    e = np.exp(scores - scores.max(axis=0))
    return e / e.sum(axis=0)


rows = {  # for each way to segment: the probabilities of every scene
    "FCN": [softmax(fcn.scores(image)) for image in images],
    "DeconvNet": [softmax(deconvnet.scores(image)) for image in images],
}


def labels_of(name):
    """Return the most likely labels of all scenes in a row."""
    return [probabilities.argmax(axis=0).astype(np.uint8) for probabilities in rows[name]]


board(
    {"scene": images, "true mask": truths, "FCN": labels_of("FCN"),
     "DeconvNet": labels_of("DeconvNet")},
    alt="Five scenes, their true masks, and the masks of both networks, which look at the whole "
    "scene: the FCN has coarse patches and misses most of the small and thin objects, DeconvNet "
    "finds some of these, a few of them as another class",
)  # fmt: skip


# %% [markdown]
# Two measures, of 30 scenes that training did not see. *Mean IoU* is that of notebook 12. *At the outlines* is the same, but only pixels with a true outline beside them count: there a coarse
# mask loses, however right its middle is.
# Both are computed from a *confusion matrix*, which counts for each true label (row) and each predicted one (column) the pixels that have them.


# %%
def counts(labels):
    """Return the confusion matrix of each scene, (scenes, classes, classes)."""
    found = []
    for truth, mine in zip(truths, labels, strict=True):
        confusion = ConfusionMatrix(len(CLASSES))
        confusion.update(truth, mine)
        found.append(confusion.counts)
    return np.stack(found)


def mean_iou(confusion):
    """Return the mean over the classes of the IoU, from the sum of the scenes' matrices."""
    total = confusion.sum(axis=0)
    both = np.diag(total)
    return (both / (total.sum(axis=0) + total.sum(axis=1) - both)).mean()


def at_outlines(labels):
    """Return the mean IoU of the pixels next to a true outline alone."""
    confusion = ConfusionMatrix(len(CLASSES))
    for truth, mine in zip(truths, labels, strict=True):
        (band,) = outline_bands(truth, [1])
        confusion.update(truth[band], mine[band])
    return confusion.mean_iou


def table(*names):
    """Print the two measures of some rows."""
    print(f"{'mean IoU':>40s}{'at the outlines':>18s}")
    for name in names:
        labels = labels_of(name)
        print(f"{name:32s}{mean_iou(counts(labels)):8.3f}{at_outlines(labels):18.3f}")


table("FCN", "DeconvNet")

# %% [markdown]
# ## 3. What a coarse grid can hold
#
# How much of that is the network's fault, and how much that of reducing the picture? Take the *true* masks, average them over squares of 3, 8, 12 and 24 pixels, enlarge the averages bilinearly, and take the largest at each pixel. When the FCN looks at the whole scene, its scores are 8 × 96/32 = 24 pixels
# of the scene apart; and the scene reduced to 32 pixels, which both networks are given, is a grid of 3.

# %%
grids = {"true mask": truths}
for stride in (3, 8, 12, 24):
    grids[f"grid of {stride}"] = [through_grid(truth, stride) for truth in truths]
    masks = grids[f"grid of {stride}"]
    print(f"grid of {stride:2d}:  mean IoU {mean_iou(counts(masks)):.3f},"
          f"  at the outlines {at_outlines(masks):.3f}")  # fmt: skip
board(
    grids,
    alt="The true masks of five scenes, and what is left of them on grids of 3, 8, 12 and 24 "
    "pixels: outlines become round, small and thin objects vanish",
)

# %% [markdown]
# Reducing the scene costs little: a grid of 3 keeps nearly all. A grid of 24 loses most, and all that is thin. These rows bound no network: scores need not be averages, a larger one pushes its class's border outwards,
# and the FCN is above that row. So the answer: a grid of 3 still allows 0.950 (0.828 at the outlines), and DeconvNet has 0.486 (0.253). Most is lost by the network. For the FCN, its own grid of 24 may be a part of it.
# What a grid of 8 keeps is had without another network, by looking at a window a third as wide.
#
# ## 4. Windows around what may be an object
#
# *Edge boxes* (Zitnick and Dollár 2014) propose them: a box that holds an object holds whole outlines, and a box that cuts one does not. They know nothing of classes. Each box gets a number for how likely it holds an object, and `best_windows` takes the boxes with the largest, here
# 20 of 200. Each box becomes a square 1.2 times its
# longer side. Below: the first ten of a scene, and what the network sees in three of the squares.

# %%
proposals = [edge_boxes(image, 200) for image in images]
WINDOWS = 20
looks = [best_windows(each, HEIGHT, WIDTH, count=WINDOWS) for each in proposals]

FRAMES = ("#b3261e", "#0072b2", "#e69f00")
figure, axes = plt.subplots(1, 4, figsize=(7.5, 2.3), width_ratios=[1.4, 1, 1, 1])
axes[0].imshow(images[ALL])
for number, (x1, y1, x2, y2) in reversed(list(enumerate(proposals[ALL].boxes[:10]))):
    axes[0].add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, linewidth=1.5,
                                edgecolor=FRAMES[number] if number < 3 else "#1b2733"))  # fmt: skip
axes[0].set_title("ten boxes, three in colour")
for ax, window, colour in zip(axes[1:], looks[ALL], FRAMES, strict=False):
    edge = Rectangle(
        (0, 0), 1, 1, transform=ax.transAxes, fill=False, linewidth=4, edgecolor=colour
    )
    ax.add_patch(edge)
    ax.imshow(resize_image(data.cut(images[ALL], window), (SIZE, SIZE)))
    ax.set_title(f"{window.width} pixels wide")
for ax in axes:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
plt.tight_layout(pad=0.3)
show(
    figure,
    alt="A scene with ten boxes, many of them around an object or a group of objects, and the "
    "squares around the three in colour as the network sees them, each framed in its box's colour",
)

# %% [markdown]
# The scores of window $i$, put at its place in the scene, are a map $G_i$; outside of the window it is zero. The paper joins the maps by their maximum or their sum, its equations (1) and (2):
#
# $$S(x, y, c) = \max_i G_i(x, y, c), \qquad S(x, y, c) = \sum_i G_i(x, y, c)$$
#
# The joined scores $S$ (the paper writes $P$; here that is kept for probabilities) are at least 0 where one window does not cover the place. Where none does, all classes are equal, 0.25 each, and the label is the first,
# the background. The ensemble and the CRF below start with these.
#
# ### Your turn
#
# **A.** Write equation (1). `scores` is a list of score maps, (classes, side, side) each, one for each window; `corners` has the row and column of each window's upper left pixel in the picture. All windows
# lie inside of the picture. A map is zero outside its window and counts there like any other.


# %%
def my_join(scores, corners, height, width):
    """Return S, (classes, height, width)."""
    S = None
    return S


# %% tags=["hide-input"]
squares = [data.Window(40, 8, 71, 39), data.Window(20, 30, 51, 61), data.Window(30, 16, 69, 55)]
alone = np.stack(list(fcn.window_scores(images[ALL], squares)))  # zero around each window
parts = [g[:, w.y1 : w.y2 + 1, w.x1 : w.x2 + 1].copy() for g, w in zip(alone, squares, strict=True)]
inside = np.zeros(alone.shape, bool)
for number, w in enumerate(squares):
    inside[number, :, w.y1 : w.y2 + 1, w.x1 : w.x2 + 1] = True
looked = np.where(inside, alone, -np.inf).max(axis=0)
last = np.zeros_like(alone[0])
for g, where in zip(alone, inside, strict=True):
    last[where] = g[where]
check_answer(
    "my_join",
    my_join(parts, [(w.y1, w.x1) for w in squares], HEIGHT, WIDTH),
    fcn.scores(images[ALL], squares),
    hints=[
        (lambda p: np.allclose(p, fcn.scores(images[ALL], squares, join="sum")),
         "That is the sum, equation (2)."),
        (lambda p: np.allclose(p, fcn.scores(images[ALL], squares, from_zero=True)),
         "Your maximum begins at zero, as in the authors' code. In equation (1) it is over the maps "
         "alone, and negative where all of them are."),
        (lambda p: not np.isfinite(p).all() or np.allclose(p, np.where(inside.any(axis=0), looked, 0)),
         "A map is zero outside of its window, and counts there like any other."),
        (lambda p: np.allclose(p, last), "The last window has overwritten the others."),
        (lambda p: np.shape(p) in ((HEIGHT, WIDTH, 4), (WIDTH, HEIGHT, 4), (4, WIDTH, HEIGHT)),
         "The order of the axes is classes, height, width."),
    ],
    hint="Make a map of zeros for each window, put its scores at its place (the row first, then the "
    "column), and take the maximum over the maps.",
)  # fmt: skip

# %% [markdown]
# `Segmenter` does it for any number of windows. How many does it take?

# %%
COUNTS = (1, 2, 5, 10, 20)
curves = {}
for name, network in (("FCN", fcn), ("DeconvNet", deconvnet)):
    for number in COUNTS:
        rows[f"{name}, {number} windows"] = [
            softmax(network.scores(image, chosen[:number]))
            for image, chosen in zip(images, looks, strict=True)
        ]
    curves[name] = [mean_iou(counts(labels_of(f"{name}, {number} windows"))) for number in COUNTS]


def covered(number):
    """Return the share of all objects' pixels that lie in one of the first windows."""
    found = []
    for truth, chosen in zip(truths, looks, strict=True):
        inside = np.zeros(truth.shape, bool)
        for w in chosen[:number]:
            inside[max(0, w.y1) : w.y2 + 1, max(0, w.x1) : w.x2 + 1] = True
        found.append(inside[truth > 0])
    return np.concatenate(found).mean()


print("objects' pixels in the windows:", ", ".join(f"{n}: {covered(n):.0%}" for n in COUNTS))
figure, ax = plt.subplots(figsize=(7.5, 2.8))
for (name, values), style in zip(curves.items(), ("o-", "s--"), strict=True):
    (line,) = ax.plot(range(len(COUNTS)), values, style, label=f"{name} at windows")
    ax.axhline(mean_iou(counts(labels_of(name))), color=line.get_color(), linewidth=1,
               linestyle=style[1:], label=f"{name}, whole scene")  # fmt: skip
ax.set(xticks=range(len(COUNTS)), xticklabels=COUNTS, xlabel="windows", ylabel="mean IoU",
       ylim=(0, 1))  # fmt: skip
ax.legend(ncols=2, loc="lower right")
plt.tight_layout()
show(
    figure,
    alt="Mean IoU against the number of windows, for both networks, with a line for the whole "
    "scene: both networks are above it with one window already, and rise most up to five windows",
)
for name, network in (("FCN", fcn), ("DeconvNet", deconvnet)):
    rows[f"{name}, 20 windows, sum"] = [
        softmax(network.scores(image, chosen, join="sum"))
        for image, chosen in zip(images, looks, strict=True)
    ]
table("FCN", "FCN, 20 windows", "FCN, 20 windows, sum",
      "DeconvNet", "DeconvNet, 20 windows", "DeconvNet, 20 windows, sum")  # fmt: skip

# %% [markdown]
# Both networks gain, at the outlines too, with the same weights. One window is worth something already; with one or two, a third and a fifth of the objects' pixels
# have not been looked at, and with five nearly all have been, which is where the curves become nearly flat.
#
# There are two possible causes. A window gives a finer grid; and its objects have the sizes, and the share of the picture, that the networks were trained on (section 2). If the second were the reason,
# networks trained on whole scenes should do as well on whole scenes. They do not: exercise 3 trains some, and windows stay 0.22 to 0.29 above them for the FCN, in three trainings. (For DeconvNet 0.14 to 0.32; but it learns less from
# whole scenes, so for it this settles nothing.)
#
# *How* windows are joined matters: by the sum the FCN loses and DeconvNet gains, and with it goes the order of the two. Exercise 1 asks which of this is decided, section 7 has three trainings. All that follows
# is by the maximum, as in the paper's experiments. On 60 photographs our DeconvNet went from 39.7 (whole) to 41.7 with 20 windows (section 7).
#
# ## 5. Both together
#
# Two networks that are wrong at different pixels can be right together. The paper's *ensemble* is the mean of the class probabilities of its FCN, which looks at the whole picture, and of DeconvNet
# at its windows.
#
# ### Your turn
#
# **B.** Write it for the [logits](../docs/glossary.md#logit), which is another name for the scores, of two networks, (classes, H, W) each. You have `softmax` from section 2.


# %%
def my_ensemble(a, b):
    """Return probabilities (classes, H, W)."""
    mean = None
    return mean


# %% tags=["hide-input"]
rng = np.random.default_rng(0)
a, b = rng.normal(0, 2, (2, 3, 2, 2))
check_answer(
    "my_ensemble",
    my_ensemble(a, b),
    softmax(joined([a, b], "mean")),  # it gives logarithms, as scores
    hints=[
        (lambda p: np.allclose(p, softmax((a + b) / 2)),
         "That is the mean of the scores. Take the softmax of each network first."),
        (lambda p: np.allclose(p, softmax(a) + softmax(b)), "The sum over the classes is 2."),
        (lambda p: np.allclose(p, softmax(a) * softmax(b)), "That is the product."),
    ],
    hint="What is averaged in an ensemble, scores or probabilities? For a pixel the classes' sum is 1.",
)  # fmt: skip


# %%
def mean_of(one, other):
    """Return the mean of two rows' probabilities, scene by scene."""
    return [(p + q) / 2 for p, q in zip(rows[one], rows[other], strict=True)]


rows["ensemble of the paper"] = mean_of("FCN", "DeconvNet, 20 windows")
rows["ensemble, both at windows"] = mean_of("FCN, 20 windows", "DeconvNet, 20 windows")
table("FCN", "FCN, 20 windows", "DeconvNet, 20 windows", "ensemble of the paper",
      "ensemble, both at windows")  # fmt: skip

# %% [markdown]
# The paper's ensemble is above the FCN that looks at the whole scene. But it is below DeconvNet at windows, which is much better than that FCN by itself, and with both at windows the mean is not reliably above the better one
# (three trainings in section 7). On our photographs, where the two networks are nearly equal (section 7), the ensemble is above both; in the paper's Table 1 it is so too, although DeconvNet is 7 points
# better there. A few cases like these do not tell when an ensemble helps: measure it.
#
# ## 6. A CRF moves outlines to edges
#
# A *dense conditional random field* (CRF; Krähenbühl and Koltun 2011) treats all classes alike: how much two pixels pull each other depends only on their colours and places. Every pixel is pulled towards the labels of all others, the more, the nearer they
# are and the more alike in colour:
#
# $$Q_i(l) \leftarrow \mathrm{softmax}_l \Big( \log P_i(l) + \sum_j k(i, j)\, Q_j(l) \Big), \qquad
# k(i, j) = w \exp\Big( -\frac{|p_i - p_j|^2}{2 s_p^2} - \frac{|I_i - I_j|^2}{2 s_c^2} \Big) + \dots$$
#
# $P_i(l)$ is the network's probability of label $l$ at pixel $i$, $p$ are places in pixels and $I$ colours from 0 to 255; the sum is over all pixels, $j = i$ too; the dots stand for a second such term of places alone, of weight 3 and width 3 pixels, which makes outlines smooth.
# $w$, $s_p$ and $s_c$ are `bilateral_weight`, `bilateral_position` and `bilateral_color` below. One thing is left out of the formula: each exponential is divided by $\sqrt{n_i n_j}$, where $n_i$ is the sum of
# all of pixel $i$'s, so that the pull does not grow with the number of pixels.
# Begin with $Q = P$ and repeat five times.

# %%
crf = DenseCRF(bilateral_weight=5, bilateral_position=40, bilateral_color=13)
BEFORE = ["FCN", "FCN, 20 windows", "DeconvNet, 20 windows", "ensemble of the paper",
          "ensemble, both at windows"]  # fmt: skip
for name in BEFORE:
    rows[f"{name} + CRF"] = [
        crf.refine(p, image) for p, image in zip(rows[name], images, strict=True)
    ]
board(
    {
        "scene": images, "true mask": truths, "FCN": labels_of("FCN"),
        "FCN\n+ CRF": labels_of("FCN + CRF"), "FCN,\nwindows": labels_of("FCN, 20 windows"),
        "windows\n+ CRF": labels_of("FCN, 20 windows + CRF"),
    },
    alt="Five scenes, the true masks, and the FCN's masks of the whole scene and at windows, each "
    "without and with the CRF: after it the outlines follow those of the objects, but some whole objects are gone",
)  # fmt: skip
table(*(name + behind for name in BEFORE for behind in ("", " + CRF")))

# %% [markdown]
# At the outlines the CRF raises every row. The mean IoU of all pixels it raises less, and it does not only improve: in the first scene of the figure the whole-scene FCN loses the leaf that it had found; and at windows the stick of the second scene and the upper stone of the fourth are gone, which had been found.
#
# ## 7. Is it decided?
#
# Thirty scenes are few: other scenes would give other numbers. A *paired bootstrap* says how much. It draws 30 of the 30 scenes with replacement (one may come twice, another not at all), 2000 times, and each time computes the difference of two rows' mean IoU on the drawn
# scenes. The middle 95 % of these differences are the interval. If it leaves out 0, the difference is decided, for these two networks as they are.

# %%
PAIRS = [
    ("DeconvNet", "FCN"),
    ("FCN, 20 windows", "FCN"),
    ("DeconvNet, 20 windows", "DeconvNet"),
    ("DeconvNet, 20 windows", "FCN, 20 windows"),
    ("ensemble of the paper", "FCN"),
    ("ensemble of the paper", "DeconvNet, 20 windows"),
    ("ensemble, both at windows", "FCN, 20 windows"),
    *((f"{name} + CRF", name) for name in BEFORE),
]
for one, other in PAIRS:
    found = paired_difference(counts(labels_of(one)), counts(labels_of(other)))
    print(
        f"{one} less {other}:".ljust(64)
        + f"{found.difference:+.3f}  from {found.low:+.3f} to {found.high:+.3f}, {found.verdict}"
    )

# %% [markdown]
# The interval knows nothing of other trainings: another seed gives other networks. So everything above was done with `two_networks(seed)` for the seeds 0, 1 and 2, on 2026-12-01. Mean IoU of the three, and at the outlines:
#
# | row | mean IoU | at the outlines | with the CRF: mean IoU | at the outlines |
# |---|---|---|---|---|
# | FCN | 0.45, 0.45, 0.44 | 0.23, 0.23, 0.22 | 0.52, 0.48, 0.45 | 0.36, 0.32, 0.29 |
# | DeconvNet | 0.49, 0.51, 0.47 | 0.25, 0.27, 0.24 | | |
# | FCN, 20 windows | 0.74, 0.73, 0.66 | 0.43, 0.44, 0.41 | 0.81, 0.80, 0.74 | 0.67, 0.68, 0.60 |
# | DeconvNet, 20 windows | 0.70, 0.60, 0.55 | 0.46, 0.36, 0.34 | 0.73, 0.69, 0.58 | 0.63, 0.57, 0.46 |
# | FCN, 20 windows, sum | 0.69, 0.68, 0.63 | 0.39, 0.39, 0.38 | | |
# | DeconvNet, 20 windows, sum | 0.74, 0.63, 0.62 | 0.47, 0.43, 0.39 | | |
# | ensemble of the paper | 0.58, 0.57, 0.61 | 0.30, 0.29, 0.31 | 0.59, 0.58, 0.56 | 0.46, 0.43, 0.38 |
# | ensemble, both at windows | 0.76, 0.73, 0.73 | 0.48, 0.42, 0.45 | 0.73, 0.69, 0.75 | 0.62, 0.58, 0.61 |
#
# - *Windows* are worth most: 0.23 to 0.29 for the FCN, 0.08 to 0.22 for DeconvNet, decided in every training.
# - *DeconvNet* is above the FCN at the whole scene in all three, as in the paper, though decided in one only. At windows, which the paper does not try for its FCN, it is below in all three if they are joined by the maximum (decided in
#   two), and by the sum once above and twice below (none decided). So which of the two is better at windows depends on the join and on the seed.
# - *The sum* lowers the FCN in all three and raises DeconvNet in all three, all decided.
# - *The ensemble* of the paper is above the FCN at the whole scene in all three, and above DeconvNet at 20 windows in one of three. With both at windows it is above the better one in two of three, by at most 0.06.
# - *The CRF* raises the outlines in all fifteen cases, and the mean IoU of each network alone in all nine; of the ensembles in three of six, two of them by at most 0.01.

# %% [markdown]
# ### On photographs
#
# The same steps on 120 photographs of PASCAL VOC, with networks whose first half is [VGG-16](../docs/glossary.md#vgg-16), trained before on ImageNet (1.3 million photographs
# with one class each), and 220 photographs for training. The commands, and what they printed, are in
# `benchmarks/results/voc_rows/comparison-paper.log`; the page [Photographs](../docs/photographs.md) tells how these networks were made. Bars: mean IoU in per cent of 21 classes.

# %%
PHOTOGRAPHS = {  # mean IoU: here, and in the paper's Table 1 (VOC 2012's test photographs)
    "FCN-8s": (41.2, 62.2),
    "DeconvNet, 20 windows": (42.8, 69.6),
    "ensemble": (44.1, 71.7),
    "FCN-8s + CRF": (45.4, None),
    "DeconvNet + CRF": (45.5, 70.5),
    "ensemble + CRF": (48.1, 72.5),
}

# %% tags=["hide-input"]
figure, ax = plt.subplots(figsize=(7.5, 3.6))
for place, (ours, paper) in enumerate(PHOTOGRAPHS.values()):
    ax.barh(place - 0.2, ours, 0.36, color="#0072b2", label="here" if place == 0 else None)
    ax.text(ours + 0.8, place - 0.2, f"{ours}", va="center")
    if paper is not None:
        ax.barh(place + 0.2, paper, 0.36, color="#e69f00", label="the paper" if not place else None)
        ax.text(paper + 0.8, place + 0.2, f"{paper}", va="center")
ax.set(yticks=range(len(PHOTOGRAPHS)), yticklabels=list(PHOTOGRAPHS), xlabel="mean IoU, per cent",
       xlim=(0, 86))  # fmt: skip
ax.invert_yaxis()
ax.legend(loc="upper right")
plt.tight_layout()
show(
    figure,
    alt="Bars of mean IoU for six rows: FCN-8s 41.2 here and 62.2 in the paper, DeconvNet 42.8 and "
    "69.6, the ensemble 44.1 and 71.7, with CRF 45.4, 45.5 and 70.5, 48.1 and 72.5",
)

# %% [markdown]
# The paper had some fifty times as many photographs for training, and days of a GPU; so compare the order of the rows, not the heights. The paired bootstrap over the 120 photographs, in points (hundredths of mean IoU; rounded last, so that they may differ from the bars' by 0.1):
#
# | difference | here, with its 95 % interval | in the paper |
# |---|---|---|
# | DeconvNet less FCN-8s | +1.6, from -1.7 to +3.5: not decided | +7.4 |
# | ensemble less FCN-8s | +3.0, from +0.0 to +4.5: decided, only just | +9.5 |
# | ensemble less DeconvNet | +1.3, from +0.3 to +3.0: decided | +2.1 |
# | ensemble + CRF less ensemble | +4.0, from +1.6 to +7.1: decided | +0.8 |
# | DeconvNet at 20 windows less whole photographs, on 60 of them | +2.0 (41.7 and 39.7; the bar's 42.8 is of all 120), no interval | |
#
# Each network was trained with one seed, and the CRF and the number of windows were chosen on the same 120 photographs, so the differences that they make are too high by an unknown amount. The last row is from
# `benchmarks/results/proposals`, by `python -m benchmarks.proposals`.
#
# ## Break it
#
# The CRF believes that pixels of like colour belong together; $s_c$ of section 6 (`bilateral_color`) says how alike, 13 levels of 256. Make it 60, and a leaf counts as nearly of the same colour as the table under it. Then make the pull $w$
# (`bilateral_weight`) 100 times stronger as well. Which objects suffer first? Guess, then look.

# %%
before = rows["FCN, 20 windows"]
few = [index for index, truth in enumerate(truths) if np.mean(truth > 0) < 0.05]
print(f"{len(few)} scenes have objects on less than 5 % of their pixels")
settings = [None, (0, 13), (5, 13), (500, 13), (5, 60), (500, 60)]
for setting in settings:
    rows["broken"] = before
    if setting is not None:
        weight, colour = setting
        broken = DenseCRF(bilateral_weight=weight, bilateral_position=40, bilateral_color=colour)
        rows["broken"] = [broken.refine(p, image) for p, image in zip(before, images, strict=True)]
    labels = labels_of("broken")
    found = [np.mean(labels[i][truths[i] > 0] > 0) for i in range(len(truths))]
    large = np.delete(found, few)
    print(f"{'no CRF' if setting is None else f'weight {weight}, colour {colour}':22s}"
          f"mean IoU {mean_iou(counts(labels)):.3f}, at the outlines {at_outlines(labels):.3f}; "
          f"found of small objects {np.mean(np.take(found, few)):.0%}, of others {large.mean():.0%}")  # fmt: skip

# %% [markdown]
# The wide colour breaks it, and small objects suffer most: with 13 levels 48 % of their pixels are found and with 60 only 12 %, a quarter; of the others it goes from 85 % to 47 %. A pixel then agrees with all around it, and
# around a small object nearly all is background. Weight 0 leaves the second term, of places alone, and is worse than no CRF: it smooths, and has no edges to follow. The strong pull by itself is the best row on all four numbers here; section 6 has 5 all the same, the weight chosen on photographs, since choosing on these 30 scenes would favour the CRF. With both, the pull turns more pixels of small
# objects to an object's label again (20 %), and fewer of the others (32 %).
# In these scenes each thing has one colour, so that what is alike in colour mostly does belong together. A photograph has no such colours: there we chose a weight of 5 and 8 levels, on the validation photographs.
#
# Note the row without a CRF, too: of small objects it finds more than the CRF of section 6 leaves.
#
# ## What the paper says
#
# Hyeonwoo Noh, Seunghoon Hong, Bohyung Han,
# [*Learning Deconvolution Network for Semantic Segmentation*](https://arxiv.org/abs/1505.04366) (ICCV 2015), against Jonathan Long, Evan Shelhamer, Trevor Darrell,
# [*Fully Convolutional Networks for Semantic Segmentation*](https://arxiv.org/abs/1411.4038) (CVPR 2015).
#
# | the paper | this notebook |
# |---|---|
# | section 1, Figure 1: FCN looks at one size, so that large objects fall apart and small ones are missed, and its coarse map loses detail | sections 2 and 3: that small objects are missed and detail is lost is seen; that large ones fall apart is measured on the page [Networks compared](../docs/compare.md), where DeconvNet at whole pictures shows it as well |
# | section 5.1, equations (1) and (2): windows, joined by maximum or sum, 50 of them | section 4, with 20; exercise 1 |
# | section 5.2: the ensemble is the mean of the probabilities | section 5; on photographs in section 7 |
# | Table 1: DeconvNet above FCN, the ensemble above both, the CRF above its input | section 7 |
#
# What differs: drawn scenes, three stages in place of five, FCN-32s in place of FCN-8s, boxes from simple edges in place of learned ones. The drawn networks are small and trained for seconds.
#
# ## Exercises
#
# **1.** Section 4 has both networks' windows joined by the sum, too. Are the differences to the maximum decided? And the order of DeconvNet and the FCN, both by the sum, or each at its best?
#
# <details><summary>Answer</summary>
#
# ```python
# for one, other in (
#     ("DeconvNet, 20 windows, sum", "DeconvNet, 20 windows"),
#     ("FCN, 20 windows, sum", "FCN, 20 windows"),
#     ("DeconvNet, 20 windows, sum", "FCN, 20 windows, sum"),
#     ("DeconvNet, 20 windows, sum", "FCN, 20 windows"),
# ):
#     found = paired_difference(counts(labels_of(one)), counts(labels_of(other)))
#     print(f"{one} less {other}: {found.difference:+.3f}, {found.low:+.3f} to {found.high:+.3f}: {found.verdict}")
# ```
#
# Both are: DeconvNet gains 0.041 by the sum (from 0.002 to 0.079), and the FCN loses 0.047 (from 0.016 to 0.081). The order of the two is not: both by the sum, DeconvNet is above by 0.051 (from -0.002 to 0.101), and each at its best by 0.004 (from -0.044 to 0.053). The paper's experiments take the maximum, and on 60 photographs our DeconvNet has 41.7 by maximum and 41.3 by sum, with 20
# windows (`benchmarks/results/proposals`, no interval). So neither is better everywhere: measure it with your network and pictures.
# </details>
#
# **2.** The authors' released code joins the two networks by another rule: the product of the scores that are not negative, $\max(0, a) \max(0, b)$. What is the label of a pixel at which no class has positive scores from both?
#
# <details><summary>Answer</summary>
#
# The product is 0 for all classes, so all are equally likely, and `argmax` takes the first of them, the background.
#
# ```python
# a, b = np.array([[[-1.0]], [[4.0]]]), np.array([[[1.0]], [[-1.0]]])
# assert joined([a, b], "product").argmax(axis=0) == 0
# assert joined([a, b], "mean").argmax(axis=0) == 1  # the mean takes the surer network's class
# ```
# </details>
#
# **3.** Section 4 says that windows are not only worth something because the networks were trained on windows. Train both on whole scenes, reduced to 32 pixels, and compare.
#
# <details><summary>Answer</summary>
#
# ```python
# margin = (WIDTH - HEIGHT) // 2  # the square around a scene has so many rows above and below
# inputs, masks = [], []
# for image, mask in train_set.items:
#     image = np.pad(image, ((margin, margin), (0, 0), (0, 0)))
#     mask = np.pad(mask, ((margin, margin), (0, 0)), constant_values=255)  # void
#     inputs.append(normalize.image(resize_image(image, (SIZE, SIZE))))
#     masks.append(resize_mask(mask, (SIZE, SIZE)))
# x, y = np.stack(inputs), np.stack(masks)
# for name, network in zip(("FCN", "DeconvNet"), two_networks(seed=0), strict=True):
#     rows["whole"] = [softmax(network.scores(image)) for image in images]
#     for other in (name, f"{name}, 20 windows"):
#         found = paired_difference(counts(labels_of("whole")), counts(labels_of(other)))
#         print(f"{name} trained on whole scenes {mean_iou(counts(labels_of('whole'))):.3f}, less {other}: {found.difference:+.3f}, {found.verdict}")
#     assert found.verdict == "lower"
# ```
#
# At the whole scene, with the seeds 0, 1 and 2 (2026-12-01):
#
# | trained on | FCN | DeconvNet |
# |---|---|---|
# | windows | 0.45, 0.45, 0.44 | 0.49, 0.51, 0.47 |
# | whole scenes | 0.45, 0.47, 0.45 | 0.38, 0.41, 0.41 |
#
# The FCN's three differences are not decided. DeconvNet's are, and it is worse; why is not tested, but 400 whole scenes have far fewer pixels of objects than the windows. At 20 windows the FCN trained on windows is 0.29, 0.26 and 0.22
# above the one trained on whole scenes, and DeconvNet 0.32, 0.19 and 0.14. So for the FCN what it was trained on is not the reason, and the finer grid is left; for DeconvNet this experiment cannot tell.
# </details>
#
# ## In the library
#
# Cutting windows out and joining them is [`minideconv.segmentation.inference.Segmenter.map`](../minideconv/segmentation/inference.py#L119), the ensemble is
# [`minideconv.segmentation.ensemble.joined`](../minideconv/segmentation/ensemble.py#L101), a step of the CRF is
# [`minideconv.ops.mean_field.mean_field_update`](../minideconv/ops/mean_field.py#L19). From the command line all of it is one line:
# `python -m minideconv.predict RUN photograph.jpg --proposals 20 --ensemble OTHER_RUN --crf default`.
#
# Next: [*Looking inside*](14_looking_inside.ipynb).
