"""`record`: the one way onto the tape, for every operation there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minideconv.autograd.grad_mode import mode
from minideconv.autograd.tape import Backward, Node, Version, calling_line, check_finite, memory_of
from minideconv.autograd.tensor import Tensor, wrap
from minideconv.backend import Array

__all__ = ["record"]


def record(
    name: str,
    data: Array,
    inputs: Sequence[Tensor | None],
    backward: Backward,
    saved: Sequence[Any] = (),
) -> Tensor:
    """Make the result of an operation a Tensor, and write on the tape how to go back through it.

    Nothing is written, and nothing kept, unless some input requires gradients and recording is on.

    Parameters
    ----------
    name : str
        The operation, for messages.
    data : array
        Its result.
    inputs : sequence of Tensor or None
        What it was computed from; None stands for an argument that was left out or is no tensor.
    backward : callable
        ``backward(grad, needs, *saved)`` returns a tuple with the gradient for each input, in
        order, where ``grad`` is the gradient of the result, of its shape. ``needs[i]`` says whether
        the gradient of input i is wanted; where not, return None. It must not change its arguments;
        it may return ``grad`` itself or views. What it returns must not be kept by it elsewhere.
    saved : sequence of Tensor, array or anything
        Handed to `backward` (tensors as their arrays) and freed as soon as it has run. Everything
        big belongs here and not in the closure of `backward`. If a saved tensor, or the result, is
        changed in place meanwhile, ``backward()`` raises an error.

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
    array = result.data
    block = memory_of(array)
    wanted = False
    edges: list[Any] = []
    for tensor in inputs:
        edge = None
        if tensor is not None:
            if memory_of(tensor.data) is block:
                result._version = tensor._version  # a view: changing one changes the other
            if tensor._requires_grad:
                wanted = True
                edge = tensor._node or tensor
        edges.append(edge)
    checking = mode.anomaly
    if checking:
        _check_forward(name, array, inputs)
    if not wanted or not mode.recording or array.dtype.kind != "f":
        if wanted and mode.used is not None:
            mode.used += [tensor for tensor in inputs if tensor is not None]
        return result
    arrays: list[Any] = []
    versions: list[tuple[Version, int, int]] = []
    for item in saved:
        if isinstance(item, Tensor):
            versions.append((item._version, item._version[0], len(arrays)))
            arrays.append(item.data)
        else:
            if item is data:
                versions.append((result._version, result._version[0], len(arrays)))
            arrays.append(item)
    result._requires_grad = True
    result._node = Node(
        name, tuple(edges), backward, tuple(arrays), versions, array.shape, array.dtype
    )
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
