"""Plain tables of text: what is in a weight file, one line for each array."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from minideconv.interop.malformed import shown
from minideconv.interop.weight_file import WeightFile

__all__ = ["describe", "shape_text", "table"]

_BLOCK = 1 << 20  # values at a time, so that a large array takes no second one beside it


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape in short: ``64x3x3x3``, and ``-`` for a single number."""
    return "x".join(map(str, shape)) or "-"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, its columns as wide as what is in them."""
    cells = [tuple(head), *map(tuple, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def describe(weights: WeightFile) -> str:
    """Return what a file holds: name, shape, type, range and mean of each array, and how many NaN.

    Parameters
    ----------
    weights : WeightFile
        From `read_weights`.
    """
    number = sum(array.size for array in weights.arrays.values())
    lines = [
        f"{weights.path}: {weights.format}, {len(weights.arrays)} arrays, {number:,} numbers",
        *(f"{shown(key)}: {shown(value)}" for key, value in weights.metadata.items()
          if not key.startswith("type of ")),
        *table(
            ("name", "shape", "type", "min", "mean", "max", "NaN"),
            [_row(name, array) for name, array in weights.arrays.items()],
        ),
    ]  # fmt: skip
    return "\n".join(lines)


@np.errstate(invalid="ignore", over="ignore")  # a file may hold any bits
def _row(name: str, array: np.ndarray) -> tuple[str, ...]:
    low, high, total, count, nan = np.inf, -np.inf, 0.0, 0, 0
    values = array.reshape(-1)
    for start in range(0, values.size, _BLOCK):
        block = values[start : start + _BLOCK].astype(np.float64)
        nan += int(np.isnan(block).sum())
        block = block[np.isfinite(block)]
        low, high = block.min(initial=low), block.max(initial=high)
        total, count = total + float(block.sum()), count + block.size
    numbers = (f"{v:.4g}" for v in (low, total / count, high)) if count else "---"
    # Infinite values are outside of the range and no NaN, so they are named.
    infinite = values.size - nan - count
    note = f"{nan} and {infinite} infinite" if infinite else str(nan or "")
    return (shown(name), shape_text(array.shape), array.dtype.name, *numbers, note)
