"""A comparison as JSON, and the same as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minideconv import _version
from minideconv.compare.bootstrap import CONFIDENCE, RESAMPLES
from minideconv.compare.measure import Measured, Row
from minideconv.compare.members import Member, not_in_common
from minideconv.compare.rows import differences, row_metrics
from minideconv.data.classes import Classes
from minideconv.tasks.results import format_number
from minideconv.visualize.html import percent

__all__ = ["markdown", "results"]


def results(
    members: Sequence[Sequence[Member]],
    measured: Sequence[Measured],
    dataset: Any,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    **more: Any,
) -> dict[str, Any]:
    """Return everything that was found as plain JSON.

    Parameters
    ----------
    members : sequence of sequence of Member
        The networks, for each seed of training.
    measured : sequence of Measured
        What was counted, for each seed.
    dataset : data set
    resamples, confidence
        See `paired_difference`.
    **more
        Other entries, plain JSON.
    """
    first = measured[0]
    names = [member.name for member in members[0]]
    rows = {
        name: {
            **row_metrics([each.rows[name] for each in measured]),
            **{
                key: [
                    {"image": dataset.name(first.images[at]), "mean_iou": row.image_iou[at]}
                    for at in places
                ]
                for key, places in zip(("best", "worst"), row.extremes(), strict=True)
            },
        }
        for name, row in first.rows.items()
    }
    return {
        "minideconv": _version.__version__,
        **getattr(dataset, "class_table", Classes(dataset.classes)).to_dict(),
        "images": len(first.images),
        "class_images": _class_images(next(iter(first.rows.values()))),
        "networks": [member.facts() for group in members for member in group],
        "not_in_common": not_in_common(members[0]),
        "rows": rows,
        "bootstrap": {"resamples": resamples, "confidence": confidence, "seed": 0},
        "differences": differences(names, measured, resamples, confidence),
        **more,
    }


def markdown(found: dict[str, Any]) -> str:
    """Return the tables of `results` as Markdown."""
    parts = [
        f"# {found['title']}\n\n{found['images']} images of {found['data']}; mean IoU of"
        " one confusion matrix over all of them, in per cent.",
        _table(ROW_HEADS, row_table(found)),
        f"## Classes\n\n{ABOUT_CLASSES}",
        _table(*class_table(found)),
        f"## Differences\n\n{about_intervals(found)}",
        _table(DIFFERENCE_HEADS, [cells for cells, _ in difference_table(found)]),
        f"## Cost\n\n{about_budget(found)}",
        _table(COST_HEADS, cost_table(found)),
    ]
    if found.get("limits"):
        parts += ["## Limits, on drawn pictures", *map(_titled, limit_tables(found["limits"]))]
    return "\n\n".join(parts) + "\n"


def _titled(table: tuple[str, Sequence[str], list[list[str]]]) -> str:
    title, heads, rows = table
    return f"{title}\n\n{_table(heads, rows)}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


ROW_HEADS = (
    *("row", "mean IoU", "pixel accuracy", "1 px from outlines", "4 px from outlines"),
    *("small objects", "medium", "large"),
)


def row_table(found: dict[str, Any]) -> list[list[str]]:
    """Return the lines of the table of rows."""
    lines = []
    for name, row in found["rows"].items():
        of_seeds = [value for value in row["mean_iou_of_seeds"] if value is not None]
        mean = percent(row["mean_iou"])
        if len(of_seeds) > 1:
            mean += f" ({percent(min(of_seeds))} to {percent(max(of_seeds))})"
        bands = [row["boundary_iou"][radius] for radius in ("1", "4")]
        shares = [row["pixel_accuracy"], *bands, *row["size_iou"].values()]
        lines.append([name, mean, *map(percent, shares)])
    return lines


ABOUT_CLASSES = (
    "IoU of each class, in per cent, and in how many images the truth shows it: a class in few of"
    " them weighs in the mean as much as any other, and is the least certain."
)


def class_table(found: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return heads and lines of the table of classes; the last line is the mean."""
    lines = [
        [name, str(images), *(percent(row["class_iou"][at]) for row in found["rows"].values())]
        for at, (name, images) in enumerate(
            zip(found["classes"], found["class_images"], strict=True)
        )
    ]
    means = [percent(row["mean_iou"]) for row in found["rows"].values()]
    lines.append(["mean IoU", str(found["images"]), *means])
    return ["class", "images", *found["rows"]], lines


