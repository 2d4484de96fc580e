"""``python -m minideconv.data check``: its options, and what it prints and writes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minideconv.data.check.findings import Finding, Report, examine
from minideconv.data.check.orphans import orphans
from minideconv.data.check.report import is_own_json, to_json, to_text
from minideconv.data.check.sheet import contact_sheet
from minideconv.data.layouts import LAYOUTS, contents, split_names
from minideconv.data.show import is_own, save_png
from minideconv.data.voc import open_folder
from minideconv.errors import DataError, SettingError, UsageError
from minideconv.files.atomic import replace_file, write_problem
from minideconv.files.outputs import refuse_foreign_file
from minideconv.settings.command_line import Distinct, positive
from minideconv.settings.run import DataSettings

__all__ = ["add_options", "run"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its parser."""
    parser.add_argument("root", metavar="ROOT", help="the folder of the data set")
    parser.add_argument(
        "--data", choices=tuple(LAYOUTS), help="its layout [the one that the folder has]"
    )
    parser.add_argument(
        "--classes",
        metavar="FILE|A,B,...",
        help="names of its classes [classes.txt or labelmap.txt there, or the layout's own]",
    )
    parser.add_argument(
        "--split", nargs="+", action=Distinct, metavar="NAME", help="image lists [all there are]"
    )
    parser.add_argument(
        "--sheet",
        metavar="FILE",
        help="also draw a contact sheet, photographs and masks laid over them, as this PNG; an "
        "earlier one is replaced",
    )
    parser.add_argument(
        "--count", type=positive, default=24, metavar="N", help="images on the sheet [24]"
    )
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="also write all that was found as JSON; an earlier one is replaced; - prints it, and "
        "nothing else",
    )


def run(options: argparse.Namespace) -> int:
    """Check a data set; return the exit code, 1 if something is wrong with it."""
    if options.sheet is not None:
        refuse_foreign_file("--sheet", Path(options.sheet), is_own, makes_folder=True)
    if options.json not in (None, "-"):
        refuse_foreign_file("--json", Path(options.json), is_own_json, makes_folder=True)
    lists, faults = _open(options)
    report = Report({}, {})
    if lists:
        report = examine(lists)
        report.remarks += orphans(lists)
    report.faults[:0] = faults
    if options.json == "-":
        print(to_json(report, options.root), end="")
    else:
        print(f"{options.root}: {to_text(report)}")
    if options.sheet is not None:
        save_png(options.sheet, contact_sheet(report, options.count))
        if options.json != "-":
            print(f"contact sheet in {options.sheet}")
    if options.json not in (None, "-"):
        _write(Path(options.json), to_json(report, options.root))
    return 1 if report.faults else 0


def _open(options: argparse.Namespace) -> tuple[dict[str, Any], list[Finding]]:
    """Return the image lists, and what is wrong with those that cannot be read.

    Raises
    ------
    UsageError
        If there is no such data set, or no list of a name that was given.
    """
    root, given = Path(options.root), options.split
    try:
        layout = options.data or _layout_of(root)
        names = given or split_names(root, LAYOUTS[layout])
        settings = DataSettings(data=layout, data_root=options.root, classes=options.classes)
    except SettingError as error:
        if options.classes is None:  # of the folder, which is no option here
            raise UsageError(str(error).removeprefix("data_root: ")) from error
        raise
    except DataError as error:
        raise UsageError(str(error)) from error
    lists: dict[str, Any] = {}
    faults = []
    for split in names:
        try:
            lists[split] = open_folder(settings, split, cache_mb=0)
        except DataError as error:
            if given:
                raise UsageError(f"--split {split}: {error}") from error
            faults.append(Finding("file", (split,), (), str(error)))
    return lists, faults


def _layout_of(root: Path) -> str:
    if not root.is_dir():
        raise DataError(f"ROOT {root} is not a folder")
    fitting = [name for name, layout in LAYOUTS.items() if layout.fits(root)]
    if not fitting:
        raise DataError(
            f"ROOT {root} is in no layout that is known: it holds {contents(root)}; a set is"
            " JPEGImages and SegmentationClass, or images and masks, or another layout of --data"
        )
    return fitting[0]


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())
    except OSError as error:
        raise DataError(f"--json {path}: {write_problem(error)}") from error
