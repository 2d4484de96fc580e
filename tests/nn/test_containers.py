"""`Sequential` and `ModuleList` as lists: names, slices, and modules put in and taken out."""

from __future__ import annotations

import copy
import pickle
import re
from collections import OrderedDict

import numpy as np
import pytest

from minideconv import Tensor, nn
from minideconv.nn import Linear, ModuleList, ReLU, Sequential


def numbered(count: int) -> list[Linear]:
    return [Linear(1, width + 1) for width in range(count)]


def sizes(modules: ModuleList) -> list[tuple[str, int]]:
    return [(name, module.weight.shape[0]) for name, module in modules.named_children()]


@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_sequential_takes_names(kind):
    net = Sequential(kind(first=Linear(2, 3), relu=ReLU(), last=Linear(3, 1)))
    assert list(net.state_dict()) == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert net.first is net[0]
    x = Tensor(np.ones((1, 2), np.float32))
    np.testing.assert_array_equal(net(x).numpy(), net.last(net.relu(net.first(x))).numpy())
    net.append(ReLU())
    assert [name for name, _ in net.named_children()] == ["first", "relu", "last", "3"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({1: ReLU()}, "a module's name is 1; it must be a string"),
        ({"a": 3}, "argument 0 is a int; each must be a Module"),
        ({"a.b": ReLU()}, "'a.b' cannot name"),
        ({"forward": ReLU()}, "'forward' is what the module itself needs"),
    ],
)
def test_senseless_names_are_refused(names, message):
    with pytest.raises((TypeError, ValueError), match="^Sequential: " + re.escape(message)):
        Sequential(names)


def test_a_slice_of_a_sequential_keeps_names_and_of_a_list_does_not():
    layers = numbered(4)
    net, held = Sequential(*layers), ModuleList(layers)
    assert sizes(net[1:3]) == [("1", 2), ("2", 3)]
    assert sizes(held[1:3]) == [("0", 2), ("1", 3)]
    assert sizes(net[::-2]) == [("3", 4), ("1", 2)]
    assert type(net[1:]) is Sequential
    assert type(held[1:]) is ModuleList
    assert net[1:][0] is layers[1]
    net[1:].load_state_dict({k: v for k, v in net.state_dict().items() if k[0] != "0"})


def test_what_is_added_to_a_slice_takes_no_name_from_it():
    rest = Sequential(*numbered(3))[1:]
    rest.append(Linear(1, 9))
    assert sizes(rest) == [("1", 2), ("2", 3), ("3", 9)]


def test_a_slice_is_a_container_of_its_own():
    class Named(Sequential):
        def __init__(self, width):
            super().__init__(Linear(1, width), ReLU())

    net = Named(3)
    part = net[:1]
    assert type(part) is Named
    part.append(ReLU())
    assert len(net) == 2
    for again in (copy.deepcopy(part), pickle.loads(pickle.dumps(Sequential(*part)))):
        assert [type(module) for module in again] == [Linear, ReLU]


@pytest.mark.parametrize("kind", [ModuleList, lambda modules: Sequential(*modules)])
def test_modules_are_put_in_and_taken_out(kind):
    modules = kind(numbered(3))
    modules.insert(1, Linear(1, 7))
    assert sizes(modules) == [("0", 1), ("1", 7), ("2", 2), ("3", 3)]
    assert modules.pop().weight.shape == (3, 1)
    assert modules.pop(0).weight.shape == (1, 1)
    assert sizes(modules) == [("0", 7), ("1", 2)]
    del modules[-1]
    assert sizes(modules) == [("0", 7)]
    assert list(modules.state_dict()) == ["0.weight", "0.bias"]
    modules.extend(numbered(4))
    del modules[1::2]
    assert sizes(modules) == [("0", 7), ("1", 2), ("2", 4)]
    modules.insert(-99, Linear(1, 5))
    assert sizes(modules)[0] == ("0", 5)


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda m: m[2], IndexError, "there is no module 2; it has 2"),
        (lambda m: m[-3], IndexError, "there is no module -3; it has 2"),
        (lambda m: m.pop(5), IndexError, "there is no module 5; it has 2"),
        (lambda m: m.__delitem__(2), IndexError, "there is no module 2; it has 2"),
        (lambda m: m.__setitem__(2, ReLU()), IndexError, "there is no module 2; it has 2"),
        (lambda m: m["a"], TypeError, "the index is 'a'; it must be an integer or a slice"),
        (lambda m: m.insert(0, None), TypeError, "argument 0 is a NoneType; each must be"),
        (lambda m: m.__setitem__(0, len), TypeError, "argument 0 is a builtin_function_or_method"),
    ],
)
def test_a_mistake_is_a_sentence_and_changes_nothing(act, error, message):
    modules = ModuleList(numbered(2))
    with pytest.raises(error, match="^ModuleList: " + re.escape(message)):
        act(modules)
    assert sizes(modules) == [("0", 1), ("1", 2)]


def test_pytorch_names_them_alike():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (group oracles)")
    named = OrderedDict(a=1, b=2, c=3)
    ours = Sequential({k: nn.Linear(1, v) for k, v in named.items()})
    theirs = torch.nn.Sequential(OrderedDict((k, torch.nn.Linear(1, v)) for k, v in named.items()))
    assert list(ours[1:].state_dict()) == list(theirs[1:].state_dict())
    ours, theirs = Sequential(*numbered(4)), torch.nn.Sequential(*map(as_torch, numbered(4)))
    assert list(ours[2:].state_dict()) == list(theirs[2:].state_dict())
    for one, other in ((ours, nn.Linear(1, 6)), (theirs, torch.nn.Linear(1, 6))):
        one.insert(2, other)
        del one[0]
        one.append(one.pop(1))
    assert sizes(ours) == [(k, v.weight.shape[0]) for k, v in theirs.named_children()]


def as_torch(layer: Linear):
    import torch

    return torch.nn.Linear(layer.weight.shape[1], layer.weight.shape[0])
