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
# # DeconvNet: two ways from the picture to the mask
#
# *Segmentation* gives every pixel of a picture a class: the answer is a [mask](../docs/glossary.md#mask).
# [DeconvNet](../docs/glossary.md#deconvnet) (Noh, Hong, Han 2015) does it with a network that shrinks the picture to one list
# of numbers, and its mirror image that grows a mask from that list. Two things lead from the first half to the second:
# the list, which is called the [bottleneck](../docs/glossary.md#bottleneck), and the
# [switches](../docs/glossary.md#switches) of the poolings. That is the one idea of this notebook: **to learn what a path of a
# network carries, close it, train again from the start, and measure.**
#
# You need [transposed convolution](../docs/glossary.md#transposed-convolution) (notebook 04), pooling with switches and
# [unpooling](../docs/glossary.md#unpooling) (08), batch normalisation (09) and what `backward` does (10). It runs
# in less than a minute on one core of a CPU.

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
from minideconv.data.transforms import resize_mask
from minideconv.models.blocks import STAGES
from minideconv.segmentation import ConfusionMatrix
from minideconv.testing import check_answer
from minideconv.visualize import (
    activations,
    feature_strip,
    show,
    training_curves,
    use_style,
)

use_style()
SIZE = 32

# %% [markdown]
# ## 1. What it should learn
#
# `Shapes` draws pictures with objects on them, and their true masks. Three classes and a background make four *labels*, 0 to 3.
# Label 255 is [void](../docs/glossary.md#void-label): pixels on an outline, which belong to two things and do not count.
#
# Less than a minute is short, so the network gets a head start: not colours, but how far each pixel is from the
# picture's middle (median) colour. An object then is a light patch on a dark ground, as long as it covers less than half of the
# picture, and only its outline says what it is.
#
# The colours of all masks below: discs blue, rings orange, crosses green, the background nearly white, void grey.


# %%
def scene_with(objects):
    """Return how pictures are drawn that have from `objects[0]` to `objects[1]` objects."""
    return data.Difficulty(
        classes=("disc", "ring", "cross"),
        objects=objects,
        radius=(0.2, 0.4),  # of the picture's side
        stretch=1.15,  # longest side by shortest, at most
        clutter=(0, 0),  # shapes of no class
        contrast=110,  # least distance of an object's colour from what it covers
        texture=8,  # strength of patterns,
        light=0.05,  # of uneven light
        noise=2,  # and of noise
        visible=0.7,  # least share of an object that others leave uncovered
    )


def scenes(split, count, objects):
    """Return pictures (N, 32, 32, 3), what the network sees (N, 1, 32, 32), and masks (N, 32, 32)."""
    drawn = data.Shapes(split, length=count, size=SIZE, difficulty=scene_with(objects))
    images, masks = map(np.stack, zip(*(drawn[i] for i in range(count)), strict=True))
    middle = np.median(images, axis=(1, 2), keepdims=True)
    seen = np.abs(images - middle).mean(axis=3) / 64 - 0.5  # mostly from -0.5 to 1.5
    return images, seen[:, None].astype(np.float32), masks


CLASSES = ["background", "disc", "ring", "cross"]
train_images, train_x, train_y = scenes("train", 2000, objects=(1, 1))
val_images, val_x, val_y = scenes("val", 200, objects=(1, 1))

# %% tags=["hide-input"]
COLOURS = np.zeros((256, 3), np.uint8)
COLOURS[:4] = [[238, 242, 246], [0, 114, 178], [213, 94, 0], [0, 158, 115]]
COLOURS[255] = 160


def board(rows, alt, count=6):
    """Show pictures in rows; `rows` maps a title to pictures, signals or masks."""
    figure, axes = plt.subplots(len(rows), count, figsize=(7.5, 1.3 * len(rows) + 0.1))
    for line, (title, pictures) in zip(np.atleast_2d(axes), rows.items(), strict=True):
        line[0].set_ylabel(title)
        for ax, picture in zip(line, pictures, strict=False):
            if picture.ndim == 2 and picture.dtype != np.float32:
                picture = COLOURS[picture]
            ax.imshow(picture, cmap="gray", vmin=-0.5, vmax=1.5)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
    plt.tight_layout(pad=0.3)
    show(figure, alt=alt)


board(
    {"picture": val_images, "what the\nnetwork sees": val_x[:, 0], "true mask": val_y},
    alt="Six drawn pictures with one shape each; below each the distance from the median colour, "
    "in which the shape is light; and the true mask: discs blue, rings orange, crosses green, "
    "with a grey line of void pixels around each",
)

# %% [markdown]
# ## 2. The network of the paper's Figure 2, from its parts
#
# Its unit is a [convolution](../docs/glossary.md#convolution), [batch normalisation](../docs/glossary.md#batch-normalisation) and a
# [ReLU](../docs/glossary.md#relu); in the second half a transposed convolution stands in place of the convolution.
# A *stage* is some of these units and a pooling. A last convolution, of one pixel, makes the *scores*, one for each label at each pixel, also called
# [logits](../docs/glossary.md#logit); the largest is the answer. Here is the whole network for any table of stages:


# %%
def block(layer, channels):
    """(Transposed) convolution, batch normalisation, ReLU."""
    return nn.Sequential(layer, nn.BatchNorm2d(channels), nn.ReLU())


