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
# # Looking inside a network
#
# What has a unit of a network (a channel of one of its layers) learned to respond to, and which pixels made a score? Most pictures that
# answer such questions are made in one way: put a signal at one number inside the network and send it back to
# the pixels. Three well-known methods differ in one line, in what they do at a
# [ReLU](../docs/glossary.md#relu). Sections 1 to 5 make these pictures. Sections 6 and 7 have the one idea of this notebook: **a picture that
# looks like an explanation is not evidence; test it on a network that has nothing to explain.**
#
# You need transposed convolution ([notebook 4](04_transposed_convolution_stamps.ipynb)), switches
# ([notebook 8](08_pooling_switches_unpooling.ipynb)) and what a backward pass is
# ([notebook 7](07_backward_of_convolution.ipynb)). It trains a small network in some seconds on one core of a CPU.

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

import copy

import numpy as np

from minideconv import Tensor, data, manual_seed, nn, no_grad, ops, optim
from minideconv import functional as F
from minideconv.testing import check_answer
from minideconv.visualize import (
    RELU_RULES,
    activations,
    at_unit,
    feature_strip,
    forward_to,
    project,
    receptive_field,
    show,
    training_curves,
    use_style,
)

use_style()
SIZE = 48

# %% [markdown]
# ## 1. A network to look into
#
# The task: which of five shapes is in the picture? `data.Shapes` draws them in random colours, some cut off by
# the border of the picture. So that the
# network can learn quickly, it does not see the colours but one number a pixel: how far the pixel's colour is from the
# middle (median) colour of the picture, from 0 to 1.

# %%
NAMES = ("disc", "triangle", "rectangle", "star", "cross")
scene = data.Difficulty(
    classes=NAMES,
    objects=(1, 1),  # one in each picture
    radius=(0.22, 0.4),  # of the picture's side
    stretch=1.15,
    clutter=(0, 0),
    contrast=110,
    texture=16,
    light=0.1,
    noise=3,
    visible=0.7,
)


def read(split, count):
    """Pictures (count, 1, 48, 48) of numbers from 0 to 1, and the shape in each, 0 to 4."""
    pictures = data.Shapes(split, length=count, size=SIZE, difficulty=scene)
    x, shape = np.empty((count, 1, SIZE, SIZE), np.float32), np.empty(count, int)
    for i, (image, mask) in enumerate(pictures[i] for i in range(count)):
        distance = np.abs(image - np.median(image, axis=(0, 1))).mean(axis=2)
        x[i, 0] = distance / distance.max()
        shape[i] = mask[(mask > 0) & (mask < 255)][0] - 1  # 255: a border between two things
    return x, shape


x_train, y_train = read("train", 1500)
x_val, y_val = read("val", 200)

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 5, figsize=(7.5, 1.8))
for number, ax in enumerate(axes):
    ax.imshow(x_val[np.flatnonzero(y_val == number)[0], 0], cmap="gray", vmin=0, vmax=1)
    ax.set(title=NAMES[number], xticks=[], yticks=[])
plt.tight_layout()
show(figure, alt="Five pictures as the network sees them: a bright disc, triangle, rectangle, star "
     "and cross on dark ground")  # fmt: skip

# %% [markdown]
# The network is half of [DeconvNet](../docs/glossary.md#deconvnet) in small: three times convolution, ReLU and
# [max pooling](../docs/glossary.md#max-pooling), then a [fully connected layer](../docs/glossary.md#fully-connected-layer), which
# is a convolution with a kernel as large as the map. It gives five *scores*
# ([logits](../docs/glossary.md#logit)); the largest one is the answer. It is trained by an
# [optimiser](../docs/glossary.md#optimiser) with the [cross-entropy](../docs/glossary.md#cross-entropy) as its
# [loss](../docs/glossary.md#loss).


# %%
class ShapeNet(nn.Module):
    """(N, 1, 48, 48) -> scores (N, 5, 1, 1)."""

    def __init__(self):
        super().__init__()
        self.conv1, self.relu1 = nn.Conv2d(1, 12, 5, padding=2), nn.ReLU()
        self.conv2, self.relu2 = nn.Conv2d(12, 24, 3, padding=1), nn.ReLU()
        self.conv3, self.relu3 = nn.Conv2d(24, 24, 3, padding=1), nn.ReLU()
        self.pool1, self.pool2, self.pool3 = (nn.MaxPool2d(2) for _ in range(3))
        self.score = nn.Conv2d(24, 5, 6)

    def forward(self, x):
        x = self.pool1(self.relu1(self.conv1(x)))  # 24 x 24
        x = self.pool2(self.relu2(self.conv2(x)))  # 12 x 12
        x = self.pool3(self.relu3(self.conv3(x)))  # 6 x 6
        return self.score(x)


