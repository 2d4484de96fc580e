"""What VGG-16's units look at: ``python -m benchmarks.inside DIR --output FILE.png``

DIR is a folder in PASCAL VOC's layout. For some units of five layers, the nine photographs that
excite each most are found, and their activations projected back to the pixels. The picture shows
the projections alone, no part of a photograph, so that it may go where the data set may not; a JSON
file of the same name has the facts. Photographs with people are left out, as a projection can draw
a face. Units of a layer are evenly spread over it, whatever they show.
Below these there is, for each of the classes that most photographs show, the unit of conv5_3 whose
peaks are most often on that class, by the masks: how many of nine is a fact, and is written down.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from minideconv.backend import as_device
from minideconv.data.resize import resize_mask
from minideconv.data.shard import spread
from minideconv.data.voc import VOCSegmentation
from minideconv.data.voc_colors import VOC_CLASSES
from minideconv.errors import UsageError
from minideconv.settings import command_line
from minideconv.training.computing import computing
from minideconv.training.run.subject import load_subject
from minideconv.visualize.boards import board, titled
from minideconv.visualize.receptive_field import Box
from minideconv.visualize.subject import Subject
from minideconv.visualize.unit_boards import (
    Peak,
    Projection,
    facts,
    nine,
    peaks_of_layers,
    project_peak,
    projection_cells,
)

__all__ = ["Found", "by_class", "draw", "find", "main", "middle", "table"]

Say = Callable[[str], None]
"""Shows how far the work is."""

LAYERS = {
    "conv1_2": (8, 50),
    "conv2_2": (7, 56),
    "conv3_3": (5, 80),
    "conv4_3": (4, 92),
    "conv5_3": (4, 98),
}
"""How many units of a layer are shown, and the pixels of a projection's side: its receptive field
(5, 14, 40 and 92 pixels) in whole steps; of the last layer's 196 pixels the middle."""
LAST = "conv5_3"
CLASSES, _IN_A_ROW = 8, 4
OFTEN = 7
"""Peaks of nine on a class from which on a unit counts as one for the class."""
_COLOURS, _PERSON = 255, VOC_CLASSES.index("person")


@dataclass(frozen=True)
class Found:
    """What photographs excite.

    Attributes
    ----------
    best : dict of str to list of list of Peak
        For each layer and each of its units the nine largest peaks.
    squares, masks : dict of str to array
        What the network sees of a photograph, by name: (S, S, 3) uint8, and its mask (S, S).
    """

    best: dict[str, list[list[Peak]]]
    squares: dict[str, Any]
    masks: dict[str, Any]


def find(subject: Subject, data: VOCSegmentation, limit: int | None, say: Say = print) -> Found:
    """Look at photographs without people: all, or those of `limit` spread evenly over the list."""
    chosen = spread(len(data), limit or len(data))
    found = Found({}, {}, {})
    for done, index in enumerate(chosen):
        if done % 20 == 0:
            say(f"{done} of {len(chosen)} photographs")
        photograph, mask = data[index]
        if (mask == _PERSON).any():
            continue
        name = data.name(index)
        found.squares[name] = subject.square(photograph)
        found.masks[name] = _seen(mask, subject.input_size)
        for layer, peaks in peaks_of_layers(subject, found.squares[name], [*LAYERS], name).items():
            kept = found.best.setdefault(layer, [[] for _ in peaks])
            for peak in peaks:
                kept[peak.unit] = nine([*kept[peak.unit], peak])
    return found


def draw(
    subject: Subject, found: Found, rule: str, say: Say = print
) -> tuple[Image.Image, dict[str, Any]]:
    """Return the picture, and what its parts are; `rule` is that of the ReLUs."""
    about: dict[str, Any] = {"layers": {}}
    shares: list[float] = []

    def shown(layer: str, unit: int, heading: str) -> tuple[Any, dict[str, Any]]:
        side, projections = LAYERS[layer][1], []
        for peak in found.best[layer][unit]:
            square = found.squares[peak.photograph]
            projection = project_peak(subject, square, layer, peak, rule)
            if layer == LAST:
                projection, share = middle(projection, subject.input_size, side)
                shares.append(share)
            projections.append(projection)
        return titled(heading, projection_cells(projections, side)), facts(projections)

    rows = []
    for layer, (count, _) in LAYERS.items():
        units = spread(len(found.best[layer]), count)
        cells, texts = zip(*(shown(layer, unit, f"unit {unit}") for unit in units), strict=True)
        rows.append(titled(layer, board([cells])))
        about["layers"][layer] = list(texts)
        say(f"{layer} is projected")
    cells, about["classes"] = [], by_class(subject.input_size, found)
    for name, fact in about["classes"].items():
        picture, text = shown(
            LAST, fact["unit"], f"{name}: unit {fact['unit']}, {fact['hits']} of 9"
        )
        cells.append(picture)
        fact["peaks"] = text["peaks"]
    lines = [cells[at : at + _IN_A_ROW] for at in range(0, len(cells), _IN_A_ROW)]
    rows.append(titled(f"{LAST}, the unit whose peaks are most often on a class", board(lines)))
    sheet = Image.fromarray(board([[row] for row in rows]))
    palette = sheet.quantize(_COLOURS, method=Image.Quantize.MAXCOVERAGE)
    few = sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    known = {"date": date.today().isoformat(), "photographs": len(found.squares), "rule": rule}
    known |= {"input_size": subject.input_size, "in_the_middle": round(float(np.mean(shares)), 4)}
    return few, {**known, **about}


