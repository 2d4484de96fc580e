"""What has come of a set of ablations: JSON, and a table in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minideconv.ablate.folder import Folder, RunSet
from minideconv.ablate.variants import ABLATIONS, configurations, run_name
from minideconv.run_sets.summary import (
    difference,
    difference_text,
    heading,
    over_seeds,
    value_text,
)

__all__ = ["collect", "markdown"]

_HEAD = ("ablation", "variant", "parameters", "updates", "seconds")


def collect(folder: Folder, planned: RunSet) -> dict[str, Any]:
    """Return the results of all runs that are done, as plain JSON; `markdown` describes them."""
    configs = configurations(planned.base, planned.names)
    ablations = []
    for name in planned.names:
        variants: list[dict[str, Any]] = []
        for variant in ABLATIONS[name].variants:
            run = run_name(name, variant, planned.base)
            found = over_seeds(folder, planned, run)
            variants.append(
                {
                    "name": variant.name,
                    "label": variant.label.format(**configs[run].to_dict()),
                    "run": run,
                    **found,
                    "difference": difference(found, variants[0] if variants else None),
                }
            )
        ablations.append({"name": name, "title": ABLATIONS[name].title, "variants": variants})
    return {**heading(planned), "results": ablations}


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
