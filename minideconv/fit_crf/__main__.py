"""``python -m minideconv.fit_crf``: fit the parameters of a dense CRF on training images."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from minideconv.backend import to_cpu
from minideconv.data.shard import spread
from minideconv.errors import UsageError
from minideconv.files.outputs import refuse_foreign_file
from minideconv.fit_crf.objectives import OBJECTIVES, Example
from minideconv.fit_crf.search import SEARCHED, Trial, coordinate_search
from minideconv.segmentation import DenseCRF
from minideconv.segmentation.crf_file import crf_to_json, read_crf
from minideconv.settings import command_line
from minideconv.settings.options import given_options
from minideconv.tasks.segmentation import Segmentation
from minideconv.tasks.segmentation.inference import SegmentationInference
from minideconv.training.computing import computing
from minideconv.training.run.checkpoint import check_run_header
from minideconv.training.run.evaluation_data import evaluation_data
from minideconv.training.run.folder import write_text
from minideconv.training.run.progress import Progress, make_progress
from minideconv.training.run.trained import load_trained

__all__ = ["main"]

_DESCRIPTION = """\
Find weights and widths of a dense CRF's kernels that suit a network, or an ensemble. The network
computes the probabilities of some training images once; then one parameter after the other is
multiplied and divided by 2, later by the square root of 2, as long as that raises the objective.
The search starts at the CRF that --crf names; a parameter given by its option, for example
--crf-spatial-weight, stays as it is. `predict` and `evaluate` use the file by --crf FILE.

A network is surer of images that it was trained on than of others. Name images that it does not
know by --split, if there are some to spare, but not those on which the result is to be measured.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = command_line.make_parser("fit_crf", _DESCRIPTION)
    command_line.add_inference_options(parser, SegmentationInference.settings())
    command_line.add_data_options(parser, "image list [the run's training list]", 40)
    parser.add_argument("--objective", choices=tuple(OBJECTIVES), default="mean-iou",
                        help="what is raised [mean-iou]")  # fmt: skip
    parser.add_argument("--trials", metavar="N", type=command_line.positive, default=60,
                        help="try N CRFs at most [60]")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="FILE", default="crf.json",
                        help="where they go; an earlier file is replaced [crf.json]")  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return command_line.run_program("minideconv.fit_crf", _main, arguments, goes_on=True)


def _main(arguments: Sequence[str]) -> int:
    options = make_parser().parse_args(arguments)
    output = Path(options.output)
    refuse_foreign_file("--output", output, _is_crf)
    machine = command_line.machine_settings(options)
    given = given_options(options, SegmentationInference.settings())
    start = SegmentationInference(**{"crf": "default", **given}).dense_crf() or DenseCRF()
    fixed = [name for name in SEARCHED if f"crf_{name}" in given]
    if len(fixed) == len(SEARCHED):
        raise UsageError("every parameter that could be fitted is given by an option")
    network = {name: value for name, value in given.items() if not name.startswith("crf")}
    trained = load_trained(
        options.checkpoint,
        machine.device,
        options.which,
        options.batch_size,
        options.ensemble,
        **network,
    )
    if not isinstance(trained.task, Segmentation):
        raise UsageError(f"{trained.path} is of the task {trained.task.name}, which has no CRF")
    check_run_header(trained.header, trained.path)
    split = options.split or trained.header["config"]["train_split"]
    changes = given_options(options, ("data", "data_root"))
    images, what = evaluation_data(trained, split, changes, options.limit)
    chosen = spread(len(images), options.limit)
    progress = make_progress(options.quiet)
    try:
        with computing(trained.device, machine.threads, machine.algorithm, machine.precision):
            examples = _examples(trained, images, chosen, progress)
            objective = OBJECTIVES[options.objective]
            without = objective(examples, None)
            progress.message(
                f"{trained.name} on {len(examples)} images of {what}: {options.objective}"
                f" {without:.4f} without a CRF"
            )
            best = coordinate_search(
                partial(objective, examples), start, fixed, most=options.trials,
                tried=_Report(progress, options.trials),
            )  # fmt: skip
    finally:
        progress.close()
    about = {
        "checkpoint": str(trained.path),
        "ensemble": [str(path) for path in trained.others],
        "inference": trained.inference.given(),
        "data": what,
        "images": len(examples),
        "objective": options.objective,
        "without_crf": without,
        "value": best.value,
    }
    write_text(output, crf_to_json(best.crf, about))
    if best.value <= without:
        progress.message("no CRF that was tried is better than none")
    progress.message(f"{output}: {options.objective} {best.value:.4f}")
    return 0


def _examples(
    trained: Any, images: Any, chosen: Sequence[int], progress: Progress
) -> list[Example]:
    """Let the network compute the probabilities of the images, once."""
    found: list[Example] = []
    probabilities = trained.predictor.probabilities_of(images[index][0] for index in chosen)
    for index, p in zip(chosen, probabilities, strict=True):
        progress.work("computing probabilities", len(found), len(chosen))
        image, truth = images[index]
        found.append(Example(image, to_cpu(p), truth))
    return found


class _Report:
    """Prints each trial that is the best so far, with the parameters that differ."""

    def __init__(self, progress: Progress, trials: int) -> None:
        self.progress, self.trials, self.done = progress, trials, 0

    def __call__(self, trial: Trial) -> None:
        self.done += 1
        self.progress.work("fitting", self.done, self.trials)
        if trial.best:
            values = ", ".join(f"{name} {getattr(trial.crf, name):.4g}" for name in SEARCHED)
            self.progress.message(f"{trial.value:.4f}  {values}")


def _is_crf(path: Path) -> bool:
    """Whether a file is what this program wrote before."""
    try:
        read_crf(path)
    except UsageError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
