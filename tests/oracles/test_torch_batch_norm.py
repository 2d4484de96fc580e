"""Batch norm against PyTorch in float64: values, running statistics and all three gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minideconv.ops import batch_norm, batch_norm_backward
from minideconv.testing import batch_norm_geometries, seeds, values

TOLERANCE = {"rtol": 1e-9, "atol": 1e-9}


def arrays(g, seed, two_axes):
    rng = np.random.default_rng(seed)
    c = g.channels
    shape = (g.count, c) if two_axes else g.x_shape
    scale = rng.uniform(0.1, 3, c)
    x = values(shape, seed, "normal").swapaxes(1, -1) * scale + rng.normal(0, 5, c)
    x = np.ascontiguousarray(x.swapaxes(1, -1))
    dy = values(shape, seed + 1, "normal")
    return x, dy, rng.normal(size=c), rng.uniform(0.5, 2, c), rng.normal(size=(2, c))


@settings(max_examples=200)
@given(
    g=batch_norm_geometries(max_channels=4, max_size=5),
    seed=seeds(),
    training=st.booleans(),
    two_axes=st.booleans(),
    running=st.booleans(),
    affine=st.sampled_from([(True, True), (True, False), (False, True), (False, False)]),
    momentum=st.sampled_from([0.0, 0.1, 0.37, 1.0]),
    eps=st.sampled_from([1e-5, 1e-3, 0.5]),
)
def test_batch_norm(torch, g, seed, training, two_axes, running, affine, momentum, eps):
    x, dy, mean, var, (weight, bias) = arrays(g, seed, two_axes)
    training = training or not running  # PyTorch has no evaluation without running statistics
    mean, var = (mean, var) if running else (None, None)
    weight, bias = (a if given else None for a, given in zip((weight, bias), affine, strict=True))

    def leaf(a):
        return None if a is None else torch.tensor(a, requires_grad=True)

    tx, tw, tb = leaf(x), leaf(weight), leaf(bias)
    tmean, tvar = (None if a is None else torch.tensor(a) for a in (mean, var))
    want = torch.nn.functional.batch_norm(tx, tmean, tvar, tw, tb, training, momentum, eps)
    want.backward(torch.tensor(dy))

    y, saved = batch_norm(x, mean, var, weight, bias, training, momentum, eps, return_saved=True)
    assert np.allclose(y, want.detach().numpy(), **TOLERANCE)
    if running:
        assert np.allclose(mean, tmean.numpy(), **TOLERANCE)
        assert np.allclose(var, tvar.numpy(), **TOLERANCE)
    dx, dweight, dbias = batch_norm_backward(dy, x, saved, weight, training)
    assert np.allclose(dx, tx.grad.numpy(), **TOLERANCE)
    if tw is not None:
        assert np.allclose(dweight, tw.grad.numpy(), **TOLERANCE)
    if tb is not None:
        assert np.allclose(dbias, tb.grad.numpy(), **TOLERANCE)


def test_one_value_per_channel_is_refused_by_both(torch):
    x = np.ones((1, 3, 1, 1))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        torch.nn.functional.batch_norm(torch.tensor(x), None, None, training=True)
    with pytest.raises(ValueError, match="1 value per channel"):
        batch_norm(x, None, None, training=True)


def test_float32_is_nearer_to_the_truth_than_pytorch_s_far_from_zero(torch):
    x = np.random.default_rng(0).normal(1e4, 1, (8, 3, 20, 30)).astype(np.float32)
    truth = batch_norm(x.astype(np.float64), None, None)
    theirs = torch.nn.functional.batch_norm(torch.tensor(x), None, None, training=True).numpy()
    ours = batch_norm(x, None, None)
    assert np.abs(ours - truth).max() < 2e-6 < np.abs(theirs - truth).max()
