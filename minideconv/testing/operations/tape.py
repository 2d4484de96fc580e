"""The tape: a student's class ``Tensor``, whose results know how they were made.

    a = Tensor(array, requires_grad=True)
    y = (a * b + a).sum()
    y.backward()            # a.grad holds the derivatives of y by the entries of a

It must have ``+ - * @``, ``sum()``, ``backward()`` and ``grad``, and keep its values in ``data``.
``grad`` is an array or a Tensor; of a leaf that requires none, None or zeros. Cases with anything
else are passed over if the class lacks it: ``requires_grad``, negation, ``/``, ``** number``,
``relu()``, ``exp()``, ``log()``, ``sum`` and ``mean`` over an ``axis`` with ``keepdims``,
``reshape``, ``T``.

A gradient adds up over all uses of a leaf, and over all calls of ``backward`` until it is reset:

    da = sum over the nodes u that use a of (du)(∂u/∂a)

summed over the axes along which a was repeated.

Source: Baydin, Pearlmutter, Radul and Siskind, Automatic differentiation in machine learning: a
survey, Journal of Machine Learning Research, 2018.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.testing.arrays import Kind, as_numpy
from minideconv.testing.drawing_expressions import FAMILIES, expression, family, features
from minideconv.testing.expressions import BINARY, LEAVES, Expression, Node, Shape
from minideconv.testing.faults import StudentFault
from minideconv.testing.operations.forward_mode import evaluate
from minideconv.testing.operations.operation import (
    Array,
    Arrays,
    Case,
    Expected,
    Functions,
    Operation,
    Settings,
)

__all__ = ["TAPE", "differentiate"]

REQUIRED = ("add", "sub", "mul", "matmul", "sum")
_HEAD = 4  # number of axes and up to three sizes, before the numbers of each gradient
_CALLS = 100_000  # calls of functions in one backward of a small expression

RULE = (
    "da = Σ over all uses u of a: du·∂u/∂a (they add up; axes that a was repeated along are summed)"
)


# What the class is asked -----------------------------------------------------------------------


def differentiate(tensor: Callable[..., Any], leaves: Arrays, e: Expression) -> tuple[Array, Array]:
    """Build an expression from a student's class and call backward on it.

    Returns
    -------
    y : ndarray, shape ()
        The result.
    grads : ndarray
        The gradients of the leaves, one after the other: `_coded` says how.

    Raises
    ------
    StudentFault
        Of kind ``"absent"`` if the class lacks something optional.
    """
    given = [_leaf(tensor, leaves[LEAVES[i]], i not in e.constants) for i in range(len(e.leaves))]
    y = _forward(e, given)
    value = numbers(y, "data")
    calls = 2 if e.calls == "twice" else 1
    with _Counted(e):
        y.backward()
    if e.calls == "rebuilt":
        _forward(e, given).backward()
    times = 1.0
    for _ in range(calls - 1):
        try:
            y.backward()
        except Exception:  # a tape may free its graph, and say so
            times = 2.0
    codes = [
        _coded(numbers(x, "grad"), shape, times, name=LEAVES[i], constant=i in e.constants)
        for i, (x, shape) in enumerate(zip(given, e.leaves, strict=True))
    ]
    kinds = [a.dtype for a in (value, *(numbers(x, "data") for x in given)) if a is not None]
    kinds += [g.dtype for x in given if (g := numbers(x, "grad")) is not None]
    narrow = min((k for k in kinds if k.kind == "f"), key=lambda k: k.itemsize, default=None)
    dtype = narrow or np.dtype(np.float64)
    if value is None:
        raise StudentFault("returned", "y.data is None; it must be the value of y")
    return value.astype(dtype), np.concatenate(codes).astype(dtype)


def _leaf(tensor: Callable[..., Any], array: Array | None, requires_grad: bool) -> Any:
    assert array is not None
    if _takes(tensor, "requires_grad"):
        return tensor(array, requires_grad=requires_grad)
    if not requires_grad:
        raise StudentFault("absent", "Tensor takes no requires_grad")
    return tensor(array)


def _takes(function: Callable[..., Any], name: str) -> bool:
    """Return whether a function takes a keyword argument, as far as its signature tells."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _forward(e: Expression, leaves: list[Any]) -> Any:
    values = list(leaves)
    for number, node in enumerate(e.nodes):
        result = _apply(node, [values[i] for i in node.inputs])
        for _ in range(e.repeat - 1 if number == 0 else 0):
            result = _apply(node, [result if i == node.inputs[0] else values[i]
                                   for i in node.inputs])  # fmt: skip
        values.append(result)
    return values[-1]


_OPERATORS: Mapping[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "matmul": lambda a, b: a @ b,
    "neg": lambda a: -a,
}


def _apply(node: Node, operands: list[Any]) -> Any:
    op, option, x = node.op, node.option, operands[0]
    if op in _OPERATORS or op == "pow":
        try:
            return x ** option[0] if op == "pow" else _OPERATORS[op](*operands)
        except (StudentFault, TypeError) as fault:
            if op not in REQUIRED and "operand type" in str(fault):
                raise StudentFault("absent", f"Tensor has no {BINARY.get(op, op)}") from None
            raise
    if op == "transpose":
        return x.T if hasattr(x, "T") else _method(x, "transpose")()
    method = _method(x, op)
    if op in ("sum", "mean") and option:
        if not _takes(method, "axis"):
            raise StudentFault("absent", f"{op} takes no axis")
        return method(axis=option[0], keepdims=bool(option[1]))
    if op == "reshape":
        try:
            return method(option)
        except (StudentFault, TypeError):  # it takes the sizes one by one
            return method(*option)
    return method()


