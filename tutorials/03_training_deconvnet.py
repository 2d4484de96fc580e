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
# # Training DeconvNet, and watching it draw
#
# The first notebook had the transposed convolution, the second the switches. DeconvNet (Noh, Hong,
# Han 2015) is both, stacked: a VGG network that shrinks the picture to a list of numbers, and its
# mirror image that grows the outline back. Here we train a small one in half a minute and then look at what
# every layer of the decoder holds. That is the one idea: **the outline is not painted at the end; it grows from layer to
# layer, unpooling places it and deconvolution fills it in.** The figure to reproduce is the paper's Figure 4.
#
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

from minideconv import Tensor, data, manual_seed, models, nn, no_grad, optim
from minideconv import functional as F
from minideconv.segmentation import ConfusionMatrix
from minideconv.visualize import show, use_style

use_style()
SIZE = 48

# %% [markdown]
# ## 1. What it shall learn
#
# `Shapes` draws pictures with objects on them. Half a minute is short, so we ask an easier question
# than the real training run does, *where is an object?* instead of *which?*, and give the network a
# head start: not the colour of a pixel, but its distance from the picture's middle (median) colour.
#
# Both go into a *transform*: a function of an image, its mask and a source of random numbers. Label 255 marks
# pixels on an outline that do not count.


# %%
def head_start(image, mask, rng):
    """(H, W, 3) bytes -> (3, H, W) distance from the median colour; classes -> object or not."""
    colours = image.astype(np.float32)
    distance = np.abs(colours - np.median(colours, axis=(0, 1)))
    labels = np.where(mask == 255, 255, np.minimum(mask, 1))
    return distance.transpose(2, 0, 1) / 64 - 0.5, labels.astype(np.uint8)


scene = data.Difficulty(
    classes=("disc", "triangle", "rectangle", "star", "cross"),
    objects=(1, 3),  # from one to three of them
    radius=(0.16, 0.32),  # of the picture's side
    stretch=1.15,
    clutter=(0, 2),  # shapes of no class, to be left out
    contrast=110,
    texture=16,
    light=0.1,
    noise=3,
    visible=0.7,
)
train_set = data.Shapes("train", length=2000, size=SIZE, difficulty=scene)
val_set = data.Shapes("val", length=100, size=SIZE, difficulty=scene)

figure, axes = plt.subplots(3, 5, figsize=(7.5, 4.8))
for number, column in enumerate(axes.T):
    image, mask = val_set[number]
    seen, labels = head_start(image, mask, None)
    column[0].imshow(image)
    column[1].imshow(np.clip(seen.transpose(1, 2, 0) / 2 + 0.25, 0, 1))
    column[2].imshow(np.where(labels == 255, 0.5, labels), cmap="gray", vmin=0, vmax=1)
for ax in axes.ravel():
    ax.set(xticks=[], yticks=[])
for ax, title in zip(
    axes[:, 0], ("the picture", "what the\nnetwork sees", "the truth\n(grey: void)"), strict=True
):
    ax.set_ylabel(title)
plt.tight_layout()
show(
    figure,
    alt="Five drawn pictures with coloured shapes on them; below each what the "
    "network sees, the distance from the median colour; and the truth, white "
    "where an object is",
)

# %% [markdown]
# ## 2. The network
#
# `models.deconvnet` builds every size of it from one table; the defaults are the paper's 252 million
# parameters. This one has three poolings instead of five, and an eighth of the channels.
# Below is its shape: each box is a layer's output, as high as the map is (in pixels) and as wide as it has
# channels.

# %%
manual_seed(0)
model = models.deconvnet(num_classes=2, width=8, input_size=SIZE, fc=64, stages=3)
model.eval()  # one picture has no batch statistics to normalise with
nothing = np.zeros((1, 3, SIZE, SIZE), np.float32)
shapes = {name: maps.shape for name, maps in model.activations(nothing).items()}

# %% tags=["hide-input"]
figure, ax = plt.subplots(figsize=(7.5, 3.9))
left = 0.0
for name, (_, channels, high, _) in shapes.items():
    colour = next(
        c
        for start, c in (
            ("deconv", "tab:orange"),
            ("unpool", "gold"),
            ("pool", "tab:cyan"),
            ("conv", "tab:blue"),
            ("", "0.6"),
        )
        if name.startswith(start)
    )
    wide = 1 + channels / 8
    ax.add_patch(Rectangle((left, -high / 2), wide, high, facecolor=colour, edgecolor="white"))
    ax.text(left + wide / 2, -SIZE / 2 - 2, name, rotation=90, ha="center", va="top", size=8)
    left += wide + 0.4
ax.set(xlim=(-1, left), ylim=(-SIZE / 2 - 20, SIZE / 2 + 2))
ax.axis("off")
ax.set_title(f"{model.num_parameters():,} parameters, {SIZE} pixels down to 1 and back")
show(
    figure,
    alt="The layers of the network as boxes from left to right: they shrink from 48 "
    "pixels to 1 at fc6 and fc7, and grow again to 48 in mirror image",
)

