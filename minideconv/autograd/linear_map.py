"""A linear map and its transpose on the tape: each is the other's backward, any number of times.

For ``y = A x`` the gradient of the input is ``Aᵀ dy``. That is linear in ``dy`` and does not depend
on ``x`` at all, so its own backward is ``A`` again: nothing new has to be derived, however often
one differentiates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minideconv.autograd.record import record
from minideconv.autograd.tensor import Tensor
from minideconv.backend import Array
from minideconv.backend.dispatch import device_guard

__all__ = ["linear_map"]

_SUFFIX = "_backward"


@device_guard
def linear_map(
    name: str,
    x: Tensor,
    forward: Callable[[Array], Array],
    transpose: Callable[[Array], Array],
) -> Tensor:
    """Return ``forward(x)``, whose backward is ``transpose``, whose backward is ``forward``.

    Parameters
    ----------
    name : str
        That of an operation, "pad", or of its backward, "pad_backward".
    x : Tensor
    forward, transpose : callable
        Linear functions of arrays, the adjoints of each other.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = linear_map("reverse", x, lambda a: a[::-1], lambda a: a[::-1])
    >>> y.backward(Tensor([1.0, 0.0, 5.0]))
    >>> x.grad
    Tensor([5., 0., 1.])
    """
    other = name.removesuffix(_SUFFIX) if name.endswith(_SUFFIX) else name + _SUFFIX

    def backward(grad: Array, needs: Sequence[bool]) -> tuple[Array]:
        return (transpose(grad),)

    def differentiable(grad: Tensor, needs: Sequence[bool]) -> tuple[Any]:
        return (linear_map(other, grad, transpose, forward),)

    return record(name, forward(x.data), (x,), backward, differentiable=differentiable)
