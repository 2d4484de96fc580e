"""`code`: the maps of images, by ADMM or FISTA, until the objective hardly changes any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from minideconv.backend import Array
from minideconv.sparse_coding.admm import Admm
from minideconv.sparse_coding.fista import Fista
from minideconv.sparse_coding.problem import Problem

__all__ = ["METHODS", "Coding", "code", "make_coder"]

METHODS = ("admm", "fista")
CHECK_EVERY = 10
"""Iterations between two looks at the objective, which costs a synthesis each."""


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
