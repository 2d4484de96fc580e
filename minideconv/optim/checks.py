"""Checks that the optimisers and the schedules share: numbers in their range, or one sentence."""

from __future__ import annotations

import math
from typing import Any

from minideconv.backend import check_state
from minideconv.backend.checks import check_integer

__all__ = ["check_count", "check_kind", "check_range"]


def check_range(op: str, name: str, value: Any, low: float = 0.0, below: float = math.inf) -> Any:
    """Return `value`, or raise ValueError unless it is a number with ``low <= value < below``."""
    try:
        good = not isinstance(value, bool | str) and low <= float(value) < below
    except (OverflowError, TypeError, ValueError):
        good = False
    if not good:
        legal = f"a finite number >= {low:g}" if below == math.inf else f"in [{low:g}, {below:g})"
        raise ValueError(f"{op}: {name} is {value!r}; it must be {legal}")
    return value


def check_count(op: str, name: str, value: Any, least: int = 1) -> int:
    """Return `value` as an int, or raise unless it is an integer of at least `least`."""
    return check_integer(op, name, value, least)


def check_kind(op: str, state: Any) -> None:
    """Raise unless `state`, which is to be loaded, was saved by an object of the class `op`."""
    check_state(op, state)
    kind = str(state.get("kind"))
    if kind != op:
        raise ValueError(f"{op}: the saved state is of {kind}; it must be of {op}")