def scores(net, x):
    """Scores (N, 5) of pictures; nothing is recorded for gradients."""
    with no_grad():
        return net(Tensor(x)).numpy()[:, :, 0, 0]


STEPS = 1000
manual_seed(0)
net = ShapeNet()
optimizer = optim.AdamW(net.parameters(), lr=3e-3, weight_decay=5e-4)
schedule = optim.CosineLR(optimizer, STEPS)  # the learning rate falls along half a cosine
rng = np.random.default_rng(0)

losses = []
for _ in range(STEPS):
    chosen = rng.choice(len(x_train), 32, replace=False)
    x = np.rot90(x_train[chosen], rng.integers(4), axes=(2, 3))  # more pictures at no cost:
    x = x[..., ::-1] if rng.integers(2) else x  # turned, and mirrored
    loss = F.cross_entropy(net(Tensor(x.copy())).reshape(32, 5), y_train[chosen])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    losses.append(loss.item())

right = scores(net, x_val).argmax(axis=1) == y_val
print(f"right on {right.mean():.0%} of 200 pictures it has not seen; a guess: 20%")

# %% tags=["hide-input"]
means = np.convolve(losses, np.ones(20) / 20, mode="valid")[::10]
curve = [(20 + 10 * i, float(value)) for i, value in enumerate(means)]
picture = training_curves({"loss": curve}, y_axis="cross entropy, mean of 20 steps")
show(picture, alt="The cross entropy falls from 1.6, that of a guess among five, over the steps")

# %% [markdown]
# ## 2. Forward: what each layer holds
#
# The simplest look: compute, and draw what every layer gives. A layer's output has many *maps* (channels); shown is the
# most active one, with the largest mean square. From violet to yellow the numbers grow; each map has its own scale.

# %%
STAR = int(np.flatnonzero((y_val == 3) & right)[0])
net.eval()
seen = activations(net, x_val[STAR : STAR + 1])
layers = ("relu1", "pool1", "relu2", "pool2", "relu3", "pool3")
picture = feature_strip({name: seen[name][0] for name in layers}, columns=3)
show(picture, alt="The star in six layers: at 48 and 24 pixels its area is bright, at 12 and 6 "
     "pixels single squares")  # fmt: skip

# %% [markdown]
# Such [activation](../docs/glossary.md#activation) maps say *where* a unit is active, but not what it is that the unit responds to.
# The deeper the layer, the less a map resembles anything. (Of a decoder, which grows back to the size of the
# picture, they say more: that is Figure 4 of the DeconvNet paper, and the subject of [notebook 12](12_deconvnet.ipynb).)
#
# ## 3. Back: from one number to the pixels
#
# Take one *unit*, a channel of `relu3`, at one place: here those of the largest number of the whole layer. (That need not be the channel drawn
# above, which has the largest mean square; both are printed.) Keep this number, set all others of the layer to zero, and go back: through the
# convolutions, the poolings and the ReLUs, to the pixels. The result has the size of the picture and is called the unit's *projection*.
# What happens at each layer on the way is the subject of section 4; `project` takes the rule `"deconvnet"` of that section if you name none.


# %%
def strongest(maps):
    """Channel, row and column of the largest number in (C, H, W)."""
    return tuple(int(i) for i in np.unravel_index(maps.argmax(), maps.shape))


unit, row, column = strongest(seen["relu3"][0])
projection = project(net, x_val[STAR : STAR + 1], "relu3", at_unit(unit, (row, column)))
image_tensor, outputs = forward_to(net, x_val[STAR : STAR + 1], "relu3")
box = receptive_field(outputs["relu3"], image_tensor, (row, column))

most_active = int((seen["relu3"][0] ** 2).mean(axis=(1, 2)).argmax())
print(f"largest number: of channel {unit}; drawn above: channel {most_active}")
outside = projection[0, 0].copy()
outside[box.slices] = 0
assert np.abs(outside).max() < 1e-5 * np.abs(projection).max()  # zero but for rounding


