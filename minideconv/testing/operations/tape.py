"""The tape: a student's class ``Tensor``, whose results know how they were made.

    a = Tensor(array, requires_grad=True)
    y = (a * b + a).sum()
    y.backward()            # a.grad holds the derivatives of y by the entries of a

It must have ``+ - * @``, ``sum()``, ``backward()`` and ``grad``, and keep its values in ``data``.
``grad`` is an array or a Tensor; of a leaf that requires none, None or zeros. Cases with anything
else are passed over if the class lacks it: ``requires_grad``, negation, ``/``, ``** number``,
``relu()``, ``exp()``, ``log()``, ``sum`` and ``mean`` over an ``axis`` (also -1) with ``keepdims``,
``reshape``, ``T``, ``transpose(*order)`` (or ``permute``); of a result of several numbers
``backward(grad)``, and ``backward()``, which takes ones. At 0 the derivative of relu is 0.

A gradient adds up over all uses of a leaf, and over all calls of ``backward`` until it is reset:

    da = sum over the nodes u that use a of (du)(∂u/∂a)

summed over the axes along which a was repeated.

Source: Baydin, Pearlmutter, Radul and Siskind, Automatic differentiation in machine learning: a
survey, Journal of Machine Learning Research, 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.testing.arrays import Kind
from minideconv.testing.drawing_expressions import FAMILIES, expression, family, features
from minideconv.testing.expressions import LEAVES, Expression
from minideconv.testing.nodes import Shape
from minideconv.testing.operations.differentiate import HEAD, coded, differentiate
from minideconv.testing.operations.forward_mode import Dual, evaluate
from minideconv.testing.operations.operation import (
    Array,
    Arrays,
    Case,
    Expected,
    Functions,
    Operation,
    Settings,
)

__all__ = ["TAPE"]

RULE = (
    "da = Σ over all uses u of a: du·∂u/∂a (they add up; axes that a was repeated along are "
    "summed); a.grad stays None where a requires no gradient"
)


# Gradients as one array ------------------------------------------------------------------------


def _part(
    output: str,
    e: Expression,
    got: Array,
    want: Expected,
    right: Callable[[Expected, Array], bool],
) -> tuple[str, Array | None, Expected]:
    """Return the first wrong gradient: its name, what was got (None: none), what must be."""
    if output == "y":
        return output, got, want
    start = 0
    for i, shape in enumerate(e.tensors):
        count = int(np.prod(shape, dtype=int))
        here = slice(start, start + HEAD + count)
        start += HEAD + count
        wanted = Expected(want.value[here], want.terms[here])
        if right(wanted, got[here]):
            continue
        ndim = int(got[here][0])
        whole = Expected(wanted.value[HEAD:].reshape(shape), wanted.terms[HEAD:].reshape(shape))
        own = tuple(int(n) for n in got[here][1 : max(ndim, 0) + 1])
        if ndim < 0:
            return f"{LEAVES[i]}.grad", None, whole
        numbers_got = got[here][HEAD:]
        part = numbers_got.reshape(shape) if own == shape else np.zeros(own, got.dtype)
        return f"{LEAVES[i]}.grad", part, whole
    return "a.grad", got, want


# The operation ---------------------------------------------------------------------------------


def _arrays(arrays: Mapping[str, Array | None], e: Expression) -> list[Array]:
    found = [arrays[LEAVES[i]] for i in range(len(e.leaves))]
    return [a for a in found if a is not None]


def _oracle(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    e = Expression(settings["expression"])
    dual, _ = evaluate(e, _arrays(arrays, e))
    grads, bounds = _added(e, arrays, dual)
    values, terms, start = [], [], 0
    for i, shape in enumerate(e.tensors):
        count = int(np.prod(shape, dtype=int))
        here = slice(start, start + count)
        start += count
        grad, constant = grads[here].reshape(shape), i in e.constants
        code = coded(None if constant else grad, shape, constant=constant)
        bound = np.zeros(code.shape)
        bound[HEAD:] = 0 if constant else bounds[here]
        values.append(code)
        terms.append(bound)
    return {
        "y": Expected(np.asarray(dual.value), np.asarray(dual.size)),
        "grads": Expected(np.concatenate(values), np.concatenate(terms)),
    }


def _added(e: Expression, arrays: Arrays, dual: Dual) -> tuple[Array, Array]:
    """Return what each number of the leaves gets in the end, and the terms' absolute values."""
    given = arrays[LEAVES[len(e.leaves) - 1]] if e.calls == "given" else None
    seed = np.ones(dual.value.shape) if given is None else given
    axes = tuple(range(1, dual.slope.ndim))
    grads, bounds = (dual.slope * seed).sum(axes), (dual.steepness * np.abs(seed)).sum(axes)
    return e.times * grads, e.times * bounds


