"""Masks side by side in one picture: ``python -m benchmarks.gallery RUN RUN --output FILE.png``

A line for each photograph: each network's mask, that of all together, and this one behind a CRF;
their names are above. The options of inference are those of `minideconv.evaluate`.
``--photographs DIR`` segments the pictures of a folder and shows them in front of their masks.
Without it the networks' own validation set is segmented: images spread evenly over its list,
whatever came out, and none of them is shown, so that the picture may go where the data set may not.
Beside the picture a JSON file of the same name says which classes have 1 % of each mask's pixels
or more and, where there is a truth, each image's own mean IoU.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from minideconv import tasks
from minideconv.compare.members import load_members
from minideconv.data.pictures import picture_files, read_image
from minideconv.data.resize import resize_mask
from minideconv.data.shard import spread
from minideconv.data.voc_colors import colorize
from minideconv.errors import UsageError
from minideconv.segmentation import ConfusionMatrix, all_maps
from minideconv.settings import command_line
from minideconv.settings.options import add_options, given_options
from minideconv.tasks.segmentation.inference import SegmentationInference
from minideconv.training.run.evaluation_data import evaluation_data
from minideconv.visualize.boards import board, fit, png_bytes, title

__all__ = ["main", "make"]

_SIDE, _SIDE_SHOWN = 112, 150
_LEAST = 0.01
"""Share of an image's pixels from which on a class is named."""


def make(
    runs: Sequence[str], settings: Mapping[str, Any], photographs: Path | None, count: int
) -> tuple[bytes, dict[str, Any]]:
    """Return the picture as PNG, and what its lines are.

    Parameters
    ----------
    runs : sequence of str
        Two run folders at least, of which the last epoch's weights count.
    settings : mapping
        Of `SegmentationInference`, by name; without a CRF the default one.
    photographs : Path, optional
        A folder of JPEG and PNG files; left out, `count` images of the validation set.
    count : int

    Raises
    ------
    UsageError
        If there is only one network, or no photograph.
    """
    if len(runs) < 2:
        raise UsageError(f"{len(runs)} network; two at least are shown side by side")
    inference = tasks.inference_of(tasks.Segmentation, {"crf": "default", **settings})
    assert isinstance(inference, SegmentationInference)
    crf, rule = inference.dense_crf(), inference.rule
    alone = {k: v for k, v in settings.items() if not k.startswith(("crf", "ensemble"))}
    members = load_members(runs, "cpu", **alone)
    names = [member.name for member in members]
    shown = [*names, "ensemble", "ensemble + CRF"]
    if photographs is None:
        data, _ = evaluation_data(members[0].trained, None, {})
        chosen = spread(len(data), count)
        examples = [(data.name(index), *data[index]) for index in chosen]
    else:
        examples = list(_photographs(photographs))
    predictors = {member.name: member.predictor for member in members}
    stream = all_maps(predictors, (image for _, image, _ in examples), rule, crf)
    lines, texts, side = [], [], _SIDE if photographs is None else _SIDE_SHOWN
    for (name, image, truth), ways in zip(examples, stream, strict=True):
        masks = {way: ways[way].labels() for way in shown}
        small = fit(image, side)
        pictures = [colorize(resize_mask(mask, small.shape[:2])) for mask in masks.values()]
        lines.append([small, *pictures] if photographs else pictures)
        texts.append({"image": name, "rows": _about(masks, truth, members[0].trained.classes)})
    heads = shown if photographs is None else ["photograph", *shown]
    if photographs is None:
        lines = [[*chain(*lines[at : at + 2])] for at in range(0, len(lines), 2)]
        heads = heads * min(2, len(examples))
    lines.insert(0, [title(head, side) for head in heads])
    about = {"date": date.today().isoformat(), "columns": shown, "images": texts}
    return png_bytes(board(lines)), about


def _photographs(folder: Path) -> Iterator[tuple[str, Any, None]]:
    for path in picture_files(folder, "--photographs"):
        yield path.stem, read_image(path), None


def _about(masks: dict[str, Any], truth: Any, classes: Sequence[str]) -> dict[str, Any]:
    """Return each mask's larger classes, and its mean IoU where the truth is known."""
    found: dict[str, Any] = {}
    for way, mask in masks.items():
        labels, pixels = np.unique(mask, return_counts=True)
        named = pixels >= _LEAST * mask.size
        present = [classes[label] for label in labels[named] if label]
        found[way] = {"classes": present}
        if truth is not None:
            matrix = ConfusionMatrix(len(classes))
            matrix.update(truth, mask)
            found[way]["mean_iou"] = matrix.mean_iou
    return found


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gallery",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", help="trained networks")
    parser.add_argument("--output", metavar="FILE.png", required=True, help="the picture")
    parser.add_argument("--photographs", metavar="DIR", type=Path, help="segment these pictures")
    parser.add_argument("--images", metavar="N", type=command_line.positive, default=12,
                        help="images of the validation set [12]")  # fmt: skip
    add_options(parser, SegmentationInference.settings())
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    given = _parser().parse_args(arguments)
    output = Path(given.output)
    if output.suffix != ".png":
        raise UsageError(f"--output is {given.output}; its name must end in .png")
    if not output.parent.is_dir():
        raise UsageError(f"--output {given.output}: there is no folder {output.parent}")
    settings = given_options(given, SegmentationInference.settings())
    picture, about = make(given.runs, settings, given.photographs, given.images)
    output.write_bytes(picture)
    output.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    print(f"{len(about['images'])} images in {output}")
    return 0


if __name__ == "__main__":
    sys.exit(command_line.run_program("benchmarks.gallery", main, sys.argv[1:]))