# %% tags=["hide-input"]
def draw(ax, array, title="", signed=True):
    """Draw a picture in grey, or a signal from blue (negative) over white to red."""
    if signed:
        limit = np.abs(array).max() or 1
        ax.imshow(array, cmap="RdBu_r", vmin=-limit, vmax=limit)
    else:
        ax.imshow(array, cmap="gray", vmin=0, vmax=1)
    ax.set(title=title, xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def frame(ax, box):
    """Draw a box of pixels."""
    x, y = box.left - 0.5, box.top - 0.5
    wide, high = box.right - box.left + 1, box.bottom - box.top + 1
    ax.add_patch(plt.Rectangle((x, y), wide, high, fill=False, edgecolor="#E69F00", linewidth=2))


figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.8))
draw(axes[0], x_val[STAR, 0], "the picture", signed=False)
axes[1].imshow(seen["relu3"][0, unit], cmap="magma")
axes[1].plot(column, row, "s", markersize=16, markerfacecolor="none", markeredgecolor="#56B4E9")
axes[1].set(title=f"relu3, channel {unit}", xticks=[], yticks=[])
draw(axes[2], projection[0, 0], "its projection")
frame(axes[0], box)
frame(axes[2], box)
plt.tight_layout()
show(figure, alt="The star with a framed square, the 12 by 12 map of one channel with its largest "
     "number marked, and the projection: red and blue specks inside the same square")  # fmt: skip

# %% [markdown]
# In a projection red is positive, blue negative and white zero; each is drawn with its own largest number as the full colour. The map in
# the middle goes from black (zero) to light yellow. The frame is the unit's [receptive field](../docs/glossary.md#receptive-field): the pixels that its number can depend on. Outside of it
# the projection is zero (but for rounding, which the last line of the code allows for).
#
# ### Your turn
#
# How many pixels wide is the receptive field of a unit of `pool3`, in the middle of a picture? Go back layer by layer, beginning
# with one number: a convolution with a kernel of $k$ needs $k - 1$ more on its input, a pooling of 2 × 2 makes it twice as
# many. (`pool3` is computed from `relu3`, that from `pool2` by a 3 × 3 kernel, and so on down to `conv1` with its 5 × 5.)

# %%
my_width = None

# %% tags=["hide-input"]
source, pooled = forward_to(net, x_val[STAR : STAR + 1], "pool3")
middle = receptive_field(pooled["pool3"], source, (3, 3))
check_answer(
    "my_width",
    my_width,
    middle.right - middle.left + 1,
    hints=[
        (lambda n: n == 9, "That is without the poolings: what does one do to the width?"),
        (lambda n: n in (14, 16), "One of the three poolings is missing."),
        (lambda n: n == 22, "The kernel of conv1 is wider than the others."),
        (lambda n: n == 20, "That is a unit of relu3, the frame above: pool3 is one step further."),
    ],
    hint="Six steps: pool3, conv3, pool2, conv2, pool1, conv1.",
)

# %% [markdown]
# ## 4. Three rules
#
# What happens to the signal $R$ on its way back? Write $y = f(x)$ for one layer; $R$ arrives at $y$.
#
# - A convolution is a matrix, $y = Ax$ ([notebook 3](03_convolution_is_a_matrix.ipynb)). Back goes $A^\top R$: a
#   [transposed convolution](../docs/glossary.md#transposed-convolution) with the same kernel.
# - A pooling puts the winner of each window into $y$. Back goes [unpooling](../docs/glossary.md#unpooling): each number to its
#   [switch](../docs/glossary.md#switches).
# - A ReLU is $y = \max(a, 0)$. Here the methods part:
#
# | rule | what passes | whose |
# |---|---|---|
# | `"gradient"` | $R$ where $a > 0$ | the [gradient](../docs/glossary.md#gradient): Simonyan, Vedaldi, Zisserman 2013 |
# | `"deconvnet"` | $R$ where $R > 0$ | Zeiler, Fergus 2014 |
# | `"guided"` | $R$ where $a > 0$ and $R > 0$ | guided backpropagation: Springenberg, Dosovitskiy, Brox, Riedmiller 2015 |
#
# Where nothing passes there is zero. Zeiler and Fergus drew theirs as a second network beside the first, with layers "unpool, rectify,
# filter". In our operations that network is this function:


# %%
def projection_by_hand(x, unit, row, column, switches=None):
    """Zeiler and Fergus's way from a unit of relu3 back to the pixels of x (1, 1, 48, 48)."""
    (w1, b1), (w2, b2), (w3, b3) = (
        (layer.weight.numpy(), layer.bias.numpy()) for layer in (net.conv1, net.conv2, net.conv3)
    )
    y, s1 = ops.max_pool2d(ops.relu(ops.conv2d(x, w1, b1, padding=2)), 2, return_switches=True)
    y, s2 = ops.max_pool2d(ops.relu(ops.conv2d(y, w2, b2, padding=1)), 2, return_switches=True)
    y = ops.relu(ops.conv2d(y, w3, b3, padding=1))
    if switches is not None:  # for later: those of another picture
        s1, s2 = switches(s1), switches(s2)

    signal = np.zeros_like(y)
    signal[0, unit, row, column] = y[0, unit, row, column]
    signal = ops.conv_transpose2d(ops.relu(signal), w3, padding=1)  # rectify, filter
    signal = ops.max_unpool2d(signal, s2)  # unpool
    signal = ops.conv_transpose2d(ops.relu(signal), w2, padding=1)
    signal = ops.max_unpool2d(signal, s1)
    return ops.conv_transpose2d(ops.relu(signal), w1, padding=2)


