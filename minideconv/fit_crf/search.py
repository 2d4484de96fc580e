r"""A coordinate search over the weights and widths of a CRF's kernels.

From a start, each parameter in turn is multiplied and divided by a factor, for as long as that
raises the objective; round after round, until a round changes nothing. Then the same with a smaller
factor. Nothing is known about derivatives: the mean IoU is a step function of the parameters.

It finds a point that no single step improves, on the images that it is given; it may be a local
one. A parameter that is 0 stays 0.

Source: Hooke, Jeeves, "Direct search solution of numerical and statistical problems" (1961), its
exploratory moves; Chen et al., "Semantic image segmentation with deep convolutional nets and fully
connected CRFs" (ICLR 2015), section 4.2, for a search from coarse to fine on 100 images, with the
spatial kernel fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from minideconv.segmentation.crf import DenseCRF

__all__ = ["SEARCHED", "Trial", "coordinate_search"]

SEARCHED = (
    "bilateral_weight",
    "bilateral_color",
    "bilateral_position",
    "spatial_weight",
    "spatial_position",
)
"""The parameters in the order in which they are tried."""


@dataclass(frozen=True)
class Trial:
    """A CRF that was tried, what it reached, and whether that was the best so far."""

    crf: DenseCRF
    value: float
    best: bool


def coordinate_search(
    objective: Callable[[DenseCRF], float],
    start: DenseCRF,
    fixed: Collection[str] = (),
    factors: Sequence[float] = (2.0, 2**0.5),
    most: int = 60,
    tried: Callable[[Trial], None] = lambda trial: None,
) -> Trial:
    """Return the best CRF that was found.

    Parameters
    ----------
    objective : callable
        What a CRF reaches; more is better.
    start : DenseCRF
    fixed : collection of str
        Parameters among `SEARCHED` that stay as in `start`.
    factors : sequence of float
        By how much a parameter changes at a time; falling, each above 1.
    most : int
        How often the objective is computed at most; at least 1.
    tried : callable
        Called after each.

    Raises
    ------
    ValueError
        If an argument is not legal.
    """
    if most < 1:
        raise ValueError(f"coordinate_search: most is {most}; it must be at least 1")
    if not factors or list(factors) != sorted(factors, reverse=True) or factors[-1] <= 1:
        raise ValueError(
            f"coordinate_search: factors is {tuple(factors)}; it must be falling numbers above 1"
        )
    if foreign := set(fixed) - set(SEARCHED):
        raise ValueError(
            f"coordinate_search: fixed has {sorted(foreign)[0]!r}; it must be some of"
            f" {', '.join(SEARCHED)}"
        )
    known: dict[DenseCRF, float] = {}
    best = start

    def better(crf: DenseCRF) -> bool:
        """Try a CRF, if it is new and there is a trial left; keep it if it is the best."""
        nonlocal best
        if crf in known or len(known) == most:
            return False
        known[crf] = objective(crf)
        found = crf == start or known[crf] > known[best]
        best = crf if found else best
        tried(Trial(crf, known[crf], found))
        return found

    better(start)
    free = [name for name in SEARCHED if name not in fixed and getattr(start, name) > 0]
    for factor in factors:
        moved = True
        while moved:
            moved = False
            for name in free:
                for by in (factor, 1 / factor):
                    # Rounded, so that a way back leads to a CRF that is known.
                    while better(_scaled(best, name, by)):
                        moved = True
    return Trial(best, known[best], True)


def _scaled(crf: DenseCRF, name: str, by: float) -> DenseCRF:
    values: dict[str, Any] = {name: float(f"{getattr(crf, name) * by:.4g}")}
    return replace(crf, **values)
