"""What has come of a set of starts and labels: JSON, and a table in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minideconv.few_labels.folder import Folder
from minideconv.few_labels.plan import STARTS, FewLabels
from minideconv.few_labels.runs import run_name
from minideconv.run_sets.summary import (
    difference,
    difference_text,
    heading,
    over_seeds,
    value_text,
)

__all__ = ["collect", "markdown"]


def collect(folder: Folder, planned: FewLabels) -> dict[str, Any]:
    """Return the results of all runs that are done, as plain JSON; `markdown` describes them."""
    return {
        **heading(planned),
        "pretexts": {name: over_seeds(folder, planned, name) for name in planned.pretexts},
        "results": [_with_labels(folder, planned, labels) for labels in planned.labels],
    }


def _with_labels(folder: Folder, planned: FewLabels, labels: int) -> dict[str, Any]:
    """Return what came of each start with so many labels."""
    starts: dict[str, Any] = {}
    for start in (name for name in STARTS if name in planned.starts):
        found = over_seeds(folder, planned, run_name(start, labels))
        found["difference"] = difference(found, starts.get("random"))
        starts[start] = found
    return {"labels": labels, "starts": starts}


def markdown(results: Mapping[str, Any]) -> str:
    """Return the table: mean and standard deviation over seeds, and differences paired by seed."""
    metric = results["metric"]
    rows = [["labels", "start", "seconds", metric, "each seed", "difference, 95 % interval"]]
    rows[0].append("seeds above")
    rows.append(["--:", "---", *["--:"] * 5])
    for group in results["results"]:
        for index, (name, found) in enumerate(group["starts"].items()):
            seconds, compared = found["seconds"], ("reference", "")
            if name != "random":
                compared = difference_text(found["difference"])
            rows.append(
                [
                    "" if index else str(group["labels"]),
                    STARTS[name],
                    "-" if seconds is None else f"{seconds:.0f}",
                    value_text(found),
                    ", ".join(f"{value:.3f}" for value in found["values"].values()),
                    *compared,
                ]
            )
    lines = [f"| {' | '.join(row)} |" for row in rows]
    text = (
        f"{metric}: mean ± standard deviation over {results['seeds']} seeds on the validation"
        " images. Difference: to random weights with as many labels, paired by seed, with the 95 %"
        " interval of its mean by Student's t."
    )
    for name, found in results["pretexts"].items():
        if found["mean"] is not None:
            text += (
                f" The {STARTS[name]} itself: PSNR {value_text(found)} dB on the validation"
                f" images, {found['seconds']:.0f} seconds."
            )
    return "\n".join([*lines, "", text, "", *_decided(results)]) + "\n"


def _decided(results: Mapping[str, Any]) -> list[str]:
    """Say of each start with how many labels its interval leaves 0 out, and how many do."""
    lines, compared, decided = [], 0, 0
    for name in (name for name in STARTS if name != "random"):
        words: dict[str, list[str]] = {}
        for group in results["results"]:
            found = group["starts"].get(name, {}).get("difference")
            if found is None or found["half_width"] is None:
                continue
            sure = abs(found["mean"]) > found["half_width"]
            compared, decided = compared + 1, decided + sure
            verdict = "not told apart from random weights"
            if sure:
                verdict = "better" if found["mean"] > 0 else "worse"
            words.setdefault(verdict, []).append(str(group["labels"]))
        if words:
            parts = [
                f"{verdict} with {', '.join(counts)} labels" for verdict, counts in words.items()
            ]
            lines.append(f"- {STARTS[name]}: {'; '.join(parts)}")
    if compared:
        chance = 100 * (1 - 0.95**compared)
        lines = [
            f"Decided (the interval leaves 0 out): {decided} of {compared} differences. If no start"
            " made a difference, and they were independent, one at least would be decided by chance"
            f" in {chance:.0f} % of such experiments.",
            "",
            *lines,
        ]
    return lines
