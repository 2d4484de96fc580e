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
# # Checkerboards
#
# A [transposed convolution](../docs/glossary.md#transposed-convolution) lays down one copy of its
# [kernel](../docs/glossary.md#kernel) (a *stamp*) per pixel and adds what overlaps. Where the
# stamps overlap unevenly, the layer draws its own geometry over every picture: a fine grid, called
# a [checkerboard artefact](../docs/glossary.md#checkerboard-artefact). This notebook counts the
# stamps on each pixel, says exactly when the grid is there and when not, and shows a way to enlarge
# a map that cannot draw it. The same grid sits in [gradients](../docs/glossary.md#gradient), for
# the same reason.
#
# You need NumPy and [notebook 4](04_transposed_convolution_stamps.ipynb) (stamps). Exercise 2 of
# [notebook 5](05_zero_stuffing_and_output_padding.ipynb), the one before this, is a good start.

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

import minideconv as md
from minideconv import Tensor, data, nn, ops, optim
from minideconv import functional as F
from minideconv.testing import check_answer
from minideconv.visualize import (
    Picture,
    overlap_counts,
    overlap_grid,
    overlap_map,
    show,
    side_by_side,
    use_style,
)

use_style()

# %% [markdown]
# ## 1. Grey goes in, a grid comes out
#
# Let the input be as dull as possible: 4 × 4 pixels, all 1. Let the kernel be as dull as possible:
# all its [taps](../docs/glossary.md#tap) (entries) are 1. Then each pixel of the output is the
# number of stamps that lie on it. The [stride](../docs/glossary.md#stride) is 2: stamps lie two
# pixels apart. The only difference between the two pictures is the kernel: 3 × 3 or 4 × 4.

# %%
ones = np.ones((1, 1, 4, 4))
by_3 = ops.conv_transpose2d(ones, np.ones((1, 1, 3, 3)), stride=2)[0, 0]
by_4 = ops.conv_transpose2d(ones, np.ones((1, 1, 4, 4)), stride=2)[0, 0]

show(
    side_by_side(
        [overlap_map(by_3, title="kernel 3 × 3"), overlap_map(by_4, title="kernel 4 × 4")], 60
    ),
    alt="Two maps of counts. Kernel 3 by 3 gives 9 by 9 pixels on which 1, 2 and 4 "
    "alternate like a checkerboard. Kernel 4 by 4 gives 10 by 10 pixels that "
    "are all 4, but for a border of 1 and 2",
)

# %% [markdown]
# Left: between two stamps lies a strip on which both lie, one pixel wide. Where two such strips
# cross, four stamps lie. A neural network that wants an even grey here has to work against a factor
# of 4 between a pixel and its neighbour across the corner.
#
# ## 2. When are the counts even?
#
# Height and width behave alike, and their counts multiply (1, 2 times 1, 2 gives 1, 2, 4), so one
# axis is enough. Here are kernels 2 to 5 and strides 1 to 3.

# %%
show(
    overlap_grid(kernels=(2, 3, 4, 5), strides=(1, 2), outputs=7),
    alt="Rows of counts for kernels 2 to 5 at strides 1 and 2, for seven input "
    "pixels. Apart from the ends they are even at stride 1, and for kernels 2 "
    "and 4 at stride 2; those for kernels 3 and 5 at stride 2 alternate",
)
show(
    overlap_grid(kernels=(2, 3, 4, 5), strides=(3,), outputs=7),
    alt="Rows of counts for kernels 2 to 5 at stride 3. For kernel 3 they are all 1; "
    "all others alternate, for kernel 2 between 1 and 0",
)

# %% [markdown]
# Apart from the two ends, the counts are even exactly where **the stride divides the kernel**. Why?
# Follow one output pixel. It is hit by stamps that begin `s` pixels apart, so of the kernel it
# meets every `s`-th tap only. Below, taps of one colour meet the same pixels. At stride 2 there are
# two such classes: a kernel of 4 has two taps in each; a kernel of 5 has three in one and two in
# the other.


