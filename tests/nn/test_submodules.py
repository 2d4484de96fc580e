"""Modules inside modules: by name, in several places, inside themselves, and in a `ModuleList`."""

from __future__ import annotations

import copy
import pickle
from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest

from minideconv import nn
from minideconv.autograd import Tensor
from minideconv.nn import BatchNorm2d, Linear, Module, ModuleList, ReLU, Sequential

ONES = np.ones((3, 2), np.float32)


def names(net, **options):
    return [name for name, _ in net.named_modules(**options)]


def shared():
    """A net with one ReLU and one normalisation in two places each."""
    relu, bn = ReLU(), BatchNorm2d(2)
    inner = Sequential(bn, relu)
    return Sequential(relu, inner, Sequential(inner, bn))


def test_a_module_in_several_places_is_listed_once_or_under_all_its_names():
    net = shared()
    assert names(net) == ["", "0", "1", "1.0", "2"]
    assert names(net, prefix="net") == ["net", "net.0", "net.1", "net.1.0", "net.2"]
    assert names(net, remove_duplicate=False) == [
        *("", "0", "1", "1.0", "1.1", "2", "2.0", "2.0.0", "2.0.1", "2.1"),
    ]
    assert len(list(net.modules())) == len(set(net.modules())) == 5
    assert [name for name, _ in net.named_children()] == ["0", "1", "2"]


def test_the_state_of_a_module_in_several_places_has_the_names_it_always_had():
    """Parameters under the first, buffers under all: states that were saved before still load."""
    net = shared()
    buffers = [
        f"{where}.{name}"
        for where in ("1.0", "2.0.0", "2.1")
        for name in ("running_mean", "running_var", "num_batches_tracked")
    ]
    assert list(net.state_dict()) == ["1.0.weight", "1.0.bias", *buffers]
    net.load_state_dict(net.state_dict())


class Pair(Module):
    """Two modules that have each other and the net that they are in as attributes."""

    def __init__(self):
        super().__init__()
        self.a, self.b = Linear(2, 2), BatchNorm2d(2)
        self.a.other, self.b.other = self.b, self.a
        self.a.net = self.myself = self

    def forward(self, x):
        return self.b(self.a(x))


def test_modules_that_hold_each_other_end():
    net = Pair()
    assert names(net) == ["", "a", "a.other"]
    assert names(net, remove_duplicate=False) == ["", "a", "a.other", "b", "b.other"]
    assert [name for name, _ in net.named_parameters()] == [
        *("a.weight", "a.bias", "a.other.weight", "a.other.bias"),
    ]
    state = net.state_dict()
    assert {name.rpartition(".")[0] for name in state} == {"a", "a.other", "b"}
    other = Pair().eval().to(dtype=np.float64)
    other.load_state_dict(state)
    assert not other.a.training
    np.testing.assert_array_equal(other.a.weight.numpy(), net.a.weight.numpy())
    assert net.get_submodule("a.net.a.other") is net.b
    text = repr(net)
    assert "(myself): ..." in text
    assert text.count("Linear(2, 2") == text.count("BatchNorm2d(2") == 2
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin.myself is twin.a.net is twin
        assert twin(Tensor(ONES)).shape == (3, 2)
    net.again = [net, net.a]  # found by names of their own


def test_modules_are_found_and_replaced_by_name():
    net = Sequential(Linear(2, 2), Sequential(ReLU(), Linear(2, 1)))
    for name, module in net.named_modules():
        assert net.get_submodule(name) is module
    before = names(net)
    net.set_submodule("1.0", tanh := Tanh())
    assert net.get_submodule("1.0") is net[1][0] is tanh
    assert names(net) == before  # and in its place
    x = np.array([[1.0, -2.0]], np.float32)
    wanted = net[1][1](Tensor(np.tanh(net[0](Tensor(x)).numpy()))).numpy()
    np.testing.assert_allclose(net(Tensor(x)).numpy(), wanted, rtol=1e-6)
    assert net.get_parameter("1.1.weight") is net[1][1].weight
    assert net[0].get_parameter("bias") is net[0].bias


