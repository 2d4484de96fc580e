r"""`power_shrink`: the minimiser of ``kappa |w|^p + beta/2 (w - z)^2``, for each number alone.

For p < 1 the penalty has a corner of infinite slope at 0, so 0 is always a local minimum. Beside it
there is at most one other, of z's sign, between 0 and z, where

    kappa p w^{p-1} + beta (w - z)  =  0                                              (for z > 0)

Both minima are equally low at one value of z, with v for the other's place there:

    kappa v^p + beta/2 (v - z)^2 = beta/2 z^2     and the line above        =>

    v = (2 kappa (1 - p) / beta)^{1 / (2 - p)},       z0 = v + kappa p / beta v^{p-1}

So w = 0 up to |z| = z0, and jumps to v there. Above, the left-hand side is convex in w on [v, z]
and not negative at z: Newton's steps from z come down to the root and never pass it. For p = 1 all
of this is soft thresholding by kappa / beta, exactly, after one step.

Source: Zeiler, Krishnan, Taylor, Fergus, "Deconvolutional networks" (CVPR 2010), section 3.2, with
a table in the place of Newton's steps; Krishnan, Fergus, "Fast image deconvolution using
hyper-Laplacian priors" (NIPS 2009), section 2.2.
"""

from __future__ import annotations

from minideconv.backend import Array, get_xp

__all__ = ["power_shrink"]

_STEPS = 6
"""The root is exact to float64 with these; the authors take 4."""


def power_shrink(z: Array, p: float, kappa: float, beta: float) -> Array:
    """Return ``argmin_w kappa |w|^p + beta/2 (w - z)^2``, of any shape; NaN stays NaN.

    Where two w are equally good, it is 0.

    Parameters
    ----------
    z : array
    p : float
        In (0, 1].
    kappa, beta : float
        At least 0, and above 0.

    Raises
    ------
    ValueError
        If one is not legal.
    """
    if not 0 < p <= 1:
        raise ValueError(f"power_shrink: p is {p}; it must be above 0 and at most 1")
    if not (kappa >= 0 and 0 < beta < float("inf")):
        raise ValueError(
            f"power_shrink: kappa is {kappa} and beta {beta}; they must be at least 0 and above 0"
        )
    ratio = kappa / beta
    if ratio == 0:
        return z.copy()
    jump = (2 * ratio * (1 - p)) ** (1 / (2 - p))
    threshold = jump + ratio * p * jump ** (p - 1)
    size = abs(z)
    large = ~(size <= threshold)  # also NaN
    start = w = size[large]  # few, once maps are sparse: the powers are what costs time
    for _ in range(_STEPS):
        slope = ratio * p * w ** (p - 1)
        w = w - (slope + w - start) / (1 - (1 - p) * slope / w)
    result = get_xp(z).zeros_like(z)
    result[large] = get_xp(z).copysign(w, z[large])
    return result
