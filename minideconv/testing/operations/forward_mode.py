"""The value and the gradient of an expression, in forward mode: the kit's oracle for a tape.

Forward mode needs no graph, no order and no accumulation, which are what a tape can get wrong. Each
value carries its derivatives by every entry of every leaf, along a first axis:

    (u + v)' = u' + v'      (u v)' = u' v + u v'      (A B)' = A' B + A B'      f(u)' = f'(u) u'

Beside each goes the sum of the absolute values of its terms, which bounds its rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minideconv.testing.expressions import Expression
from minideconv.testing.nodes import Node
from minideconv.testing.operations.operation import Array

__all__ = ["Dual", "evaluate"]

WHOLE = ("add", "sub", "mul", "matmul", "neg", "relu", "sum", "reshape", "transpose")
"""Operations that make integers of integers, in any order of their sums."""


@dataclass(frozen=True)
class Dual:
    """A value with its derivatives, one for each entry of the leaves.

    Attributes
    ----------
    value : ndarray, shape S
        The value.
    slope : ndarray, shape (P,) + S
        Its derivatives.
    size, steepness : ndarray
        The sums of the absolute values of the terms of `value` and of `slope`.
    """

    value: Array
    slope: Array
    size: Array
    steepness: Array


def evaluate(
    expression: Expression, arrays: list[Array], *, corners: bool = False
) -> tuple[Dual, bool]:
    """Return the result, and whether every operation has a derivative there.

    It has none at relu(0), and where a logarithm, quotient or power is not defined. With `corners`
    that of relu(0) is 0, as every library has it, where no rounding can move the 0: where it comes
    of integers by sums and products alone.
    """
    count = sum(a.size for a in arrays)
    duals, first = [], 0
    for array in arrays:
        value = np.asarray(array, np.float64)
        slope = np.zeros((count, value.size))
        slope[first + np.arange(value.size), np.arange(value.size)] = 1
        first += value.size
        slope = slope.reshape(count, *value.shape)
        duals.append(Dual(value, slope, np.abs(value), np.abs(slope)))
    defined = True
    whole = [corners and bool((d.value == np.rint(d.value)).all()) for d in duals]
    with np.errstate(all="ignore"):
        for number, node in enumerate(expression.nodes):
            operands = [duals[i] for i in node.inputs]
            result = _apply(node, operands)
            exact = all(whole[i] for i in node.inputs)
            whole.append(exact and node.op in WHOLE)
            defined = defined and ((exact and node.op == "relu") or _has_slope(node, operands))
            for _ in range(expression.repeat - 1 if number == 0 else 0):
                operands = [result if i == node.inputs[0] else duals[i] for i in node.inputs]
                result = _apply(node, operands)
                defined = defined and ((exact and node.op == "relu") or _has_slope(node, operands))
            duals.append(result)
    last = duals[-1]
    return last, defined and bool(np.isfinite(last.value).all() and np.isfinite(last.slope).all())


def _has_slope(node: Node, operands: list[Dual]) -> bool:
    x = operands[0].value
    if node.op == "relu":
        return bool((x != 0).all())
    if node.op == "log":
        return bool((x > 0).all())
    if node.op == "pow":
        return node.option[0] >= 1 or bool((x != 0).all())
    return node.op != "div" or bool((operands[1].value != 0).all())


def _lifted(slope: Array, axes: int) -> Array:
    """Insert axes of length 1 after the first, so that `slope` has `axes` further ones."""
    return slope.reshape(slope.shape[0], *(1,) * (axes + 1 - slope.ndim), *slope.shape[1:])


def _apply(node: Node, operands: list[Dual]) -> Dual:
    if len(operands) == 2:
        return _binary(node.op, *operands)
    return _unary(node, operands[0])


def _binary(op: str, a: Dual, b: Dual) -> Dual:
    if op == "matmul":
        return Dual(
            a.value @ b.value,
            a.slope @ b.value + a.value @ b.slope,
            a.size @ b.size,
            a.steepness @ b.size + a.size @ b.steepness,
        )
    axes = max(a.value.ndim, b.value.ndim)
    da, db = _lifted(a.slope, axes), _lifted(b.slope, axes)
    ta, tb = _lifted(a.steepness, axes), _lifted(b.steepness, axes)
    if op in ("add", "sub"):
        sign = 1 if op == "add" else -1
        return Dual(a.value + sign * b.value, da + sign * db, a.size + b.size, ta + tb)
    if op == "mul":
        return Dual(
            a.value * b.value, da * b.value + a.value * db,
            a.size * b.size, ta * b.size + a.size * tb,
        )  # fmt: skip
    # A divisor's own rounding is relative to its terms, too.
    inverse, lost = 1 / b.value, b.size / np.abs(b.value)
    return Dual(
        a.value * inverse,
        (da - a.value * inverse * db) * inverse,
        a.size * np.abs(inverse) * lost,
        (ta + a.size * np.abs(inverse) * tb) * np.abs(inverse) * lost**2,
    )


def _unary(node: Node, x: Dual) -> Dual:
    op, option, v = node.op, node.option, x.value
    if op == "neg":
        return Dual(-v, -x.slope, x.size, x.steepness)
    if op == "relu":
        return Dual(*((v > 0) * part for part in (v, x.slope, x.size, x.steepness)))
    if op == "exp":
        grown = np.exp(v) * (1 + x.size)
        return Dual(np.exp(v), np.exp(v) * x.slope, grown, grown * x.steepness)
    if op == "log":
        lost = x.size / np.abs(v)
        return Dual(np.log(v), x.slope / v, np.abs(np.log(v)) + lost,
                    x.steepness / np.abs(v) * lost)  # fmt: skip
    if op == "pow":
        n = option[0]
        slope = n * v ** float(n - 1)
        lost = (x.size / np.where(v == 0, 1, np.abs(v))) ** (abs(n) + 1)
        return Dual(v ** float(n), slope * x.slope, np.abs(v ** float(n)) * lost + (v == 0),
                    np.abs(slope) * x.steepness * lost)  # fmt: skip
    parts = (v, x.slope, x.size, x.steepness)
    if op == "transpose":
        order = [axis - v.ndim for axis in option or (1, 0)]
        return Dual(*(p.transpose(*range(p.ndim - v.ndim), *order) for p in parts))
    if op == "reshape":
        return Dual(*(p.reshape(*p.shape[: p.ndim - v.ndim], *option) for p in parts))
    # sum and mean
    axes = (option[0] % v.ndim - v.ndim,) if option else tuple(range(-v.ndim, 0))
    keep = bool(option and option[1])
    divisor = int(np.prod([v.shape[a] for a in axes], dtype=int)) if op == "mean" else 1
    return Dual(*(np.asarray(p.sum(axes, keepdims=keep) / divisor) for p in parts))