class Mirror(nn.Module):
    """A convolutional network and its mirror image: (N, colours, H, W) -> (N, classes, H, W).

    A row of `table` is a stage: the channels of its convolutions, and of the deconvolutions that
    follow its unpooling.
    """

    def __init__(self, table, classes, fc, colours=1, unpool=nn.MaxUnpool2d):
        super().__init__()
        self.down, channels = nn.ModuleList(), colours
        for convolutions, _ in table:
            stage = []
            for out in convolutions:
                stage.append(block(nn.Conv2d(channels, out, 3, padding=1), out))
                channels = out
            self.down.append(nn.Sequential(*stage))
        self.pool = nn.MaxPool2d(2, 2, return_switches=True)

        left = SIZE // 2 ** len(table)  # of the map's side, after the last pooling
        self.fc6 = block(nn.Conv2d(channels, fc, left), fc)
        self.fc7 = block(nn.Conv2d(fc, fc, 1), fc)
        self.fc6_deconv = block(nn.ConvTranspose2d(fc, channels, left), channels)

        self.unpool, self.up = unpool(), nn.ModuleList()
        for _, deconvolutions in reversed(table):
            stage = []
            for out in deconvolutions:
                stage.append(block(nn.ConvTranspose2d(channels, out, 3, padding=1), out))
                channels = out
            self.up.append(nn.Sequential(*stage))
        self.score = nn.Conv2d(channels, classes, 1)

    def encode(self, x):
        """Return the bottleneck's numbers (N, fc, 1, 1), and the switches of all poolings."""
        memory = []
        for stage in self.down:
            x, switches = self.pool(stage(x))
            memory.append(switches)
        return self.fc7(self.fc6(x)), memory

    def decode(self, x, memory):
        """Return the scores of all classes at every pixel."""
        x = self.fc6_deconv(x)
        for stage, switches in zip(self.up, reversed(memory), strict=True):
            x = stage(self.unpool(x, switches))
        return self.score(x)

    def forward(self, x):
        """Compute both halves."""
        return self.decode(*self.encode(x))


# %% [markdown]
# `fc6` and `fc7` are the [fully connected layers](../docs/glossary.md#fully-connected-layer) of the paper: a convolution whose
# window is the whole map, so that one number per channel is left of the picture. `fc6_deconv` is the first step back.
#
# Is it the paper's network? The library's `models.deconvnet` builds that from the same kind of table, `STAGES`, whose numbers count in
# units of the paper's 64 channels. Give both the paper's table,
# only 32 times narrower, the same weights and the same picture:

# %%
narrow = [[tuple(2 * times for times in side) for side in row] for row in STAGES]  # 2, not 64
print("stages of the paper, 32 times narrower:", *narrow, sep="\n  ")

manual_seed(0)
mine = Mirror(narrow, classes=21, fc=128, colours=3).eval()
theirs = models.deconvnet(num_classes=21, width=2, input_size=SIZE, fc=128).eval()
values = mine.state_dict().values()  # in the order in which the layers were made
theirs.load_state_dict(dict(zip(theirs.state_dict(), values, strict=True)))
picture = np.random.default_rng(0).normal(size=(1, 3, SIZE, SIZE)).astype(np.float32)
with no_grad():
    assert np.allclose(mine(Tensor(picture)).numpy(), theirs(Tensor(picture)).numpy(), atol=1e-4)
print("the same scores, from", mine.num_parameters(), "and", theirs.num_parameters(), "parameters")

# %% [markdown]
# ### The one that is trained here
#
# Three stages in place of five, one convolution in each, and 64 numbers in the bottleneck. Its [seed](../docs/glossary.md#seed) is the number from which its first weights are drawn: another seed, another network. Each box below is the output of a layer:
# as high as the map is in pixels, and the wider, the more [channels](../docs/glossary.md#channel) it has. Convolutions are blue, poolings light blue, unpoolings yellow, deconvolutions orange, all others grey. The arrows are the switches.

# %%
TABLE = [((8,), (8,)), ((16,), (8,)), ((32,), (16,))]
FC = 64


def network(seed=0, unpool=nn.MaxUnpool2d):
    """Return a new network; the seed draws its weights."""
    manual_seed(seed)
    return Mirror(TABLE, classes=len(CLASSES), fc=FC, unpool=unpool)


# The library's name of each layer, and ours; "pool#2" is the second call of the same layer.
NAMES = {"down.0": "conv1", "pool": "pool1", "down.1": "conv2", "pool#2": "pool2",
         "down.2": "conv3", "pool#3": "pool3", "fc6": "fc6", "fc7": "fc7",
         "fc6_deconv": "fc6_deconv", "unpool": "unpool3", "up.0": "deconv3",
         "unpool#2": "unpool2", "up.1": "deconv2", "unpool#3": "unpool1",
         "up.2": "deconv1", "score": "score"}  # fmt: skip


def layers(net, x):
    """Return the output of every layer of a Mirror for pictures, by name."""
    seen = activations(net.eval(), x)
    return {name: seen[key] for key, name in NAMES.items()}


shapes = {name: maps.shape[1:] for name, maps in layers(network(), val_x[:1]).items()}
print(f"{network().num_parameters():,} parameters")

# %% tags=["hide-input"]
figure, ax = plt.subplots(figsize=(7.5, 4.1))
left, middles = 0.0, {}
for name, (channels, high, _) in shapes.items():
    colour = next(
        c
        for start, c in (
            ("deconv", "#d55e00"),
            ("unpool", "#f7d488"),
            ("pool", "#9fd0f0"),
            ("conv", "#0072b2"),
            ("", "#7a8794"),
        )
        if name.startswith(start)
    )
    wide = 1.6 + channels / 12
    ax.add_patch(Rectangle((left, -high / 2), wide, high, facecolor=colour, edgecolor="white"))
    ax.text(left + wide / 2, -SIZE / 2 - 1.5, f"{name}  {channels} × {high} × {high}", rotation=90,
            ha="center", va="top")  # fmt: skip
    middles[name] = left + wide / 2
    left += wide + 0.5
for number in (1, 2, 3):
    high = SIZE / 2 + 9 - 2.5 * number  # of the arrow, above all boxes
    (start, low), (end, top) = (
        (middles[f"{name}{number}"], shapes[f"{name}{number}"][1] / 2)
        for name in ("pool", "unpool")
    )
    ax.plot([start, start, end], [low, high, high], color="#b3261e", linewidth=1.5)
    ax.annotate("", (end, top), (end, high + 0.1),
                arrowprops={"arrowstyle": "->", "color": "#b3261e", "linewidth": 1.5,
                            "shrinkA": 0, "shrinkB": 0})  # fmt: skip
ax.set(xlim=(-1, left), ylim=(-SIZE / 2 - 25, SIZE / 2 + 8))
ax.axis("off")
show(
    figure,
    alt="The layers of the network as boxes from left to right: they shrink from 32 pixels to 1 at "
    "fc6 and fc7, and grow again to 32 in mirror image; a red arrow leads from each pooling to the "
    "unpooling of the same number",
)

