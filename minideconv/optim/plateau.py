"""Reduce the learning rate when a measured number stops getting better.

The paper's rule for DeconvNet: a tenth of the rate whenever the validation accuracy does not
improve.

    better      metric < best - threshold |best|    "min", "rel"; the other three by analogy
    reduce      behind `patience` steps in a row that were not better:
                rate = max(factor rate, min_lr)
    cooldown    that many steps afterwards do not count as bad
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from minideconv.backend.checks import check_choice, check_number
from minideconv.optim.checks import check_count, check_range
from minideconv.optim.optimizer import Optimizer
from minideconv.optim.schedule import Schedule

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(Schedule):
    """Multiply the rate by `factor` when the metric has not improved for `patience` steps.

    Parameters
    ----------
    optimizer : Optimizer
    mode : {"min", "max"}
        Whether a small metric (a loss) or a large one (an accuracy) is good.
    factor : float in [0, 1)
    patience : int >= 0
        Steps without improvement that are put up with.
    threshold : float >= 0
        How much better counts as better.
    threshold_mode : {"rel", "abs"}
        Whether `threshold` is a fraction of the best metric's size or a difference. (PyTorch takes
        the fraction of the metric itself, so that for a negative one worse counts as better.)
    cooldown : int >= 0
        Steps behind a reduction during which nothing is counted.
    min_lr : float >= 0, or one per group
    eps : float >= 0
        A reduction by less than this is not made.

    Raises
    ------
    ValueError, TypeError
        If an option is out of its range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        check_choice(self.name, "mode", mode, ("min", "max"))
        check_choice(self.name, "threshold_mode", threshold_mode, ("rel", "abs"))
        self.mode, self.threshold_mode = mode, threshold_mode
        self.factor = check_range(self.name, "factor", factor, below=1.0)
        self.threshold = check_range(self.name, "threshold", threshold)
        self.eps = check_range(self.name, "eps", eps)
        self.patience = check_count(self.name, "patience", patience, 0)
        self.cooldown = check_count(self.name, "cooldown", cooldown, 0)
        self.best = math.inf if mode == "min" else -math.inf
        self.bad_steps = self.cooldown_left = 0
        groups = len(optimizer.param_groups) if isinstance(optimizer, Optimizer) else 1
        self.min_lrs = list(min_lr) if isinstance(min_lr, Sequence) else [min_lr] * groups
        if len(self.min_lrs) != groups:
            raise ValueError(
                f"{self.name}: min_lr has {len(self.min_lrs)} values"
                f" but the optimiser has {groups} parameter groups"
            )
        for low in self.min_lrs:
            check_range(self.name, "min_lr", low)
        super().__init__(optimizer)

    def lr_at(self, step: int, initial_lr: float) -> float:
        """Return `initial_lr` at step 0; later rates depend on what was measured: an error."""
        if step > 0:
            raise NotImplementedError(
                f"{self.name}: its rates depend on the metrics, not on the step"
            )
        return initial_lr

    def apply(self, others: Collection[int] = ()) -> None:
        """Set every group's rate to the initial one at step 0; later, leave the rates as they are.

        What others make of a rate is what is reduced.
        """
        if self.last_step == 0:
            super().apply(others)
        self.optimizer.scheduled_lrs = self.get_last_lr()
        self.initial_lrs, self.own_lrs = self.get_last_lr(), self.get_last_lr()

    def step(self, metric: float | None = None) -> None:
        """Look at the newest `metric` and reduce the rates if it is time.

        Raises
        ------
        TypeError
            If no metric is given.
        """
        if metric is None:
            raise TypeError(f"{self.name}: step() needs the metric to watch: step(validation_loss)")
        value = float(check_number(self.name, "the metric", metric))
        self.last_step += 1
        if self._better(value):
            self.best, self.bad_steps = value, 0
        else:
            self.bad_steps += 1
        if self.cooldown_left > 0:
            self.cooldown_left -= 1
            self.bad_steps = 0
        if self.bad_steps > self.patience:
            for number, group in enumerate(self._groups()):  # one more has the last one's least
                low = self.min_lrs[min(number, len(self.min_lrs) - 1)]
                group["lr"] = self._reduced(float(group["lr"]), low)
            self.cooldown_left, self.bad_steps = self.cooldown, 0
        self.apply()

    def _reduced(self, lr: float, low: float) -> float:
        new = max(lr * self.factor, low)
        return new if lr - new > self.eps else lr

    def _better(self, metric: float) -> bool:
        sign = 1.0 if self.mode == "min" else -1.0
        if math.isinf(self.best):
            return sign * metric < sign * self.best
        relative = self.threshold_mode == "rel"
        margin = self.threshold * (abs(self.best) if relative else 1)
        return sign * metric < sign * self.best - margin

    def state_dict(self) -> dict[str, Any]:
        """Return the rates, the best metric and the counters, as a flat dict of numbers."""
        state = super().state_dict()
        state.update(best=self.best, bad_steps=self.bad_steps, cooldown_left=self.cooldown_left)
        return state

    def _lists(self) -> dict[str, list[float]]:
        return {"lrs": self.get_last_lr()}

    def _read(self, state: Mapping[str, Any]) -> dict[str, Any]:
        own = super()._read(state)
        if "lrs" in own:
            own["initial_lrs"] = list(own["lrs"])
        try:
            own["best"] = float(state["best"])
        except (TypeError, ValueError):
            raise ValueError(
                f"{self.name}: best is {state['best']!r}; it must be a number"
            ) from None
        for name in ("bad_steps", "cooldown_left"):
            own[name] = check_count(self.name, name, state[name], least=0)
        return own
