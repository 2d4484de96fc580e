"""Schedules against tables and formulas; each group on its own rate; saving; messages."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    lr_scheduler,
)


def optimizer(*rates):
    groups = [{"params": [Tensor([1.0], requires_grad=True)], "lr": r} for r in rates or (1.0,)]
    return SGD(groups, lr=0.1)


def rates(schedule, steps, metrics=None):
    """Return the first group's rate before each of `steps` steps."""
    seen = []
    for t in range(steps):
        seen.append(schedule.get_last_lr()[0])
        schedule.step(*([] if metrics is None else [metrics[t]]))
    return seen


def test_tables():
    half, root = 0.5, math.sqrt(2)
    expected = {
        "FixedLR": (FixedLR(optimizer()), [1, 1, 1]),
        "StepLR": (StepLR(optimizer(), 2, half), [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125]),
        "MultiStepLR": (
            MultiStepLR(optimizer(), [4, 1, 4], half),
            [1, 0.5, 0.5, 0.5, 0.125, 0.125],
        ),
        "milestone 0": (MultiStepLR(optimizer(), [0], half), [0.5, 0.5]),
        "PolyLR": (PolyLR(optimizer(), 4), [1, 0.75, 0.5, 0.25, 0, 0, 0]),
        "PolyLR 2": (PolyLR(optimizer(), 4, power=2), [1, 0.5625, 0.25, 0.0625, 0, 0]),
        "CosineLR": (
            CosineLR(optimizer(), 4),
            [1, half + root / 4, half, half - root / 4, 0, 0, 0],
        ),
        "CosineLR min": (CosineLR(optimizer(), 2, eta_min=0.2), [1, 0.6, 0.2, 0.2]),
        "ExponentialLR": (ExponentialLR(optimizer(), half), [1, 0.5, 0.25, 0.125]),
        "LambdaLR": (LambdaLR(optimizer(), lambda t: (t + 1) * half), [0.5, 1, 1.5, 2]),
        "WarmUp": (WarmUp(FixedLR(optimizer()), 4, 0.0), [0, 0.25, 0.5, 0.75, 1, 1]),
        "WarmUp, StepLR": (
            WarmUp(StepLR(optimizer(), 2, half), 2, 0.5),
            [0.5, 0.75, 1, 1, 0.5, 0.5, 0.25],
        ),
        "no WarmUp": (WarmUp(StepLR(optimizer(), 1, half), 0), [1, 0.5, 0.25]),
    }
    for name, (schedule, table) in expected.items():
        np.testing.assert_allclose(rates(schedule, len(table)), table, atol=1e-15, err_msg=name)


def test_plateau_tables():
    def plateau(**options):
        return ReduceLROnPlateau(optimizer(), factor=0.5, **options)

    falling = [4.0, 3.0, 2.0, 1.0, 0.5]
    flat = [1.0] * 8
    assert rates(plateau(patience=0), 5, falling) == [1] * 5
    assert rates(plateau(patience=0), 5, flat) == [1, 1, 0.5, 0.25, 0.125]
    assert rates(plateau(patience=1), 8, flat) == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.125]
    assert rates(plateau(patience=0, cooldown=1), 6, flat) == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert rates(plateau(patience=0, mode="max"), 5, falling) == [1, 1, 0.5, 0.25, 0.125]
    assert rates(plateau(patience=0, min_lr=0.3), 5, flat) == [1, 1, 0.5, 0.3, 0.3]
    assert rates(plateau(patience=0, eps=0.3), 5, flat) == [1, 1, 0.5, 0.5, 0.5]
    slow = [1.0, 0.95, 0.9, 0.85]  # better by 0.05 each time, which these thresholds do not count
    assert rates(plateau(patience=0, threshold=0.2), 4, slow) == [1, 1, 0.5, 0.25]
    assert rates(plateau(patience=0, threshold=0.2, threshold_mode="abs"), 4, slow) == [
        1,
        1,
        0.5,
        0.25,
    ]
    assert rates(plateau(patience=0), 4, [1.0, math.nan, 0.5, math.nan]) == [1, 1, 0.5, 0.5]