# %% tags=["hide-input"]
def classes_picture(kernel, stride, cell=30):
    """Draw a kernel's taps in the colours of their classes."""
    hues = ["#9fd0f0", "#f7d488", "#9fdcc3"]
    picture = Picture(220, 72)
    picture.words(2, 12, f"kernel {kernel}, stride {stride}", anchor="start", bold=True)
    numbers = np.arange(1, kernel + 1)[None]
    fills = [[hues[tap % stride] for tap in range(kernel)]]
    picture.grid(2, 34, numbers, cell=cell, fills=fills)
    return picture


show(
    side_by_side([classes_picture(4, 2), classes_picture(5, 2), classes_picture(5, 3)], gap=12),
    alt="Taps coloured by class. Kernel 4, stride 2: 1, 3 and 2, 4. Kernel 5, "
    "stride 2: 1, 3, 5 and 2, 4. Kernel 5, stride 3: 1, 4 and 2, 5 and 3 alone",
)

# %% [markdown]
# ### Your turn
#
# Kernel 6, stride 4, three input pixels, no padding, all taps and pixels 1. Write the row of
# counts. (Draw the three stamps below each other, each four pixels further.)

# %%
my_counts = None  # a list of whole numbers

# %%
right = overlap_counts((1, 2 * 4 + 6), (1, 6), (1, 4))[0]
check_answer(
    "my_counts",
    my_counts,
    right,
    hints=[
        (lambda a: len(a) == 3 * 6, "Stamps overlap; they do not stand in a row."),
        (lambda a: len(a) == 3 * 4, "The last stamp is not cut off: it is 6 long."),
        (lambda a: len(a) == len(right) and min(a) == 0, "Is there a pixel without any stamp?"),
    ],
    hint="The stamps begin at pixels 0, 4 and 8, and each is 6 pixels long.",
)

# %% [markdown]
# ## 3. Counts are for ones; real taps have sums
#
# Taps are not all 1. For a grey input, all pixels 1, an output pixel is the *sum* of the taps that
# it meets: the taps of its class. In two dimensions there are $s^2$ classes: one for each remainder
# of the row and of the column.
#
# > A layer turns even grey into even grey **exactly if the $s^2$ classes of its taps have equal
# > sums**.
#
# For taps that are all 1 a sum is a count, and this is the rule of section 2. For other taps it is
# not, in both directions. Here are a kernel of 3 that is even, and a kernel of 4 that is not, along
# one axis at stride 2:

# %%
for taps_of_row in ([0.5, 1.0, 0.5], [0.9, 0.5, 0.3, 0.1]):
    row = ops.conv_transpose2d(
        np.ones((1, 1, 1, 6)), np.reshape(taps_of_row, (1, 1, 1, -1)), stride=(1, 2)
    )
    print(f"taps {taps_of_row}: ", row.ravel().round(2))

# %% [markdown]
# ### Your turn
#
# Write a function that returns the class sums of a kernel (kh, kw) as an array (s, s): entry (a, b)
# is the sum of the taps in rows a, a + s, a + 2s, … and columns b, b + s, b + 2s, …. NumPy's slices
# with a step make it short. It is used by nothing below, so you can come back to it.

# %%
my_class_sums = None  # replace by def my_class_sums(kernel, stride): ...


# %%
def class_sums(kernel, stride):
    """Class sums, by the layer itself: grey goes in, one pixel of each class is taken."""
    ones = np.ones((1, 1, 2 * max(kernel.shape) + 2, 2 * max(kernel.shape) + 2))
    grey = ops.conv_transpose2d(ones, kernel[None, None], stride=stride)[0, 0]
    inside = stride * max(kernel.shape)  # far enough from the border, and a multiple of the stride
    return grey[inside : inside + stride, inside : inside + stride]


rng = np.random.default_rng(6)
a_kernel = rng.integers(-9, 10, (5, 7)).astype(float)
check_answer(
    "my_class_sums",
    None if my_class_sums is None else my_class_sums(a_kernel, 3),
    class_sums(a_kernel, 3),
    hints=[
        (lambda a: np.shape(a) == (), "One number for each class: an array of (stride, stride)."),
        (
            lambda a: np.array_equal(a, class_sums(a_kernel.T.copy(), 3)),
            "Rows come first: you have exchanged the two axes.",
        ),
        (
            lambda a: np.array_equal(a, class_sums(np.ones((5, 7)), 3)),
            "These are the counts; add the taps up.",
        ),
    ],
    hint="Which taps of row 0, 1, 2, … belong to class (a, b)? A slice start:stop:step can pick them.",
)

