"""An attribute of a module is one thing: what is called is what is listed, saved and printed."""

from __future__ import annotations

import copy
import pickle
from itertools import permutations

import numpy as np
import pytest

from minideconv import nn
from minideconv.autograd import Tensor
from minideconv.nn import Linear, Module, Parameter, ReLU, Sequential

ARRAY = np.ones(2, np.float32)
KINDS = {
    "none": lambda: None,
    "number": lambda: 3,
    "tensor": lambda: Tensor(ARRAY),
    "array": lambda: ARRAY.copy(),
    "parameter": lambda: Parameter(ARRAY),
    "module": lambda: Linear(2, 2),
}
TAKES_THE_PLACE = {"none", "parameter", "module"}  # of a parameter or a module


def listed(module, name):
    """Return what the three lists of a module say that the attribute is."""
    found = [one for key, one in module.named_parameters() if key == name]
    found += [one for key, one in module.named_buffers() if key == name]
    return found + [one for key, one in module.named_modules() if key == name]


def holds(module, name, value):
    """Assert that the attribute is `value`, wherever one looks."""
    assert getattr(module, name) is value
    registered = isinstance(value, Parameter | Module)
    assert listed(module, name) == ([value] if registered else [])
    assert (f"({name}):" in repr(module)) == isinstance(value, Module)
    assert (name in module.state_dict()) == isinstance(value, Parameter)


@pytest.mark.parametrize("order", list(permutations(KINDS, 2)), ids="-".join)
def test_the_last_assignment_wins_or_is_refused(order):
    module = Module()
    first, second = (KINDS[kind]() for kind in order)
    module.it = first
    holds(module, "it", first)
    if order[0] in ("parameter", "module") and order[1] not in TAKES_THE_PLACE:
        kind = {"parameter": "Parameter", "module": "Module"}[order[0]]
        with pytest.raises(TypeError, match=f"'it' is a {kind}; it may become a Parameter, a Mod"):
            module.it = second
        holds(module, "it", first)
        del module.it
    module.it = second
    holds(module, "it", second)
    module.it = None if order[1] in TAKES_THE_PLACE else second
    module.it = first
    holds(module, "it", first)


def test_a_layer_that_was_none_is_called():
    class Net(Module):
        def __init__(self, down):
            super().__init__()
            self.down = None
            if down:
                self.down = Linear(2, 2, bias=False)

        def forward(self, x):
            return x if self.down is None else self.down(x)

    net = Net(down=True)
    net.down.weight.data[...] = 2
    np.testing.assert_array_equal(net(Tensor(ARRAY)).numpy(), [4, 4])
    net.down = None
    np.testing.assert_array_equal(net(Tensor(ARRAY)).numpy(), ARRAY)
    assert net.state_dict() == {}
    assert Net(down=False)(Tensor(ARRAY)).shape == (2,)


def test_a_class_attribute_does_not_hide_a_layer():
    class Net(Module):
        down = weight = running = None

        def __init__(self):
            super().__init__()
            self.down, self.weight = ReLU(), Parameter(ARRAY)
            self.register_buffer("running", ARRAY.copy())

    net = Net()
    assert isinstance(net.down, ReLU)
    assert isinstance(net.weight, Parameter)
    np.testing.assert_array_equal(net.state_dict()["running"], ARRAY)
    assert net.running is dict(net.named_buffers())["running"]
    del net.down
    assert net.down is None  # the class's again
    assert "(down)" not in repr(net)


def test_buffers_stay_arrays_under_their_name():
    module = Module()
    module.running = None
    tensor = Tensor(ARRAY)
    module.register_buffer("running", tensor)
    assert module.running is tensor.data
    module.register_buffer("running", ARRAY.copy())
    assert list(module.state_dict()) == ["running"]
    module.running = new = np.zeros(3, np.float32)
    assert listed(module, "running")[0] is new
    assert module.running is new
    module.running = np.float64(4)
    assert module.state_dict()["running"].shape == ()
    module.running = tensor = Tensor(new)
    assert module.running is tensor.data
    for wrong in (Tensor(ARRAY, requires_grad=True), None):
        with pytest.raises(TypeError, match="'running' is a buffer, which "):
            module.running = wrong
    for wrong in (None, 3, [1.0]):
        with pytest.raises(TypeError, match=r"'running' is a buffer, which must be an array, not"):
            module.running = wrong
        with pytest.raises(TypeError, match="'other' is a buffer, which must be an array, not a"):
            module.register_buffer("other", wrong)
    module.running = parameter = Parameter(ARRAY)
    holds(module, "running", parameter)
    with pytest.raises(TypeError, match="'running' is a Parameter; it may become a Parameter, a "):
        module.register_buffer("running", ARRAY.copy())
    holds(module, "running", parameter)
    del module.running
    module.register_buffer("running", ARRAY.copy())
    assert not list(module.parameters())
    del module.running
    assert module.state_dict() == {}
    module.running = 3  # a plain attribute now


