"""Batch normalisation where the mean is far from 0, and of very large numbers."""

from __future__ import annotations

import numpy as np
import pytest

import minideconv as md
from minideconv import Tensor, nn, ops
from minideconv import functional as F

SMALL, LARGE = (3, 2, 5, 4), (2, 16, 24, 30)  # the engine has walks of its own for the large one
LAYOUTS = ["NCHW", "NHWC"]
ALGORITHMS = ["reference", "exact", "fast"]


def laid(x: np.ndarray, layout: str) -> np.ndarray:
    if layout == "NCHW":
        return x
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def draw(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def in_float64(x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Output, gradient and variance, by the definition."""
    x, dy = x.astype(float), dy.astype(float)
    axes = (0, 2, 3)
    mean = x.mean(axes, keepdims=True)
    var = ((x - mean) ** 2).mean(axes, keepdims=True)
    std = np.sqrt(var + 1e-5)
    xh = (x - mean) / std
    dx = (dy - dy.mean(axes, keepdims=True) - xh * (dy * xh).mean(axes, keepdims=True)) / std
    return xh, dx, var.ravel()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [SMALL, LARGE])
@pytest.mark.parametrize("ratio", [0, 1e2, 1e4])
def test_a_mean_far_from_zero_costs_no_digits(ratio, shape, layout, algorithm):
    """Of the numbers as they are in float32: 1e4 itself has a spacing of 1e-3 of the spread."""
    x = laid((draw(shape) + ratio).astype(np.float32), layout)
    dy = laid(draw(shape, 1).astype(np.float32), layout)
    y, dx, var = in_float64(x, dy)
    running = np.zeros(shape[1], np.float32), np.zeros(shape[1], np.float32)
    with md.algorithm(algorithm):
        found, saved = ops.batch_norm(x, *running, training=True, momentum=1.0, return_saved=True)
        back, _, _ = ops.batch_norm_backward(dy, x, saved)
    assert np.abs(found - y).max() < 1e-5
    assert np.abs(back - dx).max() < 1e-5
    count = x.size // shape[1]
    np.testing.assert_allclose(running[1], var * count / (count - 1), rtol=1e-5)


@pytest.mark.cpu  # on a GPU nothing looks, as docs/semantics.md says: it would wait for the device
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [SMALL, LARGE])
@pytest.mark.parametrize(("size", "shift"), [(1e20, 0), (1e20, 1e20), (1e36, 0), (1e16, 1e18)])
def test_very_large_numbers_are_normalised(size, shift, shape, layout, algorithm):
    x = laid((draw(shape) * size + shift).astype(np.float32), layout)
    dy = laid(draw(shape, 1).astype(np.float32), layout)
    y, dx, _ = in_float64(x, dy)
    with md.algorithm(algorithm):
        found, saved = ops.batch_norm(x, None, None, return_saved=True)
        back, _, _ = ops.batch_norm_backward(dy, x, saved)
    assert np.abs(found - y).max() < 1e-5 * max(1, np.abs(y).max())
    assert np.abs(back * size - dx * size).max() < 1e-4


@pytest.mark.cpu  # on a GPU nothing looks, as docs/semantics.md says: it would wait for the device
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("shape", [SMALL, LARGE])
def test_a_variance_that_the_running_average_cannot_hold_is_an_error(shape, algorithm):
    x = (draw(shape) * 1e20).astype(np.float32)
    x[:, 0] /= 1e20
    layer = nn.BatchNorm2d(shape[1])
    before = layer.state_dict()
    for function in (F.batch_norm, F.batch_norm_relu):
        with (
            md.algorithm(algorithm),
            pytest.raises(ValueError, match=r"channel 1 has the variance .*running_var, of"),
        ):
            function(
                Tensor(x), layer.running_mean, layer.running_var, layer.weight, layer.bias, True
            )
    with md.algorithm(algorithm), pytest.raises(ValueError, match="channel 1 has the variance"):
        layer(Tensor(x))
    after = layer.state_dict()
    assert all((after[name] == array).all() for name, array in before.items())


@pytest.mark.cpu  # on a GPU nothing looks, as docs/semantics.md says: it would wait for the device
def test_numbers_that_no_type_here_can_square_are_an_error():
    for x in (draw(SMALL) * 1e200, np.full(SMALL, 3e38, np.float32)):
        x[0] *= -1
        with (
            np.errstate(over="ignore", invalid="ignore"),
            pytest.raises(ValueError, match="has the variance inf"),
        ):
            ops.batch_norm(x, None, None)


def test_what_is_not_finite_stays_so():
    for wrong in (np.nan, np.inf):
        x = draw(SMALL).astype(np.float32)
        x[0, 1, 2, 3] = wrong
        with np.errstate(invalid="ignore"):
            y = ops.batch_norm(x, np.zeros(2), np.ones(2), training=True)
        assert np.isnan(y[:, 1]).all()
        assert np.isfinite(y[:, 0]).all()