# %% [markdown]
# ### Your turn
#
# Find a row of three taps, **all different and none 0**, that turns even grey into even grey at
# stride 2. There are many; the check tries yours.

# %%
my_row = None  # three numbers


# %%
def is_even(row):
    """Whether three different taps, none 0, give an even row from a grey one at stride 2."""
    row = np.asarray(row, float)
    if row.shape != (3,) or len(set(row.tolist())) < 3 or 0 in row:
        return False
    out = ops.conv_transpose2d(np.ones((1, 1, 1, 6)), row.reshape(1, 1, 1, 3), stride=(1, 2))
    return bool(np.allclose(out[..., 2:-2], out[0, 0, 0, 4]))


check_answer(
    "my_row",
    None if my_row is None else is_even(my_row),
    True,
    hints=[
        (lambda _: np.shape(my_row) != (3,), "Three numbers in a list."),
        (
            lambda _: len(set(map(float, my_row))) < 3 or 0 in my_row,
            "Three taps that are all different, none of them 0.",
        ),
    ],
    hint="Three taps, two classes: which taps are in which? Their sums have to be equal.",
)

# %% [markdown]
# So is the rule of section 2 useless? No. It says what happens *before training*, on average. Taps
# start as random numbers around 0. A sum of more of them varies more: the mean of its square grows
# with the number of taps. So pixels with more stamps have larger squares. Here 2000 random kernels
# each enlarge a map whose pixels are +1 or -1 at random, and we average the square of every pixel.
# In the picture yellow is more than the mean over all pixels, blue is less.

# %%
noise = rng.normal(size=(1, 1, 6, 6))
noise /= abs(noise)  # +1 or -1
loudness = {}
for kernel in (3, 4, 5, 6):
    weights = rng.normal(size=(1, 2000, kernel, kernel)) / kernel  # 2000 output channels
    drawn = ops.conv_transpose2d(noise, weights, stride=2)[0]
    loudness[kernel] = (drawn**2).mean(axis=0)[4:-4, 4:-4]

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 4, figsize=(7.5, 2.3), layout="constrained")
for ax, (kernel, square) in zip(axes, loudness.items(), strict=True):
    ax.imshow(square / square.mean(), cmap="cividis", vmin=0, vmax=2)
    classes = [square[a::2, b::2].mean() for a in range(2) for b in range(2)]
    ratio = max(classes) / min(classes)
    ax.set(title=f"kernel {kernel}\nlargest : smallest {ratio:.1f}", xticks=[], yticks=[])
show(
    figure,
    alt="Mean squares of the output pixels over 2000 random kernels at stride 2. "
    "Kernel 3: a checkerboard with a ratio of 4. Kernel 5: a weaker one. "
    "Kernels 4 and 6: even",
)

# %% [markdown]
# (The ratio is that of the largest class of pixels to the smallest.) On average over random kernels
# the counts decide: a grid for 3 and 5, none for 4 and 6. But *each single* random kernel of 4 × 4
# has four different class sums, and draws a grid of its own:

# %%
one = rng.normal(size=(4, 4)) / 4
print(class_sums(one, 2).round(3))

# %% [markdown]
# ## 4. Layers on layers
#
# Networks enlarge several times. The second layer enlarges the grid that the first has left, and
# lays its own, finer one over it. Here up to three layers, all taps 1, stride 2, kernel 3 and
# kernel 4; the middle of the output. A pixel is the number of ways that lead to it from the input.


# %%
def through(layers, kernel):
    """Send a grey map through several transposed convolutions with taps of 1."""
    x = np.ones((1, 1, 16, 16))
    for _ in range(layers):
        x = ops.conv_transpose2d(x, np.ones((1, 1, kernel, kernel)), stride=2)
    middle = x.shape[2] // 2
    return x[0, 0, middle - 12 : middle + 12, middle - 12 : middle + 12]


for kernel in (3, 4):
    for layers in (1, 2, 3):
        counts = through(layers, kernel)
        print(
            f"kernel {kernel}, layers: {layers}, pixels from {counts.min():g} to {counts.max():g}"
        )

