"""Folding: a network without its batch normalisations computes what it computed with them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv import Tensor, models, nn
from minideconv.backend import to_cpu, to_device
from minideconv.nn import fold_batch_norm_


def drawn(module, seed=0):
    """Every number of a module drawn, the statistics too."""
    rng = np.random.default_rng(seed)
    for name, array in module.arrays().items():
        if not name.endswith("tracked"):
            values = rng.uniform(0.3, 2.0, array.shape) * rng.choice([-1, 1], array.shape)
            values = abs(values) if name.endswith("running_var") else values
            array[...] = to_device(values.astype(array.dtype), module_device(module))
    return module.eval()


def module_device(module):
    return next(module.parameters()).device


def image(shape, seed=1):
    return Tensor(np.random.default_rng(seed).standard_normal(shape), dtype=np.float64)


@st.composite
def layers(draw):
    groups = draw(st.integers(1, 3))
    channels = [groups * draw(st.integers(1, 3)) for _ in range(2)]
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    window = {
        "stride": draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        "padding": draw(st.tuples(st.integers(0, 2), st.integers(0, 2))),
        "dilation": draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
    }
    kind = draw(st.sampled_from([nn.Conv2d, nn.ConvTranspose2d]))
    layer = kind(*channels, kernel, groups=groups, bias=draw(st.booleans()), **window)
    affine, eps = draw(st.booleans()), draw(st.sampled_from([1e-5, 0.5]))
    return nn.Sequential(layer, nn.BatchNorm2d(channels[1], eps=eps, affine=affine)), channels[0]


@given(layers())
def test_any_convolution_and_its_normalisation(drawn_layers):
    net, channels = drawn_layers
    drawn(net.to(dtype=np.float64))
    x = image((2, channels, 8, 9))
    expected = net(x).numpy()
    assert fold_batch_norm_(net) == 1
    assert len(net) == 1
    assert list(net.state_dict()) == ["0.weight", "0.bias"]
    np.testing.assert_allclose(net(x).numpy(), expected, rtol=1e-9, atol=1e-9)


NETWORKS = {
    "deconvnet": (lambda: models.deconvnet(3, width=2, input_size=16, fc=4, stages=2), 11),
    "fcn8s": (
        lambda: models.FCN8s(
            3, width=2, fc=4, fc_kernel=3, padding="same", batch_norm="all", dropout=0.5
        ),
        15,
    ),
    "vgg16": (lambda: models.vgg16(3, width=2, fc=4, input_size=32, batch_norm=True), 13),
    "fcn8s without": (lambda: models.FCN8s(3, width=2, fc=4, fc_kernel=3, padding="same"), 0),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_whole_network(name):
    build, count = NETWORKS[name]
    net = drawn(build().to(dtype=np.float64))
    size = (16, 20) if name == "deconvnet" else (32, 35)
    x = image((1, 3, *size))
    expected = net(x).numpy()
    assert np.ptp(expected) > 1e-3
    kept = copy.deepcopy(net)
    assert fold_batch_norm_(net.train()) == count
    assert not net.training
    np.testing.assert_allclose(net(x).numpy(), expected, rtol=1e-6, atol=1e-9 * np.ptp(expected))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    np.testing.assert_array_equal(kept(x).numpy(), expected)  # a copy is another network
    assert fold_batch_norm_(net) == 0


def test_what_cannot_be_folded_stays_as_it_is():
    twice = nn.BatchNorm2d(2)
    shared = nn.Conv2d(2, 2, 1)
    hooked = nn.Conv2d(2, 2, 1)
    hooked.register_forward_hook(lambda module, args, output: None)
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 2, 1), twice),
        nn.Sequential(nn.Conv2d(2, 2, 1), twice),
        nn.Sequential(shared, nn.BatchNorm2d(2)),
        nn.Sequential(shared, nn.ReLU()),
        nn.Sequential(hooked, nn.BatchNorm2d(2)),
        nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2, track_running_stats=False)),
        nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(), nn.BatchNorm2d(2)),
        nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1)),
    )
    drawn(net.to(dtype=np.float64))
    x = image((1, 2, 5, 6))
    expected = net(x).numpy()
    assert fold_batch_norm_(net) == 0
    np.testing.assert_array_equal(net(x).numpy(), expected)


def test_a_weight_that_two_layers_have_is_folded_for_one():
    one, two = nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 3)
    two.weight = one.weight
    net = nn.Sequential(one, nn.BatchNorm2d(2), two, nn.ReLU())
    drawn(net.to(dtype=np.float64))
    x = image((1, 2, 8, 9))
    expected, before = net(x).numpy(), to_cpu(two.weight.data).copy()
    assert fold_batch_norm_(net) == 1
    np.testing.assert_array_equal(to_cpu(two.weight.data), before)
    np.testing.assert_allclose(net(x).numpy(), expected, rtol=1e-9)


def test_single_precision_is_rounded_once():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    drawn(net)
    exact = copy.deepcopy(net).to(dtype=np.float64)
    fold_batch_norm_(net)
    fold_batch_norm_(exact)
    for name, array in exact.state_dict().items():
        found = to_cpu(net.state_dict()[name])
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, to_cpu(array).astype(np.float32), err_msg=name)