class Tanh(Module):
    def forward(self, x):
        return x.tanh()


def test_every_place_of_a_shared_module_can_be_replaced():
    net = shared()
    for name, module in list(net.named_modules(remove_duplicate=False)):
        if isinstance(module, ReLU):
            net.set_submodule(name, Tanh())
    assert not any(isinstance(module, ReLU) for module in net.modules())


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("2", "called '2': this Sequential has no module '2'; it has 0, 1$"),
        ("1.first.2", "called '1.first.2': '1', a Sequential, has no module 'first'; it has 0, 1$"),
        ("1.0.x", "called '1.0.x': '1.0', a ReLU, has no module 'x'; it has none$"),
        ("0.weight", "called '0.weight': '0', a Linear, has no module 'weight'; it has none$"),
        ("0.", "called '0.': '0', a Linear, has no module ''; it has none$"),
        (".", "called '.': this Sequential has no module ''; it has 0, 1$"),
        ("append", "called .append.: this Sequential has no module 'append'"),
    ],
)
def test_an_unknown_name_is_an_error_with_the_known_ones(target, message):
    net = Sequential(Linear(2, 2), Sequential(ReLU(), Linear(2, 1)))
    for call in (net.get_submodule, lambda name: net.set_submodule(name, ReLU())):
        with pytest.raises(AttributeError, match=f"^no module is {message}"):
            call(target)
    assert len(names(net)) == 5


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("0.wait", "called '0.wait': '0', a Linear, has no parameter 'wait'; it has weight, bias"),
        ("2.weight", "this Sequential has no module '2'; it has 0, 1"),
        ("1", "called '1': this Sequential has no parameter '1'; it has none"),
        ("", "this Sequential has no parameter ''"),
        ("1.running_mean", "'1', a BatchNorm2d, has no parameter 'running_mean'; it has weight, b"),
    ],
)
def test_a_name_of_no_parameter(target, message):
    net = Sequential(Linear(2, 2), BatchNorm2d(2))
    with pytest.raises(AttributeError, match=rf"^no \w+ is .*{message}"):
        net.get_parameter(target)


def test_what_cannot_be_put_in_a_place():
    net = Sequential(Linear(2, 2))
    with pytest.raises(ValueError, match=r"^Sequential.set_submodule: the name is empty; a module"):
        net.set_submodule("", ReLU())
    for wrong in (None, len, net[0].weight, ReLU):
        kind = type(wrong).__name__
        message = rf"^Sequential.set_submodule: '0' must be a Module, not a {kind}"
        with pytest.raises(TypeError, match=message):
            net.set_submodule("0", wrong)
    assert isinstance(net[0], Linear)


@pytest.mark.parametrize("dtype", [int, "uint8", bool, complex, np.int64, object])
def test_weights_become_floating_point_numbers_or_stay(dtype):
    net = Sequential(Linear(2, 2), BatchNorm2d(2))
    before = {name: array.dtype for name, array in net.arrays().items()}
    name = np.dtype(dtype)
    with pytest.raises(TypeError, match=rf"^Sequential: to\(\) got dtype {name}; weights can only"):
        net.to(dtype=dtype)
    assert {name: array.dtype for name, array in net.arrays().items()} == before
    assert net.to(dtype=float)[0].weight.dtype == np.float64


