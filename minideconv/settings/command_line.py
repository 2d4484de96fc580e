"""What all of minideconv's programs share: errors become one sentence and an exit code.

| code | meaning |
|---|---|
| 0 | done |
| 1 | the run failed: bad data, a loss that is not finite, an unreadable checkpoint |
| 2 | wrong usage: an option, a missing data root, a GPU that is not there |
| 130, 143 | stopped by Ctrl-C or SIGTERM |

Only `minideconv.errors`, and names that the system cannot look up, are a user's mistake; any
other exception is a bug in this library and shows its traceback.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence

from minideconv.backend.algorithms import ALGORITHMS
from minideconv.backend.precisions import PRECISIONS
from minideconv.errors import (
    AlreadyReported,
    DeviceError,
    MinideconvError,
    SettingError,
    UsageError,
    as_usage_error,
)

__all__ = [
    "HelpFormatter",
    "add_machine_options",
    "device_name",
    "naming_device_option",
    "naming_options",
    "natural",
    "positive",
    "run_program",
]


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Adds the default to each option's help and leaves room for the long option names."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=100)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = getattr(action, "config_default", None)
        if default is None or action.help is None:
            return action.help
        text = str(default).lower() if isinstance(default, bool) else str(default)
        return f"{action.help} [{text}]"


def device_name(text: str) -> str:
    """Check the spelling of a ``--device`` option; whether it is there is found out later."""
    if re.fullmatch(r"auto|cpu|gpu(:\d+)?", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a device; use auto, cpu, gpu or gpu:N")
    return text


def positive(text: str) -> int:
    """Read an option that must be a whole number >= 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number >= 1")
    return int(text)


def natural(text: str) -> int:
    """Read an option that must be a whole number >= 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number >= 0")
    return int(text)


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """Add what says where and how to compute: ``--device``, ``--threads``, ``--algorithm``, ...."""
    parser.add_argument("--device", default="auto", type=device_name, metavar="auto|cpu|gpu",
                        help="where to compute [auto]")  # fmt: skip
    parser.add_argument("--threads", default=0, type=natural, metavar="N",
                        help="worker threads on the CPU (0: one per core) [0]")  # fmt: skip
    parser.add_argument("--algorithm", choices=ALGORITHMS, metavar="|".join(ALGORITHMS),
                        help="how convolutions are computed [fast]")  # fmt: skip
    parser.add_argument("--precision", choices=PRECISIONS, metavar="|".join(PRECISIONS),
                        help="in how many bits a GPU multiplies [fp32]")  # fmt: skip


@contextlib.contextmanager
def naming_options() -> Iterator[None]:
    """Let errors of settings name options: those of the program whose command line was read."""
    try:
        yield
    except SettingError as error:
        raise UsageError(error.as_options) from error


@contextlib.contextmanager
def naming_device_option() -> Iterator[None]:
    """Let a `DeviceError` of the library name the option: it begins with an argument's name."""
    try:
        yield
    except DeviceError as error:
        raise DeviceError(f"--{error}") from error


def run_program(
    name: str, main: Callable[[Sequence[str]], int], arguments: Sequence[str] | None = None
) -> int:
    """Run ``main(arguments)`` and return the exit code, printing a user's mistake as a sentence.

    Parameters
    ----------
    name : str
        The program's name, put in front of the sentence.
    main : callable
        Takes the arguments, returns an exit code.
    arguments : sequence of str, optional
        ``sys.argv[1:]`` if left out.
    """
    try:
        with naming_options():
            return main(sys.argv[1:] if arguments is None else arguments)
    except AlreadyReported as error:
        return error.exit_code
    except MinideconvError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{name}: stopped at once", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; point stdout away so that the interpreter
        # does not complain about it while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        error_shown = as_usage_error(error)
        if not isinstance(error_shown, MinideconvError):
            raise
        print(f"{name}: {error_shown}", file=sys.stderr)
        return error_shown.exit_code