class Named(Module):
    kind = ReLU  # may be replaced by one

    def forward(self, x):
        return x

    @property
    def width(self):
        return 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "a name must not be empty, nor have dots"),
        ("a.weight", "a name must not be empty, nor have dots"),
        (".", "a name must not be empty, nor have dots"),
        *[
            (name, "is what the module itself needs, .* choose another name")
            for name in ("training", "forward", "width", "parameters", "_modules", "__call__")
        ],
    ],
)
def test_names_under_which_something_would_be_lost_are_refused(name, message):
    module = Named()
    module.a = Linear(2, 2)
    before = dict(vars(module))
    for value in (Parameter(ARRAY), ReLU()):
        with pytest.raises(ValueError, match=f"Named: '{name}' .*{message}"):
            setattr(module, name, value)
    with pytest.raises(ValueError, match=f"Named: '{name}' .*{message}"):
        module.register_buffer(name, ARRAY.copy())
    assert vars(module) == before
    assert list(module.state_dict()) == ["a.weight", "a.bias"]


def test_names_that_are_free():
    module = Named()
    module.kind = module.kind()
    assert isinstance(module.kind, ReLU)
    with pytest.raises(TypeError, match="'kind' is a Module; it may become a Parameter, a Module"):
        module.register_buffer("kind", ARRAY.copy())
    module.forward = lambda x: 2 * x  # no parameter, no module: as in any object
    np.testing.assert_array_equal(module(ARRAY), 2 * ARRAY)


def test_deleting():
    module = Sequential(ReLU(), Linear(2, 2))
    module.scale = Parameter(ARRAY)
    for name in ("scale", "1"):
        delattr(module, name)
        assert not hasattr(module, name)
        with pytest.raises(AttributeError):
            delattr(module, name)
    assert len(module) == 1
    assert not list(module.parameters())


def test_copies_and_pickles_are_whole():
    net = Sequential(Linear(2, 2), nn.BatchNorm2d(2))
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert list(other.state_dict()) == list(net.state_dict())
        assert other[0].weight is not net[0].weight
    other = copy.copy(net[1])
    del other.running_mean
    assert "running_mean" in net[1].state_dict()


@pytest.mark.parametrize("name", ["BatchNorm2d", "Conv2d", "ConvTranspose2d"])
def test_pickles_find_layers_that_have_moved(name):
    assert pickle.loads(f"cminideconv.nn.layers\n{name}\n.".encode()) is getattr(nn, name)


@pytest.mark.parametrize(
    "wrong", [[ReLU(), ReLU()], (ReLU(),), {"a": ReLU()}, None, len, ReLU, Tensor(ARRAY)]
)
def test_sequential_takes_modules_alone(wrong):
    kind = type(wrong).__name__
    message = (
        rf"Sequential: argument 1 is a {kind}; each must be a Module .* Sequential\(\*layers\)"
    )
    with pytest.raises(TypeError, match=message):
        Sequential(ReLU(), wrong)


@pytest.mark.parametrize(
    "hold",
    [
        lambda layer: [layer],
        lambda layer: (3, layer),
        lambda layer: {"a": layer},
        lambda layer: [[layer]],
        lambda layer: {"a": [layer.weight]},
    ],
)
def test_layers_in_a_list_would_be_lost_and_are_refused(hold):
    module, layer = Module(), Linear(2, 2)
    message = r"'layers' is a \w+ with a (Linear|Parameter) in it, which would be neither learned"
    with pytest.raises(TypeError, match=message):
        module.layers = hold(layer)
    module.layer = layer
    module.layers = hold(layer)  # found by its own name
    assert len(list(module.parameters())) == 2
    module.sizes = [3, (4, 5), {"a": 6}]


def test_forgetting_super_init_is_explained_wherever_it_shows():
    class Hasty(Module):
        def __init__(self, kind):
            if kind == "buffer":
                self.register_buffer("running", ARRAY)
            self.layer = ReLU() if kind == "module" else 3

        def forward(self, x):
            return x if self.training else 2 * x

    for kind in ("buffer", "module"):
        with pytest.raises(RuntimeError, match=r"Hasty: call super\(\).__init__\(\) before"):
            Hasty(kind)
    with pytest.raises(AttributeError, match=r"no attribute 'training'; call super\(\).__init__"):
        Hasty("plain")(1)


def test_the_order_is_that_of_first_assignment():
    module = Module()
    module.a = None
    module.b = Linear(1, 1, bias=False)
    module.a = Parameter(ARRAY)
    module.b = None
    module.c = Parameter(ARRAY)
    module.b = Parameter(ARRAY)
    assert [name for name, _ in module.named_parameters()] == ["a", "b", "c"]