# %% [markdown]
# With kernel 3 the darkest pixel stays at 1 and the brightest goes from 4 to 9 to 25. Along one
# axis that is 2, 3, 5, and not 2, 4, 8: where two stamps overlap, two *neighbours* add up, and they
# are not both the brightest (2 + 1 = 3, then 3 + 2 = 5).

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 4, figsize=(7.5, 2.2), layout="constrained")
shown = [(1, 3), (2, 3), (3, 3), (3, 4)]
for ax, (layers, kernel) in zip(axes, shown, strict=True):
    image = through(layers, kernel)
    ax.imshow(image / image.max(), cmap="gray", vmin=0, vmax=1.2)
    many = "layer" if layers == 1 else "layers"
    ax.set(title=f"{layers} {many},\nkernel {kernel}", xticks=[], yticks=[])
show(
    figure,
    alt="Grey maps after one, two and three layers with kernel 3: a fine grid, a "
    "grid of two sizes, and one of three sizes, with ever darker lines; and "
    "after three layers with kernel 4: an even light grey",
)

# %% [markdown]
# ## 5. Resize, then convolve
#
# Another way to enlarge: repeat every pixel 2 × 2 times (resizing by the *nearest* pixel), then an
# ordinary [convolution](../docs/glossary.md#convolution) of 3 × 3 with stride 1. This is called
# resize-convolution. Its stride is 1, so every output pixel meets all nine taps. Grey in, grey out,
# *whatever the taps are*:


# %%
def resize_conv(x, weight):
    larger = x.repeat(2, axis=2).repeat(2, axis=3)
    return ops.conv2d(larger, weight, padding=1)


random_taps = rng.normal(size=(1, 1, 3, 3))
random_4 = rng.normal(size=(1, 1, 4, 4))
grey = np.ones((1, 1, 8, 8))
from_stamps = ops.conv_transpose2d(grey, random_4, stride=2, padding=1)[0, 0]
from_resize = resize_conv(grey, random_taps)[0, 0]
assert np.allclose(from_resize[1:-1, 1:-1], random_taps.sum())

# %% tags=["hide-input"]
figure, axes = plt.subplots(1, 2, figsize=(6.0, 2.9), layout="constrained")
for ax, image, title in (
    (axes[0], from_stamps, "transposed convolution,\nrandom 4 × 4 taps, stride 2"),
    (axes[1], from_resize, "resize-convolution,\nrandom 3 × 3 taps"),
):
    most = abs(image).max()
    shown = ax.imshow(image, cmap="PuOr", vmin=-most, vmax=most)
    figure.colorbar(shown, ax=ax, fraction=0.046)
    ax.set(title=title, xticks=[], yticks=[])
show(
    figure,
    alt="Two maps of 16 by 16 made of even grey. The transposed convolution with "
    "random taps gives a checkerboard of four values; the resize-convolution "
    "gives one colour, with a frame of one pixel in other colours",
)

# %% [markdown]
# (The frame is no checkerboard: there the 3 × 3 window hangs over the edge and meets the zeros of
# the [padding](../docs/glossary.md#padding).)
#
# Resize-convolution is no other kind of map. It is linear, and moving its input by one pixel moves
# its output by two, so it *is* a transposed convolution with stride 2. Which one? Send a single lit
# pixel through; what comes out is its stamp, and the stamp is the kernel.

# %%
lit = np.zeros((1, 1, 5, 5))
lit[0, 0, 2, 2] = 1.0
stamp = resize_conv(lit, random_taps)[0, 0]
print("the stamp reaches over rows", np.flatnonzero(stamp.any(axis=1)))
kernel_4 = stamp[3:7, 3:7]

some_map = rng.normal(size=(1, 1, 5, 5))
as_transposed = ops.conv_transpose2d(some_map, kernel_4[None, None], stride=2, padding=1)
assert np.allclose(as_transposed, resize_conv(some_map, random_taps))
print("its class sums:\n", class_sums(kernel_4, 2).round(6))
assert np.allclose(class_sums(kernel_4, 2), random_taps.sum())