def _class_images(row: Row) -> list[int]:
    """Return in how many images the truth shows each class."""
    return [int(count) for count in (np.stack(row.counts).sum(axis=2) > 0).sum(axis=0)]


DIFFERENCE_HEADS = ("row", "less", "difference", "from", "to", "the first is", "in the paper")


def difference_table(found: dict[str, Any]) -> list[tuple[list[str], dict[str, Any]]]:
    """Return the lines of the table of differences, each with what it is made from."""
    return [
        (
            [
                each["row"],
                each["than"],
                *(f"{100 * each[key]:+.1f}" for key in ("difference", "low", "high")),
                each["verdict"],
                each["paper"] or "–",
            ],
            each,
        )
        for each in found["differences"]
    ]


def about_intervals(found: dict[str, Any]) -> str:
    """Return which intervals these are."""
    bootstrap = found["bootstrap"]
    seeds = len({each["seed"] for each in found["networks"]})
    text = (
        f"Of mean IoU, in points, with {100 * bootstrap['confidence']:g} % intervals of a paired"
        f" bootstrap: {bootstrap['resamples']:,} draws of {found['images']} images, the same for"
        " both rows, mean IoU computed anew from the sum of the drawn images' confusion matrices."
    )
    if seeds > 1:
        text += f" Both are means over {seeds} seeds; the intervals are about other images."
    return text


def about_budget(found: dict[str, Any]) -> str:
    """Return whether the networks had one budget."""
    if found["not_in_common"]:
        return f"The budgets differ: {'; '.join(found['not_in_common'])}."
    return "Data, examples, seed and updates are the same for all networks."


COST_HEADS = (
    *("network", "seed", "parameters", "multiply-accumulates a pass", "for an image", "epochs"),
    *("updates", "seconds of training"),
)


def cost_table(found: dict[str, Any]) -> list[list[str]]:
    """Return the lines of the table of costs."""
    return [
        [
            each["name"],
            str(each["seed"]),
            f"{each['parameters']:,}",
            _large(each["multiply_accumulates"]),
            _large(each["multiply_accumulates_per_image"]),
            str(each["epochs"]),
            f"{each['updates']:,}",
            f"{each['training_seconds']:.0f}",
        ]
        for each in found["networks"]
    ]


def _large(number: int) -> str:
    """Write 15346630656 as 15.3 G."""
    for unit, name in ((10**9, "G"), (10**6, "M")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number:,}"


def limit_tables(limits: dict[str, Any]) -> list[tuple[str, Sequence[str], list[list[str]]]]:
    """Return the tables of `drawn`: title, heads, lines."""
    tables: list[tuple[str, Sequence[str], list[list[str]]]] = []
    series = limits["sizes"]
    names = list(series[0]["rows"]) if series else []
    for key, title, show in (
        ("iou", "IoU of the object, in per cent", percent),
        ("missed", "missed objects, in per cent", percent),
        ("pieces", "pieces of an object that is not missed", _pieces),
    ):
        heads = ["radius", "share of the picture", "radius seen in training", *names]
        lines = [
            [
                f"{each['radius']:g}",
                f"{percent(each['share'])} %",
                "yes" if each["seen_in_training"] else "no",
                *(show(each["rows"][name][key]) for name in names),
            ]
            for each in series
        ]
        tables.append((title, heads, lines))
    shown = limits["details"]
    names = list(shown[0]["rows"])
    for key, title in (
        ("iou", "IoU of objects of one size and class, in per cent"),
        ("outline_iou", "mean IoU 1 px from their outlines, in per cent"),
    ):
        lines = [[one["class"], *(percent(one["rows"][n][key]) for n in names)] for one in shown]
        tables.append((title, ["class", *names], lines))
    return tables


def _pieces(value: float | None) -> str:
    return format_number(value) if value is None else f"{value:.2f}"