by_hand = projection_by_hand(x_val[STAR : STAR + 1], unit, row, column)
print("largest difference from project():", np.abs(by_hand - projection).max())
assert np.allclose(by_hand, projection, atol=1e-5 * np.abs(projection).max())

# %% [markdown]
# So their "deconvolutional network" is a backward pass with another rule for the ReLU. The biases play no part on the way back, and under this rule the
# picture only through the switches and the number at the start. (Under the other two also through where $a > 0$.)
#
# ### Your turn
#
# Write the rule of guided backpropagation. `signal` is $R$; `y` is the output of the ReLU, from which you can tell whether
# $a > 0$.


# %%
def my_guided(signal, y):
    """The signal that goes on: an array like `signal`."""
    return None  # write it here


# %% tags=["hide-input"]
drawn = np.random.default_rng(0)
a, arriving = drawn.integers(-4, 9, (2, 4, 6)).astype(float)
check_answer(
    "my_guided",
    my_guided(arriving, np.maximum(a, 0)),
    RELU_RULES["guided"](arriving, np.maximum(a, 0)),
    hints=[
        (
            lambda found: (
                np.asarray(found).dtype == bool or np.array_equal(found, (arriving > 0) & (a > 0))
            ),
            "That says where the signal passes. The rule gives the signal itself there.",
        ),
        (
            lambda found: np.array_equal(found, RELU_RULES["gradient"](arriving, np.maximum(a, 0))),
            "Negative signals pass: that is the gradient.",
        ),
        (
            lambda found: np.array_equal(found, RELU_RULES["deconvnet"](arriving, a)),
            "Closed ReLUs let signals pass: that is the rule of Zeiler and Fergus.",
        ),
    ],
    hint="Compare each place with the last row of the table of rules.",
)

# %% [markdown]
# ## 5. What units respond to
#
# One picture says little of a unit. So do as Zeiler and Fergus did: for a unit, find the pictures that make it most active, and show
# its projection for each, cut to the receptive field (smaller at the border of the picture), beside what is there. Each projection has its own scale. Before you read on, look along
# each row: what have its four patches in common?

# %%
maps = activations(net, x_val, layers=["relu3"])["relu3"]  # (200, 24, 12, 12)
peaks = maps.max(axis=(2, 3))  # of each picture and unit
units = np.argsort(-peaks.mean(axis=0))[[0, 2, 4, 6]]  # four of the most active ones


def patch(number, unit):
    """The receptive field of a unit's largest number in a picture: pixels, and projection."""
    x = x_val[number : number + 1]
    place = strongest(maps[number, unit][None])[1:]
    source, outputs = forward_to(net, x, "relu3")
    box = receptive_field(outputs["relu3"], source, place)
    found = project(net, x, "relu3", at_unit(unit, place))
    return x[0, 0][box.slices], found[0, 0][box.slices]


# %% tags=["hide-input"]
figure, axes = plt.subplots(4, 8, figsize=(7.5, 4.2))
for line, unit_shown in zip(axes, units, strict=True):
    for place, number in enumerate(np.argsort(-peaks[:, unit_shown])[:4]):
        pixels, signal = patch(int(number), int(unit_shown))
        draw(line[place], pixels, signed=False)
        draw(line[4 + place], signal)
    line[0].set_ylabel(f"unit {unit_shown}")
axes[0, 0].set_title("what is there", loc="left")
axes[0, 4].set_title("projected back", loc="left")
plt.tight_layout()
show(figure, alt="Four units in rows: the four patches that excite each most, and their "
     "projections, red and blue strokes along the edges in the patches")  # fmt: skip

# %% [markdown]
# The rows of units 4 and 16 show one kind of thing each, the blunt end of an arm and a border that falls to the right; unit 18 has a border that rises to the right in
# three patches, and dots among the third's. Unit 12 is the counterexample: large bright areas with corners at several places, and specks everywhere. Pieces of different shapes are in one row, so such a unit stands for no shape by itself. All this is what the eye reads into four chosen pictures a
# unit. What else may excite it they cannot show.

