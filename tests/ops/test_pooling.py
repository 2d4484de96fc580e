"""Max pooling against a loop over windows, its gradient against differences, and wrong versions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.ops import max_pool2d, max_pool2d_backward
from minideconv.testing import (
    PoolGeometry,
    check_adjoint,
    check_contract,
    check_gradients,
    pool_geometries,
    seeds,
    values,
)


def naive_max_pool(x, g, *, padding_value=None, beats=lambda new, old: new > old):
    """Return the maxima and their plane indices, window by window; the keywords make mutants."""
    n, c, h, w = x.shape
    ho, wo = g.out_size
    y = np.empty((n, c, ho, wo), x.dtype)
    indices = np.full((n, c, ho, wo), -1)
    for b, k, o, q in np.ndindex(y.shape):
        best = None
        for i in range(g.kernel[0]):
            for j in range(g.kernel[1]):
                row = o * g.stride[0] + i * g.dilation[0] - g.padding[0]
                column = q * g.stride[1] + j * g.dilation[1] - g.padding[1]
                if 0 <= row < h and 0 <= column < w:
                    pixel, index = x[b, k, row, column], row * w + column
                elif padding_value is not None:
                    pixel, index = padding_value, 0
                else:
                    continue
                if best is None or beats(pixel, best):
                    best = pixel
                    y[b, k, o, q], indices[b, k, o, q] = pixel, index
    return y, indices


def naive_backward(dy, indices, plane):
    """Add every gradient to the pixel that won, one by one."""
    n, c = dy.shape[:2]
    dx = np.zeros((n, c, plane[0] * plane[1]), dy.dtype)
    for b, k, o, q in np.ndindex(dy.shape):
        dx[b, k, indices[b, k, o, q]] += dy[b, k, o, q]
    return dx.reshape(n, c, *plane)


def our_max_pool(x, g):
    y, switches = max_pool2d(x, **g.kwargs, return_switches=True)
    return y, switches.indices


def our_backward(dy, x, g):
    return max_pool2d_backward(dy, max_pool2d(x, **g.kwargs, return_switches=True)[1])


def check_forward(pool, g, x):
    y, indices = pool(x, g)
    want_y, want_indices = naive_max_pool(x, g)
    assert y.shape == g.y_shape
    assert y.dtype == x.dtype
    assert np.array_equal(y, want_y)
    assert np.array_equal(indices, want_indices)


def check_backward(backward, g, seed):
    x, dy = values(g.x_shape, seed, "ties"), values(g.y_shape, seed + 1)
    want = naive_backward(dy, naive_max_pool(x, g)[1], g.size)
    assert np.array_equal(backward(dy, x, g), want)


# --- forward ---------------------------------------------------------------------------------


@given(pool_geometries(), seeds(), st.sampled_from(["ties", "distinct", "normal"]))
def test_equals_the_loop(g, seed, kind):
    check_forward(our_max_pool, g, values(g.x_shape, seed, kind))


@given(pool_geometries(max_kernel=5, max_stride=5, max_dilation=3, max_batch=1), seeds())
def test_equals_the_loop_on_wide_geometries(g, seed):
    check_forward(our_max_pool, g, values(g.x_shape, seed, "ties", np.float32))


@given(pool_geometries(), seeds())
def test_keeps_the_promises_of_an_op(g, seed):
    x = values(g.x_shape, seed, "ties")
    check_contract(lambda a: max_pool2d(a, **g.kwargs), [x], shape=g.y_shape)
    check_contract(lambda a: our_max_pool(a, g)[1], [x], shape=g.y_shape)


@given(pool_geometries(), seeds())
def test_switches_do_not_change_the_result(g, seed):
    x = values(g.x_shape, seed, "normal")
    assert np.array_equal(max_pool2d(x, **g.kwargs), our_max_pool(x, g)[0])


def test_stride_is_the_kernel_by_default():
    x = values((1, 2, 6, 9), 0)
    assert np.array_equal(max_pool2d(x, (2, 3)), max_pool2d(x, (2, 3), stride=(2, 3)))


def test_the_first_of_equal_maxima_wins():
    """After a ReLU many windows hold only zeros; the first pixel must be the switch."""
    _, indices = our_max_pool(np.zeros((1, 1, 4, 6)), PoolGeometry(1, 1, (4, 6), (2, 3)))
    assert indices.ravel().tolist() == [0, 3, 12, 15]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_window_of_minus_infinities_points_to_its_first_pixel(dtype):
    g = PoolGeometry(1, 1, (3, 4), (3, 2), stride=(2, 2), padding=(1, 1))
    x = np.full(g.x_shape, -np.inf, dtype)
    y, indices = our_max_pool(x, g)
    assert y.dtype == dtype
    assert np.all(y == -np.inf)
    assert np.array_equal(indices, naive_max_pool(x, g)[1])
    assert indices.ravel().tolist() == [0, 1, 3, 4, 5, 7]


@given(pool_geometries(), seeds())
def test_nan_beats_every_number(g, seed):
    """The last NaN of a window wins, as in PyTorch."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(g.x_shape) < 0.3, np.nan, values(g.x_shape, seed, "ties"))
    y, indices = our_max_pool(x, g)
    want_y, want_indices = naive_max_pool(x, g, beats=lambda new, old: new > old or np.isnan(new))
    assert np.array_equal(y, want_y, equal_nan=True)
    assert np.array_equal(indices, want_indices)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "floor", "ceil"),
    [
        ((5, 7), (2, 2), (2, 2), (0, 0), (2, 3), (3, 4)),
        ((4, 4), (3, 3), (2, 2), (0, 0), (1, 1), (2, 2)),
        ((2, 2), (1, 1), (2, 2), (0, 0), (1, 1), (1, 1)),  # the last would start behind the image
        ((2, 5), (3, 3), (3, 3), (1, 1), (1, 2), (1, 2)),  # or in the padding behind it
        ((1, 3), (2, 2), (2, 2), (0, 0), None, (1, 2)),  # a window larger than the image
    ],
)
def test_number_of_windows(size, kernel, stride, padding, floor, ceil):
    x = np.zeros((1, 1, *size))
    assert max_pool2d(x, kernel, stride, padding, ceil_mode=True).shape[2:] == ceil
    if floor is None:
        with pytest.raises(ValueError, match=r"max_pool2d: the window spans 2 pixels of height"):
            max_pool2d(x, kernel, stride, padding)
    else:
        assert max_pool2d(x, kernel, stride, padding).shape[2:] == floor


