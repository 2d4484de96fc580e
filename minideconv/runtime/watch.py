"""Noticing that a network is no longer the one that was recorded: `Watch`.

A plan holds copies: folded weights, packed weights. If the network changes afterwards, what they
give is wrong, and nothing in the numbers says so. So before each call the network is compared with
what it was:

* every attribute of every module: the same object, or an equal one. That is a layer in the place of
  another, another stride, a hook, an array that took the place of a parameter's;
* the version of every parameter, which optimisers, `load_state_dict` and changes of a tensor in
  place count up (`Tensor.bump_version`);
* the numbers themselves, because ``p.data -= lr * g`` counts nothing: all of them in arrays of up
  to `FEW`, as biases and running statistics are, and two runs of `SOME` in each larger one.

What can go unnoticed is a change, in the array itself, of some numbers of a large weight.
"""

from __future__ import annotations

from operator import is_
from typing import Any

import numpy as np

from minideconv.autograd import Tensor
from minideconv.autograd.tape import Version
from minideconv.nn import Module

__all__ = ["Watch"]

FEW = 1024  # numbers
SOME = 256


class Watch:
    """What a network was when this was made.

    Parameters
    ----------
    network : Module
        Its arrays are NumPy's.
    """

    def __init__(self, network: Module) -> None:
        modules = list(network.modules())
        self._attributes = [vars(module) for module in modules]
        self._kept = [dict(own) for own in self._attributes]
        # One of one number may be equal to another in its place.
        held = [
            (own, name, value)
            for own in self._attributes
            for name, value in own.items()
            if isinstance(value, Tensor | np.ndarray)
        ]
        self._places = [(own, name) for own, name, _ in held]
        self._held = [value for _, _, value in held]
        self._parameters = [value for value in self._held if isinstance(value, Tensor)]
        self._arrays = [p.data for p in self._parameters]
        self._versions: list[Version] = [p._version for p in self._parameters]
        self._counts = [version[0] for version in self._versions]
        buffers = [value for value in self._held if isinstance(value, np.ndarray)]
        self._runs = [run for array in (*self._arrays, *buffers) for run in runs_of(array)]
        self._seen = b"".join(self._runs)
        self._find_hooks()

    def _find_hooks(self) -> None:
        self._hooks = [own["_hooks"] for own in self._attributes if "_hooks" in own]

    @property
    def hooked(self) -> bool:
        """Whether a module has a hook, as far as the last `same` has seen."""
        return any(self._hooks)

    def same(self) -> bool:
        """Return whether the network is still what it was; mode and hooks do not count."""
        try:
            return (
                b"".join(self._runs) == self._seen
                and [version[0] for version in self._versions] == self._counts
                and all(map(is_, [p.data for p in self._parameters], self._arrays))
                and all(map(is_, [own[name] for own, name in self._places], self._held))
                and (self._attributes == self._kept or self._same_but_mode())
            )
        except (KeyError, TypeError, ValueError):  # one is gone, or two cannot be compared
            return False

    def _same_but_mode(self) -> bool:
        """Compare without what does not count, and keep that as it is now."""
        for number, (own, kept) in enumerate(zip(self._attributes, self._kept, strict=True)):
            if own != kept:
                if _counting(own) != _counting(kept):
                    return False
                self._kept[number] = dict(own)
        self._find_hooks()
        return True


def _counting(attributes: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in attributes.items() if k not in ("training", "_hooks")}


def runs_of(array: np.ndarray) -> list[memoryview]:
    """Return the numbers of an array that are looked at before each call: some runs of them."""
    flat = array.ravel(order="K")
    if not np.may_share_memory(flat, array):  # with gaps: single numbers
        places = np.linspace(0, array.size - 1, min(16, array.size), dtype=int)
        indices = zip(*np.unravel_index(places, array.shape), strict=True)
        return [array[tuple(slice(i, i + 1) for i in index)].data for index in indices]
    if flat.size <= FEW:
        return [flat.data]
    middle = flat.size // 2
    return [flat[start : start + SOME].data for start in (0, middle)]
