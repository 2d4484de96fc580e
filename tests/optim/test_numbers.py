"""Steps whose numbers are handed over: the same steps, with rates rounded to float32."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import Tensor, optim
from minideconv.backend import to_default_device
from minideconv.testing import values

KINDS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.25, weight_decay=0.1),
    "Adam": lambda p: optim.Adam(p, lr=0.1, weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1),
    "amsgrad": lambda p: optim.Adam(p, lr=0.1, amsgrad=True),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.1),
    "centered": lambda p: optim.RMSprop(p, lr=0.1, momentum=0.8, centered=True),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.2),
}


def make(kind, flat=False):
    params = [
        Tensor(values(s, i, "normal"), requires_grad=True)
        for i, s in enumerate([(3, 4), (5,), (2,)])
    ]
    optimizer = KINDS[kind]([{"params": params[:2]}, {"params": params[2:], "lr": 0.02}])
    if flat:
        optimizer.flatten()
    return params, optimizer


def give(params, step):
    for i, p in enumerate(params):
        p.grad = Tensor(values(p.shape, 10 * step + i, "normal"))


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_with_numbers_and_plain_steps_are_one_trajectory(kind, flat):
    """Through a schedule, a change from one way to the other, and a saved state."""
    with_numbers, plain = make(kind, flat), make(kind)
    schedules = [optim.WarmUp(optim.CosineLR(o, 9), 3) for _, o in (with_numbers, plain)]
    for step in range(6):
        if step == 4:
            saved = with_numbers[1].state_dict()
            with_numbers = with_numbers[0], make(kind)[1]
            with_numbers[1].param_groups[0]["params"] = with_numbers[0][:2]
            with_numbers[1].param_groups[1]["params"] = with_numbers[0][2:]
            with_numbers[1].load_state_dict(saved)
            schedules[0].optimizer = with_numbers[1]
            schedules[0].schedule.optimizer = with_numbers[1]
        for params, _ in (with_numbers, plain):
            give(params, step)
        if step == 3:
            with_numbers[1].step()
        else:
            with_numbers[1].step(to_default_device(with_numbers[1].next_numbers()))
        plain[1].step()
        for schedule in schedules:
            schedule.step()
        for p, q in zip(with_numbers[0], plain[0], strict=True):
            np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-5)
    found, want = (o.state_dict() for _, o in (with_numbers, plain))
    assert {k: v for k, v in found.items() if "step" in k} == {
        k: v for k, v in want.items() if "step" in k
    }


def test_the_numbers_are_a_rate_and_what_belongs_to_it():
    _, optimizer = make("Adam")
    optimizer.next_numbers()
    found = optimizer.next_numbers()
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array([[0.1, 2], [0.02, 2]], np.float32))
    _, optimizer = make("SGD")
    first, second = optimizer.next_numbers(), optimizer.next_numbers()
    np.testing.assert_array_equal(first, np.array([[0.1, 1], [0.02, 1]], np.float32))
    np.testing.assert_array_equal(second, np.array([[0.1, 0.75], [0.02, 0.75]], np.float32))


def test_numbers_as_a_part_of_a_longer_array():
    runs = [make("AdamW", flat=True) for _ in range(2)]
    for (params, optimizer), cut in zip(runs, (False, True), strict=True):
        give(params, 0)
        numbers = optimizer.next_numbers()
        if cut:
            numbers = np.concatenate([[9], numbers.ravel(), [9]]).astype(np.float32)
        numbers = to_default_device(numbers)
        optimizer.step(numbers[1:-1] if cut else numbers)
    for p, q in zip(runs[0][0], runs[1][0], strict=True):
        assert (p.numpy() == q.numpy()).all()


def test_messages():
    params, optimizer = make("SGD")
    numbers = to_default_device(np.ones((2, 2), np.float32))
    give(params, 0)
    with pytest.raises(RuntimeError, match=r"SGD: step\(numbers\) comes behind next_numbers\(\)"):
        optimizer.step(numbers)
    params[1].grad = None
    optimizer.step()
    with pytest.raises(RuntimeError, match="SGD: parameters of group 0 have taken different"):
        optimizer.next_numbers()
    params, optimizer = make("Adam", flat=True)
    give(params, 0)
    params[1].grad = None
    numbers = to_default_device(optimizer.next_numbers())
    with pytest.raises(
        RuntimeError, match="needs a gradient for each parameter; 1 of 2 in group 0"
    ):
        optimizer.step(numbers)


@pytest.mark.parametrize("flat", [False, True])
def test_what_the_last_group_lacks_is_seen_before_the_first_is_changed(flat):
    params, optimizer = make("Adam", flat)
    params += [Tensor(np.ones(2), requires_grad=True) for _ in range(2)]
    optimizer.add_param_group({"params": params[3:]})
    give(params, 0)
    numbers = to_default_device(optimizer.next_numbers())
    params[4].grad = None
    before = [p.numpy().copy() for p in params]
    with pytest.raises(RuntimeError, match="each parameter; 1 of 2 in group 2 have none"):
        optimizer.step(numbers)
    assert all((p.numpy() == was).all() for p, was in zip(params, before, strict=True))

    optimizer.step()  # of all but one
    saved = optimizer.state_dict()
    with pytest.raises(RuntimeError, match="parameters of group 2 have taken different"):
        optimizer.next_numbers()
    after = optimizer.state_dict()
    assert after.keys() == saved.keys()
    assert all(np.array_equal(after[name], saved[name]) for name in saved)