def test_a_list_of_modules_is_found_learned_and_saved():
    class Net(Module):
        def __init__(self):
            super().__init__()
            self.layers = ModuleList(Linear(2, 2) for _ in range(2))

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    net = Net()
    net.layers.append(extra := Linear(2, 1))
    net.layers.extend([])
    assert names(net) == ["", "layers", "layers.0", "layers.1", "layers.2"]
    assert list(net.state_dict())[-2:] == ["layers.2.weight", "layers.2.bias"]
    assert (len(net.layers), net.layers[2], net.layers[-1]) == (3, extra, extra)
    net(Tensor(ONES)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    net.layers[-1] = ReLU()
    assert isinstance(net.layers[2], ReLU)
    assert len(list(net.parameters())) == 4
    with pytest.raises(IndexError):
        net.layers[3] = ReLU()
    with pytest.raises(NotImplementedError, match="ModuleList does not define forward"):
        net.layers(ONES)


def test_appending_behind_a_gap_replaces_nothing():
    net = Sequential(ReLU(), ReLU(), last := Linear(2, 2))
    delattr(net, "0")
    net.append(Linear(2, 1))
    assert names(net) == ["", "1", "2", "3"]
    assert net[1] is last
    assert net(Tensor(ONES)).shape == (3, 1)


@pytest.mark.parametrize("wrong", [None, 3, [ReLU()], ReLU])
def test_a_list_takes_modules_alone(wrong):
    kind = type(wrong).__name__
    net = ModuleList([ReLU()])
    for call in (
        lambda: net.append(wrong),
        lambda: net.__setitem__(0, wrong),
        lambda: ModuleList([wrong]),
        lambda: net.extend([wrong]),
    ):
        message = rf"^ModuleList: argument \d is a {kind}; each must be a Module .*ModuleList\(la"
        with pytest.raises(TypeError, match=message):
            call()
    assert len(net) == 1


@pytest.mark.parametrize(
    "hold",
    [
        lambda m: {m},
        lambda m: frozenset([m]),
        lambda m: [{1: {m}}],
        lambda m: deque([m]),
        lambda m: SimpleNamespace(first=[m]),
        lambda m: np.array([m, None], dtype=object),
    ],
)
def test_layers_in_a_set_would_be_lost_and_are_refused(hold):
    module = Module()
    with pytest.raises(TypeError, match=r"with a Linear in it, .* use ModuleList\(layers\) or Seq"):
        module.layers = hold(Linear(2, 2))
    module.names = {"a", "b"}


@pytest.mark.parametrize("name", ["_hooks", "append", "get_submodule"])
def test_names_that_the_module_needs(name):
    with pytest.raises(ValueError, match="is what the module itself needs"):
        setattr(ModuleList(), name, ReLU())


def test_sequential_is_still_made_of_its_arguments():
    net = Sequential(ReLU(), Linear(2, 1))
    net[0] = nn.Dropout(0.0)
    assert [type(layer).__name__ for layer in net] == ["Dropout", "Linear"]
    assert Sequential()(3) == 3


def test_module_dict_is_a_dict_that_learns_and_is_saved():
    heads = nn.ModuleDict({"shape": Linear(2, 3), "size": Linear(2, 1)})
    heads["size"] = replaced = Linear(2, 4)
    heads.update([("colour", ReLU())])
    assert list(heads) == list(heads.keys()) == ["shape", "size", "colour"]
    assert len(heads) == 3
    assert "size" in heads
    assert "weight" not in heads
    assert heads["size"] is replaced
    assert [m for _, m in heads.items()] == list(heads.values()) == list(heads.children())
    assert list(heads.state_dict()) == ["shape.weight", "shape.bias", "size.weight", "size.bias"]
    assert len(list(copy.deepcopy(heads).parameters())) == 4
    del heads["shape"]
    assert names(heads) == ["", "size", "colour"]
    assert list(pickle.loads(pickle.dumps(heads))) == ["size", "colour"]


def test_module_dict_refuses_what_it_cannot_hold():
    heads = nn.ModuleDict()
    with pytest.raises(TypeError, match="ModuleDict: 'a' is a list; names must be strings"):
        heads["a"] = [ReLU()]
    with pytest.raises(TypeError, match="ModuleDict: 1 is a ReLU; names must be strings"):
        heads[1] = ReLU()
    for name in ("a.b", "", "forward"):
        with pytest.raises(ValueError, match="ModuleDict"):
            heads[name] = ReLU()
    with pytest.raises(KeyError, match="missing"):
        del heads["missing"]
    assert len(heads) == 0