# %% [markdown]
# ### Your turn
#
# Most of the parameters sit in one layer. `fc6` is a convolution whose kernel is as large as the map
# that `pool3` hands it (that is what makes it "fully connected"). How many numbers are in its weight
# and bias together?

# %%
my_fc6 = None


# %%
def check(name, mine, right):
    """Say whether `mine` equals `right`."""
    if mine is None:
        print(f"{name}: nothing written yet")
    else:
        print(f"{name}: ✓" if mine == right else f"{name}: ✗ it is {right}")


check("my_fc6", my_fc6, model.fc6.layer.weight.size + model.fc6.layer.bias.size)
print("pool3 hands over maps of", shapes["pool3"][1:], "and fc6 makes", shapes["fc6"][1:])

# %% [markdown]
# ## 3. Training
#
# Five lines do the work: scores, loss, zero the gradients, backward, step. The learning rate falls along a
# cosine.

# %%
STEPS = 140

loader = data.DataLoader(
    train_set, batch_size=16, shuffle=True, drop_last=True, transform=head_start
)
optimizer = optim.AdamW(model.parameters(), lr=5e-3, weight_decay=5e-4)
schedule = optim.CosineLR(optimizer, STEPS)

model.train()
losses, start = [], time.perf_counter()
while len(losses) < STEPS:
    for images, masks in loader:
        loss = F.cross_entropy(model(Tensor(images)), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if len(losses) == STEPS:
            break
print(f"{STEPS} steps in {time.perf_counter() - start:.0f} s")

smooth = np.convolve(losses, np.ones(10) / 10, mode="valid")
figure, ax = plt.subplots(figsize=(7.5, 3))
ax.plot(losses, color="0.55", label="each batch")
ax.plot(np.arange(len(smooth)) + 5, smooth, color="tab:blue", label="mean of ten")
ax.set(xlabel="step", ylabel="cross entropy", ylim=(0, None))
ax.legend(frameon=False)
for side in ("top", "right"):
    ax.spines[side].set_visible(False)
plt.tight_layout()
show(
    figure,
    alt="The cross entropy of each batch, and the mean of ten of them, falling over "
    "the steps of the training",
)

# %% [markdown]
# The measure of segmentation is *intersection over union*: the pixels that both truth and prediction call
# "object", divided by the pixels that either does. One matrix of counts over the whole validation
# set, void pixels left out.


# %%
def predict(images):
    """Labels (N, H, W) of a batch (N, 3, H, W)."""
    model.eval()  # batch norm now uses its running averages
    with no_grad():
        return model(Tensor(images)).numpy().argmax(axis=1)


def evaluate():
    """IoU of background and object over the validation set."""
    confusion = ConfusionMatrix(2)
    for images, masks in data.DataLoader(val_set, batch_size=25, transform=head_start):
        confusion.update(masks, predict(images))
    return confusion.iou


trained_iou = evaluate()
print(f"IoU of background {trained_iou[0]:.2f}, of objects {trained_iou[1]:.2f}")

images, masks = next(iter(data.DataLoader(val_set, batch_size=8, transform=head_start)))
labels = predict(images)


def board(rows, alt, count=5):
    """The first pictures in a grid; `rows` is a list of (title, pictures)."""
    figure, axes = plt.subplots(len(rows), count, figsize=(7.5, 1.5 * len(rows)))
    for line, (title, pictures) in zip(axes, rows, strict=True):
        line[0].set_ylabel(title)
        for ax, picture in zip(line, pictures[:count], strict=True):
            ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
    plt.tight_layout()
    show(figure, alt=alt)


pictures = [val_set[number][0] for number in range(8)]
truth = np.where(masks == 255, 0.5, masks)
board(
    [("picture", pictures), ("truth", truth), ("prediction", labels)],
    alt="Five pictures, where their objects are, and where the trained network says they are",
)

# %% [markdown]
# ## 4. Watching it draw
#
# Now the figure that the paper is known for. `model.activations` gives every layer's output. Each has
# many channels; we show, for each layer, the channel that agrees best with the finished prediction (the paper
# picks "the most representative" ones by eye).

# %%
NUMBER = int(np.argmax([np.mean(mask == 1) * (np.mean(mask == 1) < 0.35) for mask in masks]))
LAYERS = ["fc6_deconv"] + [n for n in shapes if n.startswith(("unpool", "deconv"))] + ["seg_score"]

seen = model.activations(images[NUMBER : NUMBER + 1])


def best_channel(maps, wanted):
    """The channel of (1, C, h, w) that correlates best with a mask of another size."""
    h, w = maps.shape[2:]
    rows = np.arange(h) * len(wanted) // h
    columns = np.arange(w) * len(wanted) // w
    goal = wanted[np.ix_(rows, columns)] - wanted.mean()
    flat = maps[0] - maps[0].mean(axis=(1, 2), keepdims=True)
    scores = (flat * goal).sum(axis=(1, 2)) / (np.sqrt((flat**2).sum(axis=(1, 2))) + 1e-9)
    return maps[0, int(np.argmax(scores))]


figure, axes = plt.subplots(4, 4, figsize=(7.5, 8.8))
for ax in axes.ravel():
    ax.axis("off")
axes[0, 0].imshow(pictures[NUMBER])
axes[0, 0].set_title("picture")
for ax, name in zip(axes.ravel()[1:], LAYERS, strict=False):
    shown = best_channel(seen[name], labels[NUMBER].astype(float))
    ax.imshow(shown, cmap="magma", vmax=np.quantile(shown, 0.995))
    ax.set_title(f"{name}\n{shown.shape[0]} × {shown.shape[1]}")
plt.tight_layout()
show(
    figure,
    alt="Maps of the decoder from fc6_deconv, a coarse guess of a few pixels, to the "
    "full size: each unpooling leaves holes and each deconvolution fills them, "
    "until the object's outline stands",
)

# %% [markdown]
# Read it from left to right. `fc6_deconv` is a coarse guess, a few pixels wide. Then the same two steps three times
# over: `unpool` doubles the map and leaves holes, because a value goes to its switch and nowhere else;
# `deconv` fills the holes and cleans up. Each round adds detail that the round before could not hold.
#
# ## 5. Break it
#
# Where does the fine detail come from? Take the *trained* network and let it forget its switches: every
# unpooling now puts its value into the top left corner of its window, whatever the encoder saw.
# No weight is changed. Guess first: how far does the IoU of 'object' fall?


# %%
class ForgetfulUnpool(nn.Module):
    """Unpooling that ignores the switches: always the top left pixel of the window."""

    def forward(self, x, switches):
        """Put every value at tap 0 of its window."""
        corner = np.zeros(switches.shape, np.int64)
        return F.max_unpool2d(x, type(switches).from_window(corner, switches.plane_shape, 2, 2))


remembered = {n: m for n, m in model.named_modules() if isinstance(m, nn.MaxUnpool2d)}
for name in remembered:
    model.set_submodule(name, ForgetfulUnpool())
forgetful_iou, forgetful = evaluate(), predict(images)
for name, unpool in remembered.items():
    model.set_submodule(name, unpool)

print(f"IoU of objects with its switches {trained_iou[1]:.2f}, without them {forgetful_iou[1]:.2f}")
board(
    [("truth", truth), ("with\nswitches", labels), ("without", forgetful)],
    alt="The truth, the prediction with switches, and without: there the outlines are lost",
)

# %% [markdown]
# The objects are still found, roughly: *that* they are there went through the 64 numbers of `fc7`. Their outlines are gone:
# *where exactly* went through the switches, past the bottleneck.
#
# ## Exercises
#
# **1.** Take the head start away: give the network the colours themselves,
# `image.transpose(2, 0, 1) / 64 - 2`. What happens to the loss in the same number of steps, and why?
#
# <details><summary>Answer</summary>
#
# It hardly falls below the loss of a constant guess, which is the entropy of the two labels' shares:
#
# ```python
# share = np.mean([np.mean(val_set[i][1] > 0) for i in range(100)])
# print("a constant guess:", -share * np.log(share) - (1 - share) * np.log(1 - share))
# ```
#
# In these scenes objects and background have the same colours, so a single pixel tells nothing: the network
# has to learn outlines first. It does, in `python -m minideconv.train`, with more pictures and more steps.
# </details>
#
# **2.** How many numbers does `fc6` have (the check in section 2), and how many in the paper's network, where
# `pool5` hands over 512 maps of 7 × 7 and `fc6` makes 4096?
#
# <details><summary>Answer</summary>
#
# ```python
# my_fc6 = 64 * 32 * 6 * 6 + 64
# check("my_fc6", my_fc6, model.fc6.layer.weight.size + model.fc6.layer.bias.size)
# assert my_fc6 == model.fc6.layer.weight.size + model.fc6.layer.bias.size
# print("in the paper:", 4096 * 512 * 7 * 7 + 4096)
# ```
#
# 102,764,544 of 251,805,653. Its mirror `fc6_deconv` has as many weights: the two hold four fifths of the
# network.
# </details>
#
# **3.** The decoder's filters follow unpooling, so they meet maps that are three quarters zeros. Measure it:
# which share of `unpool1` is zero, and which of `deconv1_1`, right behind it?
#
# <details><summary>Answer</summary>
#
# ```python
# for name in ("unpool1", "deconv1_1"):
#     print(f"{name}: {np.mean(seen[name] == 0):.0%} zeros")
# assert np.mean(seen["unpool1"] == 0) >= 0.75
# ```
#
# At least three quarters behind an unpooling, and more where the ReLU before it gave zeros. The
# deconvolution spreads every value over its neighbours and leaves only the zeros of its own ReLU.
# </details>
#
# ## What to take with you
#
# - DeconvNet is a convolutional network and its mirror image, tied together by the switches.
# - What is there goes through the bottleneck; where exactly goes through the switches.
# - In the decoder, unpooling places and deconvolution fills in, again and again, from coarse to fine.
#
# Next: `python -m minideconv.train` for the real thing, and open its `report.html`. Read along in the code:
# `minideconv/models/deconvnet.py`, from the table down.
