"""What a run prints: a live bar on a terminal, plain lines elsewhere, nothing with ``--quiet``.

`make_progress` chooses. All three have the same methods.
The bar needs the package rich (extra ``cli``); without it a terminal gets plain lines too.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO

__all__ = ["BarProgress", "Progress", "StepInfo", "format_loss", "format_seconds", "make_progress"]


@dataclass(frozen=True)
class StepInfo:
    """The numbers shown while a run trains; ``metric()`` is the task's, made where it is shown.

    ``step`` of ``steps`` counts optimiser steps in this epoch, ``seconds_left`` is for the whole
    run (None until it is known).
    """

    stage: str
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float | None
    metric: Callable[[], str]
    lr: float
    images_per_second: float
    seconds_left: float | None

    def summary(self) -> str:
        """Return the metrics as one short text."""
        return (
            f"loss {format_loss(self.loss)}  {self.metric()}  "
            f"{self.images_per_second:.1f} img/s  left {format_seconds(self.seconds_left)}"
        )

    def where(self) -> str:
        """Return where the run is."""
        return f"stage {self.stage}  epoch {self.epoch}/{self.epochs}"


def format_seconds(seconds: float | None) -> str:
    """Write a duration as people do.

    >>> format_seconds(42), format_seconds(605), format_seconds(7265), format_seconds(None)
    ('42s', '10m05s', '2h01m', '?')
    """
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def format_loss(loss: float | None) -> str:
    """Return a mean loss as a line shows it: a dash where no target counted."""
    return "-" if loss is None else f"{loss:.4f}"


class Progress:
    """Plain lines: one for each message, and one every few seconds while training.

    Parameters
    ----------
    stream : text file
        Where lines go.
    interval : float
        Least number of seconds between two lines about steps.
    quiet : bool
        Print nothing at all.
    clock : callable
        Seconds; a test passes its own.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        interval: float = 10.0,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream = sys.stdout if stream is None else stream
        self.interval = interval
        self.quiet = quiet
        self._clock = clock
        self._last = clock()

    def message(self, text: str) -> None:
        """Show a line that stays."""
        if not self.quiet:
            print(text, file=self.stream, flush=True)

    def step(self, info: StepInfo) -> None:
        """Show the metrics after a step, if it is time."""
        if self._clock() - self._last >= self.interval:
            self._last = self._clock()
            self.message(
                f"{info.where()}  step {info.step}/{info.steps}  {info.summary()}  lr {info.lr:.2g}"
            )

    def work(self, what: str, done: int, total: int) -> None:
        """Show how far some other work (validation, for example) is."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class BarProgress(Progress):
    """A live bar drawn by rich, with messages scrolling above it."""

    def __init__(self, console: Any = None) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        console = Console(highlight=False) if console is None else console
        columns = [
            TextColumn("{task.description}"),
            MofNCompleteColumn(),
            TextColumn("{task.fields[summary]}"),
        ]
        if console.width >= 100:
            columns.insert(1, BarColumn(bar_width=min(40, console.width - 88)))
        self._bar = RichProgress(*columns, console=console, transient=True)
        self._task = self._bar.add_task("starting", total=None, summary="")
        self._bar.start()

    def message(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(text, markup=False, soft_wrap=True)

    def step(self, info: StepInfo) -> None:
        """Move the bar and refresh its metrics."""
        self._bar.update(
            self._task,
            description=info.where(),
            completed=info.step,
            total=info.steps,
            summary=info.summary(),
        )

    def work(self, what: str, done: int, total: int) -> None:
        """Show the bar of some other work."""
        self._bar.update(self._task, description=what, completed=done, total=total, summary="")

    def close(self) -> None:
        """Remove the bar."""
        self._bar.stop()


def make_progress(quiet: bool = False, stream: TextIO | None = None) -> Progress:
    """Return a bar where there is a terminal that can draw one, else plain lines.

    There are plain lines with ``NO_COLOR``, with ``TERM=dumb``, and into a file or a pipe.
    """
    stream = sys.stdout if stream is None else stream
    plain = quiet or not stream.isatty() or "NO_COLOR" in os.environ
    plain = plain or os.environ.get("TERM") == "dumb"
    if plain or importlib.util.find_spec("rich") is None:
        return Progress(stream, quiet=quiet)
    return BarProgress()
