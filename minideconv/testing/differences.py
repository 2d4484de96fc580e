"""Derivatives by central differences, with steps that shrink until they agree with a claim.

Three things limit a difference quotient, and each is measured, not assumed:

* its own rounding, relative to the terms of <f, dy> and to how much f changes when its arguments
  change by a rounding error;
* its step, if the function bends within it: then the slopes to the left and to the right differ,
  and by less and less as the step shrinks;
* a kink, where these slopes differ by the same amount however small the step is.
"""

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
_FINER = (
    1e-7,
    1e-8,
    1e-9,
    1e-10,
)  # taken where the function bends, or has a kink, within the others
_NOISE = 50  # rounding errors of <f, dy>, in units of eps, that a difference may carry
_BLIND = 1e-2  # share of a derivative that may be noise, at most
_EPS = float(np.finfo(np.float64).eps)
_TINY = float(np.finfo(np.float64).tiny)


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
    step: float  # with which it was measured
    significant: bool  # larger than rounding: the direction tests something


@dataclass(frozen=True, slots=True)
class Quotient:
    """A central difference and what limits it; each is a derivative."""

    value: float
    noise: float  # its rounding
    bend: float  # half the difference of the slopes to the right and to the left, output by output
    error: float  # what halving the step changed, before extrapolation

    def unresolved(self, difference: float, before: Quotient | None) -> bool:
        """Return whether the step may be too large to tell such a difference.

        `before` had ten times this step. A smooth function is resolved once the quotient changes no
        more; of the first one, extrapolation leaves an error of the order of its correction
        squared. A kink that is near shows as a bend that does not shrink with the step.
        """
        if before is None:
            left = self.error * min(1.0, 10 * self.error / max(abs(self.value), _TINY))
            return left >= 0.1 * difference
        kinked = self.bend >= 0.3 * before.bend and self.bend + self.noise >= difference
        return kinked or abs(self.value - before.value) >= 0.1 * difference


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
        self.here = self.shift(np.zeros(array.shape), 0.0)
        self.floor = 0.0  # rounding of <f, dy> beyond that of its own sum, once it is measured

    def shift(self, v: Array, t: float) -> Array:
        """Return the terms of <f(a + t v), dy>, one for each output."""
        inputs: Inputs = [None if a is None else a.copy() for a in self.kept]
        inputs[self.position] = self.array + t * v
        return np.asarray(self.forward(inputs) * self.dy)

    def central(self, v: Array, h: float) -> Quotient:
        """Return the central difference with steps h and h/2, extrapolated."""
        right, left = self.shift(v, h), self.shift(v, -h)
        wide = (float(right.sum()) - float(left.sum())) / (2 * h)
        narrow = (float(self.shift(v, h / 2).sum()) - float(self.shift(v, -h / 2).sum())) / h
        size = max(float(np.abs(right).sum()), self.floor / (_NOISE * _EPS))
        bend = float(np.abs(right - 2 * self.here + left).sum()) / (2 * h)
        return Quotient(
            (4 * narrow - wide) / 3, _NOISE * _EPS * size / h, bend, abs(narrow - wide) / 3
        )

    def measure_rounding(self, rng: np.random.Generator) -> None:
        """Measure how much <f, dy> changes when the argument changes by a rounding error.

        That is more than the rounding of its own sum where f subtracts large numbers inside (a
        batch norm of data with a large mean).
        """
        total = float(self.here.sum())
        for _ in range(5):
            nudge = np.asarray(4 * _EPS * rng.uniform(-1, 1, self.array.shape))
            changed = float(self.shift(self.array * nudge, 1.0).sum())
            self.floor = max(self.floor, 4 * abs(changed - total))

    def measure(self, v: Array, claimed: float, rtol: float, rounding: float = 0.0) -> Measured:
        """Compare with `claimed`, which carries that `rounding`, with steps that shrink."""
        taken: list[Quotient] = []
        difference = relative = np.inf
        for number, fraction in enumerate((*_STEPS, *_FINER)):
            found = self.central(v, fraction * self.scale)
            larger = max(abs(found.value), abs(claimed))
            if taken and (number >= len(_STEPS) or found.noise > 10 * rtol * larger):
                # Rounding hides much here: go on only if the step before was too large.
                before = taken[-2] if len(taken) > 1 else None
                if found.noise > _BLIND * larger or not taken[-1].unresolved(difference, before):
                    break
            taken.append(found)
            difference = abs(found.value - claimed)
            relative = difference / larger if larger else 0.0
            if difference <= rtol * larger + found.noise + rounding:
                step = fraction * self.scale
                return Measured(found.value, min(relative, rtol), True, step, larger > found.noise)
        step = (*_STEPS, *_FINER)[len(taken) - 1] * self.scale
        return Measured(taken[-1].value, relative, False, step, True)

    def has_kink(self, v: Array, difference: float) -> bool:
        """Return whether a kink explains such a difference from the claimed derivative.

        Then the slopes to the right and to the left of it differ by at least twice as much, and
        still do with a tenth of the step, at the smallest steps that rounding leaves visible.
        """
        bends = []
        for fraction in (*_STEPS, *_FINER):
            found = self.central(v, fraction * self.scale)
            if found.noise > difference / 4:
                break
            bends.append(found.bend)
        if len(bends) < 2:
            return False
        return 1.1 * bends[-1] >= difference and bends[-1] >= 0.5 * bends[-2]
