"""Batch norm, ReLU and pooling in one: the same as one behind the other, and their gradient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv import functional as F
from minideconv import nn
from minideconv.autograd import Tensor, checkpoint
from minideconv.ops import (
    batch_norm,
    batch_norm_relu_backward,
    batch_norm_relu_pool,
    batch_norm_relu_pool_backward,
    max_pool2d,
)
from minideconv.testing import (
    check_contract,
    check_gradients,
    pool_geometries,
    seeds,
    values,
)

EPS = 1e-5


def draw(g, seed):
    rng = np.random.default_rng(seed)
    c = g.channels
    return (
        rng.normal(0, 1.5, g.x_shape),
        rng.normal(size=c),
        rng.uniform(0.5, 2, c),
        rng.normal(size=c),
        rng.normal(size=c),
    )


def enough(g):
    return g.batch * g.size[0] * g.size[1] > 1


@given(pool_geometries().filter(enough), seeds(), st.booleans())
def test_is_one_behind_the_other(g, seed, training):
    """The first of several zeros is where unpooling will put a value: switches agree too."""
    x, mean, var, weight, bias = draw(g, seed)
    statistics = (mean.copy(), var.copy()), (mean.copy(), var.copy())
    options = (weight, bias, training, 0.3, EPS)
    y, switches, saved = batch_norm_relu_pool(x, *statistics[0], *options, **g.kwargs)
    z, want_saved = batch_norm(x, *statistics[1], *options, return_saved=True)
    z = np.where(z > 0, z, 0.0)
    want, want_switches = max_pool2d(z, **g.kwargs, return_switches=True)
    assert np.array_equal(y, want)
    assert np.array_equal(switches.indices, want_switches.indices)
    assert np.array_equal(saved, want_saved)
    assert np.array_equal(statistics[0], statistics[1])

    dy = values(g.y_shape, seed, "normal")
    dz = np.zeros(g.x_shape)
    planes = dz.reshape(g.batch * g.channels, -1)
    for plane, places, numbers in zip(
        planes,
        switches.indices.reshape(len(planes), -1),
        dy.reshape(len(planes), -1),
        strict=True,
    ):
        np.add.at(plane, places, numbers)
    got = batch_norm_relu_pool_backward(dy, switches, x, saved, weight, bias, training)
    want = batch_norm_relu_backward(dz, x, saved, weight, bias, training)
    for a, b in zip(got, want, strict=True):
        assert np.allclose(a, b, rtol=1e-12, atol=1e-12)


def test_backward_is_the_gradient():
    rng = np.random.default_rng(0)
    x = values((2, 2, 5, 6), 0, "distinct") / 10
    weight, bias = rng.uniform(0.5, 2, 2), rng.normal(size=2)

    def forward(x, weight, bias):
        return batch_norm_relu_pool(x, None, None, weight, bias, eps=EPS)[0]

    def backward(dy):
        _, switches, saved = batch_norm_relu_pool(x, None, None, weight, bias, eps=EPS)
        return batch_norm_relu_pool_backward(dy, switches, x, saved, weight, bias)

    check_gradients(forward, [x, weight, bias], backward)


@given(pool_geometries().filter(enough), seeds(), st.booleans())
def test_keeps_the_promises_of_an_op(g, seed, training):
    x, mean, var, weight, bias = draw(g, seed)

    def forward(x, mean, var, weight, bias):
        options = (weight, bias, training, 0.1, EPS)
        y = batch_norm_relu_pool(x, mean.copy(), var.copy(), *options, **g.kwargs)[0]
        return 1 + y  # what cancels almost to 0 keeps the rounding of numbers about 1

    check_contract(forward, [x, mean, var, weight, bias], shape=g.y_shape)


def test_misuse_is_refused_in_words():
    x = np.zeros((2, 3, 4, 5))
    with pytest.raises(ValueError, match=r"x has shape \(2, 3\)"):
        batch_norm_relu_pool(x[:, :, 0, 0], None, None)
    with pytest.raises(ValueError, match=r"eps is 0\.0"):
        batch_norm_relu_pool(x, None, None, eps=0.0)
    with pytest.raises(ValueError, match="kernel_size"):
        batch_norm_relu_pool(x, None, None, kernel_size=0)
    with pytest.raises(ValueError, match="1 value per channel"):
        batch_norm_relu_pool(x[:1, :, :1, :1], None, None, kernel_size=1)
    y, switches, saved = batch_norm_relu_pool(x, None, None)
    with pytest.raises(ValueError, match="one value for each switch"):
        batch_norm_relu_pool_backward(x, switches, x, saved)
    with pytest.raises(ValueError, match="point into planes"):
        batch_norm_relu_pool_backward(y, switches, x[:, :, 1:], saved)


@pytest.mark.parametrize("training", [True, False])
def test_the_layer_pools_too_and_its_statistics_follow_once(training):
    x = Tensor(values((3, 4, 6, 7), 0, "normal"), requires_grad=True)
    again = Tensor(x.data.copy(), requires_grad=True)
    layers = [nn.BatchNorm2d(4).to(dtype=np.float64).train(training) for _ in range(2)]
    pool = nn.MaxPool2d(3, 2, 1, return_switches=True)
    y, switches = checkpoint(lambda x: layers[0](x, pool=pool), x)
    want, want_switches = pool(layers[1](again, relu=True))
    assert np.array_equal(y.data, want.data)
    assert np.array_equal(switches.indices, want_switches.indices)
    for tensor in (y, want):
        (tensor * tensor).sum().backward()
    assert np.allclose(x.grad.data, again.grad.data, rtol=1e-12, atol=1e-12)
    for a, b in zip(layers[0].arrays().values(), layers[1].arrays().values(), strict=True):
        assert np.array_equal(a, b)


def test_the_function_of_tensors_needs_no_weights():
    x = Tensor(values((2, 3, 4, 4), 0, "normal"), requires_grad=True)
    y, _ = F.batch_norm_relu_pool(x, None, None)
    y.sum().backward()
    assert x.grad.shape == x.shape