# %% [markdown]
# ### Your turn
#
# **1.** Most of the [trainable parameters](../docs/glossary.md#trainable-parameter) sit in two layers. `fc6` is a convolution that makes 64
# channels from `pool3`'s 32, and its window is as large as `pool3`'s map. How many numbers are in its weight and its
# [bias](../docs/glossary.md#bias) together?
#
# **2.** For one picture, how many switches go from the first half to the second? (A pooling writes down one switch for each number of its output.)

# %%
my_fc6 = None
my_switches = None

# %% tags=["hide-input"]
fc6, fc6_deconv = network().fc6[0], network().fc6_deconv[0]
check_answer(
    "my_fc6",
    my_fc6,
    fc6.weight.size + fc6.bias.size,
    hints=[
        (lambda n: n == fc6.weight.size, "Each of the output channels has a bias too."),
        (lambda n: n in (64 * 32, 64 * 32 + 64), "How large is the window?"),
        (lambda n: n in (64 * 32 * 9, 64 * 32 * 9 + 64), "The window is not 3 by 3."),
        (
            lambda n: n in (64 * 32 * 4, 64 * 32 * 4 + 64),
            "The window is as wide as high: count both sides.",
        ),
        (
            lambda n: n in (64 * 32 * 32 * 32, 64 * 32 * 32 * 32 + 64),
            "pool3's maps are smaller than the picture.",
        ),
        (
            lambda n: (
                n == fc6.weight.size + fc6_deconv.weight.size + fc6.bias.size + fc6_deconv.bias.size
            ),
            "That is both layers together. Count fc6 alone.",
        ),
    ],
    hint="The weight has a number for each output channel, each input channel and each pixel of "
    "the window.",
)
poolings = [shapes[f"pool{number}"] for number in (1, 2, 3)]
check_answer(
    "my_switches",
    my_switches,
    sum(int(np.prod(shape)) for shape in poolings),
    hints=[
        (lambda n: n == sum(s[1] * s[2] for s in poolings), "Every channel has its own switches."),
        (lambda n: n in [np.prod(s) for s in poolings], "There are three poolings."),
        (
            lambda n: n == 2 * sum(np.prod(s) for s in poolings),
            "That is the number of bits, two for each switch.",
        ),
        (
            lambda n: n == 4 * sum(np.prod(s) for s in poolings),
            "That is how many numbers go into the poolings. Each writes down a switch for each that comes out.",
        ),
        (
            lambda n: n == sum(s[1] for s in poolings),
            "That is one side of the maps and not their pixels.",
        ),
    ],
    hint="The sizes of pool1, pool2 and pool3 are in the figure above.",
)

# %% [markdown]
# A switch is one of four places, which is two bits, and so is one of four labels: the mask has 32 · 32 · 2 = 2048 bits. The 64 numbers of `fc7`, of 32 bits each, are
# 2048 bits too, and the 3584 switches have 7168: by size alone, either path could carry the whole mask. Which does has to be measured.
#
# ## 3. Overfit one batch
#
# Training repeats five lines: the [loss](../docs/glossary.md#loss) of the scores, gradients to zero, backward, a step of the parameters, and one of the learning rate. The loss is the
# [cross-entropy](../docs/glossary.md#cross-entropy): [softmax](../docs/glossary.md#softmax) first turns the scores $z$ of a
# pixel into probabilities, $e^{z_c} / \sum_j e^{z_j}$; the loss is minus the logarithm of that of the true class, averaged over all pixels but the void ones. The [optimiser](../docs/glossary.md#optimiser) AdamW moves every parameter against its
# [gradient](../docs/glossary.md#gradient), in steps whose size, the [learning rate](../docs/glossary.md#learning-rate), falls to zero along a cosine;
# [weight decay](../docs/glossary.md#weight-decay) (`weight_decay`) also makes the weights a little smaller in every step.


# %%
def train(net, x, masks, steps, seed=0, rate=5e-3, batch=16):
    """Train a network on random batches of pictures; return the loss of every step."""
    optimizer = optim.AdamW(net.parameters(), lr=rate, weight_decay=5e-4)
    schedule = optim.CosineLR(optimizer, steps)
    rng = np.random.default_rng(seed)
    net.train()
    losses = []
    for _ in range(steps):
        chosen = rng.integers(0, len(x), batch) if len(x) > batch else np.arange(len(x))
        side = slice(None, None, rng.choice([1, -1]))  # half of the batches are mirrored
        loss = F.cross_entropy(net(Tensor(x[chosen][..., side])), masks[chosen][..., side])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def predict(net, x):
    """Return the most likely label of every pixel: (N, 1, H, W) -> (N, H, W)."""
    net.eval()  # batch normalisation now uses its running averages
    with no_grad():
        return net(Tensor(x)).numpy().argmax(axis=1).astype(np.uint8)


# %% [markdown]
# Before you train a network for long, train it on a single [batch](../docs/glossary.md#batch), over and over. It should learn these few
# masks by heart: that is [overfitting](../docs/glossary.md#overfitting), wanted for once. If it does not, something is broken, and you
# know after some seconds. Void pixels do not count: there the network may write what it likes, and does.
# (A class of which the batch has a single picture is learnt last. That is why a batch with more than one of each is taken.)

# %%
few = slice(8, 16)
net = network()
losses = train(net, train_x[few], train_y[few], steps=200, rate=1e-2)
with no_grad():  # in training's mode: normalised by this batch, as while it learned
    by_heart = net(Tensor(train_x[few])).numpy().argmax(axis=1).astype(np.uint8)
right = (by_heart == train_y[few])[train_y[few] != 255].mean()
print(f"loss {losses[0]:.2f} at first, {losses[-1]:.3f} at last; {right:.1%} of the pixels right")
board(
    {"true mask": train_y[few], "prediction": by_heart},
    alt="The masks of the eight pictures of the batch, and the predictions after 200 steps on it, "
    "which are the same but for single pixels, most of them on the void outlines",
    count=8,
)

