"""``python -m minideconv.data``: check, show, download and carve data sets."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from minideconv.data.check import command as check_command
from minideconv.data.convert import command as convert_command
from minideconv.data.crops import StageOneCrops, StageTwoCrops
from minideconv.data.download import ARCHIVES, download_voc
from minideconv.data.shapes import Shapes
from minideconv.data.shard import Subset
from minideconv.data.show import grid, is_own, save_png
from minideconv.data.subset import carve_subset
from minideconv.data.voc import VOCSegmentation, open_folder
from minideconv.errors import DataError, UsageError
from minideconv.files.outputs import refuse_foreign_file
from minideconv.settings.command_line import Distinct, HelpFormatter, natural, positive, run_program
from minideconv.settings.command_line import make_parser as program_parser
from minideconv.settings.options import add_options, given_options
from minideconv.settings.run import DataSettings

__all__ = ["main"]

_EPILOG = """\
examples:
  python -m minideconv.data show --data shapes --output shapes.png
  python -m minideconv.data show --data voc --data-root VOCdevkit --stage 1 --output objects.png
  python -m minideconv.data check VOCdevkit --sheet sheet.png
  python -m minideconv.data download voc2012 --data-root data
  python -m minideconv.data subset --data-root data --output small --per-class 10
  python -m minideconv.data convert labelled --output data/cells

Exit codes: 0 done, 1 bad data, 2 wrong usage.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = program_parser(
        "data",
        "Check a data set, show it as a picture, download PASCAL VOC, carve a small set out of it.",
        epilog=_EPILOG,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, help_: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=help_, description=help_, formatter_class=HelpFormatter, allow_abbrev=False
        )

    fetch = command("download", "fetch the official archive, checked and resumable")
    fetch.add_argument("name", choices=sorted(ARCHIVES), help="which year's set")
    fetch.add_argument("--data-root", required=True, metavar="DIR", help="folder to put it in")

    subset = command("subset", "copy a class-balanced part of a VOCdevkit folder")
    subset.add_argument("--data-root", required=True, metavar="DIR", help="the full set")
    subset.add_argument("--output", required=True, metavar="DIR", help="folder to make")
    subset.add_argument(
        "--per-class", type=positive, default=10, metavar="N", help="images per class and split"
    )
    subset.add_argument("--seed", type=natural, default=0, metavar="N", help="decides the choice")
    subset.add_argument(
        "--splits",
        nargs="+",
        action=Distinct,
        default=["train", "val"],
        metavar="NAME",
        help="image lists",
    )

    check = command("check", "look at every file of a data set; say all that is wrong with it")
    check_command.add_options(check)

    show = command("show", "draw samples with their masks in one picture")
    settings = DataSettings.settings()
    data = {name: settings[name] for name in ("data", "data_root", "classes", "difficulty")}
    add_options(show, data | {"difficulty": replace(data["difficulty"], default="normal")})
    show.add_argument("--split", default="train", metavar="NAME", help="which images")
    show.add_argument(
        "--stage", choices=("1", "2"), help="the crops of a training stage instead of whole images"
    )
    show.add_argument("--size", type=positive, default=64, metavar="PIXELS", help="of shapes")
    show.add_argument("--count", type=positive, default=24, metavar="N", help="how many samples")
    show.add_argument("--columns", type=positive, default=4, metavar="N")
    show.add_argument("--cell", type=positive, default=128, metavar="PIXELS", help="of each panel")
    show.add_argument("--seed", type=natural, default=0, metavar="N", help="which samples")
    show.add_argument(
        "--output",
        required=True,
        metavar="FILE",
        help="the PNG to write; an earlier one is replaced",
    )

    convert = command("convert", "make a VOCdevkit folder of what a program for labelling exports")
    convert_command.add_options(convert)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return run_program("minideconv.data", _main, arguments)


def _main(arguments: Sequence[str]) -> int:
    options = make_parser().parse_args(arguments)
    if options.command == "download":
        folder = download_voc(options.name, options.data_root)
        for split in ("train", "val"):
            print(f"  {split}: {len(VOCSegmentation(folder, split))} images with masks")
    elif options.command == "check":
        return check_command.run(options)
    elif options.command == "subset":
        _subset(options)
    elif options.command == "convert":
        convert_command.run(options)
    else:
        _show(options)
    return 0


def _open_voc(root: str, split: str) -> VOCSegmentation:
    """Open a folder that an option names: what is wrong with the option is wrong usage."""
    try:
        return VOCSegmentation(root, split)
    except DataError as error:
        raise UsageError(f"--data-root {root}: {error}") from error


def _subset(options: argparse.Namespace) -> None:
    for split in options.splits:
        classes = _open_voc(options.data_root, split).classes
    counts = carve_subset(
        options.data_root, options.output, options.per_class, options.seed, options.splits
    )
    for split, count in counts.items():
        scarce = [classes[k] for k in np.flatnonzero(count < options.per_class)]
        print(f"{options.output}: {count[0]} images in {split}")
        if scarce:
            print(f"  fewer than {options.per_class} images show: {', '.join(scarce)}")


def _show(options: argparse.Namespace) -> None:
    refuse_foreign_file("--output", Path(options.output), is_own, makes_folder=True)
    dataset: Any
    given = given_options(options, DataSettings.settings())
    settings = DataSettings(**given)
    settings.refuse_ignored(given)
    if settings.data == "shapes":
        difficulty = given.get("difficulty", "normal")
        dataset = Shapes(options.split, size=options.size, difficulty=difficulty)
    else:
        try:
            dataset = open_folder(settings, options.split)
        except DataError as error:
            raise UsageError(f"--data-root {options.data_root}: {error}") from error
    # Crops are made of as many images as can be shown, not of the whole set: that takes long.
    rng = np.random.default_rng(options.seed)
    chosen = rng.permutation(len(dataset))[: options.count].tolist()
    if options.stage is not None:
        few = Subset(dataset, chosen)
        dataset = StageOneCrops(few) if options.stage == "1" else StageTwoCrops(few, per_image=3)
        chosen = rng.permutation(len(dataset))[: options.count].tolist()
    save_png(options.output, grid(dataset, chosen, options.cell, options.columns))
    print(f"{options.output}: {len(chosen)} samples of {dataset!r}")


if __name__ == "__main__":
    sys.exit(main())
