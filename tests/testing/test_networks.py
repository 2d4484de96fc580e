"""Drawn networks are legal: what their layers say is what the functions give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from minideconv import ops
from minideconv.testing import NetworkGeometry, PoolGeometry, network_geometries, seeds, values
from minideconv.testing.networks import KINDS, Layer, network_geometry


def run(network, x, parameters):
    switches = {}
    for number, layer in enumerate(network.layers):
        w, b = (parameters.get(f"{number}.{name}") for name in ("weight", "bias"))
        g = layer.geometry
        if layer.kind == "conv2d":
            x = ops.conv2d(x, w, b, **g.kwargs)
        elif layer.kind == "conv_transpose2d":
            x = ops.conv_transpose2d(x, w, b, **g.transpose_kwargs)
        elif layer.kind == "batch_norm":
            x = ops.batch_norm(x, None, None, w, b)
        elif layer.kind == "relu":
            x = np.maximum(x, 0)
        elif layer.kind == "max_pool2d":
            x, switches[number] = ops.max_pool2d(x, return_switches=True, **g.kwargs)
        else:
            x = ops.max_unpool2d(x, switches[layer.pool])
        assert x.shape == layer.out_shape
    return x


@given(network_geometries(), seeds())
def test_the_shapes_are_those_of_the_functions(network, seed):
    parameters = {
        name: values(shape, seed + i, "normal")
        for i, (name, shape) in enumerate(network.parameters().items())
    }
    x = values(network.x_shape, seed, "normal")
    y = run(network, x, parameters)
    assert x.shape == network.x_shape
    assert y.shape == network.y_shape
    assert np.isfinite(y).all()


def test_every_kind_of_layer_is_drawn():
    rng = np.random.default_rng(0)

    def integer(low, high):
        return int(rng.integers(low, high + 1))

    networks = [network_geometry(integer) for _ in range(300)]
    assert {layer.kind for n in networks for layer in n.layers} == set(KINDS)
    assert len({n.x_shape[2:] for n in networks}) > 20
    assert any(len(n.layers) == 1 for n in networks)
    assert any(len(n.layers) == 5 for n in networks)


def test_what_does_not_fit_is_refused():
    pooled = PoolGeometry(1, 2, size=(4, 6), kernel=(2, 2))
    pool = Layer("max_pool2d", pooled.x_shape, pooled.y_shape, pooled)
    for layers, message in (
        ((), "there is no layer"),
        ((Layer("tanh", (1, 1, 2, 2), (1, 1, 2, 2)),), "no layer is called 'tanh'"),
        ((pool, pool), "layer 1 takes"),
        ((Layer("max_unpool2d", pooled.y_shape, pooled.x_shape, pooled, 0),), "has no pooling"),
    ):
        with pytest.raises(ValueError, match=message):
            NetworkGeometry(layers)
