"""``python -m minideconv.predict``: what a trained network says about photographs, as pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minideconv import tasks
from minideconv.errors import DataError, UsageError
from minideconv.files.outputs import plan_outputs
from minideconv.settings.command_line import (
    HelpFormatter,
    add_machine_options,
    naming_device_option,
    run_program,
)
from minideconv.settings.options import add_options, given_options

__all__ = ["main"]

_DESCRIPTION = """\
Use a trained network on photographs. What it writes for every IMAGE depends on the network's task;
of a segmentation, at the image's own size, NAME.png, a palette picture whose pixel values are the
classes (VOC's colours), and NAME_overlay.png, the same laid over the photograph. A file that cannot
be read is reported and the others are done all the same. No IMAGE is ever overwritten, and another
file only with --overwrite; what stands in the way is said before any work.
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
    parser.add_argument("--overwrite", action="store_true",
                        help="replace pictures that an earlier prediction left there")  # fmt: skip
    parser.add_argument("--flip", action="store_true",
                        help="average the scores with those of the mirror image")  # fmt: skip
    add_options(parser, tasks.inference_settings())
    add_machine_options(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return run_program("minideconv.predict", _main, arguments)


def _main(arguments: Sequence[str]) -> int:
    options = make_parser().parse_args(arguments)
    folder, images = Path(options.output_dir), [Path(image) for image in options.images]
    # Imported late, so that --help and usage errors are quick.
    from minideconv.backend import as_device
    from minideconv.training.computing import computing
    from minideconv.training.run.checkpoint import find_checkpoint, read_header
    from minideconv.training.run.trained import load_trained

    with naming_device_option():
        as_device(options.device)  # a device that is not there is said before a file is read
    header = read_header(find_checkpoint(options.checkpoint, options.which))
    task = tasks.of_config(header.get("config", {}))
    plan = plan_outputs(
        images, folder, task.endings, options.overwrite, others=[Path(options.checkpoint)]
    )
    with naming_device_option():
        trained = load_trained(
            options.checkpoint, options.device, options.which, options.flip,
            **given_options(options, tasks.inference_settings()),
        )  # fmt: skip
    if not options.quiet:
        print(f"{trained.path} on {trained.description}", flush=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output-dir {folder}: {error.strerror}") from error
    with computing(trained.device, options.threads, options.algorithm, options.precision):
        failed = _predict_all(trained, plan, options.overwrite, options.quiet)
    if failed:
        print(f"minideconv.predict: {failed} of {len(plan)} files failed", file=sys.stderr)
    return 1 if failed else 0


def _predict_all(trained: Any, plan: dict[Path, list[Path]], overwrite: bool, quiet: bool) -> int:
    """Predict one photograph after the other; return how many failed."""
    failed = 0
    for path, outputs in plan.items():
        try:
            text = _predict(trained, path, outputs, overwrite)
        except DataError as error:
            failed += 1
            print(f"minideconv.predict: {error}", file=sys.stderr)
        else:
            if not quiet:
                print(text, flush=True)
    return failed


def _predict(trained: Any, path: Path, outputs: list[Path], overwrite: bool) -> str:
    """Write the files of one photograph; return what to say about it."""
    from minideconv.data.pictures import read_image
    from minideconv.files.atomic import replace_file

    contents, text = trained.task.predict(trained.predictor, read_image(path))
    for output in outputs:
        try:
            there = output.exists()
        except OSError as error:  # of one of two names, so that neither file is written
            raise DataError(f"{output} cannot be written: {error.strerror}") from error
        if there and not overwrite:  # another program was quicker
            raise DataError(f"{output} has come into being meanwhile and is not overwritten")
    try:
        for output, content in zip(outputs, contents, strict=True):
            replace_file(output, content)
    except OSError as error:
        raise DataError(f"{outputs[0].parent}: {error.strerror or error}") from error
    return f"{path} -> {outputs[0]}: {text}"


if __name__ == "__main__":
    sys.exit(main())
