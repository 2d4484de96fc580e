"""Whether operations are being recorded, and whether their results are being checked.

Both switches belong to the running thread: a data-loading thread inside ``no_grad()`` does not stop
the training thread from recording.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

__all__ = ["detect_anomaly", "is_grad_enabled", "is_replaying", "no_grad"]

P = ParamSpec("P")
R = TypeVar("R")


class _Mode(threading.local):
    """The two switches of one thread, and what `checkpoint` needs to know and to tell."""

    recording: bool = True
    anomaly: bool = False
    replaying: bool = False
    """This forward was carried out before: what it changed for good is not to be changed again."""
    used: list[Any] | None = None
    """Collects the tensors that would have been recorded as inputs that require gradients."""


mode = _Mode()


def is_replaying() -> bool:
    """Return whether this thread repeats a forward for `checkpoint`, to get its tape."""
    return mode.replaying


def is_grad_enabled() -> bool:
    """Return whether operations in this thread are recorded for a later ``backward()``."""
    return mode.recording


class _Switch:
    """Sets one attribute of `mode` inside a ``with`` block or a decorated function."""

    _attribute: str
    _inside: bool

    def __enter__(self) -> None:
        self._before = getattr(mode, self._attribute)
        setattr(mode, self._attribute, self._inside)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        setattr(mode, self._attribute, self._before)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate `function` so that each call of it runs inside the block."""
        if inspect.isgeneratorfunction(function):
            raise TypeError(
                f"{type(self).__name__}: cannot decorate the generator function "
                f"{function.__name__}; write the with block inside it"
            )

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            with type(self)():  # a fresh block, so that calls may nest and threads may share it
                return function(*args, **kwargs)

        return wrapper


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
