"""The values of all mistakes on a probe in a few arrays, all set beside a result at once.

Hundreds of mistakes are held against every result of a student. Nearly all are far off, which one
subtraction of arrays tells; only the rest are compared as carefully as `is_equal` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minideconv.testing.checking.compare import SAFETY
from minideconv.testing.checking.named import ROUNDED, is_equal
from minideconv.testing.checking.probing import Probe
from minideconv.testing.mistakes import Mistake
from minideconv.testing.operations.operation import Array

__all__ = ["harmless", "near"]


class Stack(NamedTuple):
    """Values of one shape: which mistakes' they are, the values, the largest of each.

    ``infinite``: whether any is not finite.
    """

    places: Array
    values: Array
    largest: Array
    infinite: bool


def near(probe: Probe, bank: Sequence[Mistake], got: Array, size: float) -> Array:
    """Return the places in the bank of mistakes whose values may be taken for a result.

    `size` is the largest sum of terms of the right result: it bounds the rounding.
    """
    found = [np.zeros(0, int)]
    eps = float(np.finfo(got.dtype).eps) if got.dtype.kind == "f" else 0.0
    for places, values, largest, infinite in _stacks(probe, bank):
        if values.shape[1:] != got.shape:
            continue
        bound = np.maximum(ROUNDED * size, SAFETY * eps * np.maximum(size, largest))
        with np.errstate(invalid="ignore", over="ignore"):
            # The negation holds of what is not a number, too: that is looked at.
            far = np.abs(values - got) > bound.reshape(-1, *(1,) * got.ndim)
        if infinite:
            far &= np.isfinite(values)
        found.append(places[~far.reshape(len(places), -1).any(1)])
    return np.concatenate(found)


def harmless(probe: Probe, bank: Sequence[Mistake], output: str, exact: bool) -> Array:
    """Return of each mistake of the bank whether its value is the right one."""
    found = np.zeros(len(bank), bool)
    right = probe.right[output]
    for k in near(probe, bank, right.value, float(np.max(right.terms, initial=0))):
        value = probe.value(bank[k])
        found[k] = value is not None and is_equal(value, right, exact)
    return found


def _stacks(probe: Probe, bank: Sequence[Mistake]) -> list[Stack]:
    """Return the values of all mistakes by their shapes, worked out once."""
    known = probe.stacks.get(id(bank))
    if known is None or known[0] is not bank:
        lots: dict[tuple[int, ...], list[tuple[int, Array]]] = {}
        for place, mistake in enumerate(bank):
            value = probe.value(mistake)
            if value is not None:
                lots.setdefault(value.shape, []).append((place, value))
        known = probe.stacks[id(bank)] = bank, [_stack(lot) for lot in lots.values()]
    found: list[Stack] = known[1]
    return found


def _stack(lot: Sequence[tuple[int, Array]]) -> Stack:
    values = np.stack([value for _, value in lot]).astype(np.float64)
    flat = np.abs(values).reshape(len(lot), -1)
    largest = np.where(np.isfinite(flat), flat, 0).max(1, initial=0)
    infinite = not np.isfinite(flat).all()
    return Stack(np.array([place for place, _ in lot]), values, largest, infinite)
