"""What all learning-rate schedules share: following what others change, saving and loading.

A schedule gives the rate of step t by a formula that is linear in an initial rate r0 (`lr_at`):

    r(t) = slope(t) r0 + constant(t)

As long as nothing else sets the rate, it is that formula's, to the last bit and also when resumed.
If something else did, r0 becomes the number from which the formula gives the present rate at t, and
the next rate is that of t + 1: the change is carried on. So it is with

- a rate that was changed by hand, ``group["lr"] = r``, also if it is saved before the next step,
- a group that was added later (unless it has an ``"initial_lr"`` of its own, which is r0 then),
- several schedules of one optimiser, each of which multiplies slope(t + 1) / slope(t) into what is
  there, as PyTorch's do: call each one's ``step()``, in the order in which they were made. A
  `LambdaLR` sets the rate, in both libraries, and belongs in front.

A new schedule starts from the rate that is there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from minideconv.optim.checks import check_count, check_kind, check_range
from minideconv.optim.optimizer import Group, Optimizer

__all__ = ["Schedule"]

TINY = 1e-300
"""A slope below it has lost digits: no rate is divided by it."""


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
    initial_lrs : list of float
        Each group's r0.
    """

    multiplies: ClassVar[bool] = True
    """Whether it carries on what other schedules of the optimiser made of the rate."""

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{self.name}: optimizer is {type(optimizer).__name__}; it must be an Optimizer"
            )
        self.optimizer = optimizer
        self.last_step = 0
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.initial_lrs = self._rates_to_begin_with()
        self.own_lrs: list[float] = []  # what this schedule set, to see what others change
        self.apply()

    @property
    def name(self) -> str:
        """The name of the class, for messages and saved states."""
        return type(self).__name__

    def lr_at(self, step: int, initial_lr: float) -> float:
        """Return the learning rate of `step` (>= 0) for a group that began with `initial_lr`."""
        raise NotImplementedError

    def apply(self, others: Collection[int] = ()) -> None:
        """Set every group's learning rate to that of the current step, but for those of `others`.

        `others` are the numbers of groups whose rate another schedule has set.
        """
        self.own_lrs = [self.lr_at(self.last_step, initial) for initial in self.initial_lrs]
        for number, (group, lr) in enumerate(zip(self._groups(), self.own_lrs, strict=True)):
            if number not in others:
                group["lr"] = lr
        self.optimizer.scheduled_lrs = self.get_last_lr()

    def step(self) -> None:
        """Go on to the next step and set the learning rates.

        Raises
        ------
        RuntimeError
            If a rate was changed by hand where the formula gives the same rate from every initial
            one, as behind the end of a `PolyLR`.
        """
        others = self._follow()
        self.last_step += 1
        self.apply(others)

    def get_last_lr(self) -> list[float]:
        """Return the learning rate of each group."""
        return [group["lr"] for group in self._groups()]

    # Rates that something else has set

    def _groups(self) -> list[Group]:
        return self.optimizer.param_groups

    def _by_hand(self, number: int) -> bool:
        """Return whether a group's rate is not the one that a schedule set last."""
        scheduled = self.optimizer.scheduled_lrs
        return number < len(scheduled) and self._groups()[number]["lr"] != scheduled[number]

    def _rates_to_begin_with(self) -> list[float]:
        """Return each group's r0 for a new schedule."""
        return [
            group["lr"] if self.multiplies or self._by_hand(number) else group["initial_lr"]
            for number, group in enumerate(self._groups())
        ]

    def _follow(self) -> set[int]:
        """Go on from rates that something else has set; return groups that are left to the others.

        Those are the ones for which the formula is a constant by now, such as the end of a cosine.
        """
        initial, others = self.initial_lrs[: len(self._groups())], set()
        for number, group in enumerate(self._groups()):
            lr = group["lr"]
            if number >= len(initial):
                initial.append(self._initial_lr_of_new(number, group))
            elif lr != self.own_lrs[number]:
                by_hand = self._by_hand(number)
                if not self.multiplies and not by_hand:
                    continue
                check_range(self.name, f"the rate of group {number}", lr)
                low, slope = self._line()
                if slope >= TINY:
                    initial[number] = (lr - low) / slope
                elif by_hand and lr != low:
                    raise RuntimeError(
                        f"{self.name}: the rate of group {number} was set to {lr} by hand where the"
                        f" schedule gives {self.own_lrs[number]}, and no initial rate leads there;"
                        " make a new schedule"
                    )
                else:
                    others.add(number)
        self.initial_lrs = initial
        return others

    def _initial_lr_of_new(self, number: int, group: Group) -> float:
        """Return r0 of a group that was added since the last step."""
        if "initial_lr" in group and number >= len(self.optimizer.scheduled_lrs):
            return float(group["initial_lr"])
        low, slope = self._line()
        return float((group["lr"] - low) / slope if slope >= TINY else group["lr"])

    def _line(self) -> tuple[float, float]:
        """Return constant and slope of the present step's formula."""
        low, high = (self.lr_at(self.last_step, initial) for initial in (0.0, 1.0))
        return low, high - low

    # Saving and loading

    def state_dict(self) -> dict[str, Any]:
        """Return where the schedule stands; its options are the constructor's business."""
        state: dict[str, Any] = {"kind": self.name, "last_step": self.last_step}
        for name, values in self._lists().items():
            state.update({f"{name}.{number}": float(lr) for number, lr in enumerate(values)})
        return state

    def _lists(self) -> dict[str, list[float]]:
        """Return what is saved of each group."""
        return {
            "initial_lrs": self.initial_lrs,
            "own_lrs": self.own_lrs,
            "scheduled_lrs": self.optimizer.scheduled_lrs,
            "lrs": self.get_last_lr(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where `state_dict` was taken, and set the learning rates.

        Load the optimiser's state first: states from before there were initial rates in this one
        need those of the optimiser. Nothing changes if the state does not fit.

        Raises
        ------
        ValueError, TypeError
            If the state is another kind of schedule's, of another number of groups, or something in
            it is missing or out of its range.
        """
        new = self._read(state)
        lrs, scheduled = new.pop("lrs", None), new.pop("scheduled_lrs", None)
        if "initial_lrs" not in new:
            for group in self._groups():
                group.setdefault("initial_lr", group["lr"])
            new["initial_lrs"] = [float(group["initial_lr"]) for group in self._groups()]
        new.setdefault("own_lrs", lrs)
        for name, value in new.items():
            setattr(self, name, value)
        if lrs is not None:
            for group, lr in zip(self._groups(), lrs, strict=True):
                group["lr"] = lr
        if lrs == self.own_lrs:  # by the formula: its options may have changed
            self.apply()
        else:
            self.optimizer.scheduled_lrs = scheduled or self.get_last_lr()

    def _read(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes that a saved state gives, all of them checked."""
        check_kind(self.name, state)
        lists = self._lists()
        required = [key for key in self.state_dict() if lists.keys().isdisjoint(key.split("."))]
        if missing := [name for name in required if name not in state]:
            raise ValueError(f"{self.name}: the saved state has no {missing[0]}")
        new: dict[str, Any] = {
            "last_step": check_count(self.name, "last_step", state["last_step"], least=0)
        }
        there = {name: sum(key.startswith(f"{name}.") for key in state) for name in lists}
        if there["lrs"] not in (0, len(self._groups())):
            raise ValueError(
                f"{self.name}: the saved state has {there['lrs']} parameter groups, this optimiser"
                f" {len(self._groups())}"
            )
        # A group that was added just before has a rate and nothing else yet.
        followed = max(there.get("initial_lrs", 0), there.get("own_lrs", 0))
        for name in lists:
            keys = [f"{name}.{number}" for number in range(max(there[name], followed))]
            if missing := [key for key in keys if key not in state]:
                raise ValueError(f"{self.name}: the saved state has no {missing[0]}")
            least = 0.0 if name == "lrs" else -float("inf")
            if keys:
                new[name] = [float(check_range(self.name, k, state[k], least)) for k in keys]
        return new
