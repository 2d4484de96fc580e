"""What has come of a set of runs: JSON, and a table in Markdown."""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np

from minideconv import tasks
from minideconv._version import __version__
from minideconv.ablate.folder import Folder, RunSet
from minideconv.ablate.paired import mean_and_spread, paired_difference
from minideconv.ablate.variants import ABLATIONS, configurations, run_name

__all__ = ["collect", "difference_text", "machine", "markdown", "value_text"]

_HEAD = ("ablation", "variant", "parameters", "updates", "seconds")


def collect(folder: Folder, planned: RunSet) -> dict[str, Any]:
    """Return the results of all runs that are done, as plain JSON; `markdown` describes them."""
    configs = configurations(planned.base, planned.names)
    ablations = []
    for name in planned.names:
        variants: list[dict[str, Any]] = []
        reference: dict[int, float] | None = None
        for variant in ABLATIONS[name].variants:
            run = run_name(name, variant, planned.base)
            found = {seed: folder.outcome(run, seed) for seed in planned.all_seeds}
            done = {seed: outcome for seed, outcome in found.items() if outcome is not None}
            values = {s: o["value"] for s, o in done.items() if o["value"] is not None}
            mean, spread = mean_and_spread([*values.values()])
            difference = None if reference is None else paired_difference(values, reference)
            variants.append(
                {
                    "name": variant.name,
                    "label": variant.label.format(**configs[run].to_dict()),
                    "run": run,
                    "done": len(done),
                    "parameters": max((o.get("parameters", 0) for o in done.values()), default=0),
                    "updates": max((o.get("updates", 0) for o in done.values()), default=0),
                    "seconds": mean_and_spread([o.get("seconds", 0.0) for o in done.values()])[0],
                    "values": {str(seed): value for seed, value in values.items()},
                    "diverged": [seed for seed, o in done.items() if o["diverged"]],
                    "mean": mean,
                    "spread": spread,
                    "difference": None if difference is None else dataclasses.asdict(difference),
                }
            )
            reference = values if reference is None else reference
        ablations.append({"name": name, "title": ABLATIONS[name].title, "variants": variants})
    return {
        "metric": tasks.get(planned.base.task).main_metric.title,
        "date": date.today().isoformat(),
        "minideconv": __version__,
        "machine": machine(),
        **planned.to_dict(),
        "results": ablations,
    }


def machine() -> dict[str, Any]:
    """Return what the runs' seconds depend on; nothing that identifies the machine."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "numpy": np.__version__,
    }


def markdown(results: Mapping[str, Any]) -> str:
    """Return the table: mean and standard deviation over seeds, and differences paired by seed."""
    seeds = results["seeds"]
    rows = [[*_HEAD, results["metric"], "difference, 95 % interval", "seeds above"]]
    rows.append(["---", "---", *["--:"] * (len(rows[0]) - 2)])
    for ablation in results["results"]:
        for index, variant in enumerate(ablation["variants"]):
            seconds = variant["seconds"]
            rows.append(
                [
                    "" if index else ablation["title"],
                    variant["label"],
                    f"{variant['parameters']:,}" if variant["parameters"] else "-",
                    f"{variant['updates']:,}" if variant["updates"] else "-",
                    "-" if seconds is None else f"{seconds:.0f}",
                    value_text(variant),
                    *(difference_text(variant["difference"]) if index else ("reference", "")),
                ]
            )
    lines = [f"| {' | '.join(row)} |" for row in rows]
    text = (
        f"{results['metric']}: mean ± standard deviation over {seeds} seeds on the validation"
        " images, last epoch. Difference: to the first row of its group, paired by seed, with the"
        " 95 % interval of its mean by Student's t."
    )
    return "\n".join([*lines, "", text]) + "\n"


def value_text(variant: Mapping[str, Any]) -> str:
    """Return mean and standard deviation, and how many seeds have no value."""
    mean, spread = variant["mean"], variant["spread"]
    parts: Sequence[str] = ()
    if mean is not None:
        parts = [f"{mean:.3f}" + ("" if spread is None else f" ± {spread:.3f}")]
    if variant["diverged"]:
        parts = [*parts, f"diverged in {len(variant['diverged'])} of {variant['done']}"]
    return ", ".join(parts) or "-"


def difference_text(found: Mapping[str, Any] | None) -> tuple[str, str]:
    """Return a paired difference with its interval, and in how many seeds it is above 0."""
    if found is None:
        return "-", ""
    text, half = f"{found['mean']:+.3f}", found["half_width"]
    if half is not None:
        text += f" [{found['mean'] - half:+.3f}, {found['mean'] + half:+.3f}]"
    return text, f"{found['above']} of {found['seeds']}"
