"""Batch norm against sums taken one by one, its gradients, its precision, and wrong versions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from device_tier import DEVICE
from hypothesis import given
from hypothesis import strategies as st

from minideconv.ops import BatchNormSaved, batch_norm, batch_norm_backward
from minideconv.ops.batch_norm import (
    backward_apply,
    backward_sums,
    from_moments,
    moments,
    normalize,
)
from minideconv.testing import (
    BatchNormGeometry,
    batch_norm_geometries,
    check_contract,
    check_gradients,
    seeds,
    values,
)

EPS = 0.01


def per_channel(vector):
    return np.asarray(vector)[:, None, None]


def naive_statistics(x):
    """Mean and biased variance of every channel, each sum rounded once."""
    means, variances = [], []
    for c in range(x.shape[1]):
        numbers = [float(v) for v in x[:, c].ravel()]
        mean = math.fsum(numbers) / len(numbers)
        means.append(mean)
        variances.append(math.fsum((v - mean) ** 2 for v in numbers) / len(numbers))
    return np.array(means), np.array(variances)


def naive_batch_norm(x, mean, var, weight, bias, eps=EPS):
    y = np.empty(x.shape)
    for b, c, i, j in np.ndindex(x.shape):
        y[b, c, i, j] = weight[c] * (x[b, c, i, j] - mean[c]) / math.sqrt(var[c] + eps) + bias[c]
    return y


def naive_backward(dy, x, weight, training, mean, var, eps=EPS):
    """Multiply dy with the Jacobian of every channel, entry by entry."""
    dx, dweight, dbias = np.zeros(x.shape), np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for c in range(x.shape[1]):
        inv = 1 / math.sqrt(var[c] + eps)
        xh, g = (x[:, c].ravel() - mean[c]) * inv, dy[:, c].ravel()
        m = xh.size
        jacobian = np.eye(m) - (1 + np.outer(xh, xh)) / m if training else np.eye(m)
        dx[:, c] = (weight[c] * inv * (jacobian.T @ g)).reshape(x[:, c].shape)
        dweight[c], dbias[c] = math.fsum(xh * g), math.fsum(g)
    return dx, dweight, dbias


def draw(g, seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    c = g.channels
    x = rng.normal(per_channel(rng.normal(0, 2, c)), 1.5, g.x_shape)
    arrays = (x, rng.normal(size=c), rng.uniform(0.5, 2, c), rng.normal(size=c), rng.normal(size=c))
    return tuple(a.astype(dtype) for a in arrays)


def check_forward(bn, g, seed, training):
    x, running_mean, running_var, weight, bias = draw(g, seed)
    old_mean, old_var = running_mean.copy(), running_var.copy()
    y = bn(x, running_mean, running_var, weight, bias, training, 0.3, EPS)
    mean, var = naive_statistics(x) if training else (old_mean, old_var)
    assert y.shape == x.shape
    assert np.allclose(y, naive_batch_norm(x, mean, var, weight, bias), rtol=1e-12, atol=1e-12)
    if training:
        m = g.count
        assert np.allclose(running_mean, 0.7 * old_mean + 0.3 * mean, rtol=1e-13, atol=1e-13)
        unbiased = var * m / (m - 1)
        assert np.allclose(running_var, 0.7 * old_var + 0.3 * unbiased, rtol=1e-13, atol=1e-13)
    else:
        assert np.array_equal(running_mean, old_mean)
        assert np.array_equal(running_var, old_var)


def check_backward(backward, g, seed, training):
    x, running_mean, running_var, weight, bias = draw(g, seed)
    mean, var = naive_statistics(x) if training else (running_mean.copy(), running_var.copy())
    saved = batch_norm(
        x, running_mean, running_var, weight, bias, training, eps=EPS, return_saved=True
    )[1]
    dy = values(g.x_shape, seed + 1, "normal")
    got = backward(dy, x, saved, weight, training)
    want = naive_backward(dy, x, weight, training, mean, var)
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape
        assert np.allclose(a, b, rtol=1e-11, atol=1e-11)


# --- forward and backward --------------------------------------------------------------------


@given(batch_norm_geometries(), seeds(), st.booleans())
def test_equals_the_loop(g, seed, training):
    check_forward(batch_norm, g, seed, training)


@given(batch_norm_geometries(), seeds(), st.booleans())
def test_backward_equals_the_jacobian(g, seed, training):
    check_backward(batch_norm_backward, g, seed, training)


@given(batch_norm_geometries(), seeds(), st.booleans())
def test_backward_is_the_gradient(g, seed, training):
    x, mean, var, weight, bias = draw(g, seed)

    def forward(x, weight, bias):
        return batch_norm(x, mean.copy(), var.copy(), weight, bias, training)

    saved = batch_norm(x, mean.copy(), var.copy(), weight, bias, training, return_saved=True)[1]
    check_gradients(
        forward,
        [x, weight, bias],
        lambda dy: batch_norm_backward(dy, x, saved, weight, training),
        seed=seed,
    )


@given(batch_norm_geometries(), seeds(), st.booleans())
def test_keeps_the_promises_of_an_op(g, seed, training):
    x, mean, var, weight, bias = draw(g, seed)
    dy = values(g.x_shape, seed)
    saved = batch_norm(
        x, mean.copy(), var.copy(), weight, bias, training, eps=EPS, return_saved=True
    )[1]

    def forward(x, mean, var, weight, bias):
        return batch_norm(x, mean.copy(), var.copy(), weight, bias, training, eps=EPS)

    check_contract(forward, [x, mean, var, weight, bias], shape=g.x_shape)
    check_contract(
        lambda dy, x, weight: batch_norm_backward(dy, x, saved, weight, training)[0],
        [dy, x, weight],
        shape=g.x_shape,
    )
    for a in batch_norm_backward(dy.astype("f4"), x.astype("f4"), saved, None, training):
        assert a.dtype == np.float32


@given(batch_norm_geometries(), seeds())
def test_two_axes_are_maps_of_one_pixel(g, seed):
    x, mean, var, weight, bias = draw(g, seed)
    flat = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(-1, g.channels)
    mean2, var2 = mean.copy(), var.copy()
    y, saved = batch_norm(x, mean, var, weight, bias, True, return_saved=True)
    y2, saved2 = batch_norm(flat, mean2, var2, weight, bias, True, return_saved=True)
    turned = y2.reshape(g.batch, *g.size, g.channels).transpose(0, 3, 1, 2)
    assert np.allclose(turned, y, rtol=1e-12, atol=1e-12)
    assert np.allclose(mean, mean2, rtol=1e-13, atol=1e-13)
    assert np.allclose(var, var2, rtol=1e-13)
    dy = values(flat.shape, seed, "normal")
    dx, dweight, dbias = batch_norm_backward(dy, flat, saved2, weight)
    dy4 = dy.reshape(g.batch, *g.size, g.channels).transpose(0, 3, 1, 2)
    want = batch_norm_backward(dy4, x, saved, weight)
    assert np.allclose(
        dx.reshape(g.batch, *g.size, g.channels).transpose(0, 3, 1, 2), want[0], atol=1e-11
    )
    assert np.allclose(dweight, want[1], rtol=1e-11, atol=1e-12)
    assert np.allclose(dbias, want[2], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_halves_of_a_batch_can_share_statistics_and_sums(dtype):
    """What several processes do: each sees its images, and only numbers per channel travel."""
    x, dy = (values((5, 3, 16, 48), seed, "normal", dtype) for seed in (0, 1))
    x, dy = (a.transpose(0, 3, 1, 2) for a in (x, dy))  # channels last: the engine's, if there
    weight, bias = (values(48, seed, "normal", dtype) for seed in (2, 3))
    running = np.zeros(48, dtype), np.ones(48, dtype)
    whole = running[0].copy(), running[1].copy()
    y, saved = batch_norm(x, *whole, weight, bias, True, return_saved=True)
    want = batch_norm_backward(dy, x, saved, weight)

    halves = [slice(0, 2), slice(2, 5)]
    counts = np.array([x[half].size // 48 for half in halves])
    share = counts[:, None] / counts.sum()
    means, variances = (np.array(a) for a in zip(*(moments(x[h]) for h in halves), strict=True))
    mean = (share * means).sum(0)
    var = (share * (variances + (means - mean) ** 2)).sum(0)
    both = from_moments(mean, var, counts.sum(), *running, 0.1, 1e-5)
    sums = np.sum([backward_sums(dy[h], x[h], both) for h in halves], axis=0)
    rtol = 1e-5 if dtype == np.float32 else 1e-12
    for found, expected in zip((*running, *both), (*whole, *saved), strict=True):
        assert np.allclose(found, expected, rtol=rtol, atol=rtol)
    for half in halves:
        assert np.allclose(normalize(x[half], both, weight, bias), y[half], rtol=rtol, atol=rtol)
        dx = backward_apply(dy[half], x[half], both, weight, *sums, counts.sum(), True)
        assert dx.dtype == dtype
        assert np.allclose(dx, want[0][half], rtol=rtol, atol=rtol)
    assert np.allclose(sums, want[1:], rtol=rtol, atol=rtol * 100)


@given(batch_norm_geometries(), seeds())
def test_without_running_statistics_the_batch_s_are_used(g, seed):
    x, _, _, weight, bias = draw(g, seed)
    want = naive_batch_norm(x, *naive_statistics(x), weight, bias)
    for training in (True, False):
        y = batch_norm(x, None, None, weight, bias, training, eps=EPS)
        assert np.allclose(y, want, rtol=1e-12, atol=1e-12)


@given(batch_norm_geometries(), seeds(), st.booleans())
def test_weight_and_bias_are_one_and_zero_by_default(g, seed, training):
    x, mean, var, weight, bias = draw(g, seed)

    def bn(w, b):
        return batch_norm(x, mean.copy(), var.copy(), w, b, training, return_saved=True)

    ones, zeros, dy = np.ones(g.channels), np.zeros(g.channels), values(g.x_shape, seed)
    y, saved = bn(None, None)
    assert np.allclose(y, bn(ones, zeros)[0], rtol=1e-14, atol=1e-14)
    assert np.allclose(bn(None, bias)[0], bn(ones, bias)[0], rtol=1e-14, atol=1e-14)
    assert np.allclose(bn(weight, None)[0], bn(weight, zeros)[0], rtol=1e-14, atol=1e-14)
    for a, b in zip(
        batch_norm_backward(dy, x, saved, None, training),
        batch_norm_backward(dy, x, saved, ones, training),
        strict=True,
    ):
        assert np.array_equal(a, b)


def test_the_input_gradient_sums_to_zero_and_is_orthogonal_to_the_output():
    """A constant added to x, and a factor, change nothing: the gradient has no part there."""
    x = values((3, 2, 4, 5), 0, "normal")
    y, saved = batch_norm(x, None, None, eps=1e-12, return_saved=True)
    dx = batch_norm_backward(values(x.shape, 1, "normal"), x, saved)[0]
    assert np.abs(dx).max() > 0.1
    assert np.allclose(dx.sum((0, 2, 3)), 0, atol=1e-12)
    assert np.allclose((dx * y).sum((0, 2, 3)), 0, atol=1e-10)


# --- precision -------------------------------------------------------------------------------


def far_from_zero(mean, seed, shape=(8, 3, 25, 31)):
    return np.random.default_rng(seed).normal(mean, 1, shape).astype(np.float32)


def reference(x, eps=1e-5):
    exact = x.astype(np.float64)
    mean = exact.mean((0, 2, 3))
    var = ((exact - per_channel(mean)) ** 2).mean((0, 2, 3))
    return (exact - per_channel(mean)) / np.sqrt(per_channel(var) + eps), mean, var


def check_precision(bn, mean):
    for seed in range(3):
        x = far_from_zero(mean, seed)
        want, want_mean, want_var = reference(x)
        running_mean, running_var = np.zeros(3), np.ones(3)
        y = bn(x, running_mean, running_var, None, None, True, 1.0)
        assert y.dtype == np.float32
        assert np.abs(y - want).max() < 2e-6
        m = x.size // 3
        assert np.allclose(running_mean, want_mean, rtol=1e-10)
        assert np.allclose(running_var, want_var * m / (m - 1), rtol=1e-6)


@pytest.mark.parametrize("mean", [0.0, 100.0, 1e4, -1e4, 1e6])
def test_a_large_mean_loses_no_digits(mean):
    check_precision(batch_norm, mean)


@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_a_large_mean_loses_no_digits_in_backward(mean):
    x, dy = far_from_zero(mean, 0), far_from_zero(0, 1)
    saved = batch_norm(x, None, None, return_saved=True)[1]
    exact, wide = x.astype(np.float64), dy.astype(np.float64)
    want = batch_norm_backward(wide, exact, batch_norm(exact, None, None, return_saved=True)[1])
    for a, b in zip(batch_norm_backward(dy, x, saved), want, strict=True):
        assert np.abs(a - b).max() < 3e-6 * np.abs(b).max()


@pytest.mark.parametrize("mean", [0.5, 1e4])
def test_a_large_running_mean_loses_no_digits(mean):
    x = far_from_zero(mean, 0)
    running_mean = np.full(3, mean + 0.123, np.float32)
    y = batch_norm(x, running_mean, np.ones(3, np.float32))
    want = (x.astype(np.float64) - per_channel(running_mean.astype(np.float64))) / math.sqrt(
        1 + 1e-5
    )
    assert np.abs(y - want).max() < 2e-6


@pytest.mark.parametrize("layout", ["channels-first", "channel-major", "channels-last"])
def test_every_memory_layout_is_as_precise_and_on_the_cpu_it_is_kept(layout):
    order = {"channels-first": (0, 1, 2, 3), "channel-major": (1, 0, 2, 3)}.get(
        layout, (0, 2, 3, 1)
    )
    back = tuple(np.argsort(order))
    x = np.ascontiguousarray(far_from_zero(1e4, 0, (4, 5, 40, 30)).transpose(order)).transpose(back)
    y, saved = batch_norm(x, None, None, return_saved=True)
    assert np.abs(y - reference(x)[0]).max() < 2e-6
    last = np.empty((4, 40, 30, 5), x.dtype).transpose(0, 3, 1, 2)  # all results of a GPU
    strides = (x if DEVICE == "cpu" else last).strides
    assert y.strides == strides
    assert batch_norm_backward(y, x, saved)[0].strides == strides


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, 1e4 + 1 / 3])
def test_a_constant_channel_becomes_its_bias(value):
    x = np.full((2, 1, 3, 5), value, np.float32)
    y, saved = batch_norm(x, None, None, None, np.ones(1, np.float32), return_saved=True)
    assert np.allclose(y, 1, atol=1e-6)
    assert np.allclose(saved.inv_std, 1e5**0.5, rtol=1e-6)


# --- refusals --------------------------------------------------------------------------------


def test_one_value_per_channel_is_refused_in_training():
    x, ones = np.ones((1, 4, 1, 1)), np.ones(4)
    for training, mean, var in ((True, ones, ones), (True, None, None), (False, None, None)):
        with pytest.raises(
            ValueError, match=r"x has shape \(1, 4, 1, 1\), 1 value per channel, .* at least 2"
        ):
            batch_norm(x, mean, var, training=training)
    assert np.array_equal(ones, np.ones(4))  # and nothing was updated
    with pytest.raises(ValueError, match=r"x has shape \(1, 4\), 1 value"):
        batch_norm(x[:, :, 0, 0], ones, ones, training=True)
    with pytest.raises(ValueError, match=r"x has shape \(0, 4, 2, 2\), 0 value"):
        batch_norm(np.ones((0, 4, 2, 2)), ones, ones, training=True)
    assert batch_norm(x, ones, ones).shape == x.shape
    assert batch_norm(x[:0], ones, ones).shape == (0, 4, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": np.zeros((2, 3, 4))}, ValueError, r"x has shape \(2, 3, 4\); .* or \(N, C\)"),
        ({"x": np.zeros((2, 3, 4, 5), int)}, TypeError, r"x has dtype int64; .* float32"),
        ({"x": np.zeros((2, 3, 4, 5), "f2")}, TypeError, r"x has dtype float16; .* float32"),
        ({"running_var": None}, ValueError, r"running_var is None but the other statistic is not"),
        (
            {"running_mean": None},
            ValueError,
            r"running_mean is None but the other statistic is not",
        ),
        ({"weight": np.ones(4)}, ValueError, r"weight has shape \(4,\) but x has 3 channels"),
        ({"bias": np.ones((3, 1))}, ValueError, r"bias has shape \(3, 1\) but x has 3 channels"),
        ({"running_mean": np.ones(2)}, ValueError, r"running_mean has shape \(2,\)"),
        ({"running_var": np.ones(3, int)}, TypeError, r"running_var has dtype int64"),
        ({"momentum": 1.5}, ValueError, r"momentum is 1.5; it must be in 0..1"),
        ({"eps": 0.0}, ValueError, r"eps is 0.0; it must be positive"),
        ({"eps": math.nan}, ValueError, r"eps is nan; it must be positive"),
    ],
)
def test_misuse_is_refused_in_words(arguments, error, message):
    legal = {"x": np.zeros((2, 3, 4, 5)), "running_mean": np.ones(3), "running_var": np.ones(3)}
    with pytest.raises(error, match="batch_norm: " + message):
        batch_norm(**{**legal, **arguments})


def test_backward_refuses_another_shape():
    x = values((2, 3, 4, 5), 0)
    saved = batch_norm(x, None, None, return_saved=True)[1]
    with pytest.raises(
        ValueError, match=r"dy has shape \(2, 3, 5, 4\) but x has .* \(2, 3, 4, 5\)"
    ):
        batch_norm_backward(x.swapaxes(2, 3), x, saved)


# --- wrong versions that the checks above must reject ------------------------------------------


def mutant(*, mean_of=None, var_of=None, unbiased=True, momentum_of=lambda m: m, std=None):
    """Batch norm written the short way, with one part replaced."""

    def bn(x, running_mean, running_var, weight, bias, training, momentum=0.1, eps=1e-5):
        axes = (0, 2, 3)
        mean = x.mean(axes) if mean_of is None else mean_of(x)
        var = x.var(axes) if var_of is None else var_of(x)
        if training:
            keep, m = momentum_of(momentum), x.size // x.shape[1]
            running_mean += keep * (mean - running_mean)
            running_var += keep * (var * (m / (m - 1) if unbiased else 1) - running_var)
        else:
            mean, var = running_mean, running_var
        scale = np.sqrt(var + eps) if std is None else std(var, eps)
        weight = 1 if weight is None else per_channel(weight)
        bias = 0 if bias is None else per_channel(bias)
        return weight * (x - per_channel(mean)) / per_channel(scale) + bias

    return bn


FORWARD_MUTANTS = {
    "running variance is biased": mutant(unbiased=False),
    "momentum means the opposite": mutant(momentum_of=lambda m: 1 - m),
    "the batch is divided by M - 1": mutant(var_of=lambda x: x.var((0, 2, 3), ddof=1)),
    "eps is added to the deviation": mutant(std=lambda var, eps: np.sqrt(var) + eps),
    "eps is forgotten": mutant(std=lambda var, eps: np.sqrt(var)),
    "divides by the variance": mutant(std=lambda var, eps: var + eps),
    "mean of the first image": mutant(mean_of=lambda x: x[0].mean((1, 2))),
    "running statistics in training": lambda x, mean, var, w, b, training, *rest: batch_norm(
        x, mean, var, w, b, False, *rest
    ),
    "batch statistics in evaluation": lambda x, mean, var, w, b, training, *rest: batch_norm(
        x, mean, var, w, b, True, *rest
    ),
    "weight forgotten": lambda x, mean, var, w, b, *rest: batch_norm(x, mean, var, None, b, *rest),
}
GEOMETRIES = [BatchNormGeometry(3, 2, (3, 4)), BatchNormGeometry(2, 3, (1, 2))]


def without_means(dy, x, saved, weight, training):
    _, dweight, dbias = batch_norm_backward(dy, x, saved, weight, training)
    return batch_norm_backward(dy, x, saved, weight, False)[0], dweight, dbias


def without_the_variance(dy, x, saved, weight, training):
    dx, dweight, dbias = batch_norm_backward(dy, x, saved, weight, training)
    if training:
        dx = per_channel(weight * saved.inv_std) * (dy - dy.mean((0, 2, 3), keepdims=True))
    return dx, dweight, dbias


BACKWARD_MUTANTS = {
    "statistics taken for constants": without_means,
    "variance taken for a constant": without_the_variance,
    "weight forgotten": lambda dy, x, s, w, t: batch_norm_backward(dy, x, s, None, t),
    "training ignored": lambda dy, x, s, w, t: batch_norm_backward(dy, x, s, w, True),
    "deviation forgotten in the weight's gradient": lambda dy, x, s, w, t: (
        (g := batch_norm_backward(dy, x, s, w, t))[0],
        g[1] / s.inv_std,
        g[2],
    ),
    "mean forgotten in the weight's gradient": lambda dy, x, s, w, t: (
        (g := batch_norm_backward(dy, x, s, w, t))[0],
        (dy * x).sum((0, 2, 3)) * s.inv_std,
        g[2],
    ),
    "mean instead of sum": lambda dy, x, s, w, t: tuple(
        a if a.ndim == 4 else a / (x.size // x.shape[1])
        for a in batch_norm_backward(dy, x, s, w, t)
    ),
    "deviation twice": lambda dy, x, s, w, t: batch_norm_backward(
        dy, x, BatchNormSaved(s.mean, s.inv_std**2), w, t
    ),
}


def every_check(forward, backward):
    for g in GEOMETRIES:
        for training in (True, False):
            check_forward(forward, g, 0, training)
            check_backward(backward, g, 0, training)


def test_the_right_versions_pass_the_checks_for_mutants():
    every_check(batch_norm, batch_norm_backward)
    every_check(mutant(), batch_norm_backward)


@pytest.mark.parametrize("name", FORWARD_MUTANTS)
def test_wrong_forwards_are_rejected(name):
    with pytest.raises(AssertionError):
        every_check(FORWARD_MUTANTS[name], batch_norm_backward)


@pytest.mark.parametrize("name", BACKWARD_MUTANTS)
def test_wrong_backwards_are_rejected(name):
    with pytest.raises(AssertionError):
        every_check(batch_norm, BACKWARD_MUTANTS[name])


@pytest.mark.parametrize(
    "careless",
    [
        mutant(),  # the mean rounded to float32
        mutant(var_of=lambda x: (x * x).mean((0, 2, 3)) - x.mean((0, 2, 3)) ** 2),
    ],
)
def test_careless_sums_are_rejected(careless):
    with pytest.raises(AssertionError), np.errstate(invalid="ignore"):
        check_precision(careless, 1e4)