MAKERS = {
    "FixedLR": lambda o: FixedLR(o),
    "StepLR": lambda o: StepLR(o, 3, 0.3),
    "MultiStepLR": lambda o: MultiStepLR(o, [2, 7, 11], 0.3),
    "PolyLR": lambda o: PolyLR(o, 15, 0.9),
    "CosineLR": lambda o: CosineLR(o, 15, 0.001),
    "ExponentialLR": lambda o: ExponentialLR(o, 0.9),
    "LambdaLR": lambda o: LambdaLR(o, lambda t: 1 / (1 + t)),
    "WarmUp": lambda o: WarmUp(PolyLR(o, 9, 0.9), 6),
    "ReduceLROnPlateau": lambda o: ReduceLROnPlateau(o, patience=1, cooldown=1, min_lr=[0.01, 0.3]),
    "WarmUp, plateau": lambda o: WarmUp(ReduceLROnPlateau(o, patience=0, factor=0.7), 4),
}


def advance(schedule, name, first, steps):
    noise = np.random.default_rng(3).random(40)
    trajectory = []
    for t in range(first, first + steps):
        schedule.step(*([noise[t]] if "lateau" in name else []))
        trajectory.append(schedule.get_last_lr())
    return trajectory


@pytest.mark.parametrize("name", MAKERS)
def test_each_group_follows_its_own_initial_rate(name):
    both = advance(MAKERS[name](optimizer(0.8, 0.4)), name, 0, 20)
    if name != "ReduceLROnPlateau":
        for i, rate in enumerate((0.8, 0.4)):
            alone = advance(MAKERS[name](optimizer(rate)), name, 0, 20)
            assert [pair[i] for pair in both] == [one for (one,) in alone]
    else:
        assert [min(p) for p in zip(*both, strict=True)] == [0.01, 0.3]


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("stop", [0, 1, 3, 6, 10])
def test_a_resumed_schedule_is_equal_to_the_last_bit(name, stop):
    straight = MAKERS[name](optimizer(0.8, 0.4))
    want = advance(straight, name, 0, 20)[stop:]
    old_optimizer = optimizer(0.8, 0.4)
    old = MAKERS[name](old_optimizer)
    advance(old, name, 0, stop)
    saved = old_optimizer.state_dict(), old.state_dict()
    assert all(isinstance(v, int | float | str) for v in saved[1].values())
    new_optimizer = optimizer(5.0, 6.0)  # the initial rates come with the optimiser's state
    new = MAKERS[name](new_optimizer)
    new_optimizer.load_state_dict(saved[0])
    new.load_state_dict(saved[1])
    assert new.get_last_lr() == old.get_last_lr()
    assert (new_optimizer.state_dict(), new.state_dict()) == saved
    assert advance(new, name, stop, 20 - stop) == want


@pytest.mark.parametrize("wrong", [None, "a", KeyError])
@pytest.mark.parametrize("name", MAKERS)
def test_a_state_with_a_wrong_entry_changes_nothing(name, wrong):
    old = MAKERS[name](optimizer(0.8, 0.4))
    advance(old, name, 0, 7)
    saved = old.state_dict()
    new = MAKERS[name](optimizer(0.8, 0.4))
    before = new.state_dict(), new.get_last_lr()
    for key in saved:
        state = {k: v for k, v in saved.items() if k != key}
        if wrong is not KeyError:
            state[key] = wrong
        with pytest.raises((ValueError, TypeError), match=r"^\w+: (the saved state|\w+\S* is) "):
            new.load_state_dict(state)
        assert (new.state_dict(), new.get_last_lr()) == before
    with pytest.raises(TypeError, match="the state is a NoneType; it must be a dict"):
        new.load_state_dict(None)


@given(st.floats(1e-5, 10), st.integers(1, 50), st.floats(0, 3), st.integers(0, 80))
def test_formulas_stay_between_their_ends(initial, total, power, t):
    poly, cosine = PolyLR(optimizer(), total, power), CosineLR(optimizer(), total)
    assert poly.lr_at(0, initial) == cosine.lr_at(0, initial) == initial
    assert 0 <= poly.lr_at(t + 1, initial) <= poly.lr_at(t, initial) <= initial
    assert 0 <= cosine.lr_at(t + 1, initial) <= cosine.lr_at(t, initial) <= initial
    assert cosine.lr_at(total, initial) == 0
    assert poly.lr_at(total, initial) == (0 if power else initial)


