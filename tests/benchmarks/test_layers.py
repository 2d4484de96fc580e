"""The layers that are measured are the network's."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.layers import distinct, layers_of
from benchmarks.plans import DEFAULT, PAPER, SMALL, Net
from minideconv import models
from minideconv.training.config import TrainConfig

NETS = [
    Net("odd", 3, width=2, input_size=21, fc=5, stages=2, num_classes=4),
    Net("window", 1, width=3, input_size=18, fc=6, stages=3, fc_kernel=1, num_classes=2),
]


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_shapes_are_the_networks_own(net):
    network = models.deconvnet(**net.arguments()).eval()
    x = np.zeros((net.batch, 3, net.input_size, net.input_size), np.float32)
    shapes = {name: y.shape for name, y in network.activations(x).items()}
    layers = layers_of(net)
    assert {layer.name for layer in layers} == {n for n in shapes if "pool" not in n}
    for layer in layers:
        module = getattr(network, layer.name)
        weight = getattr(module, "layer", module).weight
        assert layer.w_shape == weight.shape, layer.name
        assert layer.y_shape == shapes[layer.name], layer.name


def test_the_papers_network():
    layers = {layer.name: layer for layer in layers_of(PAPER)}
    parameters = sum(int(np.prod(layer.w_shape)) for layer in layers.values())
    assert 251_700_000 < parameters < 251_805_653  # the rest: biases and batch norm
    assert layers["fc6"].is_dense
    assert layers["fc6_deconv"].is_dense
    assert not layers["conv5_1"].is_dense
    # 3x3, 64 to 64 channels, 2 images of 224 x 224: the figure of the literature
    assert layers["conv1_2"].flop == 2 * 2 * 224**2 * 9 * 64 * 64


def test_layers_of_one_geometry_are_measured_once():
    found = distinct(layers_of(PAPER))
    names = [name for _, names in found for name in names]
    assert sorted(names) == sorted(layer.name for layer in layers_of(PAPER))
    assert ["conv5_1", "conv5_2", "conv5_3"] in [names for _, names in found]
    assert len({layer.geometry for layer, _ in found}) == len(found)


def test_the_default_network_is_the_default():
    config = TrainConfig()
    assert (DEFAULT.width, DEFAULT.input_size) == (config.network.width, config.input_size)
    assert (DEFAULT.batch, DEFAULT.stages) == (config.batch_size, config.network.depth)
    assert DEFAULT.fc_kernel == config.network.fc_kernel
    assert (SMALL.width, SMALL.input_size, SMALL.batch) == (16, 64, 16)