# %% [markdown]
# ## 4. Two stages
#
# The paper trains in two stages, easy examples first. *Stage 1* shows one object at a time: the tight box around it, enlarged 1.2 times, in which
# every other class is called background (a neighbour of the same class keeps its label). *Stage 2* shows windows that lie around one object or several, not exactly, as they will be found in
# a photograph, and all classes count. The library cuts both out of any pictures with masks. What of a window lies outside of the picture is black,
# and void in the mask, as is every outline between two things: thin grey lines stay also where a neighbour has become background. The pictures here have one to three objects and 48 pixels, more than the network takes, so that windows differ from them. Where an object covers more than half of a picture, the median colour is its own, and it is the dark part.

# %%
drawn = data.Shapes("train", length=300, size=48, difficulty=scene_with(objects=(1, 3)))
stages = [data.StageOneCrops(drawn), data.StageTwoCrops(drawn, per_image=3)]


def windows(stage):
    """Return what the network sees of each window of a stage, and the masks, 32 by 32 pixels."""
    seen, masks = [], []
    for number, crop in enumerate(stage.crops):
        image = drawn[crop.image][0]
        light = np.abs(image - np.median(image, axis=(0, 1))).mean(axis=2) / 64 - 0.5
        part = data.cut(light, crop.window, fill=-0.5)  # black outside of the picture
        seen.append(resize_mask(part, (SIZE, SIZE)))  # of each place the nearest pixel
        masks.append(resize_mask(stage[number][1], (SIZE, SIZE)))
    return np.stack(seen)[:, None].astype(np.float32), np.stack(masks)


(first_x, first_y), (second_x, second_y) = (windows(stage) for stage in stages)
board(
    {
        "stage 1": first_x[3:, 0], "its mask": first_y[3:],  # from the fourth window on
        "stage 2": second_x[3::3, 0], "its mask ": second_y[3::3],  # one for each picture
    },
    alt="Six windows of stage 1, each filled by one shape: only its class is labelled, also on a "
    "neighbour of the same class; and six of stage 2, with one shape or several, all labelled; "
    "black bands beside the picture are grey, void, in the masks",
)  # fmt: skip

# %%
HALF = 200


def loss_of(net, x, masks):
    """Return the loss of a network on pictures, without training on them."""
    net.eval()
    with no_grad():
        return F.cross_entropy(net(Tensor(x)), masks).item()


def smooth(losses, start):
    """Return (step, mean of 20 steps) for a curve that begins at step `start`."""
    means = np.convolve(losses, np.ones(20) / 20, mode="valid")
    return [(start + 10 + step, loss) for step, loss in enumerate(means)]


two_stage = network()
easy = train(two_stage, first_x, first_y, steps=HALF)
print(f"after stage 1: loss {loss_of(two_stage, first_x, first_y):.2f} on the windows of stage 1, "
      f"{loss_of(two_stage, second_x, second_y):.2f} on those of stage 2")  # fmt: skip
harder = train(two_stage, second_x, second_y, steps=HALF, seed=1)
print(f"after stage 2: {loss_of(two_stage, second_x, second_y):.2f} on those of stage 2")
show(
    training_curves(
        {"stage 1": smooth(easy, 0), "stage 2": smooth(harder, HALF)},
        y_axis="cross-entropy, mean of 20 steps",
    ),
    alt="The loss falls over 200 steps of stage 1; at the beginning of stage 2 it is higher again, "
    "and falls over its 200 steps",
)

# %% [markdown]
# The windows of stage 2 are harder: before a single step on them the network's loss there is 0.91, on those of stage 1 it is 0.50. (The learning rate, too, begins again.)
#
# Are two stages worth it? A curve does not tell. The library's command `python -m minideconv.ablate` trained a small DeconvNet three times each way, all with
# 1200 steps, on drawn pictures of five classes (four shapes and the background). Its result is stored as `benchmarks/results/ablations.json`. *Mean IoU* is a measure of masks from 0 to 1, the perfect one; section 6 defines it.
#
# | training | mean IoU, mean of 3 seeds | difference to the first, with its 95 % interval |
# |---|---|---|
# | two stages | 0.375 | |
# | stage 2 alone | 0.319 | -0.056, from -0.096 to -0.017 |
# | whole pictures, no windows | 0.404 | +0.029, from -0.046 to +0.103 |
#
# Another three seeds would give other means. A *95 % interval* (here by Student's t, a formula for few measurements; section 6 has it in code) says by how much: made in this way, it holds the true difference in 95 of 100 such
# experiments. If it leaves out 0, we call the difference *decided*; if not, three seeds are too few to tell.
#
# So two stages are better than the second alone, as the paper argues. But training on whole pictures cannot be told apart from two stages there: where a whole picture fits into the
# network, as these do, windows may not be needed.
#
# ## 5. Watching it draw
#
# Figure 4 of the paper shows what the layers of the second half hold for one picture; its authors chose the channels by eye. Here a number chooses: for each layer the channel whose maps look most like the
# true masks of objects (by correlation: 1 is the same but for scale, 0 is unrelated; void counts as no object), on 30 pictures that are new to the network you have just trained. Of the scores one map is made: the largest of the three objects, less the background's.


# %%
wide_images, wide_x, wide_y = scenes("val", 60, objects=(1, 2))
wide_objects = ((wide_y > 0) & (wide_y != 255)).astype(float)
second_half = list(NAMES.values())[8:]
maps_of = layers(two_stage, wide_x)
objects, ground = maps_of["score"][:, 1:], maps_of["score"][:, :1]
maps_of["score"] = objects.max(axis=1, keepdims=True) - ground  # for an object, against none
CHOOSE, CHECK = slice(0, 30), slice(30, 60)


def likeness(maps, objects):
    """Return the correlation of each channel, enlarged to 32 by 32, with the objects' masks."""
    times = SIZE // maps.shape[2]
    maps = maps.repeat(times, axis=2).repeat(times, axis=3)
    a = maps - maps.mean(axis=(0, 2, 3), keepdims=True)
    b = (objects - objects.mean())[:, None]
    size = np.sqrt((a**2).sum(axis=(0, 2, 3)) * (b**2).sum())
    return (a * b).sum(axis=(0, 2, 3)) / (size + 1e-9)


best = {
    name: likeness(maps_of[name][CHOOSE], wide_objects[CHOOSE]).argmax() for name in second_half
}

