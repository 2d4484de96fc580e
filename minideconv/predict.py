"""``python -m minideconv.predict``: masks of photographs, at their own size, in VOC's colours."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minideconv.command_line import HelpFormatter, add_machine_options, run_program
from minideconv.errors import DataError, UsageError

__all__ = ["main"]

_DESCRIPTION = """\
Segment photographs with a trained network. For every IMAGE it writes NAME.png, a palette picture
whose pixel values are the classes (VOC's colours), and NAME_overlay.png, the same laid over the
photograph. A file that cannot be read is reported and the others are done all the same.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="python -m minideconv.predict",
        description=_DESCRIPTION,
        epilog="Exit codes: 0 done, 1 some file failed, 2 wrong usage.",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("checkpoint", metavar="RUN|CHECKPOINT", help="a run folder or an .npz file")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="photographs, any size")
    parser.add_argument("--which", choices=("best", "last"), default="best",
                        help="which checkpoint of a run folder [best]")  # fmt: skip
    parser.add_argument("-o", "--output-dir", metavar="DIR", default="predictions",
                        help="where the pictures go [predictions]")  # fmt: skip
    parser.add_argument("--flip", action="store_true",
                        help="average the scores with those of the mirror image")  # fmt: skip
    add_machine_options(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return run_program("minideconv.predict", _main, arguments)


def _main(arguments: Sequence[str]) -> int:
    options = make_parser().parse_args(arguments)
    names = _output_names([Path(image) for image in options.images])
    # Imported late, so that --help and usage errors are quick.
    from minideconv.training.machine import computing
    from minideconv.training.trained import load_trained

    trained = load_trained(options.checkpoint, options.device, options.which, options.flip)
    folder = Path(options.output_dir)
    if not options.quiet:
        print(f"{trained.path} on {trained.place}", flush=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output-dir {folder}: {error.strerror}") from error
    with computing(trained.device, options.threads, options.algorithm, options.precision):
        failed = _predict_all(trained, names, folder, options.quiet)
    if failed:
        print(f"minideconv.predict: {failed} of {len(names)} files failed", file=sys.stderr)
    return 1 if failed else 0


def _predict_all(trained: Any, names: dict[Path, str], folder: Path, quiet: bool) -> int:
    """Predict one photograph after the other; return how many failed."""
    failed = 0
    for path, name in names.items():
        try:
            text = _predict(trained, path, folder, name)
        except DataError as error:
            failed += 1
            print(f"minideconv.predict: {error}", file=sys.stderr)
        else:
            if not quiet:
                print(text, flush=True)
    return failed


def _output_names(paths: list[Path]) -> dict[Path, str]:
    """Return a name for each image's pictures; two of one name would overwrite each other."""
    names: dict[Path, str] = {}
    for path in paths:
        if path in names:
            continue
        twin = next((other for other, name in names.items() if name == path.stem), None)
        if twin is not None:
            raise UsageError(
                f"{twin} and {path} would both be written to {path.stem}.png; predict them one at "
                "a time, each with an --output-dir of its own"
            )
        names[path] = path.stem
    return names


def _predict(trained: Any, path: Path, folder: Path, name: str) -> str:
    """Write the two pictures of one photograph; return what to say about it."""
    import numpy as np

    from minideconv.data.pictures import read_image
    from minideconv.data.voc_colors import overlay
    from minideconv.visualize.boards import save_png
    from minideconv.visualize.masks import save_palette_png

    image = read_image(path)
    labels = trained.segmenter.labels(image)
    mask_path, overlay_path = folder / f"{name}.png", folder / f"{name}_overlay.png"
    for target in (mask_path, overlay_path):
        if target.exists() and target.samefile(path):
            raise DataError(f"{path} would be overwritten; choose another --output-dir")
    try:
        save_palette_png(mask_path, labels)
        save_png(overlay_path, overlay(image, labels))
    except OSError as error:
        raise DataError(f"{error.filename or mask_path}: {error.strerror or error}") from error
    shares = np.bincount(labels.ravel(), minlength=len(trained.classes)) / labels.size
    order = [index for index in np.argsort(-shares, kind="stable") if shares[index] >= 0.005]
    seen = ", ".join(f"{trained.classes[index]} {100 * shares[index]:.0f}%" for index in order)
    return f"{path} -> {mask_path}: {seen}"


if __name__ == "__main__":
    sys.exit(main())