@lru_cache(maxsize=4096)
def _has_derivative(text: str, *numbers: bytes) -> bool:
    e = Expression(text)
    arrays = [np.frombuffer(n).reshape(shape) for n, shape in zip(numbers, e.leaves, strict=True)]
    return evaluate(e, arrays, corners=True)[1]


def _run(functions: Functions, arrays: Arrays, settings: Settings) -> tuple[Array, Array]:
    e = Expression(settings["expression"])
    numbers = (a.astype(np.float64).tobytes() for a in _arrays(arrays, e))
    if not _has_derivative(e.text, *numbers):  # no derivative there: nothing to compare
        want = _oracle(arrays, settings)
        return want["y"].value, want["grads"].value
    return differentiate(functions["Tensor"], arrays, e)


def _arguments(case: Case) -> tuple[Arrays, Settings]:
    arrays = {role: case.arrays.get(role) for role in LEAVES}
    return arrays, {"expression": case.geometry.text}


def _shapes(e: Expression) -> dict[str, Shape]:
    return {LEAVES[i]: shape for i, shape in enumerate(e.leaves)}


def _written(words: dict[str, str]) -> str:
    e = Expression(words["expression"].split("=", 1)[1])
    return e.code({role: words[role].split("=", 1)[1] for role in LEAVES if role in words})


def telling(e: Expression) -> bool:
    """Return whether the gradient that comes back is not the same everywhere, and shapes differ."""
    found = features(e)
    ops = {node.op for node in e.nodes}
    if family(e) == "operations":
        return len(ops & {"sub", "mul", "neg", "relu"}) > 2
    if "matmul" in found:
        return any(n.op == "mul" for n in e.nodes[-2:])
    return len(e.leaves) > 1 and any(n.op == "mul" for n in e.nodes[-2:])


class _Tape(Operation):
    """Its cases hold every role, None where there is no such leaf, and are differentiable."""

    def case(
        self, geometry: Any, seed: int, kind: Kind = "integer", dtype: npt.DTypeLike = np.float64
    ) -> Case:
        """Fill an expression with values at which it has a derivative."""
        for attempt in range(20):
            case = super().case(geometry, seed + 7919 * attempt, kind, dtype)
            case = replace(case, arrays=_with_logarithms(geometry, case.arrays))
            if evaluate(geometry, _arrays(case.arrays, geometry), corners=True)[1]:
                break
        return _filled(case)

    def smaller(self, case: Case) -> Iterator[Case]:
        """Yield cases of simpler expressions."""
        return map(_filled, super().smaller(case))


def _with_logarithms(e: Expression, arrays: Mapping[str, Array | None]) -> Arrays:
    """Return arrays without the signs of those leaves of which a logarithm is taken."""
    logs = {LEAVES[i] for n in e.nodes if n.op == "log" for i in n.inputs if i < len(e.leaves)}
    return {r: np.abs(a) if a is not None and r in logs else a for r, a in arrays.items()}


def _filled(case: Case) -> Case:
    return replace(case, arrays={role: case.arrays.get(role) for role in LEAVES})


def _chain(text: str, **arrays: list[float]) -> Callable[[], Case]:
    """Return what makes the case of a long expression."""
    return lambda: _filled(
        Case(Expression(text), {role: np.array(numbers) for role, numbers in arrays.items()})
    )


TAPE = _Tape(
    name="tape",
    arguments=tuple(LEAVES),
    settings=("expression",),
    outputs=("y", "grads"),
    rules={"y": "y is what NumPy's operations of the same names give", "grads": RULE},
    families=FAMILIES,
    geometry=Expression,
    draw=expression,
    family=family,
    shapes=_shapes,
    call_arguments=_arguments,
    oracle=_oracle,
    telling=telling,
    run=_run,
    exact=False,
    called=("Tensor",),
    keeps_dtype=False,
    sizes=(),
    part=_part,
    written=_written,
    long={
        "a chain of 2000 sums": _chain("1,1:add(0,1);sum(2):repeat=2000", a=[1.0], b=[1.0]),
        "a million paths": _chain("1:add(0,0);sum(1):repeat=20", a=[1.0]),
    },
)