# %% [markdown]
# ## Break it
#
# What do the switches do for a projection? Take them away: let every unpooling put its number into the top left corner of the
# window; and then give it the switches of another picture. Nothing else is changed. Set `OTHER` to other pictures and look at the fourth panel.

# %%
OTHER = int(np.flatnonzero(y_val == 0)[0])  # a disc


def corner(switches):
    """Switches that name the top left pixel of each window."""
    nothing = np.zeros(switches.shape, np.int64)
    return type(switches).from_window(nothing, switches.plane_shape, 2, 2)


def of_picture(number):
    """A function that puts the switches of another picture in the place of given ones."""
    y = x_val[number : number + 1]
    found = {}
    for layer, padding in ((net.conv1, 2), (net.conv2, 1)):
        y = ops.relu(ops.conv2d(y, layer.weight.numpy(), layer.bias.numpy(), padding=padding))
        y, switches = ops.max_pool2d(y, 2, return_switches=True)
        found[switches.shape] = switches
    return lambda own: found[own.shape]


ways = {"its own": None, "top left corners": corner, "of the other picture": of_picture(OTHER)}
spoilt = {
    name: projection_by_hand(x_val[STAR : STAR + 1], unit, row, column, way)[0, 0]
    for name, way in ways.items()
}

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 4, figsize=(7.5, 2.3))
draw(axes[0], x_val[STAR, 0][box.slices], "what is there", signed=False)
for ax, (name, found) in zip(axes[1:], spoilt.items(), strict=True):
    draw(ax, found[box.slices], name)
plt.tight_layout()
show(figure, alt="The patch and three projections of the same unit: with its own switches, with "
     "top left corners, and with the switches of another picture")  # fmt: skip

# %% [markdown]
# One unit of one picture may be an accident. So count over 40 pictures, each with its strongest unit (the other picture is now the one 40 further on): how strongly is a spoilt projection correlated with
# the right one, inside the receptive field? (1: the same but for a positive factor; 0: not at all.) For comparison, the reverse: *another unit* at the same place, with the right switches.

# %%
likeness = {"top left corners": [], "of another picture": [], "its own, another unit": []}
for number in range(40):
    one = x_val[number : number + 1]
    strong, *place = strongest(maps[number])
    source, layers_ = forward_to(net, one, "relu3")
    field = receptive_field(layers_["relu3"], source, place).slices
    own, *others = (
        projection_by_hand(one, strong, *place, way)[0, 0][field].ravel()
        for way in (None, corner, of_picture(number + 40))
    )
    neighbour = at_unit((strong + 1) % 24, tuple(place), 1.0)  # 1.0: its own number may be 0
    others.append(project(net, one, "relu3", neighbour)[0, 0][field].ravel())
    for values, found in zip(likeness.values(), others, strict=True):
        values.append(np.corrcoef(found, own)[0, 1])
print("switches: mean correlation, and the standard deviation over 40 pictures")
for name, values in likeness.items():
    print(f"{name:22}{np.mean(values):6.2f}{np.std(values):6.2f}")

# %% [markdown]
# In the first two rows the unit and its number are the right ones, and little of the projection is left. The last row has the wrong unit and the right switches, and is more alike than both. So what a projection shows is
# for the larger part this picture's switches, and for the smaller part which unit it started at. (The same unit and place projected in the other picture is the second row again, but for a factor.)
#
# ## 6. Which pixels made a score
#
# Now let the signal start at a score: 1 at the class that is in the picture, 0 at the other four. Under the rule `"gradient"` the result is
# the [gradient](../docs/glossary.md#gradient) of the score, called its *saliency* map: how much the score would change if a pixel changed a little. (Simonyan
# and others draw its absolute values. Here the sign is kept, and in the drawing the strongest half a percent of the pixels have the full colour.)


# %%
def of_class(numbers):
    """The signal 1 at one class of each picture."""

    def start(values):
        signal = np.zeros_like(values)
        signal[np.arange(len(values)), numbers] = 1
        return signal

    return start


def score_map(network, number, rule, classes=None):
    """Which pixels made the score of the right class (or of other ones): (N, 48, 48), signed."""
    classes = y_val[number] if classes is None else classes
    return project(network, x_val[number], "score", of_class(classes), rule)[:, 0]


FIVE = np.array([np.flatnonzero((y_val == k) & right)[0] for k in range(5)])
explained = {rule: score_map(net, FIVE, rule) for rule in RELU_RULES}

