"""Running metrics of a training run: the mean loss between two lines, and speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

__all__ = ["Clock", "LossMeter"]

Batch = TypeVar("Batch")

_WARM_UP = 3
"""Steps of a session that tell nothing of the later ones: kernels are compiled in them, memory is
taken for the first time, files are read from the disk, a GPU's step is recorded."""


class LossMeter:
    """Mean loss since the last reading, and since the epoch began."""

    def __init__(self) -> None:
        self._before: float | None = None
        self.start_epoch()

    def add(self, loss: float | None) -> None:
        """Count the loss of one step; None if no target of it counted, which is in no mean."""
        if loss is None:
            self._before = None
            return
        for total in (self._interval, self._epoch):
            total[0] += loss
            total[1] += 1

    def interval_mean(self) -> float | None:
        """Return the mean since the last call of `start_interval`.

        As long as there is nothing since then, it is that of the interval before: the losses of a
        GPU are read at an interval's end. None if there was no loss at all.
        """
        total, steps = self._interval
        return total / steps if steps else self._before

    def epoch_mean(self) -> float | None:
        """Return the mean since the last call of `start_epoch`; None if there was no loss."""
        total, steps = self._epoch
        return total / steps if steps else None

    def start_interval(self) -> None:
        """Forget the interval."""
        self._before = self.interval_mean()
        self._interval = [0.0, 0]

    def start_epoch(self) -> None:
        """Forget interval and epoch."""
        self._interval, self._epoch = [0.0, 0], [0.0, 0]

    def state_dict(self) -> dict[str, Any]:
        """Return the sums; JSON keeps their every bit."""
        return {"interval": list(self._interval), "epoch": list(self._epoch)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from sums that `state_dict` returned."""
        self._interval, self._epoch = list(state["interval"]), list(state["epoch"])


class Clock:
    """Seconds of a run, over all its sessions, and the speed of this session.

    Speed and the time that is left are those of the steps after the session's first ones.

    Parameters
    ----------
    before : float
        Seconds that earlier sessions took.
    now : callable
        Seconds; a test passes its own.
    """

    def __init__(self, before: float = 0.0, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._start = now() - before
        self._warm = now()
        self._steps = 0
        self._lap = self._begun = now()
        self._waited = 0.0
        self._speed: float | None = None

    def elapsed(self) -> float:
        """Return the seconds since the run began, sessions added up."""
        return self._now() - self._start

    def step(self, images: int) -> float:
        """Count a step of so many images; return images per second, smoothed over recent steps."""
        now = self._now()
        speed = images / max(1e-9, now - self._lap)
        self._lap = now
        self._steps += 1
        if self._steps <= _WARM_UP:
            self._warm = now
            return speed
        # The time per image is averaged, not the speed: a mean of speeds would favour quick steps.
        before = self._speed or speed
        self._speed = 1.0 / (0.9 / before + 0.1 / speed)
        return self._speed

    def lap(self) -> None:
        """Begin an epoch, and its first step, now: what came before is not its time."""
        self._lap = self._begun = self._now()
        self._waited = 0.0

    def fetch(self, batches: Iterator[Batch]) -> Batch:
        """Return the next batch, and count how long that took."""
        before = self._now()
        batch = next(batches)
        self._waited += self._now() - before
        return batch

    def waiting(self) -> float:
        """Return the share of the time since the epoch began that `fetch` took."""
        return self._waited / max(1e-9, self._now() - self._begun)

    def left(self, steps: int) -> float | None:
        """Estimate the seconds for `steps` more steps, validations and all, from this session.

        None until there was a step after the first ones.
        """
        measured = self._steps - _WARM_UP
        if measured < 1:
            return None
        return (self._now() - self._warm) / measured * steps
