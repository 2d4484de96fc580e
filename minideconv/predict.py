"""``python -m minideconv.predict``: what a trained network finds in photographs, as pictures."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minideconv import tasks
from minideconv.backend import as_device
from minideconv.data.pictures import read_image
from minideconv.errors import DataError, MinideconvError, UsageError, as_usage_error
from minideconv.files.atomic import replacing, write_problem
from minideconv.files.outputs import plan_outputs
from minideconv.settings import command_line
from minideconv.settings.options import given_options
from minideconv.settings.output import output_problem
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
    return command_line.run_program("minideconv.predict", _main, arguments, goes_on=True)


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
    if problem := output_problem(sys.stdout):
        print(f"minideconv.predict: nothing more could be printed: {problem}", file=sys.stderr)
    return 1 if failed else 0


def _predict_all(trained: Any, plan: dict[Path, list[Path]], overwrite: bool, quiet: bool) -> int:
    """Predict one photograph after the other; return how many failed.

    Whatever is wrong with one, the others are done: a file may be damaged in ways that were not
    thought of, and a network may find nothing but NaN in it.
    """
    failed = 0
    for path, outputs in plan.items():
        try:
            text = _predict(trained, path, outputs, overwrite)
        except Exception as error:
            failed += 1
            print(f"minideconv.predict: {_sentence(path, error)}", file=sys.stderr)
        else:
            if not quiet:
                print(text, flush=True)
    return failed


def _sentence(path: Path, error: Exception) -> str:
    """Return what was wrong with a photograph: one line, which names it."""
    found = as_usage_error(error)
    text = " ".join(str(found).split())
    if isinstance(found, MinideconvError):
        return text if str(path) in text else f"{path}: {text}"
    if isinstance(error, MemoryError):
        return f"{path} is too large: there is not enough memory{f' ({text})' if text else ''}"
    return f"{path} cannot be predicted: {type(error).__name__}: {text}"


def _predict(trained: Any, path: Path, outputs: list[Path], overwrite: bool) -> str:
    """Write the files of one photograph, all or none; return the line to print about it."""
    contents, text = trained.task.predict(trained.predictor, read_image(path))
    for output in outputs:
        try:
            output.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DataError(f"{output} cannot be written: {write_problem(error)}") from error
        if not overwrite:  # another program was quicker
            raise DataError(f"{output} has come into being meanwhile and is not overwritten")
    try:
        with contextlib.ExitStack() as files:  # renamed when all are written
            for output, content in zip(outputs, contents, strict=True):
                file = files.enter_context(replacing(output))
                if callable(content):
                    content(file)
                else:
                    file.write(content)
                file.flush()
    except OSError as error:
        raise DataError(f"{outputs[0]} cannot be written: {write_problem(error)}") from error
    return f"{path} -> {outputs[0]}: {text}"


if __name__ == "__main__":
    sys.exit(main())
