"""How a mistake of a class ``Tensor`` is registered, and the further ways to make it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minideconv.testing.expressions import Expression
from minideconv.testing.mistakes.bank import Mistake, Values, register, right_outputs, vary
from minideconv.testing.mistakes.tensor import Right
from minideconv.testing.mistakes.tensor_styles import MADE_OF, Composed
from minideconv.testing.operations.operation import Array, Arrays, Functions, Settings
from minideconv.testing.operations.tape import TAPE

__all__ = ["SIGNS", "TapeMistake", "another_way", "derived", "wrong_tensor"]

SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "matmul": "@", "pow": "**",
         "neg": "negation"}  # fmt: skip
"""How sentences call operations, where not by their methods' names."""


@dataclass(frozen=True)
class TapeMistake(Mistake):
    """A mistake of a class ``Tensor``.

    Attributes
    ----------
    tensor : type
        The class that makes it.
    """

    tensor: type[Right] = Right

    def functions(self) -> Functions:
        """Return the class, by its name."""
        return {"Tensor": self.tensor}


def derived(*bases: type[Right]) -> Any:
    """Return a class ``Tensor`` of several bases: a mistake before a style."""
    return type("Tensor", bases, {})


def wrong_tensor(name: str, sentence: str, *outputs: str) -> Callable[[type[Right]], type[Right]]:
    """Register a class derived from `Right`; of two mistakes, one class is derived from both.

    It is known by its gradients, or by all the `outputs` that it gets wrong. If it names the
    operations that it gets wrong (``ops``), or replaces rules alone, it is right without these; and
    where others may be made of them, a class that does so is another way.
    """

    def register_class(tensor: type[Right]) -> type[Right]:
        def change(arrays: Arrays, settings: Settings) -> tuple[Arrays, Settings]:
            return arrays, {**settings, "beside": (*settings.get("beside", ()), tensor)}

        tensor.__name__ = "Tensor"
        for output in outputs or ("grads",):
            values = _values(tensor, output, _ops(tensor))
            register(TapeMistake("tape", output, name, sentence, values, change, tensor=tensor))
        _composed(name, tensor, outputs)
        return tensor

    return register_class


def another_way(name: str, *outputs: str) -> Callable[[type[Right]], type[Right]]:
    """Add a class to the mistake of this name."""

    def add_class(tensor: type[Right]) -> type[Right]:
        for output in outputs or ("grads",):
            vary("tape", output, name, _values(tensor, output, _ops(tensor)))
        _composed(name, tensor, outputs)
        return tensor

    return add_class


def _composed(name: str, tensor: type[Right], outputs: Sequence[str]) -> None:
    ops = _ops(tensor)
    if ops is None or not ops & set().union(*MADE_OF.values()):
        return
    wider = ops | {op for op, parts in MADE_OF.items() if ops & parts}
    for output in outputs or ("grads",):
        vary("tape", output, name, _values(derived(tensor, Composed), output, wider))


def _ops(tensor: type[Right]) -> set[str] | None:
    """Return the operations without which a class is right, if they are known."""
    own = vars(tensor)
    if "ops" in own:
        return set(own["ops"])
    replaced = [name for name, value in own.items() if callable(value)]
    if replaced and all(name.startswith("d_") for name in replaced):
        return {name.removeprefix("d_") for name in replaced}
    return None


def _values(tensor: type[Right], output: str, ops: set[str] | None) -> Values:
    place = TAPE.outputs.index(output)

    def values(arrays: Arrays, settings: Settings) -> Array:
        beside: Sequence[type[Right]] = settings.get("beside", ())
        if ops is not None and not beside:
            used = {node.op for node in Expression(settings["expression"]).nodes}
            if not ops & used:
                return right_outputs("tape", arrays, settings)[output].copy()
        run = TAPE.run
        assert run is not None
        both = derived(tensor, *beside) if beside else tensor
        with np.errstate(all="ignore"):
            return np.asarray(run({"Tensor": both}, arrays, settings)[place])

    return values
