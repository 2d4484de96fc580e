"""Learning-rate schedules: the rate as a formula of the step.

A schedule multiplies nothing into the current rate; it computes the rate of step t from the group's
initial one, r0, so that a resumed run gets exactly the rates of one that was never interrupted:

    FixedLR       r0
    StepLR        r0 gamma^floor(t / step_size)
    MultiStepLR   r0 gamma^(number of milestones <= t)
    ExponentialLR r0 gamma^t
    LambdaLR      r0 f(t), f of one's own
    PolyLR        r0 (1 - t / T)^power
    CosineLR      eta_min + (r0 - eta_min) (1 + cos(pi t / T)) / 2

`optim.warm_up` has a rise in front of any of them. t is 0 until the first ``step()``, which belongs
behind ``optimizer.step()``; whether it is called once per iteration or once per epoch decides what
its numbers count. The initial rate is ``group["initial_lr"]``, which the first schedule of an
optimiser sets to ``group["lr"]``.

A rate that was changed by hand, ``group["lr"] = r``, is kept: the next step sets the initial rate
to the one from which the formula gives r now, and goes on from there. So is the rate of a group
that was added later: it is that of the present step.

Sources: Loshchilov and Hutter, "SGDR" (2017), equation 5, for the cosine.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from minideconv.backend.checks import check_iterable
from minideconv.optim.checks import check_count, check_kind, check_range
from minideconv.optim.optimizer import Group, Optimizer

__all__ = [
    "CosineLR",
    "ExponentialLR",
    "FixedLR",
    "LambdaLR",
    "MultiStepLR",
    "PolyLR",
    "Schedule",
    "StepLR",
]


class Schedule:
    """Base class: a subclass gives the formula `lr_at`.

    Parameters
    ----------
    optimizer : Optimizer
        Whose groups' ``"lr"`` are set, now and at each ``step()``.

    Attributes
    ----------
    last_step : int
        How often ``step()`` was called: the t of the formulas.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{self.name}: optimizer is {type(optimizer).__name__}; it must be an Optimizer"
            )
        self.optimizer = optimizer
        self.last_step = 0
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.apply()
        self._remember()

    @property
    def name(self) -> str:
        """The name of the class, for messages and saved states."""
        return type(self).__name__

    def lr_at(self, step: int, initial_lr: float) -> float:
        """Return the learning rate of `step` (>= 0) for a group that began with `initial_lr`."""
        raise NotImplementedError

    def apply(self) -> None:
        """Set every group's learning rate to that of the current step."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr_at(self.last_step, group["initial_lr"])

    def step(self) -> None:
        """Go on to the next step and set the learning rates.

        Raises
        ------
        RuntimeError
            If a rate was changed by hand where the formula gives the same rate from every initial
            one, as behind the end of a `PolyLR`.
        """
        self._follow()
        self.last_step += 1
        self.apply()
        self._remember()

    def _remember(self) -> None:
        """Note the rates that were set, to see whether they are changed by hand."""
        self.optimizer.scheduled_lrs = [group["lr"] for group in self.optimizer.param_groups]

    def _follow(self) -> None:
        """Take over rates that were changed by hand, and those of new groups."""
        set_before = self.optimizer.scheduled_lrs
        for number, group in enumerate(self.optimizer.param_groups):
            if number >= len(set_before) or group["lr"] != set_before[number]:
                self._take_over(number, group)

    def _take_over(self, number: int, group: Group) -> None:
        """Set the initial rate of a group to the one from which the present one comes.

        Every formula is linear in the initial rate: two of its values give the one that is wanted.
        """
        new, lr = number >= len(self.optimizer.scheduled_lrs), group["lr"]
        if new and "initial_lr" in group:
            return
        low, high = (self.lr_at(self.last_step, initial) for initial in (0.0, 1.0))
        initial = (lr - low) / (high - low) if high != low else lr
        if not new and (initial < 0 or (high == low != lr)):
            raise RuntimeError(
                f"{self.name}: the rate of group {number} was set to {lr} by hand where the"
                f" schedule gives {self.optimizer.scheduled_lrs[number]}, and no initial rate leads"
                " there; make a new schedule"
            )
        group["initial_lr"] = max(initial, 0.0)

    def get_last_lr(self) -> list[float]:
        """Return the learning rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return where the schedule stands; its options are the constructor's business."""
        return {"kind": self.name, "last_step": self.last_step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where `state_dict` was taken, and set the learning rates.

        Load the optimiser's state first: it brings the initial rates along. Nothing changes if the
        state does not fit.

        Raises
        ------
        ValueError, TypeError
            If the state is another kind of schedule's, or something in it is missing or out of its
            range.
        """
        for name, value in self._read(state).items():
            setattr(self, name, value)
        for group in self.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.apply()
        self._remember()

    def _read(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes that a saved state gives, all of them checked."""
        check_kind(self.name, state)
        if missing := [name for name in self.state_dict() if name not in state]:
            raise ValueError(f"{self.name}: the saved state has no {missing[0]}")
        return {"last_step": check_count(self.name, "last_step", state["last_step"], least=0)}


class FixedLR(Schedule):
    """The initial rate, always; for a `WarmUp` with nothing behind it."""

    def lr_at(self, step: int, initial_lr: float) -> float:
        """Return `initial_lr`."""
        return initial_lr


class StepLR(Schedule):
    """Multiply the rate by `gamma` every `step_size` steps.

    Parameters
    ----------
    optimizer : Optimizer
    step_size : int >= 1
    gamma : float >= 0
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size = check_count(self.name, "step_size", step_size)
        self.gamma = check_range(self.name, "gamma", gamma)
        super().__init__(optimizer)

    def lr_at(self, step: int, initial_lr: float) -> float:
        """Return ``initial_lr * gamma ** (step // step_size)``."""
        return initial_lr * self.gamma ** (step // self.step_size)


class MultiStepLR(Schedule):
    """Multiply the rate by `gamma` at each of the `milestones`.

    Parameters
    ----------
    optimizer : Optimizer
    milestones : iterable of int >= 0
        In any order; one that occurs twice multiplies twice.
    gamma : float >= 0
    """

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1) -> None:
        must = "a list of integers, as in [30, 80]"
        steps = check_iterable(self.name, "milestones", milestones, must)
        self.milestones = sorted(check_count(self.name, "a milestone", m, 0) for m in steps)
        self.gamma = check_range(self.name, "gamma", gamma)
        super().__init__(optimizer)

    def lr_at(self, step: int, initial_lr: float) -> float:
        """Return ``initial_lr * gamma ** (milestones passed)``."""
        return initial_lr * self.gamma ** bisect.bisect_right(self.milestones, step)


class ExponentialLR(Schedule):
    """Multiply the rate by `gamma` at every step.

    Parameters
    ----------
    optimizer : Optimizer
    gamma : float >= 0
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = check_range(self.name, "gamma", gamma)
        super().__init__(optimizer)

    def lr_at(self, step: int, initial_lr: float) -> float:
        """Return ``initial_lr * gamma ** step``."""
        return initial_lr * self.gamma**step


class LambdaLR(Schedule):
    """Multiply the initial rate by a function of the step.

    Parameters
    ----------
    optimizer : Optimizer
    lr_lambda : callable
        Takes the step and returns a factor >= 0, for all groups. It is no part of the saved state:
        whoever resumes gives the same function again.

    Raises
    ------
    TypeError
        If it cannot be called.
    ValueError
        If it returns no finite number >= 0, at any step.
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable[[int], float]) -> None:
        if not callable(lr_lambda):
            raise TypeError(
                f"LambdaLR: lr_lambda is {lr_lambda!r}; it must be one function of the step, which"
                " serves all groups"
            )
        self.lr_lambda = lr_lambda
        super().__init__(optimizer)

    def lr_at(self, step: int, initial_lr: float) -> float:
        """Return ``initial_lr * lr_lambda(step)``."""
        factor = check_range(self.name, f"lr_lambda({step})", self.lr_lambda(step))
        return initial_lr * float(factor)


class PolyLR(Schedule):
    """Let the rate fall to 0 along a power of the time that is left, and stay there.

    Parameters
    ----------
    optimizer : Optimizer
    total_iters : int >= 1
        The step at which it reaches 0.
    power : float >= 0
        1 is a straight line; 0.9 is usual for segmentation.
    """

    def __init__(self, optimizer: Optimizer, total_iters: int, power: float = 1.0) -> None:
        self.total_iters = check_count(self.name, "total_iters", total_iters)
        self.power = check_range(self.name, "power", power)
        super().__init__(optimizer)

    def lr_at(self, step: int, initial_lr: float) -> float:
        """Return ``initial_lr * (1 - step / total_iters) ** power``."""
        left = self.total_iters - min(step, self.total_iters)
        return initial_lr * math.pow(left / self.total_iters, self.power)


class CosineLR(Schedule):
    """Let the rate fall to `eta_min` along half a cosine, and stay there.

    Parameters
    ----------
    optimizer : Optimizer
    total_iters : int >= 1
        The step at which it reaches `eta_min`; PyTorch's ``T_max``, behind which its rate rises
        again.
    eta_min : float >= 0
        A rate, the same for all groups.
    """

    def __init__(self, optimizer: Optimizer, total_iters: int, eta_min: float = 0.0) -> None:
        self.total_iters = check_count(self.name, "total_iters", total_iters)
        self.eta_min = check_range(self.name, "eta_min", eta_min)
        super().__init__(optimizer)

    def lr_at(self, step: int, initial_lr: float) -> float:
        """Return ``eta_min + (initial_lr - eta_min) * (1 + cos(pi * step / total_iters)) / 2``."""
        angle = math.pi * min(step, self.total_iters) / self.total_iters
        return self.eta_min + (initial_lr - self.eta_min) * (1 + math.cos(angle)) / 2
