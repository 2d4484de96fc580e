"""Multiply-accumulates: loops over every product, and what is published about VGG-16."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv import Tensor, models, nn
from minideconv.nn.costs import multiply_accumulates

VGG16_CONVOLUTIONS = {
    "conv1": 86_704_128 + 1_849_688_064,
    "conv2": 924_844_032 + 1_849_688_064,
    "conv3": 924_844_032 + 2 * 1_849_688_064,
    "conv4": 924_844_032 + 2 * 1_849_688_064,
    "conv5": 3 * 462_422_016,
}
"""H W C K 3 3 by hand, at 224 x 224: 15,346,630,656 together, the 15.3 G of the literature."""


def zeros(*shape):
    return Tensor(np.zeros(shape, np.float32))


def products(net, x):
    return sum(multiply_accumulates(net, x).values())


@pytest.mark.long_on_fakecuda
def test_vgg16_has_the_published_number():
    net = models.vgg16(num_classes=5, fc=3)
    found = multiply_accumulates(net, zeros(1, 3, 224, 224))
    stages = dict.fromkeys(VGG16_CONVOLUTIONS, 0)
    for name, number in found.items():
        if name.startswith("conv"):
            stages[name[:5]] += number
    assert stages == VGG16_CONVOLUTIONS
    assert sum(stages.values()) == 15_346_630_656
    assert sum(found.values()) - sum(stages.values()) == 7 * 7 * 512 * 3 + 3 * 3 + 3 * 5


geometry = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), st.integers(5, 9))


@given(
    st.tuples(geometry, geometry),
    st.sampled_from([1, 2]),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    st.booleans(),
)
def test_convolutions_take_the_products_of_their_definition(axes, groups, sizes, transposed):
    """Where all numbers are 1, the products that are added up are the sum of the result.

    For that the padding is made of ones too; in a transposed convolution it cuts products off that
    the definition has.
    """
    (kh, sh, ph, h), (kw, sw, pw, w) = axes
    if transposed:
        ph, pw = min(ph, kh - 1), min(pw, kw - 1)
    n, c, k = sizes[0], groups * sizes[1], groups * sizes[2]
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    net = kind(c, k, (kh, kw), stride=(sh, sw), padding=(ph, pw), groups=groups)
    whole = kind(c, k, (kh, kw), stride=(sh, sw), groups=groups, bias=False)
    nn.init.constant_(whole.weight, 1.0)
    size = (n, c, h, w) if transposed else (n, c, h + 2 * ph, w + 2 * pw)
    summed = float(whole(Tensor(np.ones(size, np.float32))).sum().item())
    assert products(net, zeros(n, c, h, w)) == summed


def test_linear_layers_and_a_layer_called_twice():
    layer = nn.Linear(6, 6)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    assert multiply_accumulates(net, zeros(5, 6)) == {"0": 2 * 5 * 36}


def test_a_batch_takes_as_many_times_more():
    net = models.fcn(8, num_classes=3, width=2, fc=4, fc_kernel=3, padding="same")
    assert products(net, zeros(3, 3, 32, 64)) == 3 * products(net, zeros(1, 3, 32, 64))


@pytest.mark.parametrize("recompute", [False, True])
def test_the_network_is_left_as_it_was(recompute):
    net = models.deconvnet(
        num_classes=3, width=2, input_size=16, fc=4, stages=2, recompute=recompute
    )
    before = {name: np.array(value) for name, value in net.state_dict().items()}
    found = multiply_accumulates(net, zeros(1, 3, 16, 16))
    assert found["conv1_1.layer"] == 16 * 16 * 3 * 2 * 9
    assert found["fc6_deconv.layer"] == 4 * (4 * 4) * 4  # a 1x1 map becomes one of 4x4
    assert net.training
    assert not any(module._hooks for module in net.modules())
    after = net.state_dict()
    assert all((np.array(after[name]) == value).all() for name, value in before.items())
