"""Loss scaling against a loop over plain numbers, with flat parameters and without."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import minideconv as md
from minideconv import Tensor, nn, optim
from minideconv.backend import to_cpu, to_default_device
from minideconv.optim import grad_scaler
from minideconv.optim.grad_scaler import GradScaler

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # infinities, on purpose


def make(kind="Adam", flat=False, dtype=np.float64):
    params = [
        Tensor(np.array(x, dtype), requires_grad=True)
        for x in ([1.0, -2.0, 3.0], [[0.5, 4.0]], 2.0)
    ]
    make_optimizer = {
        "SGD": lambda p: optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=0.1),
        "Adam": lambda p: optim.Adam(p, lr=0.05),
    }[kind]
    optimizer = make_optimizer([{"params": params[:2]}, {"params": params[2:], "lr": 0.02}])
    if flat:
        optimizer.flatten()
    return params, optimizer


def loss_of(params, factor=1.0):
    return sum((p * p * p).sum() for p in params) * factor


def run(scaler, params, optimizer, goods, with_numbers=False):
    """Take one step for each truth in `goods`; return the scales behind them."""
    scales = []
    for good in goods:
        optimizer.zero_grad()
        scaler.scale(loss_of(params, 1.0 if good else math.inf)).backward()
        if with_numbers:
            scaler.step(optimizer, to_default_device(optimizer.next_numbers()))
        else:
            scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    return scales


def loop(goods, scale, growth, backoff, interval):
    """The rules once more, with the host deciding."""
    scales, streak = [], 0
    for good in goods:
        streak = streak + 1 if good else 0
        scale = scale if good else scale * backoff
        if streak == interval:
            scale, streak = scale * growth, 0
        scales.append(scale)
    return scales


goods = st.lists(st.booleans(), min_size=1, max_size=12)
options = st.fixed_dictionaries(
    {
        "init_scale": st.sampled_from([1.0, 2.0**16, 3.0]),
        "growth_factor": st.sampled_from([2.0, 4.0]),
        "backoff_factor": st.sampled_from([0.5, 0.125]),
        "growth_interval": st.integers(1, 4),
    }
)


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("with_numbers", [False, True])
@pytest.mark.parametrize("flat", [False, True])
@given(goods, options)
@example([False] * 3 + [True] * 5 + [False, True], {"growth_interval": 3})
def test_a_scaled_run_is_the_plain_run_of_the_good_steps(kind, with_numbers, flat, goods, options):
    params, optimizer = make(kind, flat)
    scales = run(GradScaler(**options), params, optimizer, goods, with_numbers)
    rules = {"init_scale": 2.0**16, "growth_factor": 2.0, "backoff_factor": 0.5, **options}
    assert scales == loop(goods, *rules.values())
    others, plain = make(kind)
    for _ in range(sum(goods)):
        plain.zero_grad()
        loss_of(others).backward()
        plain.step()
    tolerance = 1e-6 if with_numbers else 1e-12  # rates on the device are float32
    on_device = md.get_default_device().type == "gpu"
    for p, q in zip(params, others, strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-6 if on_device else tolerance)
    found, want = (o.state_dict().get("state.0.step", 0) for o in (optimizer, plain))
    assert found == want


@pytest.mark.parametrize("algorithm", ["reference", "exact"])
@pytest.mark.parametrize("flat", [False, True])
def test_unscale_gives_the_gradients_to_clip(flat, algorithm):
    params, optimizer = make("SGD", flat)
    scaler = GradScaler(init_scale=1024.0)
    loss_of(params).backward()
    want = [p.grad.numpy().copy() for p in params]
    optimizer.zero_grad()
    with md.algorithm(algorithm):
        scaler.scale(loss_of(params)).backward()
        scaler.unscale_(optimizer)
        for p, g in zip(params, want, strict=True):
            np.testing.assert_allclose(p.grad.numpy(), g, rtol=1e-6)
        norm = float(nn.utils.clip_grad_norm_(params, 1.0))
        assert norm == pytest.approx(math.sqrt(sum((g**2).sum() for g in want)), rel=1e-6)
        scaler.step(optimizer)
        scaler.update()
    assert float(nn.utils.clip_grad_norm_(params, 9.0)) == pytest.approx(1.0, rel=1e-5)


def test_what_never_came_is_not_taken_for_an_overflow():
    """A stale infinity in the flat array, of a parameter that has no gradient this time."""
    params, optimizer = make("SGD", flat=True)
    scaler = GradScaler(init_scale=4.0)
    params[0].grad = Tensor(np.full(3, np.inf))
    optimizer.zero_grad()
    before = [p.numpy().copy() for p in params]
    scaler.scale((params[1] * params[1]).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 4.0
    assert [(p.numpy() == b).all() for p, b in zip(params, before, strict=True)] == [1, 0, 1]


def test_the_elements_behind_the_gradients_are_left_alone():
    params, optimizer = make("SGD", flat=True)
    optimizer.flat_extra[...] = np.inf
    scaler = GradScaler(init_scale=4.0)
    assert run(scaler, params, optimizer, [True]) == [4.0]
    assert (to_cpu(optimizer.flat_extra) == np.inf).all()


def test_several_optimisers_share_a_scale_and_skip_alone():
    first, second = make("SGD"), make("Adam")
    scaler = GradScaler(init_scale=8.0, growth_interval=2)
    for bad in (True, False, False):
        before = first[0][0].numpy().copy(), second[0][0].numpy().copy()
        for (params, optimizer), factor in ((first, 1.0), (second, math.inf if bad else 1.0)):
            optimizer.zero_grad()
            scaler.scale(loss_of(params, factor)).backward()
            scaler.step(optimizer)
        scaler.update()
        assert (first[0][0].numpy() != before[0]).all()
        assert (second[0][0].numpy() != before[1]).all() == (not bad)
    assert scaler.get_scale() == 8.0  # halved, then doubled


def test_a_scale_does_not_grow_beyond_all_numbers():
    params, optimizer = make("SGD", dtype=np.float32)
    scaler = GradScaler(init_scale=2.0**127, growth_interval=1)
    optimizer.zero_grad()
    (params[0] * 0.0).sum().backward()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 2.0**127


@given(goods, goods, options)
def test_a_state_goes_on_where_it_was(before, after, options):
    params, optimizer = make()
    scaler = GradScaler(**options)
    run(scaler, params, optimizer, before)
    saved = scaler.state_dict()
    assert list(saved) == [
        "scale",
        "growth_factor",
        "backoff_factor",
        "growth_interval",
        "_growth_tracker",
    ]
    fresh, used = GradScaler(), GradScaler(init_scale=5.0)
    run(used, *make(), [True])
    want = run(scaler, params, optimizer, after)
    for other in (fresh, used):
        other.load_state_dict(saved)
        assert other.state_dict() == saved
        assert run(other, *make(), after) == want


def test_disabled_it_does_nothing():
    params, optimizer = make("SGD")
    others, plain = make("SGD")
    scaler = GradScaler(enabled=False)
    loss = loss_of(params)
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    loss_of(others).backward()
    plain.step()
    for p, q in zip(params, others, strict=True):
        assert (p.numpy() == q.numpy()).all()
    assert (scaler.get_scale(), scaler.is_enabled(), scaler.state_dict()) == (1.0, False, {})
    scaler.load_state_dict({})


def test_a_scale_may_be_set():
    params, optimizer = make()
    scaler = GradScaler()
    loss_of(params).backward()
    scaler.step(optimizer)
    scaler.update(new_scale=12.0)
    assert scaler.get_scale() == 12.0


def test_messages():
    params, optimizer = make()
    scaler = GradScaler()
    with pytest.raises(RuntimeError, match=r"update\(\) comes behind step\(\)"):
        scaler.update()
    with pytest.raises(RuntimeError, match="have no gradients"):
        scaler.step(optimizer)
    loss_of(params).backward()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match=r"unscale_\(\) was called after unscale_\(\)"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"unscale_\(\) was called after step"):
        scaler.step(optimizer)


SAVED = GradScaler(init_scale=4.0, growth_factor=3.0).state_dict()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "the saved state has no scale; it was not enabled"),
        (None, "the state is a NoneType; it must be a dict"),
        *[
            ({k: v for k, v in SAVED.items() if k != name}, f"the saved state has no {name}")
            for name in SAVED
        ],
        *[({**SAVED, name: None}, f"{name} is None; it must be") for name in SAVED],
        ({**SAVED, "scale": -1.0}, "scale is -1.0; it must be a finite number above 0"),
        ({**SAVED, "backoff_factor": 2.0}, "backoff_factor is 2.0; it must be in"),
        ({**SAVED, "_growth_tracker": -1}, "_growth_tracker is -1; it must be at least 0"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(state, message):
    scaler = GradScaler()
    before = scaler.state_dict()
    with pytest.raises((ValueError, TypeError), match=f"GradScaler: {message}"):
        scaler.load_state_dict(state)
    assert scaler.state_dict() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init_scale": 0}, "init_scale is 0; it must be a finite number above 0"),
        ({"init_scale": math.inf}, "init_scale is inf"),
        ({"growth_factor": 1.0}, "growth_factor is 1.0; it must be above 1"),
        ({"growth_factor": "x"}, "growth_factor is 'x'"),
        ({"backoff_factor": 1.0}, r"backoff_factor is 1.0; it must be in \[0, 1\)"),
        ({"backoff_factor": 0.0}, "backoff_factor is 0.0; it must be a finite number above 0"),
        ({"growth_interval": 0}, "growth_interval is 0; it must be at least 1"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=f"GradScaler: {message}"):
        GradScaler(**options)


# --- wrong versions that the comparison must reject --------------------------------------------


def never_finds(monkeypatch):
    unscale = grad_scaler.unscale
    monkeypatch.setattr(
        grad_scaler, "unscale", lambda g, scale, skip: unscale(g, scale, skip.copy())
    )


def does_not_divide(monkeypatch):
    unscale = grad_scaler.unscale
    monkeypatch.setattr(
        grad_scaler, "unscale", lambda g, scale, skip: unscale(g.copy(), scale, skip)
    )


def grows_too_late(monkeypatch):
    update = grad_scaler.update_scale
    monkeypatch.setattr(
        grad_scaler, "update_scale", lambda s, o, g, b, interval: update(s, o, g, b, interval + 1)
    )


def keeps_skipping(monkeypatch):
    update = grad_scaler.update_scale
    monkeypatch.setattr(
        grad_scaler,
        "update_scale",
        lambda state, steps, *rest: update(state, [(s.copy(), c) for s, c in steps], *rest),
    )


@pytest.mark.parametrize("mutant", [never_finds, does_not_divide, grows_too_late, keeps_skipping])
def test_the_comparison_rejects(mutant, monkeypatch):
    mutant(monkeypatch)
    check = test_a_scaled_run_is_the_plain_run_of_the_good_steps.hypothesis.inner_test
    options = {"growth_interval": 3}
    with pytest.raises(AssertionError):
        check("SGD", False, False, [False, True, True, True, False, True], options)
