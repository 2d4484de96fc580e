r"""Soft thresholding, and the updates of two algorithms that are made of it.

    soft(x, a) = sign(x) max(|x| - a, 0)      clip(x, a) = min(max(x, -a), a)      soft + clip = x

`soft_threshold` is the proximal operator of ``a ||x||_1``: the minimiser over z of
``1/2 ||z - x||^2 + a ||z||_1``.

`fista_update` and `admm_update` are all that FISTA and ADMM do to arrays of the size of the maps,
beside the convolutions. An engine can therefore make one walk over memory of each.

Source: Beck, Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse
problems" (2009), equations 4.1 to 4.3; Boyd et al., "Distributed optimization and statistical
learning via the alternating direction method of multipliers" (2011), sections 3.1, 3.4.3 and 6.4.
"""

from __future__ import annotations

from minideconv.backend import Array, get_xp
from minideconv.backend.dispatch import accelerated, device_guard

__all__ = ["admm_update", "fista_update", "reflect", "soft_threshold"]


@device_guard
def soft_threshold(x: Array, threshold: float) -> Array:
    """Return ``sign(x) max(|x| - threshold, 0)``, of any shape; NaN stays NaN.

    Raises
    ------
    ValueError
        If `threshold` is not at least 0.
    """
    if not threshold >= 0:
        raise ValueError(f"soft_threshold: threshold is {threshold}; it must be at least 0")
    return x - get_xp(x).clip(x, -threshold, threshold)


@device_guard
def reflect(x: Array, threshold: float) -> Array:
    """Return ``soft(x) - clip(x) = x - 2 clip(x)``, what ADMM's y - u is (see `admm_update`)."""
    y = get_xp(x).clip(x, -threshold, threshold)
    y *= -2
    y += x
    return y


@accelerated
def fista_update(
    y: Array, x: Array, gradient: Array, step: float, threshold: float, momentum: float
) -> None:
    """Take FISTA's step from `y`, in place, all of one shape; `gradient` is spent.

        x', x = soft(y - step gradient, threshold), x'
        y     = x + momentum (x - x')

    Parameters
    ----------
    y, x : array
        The point at which the gradient was taken, and the last iterate.
    gradient : array
        Of the smooth term, at y.
    step, threshold : float
        1/L, and lambda/L.
    momentum : float
        ``(t - 1) / t_next``.
    """
    gradient *= -step
    gradient += y
    new = soft_threshold(gradient, threshold)
    y[...] = new + momentum * (new - x)
    x[...] = new


@accelerated
def admm_update(state: Array, correction: Array, threshold: float, relaxation: float) -> None:
    """Take ADMM's step for y and u, in place; `correction` becomes the new ``y - u``.

    ADMM keeps y and the scaled multipliers u, and with the new x does

        r = relaxation x + (1 - relaxation) y        y' = soft(r + u)        u' = r + u - y'

    so ``state = r + u`` has both: ``y = soft(state)``, ``u = clip(state)``. With the new x written
    as ``(y - u) + correction`` the three lines are one:

        state = state + relaxation correction - relaxation clip(state)

    which is Douglas and Rachford's form of ADMM.

    Parameters
    ----------
    state, correction : array
        Of one shape.
    threshold : float
        lambda/rho.
    relaxation : float
        In (0, 2); 1 is plain ADMM.
    """
    clipped = get_xp(state).clip(state, -threshold, threshold)
    correction -= clipped
    correction *= relaxation
    state += correction
    correction[...] = reflect(state, threshold)