# %% tags=["hide-input"]
figure, axes = plt.subplots(4, 5, figsize=(7.5, 6.2))
for column_, number in enumerate(FIVE):
    draw(axes[0, column_], x_val[number, 0], NAMES[y_val[number]], signed=False)
    for line, (rule, found) in zip(axes[1:], explained.items(), strict=True):
        limit = np.quantile(np.abs(found[column_]), 0.995)
        draw(line[column_], np.clip(found[column_], -limit, limit))
        line[0].set_ylabel(rule)
plt.tight_layout()
show(figure, alt="Five shapes, and three maps below each: gradient and deconvnet are clouds of red "
     "and blue specks, denser near the shape in some; guided draws outlines")  # fmt: skip

# %% [markdown]
# The last row has the cleanest outlines (that of the rectangle among specks). Does this network "look at the outline", then? So far we know only that the pictures look as if it did.
#
# ## 7. The test: a network that knows nothing
#
# If a map explains what the network has *learned*, it must change when that is destroyed. So replace the weights by
# new random ones, drawn as before training, layer by layer from the scores down, and make the maps again. Adebayo and others (2018) call
# that a *sanity check*.


# %%
def randomised(names, seed):
    """A copy of the trained network in which the named layers are as before training."""
    manual_seed(seed)
    fresh, changed = ShapeNet(), copy.deepcopy(net)
    for name in names:
        changed.get_submodule(name).load_state_dict(fresh.get_submodule(name).state_dict())
    return changed.eval()


ORDER = ("score", "conv3", "conv2", "conv1")
EIGHTY = np.arange(80)
networks = {
    (depth, seed): randomised(ORDER[:depth], seed) for depth in range(5) for seed in (1, 2, 3)
}
shown = {
    (rule, depth): score_map(networks[depth, 1], FIVE[3:4], rule)[0]
    for rule in RELU_RULES
    for depth in range(5)
}

# %% tags=["hide-input"]
titles = ("none: trained", "score", "+ conv3", "+ conv2", "+ conv1: all")
figure, axes = plt.subplots(3, 5, figsize=(7.5, 5))
for line, rule in zip(axes, RELU_RULES, strict=True):
    line[0].set_ylabel(rule)
    for depth, ax in enumerate(line):
        found = shown[rule, depth]
        limit = np.quantile(np.abs(found), 0.995)
        draw(ax, np.clip(found, -limit, limit), titles[depth] if rule == "gradient" else "")
figure.suptitle("which layers are random", x=0.52)
plt.tight_layout()
show(figure, alt="The maps of a star by three rules, of the trained network and of four in which "
     "more and more layers are random: guided draws parts of the star even when all are")  # fmt: skip

# %% [markdown]
# Look at the last row again. To put a number to it: take absolute values, and compare each map with the trained network's by
# *rank correlation* (Spearman's: the correlation of the pixels' ranks, 1 if they are in the same order, about 0 if one tells nothing of the other).


# %%
def ranks(values):
    """The rank of each number; equal ones share their mean rank."""
    _, where, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count + 1) / 2)[where]


def rank_correlation(a, b):
    """The mean over pictures of the rank correlation of two maps' absolute values."""
    pairs = zip(np.abs(a), np.abs(b), strict=True)
    return np.mean([np.corrcoef(ranks(p.ravel()), ranks(q.ravel()))[0, 1] for p, q in pairs])


trained = {rule: score_map(net, EIGHTY, rule) for rule in RELU_RULES}
alike = {
    rule: [
        np.mean([
            rank_correlation(trained[rule], score_map(networks[depth, seed], EIGHTY, rule))
            for seed in (1, 2, 3)
        ])
        for depth in range(5)
    ]
    for rule in RELU_RULES
}  # fmt: skip

answers = {at: scores(network, x_val).argmax(1) for at, network in networks.items()}
correct = [np.mean([answers[depth, seed] == y_val for seed in (1, 2, 3)]) for depth in range(5)]
print("right on   " + "".join(f"{share:10.0%}" for share in correct))
for rule, values in alike.items():
    print(f"{rule:11}" + "".join(f"{value:10.2f}" for value in values))

# %% tags=["hide-input"]
figure, ax = plt.subplots(figsize=(7.5, 3))
for (rule, values), style in zip(alike.items(), ("o-", "s--", "^-"), strict=True):
    ax.plot(values, style, label=rule)
ax.set(ylim=(0, 1.03), ylabel="rank correlation", xticks=range(5), xticklabels=titles)
ax.set_xlabel("which layers are random")
ax.legend(frameon=False)
plt.tight_layout()
show(figure, alt="Rank correlation with the trained network's map against the number of random "
     "layers, a line for each of three rules")  # fmt: skip

