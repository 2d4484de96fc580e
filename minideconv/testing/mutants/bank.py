"""What a mutant is, the list of all of them, and the small slips they are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "Array",
    "IntPair",
    "Mutant",
    "Of",
    "flip",
    "interleaved",
    "kernel_misread",
    "mutant",
    "mutants",
    "pad",
    "pair",
    "swap",
]

Array = npt.NDArray[Any]
IntPair = int | tuple[int, int]
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


def mutants(of: Of | None = None) -> tuple[Mutant, ...]:
    """Return the mutants of one function, or all of them.

    Examples
    --------
    >>> [m.name for m in mutants("conv2d")][:3]
    ['kernel_flipped', 'kernel_read_as_kw_kh', 'stride_swapped']
    """
    return tuple(m for m in _BANK if of is None or m.of == of)


def mutant(of: Of, explanation: str) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    """Register the decorated function; its name without the leading prefix names the mutant."""

    def register(function: Callable[..., Array]) -> Callable[..., Array]:
        name = function.__name__.split("__", 1)[1]
        _BANK.append(Mutant(name, of, explanation, function))
        return function

    return register


def pair(value: IntPair) -> tuple[int, int]:
    """Return (height, width); one integer serves for both."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def swap(value: IntPair) -> tuple[int, int]:
    """Return (width, height)."""
    return pair(value)[::-1]


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