def middle(projection: Projection, size: int, side: int) -> tuple[Projection, float]:
    """Return what is around the unit, (side, side) at most, and which share of its squares that is.

    The signal of a deep unit fades towards the border of its receptive field.
    """
    box, (row, column) = projection.box, _pixel(projection.peak, size)
    cut = Box(
        max(box.top, row - side // 2),
        max(box.left, column - side // 2),
        min(box.bottom, row + side // 2 - 1),
        min(box.right, column + side // 2 - 1),
    )
    rows = slice(cut.top - box.top, cut.bottom + 1 - box.top)
    columns = slice(cut.left - box.left, cut.right + 1 - box.left)
    inside, whole = projection.colours[rows, columns], projection.colours
    total = float((whole.astype(np.float64) ** 2).sum())
    share = float((inside.astype(np.float64) ** 2).sum()) / total if total else 1.0
    return replace(
        projection, box=cut, colours=inside, patch=projection.patch[rows, columns]
    ), share


def _pixel(peak: Peak, size: int) -> tuple[int, int]:
    """Return the pixel in the middle of what a unit of `LAST` sees."""
    side = size >> 4  # of its map
    row, column = ((2 * at + 1) * size // (2 * side) for at in peak.place)
    return row, column


def _seen(mask: Any, size: int) -> Any:
    """Return the mask of the square that the network sees: the largest in the middle."""
    side = min(mask.shape)
    top, left = ((length - side) // 2 for length in mask.shape)
    return resize_mask(mask[top : top + side, left : left + side], (size, size))


def by_class(size: int, found: Found) -> dict[str, dict[str, Any]]:
    """Return for the classes on most photographs the unit of `LAST` with most peaks on each.

    Of units with equally many, the one with the largest mean activation.
    """
    units = found.best[LAST]
    hits = np.zeros((len(units), len(VOC_CLASSES)), np.int64)
    for unit, peaks in enumerate(units):
        for peak in peaks:
            label = found.masks[peak.photograph][_pixel(peak, size)]
            if label < len(VOC_CLASSES):
                hits[unit, label] += 1
    strength = [float(np.mean([peak.value for peak in peaks])) for peaks in units]
    shown = np.array([np.bincount(m.ravel(), minlength=256) for m in found.masks.values()])
    photographs, pixels = (shown > 0).sum(axis=0), shown.sum(axis=0)
    labels = sorted(range(1, len(VOC_CLASSES)), key=lambda label: -photographs[label])[:CLASSES]
    about = {}
    for label in labels:
        unit = max(range(len(units)), key=lambda at: (hits[at, label], strength[at]))
        about[VOC_CLASSES[label]] = {
            "photographs": int(photographs[label]),
            "share_of_pixels": round(float(pixels[label] / pixels.sum()), 4),
            "unit": unit,
            "hits": int(hits[unit, label]),
            "units_with_many": int((hits[:, label] >= OFTEN).sum()),
        }
    return about


def table(about: dict[str, Any]) -> str:
    """Return what is known of the classes' units, as Markdown."""
    rows = [["class", "photographs with it", "share of pixels", "unit", "peaks on it, of 9"]]
    rows[0].append(f"units with {OFTEN} or more")
    rows.append(["---", *["---:"] * 5])
    for name, fact in about["classes"].items():
        share = f"{100 * fact['share_of_pixels']:.1f} %"
        numbers = fact["photographs"], share, fact["unit"], fact["hits"], fact["units_with_many"]
        rows.append([name, *map(str, numbers)])
    lines = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return (
        f"{lines}\nMade on {about['date']} of {about['photographs']} photographs. Of the squares of"
        f" {LAST}'s signals {100 * about['in_the_middle']:.0f} % are in the middle that is shown.\n"
    )


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.inside",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="DIR", help="a folder in VOC's layout")
    parser.add_argument("--output", metavar="FILE.png", type=Path, required=True)
    parser.add_argument("--weights", metavar="FILE|NAME", default="vgg16-trunk-onnx")
    parser.add_argument("--split", default="trainval", metavar="NAME", help="image list [trainval]")
    parser.add_argument("--limit", type=command_line.positive, metavar="N", help="images [all]")
    parser.add_argument("--size", type=command_line.positive, metavar="PIXELS", default=224)
    parser.add_argument("--rule", choices=("deconvnet", "guided", "gradient"), default="guided")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    given = _parser().parse_args(arguments)
    if given.output.suffix != ".png":
        raise UsageError(f"--output is {given.output}; its name must end in .png")
    if not given.output.parent.is_dir():
        raise UsageError(f"--output {given.output}: there is no folder {given.output.parent}")
    device = as_device("cpu")
    with computing(device, 0, None):
        subject = replace(load_subject(given.weights, device), input_size=given.size)
        data = VOCSegmentation(given.folder, given.split)
        found = find(subject, data, given.limit)
        picture, about = draw(subject, found, given.rule)
    picture.save(given.output, optimize=True)
    text = json.dumps({"weights": given.weights, **about}, indent=1) + "\n"
    given.output.with_suffix(".json").write_text(text, encoding="utf-8")
    print(f"{about['photographs']} photographs, {given.output}")
    return 0


if __name__ == "__main__":
    sys.exit(command_line.run_program("benchmarks.inside", main, sys.argv[1:]))
