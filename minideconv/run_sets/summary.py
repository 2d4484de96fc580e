"""What runs gave over the seeds: numbers for ``results.json``, and words for a table."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import numpy as np

from minideconv import tasks
from minideconv._version import __version__
from minideconv.run_sets.folder import Plan, SetFolder
from minideconv.run_sets.paired import mean_and_spread, paired_difference

__all__ = ["difference", "difference_text", "heading", "over_seeds", "value_text"]


def heading(planned: Plan) -> dict[str, Any]:
    """Return what stands above the results of a set: when, with what, and what was planned."""
    return {
        "metric": tasks.get(planned.base.task).main_metric.title,
        "date": date.today().isoformat(),
        "minideconv": __version__,
        "machine": _machine(),
        **planned.to_dict(),
    }


def _machine() -> dict[str, Any]:
    """Return what the runs' seconds depend on; nothing that identifies the machine."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "python": ".".join(map(str, sys.version_info[:3])),
        "numpy": np.__version__,
    }


def over_seeds(folder: SetFolder[Plan], planned: Plan, run: str) -> dict[str, Any]:
    """Return what is known of a run with each seed: its values, their mean and spread, its size."""
    found = {seed: folder.outcome(run, seed) for seed in planned.all_seeds}
    done = {seed: outcome for seed, outcome in found.items() if outcome is not None}
    values = {seed: o["value"] for seed, o in done.items() if o["value"] is not None}
    mean, spread = mean_and_spread([*values.values()])
    return {
        "done": len(done),
        "parameters": max((o.get("parameters", 0) for o in done.values()), default=0),
        "updates": max((o.get("updates", 0) for o in done.values()), default=0),
        "seconds": mean_and_spread([o.get("seconds", 0.0) for o in done.values()])[0],
        "values": {str(seed): value for seed, value in values.items()},
        "diverged": [seed for seed, o in done.items() if o["diverged"]],
        "mean": mean,
        "spread": spread,
    }


def difference(
    found: Mapping[str, Any], reference: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """Return `paired_difference` of what `over_seeds` returned for two runs, as plain JSON."""
    if reference is None:
        return None
    pair = paired_difference(found["values"], reference["values"])
    return None if pair is None else asdict(pair)


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
