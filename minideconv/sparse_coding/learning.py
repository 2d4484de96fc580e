r"""Dictionary learning: maps and filters in turn, from all images at once or one after another.

`BatchLearner` has all images in memory, with their maps. A step is one iteration of ADMM for the
maps and one projected gradient step for the filters; both go on from where they were, so the whole
costs little more than coding.

`OnlineLearner` sees a few images at a time and forgets them. A step codes them well, with filters
held fixed, and then moves the filters down the gradient once, by eta = a / (b + step), and
projects them. Images may have any size, and there may be any number of them.

Source: Garcia-Cardona, Wohlberg, "Convolutional dictionary learning: a comparative review and new
algorithms" (IEEE TCI 2018); Liu, Garcia-Cardona, Wohlberg, Yin, "First- and second-order methods
for online convolutional dictionary learning" (SIAM J. Imaging Sci. 2018), section 3.
"""

from __future__ import annotations

from typing import Any

from minideconv.backend import Array, get_xp
from minideconv.sparse_coding.admm import Admm
from minideconv.sparse_coding.dictionary import FilterStep, gradient, project
from minideconv.sparse_coding.problem import Problem

__all__ = ["BatchLearner", "OnlineLearner"]


class BatchLearner:
    """Learn from images (N, C, H, W) of one size, all at once.

    Parameters
    ----------
    problem : Problem
    filters : array (M, C, kh, kw)
        Where it begins.
    constraint : "ball" or "sphere"
    lipschitz_constant : float, optional
        Of the filters' step; found while learning if left out.
    **options
        Of `Admm`.
    """

    def __init__(
        self,
        problem: Problem,
        filters: Array,
        constraint: str = "ball",
        lipschitz_constant: float | None = None,
        **options: Any,
    ) -> None:
        problem.check(filters)
        self.problem = problem
        self._filter_step = FilterStep(filters, constraint, lipschitz_constant)
        self._coder = Admm(problem, self.filters, **options)

    @property
    def filters(self) -> Array:
        """The filters as they are now."""
        return self._filter_step.filters

    @property
    def maps(self) -> Array:
        """The maps as they are now (N, M, H, W)."""
        return self._coder.maps

    def step(self) -> None:
        """Do one iteration for the maps and one for the filters."""
        self._coder.step()
        self._coder.set_filters(self._filter_step.step(self.problem, self._coder.maps))

    def objective(self) -> float:
        """Return F of the filters and maps."""
        return self._coder.objective()

    def state(self) -> dict[str, Any]:
        """Return all that changes from step to step: a tree of arrays and numbers."""
        return {"filters": self._filter_step.state(), "maps": self._coder.state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned, byte for byte."""
        self._filter_step.set_state(state["filters"])
        self._coder.set_filters(self.filters)
        self._coder.set_state(state["maps"])


class OnlineLearner:
    """Learn from images that come one after the other.

    Parameters
    ----------
    filters : array (M, C, kh, kw)
        Where it begins.
    sparsity : float
        lambda.
    smoothness : float, optional
        mu of a smooth part, see `Problem`.
    constraint : "ball" or "sphere"
    iterations : int
        Of ADMM, for each step.
    eta : (float, float)
        a and b.
    **options
        Of `Admm`.
    """

    def __init__(
        self,
        filters: Array,
        sparsity: float,
        smoothness: float | None = None,
        constraint: str = "ball",
        iterations: int = 50,
        eta: tuple[float, float] = (10.0, 5.0),
        **options: Any,
    ) -> None:
        if iterations < 1:
            raise ValueError(f"sparse coding: iterations is {iterations}; it must be at least 1")
        if not min(eta) > 0:
            raise ValueError(f"sparse coding: eta is {eta}; both numbers must be above 0")
        self.filters = project(filters, constraint)
        self.sparsity, self.smoothness, self.constraint = sparsity, smoothness, constraint
        self.iterations, self.eta, self.options = iterations, eta, options
        self.steps = 0
        self._objective = float("nan")

    def step(self, images: Array, mask: Array | None = None) -> None:
        """Learn from images (N, C, H, W), of any size that holds the filters."""
        problem = Problem(images, self.sparsity, mask, self.smoothness)
        coder = Admm(problem, self.filters, **self.options)
        for _ in range(self.iterations):
            coder.step()
        maps = coder.maps
        self._objective = problem.objective(self.filters, maps)
        a, b = self.eta
        slope = gradient(problem, self.filters, maps)
        self.filters = project(self.filters - a / (b + self.steps) * slope, self.constraint)
        self.steps += 1

    def objective(self) -> float:
        """Return F of the last images, before the filters moved; NaN before the first step."""
        return self._objective

    def state(self) -> dict[str, Any]:
        """Return all that changes from step to step."""
        return {"filters": self.filters, "steps": self.steps, "objective": self._objective}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned, byte for byte."""
        xp = get_xp(self.filters)
        self.filters = xp.asarray(state["filters"], self.filters.dtype)
        self.steps, self._objective = int(state["steps"]), float(state["objective"])
