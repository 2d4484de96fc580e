"""An ensemble's settings, one beside the other: ``python -m benchmarks.ensembles RUN RUN``

    python -m benchmarks.ensembles RUN RUN [--scales 320,448] [--out FILE.json]

Every network computes the scores of each validation image, and of its mirror image, once at each of
the sizes. From these follow, for each size alone and for the mean of all, with and without the
mirror image: mean IoU of each network and of the networks together by each rule of
`segmentation.ensemble`; and how far an ensemble is above the better of its networks, with the 95 %
interval of a paired bootstrap.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import machine
from minideconv import tasks
from minideconv.backend import to_cpu
from minideconv.compare.bootstrap import paired_difference
from minideconv.compare.members import load_members
from minideconv.data.shard import spread
from minideconv.errors import UsageError
from minideconv.segmentation import ConfusionMatrix, Predictor
from minideconv.segmentation.ensemble import RULES, joined
from minideconv.segmentation.predictor import class_labels
from minideconv.settings import command_line
from minideconv.training.computing import computing
from minideconv.training.run.evaluation_data import evaluation_data

__all__ = ["RESULTS", "main", "measure", "table"]

RESULTS = Path(__file__).parent / "results" / "ensembles.json"

Scores = npt.NDArray[np.float32]
Looks = Mapping[int, tuple[Scores, Scores]]
"""By input size: a network's scores of an image, and those of its mirror image, mirrored back."""


def measure(
    looks: Iterator[tuple[npt.NDArray[np.uint8], Mapping[str, Looks]]], classes: int
) -> list[dict[str, Any]]:
    """Return what each setting reaches.

    Parameters
    ----------
    looks : iterator of (truth, looks by the networks' names)
        One for each image; a truth is (H, W), scores are (C, H, W).
    classes : int
        C.
    """
    counts: dict[tuple[tuple[int, ...], bool], dict[str, list[Any]]] = {}
    for truth, networks in looks:
        sizes = tuple(next(iter(networks.values())))
        each_size = [(size,) for size in sizes]
        for chosen in [*each_size, sizes] if len(sizes) > 1 else each_size:
            for flip in (False, True):
                scores = [_mean(own, chosen, flip) for own in networks.values()]
                rows = dict(zip(networks, scores, strict=True))
                rows |= {rule: joined(scores, rule) for rule in RULES}
                into = counts.setdefault((chosen, flip), {})
                for name, each in rows.items():
                    matrix = ConfusionMatrix(classes)
                    matrix.update(truth, class_labels(each))
                    into.setdefault(name, []).append(matrix.counts)
    return [
        {"sizes": list(chosen), "flip": flip, **_compared({k: np.stack(v) for k, v in of.items()})}
        for (chosen, flip), of in counts.items()
    ]


def _mean(looks: Looks, sizes: Sequence[int], flip: bool) -> Scores:
    chosen = [look for size in sizes for look in looks[size][: 1 + flip]]
    return sum(chosen[1:], start=chosen[0]) / np.float32(len(chosen))


def _compared(counts: Mapping[str, npt.NDArray[np.int64]]) -> dict[str, Any]:
    """Return mean IoU of each row, and each rule's difference to the better network."""
    ious = {}
    for name, own in counts.items():
        matrix = ConfusionMatrix(own.shape[-1])
        matrix.add(own.sum(axis=0))
        ious[name] = matrix.mean_iou
    networks = [name for name in counts if name not in RULES]
    better = max(networks, key=ious.__getitem__)
    found = {rule: paired_difference(counts[rule], counts[better]) for rule in RULES}
    above = {
        rule: {"difference": each.difference, "low": each.low, "high": each.high}
        for rule, each in found.items()
    }
    return {"mean_iou": ious, "better": better, "above": above}


def table(found: Mapping[str, Any]) -> str:
    """Return the results as a table in Markdown."""
    names = [name for name in found["settings"][0]["mean_iou"] if name not in RULES]
    lines = [
        f"| sizes | mirror image | {' | '.join(names)} | {' | '.join(RULES)} |",
        "|---|---|" + "---:|" * (len(names) + len(RULES)),
    ]
    for each in found["settings"]:
        cells = [f"{100 * each['mean_iou'][name]:.1f}" for name in names]
        for rule in RULES:
            own = each["above"][rule]
            numbers = ", ".join(f"{100 * own[key]:+.1f}" for key in ("low", "high"))
            text = (
                f"{100 * each['mean_iou'][rule]:.1f} ({100 * own['difference']:+.1f} [{numbers}])"
            )
            cells.append(f"**{text}**" if own["low"] > 0 else text)
        sizes = " and ".join(map(str, each["sizes"]))
        lines.append(f"| {sizes} | {'yes' if each['flip'] else 'no'} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _looks(
    members: Mapping[str, Mapping[int, Predictor]], pairs: Callable[[], Iterator[Any]]
) -> Iterator[tuple[Any, dict[str, Looks]]]:
    """Yield the truth of each image and what the networks make of it."""
    streams = {
        (name, size): zip(
            predictor.scores_of(image for image, _ in pairs()),
            predictor.scores_of(np.ascontiguousarray(image[:, ::-1]) for image, _ in pairs()),
            strict=True,
        )
        for name, own in members.items()
        for size, predictor in own.items()
    }
    for _, truth in pairs():
        found: dict[str, dict[int, tuple[Scores, Scores]]] = {name: {} for name in members}
        for (name, size), stream in streams.items():
            plain, mirrored = map(to_cpu, next(stream))
            found[name][size] = plain, mirrored[..., ::-1]
        yield truth, found


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ensembles",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", help="trained networks")
    parser.add_argument("--scales", metavar="PIXELS,...", help="input sizes [the one of training]")
    parser.add_argument("--limit", metavar="N", type=command_line.positive,
                        help="images, spread evenly [all]")  # fmt: skip
    parser.add_argument("--threads", metavar="N", type=command_line.positive, default=2,
                        help="worker threads [2]")  # fmt: skip
    parser.add_argument("--out", metavar="FILE.json", type=Path, default=RESULTS,
                        help="where the results go")  # fmt: skip
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command line."""
    given = _parser().parse_args(arguments)
    if len(given.runs) < 2:
        raise UsageError(f"{len(given.runs)} network; an ensemble has two at least")
    first = load_members(given.runs, "cpu")
    inference = tasks.inference_of(tasks.Segmentation, {"scales": given.scales})
    sizes = inference.sizes(first[0].trained.header["input_size"])
    at_sizes = {size: load_members(given.runs, "cpu", scales=str(size)) for size in sizes}
    members = {
        member.name: {size: at_sizes[size][place].predictor for size in sizes}
        for place, member in enumerate(first)
    }
    trained = first[0].trained
    data, what = evaluation_data(trained, None, {})
    chosen = spread(len(data), given.limit or len(data))

    def pairs() -> Iterator[Any]:
        return (data[index] for index in chosen)

    with computing(trained.device, given.threads, None):
        settings = measure(_counted(_looks(members, pairs), len(chosen)), len(trained.classes))
    found = {
        "date": date.today().isoformat(),
        "machine": machine.describe(),
        "data": what,
        "images": len(chosen),
        "settings": settings,
    }
    given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(table(found))
    return 0


def _counted(stream: Iterator[Any], total: int) -> Iterator[Any]:
    for number, each in enumerate(stream, 1):
        print(f"\r{number} of {total} images", end="", file=sys.stderr, flush=True)
        yield each
    print(file=sys.stderr)


if __name__ == "__main__":
    sys.exit(command_line.run_program("benchmarks.ensembles", main, sys.argv[1:]))
