"""Activations computed twice instead of kept: `checkpoint` trades time for memory.

A tape keeps what every operation saved until backward passes it. `checkpoint(function, *inputs)`
keeps the inputs of a whole part of a network only, and computes the part a second time, now with a
tape, when backward arrives at it. A chain of n operations, cut into √n parts, then needs memory for
some 2 √n of them and the time of one more forward: T. Chen, B. Xu, C. Zhang, C. Guestrin, "Training
deep nets with sublinear memory cost" (2016), section 4.1; for the general question, A. Griewank and
A. Walther, "Algorithm 799: revolve" (2000).

On the tape of the whole network a part is one node that has the part's inputs as its edges, and one
small node for each of its results, which hands its gradient over to the former.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

from minideconv import random
from minideconv.autograd.grad_mode import is_grad_enabled, mode
from minideconv.autograd.record import record
from minideconv.autograd.tape import gradients_of
from minideconv.autograd.tensor import Tensor
from minideconv.backend import Array
from minideconv.backend.dispatch import keep_choices

__all__ = ["checkpoint"]


def checkpoint(function: Callable[..., Any], *inputs: Any) -> Any:
    """Return ``function(*inputs)`` without keeping what it computes in between.

    Parameters
    ----------
    function : callable
        A module, or any function that computes the same when it is called again with the same
        inputs. It may use parameters that are not among the inputs.
    *inputs
        Tensors and anything else (switches, numbers).

    Returns
    -------
    What `function` returns: a Tensor, or a tuple with Tensors and other things.

    Raises
    ------
    TypeError
        If it returns neither.
    RuntimeError
        In ``backward()``, if a tensor that it used was changed in between, or if its second call
        returned other shapes.

    Notes
    -----
    Values and gradients are those of ``function(*inputs)``, bit for bit. The second call draws the
    same numbers from the global generator, and from the generators that a module's layers hold
    (``rng``); `F.batch_norm` and `nn.BatchNorm2d` leave their running statistics alone in it. Other
    effects happen twice, and everything that is not a tensor, the mode of a module for example,
    must be as it was. Inside ``no_grad()`` this is a plain call. Segments may be nested.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> y = checkpoint(lambda x: (x * x).exp(), x)
    >>> y.sum().backward()
    >>> x.grad.numpy().round(1).tolist() == (2 * x * (x * x).exp()).numpy().round(1).tolist()
    True
    """
    if not is_grad_enabled():
        return function(*inputs)
    modules = getattr(function, "modules", None)
    layers = list(modules()) if callable(modules) else []
    own = [layer.rng for layer in layers if getattr(layer, "rng", None) is not None]
    before = _states([random.default_rng(), *own])
    found, used = _first_call(function, inputs)
    # Generators that the function left alone are left alone by its second call too.
    drawn = [(rng, state) for rng, state in before if rng.bit_generator.state != state]
    results = found if isinstance(found, tuple) else (found,)
    if not any(isinstance(result, Tensor) for result in results):
        raise TypeError(
            f"checkpoint: {_name(function)} returned {type(found).__name__}; it must return a "
            "Tensor, or a tuple with at least one"
        )
    if not used:
        return found
    recorded = _on_tape(function, inputs, used, drawn, results)
    return recorded if isinstance(found, tuple) else recorded[0]


def _first_call(function: Callable[..., Any], inputs: Sequence[Any]) -> tuple[Any, list[Tensor]]:
    """Call without a tape; also return the tensors that gradients go to, each once."""
    before = mode.seen_tensors
    mode.recording, mode.seen_tensors = False, list(inputs)
    try:
        found = function(*inputs)
        tensors = [tensor for tensor in mode.seen_tensors if isinstance(tensor, Tensor)]
    finally:
        mode.recording, mode.seen_tensors = True, before
    used = {tensor._node or tensor: tensor for tensor in tensors if tensor._requires_grad}
    return found, list(used.values())


def _on_tape(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    used: Sequence[Tensor],
    drawn: RandomStates,
    results: tuple[Any, ...],
) -> tuple[Any, ...]:
    """Write the part down; return its results, now with a history."""
    name = f"checkpoint of {_name(function)}"
    shapes = [getattr(result, "shape", None) for result in results]
    grads: dict[int, Array] = {}  # that have arrived, by the number of the result
    nothing = np.empty(0, np.float32)

    # An array may be changed by the program before it is needed again.
    inputs = [item.copy() if isinstance(item, np.ndarray) else item for item in inputs]

    @keep_choices
    def call_again(_: Array, needs: tuple[bool, ...], *saved: Array) -> tuple[Array | None, ...]:
        """Call the function again, with a tape, and walk back over that."""
        arrived = dict(sorted(grads.items()))
        grads.clear()
        with _second_call(drawn):
            found = function(*inputs)
        again = found if isinstance(found, tuple) else (found,)
        if (found_shapes := [getattr(result, "shape", None) for result in again]) != shapes:
            raise RuntimeError(
                f"checkpoint: {_name(function)} returned shapes {found_shapes} when it was called "
                f"again but {shapes} the first time; it must compute the same both times"
            )
        numbers = [number for number in arrived if again[number]._requires_grad]
        outputs = [again[number]._node or again[number] for number in numbers]
        sent = [arrived.pop(number) for number in numbers]
        del found, again
        return tuple(gradients_of(outputs, sent, [tensor._node or tensor for tensor in used]))

    kept = [item for item in (*inputs, *used) if isinstance(item, Tensor)]
    whole = record(name, nothing, used, call_again, kept, fresh=True)

    def on_tape(number: int, result: Any) -> Any:
        if not isinstance(result, Tensor) or result.dtype.kind != "f":
            return result

        def hand_over(grad: Array, needs: tuple[bool, ...]) -> tuple[Array]:
            grads[number] = grad
            return (nothing,)  # `whole` runs when all results have had their turn

        recorded = record(f"result {number} of {name}", result.data, (whole,), hand_over)
        recorded._version = result._version
        return recorded

    return tuple(on_tape(number, result) for number, result in enumerate(results))


RandomStates: TypeAlias = list[tuple[np.random.Generator, Any]]
"""Generators of random numbers, and the state of each at some time."""


def _states(generators: Iterable[np.random.Generator]) -> RandomStates:
    return [(generator, generator.bit_generator.state) for generator in generators]


@contextmanager
def _second_call(drawn: RandomStates) -> Iterator[None]:
    """Record, draw the same numbers once more, and leave alone what a forward changes for good."""
    before = mode.recording, mode.replaying, mode.seen_tensors
    now = _states(generator for generator, _ in drawn)
    mode.recording, mode.replaying, mode.seen_tensors = True, True, None
    try:
        for generator, state in drawn:
            generator.bit_generator.state = state
        yield
    finally:
        mode.recording, mode.replaying, mode.seen_tensors = before
        for generator, state in now:
            generator.bit_generator.state = state


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))
