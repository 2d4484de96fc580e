"""The three small matrices of Winograd's convolution, made from a handful of points.

A row of m outputs of a convolution with 3 taps is ``y[i] = sum_j d[i + j] g[j]``: 3 m products of
m + 2 pixels d with the taps g. It can be had with m + 2 products,

    y = A.T @ ((G @ g) * (B @ d))

The idea is older than computers: two polynomials are multiplied by multiplying their *values*.

1. Let g(x) = g0 + g1 x + g2 x^2 and h(x) have m coefficients. Their product has n = m + 2
   coefficients, so n of its values determine it. Take n points. "Infinity" may be one of them: the
   value there is the leading coefficient.
2. The value of the product at a point is one product of two numbers, g(p) h(p). With the matrices
   of powers, G[p] = (1, p, p^2) and A[p] = (1, p, ..., p^(m-1)), that is ``(G @ g) * (A @ h)``.
3. The coefficients come back by Lagrange's interpolation: point p contributes its value times
   N_p(x) / N_p(p), where N_p(x) is the product of (x - q) over the other finite points. With the
   coefficients of N_p as row p of B, and 1 / N_p(p) put into row p of G, the whole is
   ``s = B.T @ ((G @ g) * (A @ h))``: the multiplication of polynomials.
4. That is a linear map of h: its matrix is B.T diag(G g) A. The transposed matrix, A.T diag(G g) B,
   takes n numbers d to m numbers, and it is the convolution wanted, because ``s[i + j] += g[j]
   h[i]`` turned round is ``y[i] += g[j] d[i + j]``.

Any points do in exact arithmetic. In float32 large powers lose digits, so the points stay near 1
and come in pairs p, -p, whose odd powers cancel: half of the work and many zeros. For m = 4 the
usual ±1, ±2 are replaced by ±1/√2, ±√2: the same zeros, and errors that are 2 to 5 times smaller.

Sources: A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks" (CVPR 2016),
sections 3 and 4; S. Winograd, "Arithmetic complexity of computations" (1980), for the
transposition in step 4; B. Barabasz et al., "Error analysis and improving the accuracy of Winograd
convolution for deep neural networks" (2018), for the choice of points.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from math import sqrt

import numpy as np
from numpy.polynomial import polynomial

__all__ = ["SIZES", "Matrices", "matrices"]

# The squares of the points beside 0 and infinity, by m. Squares, because x^2 - p^2 has no rounding.
_SQUARES = {2: (1.0,), 4: (0.5, 2.0)}

SIZES = tuple(_SQUARES)
"""The numbers m of outputs for which there are matrices."""


@dataclass(frozen=True)
class Matrices:
    """``y = a.T @ ((g @ taps) * (b @ d))``: n = m + 2 pixels d, 3 taps, m outputs y, float64.

    Attributes
    ----------
    a : array, shape (n, m)
        Transposed, it takes n products to m outputs. (The paper's A.)
    g : array, shape (n, 3)
        Takes taps to values at the n points. (The paper's G.)
    b : array, shape (n, n)
        Takes n pixels to n numbers. (The paper's B, transposed.)
    """

    a: np.ndarray
    g: np.ndarray
    b: np.ndarray


@cache
def matrices(m: int) -> Matrices:
    """Return the matrices of F(m, 3) for m = 2 (points 0, ±1, ∞) or 4 (0, ±1/√2, ±√2, ∞)."""
    squares = _SQUARES[m]
    at_zero = _product(_pairs(squares))  # N_p for p = 0: zero at the other points
    a, b = [[1.0] + [0.0] * (m - 1)], [at_zero]
    g = [[1.0 / at_zero[0], 0.0, 0.0]]
    for square in squares:
        others = _pairs([s for s in squares if s != square])
        for p in (sqrt(square), -sqrt(square)):
            numerator = _product([[0.0, 1.0], [p, 1.0], *others])  # zero at 0, -p, and the others
            scale = 1.0 / float(polynomial.polyval(p, numerator))
            a.append([p**i for i in range(m)])
            g.append([scale, scale * p, scale * square])
            b.append(numerator)
    # infinity: the leading coefficients, and what is zero at all finite points
    a.append([0.0] * (m - 1) + [1.0])
    g.append([0.0, 0.0, 1.0])
    b.append(_product([[0.0, 1.0], *_pairs(squares)]))
    widened = [row + [0.0] * (m + 2 - len(row)) for row in b]
    return Matrices(np.array(a), np.array(g), np.array(widened))


def _pairs(squares: Iterable[float]) -> list[list[float]]:
    """Return the polynomials x^2 - s, each zero at the two points ±√s."""
    return [[-s, 0.0, 1.0] for s in squares]


def _product(polynomials: Iterable[list[float]]) -> list[float]:
    result = np.ones(1)
    for factor in polynomials:
        result = polynomial.polymul(result, np.array(factor))
    return [float(number) for number in result]
