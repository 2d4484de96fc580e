"""`code`: the maps of images, by ADMM or FISTA, until the objective hardly changes; `refit`.

The penalty on absolute values makes maps sparse, and makes what is left smaller than it should be.
`refit` takes the penalty away and changes only numbers that are not 0, by the same steps as FISTA's
(called debiasing in the field).

Source: Figueiredo, Nowak, Wright, "Gradient projection for sparse reconstruction" (IEEE JSTSP
2007), section III-E, for debiasing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

from minideconv.backend import Array
from minideconv.sparse_coding.admm import Admm
from minideconv.sparse_coding.fista import Fista
from minideconv.sparse_coding.operators import analysis, synthesis
from minideconv.sparse_coding.problem import Problem
from minideconv.sparse_coding.spectrum import lipschitz

__all__ = ["METHODS", "Coding", "code", "make_coder", "refit"]

METHODS = ("admm", "fista")
CHECK_EVERY = 10
"""Iterations between two looks at the objective, which costs a synthesis each."""
MAP_COPIES = 6
"""Arrays of the maps' size that ADMM has at once, when it adapts rho; FISTA has 3."""


@dataclass
class Coding:
    """What `code` found.

    Attributes
    ----------
    maps : array (N, M, H, W)
        Most of it exactly 0.
    reconstruction : array (N, C, H, W)
        A x, and the smooth part if there is one.
    objectives : list of (int, float)
        After how many iterations F had which value.
    converged : bool
        Whether the objective's relative change fell below the tolerance.
    """

    maps: Array
    reconstruction: Array
    objectives: list[tuple[int, float]] = field(default_factory=list)
    converged: bool = False

    @property
    def density(self) -> float:
        """The share of the maps' numbers that are not 0."""
        return float((self.maps != 0).sum()) / self.maps.size


def make_coder(problem: Problem, filters: Array, method: str, **options: Any) -> Admm | Fista:
    """Return the algorithm of that name, before its first iteration.

    Raises
    ------
    ValueError, TypeError
        If there is none of that name, or its arguments do not fit.
    """
    if method not in METHODS:
        raise ValueError(
            f"sparse coding: method is {method!r}; it must be one of {', '.join(METHODS)}"
        )
    return (Admm if method == "admm" else Fista)(problem, filters, **options)


def code(
    problem: Problem,
    filters: Array,
    method: str = "admm",
    iterations: int = 500,
    tolerance: float = 1e-3,
    report: Callable[[int, float], None] = lambda iteration, objective: None,
    **options: Any,
) -> Coding:
    """Find maps x that make F small.

    Parameters
    ----------
    problem : Problem
    filters : array (M, C, kh, kw)
    method : "admm" or "fista"
    iterations : int
        At most; at least 1.
    tolerance : float
        It ends when ten iterations have changed F by less than this share of it. 0: never.
    report : callable
        Called with the iteration and F, every ten iterations.
    **options
        Of `Admm` or `Fista`.

    Raises
    ------
    ValueError, TypeError
        If an argument is not legal.
    """
    if iterations < 1:
        raise ValueError(f"sparse coding: iterations is {iterations}; it must be at least 1")
    if not tolerance >= 0:
        raise ValueError(f"sparse coding: tolerance is {tolerance}; it must be at least 0")
    coder = make_coder(problem, filters, method, **options)
    objectives: list[tuple[int, float]] = []
    converged = False
    for iteration in range(1, iterations + 1):
        coder.step()
        if iteration % CHECK_EVERY and iteration != iterations:
            continue
        objectives.append((iteration, coder.objective()))
        report(*objectives[-1])
        if len(objectives) > 1:
            (_, before), (_, now) = objectives[-2:]
            if abs(before - now) < tolerance * abs(now):
                converged = True
                break
    return Coding(coder.maps, coder.reconstruction(), objectives, converged)


def refit(problem: Problem, filters: Array, maps: Array, iterations: int) -> Array:
    """Return maps that fit the images better, with no penalty, and are 0 where `maps` are.

    Some steps, not until it converges: the more, the more noise they fit as well.

    Parameters
    ----------
    problem : Problem
        Without a mask.
    filters : array (M, C, kh, kw)
    maps : array (N, M, H, W)
    iterations : int
        At least 0.

    Raises
    ------
    ValueError
        If an argument is not legal.
    """
    if problem.mask is not None:
        raise ValueError("refit: the problem has a mask, which is not supported")
    if iterations < 0:
        raise ValueError(f"refit: iterations is {iterations}; it must be at least 0")
    length = 1 / (lipschitz(filters, problem.size) or 1.0)
    support = maps != 0
    x = point = maps
    t = 1.0
    for _ in range(iterations):
        residual = synthesis(point, filters) - problem.images
        slope = analysis(problem.rough(residual), filters)
        slope *= support
        slope *= -length
        slope += point
        before, t = t, (1 + sqrt(1 + 4 * t * t)) / 2
        point = slope + (before - 1) / t * (slope - x)
        x = slope
    return x
