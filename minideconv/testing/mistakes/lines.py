"""Rows and columns of an array that a loop, or a test of the bounds, leaves out."""

from __future__ import annotations

from minideconv.testing.mistakes.bank import given, slip
from minideconv.testing.mistakes.kernels import zeroed
from minideconv.testing.operations.operation import Arrays, Settings

__all__ = ["lines_left_out"]


def lines_left_out(operation: str, output: str, role: str) -> None:
    """Register an array's first or last lines, read as zeros."""
    for edge, place in (("first", slice(0, 1)), ("last", slice(-1, None))):
        for what, axes in (("row", (2,)), ("column", (3,)), ("row and column", (2, 3))):

            @slip(operation, output, f"{edge} {what} of {role} left out",
                  "A loop or a test of the bounds is off by one.")  # fmt: skip
            def _left_out(
                arrays: Arrays,
                settings: Settings,
                place: slice = place,
                axes: tuple[int, ...] = axes,
            ) -> None:
                for axis in axes:
                    where = (slice(None),) * axis + (place,)
                    arrays[role] = zeroed(given(arrays, role), where)
