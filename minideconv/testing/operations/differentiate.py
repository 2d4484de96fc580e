"""Asking a student's class ``Tensor`` for the gradients of an expression.

Nothing is asked but what a program would: operators, methods, ``backward()``, ``data``, ``grad``.
So the class may as well live in another process.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from minideconv.testing.arrays import as_numpy
from minideconv.testing.expressions import LEAVES, Expression
from minideconv.testing.faults import StudentFault
from minideconv.testing.nodes import BINARY, Node, Shape
from minideconv.testing.operations.operation import Array, Arrays

__all__ = ["HEAD", "coded", "differentiate"]

REQUIRED = ("add", "sub", "mul", "matmul", "sum")
HEAD = 4  # number of axes and up to three sizes, before the numbers of each gradient
_GRADIENT = "args|g|d|v|d[a-z]{1,3}|seed|upstream|delta|(?!zero|clear|reset|retain).*grad.*"
_CALLS = 100_000  # calls of functions in one backward of a small expression


def differentiate(tensor: Callable[..., Any], leaves: Arrays, e: Expression) -> tuple[Array, Array]:
    """Build an expression from a student's class and call backward on it.

    Returns
    -------
    y : ndarray of float32
        The result.
    grads : ndarray of float32
        The gradients of the leaves, one after the other: `coded` says how.

    Raises
    ------
    StudentFault
        Of kind ``"absent"`` if the class lacks something optional.
    """
    requires = _takes(tensor, "requires_grad")
    given = []
    for i in range(len(e.tensors)):
        given.append(_leaf(tensor, leaves[LEAVES[i]], i not in e.constants, requires))
    y = _forward(e, given)
    value = numbers(y, "data")
    if e.calls == "older":
        _OPERATORS["add"](y, y)
    if e.calls in ("given", "ones"):
        _of_several(y, leaves[LEAVES[len(e.leaves) - 1]] if e.calls == "given" else None)
    else:
        with _Counted(e):
            y.backward()
    if e.calls == "rebuilt":
        _forward(e, given).backward()
    grads = [numbers(x, "grad") for x in given]
    if e.calls == "twice":
        once = [None if g is None else 2 * g for g in grads]
        try:
            y.backward()
            grads = [numbers(x, "grad") for x in given]
        except Exception:  # a tape may free its graph, and say so
            grads = once
    codes = [
        coded(grad, shape, constant=i in e.constants)
        for i, (grad, shape) in enumerate(zip(grads, e.tensors, strict=True))
    ]
    if value is None:
        raise StudentFault("returned", "y.data is None; it must be the value of y")
    # In float32: a class may keep its numbers, or the 1/n of a mean, in less than it was given.
    return value.astype(np.float32), np.concatenate(codes).astype(np.float32)


def _of_several(y: Any, grad: Array | None) -> None:
    """Call backward on a result of several numbers, with its gradient or, if None, without."""
    if not _takes_gradient(y.backward):
        raise StudentFault("absent", "backward takes no gradient")
    if grad is not None:
        held = y.data
        y.backward(held.new_tensor(grad) if hasattr(held, "new_tensor") else grad.copy())
        return
    try:
        y.backward()
    except Exception:  # some, as PyTorch, take ones for a single number only
        raise StudentFault("absent", "backward() is for single numbers") from None


def _takes_gradient(backward: Callable[..., Any]) -> bool:
    """Return whether the first argument of backward is the gradient, as far as its name tells."""
    try:
        parameters = list(inspect.signature(backward).parameters.values())
    except (TypeError, ValueError):
        return True
    if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
        return False
    return re.fullmatch(_GRADIENT, parameters[0].name) is not None


def _leaf(tensor: Callable[..., Any], array: Array | None, requires_grad: bool, says: bool) -> Any:
    assert array is not None
    if says:
        return tensor(array, requires_grad=requires_grad)
    if not requires_grad:
        raise StudentFault("absent", "Tensor takes no requires_grad")
    return tensor(array)


def _takes(function: Callable[..., Any], name: str) -> bool:
    """Return whether a function takes a keyword argument, as far as its signature tells."""
    function = getattr(function, "__func__", function)  # a method by what its objects share
    try:
        parameters = _parameters(function, getattr(function, "__init__", None))
    except TypeError:  # what stands for a method in another process cannot be kept by its value
        parameters = _parameters.__wrapped__(function, None)
    return (
        parameters is None
        or name in parameters
        or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    )


@lru_cache(maxsize=256)
def _parameters(function: Callable[..., Any], _init: Any) -> Mapping[str, inspect.Parameter] | None:
    """Return what a function takes, None if it does not tell; as slow as a gradient, so kept."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None


def _forward(e: Expression, leaves: list[Any]) -> Any:
    values = [*leaves, *[None] * (len(e.leaves) - len(leaves))]  # a gradient is in no operation
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
        if option:
            return _permuted(x, option)
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


def _permuted(x: Any, order: tuple[int, ...]) -> Any:
    """Return the axes in another order, if the class can: some exchange two axes only."""
    method = getattr(x, "permute", None) or _method(x, "transpose")
    held = numbers(x, "data")
    assert held is not None
    shape = tuple(held.shape[axis] for axis in order)
    for arguments in (order, (order,)):  # axis by axis, or as a tuple
        with contextlib.suppress(Exception):
            result = method(*arguments)
            got = numbers(result, "data")
            if got is not None and got.shape == shape:
                return result
    raise StudentFault("absent", "Tensor's transpose takes no order of axes")


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


def coded(grad: Array | None, shape: Shape, *, constant: bool) -> Array:
    """Return the shape of a gradient, then as many of its numbers as the leaf has.

    Thus a gradient of the wrong shape, or none, is a wrong array as any other: comparable.
    """
    count = prod(shape)
    code = np.full(HEAD + count, np.nan)
    code[:HEAD] = -1
    if constant and (grad is None or not grad.any()):
        code[HEAD:] = 0
    elif grad is not None:
        head = (grad.ndim, *grad.shape[: HEAD - 1])
        code[: len(head)] = head
        flat = grad.ravel()[:count]
        code[HEAD : HEAD + flat.size] = flat
    return code
