"""Whether operations are being recorded, and whether their results are being checked.

Both switches belong to the running context (`contextvars`): a thread, or a task of asyncio, inside
``no_grad()`` does not stop another one from recording.
"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable
from contextlib import ContextDecorator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from minideconv.backend import Array, get_xp
from minideconv.backend.choice import refuse_unfinished
from minideconv.backend.dispatch import device_guard

__all__ = [
    "detect_anomaly", "enable_grad", "is_grad_enabled", "is_replaying", "no_grad",
    "set_grad_enabled",
]  # fmt: skip

Function = TypeVar("Function", bound=Callable[..., Any])


class _Block(NamedTuple):
    """A block that has not ended: what it set, and what that was before."""

    key: object
    attribute: str
    before: bool


@dataclass(frozen=True, slots=True)
class Modes:
    """The two switches of one context, two more for `checkpoint`, and one for `tracing`."""

    recording: bool = True
    anomaly: bool = False
    replaying: bool = False
    """This forward was carried out before: what it changed for good is not to be changed again."""
    seen_tensors: list[Any] | None = None
    """Collects the tensors that would have been recorded as inputs that require gradients."""
    calls: list[Any] | None = None
    """Collects what `tracing` keeps of every operation."""
    blocks: tuple[_Block, ...] = ()
    """The blocks of `no_grad` and `detect_anomaly` that have not ended, in order."""


_START = Modes()
_modes = ContextVar("minideconv's grad mode", default=_START)


class _Mode:
    """The switches of the running context, one by one: ``mode.recording = False``.

    ``now()`` returns all of them, which is quicker where several are asked for.
    """

    now = staticmethod(_modes.get)

    def __getattr__(self, name: str) -> Any:
        return getattr(_modes.get(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        _modes.set(replace(_modes.get(), **{name: value}))


mode = _Mode()


def is_replaying() -> bool:
    """Return whether a forward is repeated here for `checkpoint`, to get its tape."""
    return mode.now().replaying


def is_grad_enabled() -> bool:
    """Return whether operations are recorded here for a later ``backward()``."""
    return mode.now().recording


class _Switch(ContextDecorator):
    """Sets one attribute of `mode` inside a ``with`` block or a decorated function.

    Blocks may end in any order, as those of generators do that take turns.
    """

    _attribute: str
    _inside: bool

    def __init__(self) -> None:
        self._entered: list[_Block] = []  # several, if the same block is entered inside itself

    def __enter__(self) -> None:
        now = _modes.get()
        block = _Block(object(), self._attribute, getattr(now, self._attribute))
        self._entered.append(block)
        changed: Any = {self._attribute: self._inside, "blocks": (*now.blocks, block)}
        _modes.set(replace(now, **changed))

    def __exit__(self, *error: object) -> None:
        mine, now = self._entered.pop().key, _modes.get()
        blocks = list(now.blocks)
        place = next((i for i, block in enumerate(blocks) if block.key is mine), None)
        if place is None:  # it was entered in another context, which has it still
            return
        ended = blocks.pop(place)
        for i in range(place, len(blocks)):
            if blocks[i].attribute == self._attribute:  # that one goes on, and will end behind us
                blocks[i] = blocks[i]._replace(before=ended.before)
                _modes.set(replace(now, blocks=tuple(blocks)))
                return
        changed: Any = {self._attribute: ended.before, "blocks": tuple(blocks)}
        _modes.set(replace(now, **changed))

    def _recreate_cm(self) -> _Switch:
        return type(self)()  # a fresh block for each call, so that calls may nest

    def __call__(self, function: Function) -> Function:
        """Decorate `function` so that each call of it runs inside the block."""
        refuse_unfinished(type(self).__name__, function)
        return super().__call__(function)


class no_grad(_Switch):
    """Do not record inside this block, or inside the function it decorates.

    Results do not require gradients and nothing is kept for ``backward()``, so inference takes less
    memory; and a leaf that requires gradients may be changed in place, which is how an optimiser
    updates a parameter.

    Examples
    --------
    >>> from minideconv.autograd import Tensor
    >>> w = Tensor([1.0, 2.0], requires_grad=True)
    >>> with no_grad():
    ...     w -= 0.5
    >>> w
    Tensor([0.5, 1.5], requires_grad=True)
    """

    _attribute = "recording"
    _inside = False


class enable_grad(_Switch):
    """Record inside this block, or inside the function it decorates, also within a `no_grad`."""

    _attribute = "recording"
    _inside = True


class set_grad_enabled(_Switch):
    """Record from here on, or do not; as a ``with`` block or a decorator, only inside.

    Parameters
    ----------
    mode : bool
        Whether to record.

    Examples
    --------
    >>> with set_grad_enabled(False):
    ...     is_grad_enabled()
    False
    >>> is_grad_enabled()
    True
    """

    _attribute = "recording"

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self._before, self._entering = is_grad_enabled(), True
        self._inside = bool(mode)
        self._set(self._inside)

    def __enter__(self) -> None:
        if self._entering:  # the block begins before the call, and its end puts that back
            self._set(self._before)
            self._entering = False
        super().__enter__()

    def __call__(self, function: Function) -> Function:
        """Decorate `function`; outside of it nothing changes."""
        self._set(self._before)
        return super().__call__(function)

    def _recreate_cm(self) -> set_grad_enabled:
        return type(self)(self._inside)

    @staticmethod
    def _set(recording: bool) -> None:
        mode.recording = recording


class detect_anomaly(_Switch):
    """Stop at the operation that first makes a NaN or an infinity.

    Inside this block every operation checks its result, and ``backward()`` checks every gradient
    that an operation sends back. The error names the operation and the line of the program that
    called it. Checking costs a pass over every array, so use it to find a fault, not to train.

    Examples
    --------
    >>> import numpy as np
    >>> from minideconv.autograd import Tensor
    >>> with np.errstate(all="ignore"), detect_anomaly():  # doctest: +ELLIPSIS
    ...     Tensor([1.0, 0.0]).log().sum()
    Traceback (most recent call last):
    RuntimeError: detect_anomaly: log made 1 infinity among 2 values ...
    """

    _attribute = "anomaly"
    _inside = True


@device_guard
def check_finite(array: Array, what: str, where: str) -> None:
    """Raise the error of `detect_anomaly` if `array` holds a NaN or an infinity."""
    if array.dtype.kind != "f":
        return
    xp = get_xp(array)
    counts = int(xp.isnan(array).sum()), int(xp.isinf(array).sum())
    names = ("NaN", "NaNs"), ("infinity", "infinities")
    found = [f"{n} {name[n > 1]}" for n, name in zip(counts, names, strict=True) if n]
    if found:
        raise RuntimeError(
            f"detect_anomaly: {what} {' and '.join(found)} among {array.size} values{where}"
        )


_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def calling_line() -> str:
    """Return the line of the program, outside this package, that is being run."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    name, number = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(name, number).strip()
    return f" ({name}, line {number}{': ' + text if text else ''})"
