"""`record`: the one way onto the tape, for every operation there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minideconv.autograd.grad_mode import calling_line, check_finite, mode
from minideconv.autograd.tape import Backward, Differentiable, Node, Source, Version
from minideconv.autograd.tensor import Tensor, wrap
from minideconv.autograd.tracing import Call
from minideconv.backend import Array

__all__ = ["record"]


def record(
    name: str,
    data: Array,
    inputs: Sequence[Tensor | None],
    backward: Backward,
    saved: Sequence[Any] = (),
    options: Mapping[str, Any] | None = None,
    fresh: bool = False,
    differentiable: Differentiable | None = None,
) -> Tensor:
    """Make the result of an operation a Tensor, and write on the tape how to go back through it.

    Nothing is written, and nothing kept, unless some input requires gradients and recording is on.

    Parameters
    ----------
    name : str
        The operation: the function's own name, for messages and for `graph`.
    data : array
        Its result.
    inputs : sequence of Tensor or None
        What it was computed from; None stands for an argument that was left out or is no tensor.
    backward : callable
        ``backward(grad, needs, *saved)`` returns a tuple with the gradient for each input, in
        order, where ``grad`` is the gradient of the result, of its shape. ``needs[i]`` says whether
        the gradient of input i is wanted; where not, return None. It must not change its arguments;
        it may return ``grad`` itself or views.
    saved : sequence of Tensor, array or anything
        Handed to `backward` (tensors as their arrays) and freed as soon as it has run. Everything
        big belongs here and not in the closure of `backward`. If a saved tensor, or the result, is
        changed in place meanwhile, ``backward()`` raises an error.
    options : mapping of str to anything, optional
        What the function was given besides its inputs, by parameter name (see `Node`). Nothing is
        computed from it: a reader of the graph sees from it which operation this was.
    fresh : bool, default False
        Whether every gradient that `backward` returns is a new array that nothing else refers to:
        not ``grad``, nothing saved, no part of something larger, no two that share memory. A leaf
        then keeps it as its ``.grad`` without a copy.
    differentiable : callable, optional
        ``differentiable(grad, needs, *saved)``: what `backward` computes, by operations on Tensors,
        so that it is itself recorded and a gradient has gradients (`grad`). ``grad`` and what was
        saved as a Tensor, or is the result, are Tensors here, with their history; everything else
        is as it was saved. A `backward` that uses only what arrays and Tensors have in common may
        stand here too. None where there are no gradients of gradients.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> def cube(x):
    ...     def backward(grad, needs, x):
    ...         return (grad * 3 * x**2,)
    ...
    ...     return record("cube", x.data**3, (x,), backward, saved=(x,))
    >>> x = Tensor([2.0], requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad
    Tensor([12.])
    """
    result = wrap(data)
    now = mode.now()
    if now.calls is not None:
        now.calls.append(Call(name, tuple(inputs), result, options or {}, tuple(saved)))
    array = result.data
    memory = array if array.base is None else memory_of(array)
    wanted = False
    edges: list[Any] = []
    for tensor in inputs:
        edge = None
        if tensor is not None:
            its = tensor.data
            if (its if its.base is None else memory_of(its)) is memory:
                result._version = tensor._version  # a view: changing one changes the other
            if tensor._requires_grad:
                wanted = True
                edge = tensor._node or tensor
        edges.append(edge)
    checking = now.anomaly
    if checking:
        _check_forward(name, array, inputs)
    if not wanted or not now.recording or array.dtype.kind != "f":
        if wanted and now.seen_tensors is not None:
            now.seen_tensors.extend(tensor for tensor in inputs if tensor is not None)
        return result
    arrays: list[Any] = []
    versions: list[tuple[Version, int, int, Source]] = []
    for item in saved:
        if isinstance(item, Tensor):
            version, source = item._version, None
            if item._requires_grad:
                source = item._node or item
            versions.append((version, version[0], len(arrays), source))
            item = item.data
        elif item is data:
            versions.append((result._version, result._version[0], len(arrays), ...))
        arrays.append(item)
    result._requires_grad = True
    result._node = Node(
        name, options or {}, edges, backward, arrays, versions, array.shape, array.dtype, fresh,
        differentiable,
    )  # fmt: skip
    if checking:
        result._node.origin = calling_line()
    return result


def _check_forward(name: str, data: Array, inputs: Sequence[Tensor | None]) -> None:
    """Raise the error of `detect_anomaly` if an input (then a leaf) or the result is not finite."""
    line = calling_line()
    for place, tensor in enumerate(inputs):
        if tensor is not None:
            check_finite(tensor.data, f"input {place} of {name} already held", line)
    check_finite(data, f"{name} made", line)


def memory_of(array: Array) -> Array:
    """Return the array that has the memory of `array`: itself unless it is a view of another."""
    while isinstance(array.base, type(array)):
        array = array.base
    return array
