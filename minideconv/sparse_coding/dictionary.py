r"""The filters: how they start, the set they must lie in, and one step that makes them better.

For given maps the objective is a quadratic function of the filters, with the gradient

    g = filter_gradient(H W (A x - s), x)            `ops.conv2d_weight_grad`

A filter twice as large, with maps half as large, would lower the penalty on the maps for nothing;
so filters must lie in the unit ball, ||d_m|| <= 1 (or on the unit sphere). The step goes down the
gradient and projects, with Nesterov's momentum as in FISTA:

    d' = P(e - g(e) / L)          e' = d' + (t - 1) / t' (d' - d)

L must be at least the curvature between e and d', ``||A_x (d' - e)||^2 / ||d' - e||^2``, which can
be computed, as A x is linear in the filters; where it is not, L is doubled and the step repeated.

Source: Garcia-Cardona, Wohlberg, "Convolutional dictionary learning: a comparative review and new
algorithms" (IEEE TCI 2018), section IV; Beck, Teboulle (2009), section 4, for the backtracking.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.sparse_coding.operators import filter_gradient, synthesis
from minideconv.sparse_coding.problem import Problem

__all__ = ["CONSTRAINTS", "FilterStep", "project", "random_filters"]

CONSTRAINTS = ("ball", "sphere")


def random_filters(
    count: int, channels: int, kernel: tuple[int, int], rng: np.random.Generator, dtype: Any
) -> Array:
    """Return filters (count, channels, kh, kw) of normal numbers, each of norm 1."""
    noise = rng.standard_normal((count, channels, *kernel))
    return project(noise, "sphere").astype(dtype)


def project(filters: Array, constraint: str = "ball") -> Array:
    """Return the nearest filters of norm at most 1 ("ball") or exactly 1 ("sphere").

    A filter of zeros stays as it is.

    Raises
    ------
    ValueError
        If `constraint` is neither.
    """
    if constraint not in CONSTRAINTS:
        raise ValueError(
            f"sparse coding: constraint is {constraint!r}; it must be one of"
            f" {', '.join(CONSTRAINTS)}"
        )
    norms = get_xp(filters).sqrt((filters * filters).sum(axis=(1, 2, 3), keepdims=True))
    if constraint == "ball":
        return filters / get_xp(filters).maximum(norms, 1)
    return filters / (norms + (norms == 0))


def gradient(problem: Problem, filters: Array, maps: Array) -> Array:
    """Return the objective's gradient by the filters: (M, C, kh, kw)."""
    residual = synthesis(maps, filters)
    residual -= problem.images
    if problem.mask is not None:
        residual *= problem.mask
    kh, kw = filters.shape[2:]
    return filter_gradient(problem.rough(residual), maps, (kh, kw))


class FilterStep:
    """Projected gradient steps with momentum; see the file's first lines.

    Parameters
    ----------
    filters : array (M, C, kh, kw)
    constraint : "ball" or "sphere"
    lipschitz_constant : float, optional
        L, which then stays as it is; found while learning if left out.
    """

    def __init__(
        self, filters: Array, constraint: str = "ball", lipschitz_constant: float | None = None
    ) -> None:
        if lipschitz_constant is not None and not lipschitz_constant > 0:
            raise ValueError(
                f"sparse coding: lipschitz_constant is {lipschitz_constant}; it must be above 0"
            )
        self.filters, self.constraint = project(filters, constraint), constraint
        self._point = self.filters
        self._t = 1.0
        self._fixed = lipschitz_constant is not None
        self.lipschitz = lipschitz_constant or 1.0

    def step(self, problem: Problem, maps: Array) -> Array:
        """Take a step for these maps; return the new filters."""
        slope = gradient(problem, self._point, maps)
        if not self._fixed:
            self.lipschitz *= 0.9  # maps become sparser while one learns
        while True:
            new = project(self._point - slope / self.lipschitz, self.constraint)
            if self._fixed or self._is_safe(problem, maps, new - self._point):
                break
            self.lipschitz *= 2
        before, self._t = self._t, (1 + sqrt(1 + 4 * self._t**2)) / 2
        self._point = new + (before - 1) / self._t * (new - self.filters)
        self.filters = new
        return new

    def _is_safe(self, problem: Problem, maps: Array, change: Array) -> bool:
        """Whether L is at least the curvature along `change`."""
        image = synthesis(maps, change)
        if problem.mask is not None:
            image *= problem.mask
        curvature = float((image * problem.rough(image)).sum())
        return curvature <= self.lipschitz * float((change * change).sum()) * (1 + 1e-6)

    def state(self) -> dict[str, Any]:
        """Return all that changes from step to step."""
        return {
            "filters": self.filters,
            "point": self._point,
            "t": self._t,
            "lipschitz": self.lipschitz,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.filters, self._point = state["filters"], state["point"]
        self._t, self.lipschitz = float(state["t"]), float(state["lipschitz"])
