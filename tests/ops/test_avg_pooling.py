"""Average pooling against a loop over windows, its exact adjoint, and wrong versions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.ops import avg_pool2d, avg_pool2d_backward
from minideconv.testing import (
    PoolGeometry,
    as_matrix,
    check_adjoint,
    check_contract,
    check_gradients,
    pool_geometries,
    seeds,
    values,
)

geometries = pool_geometries(max_dilation=1, max_kernel=4)


def arguments(g, include_pad):
    return (g.kernel, g.stride, g.padding, g.ceil_mode, include_pad)


def naive_avg_pool(x, g, include_pad, *, divide_by_kernel=False):
    h, w = x.shape[2:]
    (kh, kw), (sh, sw), (ph, pw) = g.kernel, g.stride, g.padding
    y = np.zeros(g.y_shape)
    for b, k, o, q in np.ndindex(y.shape):
        total, count = 0.0, 0
        for row in range(o * sh - ph, o * sh - ph + kh):
            for column in range(q * sw - pw, q * sw - pw + kw):
                inside = 0 <= row < h and 0 <= column < w
                padded = -ph <= row < h + ph and -pw <= column < w + pw
                if inside:
                    total += x[b, k, row, column]
                if inside or (include_pad and padded):
                    count += 1
        y[b, k, o, q] = total / (kh * kw if divide_by_kernel else count)
    return y


def check_forward(pool, g, include_pad, seed):
    x = values(g.x_shape, seed)
    y = pool(x, *arguments(g, include_pad))
    assert y.shape == g.y_shape
    assert np.array_equal(y, naive_avg_pool(x, g, include_pad))  # one rounded division


def check_backward(backward, g, include_pad, seed):
    """Exactly: the cotangent is a multiple of every divisor."""
    divisors = np.prod([np.lcm.reduce(range(1, k + 1)) for k in g.kernel])
    check_adjoint(
        lambda x: avg_pool2d(divisors * x, *arguments(g, include_pad)),
        lambda dy: backward(divisors * dy, g.size, *arguments(g, include_pad)),
        values(g.x_shape, seed),
        values(g.y_shape, seed + 1),
        exact=True,
    )


@given(geometries, st.booleans(), seeds())
def test_equals_the_loop(g, include_pad, seed):
    check_forward(avg_pool2d, g, include_pad, seed)


@given(geometries, st.booleans(), seeds())
def test_backward_is_the_adjoint(g, include_pad, seed):
    check_backward(avg_pool2d_backward, g, include_pad, seed)


@given(pool_geometries(max_dilation=1, max_out=2, max_batch=1, max_channels=1), st.booleans())
def test_the_two_matrices_are_transposes(g, include_pad):
    forward = as_matrix(lambda x: avg_pool2d(x, *arguments(g, include_pad)), g.x_shape)
    backward = as_matrix(
        lambda dy: avg_pool2d_backward(dy, g.size, *arguments(g, include_pad)), g.y_shape
    )
    assert np.array_equal(forward.T, backward)
    if not include_pad:
        assert np.allclose(forward.sum(1), 1, rtol=1e-14)  # a mean of ones is one


@given(geometries, st.booleans(), seeds())
def test_backward_is_the_gradient(g, include_pad, seed):
    check_gradients(
        lambda x: avg_pool2d(x, *arguments(g, include_pad)),
        [values(g.x_shape, seed, "normal")],
        lambda dy: (avg_pool2d_backward(dy, g.size, *arguments(g, include_pad)),),
        seed=seed,
    )


@given(geometries, st.booleans(), seeds())
def test_keeps_the_promises_of_an_op(g, include_pad, seed):
    x, dy = values(g.x_shape, seed), values(g.y_shape, seed)
    more = arguments(g, include_pad)
    check_contract(lambda a: avg_pool2d(a, *more), [x], shape=g.y_shape)
    check_contract(lambda a: avg_pool2d_backward(a, g.size, *more), [dy], shape=g.x_shape)


def test_global_pooling_is_the_mean():
    x = values((2, 3, 5, 4), 0)
    assert np.allclose(avg_pool2d(x, (5, 4))[..., 0, 0], x.mean((2, 3)), rtol=1e-15)


def test_stride_is_the_kernel_by_default():
    x = values((1, 2, 6, 9), 0)
    assert np.array_equal(avg_pool2d(x, (2, 3)), avg_pool2d(x, (2, 3), (2, 3)))


def test_what_hangs_over_behind_the_padding_is_never_counted():
    """The second window of 3 covers a pixel, a zero of padding, and then nothing."""
    x = np.array([[[[6.0, 6.0, 6.0]]]])
    wide = ((1, 3), (1, 3), (0, 1), True)
    assert avg_pool2d(x, *wide, count_include_pad=True).ravel().tolist() == [4.0, 3.0]
    assert avg_pool2d(x, *wide, count_include_pad=False).ravel().tolist() == [6.0, 6.0]


def test_misuse_is_refused_in_words():
    x = np.zeros((2, 3, 8, 6))
    with pytest.raises(ValueError, match=r"avg_pool2d: x has shape \(8, 6\); .* 4 axes"):
        avg_pool2d(x[0, 0], 2)
    with pytest.raises(TypeError, match=r"avg_pool2d: x has dtype int64"):
        avg_pool2d(x.astype(np.int64), 2)
    with pytest.raises(ValueError, match=r"avg_pool2d: padding is 2 along height; .* 0..1"):
        avg_pool2d(x, 3, padding=2)
    with pytest.raises(
        ValueError, match=r"avg_pool2d_backward: dy is 4 x 4 but pooling 8 x 6 gives 4 x 3"
    ):
        avg_pool2d_backward(np.zeros((2, 3, 4, 4)), (8, 6), 2)


# --- wrong versions that the checks above must reject ------------------------------------------

GEOMETRIES = [
    PoolGeometry(2, 3, (5, 7), (3, 2), (2, 1), (1, 1)),
    PoolGeometry(1, 2, (6, 5), (2, 3), (3, 2), (1, 0), ceil_mode=True),
    PoolGeometry(1, 1, (7, 4), (4, 3), (3, 2), (2, 1), ceil_mode=True),
]


def of(args, size):
    kernel, stride, padding, ceil_mode, _ = args
    return PoolGeometry(size[0], size[1], size[2:], kernel, stride, padding, ceil_mode=ceil_mode)


FORWARD_MUTANTS = {
    "count_include_pad ignored": lambda x, *a: avg_pool2d(x, *a[:-1], True),
    "count_include_pad inverted": lambda x, *a: avg_pool2d(x, *a[:-1], not a[-1]),
    "always divides by the kernel": lambda x, *a: naive_avg_pool(
        x, of(a, x.shape), a[-1], divide_by_kernel=True
    ),
    "sum": lambda x, *a: avg_pool2d(x, *a) * a[0][0] * a[0][1],
    "stride swapped": lambda x, k, s, *a: avg_pool2d(x, k, s[::-1], *a),
}
BACKWARD_MUTANTS = {
    "not divided": lambda dy, n, k, *a: avg_pool2d_backward(dy, n, k, *a) * k[0] * k[1],
    "count_include_pad ignored": lambda dy, n, *a: avg_pool2d_backward(dy, n, *a[:-1], True),
    "upside down": lambda dy, *a: avg_pool2d_backward(dy, *a)[:, :, ::-1],
    "zeros": lambda dy, n, *a: np.zeros((*dy.shape[:2], *n)),
}


def every_check(forward, backward):
    for g in GEOMETRIES:
        for include_pad in (True, False):
            check_forward(forward, g, include_pad, 0)
            check_backward(backward, g, include_pad, 0)


def test_the_right_version_passes_the_checks_for_mutants():
    every_check(avg_pool2d, avg_pool2d_backward)


@pytest.mark.parametrize("name", FORWARD_MUTANTS)
def test_wrong_forwards_are_rejected(name):
    with pytest.raises(AssertionError):
        every_check(FORWARD_MUTANTS[name], avg_pool2d_backward)


@pytest.mark.parametrize("name", BACKWARD_MUTANTS)
def test_wrong_backwards_are_rejected(name):
    with pytest.raises(AssertionError):
        every_check(avg_pool2d, BACKWARD_MUTANTS[name])
