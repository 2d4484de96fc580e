"""The gallery: one picture of each kind, and the code that made it, run here.

Each entry is a heading, a sentence, the code, and the alt text; the code leaves a picture in
`picture`. The page is made of these and of gallery_page.md, so code and picture cannot part.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pages import DOCS, write

from minideconv.visualize.animation.files import animation_gif, animation_page
from minideconv.visualize.animation.frames import frames
from minideconv.visualize.animation.geometry import geometry
from minideconv.visualize.figures.picture import Picture
from minideconv.visualize.figures.svg import svg_text

__all__ = ["ENTRIES", "Entry", "draw", "page", "write_all"]


@dataclass(frozen=True)
class Entry:
    """One picture of the gallery."""

    name: str
    title: str
    text: str
    code: str
    alt: str


ENTRIES = [
    Entry(
        "matrix",
        "A convolution is a matrix",
        "One row per output pixel, one column per image pixel; a number is the name of a tap.",
        "picture = visualize.tap_matrix(size=(4, 4), kernel=3)",
        "A matrix of 4 rows and 16 columns: each row holds the taps 1 to 9 in three groups, each"
        " row shifted to other columns",
    ),
    Entry(
        "row",
        "A row is a window",
        "What output pixel 2 multiplies, in the matrix and on the image.",
        "picture = visualize.lit_matrix(size=(4, 4), kernel=3, output=2)",
        "The same matrix with row 2 framed, and beside it the image on which the nine taps of that"
        " row cover the lower left 3 by 3 pixels",
    ),
    Entry(
        "column",
        "A column of the transpose is a stamp",
        "The same numbers, read the other way: what a transposed convolution lays down for"
        " pixel 1.",
        "picture = visualize.lit_matrix(size=(1, 7), kernel=(1, 3), stride=(1, 2), output=1,"
        " transpose=True)",
        "A matrix of 7 rows and 3 columns with the taps 1, 2, 3 in each column, two rows lower"
        " every time; column 1 is framed, and beside it stands the stamp",
    ),
    Entry(
        "stamps",
        "Four stamps become one sum",
        "Every input pixel lays down the kernel, multiplied by the pixel; where stamps overlap the"
        " numbers add up.",
        "x = np.array([[1, 2], [3, 4]])\n"
        "kernel = np.array([[1, 2, 1], [2, 3, 2], [1, 2, 1]])\n"
        "picture = visualize.stamps(x, kernel, stride=2)",
        "An input of 2 by 2 coloured pixels; four translucent squares of 3 by 3 in these colours,"
        " which overlap in a cross; and the 5 by 5 sums",
    ),
    Entry(
        "stuffing",
        "The same by zero-stuffing",
        "Zeros between and around the pixels, then a convolution with the kernel turned by 180"
        " degrees. `output_padding` adds zeros at one end, before the convolution.",
        "x = np.array([[1, 2], [3, 4]])\n"
        "kernel = np.arange(1, 10).reshape(3, 3)\n"
        "picture = visualize.zero_stuffing(x, kernel, stride=2, padding=1, output_padding=1)",
        "The four input pixels on a 6 by 6 plane of zeros, the last row and column of which are"
        " marked as output_padding; the turned kernel; the 4 by 4 result",
    ),
    Entry(
        "overlap",
        "Overlap counts",
        "How many stamps lie on each pixel, along one axis. They are even inside just where the"
        " stride divides the kernel; elsewhere lies a checkerboard.",
        "picture = visualize.overlap_grid(kernels=(2, 3, 4, 5), strides=(1, 2, 3))",
        "Rows of counts for kernels 2 to 5 and strides 1 to 3: even for 2 and 4 at stride 2 and"
        " for 3 at stride 3, alternating for 3 and 5 at stride 2",
    ),
    Entry(
        "overlap-map",
        "Overlap counts on an image",
        "Both axes multiply.",
        "counts = visualize.overlap_counts(size=9, kernel=3, stride=2)\n"
        "picture = visualize.overlap_map(counts)",
        "A 9 by 9 image of counts 1, 2 and 4 that form a checkerboard",
    ),
    Entry(
        "switches",
        "Switches",
        "The winner of each window, the pooled map, and the unpooled one, where what lost is grey.",
        "plane = np.random.default_rng(0).integers(0, 10, (6, 6))\n"
        "picture = visualize.switch_map(plane, kernel_size=2)",
        "6 by 6 numbers in windows of 2 by 2 with a circle around each largest; the 3 by 3 maxima;"
        " and the plane in which they stand in their circles again",
    ),
    Entry(
        "switches-drawing",
        "Switches on a picture",
        "The same on a drawing's brightness.",
        'image, _ = data.Shapes("val", size=64)[1]\n'
        "picture = visualize.switch_map(image.mean(axis=2)[8:40, 8:40], kernel_size=2)",
        "A part of a drawing with a red dot at the brightest pixel of each window, its pooled"
        " version, and the unpooled one, three quarters of which are empty",
    ),
    Entry(
        "strip",
        "Feature maps",
        "The most active map of some layers of an untrained network.",
        "md.manual_seed(0)\n"
        "net = md.models.deconvnet(num_classes=4, width=8, input_size=32, fc=16, stages=2)\n"
        'image, _ = data.Shapes("val", size=32)[1]\n'
        'x = image.transpose(2, 0, 1)[None].astype("float32") / 255\n'
        "maps = net.eval().activations(x)\n"
        'names = ["conv1_2", "pool1", "pool2", "fc7", "unpool2", "deconv2_1", "unpool1",'
        ' "deconv1_1"]\n'
        "picture = visualize.feature_strip({name: maps[name][0] for name in names})",
        "Eight maps of layers from conv1_2 of 32 by 32 pixels down to fc7 of one pixel and up to"
        " deconv1_1 of 32 by 32 again",
    ),
    Entry(
        "overlay",
        "A mask with its legend",
        "The classes that are there, by name.",
        'scenes = data.Shapes("val", size=96)\n'
        "image, mask = scenes[1]\n"
        "picture = visualize.mask_overlay(image, mask, scenes.classes)",
        "A drawing with its shapes tinted in the colours of their classes, and a legend of the"
        " classes that are in it",
    ),
    Entry(
        "curves",
        "Curves of a training",
        "Lines have names beside them, and every second one is dashed.",
        "steps = np.arange(0, 141, 5)\n"
        "train = list(zip(steps, 2 / (1 + steps / 30)))\n"
        "validation = list(zip(steps[::4], 2.2 / (1 + steps[::4] / 40)))\n"
        "picture = visualize.training_curves(\n"
        '    {"train": train, "validation": validation}, y_axis="cross entropy (made up)"\n)',
        "Two falling curves over 140 steps, a full line for training below a dashed one for"
        " validation",
    ),
    Entry(
        "graph",
        "The graph of a computation",
        "Operations with shapes; values and gradients of leaves and of named results. Red arrows:"
        " a result that is used more than once, where gradients add up.",
        "x = md.Tensor([[1.0, -2.0], [3.0, 0.5]], requires_grad=True)\n"
        "w = md.Tensor([[1.0], [2.0]], requires_grad=True)\n"
        "h = x @ w\n"
        "h.retain_grad()\n"
        "loss = (F.relu(h) * h).sum() + (w**2).sum()\n"
        "loss.backward(retain_graph=True)\n"
        'picture = visualize.graph(loss, names={"x": x, "w": w, "h": h, "loss": loss})',
        "A graph from the leaves x and w through matmul, relu, mul and two sums to the loss, with"
        " the gradient of each leaf in its box",
    ),
]

_PAGE = Path(__file__).with_name("gallery_page.md")
_HERE = "<!-- pictures -->\n"


def draw(entry: Entry) -> Picture:
    """Return the picture that an entry's code makes."""
    import numpy as np

    import minideconv as md
    from minideconv import data, visualize
    from minideconv import functional as F

    names: dict[str, object] = {"np": np, "md": md, "data": data, "F": F, "visualize": visualize}
    exec(compile(entry.code, f"gallery: {entry.name}", "exec"), names)
    picture = names["picture"]
    assert isinstance(picture, Picture), entry.name
    return picture


def page() -> str:
    """Return the gallery as Markdown."""
    parts = []
    for entry in ENTRIES:
        parts.append(
            f"## {entry.title}\n\n{entry.text}\n\n```python\n{entry.code}\n```\n\n"
            f"![{entry.alt}](generated/gallery-{entry.name}.svg)\n"
        )
    return _PAGE.read_text(encoding="utf-8").replace(_HERE, "\n".join(parts))


def write_all() -> None:
    """Write the page and its pictures."""
    folder = DOCS / "generated"
    for entry in ENTRIES:
        write(folder / f"gallery-{entry.name}.svg", svg_text(draw(entry), entry.alt))
    for name, case in (
        ("conv", geometry("conv", 5, 3, 2, 1)),
        ("stamps", geometry("conv_transpose", 3, 3, 2, 1, output_padding=1)),
    ):
        shown = frames(case)
        (folder / f"gallery-{name}.gif").write_bytes(animation_gif(shown))
        write(folder / f"gallery-{name}.html", animation_page(shown, case.title))
    write(DOCS / "gallery.md", page())
