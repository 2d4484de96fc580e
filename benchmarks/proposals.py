"""What proposals cost, and what a network gains by them. ``python -m benchmarks.proposals RUN``

    python -m benchmarks.proposals RUN [--counts 1 2 5 10 20 50] [--plot FILE.png] [--out FILE.json]

For each number of windows N: the share of the objects that a box among the first N fits, and the
mean IoU of the network that looks at the first N windows, joined by maximum and by sum. The windows
are computed once, the largest N of them, and joined one after the other. In the first row, N = 0,
the network looks at the whole image.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from minideconv.backend import to_cpu
from minideconv.data.shard import spread
from minideconv.errors import UsageError
from minideconv.segmentation import ConfusionMatrix, Segmenter
from minideconv.segmentation.proposals import (
    Proposals,
    best_windows,
    edge_boxes,
    objects_found,
    selective_search,
    sliding_windows,
)
from minideconv.settings.command_line import HelpFormatter, positive, run_program
from minideconv.training.computing import computing
from minideconv.training.run.evaluation_data import evaluation_data
from minideconv.training.run.trained import load_trained

__all__ = ["PROPOSERS", "curve", "main"]

PROPOSERS: dict[str, Callable[[np.ndarray], Proposals]] = {
    "edge-boxes": edge_boxes,
    "sliding-windows": lambda image: sliding_windows(*image.shape[:2]),
    "selective-search": selective_search,
}
COUNTS = (1, 2, 5, 10, 20, 50)
FITS = 0.7
"""IoU from which a box fits an object."""


def curve(
    segmenter: Segmenter,
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    classes: int,
    by: str,
    counts: Sequence[int] = COUNTS,
) -> dict[str, Any]:
    """Measure one way to propose on pairs of image and truth; `counts` rise."""
    metrics = {(n, join): ConfusionMatrix(classes) for n in counts for join in ("max", "sum")}
    found, objects, seconds, windows_in_all = dict.fromkeys(counts, 0), 0, 0.0, 0
    PROPOSERS[by](pairs[0][0])  # compiles
    for image, truth in pairs:
        start = time.process_time()
        proposals = PROPOSERS[by](image)
        seconds += time.process_time() - start
        for n in counts:
            found[n] += objects_found(proposals.boxes[:n], truth, FITS)[0]
        objects += objects_found(proposals.boxes[:0], truth)[1]
        windows = best_windows(proposals, *image.shape[:2], count=counts[-1])
        windows_in_all += len(windows)
        highest, total = None, np.zeros(())
        for number, scores in enumerate(segmenter.window_scores(image, windows), 1):
            here = to_cpu(scores)
            highest = here if highest is None else np.maximum(highest, here)
            total = total + here
            for n in counts:
                if number == min(n, len(windows)):
                    metrics[n, "max"].update(truth, highest.argmax(axis=0))
                    metrics[n, "sum"].update(truth, total.argmax(axis=0))
    return {
        "by": by,
        "seconds": seconds / len(pairs),
        "windows": windows_in_all / len(pairs),
        "objects": objects,
        "rows": [
            {
                "count": n,
                "recall": found[n] / max(1, objects),
                "max": metrics[n, "max"].mean_iou,
                "sum": metrics[n, "sum"].mean_iou,
            }
            for n in counts
        ],
    }


def whole(segmenter: Segmenter, pairs: Sequence[tuple[Any, Any]], classes: int) -> float:
    """Return the mean IoU of a network that looks at whole images."""
    confusion = ConfusionMatrix(classes)
    for image, truth in pairs:
        confusion.update(truth, segmenter.labels(image))
    return confusion.mean_iou


def table(results: Mapping[str, Any]) -> str:
    """Return results as Markdown."""
    curves = results["curves"]
    head = "".join(f" {c['by']}: objects found | maximum | sum |" for c in curves)
    rows = [f"| N |{head}", "|---|" + "---|" * (3 * len(curves))]
    rows.append("| 0 |" + f" | {results['whole']:.3f} | |" * len(curves))
    for number, count in enumerate(row["count"] for row in curves[0]["rows"]):
        each = [curve["rows"][number] for curve in curves]
        cells = "".join(f" {r['recall']:.2f} | {r['max']:.3f} | {r['sum']:.3f} |" for r in each)
        rows.append(f"| {count} |{cells}")
    cost = ", ".join(f"{c['by']} {c['seconds']:.2f} s" for c in curves)
    rows += ["", f"Proposing takes, an image: {cost} of one core."]
    return "\n".join(rows) + "\n"


def plot(results: Mapping[str, Any], path: Path) -> None:
    """Draw mean IoU against the number of windows."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            "drawing needs matplotlib, which is not installed; pip install minideconv[viz]"
        ) from error
    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    axes = figure.subplots()
    for color, one in zip(("#0b6e4f", "#3d7ea6", "#d08c29"), results["curves"], strict=False):
        counts = [row["count"] for row in one["rows"]]
        for join, style in (("max", "-"), ("sum", "--")):
            values = [row[join] for row in one["rows"]]
            label = f"{one['by']}, {join}"
            axes.plot(counts, values, style, color=color, marker=".", label=label)
    axes.axhline(results["whole"], color="#b5442e", linewidth=1, label="whole image")
    axes.set(xlabel="windows N", ylabel="mean IoU", ylim=(0, None), xscale="log")
    axes.set_xticks(counts, [str(count) for count in counts], minor=False)
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130, metadata={"Software": None})


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    given = _parser().parse_args(arguments)
    for name, path in (("--out", given.out), ("--plot", given.plot)):
        if path is not None and not path.absolute().parent.is_dir():
            raise UsageError(f"{name} {path}: there is no folder {path.absolute().parent}")
    trained = load_trained(given.checkpoint)
    segmenter = trained.predictor
    if not isinstance(segmenter, Segmenter) or not hasattr(trained.task, "classes"):
        raise UsageError(f"{trained.path} segments no images")
    changes = {} if given.data_root is None else {"data_root": given.data_root}
    split = given.split or trained.header["config"]["val_split"]
    images, what = evaluation_data(trained, split, changes)
    pairs = [images[k] for k in spread(len(images), given.limit or len(images))]
    classes = len(trained.task.classes)
    counts = sorted(set(given.counts))
    with computing(trained.device, given.threads, None):
        results = {
            "date": date.today().isoformat(),
            "machine": machine.describe(),
            "network": str(trained.path),
            "data": what,
            "images": len(pairs),
            "whole": whole(segmenter, pairs, classes),
            "curves": [curve(segmenter, pairs, classes, by, counts) for by in given.by],
        }
    print(f"{trained.path} on {len(pairs)} images of {what}\n\n{table(results)}")
    if given.out is not None:
        given.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if given.plot is not None:
        plot(results, given.plot)
    return 0


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.proposals", description=__doc__, formatter_class=HelpFormatter
    )
    parser.add_argument("checkpoint", metavar="RUN|CHECKPOINT", help="a network that segments")
    parser.add_argument("--by", nargs="+", choices=tuple(PROPOSERS), metavar="NAME",
                        default=["edge-boxes", "sliding-windows"],
                        help="who proposes: " + ", ".join(PROPOSERS))  # fmt: skip
    parser.add_argument("--counts", type=positive, nargs="+", default=COUNTS, metavar="N")
    parser.add_argument("--data-root", metavar="DIR", help="the run's, if left out")
    parser.add_argument("--split", metavar="NAME", help="image list [the run's validation list]")
    parser.add_argument("--limit", type=positive, metavar="N", help="only N images [all]")
    parser.add_argument("--threads", type=positive, default=2, metavar="N",
                        help="worker threads [2]")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FILE", help="store JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw mean IoU against N")
    return parser


if __name__ == "__main__":
    sys.exit(run_program("benchmarks.proposals", main))