def _method(x: Any, name: str) -> Callable[..., Any]:
    method: Callable[..., Any] | None = getattr(x, name, None)
    if method is not None:
        return method
    if name in REQUIRED:
        raise StudentFault("missing", f"Tensor has no method {name}")
    raise StudentFault("absent", f"Tensor has no method {name}")


def numbers(x: Any, name: str) -> Array | None:
    """Return the numbers of ``x.data`` or ``x.grad``, however they are kept; None if it is None."""
    try:
        held = getattr(x, name)
    except AttributeError:
        if name == "grad":
            raise StudentFault("returned", "a leaf has no attribute grad") from None
        held = x.numpy()
    if held is None:
        return None
    if not isinstance(held, (np.ndarray, np.generic, float, int)) and not hasattr(held, "detach"):
        held = getattr(held, "data", held)  # a Tensor of the student's own
    array = as_numpy(held)
    if array.dtype.kind not in "fiub":
        raise StudentFault("returned", f"{name} holds {type(held).__name__}; it must be an array")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


_BROADCAST = (
    "gradient of a broadcast operand not summed: backward() raised ValueError where it adds a "
    "gradient of the result's shape; sum it over the repeated axes first"
)
_RECURSION = (
    "backward() raised RecursionError: it calls itself once for each operation of a chain; keep a "
    "list of the nodes that are still to be visited instead"
)
_PATHS = (
    "backward() visits a node once for each path that leads to it, of which there are 2^n; visit "
    "each node once, after all that use it"
)


class _Counted:
    """Count calls of functions within a block, and stop what visits every path of a graph.

    A chain of 20 sums x + x has a million paths from its end to its beginning.
    """

    def __init__(self, e: Expression) -> None:
        self.many = len(set(e.nodes[0].inputs)) == 1 and e.repeat > 1
        self.count = 0

    def __enter__(self) -> None:
        if self.many:
            self.before = sys.getprofile()
            sys.setprofile(self.tick)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self.many:
            sys.setprofile(self.before)
        if "recursion depth" in str(error):
            raise StudentFault("recursion", _RECURSION) from None
        if "non-broadcastable output" in str(error):  # of grad += ...
            raise StudentFault("broadcast", _BROADCAST) from None

    def tick(self, frame: Any, event: str, arg: Any) -> None:
        self.count += 1
        if self.count > _CALLS:
            sys.setprofile(None)
            raise StudentFault("paths", _PATHS)


# Gradients as one array ------------------------------------------------------------------------


def _coded(grad: Array | None, shape: Shape, times: float, *, name: str, constant: bool) -> Array:
    """Return the shape of a gradient, then as many of its numbers as the leaf has.

    Thus a gradient of the wrong shape, or none, is a wrong array as any other: comparable.
    """
    count = int(np.prod(shape, dtype=int))
    code = np.full(_HEAD + count, np.nan)
    code[:_HEAD] = -1
    if constant and (grad is None or not grad.any()):
        code[_HEAD:] = 0
    elif grad is not None:
        head = (grad.ndim, *grad.shape[: _HEAD - 1])
        code[: len(head)] = head
        flat = grad.ravel()[:count]
        code[_HEAD : _HEAD + flat.size] = times * flat
    return code


def _part(
    e: Expression, got: Array, want: Expected, right: Callable[[Expected, Array], bool]
) -> tuple[str, Array | None, Expected]:
    """Return the first wrong gradient: its name, what was got (None: none), what must be."""
    start = 0
    for i, shape in enumerate(e.leaves):
        count = int(np.prod(shape, dtype=int))
        here = slice(start, start + _HEAD + count)
        start += _HEAD + count
        wanted = Expected(want.value[here], want.terms[here])
        if right(wanted, got[here]):
            continue
        ndim = int(got[here][0])
        whole = Expected(wanted.value[_HEAD:].reshape(shape), wanted.terms[_HEAD:].reshape(shape))
        own = tuple(int(n) for n in got[here][1 : max(ndim, 0) + 1])
        if ndim < 0:
            return f"{LEAVES[i]}.grad", None, whole
        numbers_got = got[here][_HEAD:]
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
    times = 1 if e.calls == "once" else 2
    values, terms, start = [], [], 0
    for i, shape in enumerate(e.leaves):
        count = int(np.prod(shape, dtype=int))
        here = slice(start, start + count)
        start += count
        grad, constant = times * dual.slope[here].reshape(shape), i in e.constants
        code = _coded(None if constant else grad, shape, 1.0, name=LEAVES[i], constant=constant)
        bound = np.zeros(code.shape)
        bound[_HEAD:] = 0 if constant else times * dual.steepness[here]
        values.append(code)
        terms.append(bound)
    return {
        "y": Expected(np.asarray(dual.value), np.asarray(dual.size)),
        "grads": Expected(np.concatenate(values), np.concatenate(terms)),
    }


def _run(functions: Functions, arrays: Arrays, settings: Settings) -> tuple[Array, Array]:
    e = Expression(settings["expression"])
    if not evaluate(e, _arrays(arrays, e))[1]:  # no derivative there: nothing to compare
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
            if evaluate(geometry, _arrays(case.arrays, geometry))[1]:
                break
        return _filled(case)

    def smaller(self, case: Case) -> Iterator[Case]:
        """Yield cases of simpler expressions."""
        return map(_filled, super().smaller(case))


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
    probes=6 * len(FAMILIES),
    called=("Tensor",),
    keeps_dtype=False,
    part=_part,
    written=_written,
    long={
        "a chain of 2000 sums": _chain("1,1:add(0,1);sum(2):repeat=2000", a=[1.0], b=[1.0]),
        "a million paths": _chain("1:add(0,0);sum(1):repeat=20", a=[1.0]),
    },
)
