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

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minideconv import random
from minideconv.autograd.grad_mode import is_grad_enabled, mode
from minideconv.autograd.tape import Leaf, Node, Version, gradients_of
from minideconv.autograd.tensor import Tensor, wrap
from minideconv.backend import Array

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
    must be as it was. Inside ``no_grad()`` this is a plain call. Parts may lie inside parts.

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
    chance = _Chance(function)
    found, used = _first_call(function, inputs)
    chance.end()
    results = found if isinstance(found, tuple) else (found,)
    if not any(isinstance(result, Tensor) for result in results):
        raise TypeError(
            f"checkpoint: {_name(function)} returned {type(found).__name__}; it must return a "
            "Tensor, or a tuple with at least one"
        )
    if not used:
        return found
    part = _Part(function, len(inputs), chance, results)
    wrapped = part.on_tape(inputs, used)
    return wrapped if isinstance(found, tuple) else wrapped[0]


def _first_call(
    function: Callable[..., Any], inputs: Sequence[Any]
) -> tuple[Any, dict[Node | Leaf, Tensor]]:
    """Call without a tape; also return the tensors that gradients go to, by node or leaf."""
    before = mode.used
    mode.recording, mode.used = False, list(inputs)
    try:
        found = function(*inputs)
        tensors = [tensor for tensor in mode.used if isinstance(tensor, Tensor)]
    finally:
        mode.recording, mode.used = True, before
    return found, {tensor._node or tensor: tensor for tensor in tensors if tensor._requires_grad}


class _Part:
    """A part of a network on the tape: what it takes to call it again."""

    def __init__(
        self, function: Callable[..., Any], inputs: int, chance: _Chance, results: tuple[Any, ...]
    ) -> None:
        self.function = function
        self.inputs = inputs
        self.chance = chance
        self.shapes = [_shape(result) for result in results]
        self.results = results
        self.grads: dict[int, Array] = {}  # that have arrived, by the number of the result

    def on_tape(self, inputs: Sequence[Any], used: dict[Node | Leaf, Tensor]) -> tuple[Any, ...]:
        """Write the part down; return its results, now with a history."""
        saved = (*inputs, *used.values())
        versions: list[tuple[Version, int, int]] = [
            (item._version, item._version[0], place)
            for place, item in enumerate(saved)
            if isinstance(item, Tensor)
        ]
        name = f"checkpoint of {_name(self.function)}"
        whole = Node(name, tuple(used), self._backward, saved, versions, (0,), np.dtype(np.float32))
        results, self.results = self.results, ()
        return tuple(self._result(number, result, whole) for number, result in enumerate(results))

    def _result(self, number: int, result: Any, whole: Node) -> Any:
        if not isinstance(result, Tensor) or result.dtype.kind != "f":
            return result

        def backward(grad: Array, needs: tuple[bool, ...]) -> tuple[Array]:
            self.grads[number] = grad
            return (np.empty(0, np.float32),)  # `whole` runs when all results have had their turn

        tensor = wrap(result.data, result._version)
        tensor._requires_grad = True
        tensor._node = Node(
            f"result {number} of {whole.name}",
            (whole,),
            backward,
            (),
            [],
            tensor.shape,
            tensor.dtype,
        )
        return tensor

    def _backward(self, _: Array, needs: tuple[bool, ...], *saved: Any) -> tuple[Array | None, ...]:
        """Call the function again, with a tape, and walk back over that."""
        grads, self.grads = self.grads, {}
        inputs, used = saved[: self.inputs], saved[self.inputs :]
        with self.chance.again(), _replaying():
            found = self.function(*inputs)
        results = found if isinstance(found, tuple) else (found,)
        shapes = [_shape(result) for result in results]
        if shapes != self.shapes:
            raise RuntimeError(
                f"checkpoint: {_name(self.function)} returned shapes {shapes} when it was called "
                f"again but {self.shapes} the first time; it must compute the same both times"
            )
        numbers = [number for number in sorted(grads) if results[number]._requires_grad]
        outputs = [results[number]._node or results[number] for number in numbers]
        arrived = [grads.pop(number) for number in numbers]
        del found, results
        return tuple(gradients_of(outputs, arrived, [tensor._node or tensor for tensor in used]))


class _Chance:
    """The random numbers that a function draws, to be drawn again."""

    def __init__(self, function: Callable[..., Any]) -> None:
        modules = getattr(function, "modules", None)
        layers = list(modules()) if callable(modules) else []
        own = [layer.rng for layer in layers if hasattr(layer, "rng") and layer.rng is not None]
        self._generators: list[np.random.Generator] = [random.default_rng(), *own]
        self._states = self._now()

    def _now(self) -> list[Any]:
        return [generator.bit_generator.state for generator in self._generators]

    def end(self) -> None:
        """Say that the function has returned: generators that it left alone are forgotten."""
        pairs = zip(self._generators, self._states, self._now(), strict=True)
        drawn = [(generator, before) for generator, before, after in pairs if before != after]
        self._generators = [generator for generator, _ in drawn]
        self._states = [before for _, before in drawn]

    @contextmanager
    def again(self) -> Iterator[None]:
        """Inside the block the generators give the same numbers once more."""
        now = self._now()
        self._set(self._states)
        try:
            yield
        finally:
            self._set(now)

    def _set(self, states: list[Any]) -> None:
        for generator, state in zip(self._generators, states, strict=True):
            generator.bit_generator.state = state


@contextmanager
def _replaying() -> Iterator[None]:
    """Record, and leave alone what a forward changes for good."""
    before = mode.recording, mode.replaying, mode.used
    mode.recording, mode.replaying, mode.used = True, True, None
    try:
        yield
    finally:
        mode.recording, mode.replaying, mode.used = before


def _shape(result: Any) -> tuple[int, ...] | None:
    return result.shape if isinstance(result, Tensor) else None


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))