def test_a_kernel_of_more_than_256_taps():
    g = PoolGeometry(1, 1, (19, 23), (17, 19), stride=(2, 3))
    check_forward(our_max_pool, g, values(g.x_shape, 0, "distinct"))
    check_backward(our_backward, g, 0)


def test_an_empty_batch():
    y, switches = max_pool2d(np.zeros((0, 3, 4, 6)), 2, return_switches=True)
    assert y.shape == switches.indices.shape == (0, 3, 2, 3)
    assert max_pool2d_backward(y, switches).shape == (0, 3, 4, 6)


# --- backward --------------------------------------------------------------------------------


@given(pool_geometries(), seeds())
def test_backward_equals_the_loop(g, seed):
    check_backward(our_backward, g, seed)


@given(pool_geometries(), seeds())
def test_backward_is_the_gradient(g, seed):
    x = values(g.x_shape, seed, "distinct")
    switches = max_pool2d(x, **g.kwargs, return_switches=True)[1]
    check_gradients(
        lambda a: max_pool2d(a, **g.kwargs),
        [x],
        lambda dy: (max_pool2d_backward(dy, switches),),
        seed=seed,
    )


@given(pool_geometries(), seeds())
def test_backward_is_the_adjoint_of_the_gather(g, seed):
    """For fixed switches pooling is the linear map that gathers; integers, so exactly."""
    x = values(g.x_shape, seed, "ties")
    switches = max_pool2d(x, **g.kwargs, return_switches=True)[1]
    flat = switches.indices.reshape(*g.x_shape[:2], -1)

    def gather(a):
        return np.take_along_axis(a.reshape(*g.x_shape[:2], -1), flat, 2).reshape(g.y_shape)

    assert np.array_equal(gather(x), max_pool2d(x, **g.kwargs))
    check_adjoint(
        gather,
        lambda dy: max_pool2d_backward(dy, switches),
        values(g.x_shape, seed + 1),
        values(g.y_shape, seed + 2),
        exact=True,
    )


@given(pool_geometries(), seeds())
def test_backward_keeps_the_promises_of_an_op(g, seed):
    switches = max_pool2d(values(g.x_shape, seed), **g.kwargs, return_switches=True)[1]
    dy = values(g.y_shape, seed + 1)
    check_contract(lambda a: max_pool2d_backward(a, switches), [dy], shape=g.x_shape)


@given(pool_geometries(), seeds(), st.sampled_from([np.inf, -np.inf, np.nan]))
def test_an_infinite_gradient_stays_at_its_pixel(g, seed, odd):
    x, dy = values(g.x_shape, seed, "distinct"), values(g.y_shape, seed)
    indices = our_max_pool(x, g)[1]
    dy[0, 0, 0, 0] = odd
    hit = np.zeros(g.x_shape, bool)
    hit[0, 0].flat[indices[0, 0, 0, 0]] = True
    assert np.array_equal(~np.isfinite(our_backward(dy, x, g)), hit)


# --- refusals --------------------------------------------------------------------------------


def test_misuse_is_refused_in_words():
    x = np.zeros((2, 3, 8, 6))
    with pytest.raises(ValueError, match=r"max_pool2d: x has shape \(3, 8, 6\); .* 4 axes"):
        max_pool2d(x[0], 2)
    with pytest.raises(TypeError, match=r"max_pool2d: x has dtype int64"):
        max_pool2d(x.astype(np.int64), 2)
    with pytest.raises(
        ValueError, match=r"padding is 2 along height; it must be in 0..1 \(half the kernel of 3\)"
    ):
        max_pool2d(x, 3, padding=2)
    with pytest.raises(ValueError, match=r"meets none of the input's 1"):
        max_pool2d(x[:, :, :1], 2, stride=1, padding=1, dilation=2)
    switches = max_pool2d(x, 2, return_switches=True)[1]
    with pytest.raises(
        ValueError,
        match=r"max_pool2d_backward: dy has shape \(2, 3, 4, 4\) but .* \(2, 3, 4, 3\)",
    ):
        max_pool2d_backward(np.zeros((2, 3, 4, 4)), switches)


