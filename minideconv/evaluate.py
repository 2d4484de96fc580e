"""``python -m minideconv.evaluate``: a trained network's metrics over an image list."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minideconv import tasks
from minideconv.errors import UsageError
from minideconv.files.outputs import refuse_foreign_file
from minideconv.settings.command_line import (
    HelpFormatter,
    add_machine_options,
    naming_device_option,
    positive,
    run_program,
)
from minideconv.settings.options import add_options, given_options
from minideconv.training.config import TrainConfig

__all__ = ["main"]

_DESCRIPTION = """\
Evaluate a trained network by the metrics of its task. For segmentation: pixel accuracy, mean
accuracy, mean IoU and frequency weighted IoU from one confusion matrix over the whole list, at each
image's own size, void pixels not counted.

Without further options it takes the data and the validation list of the run itself.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="python -m minideconv.evaluate",
        description=_DESCRIPTION,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("checkpoint", metavar="RUN|CHECKPOINT", help="a run folder or an .npz file")
    parser.add_argument("--which", choices=("best", "last"), default="best",
                        help="which checkpoint of a run folder [best]")  # fmt: skip
    parser.add_argument("--data", choices=("shapes", "voc"), help="another data set than the run's")
    parser.add_argument("--data-root", metavar="DIR", help="its folder (for voc)")
    parser.add_argument("--split", metavar="NAME", help="image list [the run's validation list]")
    parser.add_argument("--limit", metavar="N", type=positive,
                        help="only N images, spread evenly over the list [all]")  # fmt: skip
    parser.add_argument("--flip", action="store_true",
                        help="average the scores with those of the mirror image")  # fmt: skip
    add_options(parser, tasks.inference_settings())
    add_machine_options(parser)
    parser.add_argument("-b", "--batch-size", metavar="N", type=positive, default=16,
                        help="images in one forward [16]")  # fmt: skip
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="also write all figures to a JSON file; an earlier one is replaced",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    return run_program("minideconv.evaluate", _main, arguments)


def _main(arguments: Sequence[str]) -> int:
    options = make_parser().parse_args(arguments)
    if options.json is not None:
        refuse_foreign_file("--json", Path(options.json), _is_evaluation)
    # Imported late, so that --help and usage errors are quick.
    from minideconv.training.computing import computing
    from minideconv.training.run.trained import load_trained

    with naming_device_option():
        trained = load_trained(
            options.checkpoint, options.device, options.which, options.flip, options.batch_size,
            **given_options(options, tasks.inference_settings()),
        )  # fmt: skip
    images, what = _images(options, trained)
    if problem := trained.task.data_mismatch(images):
        raise UsageError(f"{trained.path} {problem}")
    with computing(trained.device, options.threads, options.algorithm, options.precision):
        return _evaluate(options, trained, images, what)


def _images(options: argparse.Namespace, trained: Any) -> tuple[Any, str]:
    """Build the data set to evaluate on; what is not given is as in the run."""
    changes = {
        name: getattr(options, name)
        for name in ("data", "data_root")
        if getattr(options, name) is not None
    }
    header = trained.header
    config = TrainConfig.from_dict({**header["config"], **changes})
    split = options.split or config.val_split
    count = {config.train_split: config.train_images, config.val_split: config.val_images}
    same = config.data == header["config"]["data"]
    images = trained.task.dataset(config, split, count.get(split, 0) if same else 0)
    return images, f"{config.data} {split}"


def _evaluate(options: argparse.Namespace, trained: Any, images: Any, what: str) -> int:
    import json
    from functools import partial

    from minideconv.data.shard import spread
    from minideconv.training.run.folder import write_text
    from minideconv.training.run.progress import make_progress

    chosen = spread(len(images), options.limit or len(images))
    progress = make_progress(options.quiet)
    try:
        each = partial(progress.work, "evaluating")
        metrics, _, _ = trained.task.evaluate(trained.predictor, images, chosen, each)
    finally:
        progress.close()
    epoch = trained.header["progress"]["epoch"]
    progress.message(
        f"{trained.path} (epoch {epoch}) on {what}: {len(chosen)} images, on {trained.description}"
    )
    if note := getattr(images, "note", ""):
        progress.message(note)
    progress.message(trained.task.table({what.split()[-1]: metrics}))
    if options.json is not None:
        result = {
            "checkpoint": str(trained.path),
            "data": what,
            "images": len(chosen),
            **trained.task.metadata(),
            **trained.task.result(metrics),
        }
        write_text(Path(options.json), json.dumps(result, indent=1) + "\n")
    return 0


def _is_evaluation(path: Path) -> bool:
    """Whether a file is what ``--json`` wrote before."""
    import json

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and {"checkpoint", "data", "images"} <= content.keys()


if __name__ == "__main__":
    sys.exit(main())
