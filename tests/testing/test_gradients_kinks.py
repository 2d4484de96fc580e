"""What disagrees with differences is blamed by its cause: the gradient, or a kink of the function.

A kink has slopes to the left and to the right that differ however small the step is. A function
that bends within the step has, too, but by less and less.
"""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.testing import GradientError, KinkError, check_gradients, values

SEEDS = range(40)


def times(factor, backward):
    """Return a backward whose gradient is too large by a factor."""
    return lambda dy: (factor * backward(dy)[0],)


def relu(x):
    return np.maximum(x, 0)


def relu_backward(x, factor=1.0, at_zero=0.0, rest=0.0):
    slope = factor * np.where(x == 0, at_zero, x > 0) + rest
    return lambda dy: (slope * dy,)


def sine(k):
    return lambda x: np.sin(k * x), lambda x: lambda dy: (k * np.cos(k * x) * dy,)


def normalise(eps, axis):
    def parts(x):
        centred = x - x.mean(axis, keepdims=True)
        return centred, 1 / np.sqrt((centred**2).mean(axis, keepdims=True) + eps)

    def forward(x):
        centred, inv_std = parts(x)
        return centred * inv_std

    def backward(x):
        centred, inv_std = parts(x)
        x_hat = centred * inv_std

        def gradient(dy):
            mean = dy.mean(axis, keepdims=True)
            return (inv_std * (dy - mean - x_hat * (dy * x_hat).mean(axis, keepdims=True)),)

        return gradient

    return forward, backward


def group_norm(eps):
    """Two values in each of two groups of a (3, 4) array."""
    forward, backward = normalise(eps, 2)
    shape = (3, 2, 2)
    return (
        lambda x: forward(x.reshape(shape)).reshape(x.shape),
        lambda x: lambda dy: (backward(x.reshape(shape))(dy.reshape(shape))[0].reshape(x.shape),),
    )


def l2_normalise(eps):
    def inverse(x):
        return 1 / np.sqrt((x**2).sum(1, keepdims=True) + eps)

    def backward(x):
        n = inverse(x)
        return lambda dy: (n * dy - x * n**3 * (x * dy).sum(1, keepdims=True),)

    return lambda x: x * inverse(x), backward


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def softmax_backward(x):
    s = softmax(x)
    return lambda dy: (s * (dy - (dy * s).sum(1, keepdims=True)),)


def log_softmax(x):
    shifted = x - x.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def log_softmax_backward(x):
    return lambda dy: (dy - softmax(x) * dy.sum(1, keepdims=True),)


SMOOTH = {
    "sin(100 x)": (*sine(100), (3, 4), 1.0),
    "sin(10,000 x)": (*sine(1e4), (3, 4), 1.0),
    "batch norm of 2": (*normalise(1e-5, 0), (2, 3), 1.0),
    "batch norm of 3, large": (*normalise(1e-5, 0), (3, 3), 1e4),
    "batch norm of 3, tiny": (*normalise(1e-5, 0), (3, 3), 1e-6),
    "layer norm of 2": (*normalise(1e-5, 1), (3, 2), 1.0),
    "group norm of 2": (*group_norm(1e-5), (3, 4), 1.0),
    "l2-normalise of 1": (*l2_normalise(1e-5), (3, 1), 1.0),
    "l2-normalise of 2": (*l2_normalise(1e-5), (3, 2), 1.0),
    "softmax of 2": (softmax, softmax_backward, (3, 2), 1.0),
    "softmax, nearly one-hot": (softmax, softmax_backward, (3, 3), 20.0),
    "log-softmax of 2": (log_softmax, log_softmax_backward, (3, 2), 1.0),
    "log-softmax, nearly one-hot": (log_softmax, log_softmax_backward, (3, 3), 20.0),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_functions_are_right_with_the_right_gradient_only(name):
    forward, backward, shape, size = SMOOTH[name]
    for seed in SEEDS:
        x = size * values(shape, seed, "normal")
        right = backward(x)
        check_gradients(forward, [x], right, seed=seed)
        for factor in (1.1, 1.001):
            with pytest.raises(GradientError) as caught:
                check_gradients(forward, [x], times(factor, right), seed=seed)
            assert not isinstance(caught.value, KinkError)
            if name.startswith("sin"):
                assert f"the whole gradient is {factor:g} times" in str(caught.value)


@pytest.mark.parametrize("mean", [1e3, 1e6])
def test_a_large_mean_is_no_kink_and_no_mistake(mean):
    """The function rounds its argument's mean away, and bends within small parts of it."""
    forward, backward = normalise(1e-5, 0)
    for seed in SEEDS:
        x = mean + values((4, 3), seed, "normal")
        right = backward(x)
        check_gradients(forward, [x], right, seed=seed)
        with pytest.raises(GradientError) as caught:
            check_gradients(forward, [x], times(1.1, right), seed=seed)
        assert not isinstance(caught.value, KinkError)


@pytest.mark.parametrize("distance", [1e-4, 3e-6, 1e-6, 2e-7, 3e-8])
def test_a_point_near_a_kink_is_not_on_it(distance):
    for seed in SEEDS:
        x = np.append(values(5, seed, "normal"), [distance, -distance])
        check_gradients(relu, [x], relu_backward(x), seed=seed)
        with pytest.raises(GradientError):
            check_gradients(relu, [x], relu_backward(x, 1.1), seed=seed)


KINKS = {
    "relu at 0": (relu, relu_backward),
    "abs at 0": (np.abs, lambda x: lambda dy: (np.where(x > 0, dy, -dy),)),
    "clip at its end": (lambda x: np.clip(x, -9, 0), lambda x: lambda dy: ((x < 0) * dy,)),
    "steep relu": (lambda x: 1e4 * np.maximum(x, 0), lambda x: lambda dy: (1e4 * (x > 0) * dy,)),
}


@pytest.mark.parametrize("name", KINKS)
def test_a_point_on_a_kink_is_called_so(name):
    forward, backward = KINKS[name]
    for seed in SEEDS:
        x = np.append(values(4, seed, "normal"), 0.0)
        with pytest.raises(KinkError, match="kink at or near this point"):
            check_gradients(forward, [x], backward(x), seed=seed)


def test_a_tie_is_a_kink():
    x = np.array([1.0, 3.0, 3.0])
    for seed in SEEDS:
        with pytest.raises(KinkError):
            check_gradients(np.max, [x], lambda dy: (dy * np.array([0.0, 1.0, 0.0]),), seed=seed)


def test_kinks_that_cancel_in_the_sum_are_still_kinks():
    """Two outputs bend the other way: their sum is straight, each of them is not."""
    for seed in range(200):
        x = np.zeros(2)
        with pytest.raises(KinkError):
            check_gradients(relu, [x], relu_backward(x), seed=seed)


def test_at_a_kink_a_gradient_that_no_slope_explains_is_wrong():
    for seed in SEEDS:
        x = np.append(values(4, seed, "normal"), 0.0)
        with pytest.raises(GradientError) as caught:
            check_gradients(relu, [x], relu_backward(x, 100.0, rest=1.0), seed=seed)
        assert not isinstance(caught.value, KinkError)
