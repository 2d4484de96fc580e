"""Elementary functions and their slopes are right to a few units in the last place, everywhere.

A difference of nearly equal numbers, such as 1 - y where y is nearly 1, is small and wrong, and a
comparison by ``allclose`` does not see it. The oracle computes in the longest type there is, from
formulas in which nothing cancels.
"""

from __future__ import annotations

import numpy as np
import pytest
from device_tier import DEVICE

from minideconv.autograd import Tensor
from minideconv.autograd import elementwise as tm

Long = np.longdouble


def logistic(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def logistic_slope(x):
    e = np.exp(-np.abs(x))
    return e / (1 + e) ** 2


# name: the function, its exact value, its exact slope, the widest range of x
FUNCTIONS = {
    "sigmoid": (tm.sigmoid, logistic, logistic_slope, (-800, 800)),
    "tanh": (tm.tanh, np.tanh, lambda x: 4 * logistic_slope(2 * x), (-800, 800)),
    "exp": (tm.exp, np.exp, np.exp, (-700, 700)),
    "log": (tm.log, np.log, lambda x: 1 / x, (0, 1e30)),
    "sqrt": (tm.sqrt, np.sqrt, lambda x: 0.5 / np.sqrt(x), (0, 1e30)),
}


def points(dtype, low, high):
    """Return numbers of all sizes between two, of both signs if the range has them."""
    sizes = np.concatenate([np.logspace(-30, np.log10(high), 3000), np.linspace(1e-3, 60, 3000)])
    both = np.concatenate([-sizes, [0.0], sizes]).astype(dtype)
    return both[(both > low) & (both < high)]


def units(found, exact, dtype):
    """Return the largest error in units in the last place of the exact result."""
    least = 0 if DEVICE == "cpu" else 8 * np.finfo(dtype).tiny  # a GPU may make smaller ones 0
    representable = (np.abs(exact) <= np.finfo(dtype).max) & (np.abs(exact) >= least)
    unit = np.spacing(np.abs(exact[representable]).astype(dtype)).astype(Long)
    return float((np.abs(found[representable].astype(Long) - exact[representable]) / unit).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_slopes(name, dtype):
    function, exact, slope, limits = FUNCTIONS[name]
    numbers = points(dtype, *limits)
    x = Tensor(numbers, requires_grad=True)
    with np.errstate(over="ignore"):
        y = function(x)
        y.sum().backward()
        assert y.dtype == x.grad.dtype == dtype
        assert units(y.numpy(), exact(numbers.astype(Long)), dtype) <= 4
        assert units(x.grad.numpy(), slope(numbers.astype(Long)), dtype) <= 6


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_far_out_and_not_a_number(dtype):
    most = np.finfo(dtype).max
    numbers = [-np.inf, np.inf, np.nan, -1e4, 1e4, -most, most]
    x = Tensor(np.array(numbers, dtype), requires_grad=True)
    for function, least in ((tm.sigmoid, 0), (tm.tanh, -1)):
        at = [least, 1, np.nan, least, 1, least, 1]
        x.grad = None
        with np.errstate(all="raise", under="ignore"):
            y = function(x)
            y.sum().backward()
        np.testing.assert_array_equal(y.numpy(), np.array(at, dtype))
        np.testing.assert_array_equal(x.grad.numpy(), np.array([0, 0, np.nan, 0, 0, 0, 0], dtype))


INTEGERS = [np.uint8, np.int8, np.int16, np.int32, np.int64]


@pytest.mark.parametrize("dtype", [*INTEGERS, np.bool_])
def test_sigmoid_of_integers(dtype):
    limits = [] if dtype is np.bool_ else [np.iinfo(dtype).min, np.iinfo(dtype).max]
    numbers = np.array([0, 1, 100, *limits]).astype(dtype)
    with np.errstate(all="raise", under="ignore"):
        y = tm.sigmoid(Tensor(numbers))
    assert y.dtype == np.float32  # integers meet floats at the default float
    want = logistic(numbers.astype(float))
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-6, atol=1e-44)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_sigmoid_has_a_left_tail(dtype):
    """The value and the gradient at -80 are e^-80, rounded to the type: 0 in float16 alone."""
    numbers = np.array([-80.0, -20.0, -17.0, -9.0, -1.0], dtype)
    x = Tensor(numbers, requires_grad=True)
    y = x.sigmoid()
    y.backward(np.ones(5, dtype))
    want = logistic(numbers.astype(float))
    limits = np.finfo(dtype)
    for found, right in ((y.numpy(), want), (x.grad.numpy(), want * (1 - want))):
        step = np.maximum(right * limits.eps, float(limits.smallest_subnormal))
        assert (np.abs(found.astype(float) - right) <= 4 * step).all()
    assert dtype is np.float16 or (y.numpy()[:2] > 0).all()


def test_the_gradient_that_was_zero():
    x = Tensor(np.array([-20.0], np.float32), requires_grad=True)
    y = x.sigmoid()
    y.sum().backward()
    np.testing.assert_allclose(y.numpy(), 2.0611537e-09, rtol=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), 2.0611537e-09, rtol=1e-6)
