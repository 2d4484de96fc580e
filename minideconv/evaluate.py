"""``python -m minideconv.evaluate``: the four figures of a trained network over an image list."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minideconv.errors import UsageError
from minideconv.files.outputs import refuse_foreign_file
from minideconv.settings.command_line import (
    HelpFormatter,
    add_machine_options,
    naming_device_option,
    positive,
    run_program,
)
from minideconv.training.config import TrainConfig

__all__ = ["main"]

_DESCRIPTION = """\
Evaluate a trained network: pixel accuracy, mean accuracy, mean IoU and frequency weighted IoU from
one confusion matrix over the whole list, at each image's own size, void pixels not counted.

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
            options.checkpoint, options.device, options.which, options.flip, options.batch_size
        )
    images, what = _images(options, trained.header)
    if list(images.classes) != trained.classes:
        raise UsageError(
            f"{trained.path} knows {len(trained.classes)} classes ({_some(trained.classes)}) but "
            f"the data has {len(images.classes)} ({_some(images.classes)}); they must be the same"
        )
    with computing(trained.device, options.threads, options.algorithm, options.precision):
        return _evaluate(options, trained, images, what)


def _images(options: argparse.Namespace, header: dict[str, Any]) -> tuple[Any, str]:
    """Build the data set to evaluate on; what is not given is as in the run."""
    from minideconv.training import build

    changes = {
        name: getattr(options, name)
        for name in ("data", "data_root")
        if getattr(options, name) is not None
    }
    config = TrainConfig.from_dict({**header["config"], **changes})
    split = options.split or config.val_split
    count = {config.train_split: config.train_images, config.val_split: config.val_images}
    same = config.data == header["config"]["data"]
    images = build.split_of(config, split, count.get(split, 0) if same else 0)
    return images, f"{config.data} {split}"


def _evaluate(options: argparse.Namespace, trained: Any, images: Any, what: str) -> int:
    import json

    from minideconv.segmentation import ConfusionMatrix
    from minideconv.training.run.folder import write_text
    from minideconv.training.run.progress import make_progress
    from minideconv.training.session import figures_table
    from minideconv.training.validation import spread

    chosen = spread(len(images), options.limit or len(images))
    confusion = ConfusionMatrix(len(trained.classes))
    progress = make_progress(options.quiet)
    try:
        found = trained.segmenter.labels_of(images[index][0] for index in chosen)
        for done, (index, labels) in enumerate(zip(chosen, found, strict=True)):
            confusion.update(images[index][1], labels)
            progress.work("evaluating", done + 1, len(chosen))
    finally:
        progress.close()
    epoch = trained.header["progress"]["epoch"]
    progress.message(
        f"{trained.path} (epoch {epoch}) on {what}: {len(chosen)} images, on {trained.place}"
    )
    if note := getattr(images, "note", ""):
        progress.message(note)
    progress.message(figures_table(trained.classes, {what.split()[-1]: confusion}))
    if options.json is not None:
        result = {
            "checkpoint": str(trained.path),
            "data": what,
            "images": len(chosen),
            "classes": trained.classes,
            **confusion.figures(),
            "confusion": confusion.counts.tolist(),
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
    return isinstance(content, dict) and {"checkpoint", "confusion"} <= content.keys()


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


if __name__ == "__main__":
    sys.exit(main())
