"""``python -m minideconv.sparse_coding``: filters and layers of them from pictures, and uses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from minideconv.settings.command_line import HelpFormatter, natural, run_program
from minideconv.settings.command_line import make_parser as program_parser
from minideconv.settings.machine import MachineSettings
from minideconv.settings.options import add_options
from minideconv.settings.setting import Setting
from minideconv.sparse_coding.hierarchy.settings import HierarchySettings
from minideconv.sparse_coding.settings import MOST, CodingSettings, LearnSettings

__all__ = ["main"]

_DESCRIPTION = """\
Convolutional sparse coding: a picture as a sum of few filters, each stamped where its map is not 0.
`learn` finds filters in a folder of photographs; `code`, `denoise` and `inpaint` use them.
`hierarchy` learns layers of maps, each from the maps of the layer below.
"""

_EPILOG = """\
examples:
  python -m minideconv.sparse_coding learn photographs --limit 20
  python -m minideconv.sparse_coding learn --resume runs/dictionary --steps 300
  python -m minideconv.sparse_coding code others --dictionary runs/dictionary
  python -m minideconv.sparse_coding denoise others --dictionary runs/dictionary --sigma 25
  python -m minideconv.sparse_coding inpaint others --dictionary runs/dictionary --missing 0.5
  python -m minideconv.sparse_coding hierarchy            two layers, from pictures that are drawn

`COMMAND --help` shows the options of a command. Ctrl-C makes `learn` and `hierarchy` save
what they have.
Exit codes: 0 done, 1 bad data or some file failed, 2 wrong usage, 130 or 143 stopped by a signal.
"""


def machine_options() -> dict[str, Setting]:
    """Return where and how to compute; a GPU's precision is float32 here."""
    return {n: s for n, s in MachineSettings.settings().items() if n != "precision"}


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = program_parser("sparse_coding", _DESCRIPTION, epilog=_EPILOG)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, help_: str, settings: Any) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name, help=help_, description=help_, formatter_class=HelpFormatter, allow_abbrev=False
        )
        made.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
        add_options(made, {**settings, **machine_options()})
        return made

    learn = command(
        "learn", "learn a dictionary of filters from a folder", LearnSettings.settings()
    )
    learn.add_argument("folder", metavar="FOLDER", nargs="?", help="photographs")
    learn.add_argument("-o", "--output", metavar="DIR",
                       help="where the dictionary goes [runs/dictionary]")  # fmt: skip
    learn.add_argument("--resume", metavar="DIR", help="go on with a dictionary; --steps may grow")

    code = command("code", "code pictures: maps and reconstructions", CodingSettings.settings())
    _add_use(code, "coded")
    code.add_argument("--sparsity", metavar="LAMBDA", type=_positive_number,
                      help="weight of the maps' absolute values [the dictionary's]")  # fmt: skip

    denoise = command("denoise", "take Gaussian noise out of pictures", CodingSettings.settings())
    _add_use(denoise, "denoised")
    denoise.add_argument("--sigma", metavar="S", type=_positive_number, required=True,
                         help="standard deviation of the noise, in levels of 255")  # fmt: skip
    denoise.add_argument("--add-noise", action="store_true",
                         help="the pictures are clean: add noise, and print the PSNR")  # fmt: skip
    denoise.add_argument("--seed", metavar="N", type=natural, default=0, help="of that noise [0]")

    inpaint = command("inpaint", "fill in pixels that are not known", CodingSettings.settings())
    _add_use(inpaint, "inpainted")
    which = inpaint.add_mutually_exclusive_group(required=True)
    which.add_argument("--missing", metavar="SHARE", type=_share,
                       help="the pictures are whole: forget this share of their pixels, drawn at"
                       " random, and print the PSNR")  # fmt: skip
    which.add_argument("--masks", metavar="DIR",
                       help="NAME.png for each picture, black where it is not known")  # fmt: skip
    inpaint.add_argument("--seed", metavar="N", type=natural, default=0, help="of --missing [0]")

    layers = command(
        "hierarchy",
        "learn layers of filters, each from the maps below",
        HierarchySettings.settings(),
    )
    layers.add_argument("folder", metavar="FOLDER", nargs="?",
                        help="photographs; without it, pictures are drawn")  # fmt: skip
    layers.add_argument("-o", "--output", metavar="DIR",
                        help="where the layers go [runs/hierarchy]")  # fmt: skip
    layers.add_argument("--resume", metavar="DIR", help="go on with layers")
    return parser


def _add_use(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="pictures")
    parser.add_argument("--dictionary", metavar="DIR|FILE", required=True,
                        help="what `learn` wrote")  # fmt: skip
    parser.add_argument("-o", "--output-dir", metavar="DIR", default=what,
                        help=f"where pictures go [{what}]")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true",
                        help="replace pictures that are there already")  # fmt: skip


def _positive_number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and at most {MOST:g}")
    return value


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share above 0 and below 1")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return run_program("minideconv.sparse_coding", _main, arguments, goes_on=True)


def _main(arguments: Sequence[str]) -> int:
    options = make_parser().parse_args(arguments)
    # Imported late, so that --help and usage errors are quick.
    if options.command == "learn":
        from minideconv.sparse_coding.command_learn import learn

        return learn(options, machine_options())
    if options.command == "hierarchy":
        from minideconv.sparse_coding.hierarchy.command import hierarchy

        return hierarchy(options, machine_options())
    from minideconv.sparse_coding.command_use import use

    return use(options, machine_options())


if __name__ == "__main__":
    sys.exit(main())
