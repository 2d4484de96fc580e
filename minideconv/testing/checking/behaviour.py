"""What a wrong output does, for mistakes that no entry of the bank explains."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minideconv.testing.operations.operation import Array

__all__ = ["relation"]


def relation(got: Array, want: Array) -> str | None:
    """Return in words how an array relates to the right one of its shape; None if it does not.

    Examples
    --------
    >>> relation(np.array([[2.0, 4.0]]), np.array([[1.0, 2.0]]))
    '2 times what it must be'
    """
    return next(_relations(got, want), None)


def _relations(got: Array, want: Array) -> Iterator[str]:
    if got.size < 2 or not np.isfinite(got).all():
        if not np.isfinite(got).all():
            yield "not finite"
        return
    if not got.any():
        yield "all zeros"
    norm = float(np.vdot(want, want))
    factor = float(np.vdot(want, got)) / norm if norm else 0.0
    if factor and factor != 1 and np.allclose(got, factor * want, rtol=1e-9, atol=0):
        yield "of the wrong sign" if factor == -1 else f"{factor:.6g} times what it must be"
    if got.ndim == 4:
        yield from _moved(got, want)
        yield from _places(got, want)
    elif np.allclose(got - want, (got - want).flat[0]):
        yield f"off by the same number, {(got - want).flat[0]:.6g}, everywhere"


def _moved(got: Array, want: Array) -> Iterator[str]:
    for axis, names in ((2, ("down", "up")), (3, ("to the right", "to the left"))):
        for steps in (1, 2):
            if want.shape[axis] <= steps:
                continue
            ahead = [slice(None)] * 4
            behind = [slice(None)] * 4
            ahead[axis], behind[axis] = slice(steps, None), slice(None, -steps)
            pixels = "pixel" if steps == 1 else "pixels"
            if np.array_equal(got[tuple(ahead)], want[tuple(behind)]):
                yield f"moved {steps} {pixels} {names[0]}"
            if np.array_equal(got[tuple(behind)], want[tuple(ahead)]):
                yield f"moved {steps} {pixels} {names[1]}"
    if np.array_equal(got, want[:, :, ::-1, ::-1]):
        yield "turned by 180 degrees"
    if got.shape[2] == got.shape[3] and np.array_equal(got, want.swapaxes(2, 3)):
        yield "transposed"


def _places(got: Array, want: Array) -> Iterator[str]:
    """Yield where the wrong entries are, if they are only in some place."""
    wrong = got != want
    names = (
        ("the first image", "the last image", "the images but the first",
         "the images but the last"),
        ("the first channel", "the last channel", "the channels but the first",
         "the channels but the last"),
        ("the top row", "the bottom row", "the rows but the top one",
         "the rows but the bottom one"),
        ("the left column", "the right column", "the columns but the left one",
         "the columns but the right one"),
    )  # fmt: skip
    for axis, (first, last, not_first, not_last) in enumerate(names):
        if want.shape[axis] < 2:
            continue
        lines = wrong.any(axis=tuple(a for a in range(4) if a != axis))
        for name, pattern in (
            (first, np.arange(len(lines)) == 0),
            (last, np.arange(len(lines)) == len(lines) - 1),
            (not_first, np.arange(len(lines)) > 0),
            (not_last, np.arange(len(lines)) < len(lines) - 1),
        ):
            if np.array_equal(lines, pattern):
                yield f"wrong in {name} only"
    inner = wrong[:, :, 1:-1, 1:-1]
    if inner.size and not inner.any():
        yield "wrong along the border only"
