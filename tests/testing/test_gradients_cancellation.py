"""Gradients that are small differences of large terms: right ones pass, wrong ones do not.

With two values a channel, batch norm's output is nearly -1 and 1 whatever the input is, so its
gradient is some 1e-5 of the terms that it is made of, and carries the rounding of those.
"""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import functional as F
from minideconv import ops
from minideconv.testing import GradientError, check_gradients, values

SEEDS = range(200)
EPS = 1e-5


def arrays(seed, count):
    shapes = ((count, 3), 3, 3)
    return [values(shape, seed + 1000 * i, "normal") for i, shape in enumerate(shapes)]


def forward(x, weight, bias):
    return ops.batch_norm(x, None, None, weight, bias)


def own(x, weight, bias):
    """Return the backward of `ops`."""

    def backward(dy):
        _, saved = ops.batch_norm(x, None, None, weight, bias, return_saved=True)
        return ops.batch_norm_backward(dy, x, saved, weight)

    return backward


def by_hand(x, weight, bias, mean=1.0, var=1.0, scale=1.0, eps=EPS, ddof=0):
    """Return the textbook's backward; the factors make it wrong."""
    centred = x - x.mean(axis=0)
    inv_std = 1 / np.sqrt(x.var(axis=0, ddof=ddof) + eps)
    x_hat = centred * inv_std

    def backward(dy):
        g = dy * weight
        rest = mean * g.mean(axis=0) + var * x_hat * (g * x_hat).mean(axis=0)
        return scale * inv_std * (g - rest), (dy * x_hat).sum(axis=0), dy.sum(axis=0)

    return backward


def by_steps(x, weight, bias):
    """Return the backward as courses derive it, node by node of the graph."""
    count, centred = len(x), x - x.mean(axis=0)
    var = (centred**2).mean(axis=0)
    std = np.sqrt(var + EPS)

    def backward(dy):
        g = dy * weight
        dstd = -(g * centred).sum(axis=0) / std**2
        dcentred = g / std + 2 * centred / count * (dstd / (2 * std))
        dx = dcentred - dcentred.sum(axis=0) / count
        return dx, (dy * centred / std).sum(axis=0), dy.sum(axis=0)

    return backward


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("backward", [own, by_hand, by_steps])
def test_right_batch_norm_is_never_blamed(backward, count):
    for seed in SEEDS:
        point = arrays(seed, count)
        check_gradients(forward, point, backward(*point), seed=seed)


def test_on_the_tape_too():
    for seed in SEEDS:
        check_gradients(
            lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
            arrays(seed, 2),
            seed=seed,
        )


WRONG = {
    "no term of the mean": {"mean": 0.0},
    "no term of the variance": {"var": 0.0},
    "neither": {"mean": 0.0, "var": 0.0},
    "term of the mean over N - 1": {"mean": 2.0},
    "term of the variance over N - 1": {"var": 2.0},
    "term of the variance a little off": {"var": 1 + 1e-5},
    "term of the mean a little off": {"mean": 1 + 1e-5},
    "standard deviation of a sample": {"ddof": 1},
    "times (N - 1) / N": {"scale": 0.5},
    "scaled": {"scale": 1.0001},
    "another eps": {"eps": 1.1e-5},
    "no eps": {"eps": 0.0},
    "sign": {"scale": -1.0},
    "zeros": {"scale": 0.0},
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_batch_norm_with_two_values_is_rejected(name):
    for seed in SEEDS:
        point = arrays(seed, 2)
        with pytest.raises(GradientError):
            check_gradients(forward, point, by_hand(*point, **WRONG[name]), seed=seed)


@pytest.mark.parametrize(
    "bent",
    [
        lambda dy: dy + 1e-9,
        lambda dy: dy + 1e-9 * dy**2,
        np.abs,
        lambda dy: np.maximum(dy, 0),
        lambda dy: np.clip(dy, -1, 1),
        lambda dy: dy / np.abs(dy).max(initial=1e-300),
        np.sign,
        lambda dy: dy.astype(np.float32).astype(np.float64) + 1e-9 * dy**3,
    ],
)
def test_what_is_not_linear_in_the_cotangent_is_still_rejected(bent):
    x = values((3, 4), 0, "normal")
    for seed in range(20):
        with pytest.raises(GradientError):
            check_gradients(np.square, [x], lambda dy: (2 * x * bent(dy),), seed=seed)