# %% [markdown]
# As soon as the scores are random the network is right about as often as by chance. The numbers are means of 80 pictures and three networks; the drawing shows one star and one network. To pass, a map has to
# become about as unlike as two maps that have nothing in common. The gradient's changes at once and goes on falling. Deconvnet's changes as much at once, but then it rises, and with three layers random it is
# more than twice as much like the trained one as the gradient's is. That of guided backpropagation is at first much like the one that looked like an explanation: in the panel "score" you would still say
# "it looks at the outline", of a network that is right no more often than a guess. It is less alike the more layers are random, but more than
# the gradient's even when all are. What is left, is it from the picture, or are any two such maps alike to this degree? Two controls, with
# networks that are random in *all* layers:

# %%
nothing_learned = {
    rule: [score_map(networks[4, seed], EIGHTY, rule) for seed in (1, 2, 3)] for rule in RELU_RULES
}
print("all random, against:  trained   trained, another picture   another all random")
for rule, (first, second, third) in nothing_learned.items():
    elsewhere = np.roll(trained[rule], 1, axis=0)  # each map goes to the next picture
    control = np.mean([rank_correlation(elsewhere, found) for found in (first, second, third)])
    both = np.mean([rank_correlation(first, second), rank_correlation(second, third)])
    print(f"{rule:20}{alike[rule][4]:9.2f}{control:27.2f}{both:21.2f}")

# %% [markdown]
# With another picture next to nothing is left, by all three rules. Two networks, neither of which has learned anything, agree with one another on the same picture under guided backpropagation, and half as much
# under deconvnet; the gradient's agree no more than the control. So guided backpropagation fails, and deconvnet in part. **A part of what guided backpropagation draws comes from the picture, through switches and open ReLUs
# (the picture has no other way in), and not from what was learned; and the map does not say which part.**
#
# That does not make the gradient a good explanation: it passes this test, and passing it does not say that a map is right.
#
# A second question of the same kind: does a map depend on *which* score is asked for? Ask for the score of another class.

# %%
WRONG = (y_val[EIGHTY] + 1) % 5
for rule, values in trained.items():
    asked = score_map(net, EIGHTY, rule, classes=WRONG)
    found = rank_correlation(values, asked)
    print(f"{rule:10} the right class against another one: rank correlation {found:.2f}")

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 5, figsize=(7.5, 1.9))
for number, ax in enumerate(axes):
    asked = score_map(net, FIVE[3:4], "guided", classes=np.array([number]))[0]
    draw(ax, asked, f"score of {NAMES[number]}")
plt.tight_layout()
show(figure, alt="One star under guided backpropagation, started at the scores of five classes: "
     "the outline of the star each time")  # fmt: skip

