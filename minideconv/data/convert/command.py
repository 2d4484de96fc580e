"""``python -m minideconv.data convert``: its options, and what it prints."""

from __future__ import annotations

import argparse

from minideconv.data.classes import read_classes
from minideconv.data.convert.conversion import convert
from minideconv.data.convert.formats import FORMATS
from minideconv.data.convert.splits import VAL_FRACTION
from minideconv.errors import DataError, UsageError
from minideconv.settings.command_line import commas, natural

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("source", metavar="SOURCE", help="a folder, a zip archive, a COCO file")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder to make")
    parser.add_argument(
        "--from", dest="format", choices=tuple(FORMATS), help="SOURCE's format [found out]"
    )
    parser.add_argument(
        "--classes",
        metavar="FILE|A,B",
        help="the classes, in the order of their indices [those that SOURCE names]",
    )
    parser.add_argument(
        "--void",
        type=commas(),
        default=(),
        metavar="LABEL,...",
        help="labels whose pixels are not to be learned",
    )
    parser.add_argument("--images", metavar="DIR", help="photographs that are not in SOURCE")
    parser.add_argument(
        "--val-fraction",
        type=_fraction,
        metavar="F",
        help=f"part for validation [SOURCE's lists, or else {VAL_FRACTION}]",
    )
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="decides the lists")


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to below 1")
    return value


def run(options: argparse.Namespace) -> None:
    """Convert, and print what was made."""
    try:
        classes = None if options.classes is None else read_classes(options.classes)
    except DataError as error:
        raise UsageError(f"--classes: {error}") from error
    made = convert(
        options.source,
        options.output,
        options.format,
        classes,
        options.void,
        options.images,
        options.val_fraction,
        options.seed,
    )
    parts = ", ".join(f"{len(names)} in {split}" for split, names in made.lists.items())
    total = sum(map(len, made.lists.values()))
    print(f"{options.output}: {total} photographs and masks of {made.format} ({parts})")
    for index, (name, count) in enumerate(zip(made.classes.names, made.shown, strict=True)):
        print(f"  {index:3d} {name}: in {count} photographs")
    for line in [made.classes.note] * bool(made.classes.note) + list(made.remarks):
        print(line)
