"""What the lines of metrics.jsonl may hold; see `files.schema`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minideconv.files.schema import Kind, mapping_of, number, optional, table, text, whole

__all__ = ["check_lines"]

_NUMBER = optional(number(finite=False))
_LINE = {"step": whole(), "epoch": whole(), "stage": text}


def check_lines(lines: Sequence[Any], main_metric: str) -> None:
    """Raise `Mismatch` for a line of steps or epochs that a report cannot be made of.

    Parameters
    ----------
    lines : sequence of JSON
    main_metric : str
        The name of the task's main metric, which epochs have.
    """
    means = table({"loss": _NUMBER, main_metric: _NUMBER})
    kinds: dict[str, Kind] = {
        "step": table({**_LINE, "loss": _NUMBER, "lr": _NUMBER}, {"images_per_second": _NUMBER}),
        "epoch": table(
            {**_LINE, "train": means, "elapsed": number(0, 1e12)},
            {"val": means, "memory": optional(mapping_of(_NUMBER)), "data_wait": _NUMBER},
        ),
    }
    any_kind = table({"kind": text, **_LINE})
    for at, line in enumerate(lines, 1):
        where = f"metrics.jsonl, line {at}"
        any_kind(line, where)
        if line["kind"] in kinds:
            kinds[line["kind"]](line, where)