# %% [markdown]
# The picture below is one of the other 30: that whose object IoU (the agreement of the predicted objects with the true ones, see section 6) is the median, neither the best nor the worst.

# %%
wide_labels = predict(two_stage, wide_x)
both = ((wide_labels > 0) & (wide_objects > 0)).sum(axis=(1, 2))
either = (((wide_labels > 0) | (wide_objects > 0)) & (wide_y != 255)).sum(axis=(1, 2))
NUMBER = 30 + int(np.argsort((both / either)[CHECK])[15])
figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.8))
for ax, (title, shown) in zip(
    axes,
    {
        "picture": wide_images[NUMBER],
        "predicted mask": COLOURS[wide_labels[NUMBER]],
        "true mask": COLOURS[wide_y[NUMBER]],
    }.items(),
    strict=True,
):
    ax.imshow(shown)
    ax.set(title=title, xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
plt.tight_layout(pad=0.3)
show(
    figure,
    alt="A picture with a ring, the mask that the network predicts, a ring with a ragged outline, "
    "and the true mask",
)
show(
    feature_strip(
        {
            "what it sees": wide_x[NUMBER, 0],
            **{name: maps_of[name][NUMBER, channel] for name, channel in best.items()},
        },
        columns=3,
    ),
    alt="What the network sees, and eight maps from coarse to fine: fc6_deconv has 4 by 4 pixels; "
    "unpool3, unpool2 and unpool1 double the size and are mostly dark, with single light pixels; "
    "deconv3 is not like the ring yet; in deconv2, deconv1 and the score the ring stands out",
)

# %% [markdown]
# Each map has its own scale: dark is its smallest number, light its largest. Each round is the same: `unpool` doubles the map and leaves holes, because a value goes to its switch and nowhere else; `deconv` fills the holes. One picture can mislead, so here is the correlation of these
# channels on all of the other 30 pictures:


# %%
def perfect(side):
    """Return the likeness of the best map of side × side pixels: the masks' means over squares."""
    times = SIZE // side
    means = wide_objects[CHECK].reshape(-1, 1, side, times, side, times).mean(axis=(3, 5))
    return likeness(means, wide_objects[CHECK])[0]


print("               its size allows")
for name, channel in best.items():
    value = likeness(maps_of[name][CHECK], wide_objects[CHECK])[channel]
    most = perfect(maps_of[name].shape[2])
    print(f"{name:12s}{value:5.2f}{most:10.2f}      {'#' * round(40 * max(0, value))}")

# %% [markdown]
# The number beside is what a perfect map of that size would reach: the mask itself, averaged over squares. (That a layer of `unpool` is below the one before it, and below the `deconv` after it, is to be expected: three quarters of it
# are zeros.) The same with other seeds, that is with `network(1)` trained with `seed=1` and `seed=2` in the two stages of section 4, and with `network(2)`, `seed=2` and `seed=3`:
#
# | seed | fc6_deconv | unpool3 | deconv3 | unpool2 | deconv2 | unpool1 | deconv1 | score |
# |---|---|---|---|---|---|---|---|---|
# | 1 | 0.28 | 0.14 | 0.54 | 0.28 | 0.65 | 0.32 | 0.68 | 0.78 |
# | 2 | 0.32 | 0.20 | 0.55 | 0.27 | 0.70 | 0.33 | 0.69 | 0.76 |
#
# In all three `fc6_deconv` is far below what its 16 places could hold; and the likeness rises from `fc6_deconv` to `deconv3` and from there to `deconv2`, but after that, to `deconv1`, in one of them only. The score, made of all channels of `deconv1`, is
# more like the mask than any single channel. So the mask is built from coarse to fine, as in the paper's figure, and single channels are hardly better after `deconv2`.

# %% [markdown]
# ## 6. The ablation grid
#
# The paper says of the second half (section 3.2.3): unpooling captures *example-specific* structures, as it traces where strong numbers came from, and learned filters capture *class-specific* shapes. It shows pictures for it.
# The question of this notebook is another one, which can be measured: what goes through the bottleneck, and what through the switches? An *ablation* takes a part away and trains
# **again from the start**. (Taking it away from a trained network answers another question: how much the other layers rely on it.)
#
# - The bottleneck is closed by a layer that gives the same numbers for every picture.
# - The switches are closed by an unpooling that puts every value in the upper left corner of its window, whatever the first half saw.
#
# Each can be open or closed: four networks, with the same layers, the same pictures and the same number of steps. Two of them are trained below; of all four there are stored results.
#
# One thing is not equal. With the bottleneck closed no gradient reaches the first half (exercise 1), so its filters stay random, and so do its switches. A fifth network is a control for that: it gets the first half of the network with both paths open,
# which is not trained further, and its bottleneck is closed.


# %%
class SameForAll(nn.Module):
    """Gives 1 everywhere: nothing of the picture passes."""

    def forward(self, x):
        """Return ones."""
        return x * 0 + 1


class CornerUnpool(nn.Module):
    """Unpooling that ignores the switches: every value goes to tap 0, the upper left, of its window."""

    def forward(self, x, switches):
        """Return (N, C, 2 H, 2 W), three quarters of it zeros."""
        return F.max_unpool2d(x, switches.with_taps(np.zeros_like(switches.taps)))


def with_paths(seed, bottleneck, switches):
    """Return a new network with these paths open or closed."""
    net = network(seed, unpool=nn.MaxUnpool2d if switches else CornerUnpool)
    if not bottleneck:
        net.fc7 = nn.Sequential(net.fc7, SameForAll())
    return net


# %% [markdown]
# Three measures, on 200 pictures that training did not see. They are made of
# [intersection over union](../docs/glossary.md#intersection-over-union) (IoU): of one label, the pixels that both the truth and the
# prediction give it, divided by the pixels that either gives it; 1 is perfect.
#
# - *Mean IoU*: the mean over the four labels. It asks for the right shape and the right class.
# - *Object IoU*: the three classes counted as one, "object". It asks where the object is, and not what it is.
# - *Right class*: of the object's pixels that were found as some object, the share that has the right class. It asks what, and not where.
#
# ### Your turn
#
# **3.** Write the IoU of one label. `truth` and `labels` are arrays of labels of the same shape, the true and the predicted ones; a pixel whose true label is void, 255, does not count,
# whatever is predicted there. (Here both have the label somewhere; a label that neither has gives 0 / 0, and is left out of a mean.)


# %%
def my_iou(truth, labels, label):
    """Return the IoU of one label, a number from 0 to 1."""
    iou = None
    return iou


# %% tags=["hide-input"]
guessed = predict(two_stage, val_x)
asked, given = val_y == 1, guessed == 1
known = val_y != 255
confusion = ConfusionMatrix(len(CLASSES))
confusion.update(val_y, guessed)
check_answer(
    "my_iou",
    my_iou(val_y, guessed, 1),
    confusion.iou[1],
    hints=[
        (lambda v: np.isclose(v, np.mean(asked[given | asked] & given[given | asked])),
         "What is predicted at void pixels does not count."),
        (lambda v: np.isclose(v, given[asked].mean()),
         "You divide by the pixels of the truth. Which are missing that only the prediction has?"),
        (lambda v: np.isclose(v, asked[given].mean()) or np.isclose(v, asked[given & known].mean()),
         "You divide by the pixels of the prediction. Which are missing that only the truth has?"),
        (lambda v: np.isclose(v, (asked & given).sum() / (asked.sum() + (given & known).sum())),
         "A pixel that both have is one pixel of the divisor, not two."),
        (lambda v: np.isclose(v, 2 * (asked & given).sum() / (asked.sum() + (given & known).sum())),
         "That is Dice's measure, which counts the pixels that both have twice."),
        (lambda v: np.isclose(v, (asked == given)[known].mean()) or np.isclose(v, (val_y == guessed)[known].mean()),
         "You count the pixels that agree, the background's too. Count one label alone."),
        (lambda v: np.isclose(v, np.mean([(a & g).sum() / max(1, (a | (g & k)).sum()) for a, g, k in zip(asked, given, known, strict=True) if a.any() or (g & k).any()])),
         "You average over pictures. Count the pixels of all pictures, then divide once."),
        (lambda v: v > 1, "That is no share. Divide."),
    ],
    hint="Count the pixels that have the label in both, and those that have it in at least one.",
)  # fmt: skip

# %% [markdown]
# ### The four networks


# %%
def measure(net, x=val_x, truth=val_y):
    """Return mean IoU, object IoU and the share with the right class."""
    labels = predict(net, x)
    classes, objects = ConfusionMatrix(len(CLASSES)), ConfusionMatrix(2)
    classes.update(truth, labels)
    objects.update(np.where(truth == 255, 255, truth > 0), np.minimum(labels, 1))
    found = (truth > 0) & (truth != 255) & (labels > 0)
    right = (labels == truth)[found].mean() if found.any() else np.nan
    return np.array([classes.mean_iou, objects.iou[1], right])


STEPS, SEEDS = 600, [0]
PATHS = [(True, True), (False, True)]  # (True, False) and (False, False) take as long once more

start = time.perf_counter()
nets, grid = {}, {}
for paths in PATHS:
    for seed in SEEDS:
        nets[paths, seed] = with_paths(seed, *paths)
        train(nets[paths, seed], train_x, train_y, STEPS, seed)
    grid[paths] = np.array([measure(nets[paths, seed]) for seed in SEEDS])
print(f"{len(nets)} trainings in {time.perf_counter() - start:.0f} s\n")
print("bottleneck  switches   mean IoU  object IoU  right class")
for (bottleneck, switches), values in grid.items():
    row = [f"{mean:.2f}" for mean in values.mean(axis=0)]
    print(f"{'open' if bottleneck else 'closed':12s}{'open' if switches else 'closed':11s}"
          f"{row[0]:>8s}{row[1]:>12s}{row[2]:>13s}")  # fmt: skip
shares = np.bincount(val_y[(val_y > 0) & (val_y != 255)])[1:]
print(
    f"\nright class, if all were called {CLASSES[shares.argmax() + 1]}: {shares.max() / shares.sum():.2f}"
)
print("\nIoU of each label, seed 0:")
for bottleneck, switches in grid:
    each = ConfusionMatrix(len(CLASSES))
    each.update(val_y, predict(nets[(bottleneck, switches), SEEDS[0]], val_x))
    print(f"{'open' if bottleneck else 'closed':12s}{'open' if switches else 'closed':11s}",
          ", ".join(f"{c} {iou:.2f}" for c, iou in zip(CLASSES, each.iou, strict=True)))  # fmt: skip


# %% [markdown]
# 600 steps are few: with both paths open the network is good at discs and rings, and has half learnt crosses.
#
# One seed can be luck. With `SEEDS = range(3)` and all four pairs in `PATHS` the same cell, and the code of exercise 1 for the control, were run on 2026-12-01, on one core in some six minutes.
# Its numbers follow, their means, and the differences that count: of each seed's pair of networks, with the
# interval of section 4. (Another processor rounds sums elsewhere; there the last digits of training may differ.)

# %%
STORED = {  # (bottleneck open, switches open): mean IoU, object IoU, right class of seeds 0, 1, 2
    (True, True): [(0.812, 0.965, 0.898), (0.757, 0.964, 0.858), (0.826, 0.967, 0.904)],
    (True, False): [(0.537, 0.639, 0.848), (0.482, 0.560, 0.868), (0.531, 0.725, 0.796)],
    (False, True): [(0.511, 0.942, 0.632), (0.473, 0.909, 0.568), (0.476, 0.917, 0.579)],
    (False, False): [(0.207, 0.000, np.nan)] * 3,
}
# the bottleneck closed, the switches open, the first half trained before
CONTROL = [(0.586, 0.951, 0.704), (0.626, 0.942, 0.743), (0.607, 0.949, 0.723)]
print("bottleneck  switches  mean IoU     object IoU   right class")
for (bottleneck, switches), values in (*STORED.items(), ((False, "trained"), CONTROL)):
    means, spreads = np.mean(values, axis=0), np.std(values, axis=0, ddof=1)
    row = [f"{m:.2f} ± {d:.2f}" if m >= 0 else "-" for m, d in zip(means, spreads, strict=True)]
    path = "open" if switches is True else "closed" if switches is False else switches
    print(f"{'open' if bottleneck else 'closed':12s}{path:10s}" + "  ".join(row))

print("\nthe network with both open, less the one with a closed path:")
for path, other in (("switches", STORED[True, False]), ("bottleneck", STORED[False, True]),
                    ("control", CONTROL)):  # fmt: skip
    change = np.subtract(STORED[True, True], other)
    # Student's t for 95 % and three seeds: to both sides 4.303 times the standard error,
    # which is the differences' standard deviation divided by the root of their number
    reach = 4.303 * change.std(axis=0, ddof=1) / np.sqrt(3)
    for name, mean, half in zip(
        ("mean IoU", "object IoU", "right class"), change.mean(axis=0), reach, strict=True
    ):
        print(f"{path:12s}{name:12s}{mean:+.2f}, from {mean - half:+.2f} to {mean + half:+.2f}")

# %% [markdown]
# "trained" is the control: bottleneck closed, switches of a trained first half. Read it by columns.
#
# - *Object IoU* follows the switches. With them it is 0.97 with the bottleneck open, 0.92 with it closed, and 0.95 in the control: the place and the shape of an object come through the switches nearly alone. Without them it is
#   0.64: the 64 numbers tell something of place and shape, but not all, and that difference is decided.
# - *Right class* follows the bottleneck. With it open, the class is right at 0.89 of the pixels with switches and 0.84 without. With it closed it is 0.59; calling every object a disc, the most frequent class, gives 0.47. The control has 0.72: the switches of trained
#   filters tell of the class too, but the bottleneck adds 0.16 to them, and that is decided. Whether the switches help the bottleneck with the class (0.05) is not.
# - *Mean IoU* needs both. It falls from 0.80 to 0.52 without the switches and to 0.49 without the bottleneck, 0.61 in the control; each is decided.
#
# With both closed nothing of the picture passes, and every pixel is called background. Its IoU is 0.83 (4 × 0.207), that of the three classes 0: a mean of 0.21. That is what knowing nothing is worth.
#
# So there is a division of labour: *what* it is goes mostly through the bottleneck, *where* and in which shape mostly through the switches. (That the class comes through the bottleneck is this notebook's finding and not the paper's.)
#
# That switches are worth so much is no law. In the library's own ablation (`python -m minideconv.ablate`; [Ablations](../docs/ablations.md)), with another network and five classes, mean IoU was 0.40 with switches and 0.42 with fixed positions (not decided), and 0.56
# where nothing is unpooled and maps are enlarged by bilinear interpolation (decided: 0.15 more before rounding, from 0.11 to 0.20). What differs: the middle of that network is a map of 8 × 8 places and no list, so it can tell by itself where an object is. That may be why; it is not tested here.

# %% [markdown]
# ## 7. Break it: another picture's switches
#
# The networks with both paths open allow an experiment without any training. Take two pictures A and B of different classes. Give the second half the
# bottleneck of A, and the switches of B. Nothing is erased: it receives numbers of the kind it knows, only from two pictures. What will it
# draw, and where? Guess first.


# %%
FIRST, SECOND = val_x[:100], val_x[100:]
A, B = val_y[:100], val_y[100:]


def main_class(masks):
    """Return the label that most object pixels of each mask have, 0 if there is no object."""
    counts = np.stack([(masks == label).sum(axis=(1, 2)) for label in (1, 2, 3)], axis=1)
    return np.where(counts.any(axis=1), counts.argmax(axis=1) + 1, 0)


differ = main_class(A) != main_class(B)
FIRST, SECOND, A, B = (each[differ] for each in (FIRST, SECOND, A, B))


def drawn_from(net, bottleneck_of, switches_of):
    """Return what the second half draws from one picture's bottleneck and another's switches."""
    net.eval()
    with no_grad():
        numbers, _ = net.encode(Tensor(bottleneck_of))
        _, switches = net.encode(Tensor(switches_of))
        return net.decode(numbers, switches).numpy().argmax(axis=1).astype(np.uint8)


def object_iou(labels, truth):
    """Return each picture's IoU of objects, all classes counted as one."""
    counted = truth != 255
    ours, theirs = (labels > 0) & counted, (truth > 0) & counted
    return (ours & theirs).sum(axis=(1, 2)) / (ours | theirs).sum(axis=(1, 2))


def follows(labels):
    """Return the mean object IoU with A and with B, and how often the class is A's and B's."""
    found = main_class(labels)
    return np.array([object_iou(labels, A).mean(), object_iou(labels, B).mean(),
                     (found == main_class(A)).mean(), (found == main_class(B)).mean()])  # fmt: skip


print(f"{len(A)} pairs of different classes       object IoU with     class is")
print("                                     A's     B's       A's     B's")
for seed in SEEDS:
    net = nets[(True, True), seed]
    own, drawing = drawn_from(net, FIRST, FIRST), drawn_from(net, FIRST, SECOND)
    for title, labels in (
        ("A's bottleneck, A's switches", own),
        ("A's bottleneck, B's switches", drawing),
    ):
        print(
            f"{title:33s}"
            + "".join(
                f"{value:8.2f}{gap}"
                for value, gap in zip(follows(labels), ("", "  ", "", ""), strict=True)
            )
        )
    nearer = object_iou(drawing, B) > object_iou(drawing, A)
    print(
        f"  with B's switches, nearer to B's mask than to A's: {nearer.mean():.2f} of the pairs; "
        f"nothing is drawn in {(main_class(drawing) == 0).mean():.2f}"
    )
    sure = main_class(own) == main_class(A)
    print(
        f"  where A's class was right with A's switches, it is A's with B's: {(main_class(drawing) == main_class(A))[sure].mean():.2f}"
    )
print(f"the masks of A and B themselves have an object IoU of {object_iou(A, B).mean():.2f}")
board(
    {
        "A: the\nbottleneck": FIRST[:, 0],
        "B: the\nswitches": SECOND[:, 0],
        "drawn": drawn_from(nets[(True, True), SEEDS[0]], FIRST, SECOND),
    },
    alt="Six pairs of pictures with one shape each, and what is drawn from the bottleneck of the "
    "first and the switches of the second: ragged patches, most of each where the second picture "
    "has its shape; four are mostly in the colour of the first picture's class, and the first and "
    "the last, a cross with a ring's switches, mostly in the ring's",
)

# %% [markdown]
# The three seeds of section 6 gave, with B's switches: object IoU 0.16, 0.15, 0.18 with A's mask and 0.51, 0.58, 0.55 with B's; the class is A's in 0.76, 0.66, 0.75 of the pairs, and B's in 0.12, 0.18, 0.15. With A's own switches the class is A's in 0.97, 0.82, 0.94.
# In all three the drawing agrees more with B's mask than with A's in 0.94 to 1.00 of the pairs, and its class is far more often that of the bottleneck, as in the grid.
#
# It is no clean exchange. The figure shows ragged patches, two of them mostly of B's class. With its own switches a network reaches an object IoU of 0.96, here at most 0.58; its second half has never been given one picture's numbers with another's switches. Of the pictures whose class was right with their own switches about a fifth is
# no longer A's. And the place is not quite the switches' alone: the agreement with A is a little above that of A and B themselves, 0.12. That is why the grid, trained anew for each cell, comes first.
#
# ## What the paper says
#
# Hyeonwoo Noh, Seunghoon Hong, Bohyung Han,
# [*Learning Deconvolution Network for Semantic Segmentation*](https://arxiv.org/abs/1505.04366) (ICCV 2015).
#
# | the paper | this notebook |
# |---|---|
# | Figure 2: the network, five stages, 252 million parameters | section 2: the same code, from a table; trained with three stages and 82,580 parameters |
# | section 4.2: two stages of training | section 4; that it helps is seen in the stored ablation, on drawn pictures |
# | Figure 4: coarse to fine, through the second half | section 5, on one picture and as a number for each layer |
# | section 3.2.3: unpooling traces *example-specific* structures, learned filters draw *class-specific* ones; argued from Figure 4 | another question, of bottleneck and switches: sections 6 and 7 measure it, by closing paths and by exchanging them. That shape follows the switches agrees with the paper |
#
# What differs: drawn shapes and not photographs; one object in a picture; the first half starts from random numbers, and not from a network that knows ImageNet; AdamW and not
# stochastic gradient descent with [momentum](../docs/glossary.md#momentum). What is worth much in a network of this size need not be worth as much in the paper's.
#
# ## Exercises
#
# **1.** Close the bottleneck, compute the loss of some pictures and call `backward`. Which parameters get a gradient that is not zero? Which flaw does the grid's third row have then, and how does the control mend it?
#
# <details><summary>Answer</summary>
#
# Only those of the second half. A switch is a position, not a number that can be a little larger: no gradient passes through it. What the first half
# learns, it learns through the bottleneck.
#
# ```python
# closed = with_paths(0, bottleneck=False, switches=True)
# F.cross_entropy(closed(Tensor(val_x[:8])), val_y[:8]).backward()
# reached = {name.split(".")[0] for name, p in closed.named_parameters()
#            if p.grad is not None and np.abs(p.grad.numpy()).max() > 0}
# print("reached:", sorted(reached))
# assert reached == {"fc6_deconv", "up", "score"}
# ```
#
# So in the third row the first half stayed as random as it began, and its switches are those of random filters. Perhaps trained filters would tell the class by their switches? Take the first
# half of the network with both paths open, keep it as it is, and train the second half with the bottleneck closed:
#
# ```python
# control = with_paths(0, bottleneck=False, switches=True)
# taught = nets[(True, True), 0].state_dict()
# own = control.state_dict()
# own.update({name: value for name, value in taught.items() if name.startswith("down")})
# control.load_state_dict(own)
# for name, parameter in control.named_parameters():
#     parameter.requires_grad = not name.startswith(("down", "fc6.", "fc7"))
# train(control, train_x, train_y, STEPS, seed=0)
# print("mean IoU {:.2f}, object IoU {:.2f}, right class {:.2f}".format(*measure(control)))
# assert measure(control)[2] < grid[True, True][0, 2] - 0.05
# ```
#
# It prints 0.59, 0.95 and 0.70; with the random first half it was 0.51, 0.94 and 0.63, and with the bottleneck open 0.81, 0.97 and 0.90. The other seeds are in `CONTROL`. So the switches of trained filters tell something of the class, and the bottleneck tells more.
# </details>
#
# **2.** How many numbers does `fc6` have in the paper's network, where `pool5` hands over 512 maps of 7 × 7 and `fc6` makes 4096? And which share of the network is that?
#
# <details><summary>Answer</summary>
#
# ```python
# in_paper = 4096 * 512 * 7 * 7 + 4096
# print(f"{in_paper:,}, or {in_paper / 251_805_653:.0%} of the network")
# assert in_paper == 102_764_544
# ```
#
# That is 102,764,544, or 41 %. Its mirror image `fc6_deconv` has nearly as many: the two hold four fifths of the network.
# </details>
#
# **3.** The filters of the second half meet maps that are mostly zeros. Which share of `unpool1` is zero at least, and why? Measure it, and that of `deconv1`, right after it.
#
# <details><summary>Answer</summary>
#
# ```python
# for name in ("unpool1", "deconv1"):
#     print(f"{name}: {np.mean(maps_of[name] == 0):.0%} zeros")
# assert np.mean(maps_of["unpool1"] == 0) >= 0.75
# ```
#
# They are 86 % and 47 %. At least three quarters of `unpool1`: each window of four gets one value. More where the ReLU in front gave zeros. The deconvolution spreads every value over its neighbours; its own ReLU makes new zeros.
# </details>
#
# ## In the library
#
# A stage of the first half, which keeps its switches, and one of the second, which takes them, are a dozen lines each:
# [`minideconv.models.blocks.contract`](../minideconv/models/blocks.py#L72),
# [`minideconv.models.blocks.expand`](../minideconv/models/blocks.py#L88). The table that they are called for is `STAGES`, above them in the same
# file. Train the real thing with `python -m minideconv.train`, and look at its `report.html`.
#
# Next: [*Segmenting photographs*](13_segmenting_photographs.ipynb), what stands around such a network.
