"""What a mutant is, the list of all of them, and the small slips they are made of."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minideconv.ops import conv

__all__ = [
    "Array",
    "Mutant",
    "Of",
    "Pair",
    "flip",
    "interleaved",
    "kernel_misread",
    "mutant",
    "mutants",
    "pad",
]

Array = npt.NDArray[Any]
Pair = tuple[int, int]
Of = Literal["conv2d", "conv_transpose2d", "conv2d_weight_grad"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One wrong version of a function.

    Attributes
    ----------
    name : str
        Short identifier, unique within ``of``.
    of : str
        The function it gets wrong: "conv2d", "conv_transpose2d" or "conv2d_weight_grad".
    explanation : str
        The misconception in one sentence.
    function : callable
        Same arguments as the right function.
    """

    name: str
    of: Of
    explanation: str
    function: Callable[..., Array]


_BANK: list[Mutant] = []
_PAIRS = ("kernel_size", "stride", "padding", "output_padding", "dilation")


def mutants(of: Of | None = None) -> tuple[Mutant, ...]:
    """Return the mutants of one function, or all of them.

    Examples
    --------
    >>> [m.name for m in mutants("conv2d")][:3]
    ['kernel_flipped', 'kernel_read_as_kw_kh', 'stride_swapped']
    """
    return tuple(m for m in _BANK if of is None or m.of == of)


def mutant(of: Of, explanation: str) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    """Register the decorated function, ``_name``, as the mutant ``name`` of the function `of`.

    It is called with every argument of `of` by name, sizes and steps as pairs (height, width): so
    it names those that it gets wrong and hands on the ``**rest``.
    """
    signature = inspect.signature(getattr(conv, of))

    def register(wrong: Callable[..., Array]) -> Callable[..., Array]:
        def function(*args: Any, **kwargs: Any) -> Array:
            call = signature.bind(*args, **kwargs)
            call.apply_defaults()
            for name in call.arguments.keys() & _PAIRS:
                value = call.arguments[name]
                call.arguments[name] = (value, value) if isinstance(value, int) else value
            return wrong(**call.arguments)

        _BANK.append(Mutant(wrong.__name__.removeprefix("_"), of, explanation, function))
        return wrong

    return register


def flip(weight: Array) -> Array:
    """Turn every kernel by 180 degrees."""
    return weight[:, :, ::-1, ::-1]


def kernel_misread(weight: Array) -> Array:
    """Read the taps in column order, as if the kernel were stored (kw, kh)."""
    kh, kw = weight.shape[2:]
    return weight.reshape(*weight.shape[:2], kw, kh).swapaxes(2, 3)


def interleaved(channels: int, groups: int) -> Array:
    """Return the channel order in which channel c belongs to group c % groups."""
    return np.arange(channels).reshape(channels // groups, groups).T.ravel()


def pad(x: Array, top: int, bottom: int, left: int, right: int, mode: Any = "constant") -> Array:
    """Pad the last two axes."""
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), mode=mode)
