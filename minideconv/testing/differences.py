"""Derivatives by central differences, with steps that shrink until they agree with a claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Inputs", "Measured", "Slope", "basis"]

Array = npt.NDArray[Any]
Inputs = list[Array | None]

_STEPS = (1e-3, 1e-4, 1e-5, 1e-6)  # relative to the root mean square of the array
_NOISE = 50  # rounding errors of <f, dy>, in units of eps, that a difference may carry


def basis(shape: tuple[int, ...], i: int) -> Array:
    """Return the i-th basis vector of a shape, in row-major order."""
    v = np.zeros(shape)
    v.flat[i] = 1.0
    return v


@dataclass(frozen=True, slots=True)
class Measured:
    """A derivative by differences, compared with the claimed one."""

    value: float  # the derivative, by differences
    relative: float  # difference from the claimed one
    agrees: bool
    smooth: bool  # left and right derivatives are the same
    significant: bool  # larger than rounding: the direction tests something


class Slope:
    """Derivatives of <forward, dy> along directions of one argument."""

    def __init__(
        self, forward: Callable[[Inputs], Array], kept: Inputs, position: int, dy: Array
    ) -> None:
        self.forward, self.kept, self.position, self.dy = forward, kept, position, dy
        array = kept[position]
        assert array is not None
        self.array = array
        rms = float(np.sqrt(np.mean(np.square(array))))
        self.scale = rms if rms > 0 else 1.0

    def shift(self, v: Array, t: float) -> tuple[float, float]:
        """Return <f(a + t v), dy>, and the size of its terms (which bounds its rounding)."""
        inputs: Inputs = [None if a is None else a.copy() for a in self.kept]
        inputs[self.position] = self.array + t * v
        terms = self.forward(inputs) * self.dy
        return float(terms.sum()), float(np.abs(terms).sum())

    def central(self, v: Array, h: float) -> tuple[float, float]:
        """Return the central difference with steps h and h/2, extrapolated, and its rounding."""
        (p1, size), (m1, _) = self.shift(v, h), self.shift(v, -h)
        (p2, _), (m2, _) = self.shift(v, h / 2), self.shift(v, -h / 2)
        wide, narrow = (p1 - m1) / (2 * h), (p2 - m2) / h
        return (4 * narrow - wide) / 3, _NOISE * float(np.finfo(np.float64).eps) * size / h

    def measure(self, v: Array, claimed: float, rtol: float) -> Measured:
        """Compare with `claimed`, with ever smaller steps until they agree."""
        for step in _STEPS:
            found, noise = self.central(v, step * self.scale)
            if step < _STEPS[0] and noise > 10 * rtol * max(abs(found), abs(claimed)):
                break  # rounding hides what a smaller step could show
            value, h = found, step * self.scale
            difference = abs(value - claimed)
            larger = max(abs(value), abs(claimed))
            relative = difference / larger if larger else 0.0
            if difference <= rtol * larger + noise:
                return Measured(value, min(relative, rtol), True, True, larger > noise)
        # They never agree: is there a derivative at all?
        (right, size), (here, _), (left, _) = (self.shift(v, t) for t in (h, 0.0, -h))
        jump = abs((right - here) - (here - left)) / h
        noise = _NOISE * float(np.finfo(np.float64).eps) * size / h
        rise = max(abs(right - here), abs(here - left)) / h
        smooth = jump <= 1e-3 * rise + noise
        return Measured(value, relative, False, smooth, True)
