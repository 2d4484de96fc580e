"""The gradient check rejects wrong backwards, names what is wrong, and accepts right ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from minideconv.autograd import Tensor, record
from minideconv.ops import conv2d, conv2d_backward
from minideconv.testing import (
    GradientError,
    KinkError,
    check_gradients,
    conv_geometries,
    seeds,
    values,
)

X = values((3, 4), 0, "normal")
W = values((4, 2), 1, "normal")


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def normalise(x):
    centred = x - x.mean(axis=0)
    return centred / np.sqrt((centred**2).mean(axis=0) + 1e-5)


def normalise_backward(dy):
    centred = X - X.mean(axis=0)
    inv_std = 1 / np.sqrt((centred**2).mean(axis=0) + 1e-5)
    x_hat = centred * inv_std
    return (inv_std * (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0)),)


RIGHT = {
    "square": (np.square, [X], lambda dy: (2 * X * dy,)),
    "matmul": (np.matmul, [X, W], lambda dy: (dy @ W.T, X.T @ dy)),
    "only one checked": (np.matmul, [X, W], lambda dy: (None, X.T @ dy)),
    "exp of large": (np.exp, [3 * X], lambda dy: (np.exp(3 * X) * dy,)),
    "tiny": (lambda x: 1e-9 * np.sin(x), [X], lambda dy: (1e-9 * np.cos(X) * dy,)),
    "tiny input": (np.sin, [1e-8 * X], lambda dy: (np.cos(1e-8 * X) * dy,)),
    "huge input": (np.square, [1e8 * X], lambda dy: (2e8 * X * dy,)),
    "scalar": (np.sum, [X], lambda dy: (np.full(X.shape, dy),)),
    "relu": (lambda x: np.maximum(x, 0), [X], lambda dy: ((X > 0) * dy,)),
    "relu close to its kink": (
        lambda x: np.maximum(x - X.ravel()[5] + 1e-5, 0),
        [X],
        lambda dy: ((X - X.ravel()[5] + 1e-5 > 0) * dy,),
    ),
    "softmax": (
        softmax,
        [X],
        lambda dy: (softmax(X) * (dy - (dy * softmax(X)).sum(axis=1, keepdims=True)),),
    ),
    "batch norm": (normalise, [X], normalise_backward),
    "an argument without effect": (
        lambda x, w: 2 * x,
        [X, W],
        lambda dy: (2 * dy, np.zeros_like(W)),
    ),
    "absent bias": (lambda x, b: 2 * x, [X, None], lambda dy: (2 * dy, None)),
    "empty": (lambda x, e: 2 * x, [X, np.zeros((0, 2))], lambda dy: (2 * dy, np.zeros((0, 2)))),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("mode", ["directional", "full"])
def test_accepts_the_right_ones(name, mode):
    for seed in range(10):
        assert 0 <= check_gradients(*RIGHT[name], seed=seed, mode=mode) <= 1e-6


class Stateful:
    calls = 0

    def __call__(self, dy):
        self.calls += 1
        return (2 * X * dy * self.calls,)


def _one_wrong(dy):
    dx = 2 * X * dy
    dx[1, 2] += 0.01
    return (dx,)


WRONG = {
    "2.001 instead of 2": (lambda dy: (2.001 * X * dy,), "whole gradient is 1.0005 times"),
    "twice": (lambda dy: (4 * X * dy,), r"whole gradient is 2 times .*\(rtol 1e-06\)"),
    "sign": (lambda dy: (-2 * X * dy,), "whole gradient is -1 times"),
    "zeros": (lambda dy: (0 * dy,), "backward returned zeros"),
    "no cotangent": (
        lambda dy: (2 * X,),
        "argument 0: backward does not multiply",
    ),
    "cotangent squared": (lambda dy: (2 * X * dy * dy,), "not linear in its cotangent"),
    "cotangent of ones assumed": (
        lambda dy: (2 * X * dy.mean(),),
        "argument 0 .* along a random direction",
    ),
    "keeps state": (Stateful(), "second call of backward .* argument 0: it keeps state"),
    "shape": (lambda dy: (dy[0],), r"argument 0 has shape \(4,\), the argument has \(3, 4\)"),
    "not finite": (lambda dy: (dy / 0,), "gradient of argument 0 is not finite"),
    "not a tuple": (lambda dy: 2 * X * dy, "tuple of 1 gradients"),
    "too many": (lambda dy: (2 * X * dy, None), "it returned 2"),
    "nothing": (lambda dy: (None,), "no gradient at all"),
    "changes dy": (lambda dy: (np.multiply(2 * X, dy, out=dy),), "changed the cotangent"),
}


@pytest.mark.parametrize("name", WRONG)
def test_rejects_wrong_ones_with_their_message(name):
    backward, message = WRONG[name]
    if name == "cotangent of ones assumed":
        with pytest.raises(GradientError):
            check_gradients(np.square, [X], backward)
    with np.errstate(all="ignore"), pytest.raises(GradientError, match=message):
        check_gradients(np.square, [X], backward)


def test_names_the_worst_coordinate_and_how_many():
    def one_wrong(dy):
        dx = 2 * X * dy
        dx[1, 2] *= 1.5
        return (dx,)

    with pytest.raises(GradientError, match=r"coordinate \[1, 2\]: .* 1 of 12 coordinates are off"):
        check_gradients(np.square, [X], one_wrong)
    with pytest.raises(GradientError, match=r"coordinate \[1, 2\]"):
        check_gradients(np.square, [X], one_wrong, mode="full")


def test_names_the_argument():
    with pytest.raises(GradientError, match=r"argument 1 \(4, 2\)"):
        check_gradients(np.matmul, [X, W], lambda dy: (dy @ W.T, 2 * X.T @ dy))


def test_zero_batch_norm_backward_is_caught_though_ones_would_pass():
    """With a cotangent of ones the gradient of batch norm is 0, so any tests with it pass."""
    assert np.abs(normalise_backward(np.ones_like(X))[0]).max() < 1e-15
    for wrong in (
        lambda dy: (0 * X,),  # returns nothing
        lambda dy: (-normalise_backward(dy)[0],),  # wrong sign
        lambda dy: ((dy - dy.mean(axis=0)) / X.std(axis=0),),  # forgets that the variance moves
    ):
        with pytest.raises(GradientError):
            check_gradients(normalise, [X], wrong)


def test_a_small_term_is_not_lost_beside_a_large_one():
    w = 1e-4 * W

    def two(x, w):
        return np.square(x).sum() + np.sin(w).sum()

    check_gradients(two, [X, w], lambda dy: (2 * X * dy, np.cos(w) * dy))
    with pytest.raises(GradientError, match="argument 1"):
        check_gradients(two, [X, w], lambda dy: (2 * X * dy, 1.00001 * np.cos(w) * dy))


def test_float32_is_refused_with_the_reason():
    with pytest.raises(TypeError, match=r"argument 1 is float32, it must be float64; .* digits"):
        check_gradients(np.matmul, [X, W.astype(np.float32)], lambda dy: (None, None))
    with pytest.raises(TypeError, match="the result is float32"):
        check_gradients(lambda x: x.astype(np.float32), [X], lambda dy: (dy,))
    with pytest.raises(TypeError, match="gradient of argument 0 is float32"):
        check_gradients(np.square, [X], lambda dy: ((2 * X * dy).astype(np.float32),))


def test_a_kink_is_distinguished_from_a_bug():
    at_zero = X.copy()
    at_zero[0, 1] = 0
    with pytest.raises(KinkError, match=r"kink at or near this point .* kind='distinct'"):
        check_gradients(lambda x: np.maximum(x, 0), [at_zero], lambda dy: ((at_zero > 0) * dy,))
    with pytest.raises(GradientError, match="whole gradient is 3 times"):
        check_gradients(lambda x: np.maximum(x, 0), [X], lambda dy: (3 * (X > 0) * dy,))


def test_a_function_that_changes_its_input_or_its_mind():
    def in_place(x):
        x *= 2
        return x

    rng = np.random.default_rng(0)
    with pytest.raises(GradientError, match=r"function changed its argument 0 \(3, 4\)"):
        check_gradients(in_place, [X.copy()], lambda dy: (2 * dy,))
    with pytest.raises(GradientError, match="different results for equal arguments"):
        check_gradients(lambda x: x * rng.random(x.shape), [X], lambda dy: (dy,))
    with pytest.raises(GradientError, match="not finite at this point"):
        check_gradients(lambda x: x + np.nan, [X], lambda dy: (dy,))


def test_a_constant_function_proves_nothing():
    def constant(x):
        return np.maximum(x, 0)

    negative = -np.abs(X) - 1
    with pytest.raises(GradientError, match=r"vacuous: .* allow_zero=True"):
        check_gradients(constant, [negative], lambda dy: (0 * dy,))
    check_gradients(constant, [negative], lambda dy: (0 * dy,), allow_zero=True)
    with pytest.raises(GradientError, match="argument 0"):
        check_gradients(constant, [negative], lambda dy: (dy,), allow_zero=True)


def test_rounding_is_not_mistaken_for_a_slope():
    with pytest.raises(GradientError, match="vacuous"):
        check_gradients(lambda x: softmax(x).sum(), [X], lambda dy: (np.zeros_like(X),))


def test_mode_is_checked():
    with pytest.raises(ValueError, match="mode is 'ful'; it must be"):
        check_gradients(np.square, [X], lambda dy: (2 * X * dy,), mode="ful")


# ---------------------------------------------------------------------------------------------
# The tape


def scaled_square(factor):
    def backward(grad, needs, x):
        return (factor * x * grad,)

    return lambda t: record("square", t.data**2, (t,), backward, saved=(t,))


def test_tape():
    check_gradients(lambda x, w: (x @ w) * 3.0, [X, W])
    check_gradients(scaled_square(2), [X])
    with pytest.raises(GradientError, match=r"whole gradient is 1\.0005 times"):
        check_gradients(scaled_square(2.001), [X])


def test_tape_that_loses_an_argument():
    with pytest.raises(GradientError, match=r"argument 1 \(4, 2\).*backward returned zeros"):
        check_gradients(lambda x, w: x @ w.detach(), [X, W])
    with pytest.raises(GradientError, match="not connected to any"):
        check_gradients(lambda x: Tensor(x.data * 2), [X])
    check_gradients(lambda x, w: x * 2.0, [X, W])  # no effect, no gradient: right


def test_tape_function_must_return_a_tensor():
    with pytest.raises(TypeError, match="returned ndarray"):
        check_gradients(lambda x: x.data * 2, [X])


# ---------------------------------------------------------------------------------------------
# No false alarm over many geometries


@given(conv_geometries(), seeds())
def test_right_convolution_is_never_blamed(g, seed):
    x, w = values(g.x_shape, seed, "normal"), values(g.w_shape, seed + 1, "normal")
    b = values(g.c_out, seed + 2, "normal")
    check_gradients(
        lambda x, w, b: conv2d(x, w, b, **g.kwargs),
        [x, w, b],
        lambda dy: conv2d_backward(dy, x, w, **g.kwargs),
        seed=seed,
    )
