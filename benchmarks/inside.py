"""What VGG-16's units look at: ``python -m benchmarks.inside DIR --output FILE.png``

DIR is a folder in PASCAL VOC's layout. For some units of five layers, the nine photographs that
excite each most are found, and their activations projected back to the pixels. The picture shows
the projections alone, no part of a photograph, so that it may go where the data set may not; a JSON
file of the same name has the facts. Units of the first four layers are evenly spread over the
layer, whatever they show. Of conv5_3, for each of some classes, it is the unit whose peaks are most
often on that class, by the masks: how many of nine is a fact, and is written down.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
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
from minideconv.visualize.subject import Subject
from minideconv.visualize.unit_boards import (
    Peak,
    facts,
    nine,
    peaks_of_layers,
    project_peak,
    projection_cells,
)

__all__ = ["main", "make"]

LAYERS = ("conv1_2", "conv2_2", "conv3_3", "conv4_3")
LAST = "conv5_3"
CLASSES = ("dog", "cat", "sheep", "person", "car", "bird")
_SIDE = 60  # pixels of a projection
_COLOURS = 255


def make(
    subject: Subject, data: Any, limit: int | None, rule: str, say: Any = print
) -> tuple[Image.Image, dict[str, Any]]:
    """Return the picture, and what its parts are.

    Parameters
    ----------
    subject : Subject
    data : VOCSegmentation
    limit : int, optional
        So many photographs, spread evenly over the list.
    rule : str
        Of the ReLUs.
    say : callable
        Shows how far it is.
    """
    chosen = spread(len(data), limit or len(data))
    best: dict[str, list[list[Peak]]] = {}
    squares: dict[str, Any] = {}
    masks: dict[str, Any] = {}
    for done, index in enumerate(chosen):
        photograph, mask = data[index]
        name = data.name(index)
        squares[name] = subject.square(photograph)
        masks[name] = _seen(mask, subject.input_size)
        found = peaks_of_layers(subject, squares[name], [*LAYERS, LAST], name)
        for layer, peaks in found.items():
            kept = best.setdefault(layer, [[] for _ in peaks])
            for peak in peaks:
                kept[peak.unit] = nine([*kept[peak.unit], peak])
        if done % 20 == 0:
            say(f"{done} of {len(chosen)} photographs")
    picked = {layer: spread(len(best[layer]), len(CLASSES)) for layer in LAYERS}
    on_class = _by_class(subject, best[LAST], masks)
    picked[LAST] = [unit for unit, _ in on_class.values()]
    rows, about = [], {}
    for layer, units in picked.items():
        cells, texts = [], []
        for at, unit in enumerate(units):
            projections = [
                project_peak(subject, squares[peak.photograph], layer, peak, rule)
                for peak in best[layer][unit]
            ]
            heading, fact = f"unit {unit}", facts(projections)
            if layer == LAST:
                name, (_, count) = list(on_class.items())[at]
                heading += f": {name} {count} of {len(projections)}"
                fact |= {"class": name, "peaks_on_it": count}
            cells.append(titled(heading, projection_cells(projections, _SIDE)))
            texts.append(fact)
        rows.append(titled(layer, board([cells])))
        about[layer] = texts
        say(f"{layer} is projected")
    sheet = Image.fromarray(board([[row] for row in rows]))
    palette = sheet.quantize(_COLOURS, method=Image.Quantize.MAXCOVERAGE)
    few = sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    known = {"date": date.today().isoformat(), "photographs": len(chosen), "rule": rule}
    return few, {**known, "input_size": subject.input_size, "layers": about}


def _seen(mask: Any, size: int) -> Any:
    """Return the mask of the square that the network sees: the largest in the middle."""
    side = min(mask.shape)
    top, left = ((length - side) // 2 for length in mask.shape)
    return resize_mask(mask[top : top + side, left : left + side], (size, size))


def _by_class(
    subject: Subject, units: Sequence[Sequence[Peak]], masks: dict[str, Any]
) -> dict[str, tuple[int, int]]:
    """Return for each class the unit with most peaks on it, and how many those are.

    Of units with equally many, the one with the largest mean activation.
    """
    side = subject.input_size >> 4  # of conv5_3's map
    hits = np.zeros((len(units), len(VOC_CLASSES)), np.int64)
    for unit, peaks in enumerate(units):
        for peak in peaks:
            row, column = ((2 * at + 1) * subject.input_size // (2 * side) for at in peak.place)
            label = masks[peak.photograph][row, column]
            if label < len(VOC_CLASSES):
                hits[unit, label] += 1
    strength = [float(np.mean([peak.value for peak in peaks])) for peaks in units]
    found = {}
    for name in CLASSES:
        label = VOC_CLASSES.index(name)
        unit = max(range(len(units)), key=lambda at: (hits[at, label], strength[at]))
        found[name] = unit, int(hits[unit, label])
    return found


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
        picture, about = make(subject, data, given.limit, given.rule)
    picture.save(given.output, optimize=True)
    text = json.dumps({"weights": given.weights, **about}, indent=1) + "\n"
    given.output.with_suffix(".json").write_text(text, encoding="utf-8")
    print(f"{about['photographs']} photographs, {given.output}")
    return 0


if __name__ == "__main__":
    sys.exit(command_line.run_program("benchmarks.inside", main, sys.argv[1:]))
