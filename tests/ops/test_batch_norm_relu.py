"""Batch norm and ReLU in one: the same as one behind the other, and their gradient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.ops import (
    batch_norm,
    batch_norm_backward,
    batch_norm_relu,
    batch_norm_relu_backward,
    relu,
    relu_backward,
)
from minideconv.testing import batch_norm_geometries, check_contract, seeds, values

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


@given(batch_norm_geometries(), seeds(), st.booleans())
def test_is_one_behind_the_other(g, seed, training):
    x, mean, var, weight, bias = draw(g, seed)
    statistics = (mean.copy(), var.copy()), (mean.copy(), var.copy())
    y, saved = batch_norm_relu(
        x, *statistics[0], weight, bias, training, 0.3, EPS, return_saved=True
    )
    z = batch_norm(x, *statistics[1], weight, bias, training, 0.3, EPS)
    assert np.allclose(y, np.where(z > 0, z, 0), rtol=1e-13, atol=1e-13)
    assert np.array_equal(statistics[0], statistics[1])
    dy = values(g.x_shape, seed, "normal")
    got = batch_norm_relu_backward(dy, x, saved, weight, bias, training)
    want = batch_norm_backward(np.where(z > 0, dy, 0), x, saved, weight, training)
    for a, b in zip(got, want, strict=True):
        assert np.allclose(a, b, rtol=1e-12, atol=1e-12)


@given(batch_norm_geometries(), seeds(), st.booleans())
def test_the_gradient_goes_where_the_output_is_positive(g, seed, training):
    """Signs computed twice agree, in float32 too: another one would be a gradient from nowhere."""
    arrays = [a.astype(np.float32) for a in draw(g, seed)]
    x, mean, var, weight, bias = arrays
    y, saved = batch_norm_relu(x, mean, var, weight, bias, training, eps=EPS, return_saved=True)
    dy = np.ones_like(x)
    got = batch_norm_relu_backward(dy, x, saved, weight, bias, training)
    want = batch_norm_backward(relu_backward(dy, y), x, saved, weight, training)
    assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))


@given(batch_norm_geometries(), seeds(), st.booleans())
def test_keeps_the_promises_of_an_op(g, seed, training):
    x, mean, var, weight, bias = draw(g, seed)

    def forward(x, mean, var, weight, bias):
        y = batch_norm_relu(x, mean.copy(), var.copy(), weight, bias, training, eps=EPS)
        return 1 + y  # what cancels almost to 0 keeps the rounding of numbers about 1

    check_contract(forward, [x, mean, var, weight, bias], shape=g.x_shape)


def test_misuse_is_refused_in_words():
    x = np.zeros((2, 3, 4, 5))
    with pytest.raises(ValueError, match=r"eps is 0\.0"):
        batch_norm_relu(x, None, None, eps=0.0)
    with pytest.raises(ValueError, match="1 value per channel"):
        batch_norm_relu(x[:1, :, :1, :1], None, None)
    saved = batch_norm_relu(x, None, None, return_saved=True)[1]
    with pytest.raises(ValueError, match=r"dy has shape \(2, 3, 5, 4\) but x has"):
        batch_norm_relu_backward(x.swapaxes(2, 3), x, saved)


def test_relu_keeps_nothing_negative():
    x = values((3, 2, 4, 5), 0, "normal")
    y = batch_norm_relu(x, None, None)
    assert np.array_equal(y, relu(y))
    assert (y == 0).any()
    assert (y > 0).any()
