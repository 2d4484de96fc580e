r"""ADMM for the maps of convolutional sparse coding; its linear system is solved in the DFT domain.

The problem is split, ``1/2 ||A x - s||_H^2 + lambda ||y||_1`` with x = y, and ADMM repeats

    x = argmin 1/2 ||A x - s||_H^2 + rho/2 ||x - y + u||^2
    r = alpha x + (1 - alpha) y             over-relaxation
    y = soft(r + u, lambda / rho)
    u = u + r - y

The first line is a linear system with as many unknowns as all maps together have pixels,
``(A^T H A + rho I) x = A^T H s + rho (y - u)``. Two identities shrink it. A^T H A has for each
frequency the rank C of its C channels, so by Woodbury's formula (Sherman and Morrison's for C = 1)
the inverse is needed between images only. And written for the correction to v = y - u, the right
hand side is a residual:

    x = v + A^T (rho H^{-1} + A A^T)^{-1} (s - A v)

So an iteration is a transposed convolution, a filter in the frequency domain on images (not on
maps), and a convolution; the M Fourier transforms of the usual form are not needed. Hidden pixels
get an image z of their own, as an additional filter that is one pixel, free where W = 0 and 0
where W = 1 (additive mask simulation).

rho. A residual of the primal, ``||x - y||``, that is large beside that of the dual,
``rho ||y - y'||``, asks for a larger rho, and the other way round; both are taken relative to what
they are differences of.

Source: Wohlberg, "Efficient convolutional sparse coding" (ICASSP 2014) and "Boundary handling for
convolutional sparse representations" (ICIP 2016); Boyd et al., "Distributed optimization and
statistical learning via the alternating direction method of multipliers" (2011), sections 3.4.1 and
3.4.3; Wohlberg, "ADMM penalty parameter selection by residual balancing" (2017).
"""

from __future__ import annotations

from math import sqrt
from typing import Any

from minideconv.backend import Array, get_xp
from minideconv.ops.shrinkage import admm_update, reflect, soft_threshold
from minideconv.sparse_coding.operators import analysis, synthesis
from minideconv.sparse_coding.problem import Problem
from minideconv.sparse_coding.spectrum import Resolvent

__all__ = ["Admm"]

_BALANCED = 1.2  # a ratio of the residuals that is left alone
_LARGEST = 1000.0  # by what rho changes at most