# %% [markdown]
# Its kernel is 4 × 4 and its four class sums are equal, always: each is the sum of the nine taps.
# Nine numbers can be chosen instead of 16, and whatever you choose, no grid is drawn on grey.
#
# ## 6. Does training take the grid away?
#
# Nothing forbids a transposed convolution to *learn* equal class sums. Does it? Two layers enlarge
# drawings from 8 × 8 to 32 × 32 pixels; between them are 8 [channels](../docs/glossary.md#channel)
# and a [ReLU](../docs/glossary.md#relu) (negative numbers become 0). We train such networks with
# kernel 3, with kernel 4 and with resize-convolution to restore the drawing, as in section 7 of
# notebook 4: each step compares 16 drawings with the true ones. Each of the three is trained twice,
# from two different sets of random taps (two [seeds](../docs/glossary.md#seed) of the random
# numbers). As we go we show each an even grey and measure the grid in its answer. The two layers
# enlarge 4 times, so there are 4 × 4 classes of pixels. We take the mean of each class, and of
# these 16 means the standard deviation as a share of their root mean square. 0 is an even grey, 1
# is nothing but grid.


# %%
def greys(split, count):
    """Drawn pictures as grey values from 0 to 1: (count, 1, 32, 32)."""
    drawn = data.Shapes(split, length=count, size=32, difficulty="easy")
    images = np.array([drawn[i][0].mean(axis=2) for i in range(count)])[:, None] / 255
    return images.astype(np.float32)


def enlarging(kind, channels_in, channels_out):
    """One step from n x n to 2n x 2n."""
    if kind == "resize":
        convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        return [nn.Upsample(scale_factor=2, mode="nearest"), convolution]
    extra = {"stride": 2, "padding": 1, "output_padding": 1 if kind == 3 else 0}
    return [nn.ConvTranspose2d(channels_in, channels_out, kind, **extra)]


def grid_in_grey(network):
    """How much grid the network draws over an even grey: from 0 to 1."""
    grey = np.full((1, 1, 16, 16), 0.5, np.float32)
    answer = network(Tensor(grey)).numpy()[0, 0, 8:-8, 8:-8]
    means = np.array([answer[a::4, b::4].mean() for a in range(4) for b in range(4)])
    return float(means.std() / np.sqrt((means**2).mean()))


