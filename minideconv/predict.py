"""``python -m minideconv.predict``: what a trained network finds in photographs, as pictures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minideconv import tasks
from minideconv.backend import as_device
from minideconv.data.pictures import read_image
from minideconv.errors import DataError, UsageError
from minideconv.files.atomic import replace_file
from minideconv.files.outputs import plan_outputs
from minideconv.settings import command_line
from minideconv.settings.options import given_options
from minideconv.training.computing import computing
from minideconv.training.run.checkpoint import find_checkpoint, read_header
from minideconv.training.run.trained import load_trained

__all__ = ["main"]

_DESCRIPTION = """\
Use a trained network on photographs. What it writes for every IMAGE depends on the network's task;
of a segmentation, at the image's own size, NAME.png, a palette picture whose pixel values are the
classes (VOC's colours), and NAME_overlay.png, the same laid over the photograph. A file that cannot
be read is reported and the others are done all the same. No IMAGE is ever overwritten, and another
file only with --overwrite; what stands in the way is reported before any work.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = command_line.make_parser(
        "predict", _DESCRIPTION, epilog="Exit codes: 0 done, 1 some file failed, 2 wrong usage."
    )
    command_line.add_inference_options(parser, tasks.inference_settings())
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="photographs, any size")
    parser.add_argument("-o", "--output-dir", metavar="DIR", default="predictions",
                        help="where the pictures go [predictions]")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true",
                        help="replace pictures that an earlier prediction left there")  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return command_line.run_program("minideconv.predict", _main, arguments)


def _main(arguments: Sequence[str]) -> int:
    options = make_parser().parse_args(arguments)
    folder, images = Path(options.output_dir), [Path(image) for image in options.images]
    machine = command_line.machine_settings(options)
    as_device(machine.device)  # a device that is not there is reported before a file is read
    header = read_header(find_checkpoint(options.checkpoint, options.which))
    task = tasks.of_config(header.get("config", {}))
    read = [Path(name) for name in (options.checkpoint, *options.ensemble)]
    plan = plan_outputs(images, folder, task.endings, options.overwrite, others=read)
    trained = load_trained(
        options.checkpoint,
        machine.device,
        options.which,
        ensemble=options.ensemble,
        **given_options(options, tasks.inference_settings()),
    )
    if not options.quiet:
        print(f"{trained.name} on {trained.description}", flush=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output-dir {folder}: {error.strerror}") from error
    with computing(trained.device, machine.threads, machine.algorithm, machine.precision):
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
    """Write the files of one photograph; return the line to print about it."""
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
