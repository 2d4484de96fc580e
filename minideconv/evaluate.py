"""``python -m minideconv.evaluate``: a trained network's metrics over an image list."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from minideconv import tasks
from minideconv.data.shard import spread
from minideconv.files.outputs import refuse_foreign_file
from minideconv.files.reading import read_json
from minideconv.settings import command_line
from minideconv.settings.options import given_options
from minideconv.tasks.segmentation.mask_files import MaskFiles, masks_folder
from minideconv.training.computing import computing
from minideconv.training.run.evaluation_data import evaluation_data
from minideconv.training.run.folder import write_text
from minideconv.training.run.progress import make_progress
from minideconv.training.run.trained import load_trained

__all__ = ["main"]

_DESCRIPTION = """\
Evaluate a trained network by the metrics of its task. For segmentation: pixel accuracy, mean
accuracy, mean IoU and frequency weighted IoU from one confusion matrix over the whole list, at each
image's own size, void pixels not counted; mean IoU near the outlines, and by the objects' sizes.

Without further options it takes the data and the validation list of the run itself.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = command_line.make_parser("evaluate", _DESCRIPTION)
    command_line.add_inference_options(parser, tasks.inference_settings())
    command_line.add_data_options(parser, "image list [the run's validation list]")
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="also write all metrics to a JSON file; an earlier one is replaced",
    )
    parser.add_argument(
        "--save-masks",
        metavar="DIR",
        help="also write each image's labels as a palette PNG, in the folders that VOC's server"
        " wants: DIR/" + masks_folder("SPLIT").as_posix(),
    )
    parser.add_argument("--overwrite", action="store_true",
                        help="replace masks that an earlier evaluation left there")  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return command_line.run_program("minideconv.evaluate", _main, arguments)


def _main(arguments: Sequence[str]) -> int:
    options = make_parser().parse_args(arguments)
    if options.json is not None:
        refuse_foreign_file("--json", Path(options.json), _is_evaluation)
    machine = command_line.machine_settings(options)
    trained = load_trained(
        options.checkpoint,
        machine.device,
        options.which,
        options.batch_size,
        options.ensemble,
        **given_options(options, tasks.inference_settings()),
    )
    changes = given_options(options, ("data", "data_root"))
    images, what = evaluation_data(trained, options.split, changes)
    with computing(trained.device, machine.threads, machine.algorithm, machine.precision):
        return _evaluate(options, trained, images, what)


def _evaluate(options: argparse.Namespace, trained: Any, images: Any, what: str) -> int:
    chosen = spread(len(images), options.limit or len(images))
    details = trained.task.details()
    masks = None if options.save_masks is None else _masks(options, trained, images, chosen)

    def seen(index: int, outputs: Any, target: Any) -> None:
        if details is not None:
            details.update(outputs, target)
        if masks is not None:
            masks.save(index, trained.task.mask(outputs))

    progress = make_progress(options.quiet)
    try:
        each = partial(progress.work, "evaluating")
        metrics, _, _ = trained.task.evaluate(trained.predictor, images, chosen, each, seen)
    finally:
        progress.close()
    epoch = trained.header["progress"]["epoch"]
    progress.message(
        f"{trained.name} (epoch {epoch}) on {what}: {len(chosen)} images, on {trained.description}"
    )
    if note := getattr(images, "note", ""):
        progress.message(note)
    progress.message(trained.task.table({what.split()[-1]: metrics}))
    if details is not None:
        progress.message(details.table())
    if masks is not None:
        progress.message(f"masks in {masks.folder}")
    if options.json is not None:
        result = {
            "checkpoint": str(trained.path),
            "ensemble": [str(path) for path in trained.others],
            "inference": trained.inference.given(),
            "data": what,
            "images": len(chosen),
            **trained.task.metadata(),
            **trained.task.result(metrics),
            **({} if details is None else details.compute()),
        }
        write_text(Path(options.json), json.dumps(result, indent=1) + "\n")
    return 0


def _masks(
    options: argparse.Namespace, trained: Any, images: Any, chosen: Sequence[int]
) -> MaskFiles:
    """Find where the masks go, before any work."""
    split = options.split or trained.header["config"]["val_split"]
    names = {index: images.name(index) for index in chosen}
    read = [Path(name) for name in (options.checkpoint, *options.ensemble)]
    true_masks = getattr(images, "masks_folder", None)  # of a folder's images
    folders = {} if true_masks is None else {"the true masks": true_masks}
    return MaskFiles(Path(options.save_masks), split, names, options.overwrite, read, folders)


def _is_evaluation(path: Path) -> bool:
    """Whether a file is what ``--json`` wrote before."""
    try:
        content = read_json(path)
    except OSError:
        return False
    return isinstance(content, dict) and {"checkpoint", "data", "images"} <= content.keys()


if __name__ == "__main__":
    sys.exit(main())