# %% [markdown]
# A map that does not depend on the question would have 1; guided backpropagation is nearest to that. The figure has its maps for one star, asked "why a disc?" and so on: all five show parts of the star's outline.
#
# ## What the paper says
#
# - [Zeiler and Fergus (2014)](https://arxiv.org/abs/1311.2901), section 2.1: the projection of section 3; section 5 is their Figure 2 in small.
# - [Simonyan, Vedaldi and Zisserman (2013)](https://arxiv.org/abs/1312.6034), section 3: the gradient as a saliency map.
# - [Springenberg and others (2015)](https://arxiv.org/abs/1412.6806), section 3.4 and Figure 1: guided backpropagation, and the three rules side by side.
# - [Adebayo and others (2018)](https://arxiv.org/abs/1810.03292): the test of section 7, which reproduces the idea of their Figure 2. They did it with Inception on
#   photographs and found that guided backpropagation hardly changes when the higher layers are random. Here it changes more. Our network has
#   four layers, theirs dozens; whether that is the reason we have not tested.
# - [Nie, Zhang and Patel (2018)](https://arxiv.org/abs/1805.07039) give a reason, with a theoretical analysis: guided backpropagation partly recovers the picture, whatever the decision.
# - [Noh, Hong and Han (2015)](https://arxiv.org/abs/1505.04366) named DeconvNet after Zeiler and Fergus's way back. The difference: in theirs the way back has *its own kernels*, which
#   are trained.
#
# ## Exercises
#
# **1.** `at_unit(unit, (row, column), -1.0)` starts with $-1$ in the place of the unit's own number, to see what speaks *against* it. What do the three rules give, and why?
#
# <details><summary>Answer</summary>
#
# The gradient gives the negative of what it gives for $+1$ (the unit's own number is larger). The other two give nothing at all: a negative signal does not pass their first ReLU.
#
# ```python
# star, place = x_val[STAR : STAR + 1], (row, column)
# for rule in RELU_RULES:
#     plus, minus = (project(net, star, "relu3", at_unit(unit, place, s), rule) for s in (1.0, -1.0))
#     print(rule, np.array_equal(minus, -plus), np.abs(minus).max())
#     assert np.array_equal(minus, -plus) if rule == "gradient" else not minus.any()
# ```
# </details>
#
# **2.** Set all biases of a copy of the network to zero. Then the sum over the pixels of picture × gradient *is* the score. Why? Check it.
#
# <details><summary>Answer</summary>
#
# Without biases every layer gives twice the output for twice the input (a ReLU and a maximum too). So does the network, for any positive factor, and the score along the
# ray from black to the picture is a straight line through zero: its slope times one is its value. (On the ray no ReLU opens or closes and no switch moves, so that the gradient is the same all along it.)
# And the slope along the ray is the sum over the pixels of gradient × step, and the step is the picture.
#
# ```python
# bare = copy.deepcopy(net).eval()
# for name, parameter in bare.named_parameters():
#     if name.endswith("bias"):
#         parameter.data[...] = 0
# gradients = score_map(bare, FIVE, "gradient")
# sums = (gradients * x_val[FIVE, 0]).sum(axis=(1, 2))
# wanted = scores(bare, x_val[FIVE])[np.arange(5), y_val[FIVE]]
# print(sums, wanted)
# assert np.allclose(sums, wanted, rtol=1e-3, atol=1e-3)
# ```
# </details>
#
# **3.** A test that needs no gradient: cover a square of 12 × 12 pixels with black, everywhere in turn, and see how far the score of the right class falls (Zeiler and
# Fergus's Figure 7). Draw the falls as a map. Where does the star's score fall most, and does it rise anywhere? Do the maps of section 6 say the same?
#
# <details><summary>Answer</summary>
#
# ```python
# places = [(r, c) for r in range(0, 37, 2) for c in range(0, 37, 2)]
# covered = np.repeat(x_val[STAR : STAR + 1], len(places), axis=0)
# for image, (r, c) in zip(covered, places):
#     image[0, r : r + 12, c : c + 12] = 0
# before = scores(net, x_val[STAR : STAR + 1])[0, 3]
# fall = before - scores(net, covered)[:, 3]
# figure, axes = plt.subplots(1, 2, figsize=(5, 2.7))
# draw(axes[0], x_val[STAR, 0], "the picture", signed=False)
# draw(axes[1], fall.reshape(19, 19), "fall of its score")
# show(figure, alt="The star, and how far its score falls for each place of the square: red at two arms, blue at others")
# print(f"score {before:.2f}; largest fall {fall.max():.2f} at {places[fall.argmax()]}, largest rise"
#       f" {-fall.min():.2f} at {places[fall.argmin()]} (upper row, left column)")
# for rule, found in explained.items():
#     inside = [np.abs(found[3, r : r + 12, c : c + 12]).sum() for r, c in places]
#     alike_ = np.corrcoef(ranks(np.abs(fall)), ranks(np.array(inside)))[0, 1]
#     print(f"{rule:10} largest in the square at {places[np.argmax(inside)]}, rank correlation {alike_:.2f}")
# assert places[fall.argmax()] == (32, 14) and fall.min() < -8
# ```
#
# The score is 8.19. It falls most, by 7.60, with the square at row 32, column 14, over the star's lower left tip; at row 24, column 28 it *rises* by 8.83: without that piece the network is surer that it is a star. All three
# maps of section 6 are strongest within four pixels of the first square. But what each holds in a square follows the size of the change there only roughly: the rank correlation is 0.38 for the gradient, 0.42 for deconvnet, 0.61 for guided backpropagation.
# So the map that failed the test of section 7 is nearest to this one, for this star.
#
# This measures the network's answer to a changed picture. Its weakness: a black square is a change that no training picture had.
# </details>
#
# ## In the library
#
# - [`minideconv.visualize.relu_rules.relu_rule`](../minideconv/visualize/relu_rules.py#L45): the three rules, and the lines that put one into a backward pass.
# - [`minideconv.visualize.projection.project`](../minideconv/visualize/projection.py#L133): from any layer of any network to the pixels.
# - [`minideconv.visualize.receptive_field.receptive_field`](../minideconv/visualize/receptive_field.py#L63)
# - [`minideconv.nn.inspection.activations`](../minideconv/nn/inspection.py#L22)
# - From the command line, and for VGG-16 on photographs: [Looking inside](../docs/looking_inside.md).
