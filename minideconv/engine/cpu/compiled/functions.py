"""More functions of sixteen float32 at once: division, roots, exponentials, logarithms.

`exponential` and `logarithm` take a number apart into a power of two, which is a matter of its
bits, and a factor near 1, for which a polynomial is enough::

    exp(x) = 2^n exp(r)        n the integer nearest to x / log 2,  |r| <= log(2) / 2
    log(x) = e log 2 + log(m)  x = 2^e m,  sqrt(1/2) <= m < sqrt(2)

Source: S. Moshier, "Methods and programs for mathematical functions" (1989), and his library
Cephes, whose polynomials these are; the results are within 2 units in the last place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.vectors import LANES, fma, maximum, splat, vector

__all__ = ["divide", "exponential", "logarithm", "square_root"]

_int32 = ir.IntType(32)
_lanes = ir.VectorType(ir.FloatType(), LANES)
_bits = ir.VectorType(_int32, LANES)


def _every(number: int) -> Any:
    return ir.Constant(_bits, [number] * LANES)


def _call(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """Call one of LLVM's own functions."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


# ---------------------------------------------------------------------------------------------
# Operations of the machine


@intrinsic
def divide(typing: Any, u: Any, v: Any) -> Any:
    """Return ``u / v``, lane by lane."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.fdiv(*values)

    return vector(vector, vector), generate


@intrinsic
def square_root(typing: Any, v: Any) -> Any:
    """Return the square roots of the lanes."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _call(builder, f"llvm.sqrt.v{LANES}f32", _lanes, list(values))

    return vector(vector), generate


# ---------------------------------------------------------------------------------------------
# Powers of two, by their bits: a float32 is 1 bit sign, 8 bits exponent + 127, 23 bits mantissa


@intrinsic
def _power_of_two(typing: Any, shifted: Any) -> Any:
    """Return 2^n from ``n + 1.5 * 2^23``, whose last bits are the integer n; 0 for n = -127."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        bits = builder.shl(builder.bitcast(values[0], _bits), _every(23))
        return builder.bitcast(builder.add(bits, _every(127 << 23)), _lanes)

    return vector(vector), generate


@intrinsic
def _exponent(typing: Any, x: Any) -> Any:
    """Return e of ``x = 2^e m`` with m from sqrt(1/2) to sqrt(2)."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        bits = builder.sub(builder.bitcast(values[0], _bits), _every(_ROOT_HALF))
        return builder.sitofp(builder.ashr(bits, _every(23)), _lanes)

    return vector(vector), generate


@intrinsic
def _mantissa(typing: Any, x: Any) -> Any:
    """Return m of ``x = 2^e m``; NaN stays NaN."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        bits = builder.bitcast(values[0], _bits)
        above = builder.sub(bits, _every(_ROOT_HALF))
        mantissa = builder.sub(bits, builder.and_(above, _every(-(1 << 23))))
        is_nan = builder.fcmp_unordered("uno", values[0], values[0])
        return builder.select(is_nan, values[0], builder.bitcast(mantissa, _lanes))

    return vector(vector), generate


_ROOT_HALF = int(np.float32(0.5**0.5).view(np.int32))

# ---------------------------------------------------------------------------------------------
# Exponential and logarithm

INTEGER = 1.5 * 2**23  # adding this to a small number rounds it to an integer
LOWEST = -127 * float(np.log(2.0))  # where the exponential becomes 0
LOG2E = float(1 / np.log(2.0))
LOG2_HIGH, LOG2_LOW = 0.693359375, -2.12194440e-4  # the first has few bits: n times it is exact


@kernel
def exponential(x):  # type: ignore[no-untyped-def]
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
def logarithm(x):  # type: ignore[no-untyped-def]
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
