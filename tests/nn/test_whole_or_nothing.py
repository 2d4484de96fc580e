"""Loading and filling containers: all of it, or nothing and a sentence that names what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import Tensor, nn
from minideconv.optim import Adagrad, Adam, RMSprop


def test_parameters_and_tensors_are_values_of_a_state():
    """As in PyTorch: ``net.load_state_dict(dict(other.named_parameters()))``."""
    net, other = (nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)) for _ in range(2))
    assert net.load_state_dict(dict(other.named_parameters())) == ([], [])
    for mine, its in zip(net.parameters(), other.parameters(), strict=True):
        assert mine.data is not its.data
        np.testing.assert_array_equal(mine.numpy(), its.numpy())
    net.load_state_dict({name: Tensor(array) for name, array in other.state_dict().items()})


@pytest.mark.parametrize("value", [2.7, np.nan, np.inf, 1e30, 2.0**63, np.uint64(2**63)])
def test_a_count_is_an_integer(value):
    net = nn.BatchNorm2d(2)
    before = net.state_dict()
    state = {name: array + 1 for name, array in before.items()}
    state["num_batches_tracked"] = np.array(value)
    with pytest.raises(ValueError, match="'num_batches_tracked' has numbers that are no int64"):
        net.load_state_dict(state)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("value", [0, 5.0, np.float32(7), np.int8(3), np.uint64(9), 2**63 - 1])
def test_integers_of_any_type_are_counts(value):
    net = nn.BatchNorm2d(2)
    net.load_state_dict({**net.state_dict(), "num_batches_tracked": np.array(value)})
    assert int(net.num_batches_tracked) == value


@pytest.mark.parametrize(
    "make",
    [
        lambda params: Adam(params),
        lambda params: Adam(params, amsgrad=True),
        lambda params: RMSprop(params, momentum=0.9, centered=True),
        lambda params: Adagrad(params),
    ],
)
def test_what_an_optimisers_state_lacks_is_named(make):
    net = nn.Linear(2, 3)
    optimizer = make(net.parameters())
    for p in net.parameters():
        p.grad = Tensor(np.ones(p.shape, np.float32))
    optimizer.step()
    state = optimizer.state_dict()
    for key in (key for key in state if key.startswith("state.")):
        other = make(nn.Linear(2, 3).parameters())
        with pytest.raises(ValueError, match=f"the saved state has no {key}"):
            other.load_state_dict({name: value for name, value in state.items() if name != key})
        assert other.state == {}


def test_a_list_of_modules_takes_all_or_none():
    layers = nn.ModuleList([nn.ReLU()])
    with pytest.raises(TypeError, match="ModuleList: argument 2 is a int"):
        layers.extend([nn.ReLU(), 3])
    assert len(layers) == 1
    layers.extend(layers)
    assert len(layers) == 2


@pytest.mark.parametrize(
    "last", [{"b": 3}, {"forward": nn.ReLU()}, {"b.c": nn.ReLU()}, {3: nn.ReLU()}]
)
def test_a_dict_of_modules_takes_all_or_none(last):
    first = nn.ReLU()
    modules = nn.ModuleDict({"a": first})
    with pytest.raises((TypeError, ValueError)):
        modules.update([("a", nn.Identity()), ("new", nn.ReLU()), *last.items()])
    assert list(modules.items()) == [("a", first)]
