"""What all of minideconv's programs share: errors become one sentence and an exit code.

| code | meaning |
|---|---|
| 0 | done |
| 1 | the run failed: bad data, a loss that is not finite, an unreadable checkpoint, no memory |
| 2 | wrong usage: an option, a missing data root, a GPU that is not there |
| 130, 143 | stopped by Ctrl-C or SIGTERM |

Only `minideconv.errors`, and names that the system cannot look up, are a user's mistake; any
other exception is a bug in this library and shows its traceback.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minideconv.errors import MinideconvError, as_usage_error
from minideconv.settings import starting
from minideconv.settings.machine import MachineSettings
from minideconv.settings.options import add_options, given_options
from minideconv.settings.run import DATA
from minideconv.settings.setting import Setting

__all__ = [
    "Distinct",
    "HelpFormatter",
    "add_data_options",
    "add_inference_options",
    "commas",
    "machine_settings",
    "make_parser",
    "natural",
    "positive",
    "report_mistake",
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


def make_parser(program: str, description: str, **options: Any) -> argparse.ArgumentParser:
    """Return a parser of the options of ``python -m minideconv.PROGRAM``, still without any."""
    return argparse.ArgumentParser(
        prog=f"python -m minideconv.{program}",
        description=description,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
        **options,
    )


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


def commas(kind: Callable[[str], Any] = str) -> Callable[[str], tuple[Any, ...]]:
    """Return the reader of an option that takes several values, ``A,B,...``, no two alike.

    >>> commas(natural)("3, 5")
    (3, 5)
    """

    def read(text: str) -> tuple[Any, ...]:
        parts = [part.strip() for part in text.split(",")]
        if not all(parts):
            raise argparse.ArgumentTypeError(
                f"{text!r} names nothing, or nothing between two commas; it must be like A,B"
            )
        return _distinct([kind(part) for part in parts])

    return read


def _distinct(values: Sequence[Any]) -> tuple[Any, ...]:
    for value in values:
        if list(values).count(value) > 1:
            raise argparse.ArgumentTypeError(f"{value} is named twice; name each once")
    return tuple(values)


class Distinct(argparse.Action):
    """The action of an option that takes several values, ``A B ...``, no two alike."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Keep the values as a tuple."""
        try:
            setattr(namespace, self.dest, _distinct(values))
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from None


def add_inference_options(
    parser: argparse.ArgumentParser, inference: Mapping[str, Setting]
) -> None:
    """Add the options that programs share which use a trained network; see `machine_settings`.

    Parameters
    ----------
    parser : ArgumentParser
    inference : mapping of str to Setting
        How networks may be applied, by name: the settings of all tasks.
    """
    parser.add_argument("checkpoint", metavar="RUN|CHECKPOINT", help="a run folder or an .npz file")
    parser.add_argument("--which", choices=("best", "last"), default="best",
                        help="which checkpoint of a run folder [best]")  # fmt: skip
    parser.add_argument("--ensemble", metavar="RUN|CHECKPOINT", action="append", default=[],
                        help="join this network too; may be given several times")  # fmt: skip
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    settings = MachineSettings.settings()
    settings["threads"] = dataclasses.replace(settings["threads"], default=0)
    add_options(parser, {**inference, **settings})


def add_data_options(parser: argparse.ArgumentParser, split: str, limit: int | None = None) -> None:
    """Add the options of the images on which a trained network is used.

    Parameters
    ----------
    parser : ArgumentParser
    split : str
        The help of ``--split``.
    limit : int, optional
        How many images, if it is not given; all if left out.
    """
    parser.add_argument("--data", choices=tuple(DATA), default=argparse.SUPPRESS,
                        help="another data set than the run's")  # fmt: skip
    parser.add_argument("--data-root", metavar="DIR", default=argparse.SUPPRESS,
                        help="its folder; without --data it shows the layout")  # fmt: skip
    parser.add_argument("--split", metavar="NAME", help=split)
    parser.add_argument(
        "--limit",
        metavar="N",
        type=positive,
        default=limit,
        help=f"only N images, spread evenly over the list [{limit or 'all'}]",
    )
    parser.add_argument("-b", "--batch-size", metavar="N", type=positive, default=16,
                        help="images in one forward [16]")  # fmt: skip


def machine_settings(options: argparse.Namespace) -> MachineSettings:
    """Return where and how to compute, from options that `add_inference_options` added."""
    return MachineSettings(**{"threads": 0, **given_options(options, MachineSettings.settings())})


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
    given = sys.argv[1:] if arguments is None else arguments
    try:
        starting.done()
        return main(given)
    except KeyboardInterrupt:
        print(f"{name}: stopped at once", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; point stdout away so that the interpreter
        # does not complain about it while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError as error:
        report_mistake(
            name, f"there is not enough memory: {error or 'no more is given out'}", given
        )
        return 1
    except Exception as error:
        shown = as_usage_error(error)
        if not isinstance(shown, MinideconvError):
            raise
        if shown.as_options:  # empty where another process reports the error
            report_mistake(name, shown.as_options, given)
        return shown.exit_code


def report_mistake(name: str, sentence: str, arguments: Sequence[str]) -> None:
    """Print what a user did wrong, by these arguments of the program of that name."""
    print(f"{name}: {sentence}", file=sys.stderr)