def test_a_new_schedule_starts_from_the_rate_that_is_there():
    """As PyTorch's, but for a LambdaLR, which sets the rate from the group's initial one."""
    o = optimizer(0.5)
    advance(StepLR(o, 1, 0.5), "StepLR", 0, 3)
    assert StepLR(o, 1).get_last_lr() == [0.0625]
    assert LambdaLR(o, lambda t: 0.5).get_last_lr() == [0.25]
    o.param_groups[0]["lr"] = 0.01  # by hand
    assert StepLR(o, 10).get_last_lr() == [0.01]
    o.param_groups[0]["lr"] = 0.02
    assert LambdaLR(o, lambda t: 0.5).get_last_lr() == [0.01]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: StepLR(o, 0), "StepLR: step_size is 0; it must be at least 1"),
        (lambda o: StepLR(o, 1, -0.1), "StepLR: gamma is -0.1; it must be a finite number >= 0"),
        (
            lambda o: MultiStepLR(o, [3, -1]),
            "MultiStepLR: a milestone is -1; it must be at least 0",
        ),
        (lambda o: PolyLR(o, 0), "PolyLR: total_iters is 0; it must be at least 1"),
        (lambda o: PolyLR(o, 5, -1), "PolyLR: power is -1; it must be a finite number >= 0"),
        (lambda o: CosineLR(o, 5, -1), "CosineLR: eta_min is -1; it must be"),
        (
            lambda o: ExponentialLR(o, -1),
            "ExponentialLR: gamma is -1; it must be a finite number >=",
        ),
        (
            lambda o: advance(LambdaLR(o, lambda t: 1.0 - t), "", 0, 3),
            r"LambdaLR: lr_lambda\(2\) is -1.0; it must be a finite number >= 0",
        ),
        (lambda o: LambdaLR(o, lambda t: None), r"LambdaLR: lr_lambda\(0\) is None; it must be"),
        (lambda o: WarmUp(FixedLR(o), -1), "WarmUp: total_iters is -1; it must be at least 0"),
        (
            lambda o: WarmUp(FixedLR(o), 2, 1.5),
            r"WarmUp: start_factor is 1.5; it must be in \[0, 1",
        ),
        (lambda o: ReduceLROnPlateau(o, "avg"), "mode is 'avg'; it must be 'min' or 'max'"),
        (lambda o: ReduceLROnPlateau(o, factor=1.0), r"factor is 1.0; it must be in \[0, 1\)"),
        (lambda o: ReduceLROnPlateau(o, patience=-1), "patience is -1; it must be at least 0"),
        (lambda o: ReduceLROnPlateau(o, threshold_mode="x"), "threshold_mode is 'x'; it must be"),
        (lambda o: ReduceLROnPlateau(o, min_lr=[0, 0]), "min_lr has 2 values but .* has 1 param"),
        (lambda o: ReduceLROnPlateau(o, min_lr=-1), "min_lr is -1; it must be"),
        (
            lambda o: FixedLR(o).load_state_dict(StepLR(o, 1).state_dict()),
            "FixedLR: the saved state is of StepLR; it must be of FixedLR",
        ),
        (
            lambda o: WarmUp(FixedLR(o), 1).load_state_dict(WarmUp(StepLR(o, 1), 1).state_dict()),
            "FixedLR: the saved state is of StepLR",
        ),
        (
            lambda o: ReduceLROnPlateau(o).load_state_dict(
                ReduceLROnPlateau(optimizer(1, 2)).state_dict()
            ),
            "the saved state has 2 parameter groups, this optimiser 1",
        ),
    ],
)
def test_what_cannot_be_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make(optimizer())


def test_wrong_types_are_named():
    with pytest.raises(TypeError, match=r"StepLR: step_size is 2\.5; it must be an integer"):
        StepLR(optimizer(), 2.5)
    with pytest.raises(TypeError, match="StepLR: optimizer is list; it must be an Optimizer"):
        StepLR([], 2)
    with pytest.raises(TypeError, match="WarmUp: schedule is SGD; it must be a Schedule, such as"):
        WarmUp(optimizer(), 2)
    with pytest.raises(TypeError, match=r"ReduceLROnPlateau: step\(\) needs the metric to watch"):
        ReduceLROnPlateau(optimizer()).step()
    with pytest.raises(TypeError, match=r"LambdaLR: lr_lambda is \[.*it must be one function"):
        LambdaLR(optimizer(), [abs])


def test_a_rate_changed_by_hand_goes_on_from_there():
    schedule = LambdaLR(optimizer(), lambda t: 1 / (1 + t))
    schedule.step()
    schedule.optimizer.param_groups[0]["lr"] = 3.0
    assert rates(schedule, 2) == [3.0, 2.0]


def test_names_of_pytorchs_module():
    ours, theirs = CosineLR(optimizer(), 4, 0.2), lr_scheduler.CosineAnnealingLR
    assert rates(theirs(optimizer(), T_max=4, eta_min=0.2), 6) == rates(ours, 6)
    assert lr_scheduler.PolynomialLR is PolyLR