# --- wrong versions that the checks above must reject ------------------------------------------

GEOMETRIES = [
    PoolGeometry(1, 1, (4, 6), (2, 2)),
    PoolGeometry(2, 3, (5, 7), (3, 2), (2, 1), (1, 1)),
    PoolGeometry(1, 2, (8, 5), (2, 3), (3, 2), (1, 0), (2, 1), ceil_mode=True),
    PoolGeometry(2, 1, (7, 9), (3, 3), (2, 2), ceil_mode=True),
]


def swapped_axes(x, g):
    turned = PoolGeometry(
        g.batch, g.channels, g.size, g.kernel[::-1], g.stride[::-1], g.padding, g.dilation
    )
    return naive_max_pool(x, turned)


def transposed_indices(x, g):
    y, indices = naive_max_pool(x, g)
    return y, indices % g.size[1] * g.size[0] + indices // g.size[1]


def in_window_indices(x, g):
    y, switches = max_pool2d(x, **g.kwargs, return_switches=True)
    return y, switches.to_window()


def indices_into_the_padded_plane(x, g):
    y, indices = naive_max_pool(x, g)
    row, column = np.divmod(indices, g.size[1])
    return y, (row + g.padding[0]) * (g.size[1] + 2 * g.padding[1]) + column + g.padding[1]


FORWARD_MUTANTS = {
    "ties go to the last": lambda x, g: naive_max_pool(x, g, beats=lambda a, b: a >= b),
    "padding is zero": lambda x, g: naive_max_pool(x, g, padding_value=0.0),
    "minimum": lambda x, g: naive_max_pool(x, g, beats=lambda a, b: a < b),
    "largest magnitude": lambda x, g: naive_max_pool(x, g, beats=lambda a, b: abs(a) > abs(b)),
    "kernel and stride swapped": swapped_axes,
    "indices count columns first": transposed_indices,
    "indices inside the window": in_window_indices,
    "indices into the padded plane": indices_into_the_padded_plane,
}


def assign_instead_of_add(dy, x, g):
    dx, indices = np.zeros(g.x_shape), naive_max_pool(x, g)[1]
    for b, k, o, q in np.ndindex(dy.shape):
        dx[b, k].flat[indices[b, k, o, q]] = dy[b, k, o, q]
    return dx


def shared_among_ties(dy, x, g):
    dx, (y, _) = np.zeros(g.x_shape), naive_max_pool(x, g)
    for b, k, o, q in np.ndindex(dy.shape):
        top, left = (a * s - p for a, s, p in zip((o, q), g.stride, g.padding, strict=True))
        rows = [r for r in range(top, top + g.kernel[0]) if 0 <= r < g.size[0]]
        columns = [r for r in range(left, left + g.kernel[1]) if 0 <= r < g.size[1]]
        window = x[b, k][np.ix_(rows, columns)]
        best = window == y[b, k, o, q]
        dx[b, k][np.ix_(rows, columns)] += best * dy[b, k, o, q] / max(best.sum(), 1)
    return dx


BACKWARD_MUTANTS = {
    "= instead of +=": assign_instead_of_add,
    "shared among ties": shared_among_ties,
    "ties go to the last": lambda dy, x, g: naive_backward(
        dy, naive_max_pool(x, g, beats=lambda a, b: a >= b)[1], g.size
    ),
    "channels mixed up": lambda dy, x, g: our_backward(dy[:, ::-1], x, g),
    "zeros": lambda dy, x, g: np.zeros(g.x_shape),
    "cotangent ignored": lambda dy, x, g: our_backward(np.ones_like(dy), x, g),
}


def every_forward_check(pool):
    for g in GEOMETRIES:
        check_forward(pool, g, values(g.x_shape, 0, "ties"))
        check_forward(pool, g, values(g.x_shape, 1, "distinct"))
        check_forward(pool, g, -np.abs(values(g.x_shape, 2, "distinct")))


def every_backward_check(backward):
    for g in GEOMETRIES:
        check_backward(backward, g, 0)


def test_the_right_version_passes_the_checks_for_mutants():
    every_forward_check(our_max_pool)
    every_backward_check(our_backward)


@pytest.mark.parametrize("name", FORWARD_MUTANTS)
def test_wrong_forwards_are_rejected(name):
    with pytest.raises(AssertionError):
        every_forward_check(FORWARD_MUTANTS[name])


@pytest.mark.parametrize("name", BACKWARD_MUTANTS)
def test_wrong_backwards_are_rejected(name):
    with pytest.raises(AssertionError):
        every_backward_check(BACKWARD_MUTANTS[name])
