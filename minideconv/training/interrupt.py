"""Stopping a run from outside: after Ctrl-C, SIGTERM or SIGHUP it finishes the step and saves.

SIGHUP is what a terminal sends that is closed, or a connection that is lost; with ``nohup`` it is
ignored, and stays so.

The first signal only sets a flag, which the training loop looks at between steps; a second Ctrl-C
stops at once, without saving.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from minideconv.errors import MinideconvError

__all__ = ["Interrupted", "StopRequest"]

_HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none
_SIGNALS = [n for n in (signal.SIGINT, signal.SIGTERM, _HANGUP) if n is not None]


class Interrupted(MinideconvError):
    """A signal stopped the run, which has saved itself; ``exit_code`` is 129, 130 or 143."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number


class StopRequest:
    """A context in which SIGINT, SIGTERM and SIGHUP set `signal_number` and do not end the program.

    Outside the main thread (a notebook's worker, for instance) Python allows no signal handlers;
    then the context does nothing. `ask` has the effect of a signal.
    """

    def __init__(self, on_request: Any = None) -> None:
        self.signal_number = 0
        self._on_request = on_request
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if number != _HANGUP or signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def ask(self, signal_number: int = signal.SIGINT) -> None:
        """Let the run stop after its present step."""
        self.signal_number = int(signal_number)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal_number = number
        if self._on_request is not None:
            self._on_request(number)
