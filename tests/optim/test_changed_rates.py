"""Schedules whose rates or groups others change, and plateaus of negative metrics."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import Tensor
from minideconv.optim import (
    SGD,
    CosineLR,
    ExponentialLR,
    FixedLR,
    LambdaLR,
    MultiStepLR,
    PolyLR,
    ReduceLROnPlateau,
    StepLR,
    WarmUp,
)

MAKE = {
    "fixed": FixedLR,
    "step": lambda o: StepLR(o, 2, 0.5),
    "multi": lambda o: MultiStepLR(o, [1, 4], 0.1),
    "poly": lambda o: PolyLR(o, 10, 0.9),
    "cosine": lambda o: CosineLR(o, 10, 0.001),
    "warm-up": lambda o: WarmUp(PolyLR(o, 10), 5, 0.25),
    "warm-up 0": lambda o: WarmUp(CosineLR(o, 10), 0),
    "warm-up plateau": lambda o: WarmUp(ReduceLROnPlateau(o, patience=0, factor=0.5), 3, 0.5),
}


def optimizer(lr: float = 0.1) -> SGD:
    return SGD([Tensor([1.0], requires_grad=True)], lr=lr)


def advance(schedule, steps: int) -> None:
    plateau = isinstance(getattr(schedule, "schedule", None), ReduceLROnPlateau)
    for _ in range(steps):
        schedule.step(*([1.0] if plateau else []))


@pytest.mark.parametrize("before", [0, 2, 7])
@pytest.mark.parametrize("name", MAKE)
def test_a_rate_changed_by_hand_goes_on_from_there(name: str, before: int) -> None:
    """As in PyTorch, whose schedules multiply the rate that is there: a tenth stays a tenth."""
    plain, changed = optimizer(), optimizer()
    schedules = MAKE[name](plain), MAKE[name](changed)
    for schedule in schedules:
        advance(schedule, before)
    floor = 0.001 if name == "cosine" else 0.0  # eta_min is a rate of its own
    group = changed.param_groups[0]
    group["lr"] = floor + (group["lr"] - floor) / 10
    for _ in range(2):
        for schedule in schedules:
            advance(schedule, 1)
        want = floor + (plain.param_groups[0]["lr"] - floor) / 10
        assert group["lr"] == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("name", MAKE)
def test_a_group_that_is_added_later_is_scheduled_from_its_own_rate(name: str, before: int) -> None:
    mine, schedule = optimizer(), None
    schedule = MAKE[name](mine)
    advance(schedule, before)
    first = mine.param_groups[0]
    mine.add_param_group({"params": [Tensor([2.0], requires_grad=True)], "lr": first["lr"]})
    for _ in range(4):
        advance(schedule, 1)
        assert mine.param_groups[1]["lr"] == pytest.approx(first["lr"], rel=1e-12)
    state = mine.state_dict(), schedule.state_dict()
    again = optimizer()
    again.add_param_group({"params": [Tensor([2.0], requires_grad=True)]})
    resumed = MAKE[name](again)
    again.load_state_dict(state[0])
    resumed.load_state_dict(state[1])
    for _ in range(3):
        advance(schedule, 1)
        advance(resumed, 1)
        assert [g["lr"] for g in again.param_groups] == [g["lr"] for g in mine.param_groups]


def test_a_plateau_reduces_a_group_that_was_added_later() -> None:
    mine = optimizer()
    schedule = ReduceLROnPlateau(mine, patience=0, factor=0.5, min_lr=0.01)
    schedule.step(1.0)
    mine.add_param_group({"params": [Tensor([2.0], requires_grad=True)], "lr": 0.015})
    schedule.step(1.0)
    assert [group["lr"] for group in mine.param_groups] == [0.05, 0.01]


def test_a_rate_that_no_initial_rate_leads_to_is_refused() -> None:
    mine = optimizer()
    schedule = PolyLR(mine, 3)
    advance(schedule, 3)
    mine.param_groups[0]["lr"] = 0.01
    with pytest.raises(RuntimeError, match=r"PolyLR: the rate of group 0 was set to 0.01 by hand"):
        schedule.step()
    assert schedule.last_step == 3


def test_loading_states_is_no_change_by_hand() -> None:
    mine = optimizer()
    schedule = CosineLR(mine, 7)
    advance(schedule, 3)
    saved = mine.state_dict(), schedule.state_dict()
    again = optimizer(0.5)
    resumed = CosineLR(again, 7)
    again.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    for _ in range(4):
        advance(schedule, 1)
        advance(resumed, 1)
        assert again.param_groups[0]["lr"] == mine.param_groups[0]["lr"]
        assert again.param_groups[0]["initial_lr"] == 0.1


def resume(make, mine, schedule, more=0):
    """Return a new optimiser and schedule that go on from these; `more` groups come afterwards."""
    again = optimizer(0.7)
    resumed = make(again)
    for _ in range(more):
        again.add_param_group({"params": [Tensor([2.0], requires_grad=True)]})
    again.load_state_dict(mine.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    return again, resumed


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("before", [0, 2, 7])
@pytest.mark.parametrize("name", [*MAKE, "lambda", "plateau"])
def test_a_change_that_is_saved_before_the_next_step_is_resumed(name, before, more):
    """A rate by hand, and a group that was added: to the last bit as if there was no stop."""
    make = {
        **MAKE,
        "lambda": lambda o: LambdaLR(o, lambda t: 1 / (1 + t)),
        "plateau": lambda o: ReduceLROnPlateau(o, patience=0, factor=0.5, min_lr=0.001),
    }[name]
    mine = optimizer()
    schedule = make(mine)

    def go(schedule, steps):
        for _ in range(steps):
            schedule.step(*([1.0] if "plateau" in name else []))

    go(schedule, before)
    mine.param_groups[0]["lr"] = 0.2
    for _ in range(more):
        mine.add_param_group({"params": [Tensor([2.0], requires_grad=True)], "lr": 0.3})
    again, resumed = resume(make, mine, schedule, more)
    for _ in range(4):
        assert [g["lr"] for g in again.param_groups] == [g["lr"] for g in mine.param_groups]
        go(schedule, 1)
        go(resumed, 1)
    assert [g["lr"] for g in again.param_groups] == [g["lr"] for g in mine.param_groups]


def test_rates_that_were_saved_behind_a_change_are_pytorchs():
    mine = optimizer()
    schedule = StepLR(mine, 2, 0.5)
    schedule.step()
    mine.param_groups[0]["lr"] = 0.4
    again, resumed = resume(lambda o: StepLR(o, 2, 0.5), mine, schedule)
    resumed.step()
    assert again.param_groups[0]["lr"] == 0.2
    mine = optimizer()
    schedule = ReduceLROnPlateau(mine, patience=0, factor=0.5)
    schedule.step(1.0)
    mine.param_groups[0]["lr"] = 0.4
    again, resumed = resume(lambda o: ReduceLROnPlateau(o, patience=0, factor=0.5), mine, schedule)
    resumed.step(1.0)
    assert again.param_groups[0]["lr"] == 0.2


@pytest.mark.parametrize("name", MAKE)
def test_states_from_before_there_were_rates_in_them_are_loaded(name):
    mine = optimizer()
    schedule = MAKE[name](mine)
    advance(schedule, 4)
    lists = ("initial_lrs.", "own_lrs.", "scheduled_lrs.", "lrs.")
    state = {
        key: value
        for key, value in schedule.state_dict().items()
        if not key.removeprefix("schedule.").startswith(lists) or key == "schedule.lrs.0"
    }
    again = optimizer(0.7)
    resumed = MAKE[name](again)
    again.load_state_dict(mine.state_dict())
    resumed.load_state_dict(state)
    for _ in range(4):
        assert again.param_groups[0]["lr"] == mine.param_groups[0]["lr"]
        advance(schedule, 1)
        advance(resumed, 1)


def test_a_new_schedule_keeps_the_rate_that_was_set():
    mine = optimizer()
    advance(ExponentialLR(mine, 0.5), 3)
    for lr, make in ((0.01, StepLR), (0.02, PolyLR), (0.03, CosineLR)):
        mine.param_groups[0]["lr"] = lr
        make(mine, 10)
        assert mine.param_groups[0]["lr"] == lr
    plateau = ReduceLROnPlateau(mine, patience=0, factor=0.5)
    plateau.step(1.0)
    plateau.step(1.0)
    assert StepLR(mine, 10).get_last_lr() == [0.015]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("best", [-100.0, -1.0, 0.0, 1.0, 100.0])
def test_better_is_better_also_for_a_negative_metric(
    mode: str, threshold_mode: str, best: float
) -> None:
    schedule = ReduceLROnPlateau(
        optimizer(), mode, threshold=0.01, threshold_mode=threshold_mode, patience=0
    )
    margin = 0.01 * (abs(best) if threshold_mode == "rel" else 1)
    better = -1 if mode == "min" else 1
    schedule.step(best)
    assert schedule.bad_steps == 0
    assert schedule.best == best
    for change, good in ((-0.5, False), (0.5, False), (2, True), (0, False)):
        schedule.best = best
        # (a margin of 0 leaves nothing between equal and better)
        assert schedule._better(best + better * change * margin) == (good and margin > 0)
    assert not schedule._better(np.nan)
    assert schedule._better(best + better * 1000)


def test_a_plateau_of_a_negative_loss_is_seen() -> None:
    """-10 and then a little worse: with the threshold as a factor, every one of these is better."""
    mine = optimizer()
    schedule = ReduceLROnPlateau(mine, patience=1, threshold=1e-4, factor=0.5)
    for metric in (-10.0, -9.9995, -9.9995, -9.9995):
        schedule.step(metric)
    assert mine.param_groups[0]["lr"] == 0.05