class Admm:
    """ADMM for one `Problem`; each `step` is an iteration.

    Parameters
    ----------
    problem : Problem
    filters : array (M, C, kh, kw)
    rho : float, optional
        Above 0; ``50 lambda + 1`` if left out.
    relaxation : float
        alpha, in (0, 2).
    adapt_every : int
        After each how many iterations rho is adapted; 0: never.

    Attributes
    ----------
    rho : float

    Raises
    ------
    ValueError, TypeError
        If the arguments do not fit.
    """

    def __init__(
        self,
        problem: Problem,
        filters: Array,
        rho: float | None = None,
        relaxation: float = 1.8,
        adapt_every: int = 10,
    ) -> None:
        problem.check(filters)
        self.rho = 50 * problem.sparsity + 1 if rho is None else float(rho)
        if not 0 < self.rho < float("inf"):
            raise ValueError(f"sparse coding: rho is {rho}; it must be a number above 0")
        if not 0 < relaxation < 2:
            raise ValueError(
                f"sparse coding: relaxation is {relaxation}; it must be between 0 and 2"
            )
        if adapt_every < 0:
            raise ValueError(
                f"sparse coding: adapt_every is {adapt_every}; it must be a whole number >= 0"
            )
        self.problem, self.relaxation, self.adapt_every = problem, relaxation, adapt_every
        n, (h, w) = len(problem.images), problem.size
        xp = get_xp(filters)
        # Channels last in memory, as the engine's convolutions.
        self._state = xp.zeros((n, h, w, len(filters)), filters.dtype).transpose(0, 3, 1, 2)
        self._point = self._state.copy("K")  # v = y - u
        self._mask: Any = problem.mask
        self._hidden = None if problem.mask is None else xp.zeros_like(problem.images)
        self.iteration = 0
        self.set_filters(filters)

    def set_filters(self, filters: Array) -> None:
        """Go on with other filters, from the same y and u."""
        self.filters = filters
        masked = self.problem.mask is not None
        weight = self.problem.weight
        self._solve = Resolvent(filters, self.problem.size, weight, masked)
        self._solve.set_rho(self.rho)

    def step(self) -> None:
        """Do one iteration."""
        residual = self.problem.images - synthesis(self._point, self.filters)
        if self._hidden is not None:
            residual -= self._hidden - 2 * self._mask * self._hidden  # its y - u
        solved = self._solve(residual)
        correction = analysis(solved, self.filters)
        self.iteration += 1
        adapts = self.adapt_every and self.iteration > 1 and not self.iteration % self.adapt_every
        before = (self._point + correction, self.maps) if adapts else None
        if self._hidden is not None:
            known = self._mask * self._hidden
            self._hidden += self.relaxation * (solved - known)
        admm_update(self._state, correction, self._threshold, self.relaxation)
        self._point = correction
        if before is not None:
            self._adapt(*before)

    @property
    def _threshold(self) -> float:
        return self.problem.sparsity / self.rho

    @property
    def maps(self) -> Array:
        """The iterate y (N, M, H, W), most of it exactly 0."""
        return soft_threshold(self._state, self._threshold)

    @property
    def hidden(self) -> Array | None:
        """What stands in for the pixels that are not known, 0 elsewhere; None without a mask."""
        return None if self._hidden is None else (1 - self._mask) * self._hidden

    def objective(self) -> float:
        """Return F of the maps; with a mask and a smooth part, that of the pixels found too."""
        hidden = self.hidden if self.problem.weight is not None else None
        return self.problem.objective(self.filters, self.maps, hidden)

    def reconstruction(self) -> Array:
        """Return A y, and the smooth part if there is one."""
        return self.problem.reconstruction(self.filters, self.maps, self.hidden)

    def _adapt(self, x: Array, y_before: Array) -> None:
        """Change rho if one residual is much larger than the other; y stays, u is scaled."""
        y = self.maps
        u = self._state - y
        norm = get_xp(y).linalg.norm
        primal = _ratio(norm(x - y), max(norm(x), norm(y)))
        dual = _ratio(norm(y_before - y), norm(u))
        if primal == 0 or dual == 0:
            factor = _LARGEST
        else:
            factor = min(sqrt(max(primal / dual, dual / primal)), _LARGEST)
        if primal > _BALANCED * dual:
            self._set_rho(self.rho * factor, y, u)
        elif dual > _BALANCED * primal:
            self._set_rho(self.rho / factor, y, u)

    def _set_rho(self, rho: float, y: Array, u: Array) -> None:
        """Take another rho; u are multipliers divided by rho."""
        scale = self.rho / rho
        self._state = y + scale * u
        if self._hidden is not None:
            known = self._mask * self._hidden
            self._hidden += (scale - 1) * known
        self.rho = rho
        self._point = reflect(self._state, self._threshold)
        self._solve.set_rho(rho)

    # -------------------------------------------------------------------------------------------
    # For a run that is to go on later

    def state(self) -> dict[str, Any]:
        """Return all that changes from step to step, but for the filters."""
        return {
            "state": self._state,
            "hidden": self._hidden,
            "rho": self.rho,
            "iteration": self.iteration,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._state[...] = state["state"]
        if self._hidden is not None:
            self._hidden[...] = state["hidden"]
        self.rho, self.iteration = float(state["rho"]), int(state["iteration"])
        self._point = reflect(self._state, self._threshold)
        self._solve.set_rho(self.rho)


def _ratio(numerator: Any, denominator: Any) -> float:
    """Return the quotient; the numerator if the denominator is 0."""
    return float(numerator) / (float(denominator) or 1.0)
