"""``python -m minideconv.visualize animate``: animations from the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minideconv.errors import UsageError
from minideconv.files.atomic import replace_file
from minideconv.files.outputs import check_outputs
from minideconv.settings import command_line
from minideconv.visualize.animation.files import animation_gif, animation_page
from minideconv.visualize.animation.frames import frames
from minideconv.visualize.animation.geometry import ARITHMETIC, Geometry, geometry

__all__ = ["add_animate", "animate"]

_ENDINGS = (".gif", ".html")
_OPTIONS = ("size", "kernel", "stride", "padding", "dilation", "output_padding")


def add_animate(commands: Any) -> None:
    """Add the command to a parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "animate", help="a convolution or its transpose at work, as a GIF or a page",
        description="Animate a convolution, its transpose, or the fifteen cases of Dumoulin and"
        " Visin's guide (all). Numbers in the pixels are computed by the library.",
        allow_abbrev=False, formatter_class=command_line.HelpFormatter,
    )  # fmt: skip
    parser.add_argument("kind", choices=("conv", "conv_transpose", "all"), metavar="KIND",
                        help="conv, conv_transpose or all")  # fmt: skip
    for name, text in (
        ("size", "height and width of the input; one number for both"),
        ("kernel", "of the kernel"),
        ("stride", "of the window [1]"),
        ("padding", "zeros around the image [0]"),
        ("dilation", "distance of the taps [1]"),
        ("output_padding", "of a transposed convolution [0]"),
    ):
        parser.add_argument(f"--{name.replace('_', '-')}", nargs="+", type=command_line.natural,
                            metavar="N", help=text)  # fmt: skip
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE|DIR",
                        help="a .gif or .html file; for all a folder for both")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=0.9, metavar="S",
                        help="how long a GIF shows a frame [0.9]")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")


def animate(options: argparse.Namespace) -> int:
    """Run the command.

    Raises
    ------
    UsageError
        If the geometry is impossible, with the operation's own sentence, or a file is in the way.
    """
    if not 0.02 <= options.seconds <= 60:
        raise UsageError(f"--seconds is {options.seconds:g}; it must be from 0.02 to 60")
    given = {name: _pair(name, numbers) for name in _OPTIONS if (numbers := getattr(options, name))}
    if options.kind == "all":
        if given:
            raise UsageError(f"all has geometries of its own; leave out --{next(iter(given))}")
        cases = {name: geometry(**case) for name, case in ARITHMETIC.items()}
        outputs = [options.out / f"{name}{ending}" for name in cases for ending in _ENDINGS]
        check_outputs(outputs, options.out, options.overwrite, [], "--out")
        try:
            options.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--out {options.out}: {error.strerror}") from error
        for name, case in cases.items():
            _write(case, [options.out / f"{name}{ending}" for ending in _ENDINGS], options.seconds)
        return 0
    for name in ("size", "kernel"):
        if name not in given:
            raise UsageError(f"--{name} is missing: {options.kind} needs it")
    if options.out.suffix not in _ENDINGS:
        raise UsageError(f"--out {options.out} must end in .gif or .html")
    check_outputs([options.out], options.out.parent, options.overwrite, [], "--out")
    try:
        case = geometry(options.kind, **given)
        _write(case, [options.out], options.seconds)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return 0


def _pair(name: str, numbers: list[int]) -> tuple[int, int]:
    if len(numbers) > 2:
        raise UsageError(
            f"--{name.replace('_', '-')} has {len(numbers)} numbers;"
            " it takes one, or two: height and width"
        )
    return numbers[0], numbers[-1]


def _write(case: Geometry, paths: list[Path], seconds: float) -> None:
    shown = frames(case)
    for path in paths:
        page = path.suffix == ".html"
        content = (
            animation_page(shown, case.title).encode() if page else animation_gif(shown, seconds)
        )
        try:
            replace_file(path, content)
        except OSError as error:
            raise UsageError(f"--out {path}: {error.strerror}") from error
        print(f"{path}: {len(shown)} steps, {case.title}")
