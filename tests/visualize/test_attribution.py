"""Attribution: known answers, completeness, every network of the library, and nothing changed."""

from __future__ import annotations

import numpy as np
import pytest
from random_state import draw_state

from minideconv import functional as F
from minideconv import models, nn
from minideconv.backend import device_of, get_default_device, to_cpu, to_device
from minideconv.errors import UsageError
from minideconv.visualize import (
    RELU_RULES,
    at_unit,
    forward_to,
    grad_cam,
    gradient_times_input,
    integrated_gradients,
    project,
    saliency,
)
from minideconv.visualize.attribution import score

SMALL = {
    "deconvnet": {"width": 2, "input_size": (16, 20), "fc": 6, "stages": 3},
    "fcn32s": {"width": 2, "fc": 6, "fc_kernel": 3, "padding": "same"},
    "fcn16s": {"width": 2, "fc": 6, "fc_kernel": 3, "padding": "same", "batch_norm": "all"},
    "fcn8s": {"width": 2, "fc": 6, "fc_kernel": 3, "padding": "same"},
}


def network(name, seed=0):
    """A small network in float64 with drawn weights, and an image for it."""
    if name == "vgg16":
        net = models.vgg16(4, width=2, fc=6, input_size=(32, 40))
        size = (32, 40)
    else:
        net = models.build(name, {"num_classes": 4, **SMALL[name]})
        size = (16, 20) if name == "deconvnet" else (32, 40)
    net.to(dtype=np.float64)
    rng = np.random.default_rng(seed)
    draw_state(net, rng, keep=("upscore",))
    return net.to(get_default_device()), rng.standard_normal((2, 3, *size))


NETWORKS = [*SMALL, "vgg16"]


def output_seed(net, x, seed=1):
    """A drawn signal at the output, the same whatever the output is."""
    _, outputs = forward_to(net, x, "")
    drawn = np.random.default_rng(seed).standard_normal(outputs[""].shape)

    return lambda values: to_device(drawn, device_of(values))


@pytest.mark.parametrize("name", NETWORKS)
def test_saliency_is_the_derivative_of_the_score(name):
    """<R, v> = (F(x + h v) - F(x - h v)) / 2h, for a drawn direction v."""
    net, x = network(name)
    seed = output_seed(net, x)
    v = np.random.default_rng(2).standard_normal(x.shape)
    h = 1e-7  # so small that no ReLU and no switch changes
    up, down = (to_cpu(score(net, x + sign * h * v, "", seed)) for sign in (1, -1))
    gradient = to_cpu(saliency(net, x, "", seed))
    expected = (up - down) / (2 * h)
    found = (gradient * v).reshape(len(x), -1).sum(axis=1)
    assert np.abs(expected).min() > 1e-6
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rule", RELU_RULES)
def test_every_layer_of_every_network_is_projected(name, rule):
    net, x = network(name)
    layers = [each for each, child in net.named_children() if not isinstance(child, nn.Dropout)]
    for layer in layers:
        found = to_cpu(project(net, x, layer, at_unit(0), rule))
        assert found.shape == x.shape, layer
        assert np.isfinite(found).all(), layer


@pytest.mark.parametrize("name", NETWORKS)
def test_the_rules_differ_behind_the_whole_network(name):
    net, x = network(name)
    seed = output_seed(net, x)
    found = {rule: to_cpu(project(net, x, "", seed, rule)) for rule in RELU_RULES}
    scale = max(np.abs(signal).max() for signal in found.values())
    assert np.abs(found["gradient"] - found["deconvnet"]).max() > 1e-3 * scale
    assert np.abs(found["gradient"] - found["guided"]).max() > 1e-3 * np.abs(found["guided"]).max()
    assert np.abs(found["guided"] - found["deconvnet"]).max() > 1e-3 * scale


def test_nothing_of_the_network_changes():
    net, x = network("deconvnet")
    net.train()
    net.conv1_1.eval()
    net.fc6.layer.weight.requires_grad = False
    before = net.state_dict()
    modes = [module.training for module in net.modules()]
    learned = [p.requires_grad for p in net.parameters()]
    project(net, x, "unpool2", at_unit(1), "guided")
    with pytest.raises(UsageError):
        project(net, x, "unpool2", at_unit(99), "guided")
    assert [module.training for module in net.modules()] == modes
    assert [p.requires_grad for p in net.parameters()] == learned
    assert all((net.state_dict()[name] == value).all() for name, value in before.items())
    assert all(p.grad is None for p in net.parameters())
    assert not any(module._hooks for module in net.modules())


def test_what_is_behind_the_layer_is_not_computed():
    class Broken(nn.Module):
        def forward(self, x):
            raise AssertionError("computed")

    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), Broken()).to(get_default_device())
    x = np.ones((1, 3, 2, 4), np.float32)
    assert project(net, x, "1", at_unit(0)).shape == x.shape


def test_a_layer_that_is_not_there_or_not_computed():
    net, x = network("fcn8s")
    with pytest.raises(UsageError, match=r"layer is 'conv9_1'; FCN8s has .*conv1_1.*upscore8"):
        project(net, x, "conv9_1", at_unit(0))
    net.spare = nn.ReLU()
    with pytest.raises(UsageError, match="layer 'spare' computes nothing"):
        project(net, x, "spare", at_unit(0))


# ---- the methods on functions that can be worked out ---------------------------------------------