seen, unseen = greys("train", 128), greys("val", 32)
means_of_4 = [x.reshape(-1, 1, 8, 4, 8, 4).mean(axis=(3, 5)) for x in (seen, unseen)]
curves, errors, answers = {}, {}, {}
for kind in (3, 4, "resize"):
    for seed in (0, 1):
        md.manual_seed(seed)
        network = nn.Sequential(*enlarging(kind, 1, 8), nn.ReLU(), *enlarging(kind, 8, 1))
        optimiser = optim.Adam(network.parameters(), lr=0.01)
        curves[kind, seed] = [grid_in_grey(network)]
        answers[kind, seed] = [network(Tensor(means_of_4[1])).numpy()]
        for step in range(300):
            batch = slice(16 * (step % 8), 16 * (step % 8) + 16)
            loss = F.mse_loss(network(Tensor(means_of_4[0][batch])), Tensor(seen[batch]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if step % 10 == 9:
                curves[kind, seed].append(grid_in_grey(network))
            if step + 1 in (20, 300):
                answers[kind, seed].append(network(Tensor(means_of_4[1])).numpy())
        errors[kind, seed] = float(np.sqrt(((answers[kind, seed][-1] - unseen) ** 2).mean()))

print("kernel   seed   grid before   after 50 steps   after 300 steps   error on unseen")
for (kind, seed), curve in curves.items():
    print(
        f"{kind!s:8} {seed:4d} {curve[0]:13.3f} {curve[5]:16.3f} {curve[-1]:17.4f}"
        f" {errors[kind, seed]:17.3f}"
    )

# %% tags=["hide-input"]
figure, ax = plt.subplots(figsize=(7.0, 2.8), layout="constrained")
styles = {3: ("#d55e00", "-"), 4: ("#0072b2", "--"), "resize": ("#009e73", "-")}
for (kind, seed), curve in curves.items():
    colour, dashes = styles[kind]
    name = (f"kernel {kind}" if kind != "resize" else "resize-convolution") if seed == 0 else None
    ax.plot(10 * np.arange(len(curve)), curve, dashes, color=colour, label=name)
ax.set(xlabel="training step", ylabel="grid in an even grey", ylim=(-0.02, 1.02))
ax.legend()
show(
    figure,
    alt="The grid in an even grey over 300 training steps, two runs each. Kernel 3 "
    "and kernel 4 start between 0.75 and 1 and fall below 0.1 within 50 steps; resize- "
    "convolution is 0 throughout",
)

# %% [markdown]
# And here is what they draw of a drawing they have not seen (each picture from its darkest to its
# brightest pixel). The odd pixels along the edges are the border, which we leave out when we
# measure.

# %% tags=["hide-input"]
figure, axes = plt.subplots(3, 5, figsize=(7.5, 4.6), layout="constrained")
which = 7
for row, kind in enumerate((3, 4, "resize")):
    images = [means_of_4[1][which, 0], *(a[which, 0] for a in answers[kind, 0]), unseen[which, 0]]
    titles = ["input, 8 × 8", "untrained", "20 steps", "300 steps", "true, 32 × 32"]
    for ax, image, title in zip(axes[row], images, titles, strict=True):
        ax.imshow(image, cmap="gray")
        ax.set(title=title if row == 0 else "", xticks=[], yticks=[])
    axes[row, 0].set_ylabel("resize" if kind == "resize" else f"kernel {kind}")
show(
    figure,
    alt="Three rows, kernel 3, kernel 4 and resize-convolution: the input of 8 by "
    "8, the answer of the untrained network, after 20 and after 300 steps, and "
    "the true drawing. Untrained, the upper two rows show nothing but a grid "
    "and the third a blurred drawing; after 300 steps all three show the "
    "drawing, with soft or blocky edges and odd pixels at the border",
)

# %% [markdown]
# Three findings, and they are not quite what is usually said.
#
# - **At the start, kernel 4 has as much of a grid as kernel 3**, though its counts are even: each
#   single set of random taps has unequal class sums (section 3).
# - **Training takes the grid away**, in this task, whose loss compares every pixel of every drawing.
#   What is left after 300 steps is about a hundredth of the grey.
# - **Resize-convolution has none at any time**, not even untrained. (Where the drawing changes you
#   can see blocks of repeated pixels; the rule is about even grey.) In the end all three make about
#   the same error.
#
# With a task in which a grid costs little, or a short training, more of it may stay. Do not trust
# the rule; measure: send a grey through *your* network.
#
# ## 7. The same grid in gradients
#
# A [loss](../docs/glossary.md#loss) is one number that says how wrong a network's answer is. Its
# gradient with respect to a picture says for each pixel how the loss changes when the pixel
# changes. If the picture goes through a convolution, the gradient comes back through the transposed
# convolution with the same kernel and stride ([notebook 7](07_backward_of_convolution.ipynb)). So a
# *convolution* with stride 2 and kernel 3, a layer that only makes things smaller, has the grid in
# its gradients: a pixel that four windows see gets four contributions, one that a single window
# sees gets one. Max pooling, which passes on the largest number of each window, sends the gradient
# to that number's pixel alone.
#
# Below: random pictures, random kernels, random gradients at the output. The upper row is one case
# (the size of the gradient, without its sign), the lower row the mean of the squares over 400;
# yellow is much. In the code the 400 pictures are the [channels](../docs/glossary.md#channel) of
# one image, and `groups=400` keeps them apart ([notebook
# 2](02_stride_padding_dilation_groups.ipynb)).

# %%
pictures = rng.normal(size=(1, 400, 33, 33))
squares = {}
for kind, side, stride in (
    ("conv", 3, 2),
    ("conv", 4, 2),
    ("conv", 3, 1),
    ("max pool", 2, 2),
    ("max pool", 3, 2),
):
    x = Tensor(pictures, requires_grad=True)
    kernels = Tensor(rng.normal(size=(400, 1, side, side)))  # a kernel for each picture
    if kind == "conv":
        out = F.conv2d(x, kernels, stride=stride, groups=400)
    else:
        out = F.max_pool2d(x, side, stride=stride)
    out.backward(rng.normal(size=out.shape))  # the gradient at the output, sent back to x
    squares[f"{kind} {side}, stride {stride}"] = x.grad.numpy()[0] ** 2  # (400, 33, 33)

# %% tags=["hide-input"]
figure, axes = plt.subplots(2, 5, figsize=(7.5, 3.5), layout="constrained")
for column, (name, square) in enumerate(squares.items()):
    single, average = square[0, 8:20, 8:20], square.mean(axis=0)[8:20, 8:20]
    axes[0, column].imshow(np.sqrt(single), cmap="cividis", vmin=0)
    axes[1, column].imshow(average / average.mean(), cmap="cividis", vmin=0, vmax=2)
    axes[0, column].set(title=name.replace(", ", ",\n"), xticks=[], yticks=[])
    axes[1, column].set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("one case")
axes[1, 0].set_ylabel("mean of 400")
show(
    figure,
    alt="Gradients at the picture for five layers, one case above, the mean of 400 "
    "below. Convolution with kernel 3 and stride 2: a grid in the mean. Kernel "
    "4, and stride 1: none in the mean. Max pooling of 2 by 2: single scattered "
    "pixels above, even below. Max pooling of 3 by 3 with stride 2: scattered "
    "pixels above, a grid below",
)
for name, square in squares.items():
    average = square.mean(axis=0)[8:20, 8:20]
    classes = [average[a::2, b::2].mean() for a in range(2) for b in range(2)]
    print(f"{name:22s} largest : smallest class {max(classes) / min(classes):5.2f}")

# %% [markdown]
# - Convolutions: a grid where the stride does not divide the kernel, as in section 2, and now in a
#   layer that enlarges nothing.
# - Max pooling of 2 × 2: no window overlaps another. One case is a rough scatter, three of four
#   pixels get nothing, but no place is preferred on average. Max pooling of 3 × 3 with stride 2: a
#   pixel in the overlap of windows has more chances to win, and the grid is back.
#
# Whoever draws gradients to see what a network looks at ([notebook 14](14_looking_inside.ipynb))
# sees these grids, and they say something about the layers, not about the picture.
#
# ## Break it
#
# The kernel of a resize-convolution has equal class sums. Change a single tap and see. Set
# `NUDGE[1, 1] = 0.3` and run the cell and the figure below it. Then find *another* tap, and a number for it, with which the
# grid goes away although the kernel is still changed.

# %%
NUDGE = np.zeros((4, 4))
NUDGE[1, 1] = 0.0

changed = kernel_4 + NUDGE
out = ops.conv_transpose2d(grey, changed[None, None], stride=2, padding=1)[0, 0, 2:-2, 2:-2]
print("class sums:\n", class_sums(changed, 2).round(3))
print(f"grey becomes numbers from {out.min():.3f} to {out.max():.3f}")
print("even" if np.allclose(out, out[0, 0]) else "a grid")

# %% tags=["hide-input"]
figure, ax = plt.subplots(figsize=(2.6, 2.6), layout="constrained")
centre = random_taps.sum()
ax.imshow(out, cmap="cividis", vmin=centre - 0.5, vmax=centre + 0.5)
ax.set(title="grey in, this out", xticks=[], yticks=[])
show(
    figure,
    alt="The output for an even grey input: one colour while NUDGE is zero, a grid otherwise",
)

# %% [markdown]
# A larger tap makes the sum of its class larger: every second pixel of every second row stands out.
# A tap of the *same class* (two rows or two columns further) that is made smaller by as much puts the sum
# right again. The grid is a matter of four sums, not of single taps.
#
# ## What the paper says
#
# - [Odena, Dumoulin and Olah, "Deconvolution and checkerboard artifacts" (Distill,
#   2016)](https://distill.pub/2016/deconv-checkerboard/), is the source of this notebook: overlap
#   along one axis and in two, several layers, resize-convolution, and the grid in gradients.
#   Our sections 1, 2, 4, 5 and 7 show with numbers what it shows with pictures.
# - We differ in three places. We state the rule in class sums, of which the counts are the case of
#   ones. We show that resize-convolution is one of the transposed convolutions. And they show grids
#   in pictures from trained generative networks (networks that make up pictures); ours has a true
#   drawing to compare every pixel with, and there training removes them.
# - [Noh, Hong and Han (2015)](https://arxiv.org/abs/1505.04366): the deconvolution layers of
#   [DeconvNet](../docs/glossary.md#deconvnet) have stride 1. One divides every kernel, so their
#   stamps overlap evenly. The uneven thing there is [unpooling](../docs/glossary.md#unpooling),
#   which fills one pixel of four ([notebook 8](08_pooling_switches_unpooling.ipynb)).
# - [Long, Shelhamer and Darrell (2015)](https://arxiv.org/abs/1411.4038) enlarge with kernels of
#   twice the stride, which start as [bilinear
#   interpolation](../docs/glossary.md#bilinear-interpolation): exercise 3.
# - [Aitken and others (2017)](https://arxiv.org/abs/1707.02937) start sub-pixel convolutions so
#   that no grid is there at first: exercise 2.
#
# ## Exercises
#
# **1.** With [dilation](../docs/glossary.md#dilation) 2 the taps of a kernel lie two pixels apart.
# What are the counts for kernel 3, stride 2 and dilation 2? And with stride 1? (Along one axis:
# `ops.conv_transpose2d` takes `dilation=(1, 2)` as it takes `stride=(1, 2)`.)
#
# <details><summary>Answer</summary>
#
# ```python
# row, three = np.ones((1, 1, 1, 8)), np.ones((1, 1, 1, 3))
# apart = ops.conv_transpose2d(row, three, stride=(1, 2), dilation=(1, 2)).ravel()
# assert apart[4:9].tolist() == [3, 0, 3, 0, 3]  # all three taps are in one class
# dense = ops.conv_transpose2d(row, three, stride=1, dilation=(1, 2)).ravel()
# assert dense[4:8].tolist() == [3, 3, 3, 3]
# ```
#
# With stride 2 every second pixel stays empty: dilation and stride share the factor 2. With stride
# 1 there is one class only.
# </details>
#
# **2.** A sub-pixel convolution computes $s^2$ ordinary convolutions and interleaves their results
# (notebook 5, exercise 2). How can its taps start so that it draws no grid?
#
# <details><summary>Answer</summary>
#
# ```python
# part = rng.normal(size=(3, 3))  # the same taps for all four convolutions
# woven_kernel = part.repeat(2, axis=0).repeat(2, axis=1)  # 6 x 6: each class holds these taps
# assert np.allclose(class_sums(woven_kernel, 2), part.sum())
# x = rng.normal(size=(1, 1, 5, 5))
# woven = ops.conv_transpose2d(x, woven_kernel[None, None], stride=2)
# small = ops.conv_transpose2d(x, part[None, None])
# assert np.allclose(woven, small.repeat(2, axis=2).repeat(2, axis=3))
# ```
#
# Give all four convolutions the same taps. Then it is a convolution followed by a repetition of
# pixels. (Equal sums are enough for an even grey.) Training may change them later.
# </details>
#
# **3.** [FCN](../docs/glossary.md#fcn) enlarges with a kernel of `2 s` taps, $1 - |t|$ with t the
# distance from the middle in steps of the stride. Show that its class sums are 1 for strides 2, 4
# and 8.
#
# <details><summary>Answer</summary>
#
# ```python
# for s in (2, 4, 8):
#     t = (np.arange(2 * s) - (2 * s - 1) / 2) / s
#     tent = 1 - abs(t)
#     assert np.allclose(class_sums(np.outer(tent, tent), s), 1.0)
# ```
#
# Two taps in each class, $1 - t$ and $t$: grey stays grey, and between two pixels the values go
# over evenly.
# </details>
#
# ## In the library
#
# - [`minideconv.visualize.figures.overlap.overlap_counts`](../minideconv/visualize/figures/overlap.py#L28):
#   the counts, as one call of `col2im` with ones;
# - [`minideconv.ops.im2col.col2im`](../minideconv/ops/im2col.py#L231): the addition that makes them
#   uneven;
# - [`minideconv.ops.interpolate.interpolation_matrix`](../minideconv/ops/interpolate.py#L55):
#   resizing by the nearest pixel, bilinear and bicubic, as matrices;
# - [`minideconv.nn.init.bilinear_`](../minideconv/nn/init.py#L243): the taps of exercise 3.
#
# Next: [7: backward of convolution](07_backward_of_convolution.ipynb), where the transpose turns up
# by itself.
