"""Soft thresholding as a minimiser; the two updates against the lines that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.backend import to_cpu, to_default_device
from minideconv.ops import shrinkage, soft_threshold
from minideconv.testing import seeds, values

thresholds = st.sampled_from((0.0, 0.25, 1.5))
dtypes = st.sampled_from((np.float32, np.float64))
shapes = st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(1, 7), st.integers(1, 6))


def arrays(shape, seed, dtype, count):
    return [values(shape, seed + k, "normal", dtype) for k in range(count)]


def soft(x, a):
    return np.sign(x) * np.maximum(np.abs(x) - a, 0)


def check_minimiser(function, x, threshold):
    """No number on a fine grid has a smaller 1/2 (z - x)^2 + a |z| than the result."""
    z = np.linspace(-5, 5, 4001)
    cost = (z[:, None] - x) ** 2 / 2 + threshold * np.abs(z[:, None])
    np.testing.assert_allclose(function(x, threshold), z[cost.argmin(axis=0)], atol=2e-3)


@given(seeds(), thresholds)
def test_soft_threshold_is_the_minimiser(seed, threshold):
    x = np.clip(values((40,), seed, "normal", np.float64), -4, 4)
    check_minimiser(lambda x, a: to_cpu(soft_threshold(to_default_device(x), a)), x, threshold)


def test_wrong_thresholds_are_rejected():
    x = np.linspace(-3, 3, 25)
    wrong = (
        lambda x, a: np.where(np.abs(x) > a, x, 0),  # hard
        lambda x, a: np.maximum(x - a, 0),  # one side
        lambda x, a: x / (1 + a),  # of the square
        lambda x, a: soft(x, 2 * a),
    )
    for function in wrong:
        with pytest.raises(AssertionError):
            check_minimiser(function, x, 0.5)


def test_soft_threshold_keeps_nan_and_refuses_a_negative_threshold():
    x = to_default_device(np.array([np.nan, 3.0, -np.inf]))
    np.testing.assert_array_equal(to_cpu(soft_threshold(x, 1.0)), [np.nan, 2.0, -np.inf])
    with pytest.raises(ValueError, match=r"threshold is -1\.0; it must be at least 0"):
        soft_threshold(x, -1.0)
    with pytest.raises(ValueError, match="threshold is nan"):
        soft_threshold(x, float("nan"))


def check_fista(update, shape, seed, dtype, threshold):
    y, x, g = arrays(shape, seed, dtype, 3)
    step, momentum = 0.3, 0.7
    new = soft(y - dtype(step) * g, dtype(threshold))
    wanted = new + dtype(momentum) * (new - x), new
    ours = [to_default_device(a.copy()) for a in (y, x, g)]
    update(*ours, step, threshold, momentum)
    for found, want in zip(ours, wanted, strict=False):
        np.testing.assert_allclose(to_cpu(found), want, atol=20 * np.finfo(dtype).eps)


def check_admm(update, shape, seed, dtype, threshold):
    """Against ADMM's three lines, with y and u as arrays of their own."""
    state, correction = arrays(shape, seed, dtype, 2)
    alpha = 1.6
    y = soft(state, threshold)
    u = state - y
    x = y - u + correction
    r = alpha * x + (1 - alpha) * y
    new_y = soft(r + u, threshold)
    new_u = u + r - new_y
    ours, point = to_default_device(state.copy()), to_default_device(correction.copy())
    update(ours, point, threshold, alpha)
    close = {"atol": 40 * np.finfo(dtype).eps}
    np.testing.assert_allclose(to_cpu(soft_threshold(ours, threshold)), new_y, **close)
    np.testing.assert_allclose(to_cpu(ours), new_y + new_u, **close)
    np.testing.assert_allclose(to_cpu(point), new_y - new_u, **close)


@given(shapes, seeds(), dtypes, thresholds)
def test_fista_update(shape, seed, dtype, threshold):
    check_fista(shrinkage.fista_update, shape, seed, dtype, threshold)


@given(shapes, seeds(), dtypes, thresholds)
def test_admm_update(shape, seed, dtype, threshold):
    check_admm(shrinkage.admm_update, shape, seed, dtype, threshold)


def test_wrong_updates_are_rejected():
    def late(y, x, g, step, threshold, momentum):  # momentum from the new x
        shrinkage.fista_update(y, x, g, step, threshold, momentum)
        y[...] = x

    def unscaled(y, x, g, step, threshold, momentum):
        shrinkage.fista_update(y, x, g, 1.0, threshold, momentum)

    def plain(state, correction, threshold, relaxation):  # no over-relaxation
        shrinkage.admm_update(state, correction, threshold, 1.0)

    def unreflected(state, correction, threshold, relaxation):
        shrinkage.admm_update(state, correction, threshold, relaxation)
        correction[...] = soft_threshold(state, threshold)

    for wrong in (late, unscaled):
        with pytest.raises(AssertionError):
            check_fista(wrong, (1, 3, 4, 5), 0, np.float64, 0.25)
    for wrong in (plain, unreflected):
        with pytest.raises(AssertionError):
            check_admm(wrong, (1, 3, 4, 5), 0, np.float64, 0.25)