class Quadratic(nn.Module):
    """F(x) = sum of a x^2 + b x: the gradient is 2 a x + b."""

    def __init__(self, a, b):
        super().__init__()
        self.a, self.b = nn.Parameter(a), nn.Parameter(b)

    def forward(self, x):
        return (x * x * self.a + x * self.b).sum(axis=(2, 3))


def quadratic():
    rng = np.random.default_rng(5)
    a, b, x = rng.standard_normal((3, 1, 2, 3, 4))
    return Quadratic(a, b).to(get_default_device()), a, b, x


def test_gradient_times_input_of_a_quadratic():
    net, a, b, x = quadratic()
    found = to_cpu(gradient_times_input(net, x, "", at_unit(1, None, 1.0)))
    np.testing.assert_allclose(found[:, 1], (x * (2 * a * x + b))[:, 1], rtol=1e-12)
    assert (found[:, 0] == 0).all()


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_integrated_gradients_of_a_quadratic_are_exact(steps):
    """The gradient is linear on the way, so its value at the midpoint is its mean."""
    net, a, b, x = quadratic()
    start = np.random.default_rng(6).standard_normal(x.shape)
    seed = at_unit(0, None, 1.0)
    found = to_cpu(integrated_gradients(net, x, "", seed, start, steps))
    expected = a * (x**2 - start**2) + b * (x - start)
    np.testing.assert_allclose(found[:, 0], expected[:, 0], rtol=1e-10)
    zero = to_cpu(integrated_gradients(net, x, "", seed, steps=steps))
    np.testing.assert_allclose(zero[:, 0], (a * x**2 + b * x)[:, 0], rtol=1e-10)
    with pytest.raises(UsageError, match="steps is 0"):
        integrated_gradients(net, x, "", seed, steps=0)


@pytest.mark.parametrize("steps", [50, 200])
def test_integrated_gradients_add_up_to_the_difference_of_the_scores(steps):
    """F = w . relu(V x + b): on the way each hidden unit bends once at most, somewhere between two
    points, so the sum misses at most |w_k V_k (x - x')| / (2 steps) of each that bends."""
    net = nn.Sequential(nn.Conv2d(3, 40, (2, 3)), nn.ReLU(), nn.Conv2d(40, 1, 1, bias=False))
    net.to(dtype=np.float64)
    state = draw_state(net, np.random.default_rng(9))
    net.to(get_default_device())
    x, start = np.random.default_rng(10).standard_normal((2, 1, 3, 2, 3))
    seed = at_unit(0, None, 1.0)
    found = to_cpu(integrated_gradients(net, x, "", seed, start, steps)).sum()
    difference = to_cpu(score(net, x, "", seed) - score(net, start, "", seed))[0]
    v, w = state["0.weight"].reshape(40, -1), state["2.weight"].ravel()
    ends = [v @ image.ravel() + state["0.bias"] for image in (start, x)]
    bends = (ends[0] > 0) != (ends[1] > 0)
    missing = np.abs(w * (v @ (x - start).ravel()))[bends].sum() / (2 * steps)
    assert bends.sum() > 5
    assert 1e-6 < abs(found - difference) <= missing
    assert missing < abs(difference)


def test_grad_cam_of_a_network_whose_weights_are_known():
    """F = sum_k c_k mean(A_k): the gradient's mean is c_k / (H W)."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.maps = nn.Conv2d(2, 3, 1, bias=False)
            self.relu = nn.ReLU()
            self.head = nn.Linear(3, 2, bias=False)

        def forward(self, x):
            return self.head(self.relu(self.maps(x)).mean(axis=(2, 3)))

    net = Net()
    net.to(dtype=np.float64)
    state = draw_state(net, np.random.default_rng(7))
    net.to(get_default_device())
    x = np.random.default_rng(8).standard_normal((2, 2, 3, 5))
    maps = np.maximum(np.einsum("kc,nchw->nkhw", state["maps.weight"][:, :, 0, 0], x), 0)
    expected = np.maximum(np.einsum("k,nkhw->nhw", state["head.weight"][1], maps) / 15, 0)
    assert (expected == 0).any()
    assert (expected > 0).any()
    found = to_cpu(grad_cam(net, x, "", at_unit(1, None, 1.0), "relu"))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
    with pytest.raises(UsageError, match="layer 'head' has no maps in front of 'relu'"):
        grad_cam(net, x, "relu", at_unit(1), "head")
    with pytest.raises(UsageError, match="layer 'head' has no maps in front of the output"):
        grad_cam(net, x, "", at_unit(1), "head")


def test_a_functional_relu_follows_the_rule_too():
    class Net(nn.Module):
        def forward(self, x):
            return F.relu(-F.relu(x))

    x = np.array([[[[1.0, -1.0]]]])
    seed = at_unit(0, (0, 0), 3.0)
    assert to_cpu(project(Net(), x, "", seed, "gradient")).tolist() == [[[[0.0, 0.0]]]]
    # Rectified at the outer ReLU 3 passes, the minus makes it -3, the inner ReLU stops it.
    assert to_cpu(project(Net(), x, "", seed, "deconvnet")).tolist() == [[[[0.0, 0.0]]]]
    seed = at_unit(0, (0, 0), -3.0)
    assert to_cpu(project(Net(), x, "", seed, "deconvnet")).tolist() == [[[[0.0, 0.0]]]]
