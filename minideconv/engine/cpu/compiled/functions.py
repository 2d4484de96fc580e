"""More functions of sixteen float32 at once: division, roots, exponentials, logarithms.

`exponential` and `logarithm` take a number apart into a power of two, which is a matter of its
bits, and a factor near 1, for which a polynomial is enough::

    exp(x) = 2^n exp(r)        n the integer nearest to x / log 2,  |r| <= log(2) / 2
    log(x) = e log 2 + log(m)  x = 2^e m,  sqrt(1/2) <= m < sqrt(2)

Source: S. Moshier, "Methods and programs for mathematical functions" (1989), and his library
Cephes, whose polynomials these are; the results are within 2 units in the last place.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.operation import (
    LANES,
    call,
    every,
    int32,
    lanes,
    operation,
    vector,
)
from minideconv.engine.cpu.compiled.vectors import fma, maximum, splat

__all__ = ["divide", "exponential", "logarithm", "square_root"]

_bits = ir.VectorType(int32, LANES)


@operation(vector(vector, vector))
def divide(builder, u, v):
    """Return ``u / v``, lane by lane."""
    return builder.fdiv(u, v)


@operation(vector(vector))
def square_root(builder, v):
    """Return the square roots of the lanes."""
    return call(builder, f"llvm.sqrt.v{LANES}f32", lanes, v)


# ---------------------------------------------------------------------------------------------
# Powers of two, by their bits: a float32 is 1 bit sign, 8 bits exponent + 127, 23 bits mantissa

_ROOT_HALF = every(int32, int(np.float32(0.5**0.5).view(np.int32)))


@operation(vector(vector))
def _power_of_two(builder, shifted):
    """Return 2^n from ``n + 1.5 * 2^23``, whose last bits are the integer n; 0 for n = -127."""
    bits = builder.shl(builder.bitcast(shifted, _bits), every(int32, 23))
    return builder.bitcast(builder.add(bits, every(int32, 127 << 23)), lanes)


@operation(vector(vector))
def _exponent(builder, x):
    """Return e of ``x = 2^e m`` with m from sqrt(1/2) to sqrt(2)."""
    bits = builder.sub(builder.bitcast(x, _bits), _ROOT_HALF)
    return builder.sitofp(builder.ashr(bits, every(int32, 23)), lanes)


@operation(vector(vector))
def _mantissa(builder, x):
    """Return m of ``x = 2^e m``; NaN stays NaN."""
    bits = builder.bitcast(x, _bits)
    above = builder.sub(bits, _ROOT_HALF)
    mantissa = builder.sub(bits, builder.and_(above, every(int32, -(1 << 23))))
    is_nan = builder.fcmp_unordered("uno", x, x)
    return builder.select(is_nan, x, builder.bitcast(mantissa, lanes))


# ---------------------------------------------------------------------------------------------
# Exponential and logarithm

INTEGER = 1.5 * 2**23  # adding this to a small number rounds it to an integer
LOWEST = -127 * float(np.log(2.0))  # where the exponential becomes 0
LOG2E = float(1 / np.log(2.0))
LOG2_HIGH, LOG2_LOW = 0.693359375, -2.12194440e-4  # the first has few bits: n times it is exact


@kernel
def exponential(x):
    """Return exp(x) for x <= 0; 0 from -88 downwards."""
    x = maximum(x, splat(LOWEST))
    shifted = fma(x, splat(LOG2E), splat(INTEGER))
    n = shifted - splat(INTEGER)
    r = fma(n, splat(-LOG2_LOW), fma(n, splat(-LOG2_HIGH), x))
    p = fma(splat(1.9875691500e-4), r, splat(1.3981999507e-3))
    p = fma(p, r, splat(8.3334519073e-3))
    p = fma(p, r, splat(4.1665795894e-2))
    p = fma(p, r, splat(1.6666665459e-1))
    p = fma(p, r, splat(5.0000001201e-1))
    return (fma(p, r * r, r) + splat(1.0)) * _power_of_two(shifted)


@kernel
def logarithm(x):
    """Return log(x) for positive, finite, normal x."""
    e, f = _exponent(x), _mantissa(x) - splat(1.0)
    p = fma(splat(7.0376836292e-2), f, splat(-1.1514610310e-1))
    p = fma(p, f, splat(1.1676998740e-1))
    p = fma(p, f, splat(-1.2420140846e-1))
    p = fma(p, f, splat(1.4249322787e-1))
    p = fma(p, f, splat(-1.6668057665e-1))
    p = fma(p, f, splat(2.0000714765e-1))
    p = fma(p, f, splat(-2.4999993993e-1))
    p = fma(p, f, splat(3.3333331174e-1))
    square = f * f
    small = fma(e, splat(LOG2_LOW), fma(square, splat(-0.5), p * f * square))
    return fma(e, splat(LOG2_HIGH), f + small)
