"""The errors of minideconv's programs: what a user did wrong, said in one sentence.

Array functions raise plain ``ValueError``, ``TypeError`` or ``RuntimeError``; the classes here let
a command line tell a user's mistake (one sentence and an exit code) from a bug (a traceback).
"""

from __future__ import annotations

__all__ = [
    "AlreadySaid",
    "CheckpointError",
    "DataError",
    "DeviceError",
    "MinideconvError",
    "TrainingError",
    "UsageError",
]


class MinideconvError(Exception):
    """Base class: its message is one sentence for the user, ``exit_code`` the program's status."""

    exit_code = 1


class UsageError(MinideconvError, ValueError):
    """A command or a configuration asks for something that cannot be (exit code 2)."""

    exit_code = 2


class DataError(MinideconvError, ValueError):
    """A data file or folder is missing, corrupt or inconsistent; the message names it."""


class CheckpointError(MinideconvError, ValueError):
    """A checkpoint cannot be read, written, or does not fit the network."""


class DeviceError(MinideconvError, RuntimeError):
    """The requested device is not there (exit code 2)."""

    exit_code = 2


class TrainingError(MinideconvError, RuntimeError):
    """A training run cannot go on, for example because the loss is no longer finite."""


class AlreadySaid(MinideconvError):
    """Another process of the run tells the user; this one only leaves, with the same exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__()
        self.exit_code = exit_code
