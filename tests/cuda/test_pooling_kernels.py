"""The GPU's pooling and unpooling against the readable op: equal bit by bit, in one launch each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minideconv import ops
from minideconv.backend.algorithms import algorithm
from minideconv.engine.cuda import pooling as engine
from minideconv.ops.pool_window import pool_window
from minideconv.ops.switches import Switches
from minideconv.ops.unpooling import gather, scatter_add
from minideconv.testing import PoolGeometry, pool_geometries, seeds, values

DTYPES = st.sampled_from([np.float32, np.float64])
CHANNELS = st.sampled_from([1, 2, 3, 4, 8, 33, 36])
ORDERS = st.permutations(range(4))


def with_order(array, order):
    """Return the same array, its axes stored in another order."""
    return np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))


def window_of(g):
    options = (g.kernel, g.stride, g.padding, g.dilation, g.ceil_mode)
    return pool_window("test", g.size, *options)


def same_bits(gpu, found, want):
    assert found.shape == want.shape
    assert found.dtype == want.dtype
    assert found.transpose(0, 2, 3, 1).flags.c_contiguous
    found, bits = np.ascontiguousarray(gpu.get(found)), f"i{want.dtype.itemsize}"
    assert np.array_equal(found.view(bits), want.copy("C").view(bits))


def with_channels(g, channels):
    options = {"stride": g.stride, "padding": g.padding, "dilation": g.dilation}
    return PoolGeometry(g.batch, channels, g.size, g.kernel, ceil_mode=g.ceil_mode, **options)


def check(gpu, g, seed, dtype, order=(0, 2, 3, 1), kind="ties"):
    """Compare maxima, taps, both directions of unpooling; values negative zeros included."""
    window = window_of(g)
    x = values(g.x_shape, seed, kind, dtype)
    planes, dy = (values(s, seed + 1, "normal", dtype) for s in (g.x_shape, g.y_shape))
    dy.flat[::5] = -0.0
    with algorithm("reference"):
        y, switches = ops.max_pool2d(x, **g.kwargs, return_switches=True)
        gathered, scattered = gather(planes, switches), scatter_add(dy, switches)
    got, taps = engine.pool(gpu.put(with_order(x, order)), window)
    same_bits(gpu, got, y)
    assert np.array_equal(gpu.get(taps), switches.to_window())
    assert taps.dtype == np.uint8
    t = gpu.put(with_order(switches.to_window().astype(np.uint8), order))
    same_bits(gpu, engine.gather(gpu.put(with_order(planes, order)), t, window), gathered)
    same_bits(gpu, engine.scatter(gpu.put(with_order(dy, order)), t, window), scattered)


@given(pool_geometries(), CHANNELS, seeds(), DTYPES, ORDERS, st.sampled_from(["ties", "normal"]))
@example(PoolGeometry(2, 4, (7, 9), (2, 2)), 36, 0, np.float32, (0, 2, 3, 1), "ties")
@example(PoolGeometry(1, 4, (6, 4), (2, 2)), 8, 0, np.float64, (0, 1, 2, 3), "ties")
@example(PoolGeometry(2, 4, (8, 7), (3, 3), (2, 2), (1, 1)), 4, 0, np.float32, (0, 1, 2, 3), "ties")
@example(PoolGeometry(2, 4, (9, 7), (4, 2), (4, 2), (2, 1), ceil_mode=True), 3, 1, np.float32,
         (3, 2, 1, 0), "ties")  # fmt: skip
def test_equals_the_readable_op(gpu, g, channels, seed, dtype, order, kind):
    check(gpu, with_channels(g, channels), seed, dtype, order, kind)


@given(pool_geometries(), CHANNELS, seeds())
def test_unpooling_is_the_transpose(gpu, g, channels, seed):
    """<G x, y> = <x, G* y>, exactly, on integers."""
    g = with_channels(g, channels)
    window = window_of(g)
    x, y = values(g.x_shape, seed), values(g.y_shape, seed + 1)
    taps = engine.pool(gpu.put(values(g.x_shape, seed + 2, "ties")), window)[1]
    forth = gpu.get(engine.gather(gpu.put(x), taps, window))
    back = gpu.get(engine.scatter(gpu.put(y), taps, window))
    assert np.sum(forth * y) == np.sum(x * back)


@pytest.mark.parametrize("kernel", [(2, 2), (3, 2), (3, 3)])
def test_not_a_number_wins_the_last_of_several_and_infinities_tie(gpu, kernel):
    rng = np.random.default_rng(0)
    specials = np.array([np.nan, np.inf, -np.inf, -np.inf, -np.inf, 1.0, -0.0, 0.0])
    x = rng.choice(specials, (2, 8, 9, 10)).astype(np.float32)
    window = pool_window("test", (9, 10), kernel, (2, 2), (1, 1), (1, 1))
    with algorithm("reference"):
        options = {"kernel_size": kernel, "stride": 2, "padding": 1, "return_switches": True}
        y, switches = ops.max_pool2d(x, **options)
        want = gather(x, switches)
    got, taps = (gpu.get(a) for a in engine.pool(gpu.put(x), window))
    np.testing.assert_array_equal(got, y)
    assert np.array_equal(taps, switches.to_window())
    np.testing.assert_array_equal(gpu.get(engine.gather(gpu.put(x), gpu.put(taps), window)), want)
    there = x[:, :, : y.shape[2], : y.shape[3]].copy()
    with np.errstate(invalid="ignore"):
        spread = scatter_add(there, switches)
    found = engine.scatter(gpu.put(there), gpu.put(taps), window)
    np.testing.assert_array_equal(gpu.get(found), spread)


def test_more_channels_than_a_block_is_wide(gpu):
    check(gpu, PoolGeometry(1, 1100, (3, 2), (2, 2)), 0, np.float32)
    check(gpu, PoolGeometry(2, 301, (2, 3), (2, 1)), 0, np.float64)


def test_what_the_kernels_do_not_know_is_left_to_the_reference(gpu):
    x = gpu.put(np.ones((1, 2, 40, 40), np.float32))
    large = pool_window("test", (40, 40), 17, None, 0, 1)
    assert engine.pool(x, large) is None
    window = pool_window("test", (40, 40), 2, None, 0, 1)
    assert engine.pool(x.astype(np.float16), window) is None
    assert engine.pool(x[:0], window) is None


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffle"])
def test_the_order_of_threads_does_not_matter(gpu, schedule, order):
    with schedule(order):
        check(gpu, PoolGeometry(2, 8, (9, 11), (3, 2), (2, 1), (1, 1)), 3, np.float32)
        check(gpu, PoolGeometry(3, 36, (9, 11), (2, 2)), 3, np.float32)


# --- on CuPy arrays ----------------------------------------------------------------------------


@pytest.mark.parametrize("g", [
    PoolGeometry(2, 8, (7, 10), (2, 2)),
    PoolGeometry(2, 3, (7, 10), (3, 2), (2, 2), (1, 1)),
])  # fmt: skip
def test_the_ops_ask_the_engine_once_each(cupy_device, counts, g):
    x, dy = values(g.x_shape, 0, "ties"), values(g.y_shape, 1)
    device = [cupy_device.put(with_order(a.astype(np.float32), (0, 2, 3, 1))) for a in (x, dy)]

    def all_three():
        y, switches = ops.max_pool2d(device[0], **g.kwargs, return_switches=True)
        planes = ops.max_pool2d_backward(device[1], switches)
        return y, planes, ops.max_unpool2d_backward(device[0], switches, "add")

    found = all_three()
    with counts() as seen:
        again = all_three()
    assert seen() == {"launches": 3, "syncs": 0, "h2d": 0, "d2h": 0, "d2d": 0, "mallocs": 0}
    y, switches = ops.max_pool2d(x, **g.kwargs, return_switches=True)
    want = y, ops.max_pool2d_backward(dy, switches), ops.max_unpool2d_backward(x, switches, "add")
    for a, b, c in zip(found, again, want, strict=True):
        assert np.array_equal(cupy_device.get(a), c)
        assert np.array_equal(cupy_device.get(b), c)


def test_the_reference_computes_the_same_on_the_device(cupy_device):
    g = PoolGeometry(2, 3, (7, 10), (3, 2), (2, 2), (1, 1))
    x = values(g.x_shape, 0, "ties")
    with algorithm("reference"):
        y, switches = ops.max_pool2d(cupy_device.put(x), **g.kwargs, return_switches=True)
    want, switches_there = ops.max_pool2d(x, **g.kwargs, return_switches=True)
    assert np.array_equal(cupy_device.get(y), want)
    assert np.array_equal(switches.to("cpu").indices, switches_there.indices)
    assert isinstance(switches, Switches)


# --- wrong kernels that the checks above must reject ---------------------------------------------

MUTANTS = {
    "the last of equals": ("v > best.at[k]", "v >= best.at[k]"),
    "NaN like a number": (" || v != v", ""),
    "padding wins": ("if (real && (", "if ((real || v == v) && ("),
    "the first tap is tap 0": ("tap == first", "tap == 0"),
    "one value for all pixels": ("if (tap.at[k] == i * kw + j) pixel.at[k]", "pixel.at[k]"),
    "no tile without a window": (
        "if (!inside(row, g.h)",
        "if (at.row >= g.ho || !inside(row, g.h)",
    ),
    "dilation forgotten": ("at.row + ph - i * dh;", "at.row + ph - i;"),
    "the later value stays": ("overlaps ? sum.at[k] + value.at[k] : value.at[k]", "value.at[k]"),
    "rows and columns swapped": ("tap.at[k] / g.kw * g.dh", "tap.at[k] % g.kw * g.dh"),
    "a neighbour's channels": ("(blockIdx.y * blockDim.x + threadIdx.x)", "threadIdx.x"),
}

HARD = [
    (PoolGeometry(2, 8, (7, 9), (3, 3), (2, 2), (1, 1)), np.float32),
    (PoolGeometry(2, 3, (9, 8), (3, 2), (2, 1), (1, 1), (2, 3)), np.float64),
    (PoolGeometry(2, 4, (7, 9), (2, 2)), np.float32),
    (PoolGeometry(2, 5, (8, 9), (2, 4), (2, 4), (1, 2), ceil_mode=True), np.float32),
    (PoolGeometry(1, 300, (2, 2), (2, 2)), np.float32),
]  # fmt: skip


def all_hard_ones(gpu):
    for g, dtype in HARD:
        check(gpu, g, 0, dtype)
    test_not_a_number_wins_the_last_of_several_and_infinities_tie(gpu, (2, 2))
    check(gpu, PoolGeometry(1, 1100, (2, 2), (2, 2)), 0, np.float32)


@pytest.mark.parametrize("name", MUTANTS)
def test_wrong_kernels_are_rejected(gpu, slip, name):
    with slip(engine.FILE, *MUTANTS[name]), pytest.raises(AssertionError):
        all_hard_ones(gpu)


def test_the_right_kernels_pass_what_rejects_the_wrong_ones(gpu):
    all_hard_ones(gpu)
