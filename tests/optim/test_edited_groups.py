"""Groups that a program edits by hand: what is remembered stays with its parameter, flat or not."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from minideconv import Tensor
from minideconv.backend import to_cpu
from minideconv.nn import Parameter
from minideconv.optim import SGD, Adagrad, Adam, RMSprop

OPTIMIZERS = {
    "SGD": lambda params: SGD(params, lr=0.1),
    "momentum": lambda params: SGD(params, lr=0.1, momentum=0.9),
    "Adam": lambda params: Adam(params, lr=0.1),
    "RMSprop": lambda params: RMSprop(params, lr=0.1, momentum=0.5),
    "Adagrad": lambda params: Adagrad(params, lr=0.1),
}
SHAPES = [(2, 3), (4,), (2, 3)]


def parameter(shape, seed=0):
    return Parameter(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def step(optimizer, params, t):
    for number, p in enumerate(params):
        p.grad = Tensor(np.full(p.shape, np.sin(3 * t + number), np.float32))
    optimizer.step()


def pop_first(group, params):
    group["params"].pop(0)
    return params[1:]


def turn_round(group, params):
    group["params"].reverse()
    return params


def append(group, params):
    group["params"].append(parameter((5,), 9))
    return [*params, group["params"][-1]]


def replace(group, params):
    group["params"][1] = parameter((3, 3), 9)
    return [params[0], group["params"][1], params[2]]


def tuple_of_two(group, params):
    group["params"] = (params[2], params[0])
    return [params[0], params[2]]


EDITS = [pop_first, turn_round, append, replace, tuple_of_two]


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_parameter_goes_on_as_if_it_were_alone(name, flat, edit):
    """PyTorch keeps states by parameter, too: its numbers are in tests/oracles."""
    params = [parameter(shape, n) for n, shape in enumerate(SHAPES)]
    optimizer = OPTIMIZERS[name](params)
    if flat:
        optimizer.flatten()
    for t in range(3):
        step(optimizer, params, t)
    left = edit(optimizer.param_groups[0], params)
    gone = [(p, p.numpy().copy()) for p in params if all(p is not q for q in left)]
    alone = []
    for p in left:
        twin = Parameter(p.numpy().copy())
        alone.append((twin, OPTIMIZERS[name]([twin])))
        number = next((n for n, old in enumerate(params) if old is p), None)
        if number in optimizer.state:
            alone[-1][1].state[0] = copy.deepcopy(optimizer.state[number])
    for t in range(3, 6):
        step(optimizer, left, t)
        for number, (twin, its) in enumerate(alone):
            twin.grad = Tensor(np.full(twin.shape, np.sin(3 * t + number), np.float32))
            its.step()
    for p, (twin, _) in zip(left, alone, strict=True):
        np.testing.assert_allclose(p.numpy(), twin.numpy(), rtol=1e-6)
    for p, before in gone:
        np.testing.assert_array_equal(p.numpy(), before)
    fresh = OPTIMIZERS[name](list(optimizer.param_groups[0]["params"]))
    fresh.load_state_dict(optimizer.state_dict())  # numbered in the new order
    for number, state in optimizer.state.items():
        for key, value in state.items():
            np.testing.assert_array_equal(to_cpu(value), to_cpu(fresh.state[number][key]))


@pytest.mark.parametrize("flat", [False, True])
def test_groups_may_change_places_and_be_emptied(flat):
    params = [parameter((2,), n) for n in range(3)]
    optimizer = SGD([{"params": [p], "lr": 0.1 * n} for n, p in enumerate(params)], 1, momentum=0.9)
    if flat:
        optimizer.flatten()
    step(optimizer, params, 0)
    kept = [to_cpu(optimizer.state[n]["momentum_buffer"]).copy() for n in range(3)]
    optimizer.param_groups.reverse()
    optimizer.param_groups[1]["params"].clear()
    optimizer.zero_grad()
    assert list(optimizer.state_dict()) == list(optimizer.state_dict())
    np.testing.assert_array_equal(to_cpu(optimizer.state[0]["momentum_buffer"]), kept[2])
    np.testing.assert_array_equal(to_cpu(optimizer.state[1]["momentum_buffer"]), kept[0])
    step(optimizer, [params[0], params[2]], 1)
    assert optimizer.next_numbers().shape == (3, 2)


@pytest.mark.parametrize("flat", [False, True])
def test_what_cannot_be_optimised_is_named(flat):
    def new():
        optimizer = SGD([parameter((2,)), parameter((3,))], lr=0.1, momentum=0.9)
        if flat:
            optimizer.flatten()
        step(optimizer, optimizer.param_groups[0]["params"], 0)
        return optimizer, optimizer.param_groups[0]["params"]

    optimizer, params = new()
    optimizer.param_groups.append({"params": [parameter((1,))]})
    with pytest.raises(ValueError, match=r"SGD: param_groups\[1\] .* has no 'dampening'; call add"):
        optimizer.step()
    optimizer, params = new()
    params.append(params[0])
    with pytest.raises(ValueError, match=r"SGD: a parameter of shape \(2,\) is in params twice"):
        optimizer.step()
    optimizer, params = new()
    params[0] = np.ones(2)
    with pytest.raises(TypeError, match="SGD: params has a ndarray; all of it must be parameters"):
        optimizer.step()
    optimizer, params = new()
    params.clear()
    with pytest.raises(ValueError, match="SGD: param_groups has no parameters left"):
        optimizer.step()


def test_an_array_of_another_shape_is_refused_before_anything_changes():
    first, second = parameter((2,)), parameter((3,))
    optimizer = SGD([first, second], lr=0.1, momentum=0.9)
    step(optimizer, [first, second], 0)
    before = first.numpy().copy()
    second.data = np.ones(5, np.float32)
    with pytest.raises(
        ValueError, match=r"momentum_buffer of parameter 1 has shape \(3,\) but the"
    ):
        optimizer.step()
    np.testing.assert_array_equal(first.numpy(), before)


@pytest.mark.parametrize("flat", [False, True])
def test_copies(flat):
    """`copy.copy` is one more optimiser of the same parameters; deep copies are of their own."""
    params = [parameter((2,)), parameter((3,))]
    optimizer = SGD(params, lr=0.1, momentum=0.9)
    if flat:
        optimizer.flatten()
    step(optimizer, params, 0)
    same = copy.copy(optimizer)
    assert same.param_groups is optimizer.param_groups
    before = params[0].numpy().copy()
    step(optimizer, params, 1)
    step(same, params, 2)
    assert (params[0].numpy() != before).all()
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        theirs = other.param_groups[0]["params"]
        before = params[0].numpy().copy()
        theirs.reverse()
        step(other, theirs, 3)
        np.testing.assert_array_equal(params[0].numpy(), before)
        assert other.state[0]["momentum_buffer"].shape == (3,)
    step(optimizer, params, 3)
