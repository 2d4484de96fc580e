r"""FISTA: the proximal gradient method with momentum, for the maps of convolutional sparse coding.

    x'  = soft(y - 1/L A^T H W (A y - s), lambda / L)
    t'  = (1 + sqrt(1 + 4 t^2)) / 2
    y'  = x' + (t - 1) / t' (x' - x)

L is the largest eigenvalue of A^T A, found from its spectrum: with a smaller one the steps would be
too long, and with a larger one shorter than they need be. Both products are convolutions, which
see the images as they are; so a mask costs nothing.

Source: Beck, Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse
problems" (2009), equations 4.1 to 4.3; Chalasani, Principe, Ramakrishnan, "A fast proximal method
for convolutional sparse coding" (IJCNN 2013).
"""

from __future__ import annotations

from math import sqrt

from minideconv.backend import Array, get_xp
from minideconv.ops.shrinkage import fista_update
from minideconv.sparse_coding.operators import analysis, synthesis
from minideconv.sparse_coding.problem import Problem
from minideconv.sparse_coding.spectrum import lipschitz

__all__ = ["Fista"]


class Fista:
    """FISTA for one `Problem`; each `step` is an iteration.

    Parameters
    ----------
    problem : Problem
        With a mask or with a smooth part, not with both: a mask and H do not commute.
    filters : array (M, C, kh, kw)
    lipschitz_constant : float, optional
        L, above 0; the smallest safe one, from the spectrum, if left out.

    Attributes
    ----------
    maps : array (N, M, H, W)
        The iterate x; 0 at first.

    Raises
    ------
    ValueError, TypeError
        If the arguments do not fit.
    """

    def __init__(
        self, problem: Problem, filters: Array, lipschitz_constant: float | None = None
    ) -> None:
        problem.check(filters)
        if problem.mask is not None and problem.weight is not None:
            raise ValueError(
                "sparse coding: FISTA takes a mask or a smooth part, not both; choose ADMM"
            )
        if lipschitz_constant is not None and not lipschitz_constant > 0:
            raise ValueError(
                f"sparse coding: lipschitz_constant is {lipschitz_constant}; it must be above 0"
            )
        self.problem, self.filters = problem, filters
        # Filters of zeros have nothing to code: any step will do.
        self.lipschitz = lipschitz_constant or lipschitz(filters, problem.size) or 1.0
        n, (h, w) = len(problem.images), problem.size
        stored = get_xp(filters).zeros((n, h, w, len(filters)), filters.dtype)
        self.maps = stored.transpose(0, 3, 1, 2)  # channels last, as the engine's convolutions
        self._point = self.maps.copy("K")
        self._t = 1.0

    def step(self) -> None:
        """Do one iteration."""
        problem, before = self.problem, self._t
        residual = synthesis(self._point, self.filters)
        residual -= problem.images
        if problem.mask is not None:
            residual *= problem.mask
        gradient = analysis(problem.rough(residual), self.filters)
        self._t = (1 + sqrt(1 + 4 * before * before)) / 2
        step, momentum = 1 / self.lipschitz, (before - 1) / self._t
        threshold = problem.sparsity * step
        fista_update(self._point, self.maps, gradient, step, threshold, momentum)

    def objective(self) -> float:
        """Return F of the maps."""
        return self.problem.objective(self.filters, self.maps)

    def reconstruction(self) -> Array:
        """Return A x, and the smooth part if there is one."""
        return self.problem.reconstruction(self.filters, self.maps)
