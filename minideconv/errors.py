"""The errors of minideconv's programs: what a user did wrong, in one sentence.

Array functions raise plain ``ValueError``, ``TypeError`` or ``RuntimeError``; the classes here let
a command line distinguish a user's mistake (one sentence and an exit code) from a bug (a
traceback).
"""

from __future__ import annotations

import errno
import reprlib
from collections.abc import Sequence

__all__ = [
    "AlreadyReported",
    "CheckpointError",
    "DataError",
    "DeviceError",
    "DivergenceError",
    "MagnitudeError",
    "MinideconvError",
    "SettingError",
    "TrainingError",
    "UsageError",
    "as_usage_error",
    "brief",
    "some",
]


class MinideconvError(Exception):
    """Base class: its message is one sentence for the user, ``exit_code`` the program's status.

    A sentence about a setting names the argument, ``lr``; in `as_options` it is the same sentence
    with the option of the command line, ``--lr``.
    """

    exit_code = 1

    def __init__(self, text: str = "", as_options: str = "") -> None:
        super().__init__(text)
        self.as_options = as_options or text


class UsageError(MinideconvError, ValueError):
    """A command or a configuration is wrong: something that cannot be (exit code 2)."""

    exit_code = 2


class SettingError(UsageError):
    """A setting has a value that cannot be."""


class DataError(MinideconvError, ValueError):
    """A data file or folder is missing, corrupt or inconsistent; the message names it."""


class CheckpointError(MinideconvError, ValueError):
    """A checkpoint cannot be read, written, or does not fit the network."""


class DeviceError(MinideconvError, RuntimeError):
    """The requested device is not there (exit code 2); the sentence begins with the setting."""

    exit_code = 2

    def __init__(self, text: str) -> None:
        super().__init__(text, f"--{text}")


class TrainingError(MinideconvError, RuntimeError):
    """A training run cannot go on, for example because the loss is no longer finite."""


class DivergenceError(TrainingError):
    """The loss or a weight is no longer finite."""


class MagnitudeError(ValueError):
    """Numbers are too large for what is to be computed of them in their type."""


class AlreadyReported(MinideconvError):
    """Another process of the run reports the error; this one exits, with the same code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__()
        self.exit_code = exit_code


def as_usage_error(error: BaseException) -> BaseException:
    """Return a `UsageError` for a name that the system cannot look up; other errors as they are.

    ``Path.exists`` and its like raise for a name that is too long and for one in a folder that may
    not be looked into. Such names were given by the user, in whichever option.
    """
    if not isinstance(error, OSError) or error.filename is None:
        return error
    if error.errno not in (errno.ENAMETOOLONG, errno.EACCES):
        return error
    return UsageError(f"{error.filename}: {error.strerror}")


_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = 200


def brief(value: object) -> str:
    """Return ``repr(value)``, shortened: a file may have ten thousand numbers for one.

    >>> brief([0] * 10_000), brief("same")
    ('[0, 0, 0, 0, 0, 0, ...]', "'same'")
    """
    return _BRIEF.repr(value)


def some(items: Sequence[object], most: int = 4) -> str:
    """Return the first items in words, and how many more there are.

    >>> some([5, 6, 7], most=2)
    '5, 6 and 1 more'
    """
    shown = ", ".join(map(str, items[:most]))
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"
