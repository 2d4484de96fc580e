"""A warm-up: a rate that rises linearly, then any other schedule.

    r0 (a + (1 - a) t / T) for t < T, then the other schedule's rate of step t - T

Source: Goyal et al., "Accurate, large minibatch SGD" (2017), section 2.2.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from minideconv.backend.checks import check_number
from minideconv.optim.checks import check_count
from minideconv.optim.schedule import Schedule

__all__ = ["WarmUp"]


class WarmUp(Schedule):
    """Let the rate rise linearly for `total_iters` steps, then follow another schedule.

    Parameters
    ----------
    schedule : Schedule
        What comes behind; its own step 0 is the warm-up's last. Call ``step`` on the `WarmUp` only.
    total_iters : int >= 0
        Steps of warm-up.
    start_factor : float in [0, 1]
        The fraction of the initial rate at step 0.

    Notes
    -----
    Equal to PyTorch's ``SequentialLR`` of a ``LinearLR`` and the other schedule. Around
    `ReduceLROnPlateau`, ``step(metric)`` hands the metric on once the warm-up is over.
    """

    def __init__(
        self, schedule: Schedule, total_iters: int, start_factor: float = 1.0 / 3.0
    ) -> None:
        if not isinstance(schedule, Schedule):
            raise TypeError(
                f"WarmUp: schedule is {type(schedule).__name__}; it must be a Schedule, such as"
                " FixedLR(optimizer)"
            )
        self.schedule = schedule
        self.total_iters = check_count(self.name, "total_iters", total_iters, 0)
        self.start_factor = check_number(self.name, "start_factor", start_factor, 0, 1)
        super().__init__(schedule.optimizer)

    def lr_at(self, step: int, initial_lr: float) -> float:
        """Return the rising rate, or that of the schedule behind it."""
        if step >= self.total_iters:
            return self.schedule.lr_at(step - self.total_iters, initial_lr)
        rise = (1 - self.start_factor) * step / self.total_iters
        return initial_lr * (self.start_factor + rise)

    def apply(self, others: Collection[int] = ()) -> None:
        """Set every group's learning rate to that of the current step."""
        if self.last_step < self.total_iters:
            super().apply(others)
        else:
            self.schedule.initial_lrs = list(self.initial_lrs)
            self.schedule.apply(others)
            self.own_lrs = list(self.schedule.own_lrs)

    def step(self, *metric: float) -> None:
        """Go on to the next step and set the learning rates; `metric` is for a plateau schedule."""
        if self.last_step < self.total_iters:
            super().step()
        else:
            self.schedule.step(*metric)
            self.last_step += 1
            self._be_as_the_other()

    def _rates_to_begin_with(self) -> list[float]:
        return list(self.schedule.initial_lrs)

    def state_dict(self) -> dict[str, Any]:
        """Return where the warm-up and the schedule behind it stand, as one flat dict."""
        inner = {f"schedule.{name}": value for name, value in self.schedule.state_dict().items()}
        return {**super().state_dict(), **inner}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where `state_dict` was taken, and set the learning rates."""
        new = self._read(state)  # both states are checked before one of them is loaded
        rising = new["last_step"] < self.total_iters
        if rising:
            self.schedule.load_state_dict(_inner(state))
        super().load_state_dict(state)
        if not rising:  # the one that set the rates comes last
            self.schedule.load_state_dict(_inner(state))
            self._be_as_the_other()

    def _be_as_the_other(self) -> None:
        """Take the rates over from the schedule that sets them once the warm-up is over."""
        self.initial_lrs = list(self.schedule.initial_lrs)
        self.own_lrs = list(self.schedule.own_lrs)

    def _read(self, state: Mapping[str, Any]) -> dict[str, Any]:
        own = super()._read(state)
        self.schedule._read(_inner(state))
        return own


def _inner(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of the schedule behind a warm-up."""
    prefix = "schedule."
    return {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
