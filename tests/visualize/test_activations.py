"""`activations`: what every module of any network computes, by name and in order."""

from __future__ import annotations

import numpy as np
import pytest

import minideconv as md
from minideconv import functional as F
from minideconv import nn
from minideconv.autograd import Tensor
from minideconv.backend import device_of, get_default_device, to_cpu
from minideconv.models import deconvnet
from minideconv.visualize import activations

X = np.random.default_rng(0).standard_normal((2, 3, 8, 9)).astype(np.float32)


class Own(nn.Module):
    """A user's network: nested, with a module in two places, one called twice and one never."""

    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU()
        self.down = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), self.relu)
        self.pool, self.unpool = nn.MaxPool2d(2, return_switches=True), nn.MaxUnpool2d()
        self.spare = nn.Dropout()
        self.up = nn.ModuleList([nn.ConvTranspose2d(4, 4, 1), nn.ConvTranspose2d(4, 2, 1)])

    def forward(self, x, scale=1.0):
        x, switches = self.pool(self.down(x))
        x = self.unpool(x, switches)
        for layer in self.up:
            x = self.relu(layer(x))
        x *= 10.0  # in place: what the ReLU returned is this array
        return x * scale


NAMES = (
    *("down.0", "down.1", "relu", "down", "pool", "unpool"),
    *("up.0", "relu#2", "up.1", "relu#3", ""),
)


def net_of_mine():
    net = Own()
    net.to(get_default_device())
    return net.eval()


def test_every_call_has_an_entry_in_the_order_of_computation():
    net = net_of_mine()
    seen = activations(net, X)
    assert tuple(seen) == NAMES
    x = {"": X}
    with md.no_grad():
        x["down.0"] = net.down[0](Tensor(X))
        x["down.1"] = net.down[1](x["down.0"])
        x["relu"] = x["down"] = F.relu(x["down.1"])
        x["pool"], switches = net.pool(x["relu"])
        x["unpool"] = net.unpool(x["pool"], switches)
        x["up.0"] = net.up[0](x["unpool"])
        x["relu#2"] = F.relu(x["up.0"])
        x["up.1"] = net.up[1](x["relu#2"])
        x["relu#3"] = F.relu(x["up.1"])
        x[""] = x["relu#3"] * 10.0
    for name, array in seen.items():
        np.testing.assert_allclose(to_cpu(array), x[name].numpy(), rtol=1e-5, atol=1e-6)
        assert device_of(array) == device_of(net.down[0].weight.data)


def test_nothing_of_the_network_changes():
    net = net_of_mine()
    mine = []
    net.relu.register_forward_hook(lambda *call: mine.append(call))
    net.spare.train()
    before, modes = net.state_dict(), [module.training for module in net.modules()]
    activations(net, X)
    assert [module.training for module in net.modules()] == modes
    assert all((value == before[name]).all() for name, value in net.state_dict().items())
    assert [len(module._hooks) for module in net.modules() if module._hooks] == [1]
    assert len(mine) == 3  # a hook of the user's is called, and still there
    assert not any(output.requires_grad for *_, output in mine)
    assert md.is_grad_enabled()


def test_a_hook_that_changes_an_output_shows():
    net = net_of_mine()
    net.down.register_forward_hook(lambda module, args, output: output * 0.0)
    seen = activations(net, X)
    assert (to_cpu(seen["relu"]) != 0).any()
    assert not to_cpu(seen["down"]).any()


def test_hooks_are_taken_away_after_an_error_too():
    net = net_of_mine()
    with pytest.raises(ValueError, match="conv2d: x has 2 channels"):
        activations(net, X[:, :2])
    assert not any(module._hooks for module in net.modules())
    assert md.is_grad_enabled()


def test_only_some_layers():
    net = net_of_mine()
    every = activations(net, X)
    seen = activations(net, X, layers=["up.1", "down", "", "spare"])
    assert list(seen) == ["down", "up.1", ""]
    for name, array in seen.items():
        np.testing.assert_allclose(to_cpu(array), to_cpu(every[name]), rtol=1e-6)
    with pytest.raises(
        AttributeError, match=r"no module is called 'up.2': 'up', a ModuleList, has"
    ):
        activations(net, X, layers=["up.0", "up.2"])
    assert not any(module._hooks for module in net.modules())


def test_tensors_numbers_and_several_inputs():
    net = net_of_mine()
    twice = activations(net, Tensor(X), 2.0)[""]
    np.testing.assert_array_equal(to_cpu(twice), 2 * to_cpu(activations(net, X)[""]))


@pytest.mark.parametrize("returned", [lambda x: (3, x, x * 2.0), lambda x: [x]])
def test_the_first_tensor_of_several_is_taken(returned):
    class Several(nn.Module):
        def forward(self, x):
            return returned(x)

    assert activations(Several(), np.float32([1, 2]))[""].tolist() == [1, 2]


def test_what_returns_no_tensor_has_no_entry():
    class Shape(nn.Module):
        def forward(self, x):
            return x.shape

    assert activations(Shape(), X) == {}


def test_a_name_that_is_taken():
    net = nn.Sequential(nn.ReLU())
    setattr(net, "0#2", nn.Dropout())
    setattr(net, "1", net[0])
    net.eval()
    assert list(activations(net, X)) == ["0", "0#2", "0#3", ""]


def test_what_is_inside_the_blocks_of_deconvnet():
    net = deconvnet(num_classes=3, width=2, input_size=8, fc=4, stages=2)
    net.to(get_default_device())
    net.eval()
    seen, layers = activations(net, X[:, :, :, :8]), net.activations(X[:, :, :, :8])
    inside = [f"conv1_1{part}" for part in (".layer", ".bn", ".relu", "")]
    assert list(seen)[:4] == inside
    assert [name for name in seen if name and "." not in name] == list(layers)
    for name, array in layers.items():
        np.testing.assert_allclose(to_cpu(seen[name]), to_cpu(array), rtol=1e-4, atol=1e-5)
    before, after = (to_cpu(seen[f"conv1_1.{part}"]) for part in ("bn", "relu"))
    assert before.min() < 0
    np.testing.assert_array_equal(after, np.maximum(before, 0))
