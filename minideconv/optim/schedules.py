"""Learning-rate schedules: the rate as a formula of the step.

A schedule alone multiplies nothing into the current rate; it computes the rate of step t from an
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
its numbers count. r0 is the rate that a group has when the schedule is made. `optim.schedule` has
what becomes of a rate that something else changes: a program, or another schedule.

Sources: Loshchilov and Hutter, "SGDR" (2017), equation 5, for the cosine.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable

from minideconv.backend.checks import check_iterable
from minideconv.optim.checks import check_count, check_range
from minideconv.optim.optimizer import Optimizer
from minideconv.optim.schedule import Schedule

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

    Beside other schedules of the optimiser it sets the rate, from the group's ``"initial_lr"``, and
    does not multiply what they made of it, as in PyTorch: make it, and call its ``step()``, first.

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

    multiplies = False

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
