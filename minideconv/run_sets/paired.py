"""Mean and spread over seeds, and the comparison of two variants seed by seed.

    d_s = a_s - b_s,      mean(d)  +-  t(0.975, n - 1) * sd(d) / sqrt(n)

Two runs with the same seed see the same data in the same order, wherever the variants leave it the
same, so a part of what differs from seed to seed cancels in their difference.

Source: Student, "The probable error of a mean" (1908), for the interval; Abramowitz, Stegun,
"Handbook of mathematical functions" (1964), 26.7.3 and 26.7.4, for t's distribution.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Difference", "mean_and_spread", "paired_difference", "t_quantile"]


@dataclass(frozen=True)
class Difference:
    """The differences of two variants over the seeds that both have.

    Attributes
    ----------
    mean : float
    half_width : float or None
        Half of the 95 % interval of the mean; None for a single seed.
    seeds : int
    above : int
        Seeds in which the first has the greater value.
    """

    mean: float
    half_width: float | None
    seeds: int
    above: int


def mean_and_spread(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the mean and the standard deviation (of n - 1); None where there is none."""
    mean = statistics.fmean(values) if values else None
    return mean, statistics.stdev(values) if len(values) > 1 else None


def paired_difference(first: Mapping[int, float], second: Mapping[int, float]) -> Difference | None:
    """Return ``first - second``, paired by seed; None if no seed has both values."""
    differences = [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]
    mean, spread = mean_and_spread(differences)
    if mean is None:
        return None
    count = len(differences)
    half = None
    if spread is not None:
        half = t_quantile(count - 1) * spread / math.sqrt(count)
    return Difference(mean, half, count, sum(d > 0 for d in differences))


def t_quantile(degrees: int, level: float = 0.95) -> float:
    """Return the t for which Student's distribution has ``P(|T| <= t) = level``.

    Parameters
    ----------
    degrees : int
        Degrees of freedom, at least 1.
    level : float
        In (0, 1).

    Examples
    --------
    >>> round(t_quantile(4), 3)
    2.776
    """
    if degrees < 1 or not 0 < level < 1:
        raise ValueError(
            f"t_quantile: degrees is {degrees} and level {level}; they must be at least 1 and in"
            " (0, 1)"
        )
    low, high = 0.0, math.pi / 2  # of the angle atan(t / sqrt(degrees)), in which it is smooth
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _inside(middle, degrees) < level else (low, middle)
    return math.tan(low) * math.sqrt(degrees)


def _inside(angle: float, degrees: int) -> float:
    """Return ``P(|T| <= tan(angle) * sqrt(degrees))``, a finite sum for whole `degrees`."""
    sine, cosine, odd = math.sin(angle), math.cos(angle), degrees % 2
    if degrees == 1:
        return 2 / math.pi * angle
    term = total = cosine**odd
    for exponent in range(odd + 2, degrees - 1, 2):
        term *= (exponent - 1) / exponent * cosine**2
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
