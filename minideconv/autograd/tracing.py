"""`tracing`: a list of the operations that were carried out, with the tensors that went through.

The tape keeps what gradients need. A trace keeps the rest too: constants, parameters that do not
learn, and which result was whose argument; so that a network can be written down for another
program.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from minideconv.autograd.grad_mode import mode
from minideconv.autograd.tensor import Tensor

__all__ = ["Call", "tracing"]


class Call(NamedTuple):
    """One operation: what `record` was given, but for the backward, and the Tensor it returned."""

    name: str
    inputs: Sequence[Tensor | None]
    result: Tensor
    options: Mapping[str, Any]
    saved: Sequence[Any]


@contextmanager
def tracing() -> Iterator[list[Call]]:
    """Collect every operation of this thread inside the block, in the order of computation.

    Recording is on inside, also within ``no_grad()``. What is missing in the list was not computed
    by operations on Tensors: changes in place, and everything done to the arrays themselves.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> with tracing() as calls:
    ...     y = (x * 2.0).sum()
    >>> [(call.name, call.options) for call in calls]
    [('mul', {'b': 2.0}), ('sum', {'axis': (0,), 'keepdims': False})]
    >>> calls[0].inputs[0] is x, calls[1].inputs[0] is calls[0].result
    (True, True)
    """
    before = mode.calls, mode.recording
    calls: list[Call] = []
    mode.calls, mode.recording = calls, True
    try:
        yield calls
    finally:
        mode.calls, mode.recording = before
