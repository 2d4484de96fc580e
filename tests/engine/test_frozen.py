"""Convolutions with weights that no longer change: those of the readable pair, rectified or not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from minideconv import ops
from minideconv.backend import parallel
from minideconv.backend.algorithms import algorithm, compiled
from minideconv.engine.layout import from_channels_last, taps_first, to_channels_last
from minideconv.ops.im2col import conv_window
from minideconv.testing import ConvGeometry, conv_geometries, seeds, values

pytest.importorskip("numba", reason="compiled kernels need numba")

from minideconv.engine.cpu import gemm
from minideconv.engine.cpu.compiled import direct, winograd

stride_1 = conv_geometries(
    max_out=20, max_kernel=4, max_stride=1, max_batch=3, max_channels=40, max_groups=1
)
any_geometry = conv_geometries(max_out=20, max_kernel=4, max_batch=3, max_channels=40, max_groups=1)
LOW = (-np.inf, 0.0)


def window_of(g):
    return conv_window("test", g.size, g.kernel, g.stride, g.padding, g.dilation)


def results(module, g, seed, transposed, low, kind="integer"):
    """What the frozen convolution gives, and what the readable one gives."""
    shape = g.y_shape if transposed else g.x_shape
    x, w, bias = (
        values(s, seed + i, kind, np.float32)
        for i, s in enumerate((shape, g.w_shape, g.c_in if transposed else g.c_out))
    )
    made = module.frozen(taps_first(w), bias, window_of(g), len(x), transposed, low)
    if made is None:
        return None
    n, c, h, wide = g.x_shape if transposed else g.y_shape
    y = np.full((n, h, wide, c), np.nan, np.float32)
    scratch = np.full(made.scratch, np.nan, np.float32)
    run = made.bind(to_channels_last(x).reshape(-1), y.reshape(-1), scratch)
    run()
    first = y.copy()
    run()  # nothing is left in the scratch memory that counts
    np.testing.assert_array_equal(y, first)
    with algorithm("reference"):
        if transposed:
            wanted = ops.conv_transpose2d(x, w, bias, **g.transpose_kwargs)
        else:
            wanted = ops.conv2d(x, w, bias, **g.kwargs)
    return from_channels_last(y), np.maximum(wanted, np.float32(low))


@given(any_geometry, seeds())
@settings(max_examples=20)
def test_direct_forward(g, seed):
    for low in LOW:
        np.testing.assert_array_equal(*results(direct, g, seed, False, low))


@given(stride_1, seeds())
@settings(max_examples=20)
def test_direct_transposed(g, seed):
    for low in LOW:
        np.testing.assert_array_equal(*results(direct, g, seed, True, low))


@pytest.mark.parametrize("low", LOW)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    "g",
    [
        ConvGeometry(2, 16, 32, (12, 16), (3, 3), padding=(1, 1)),
        ConvGeometry(1, 21, 50, (9, 13), (3, 3), padding=(0, 2)),
        ConvGeometry(3, 150, 40, (6, 5), (3, 3), padding=(1, 1)),
        ConvGeometry(1, 40, 150, (5, 7), (3, 3), padding=(1, 0)),
        ConvGeometry(1, 200, 180, (8, 8), (3, 3), padding=(1, 1)),  # too many to be kept
        ConvGeometry(2, 64, 64, (64, 60), (3, 3), padding=(1, 1)),  # in parts
    ],
    ids=str,
)
def test_winograd(g, transposed, low):
    found, wanted = results(winograd, g, 3, transposed, low, "normal")
    scale = np.sqrt(np.mean(np.square(wanted)))
    assert np.abs(found - wanted).max() < 1e-4 * scale
    assert (found >= low).all()


@pytest.mark.parametrize("low", LOW)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("g", "there"),
    [
        (ConvGeometry(1, 20, 33, (6, 7), (1, 1)), True),
        (ConvGeometry(2, 5, 64, (9, 3), (1, 1)), True),
        (ConvGeometry(2, 5, 64, (2, 3), (1, 1)), False),  # few rows
        (ConvGeometry(2, 5, 6, (3, 4), (3, 4)), False),  # one window, as large as the image
        (ConvGeometry(1, 600, 500, (5, 5), (1, 1)), False),  # many weights
    ],
    ids=str,
)
def test_products(g, there, transposed, low):
    found = results(gemm, g, 3, transposed, low)
    assert (found is not None) is (there and compiled())  # with kernels alone
    if found is not None:
        np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("module", [direct, winograd])
def test_threads_do_not_matter(module):
    g = ConvGeometry(2, 64, 64, (64, 60), (3, 3), padding=(1, 1))
    found = []
    try:
        for threads in (1, 2, 3):
            parallel.set_num_threads(threads)
            found.append(results(module, g, 1, False, 0.0, "normal")[0])
    finally:
        parallel.set_num_threads(1)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_nan_passes_a_relu():
    g = ConvGeometry(1, 3, 16, (4, 5), (1, 1))
    made = direct.frozen(np.ones((1, 1, 3, 16), np.float32), None, window_of(g), 1, False, 0.0)
    y = np.zeros((20, 16), np.float32)
    x = np.zeros((20, 3), np.float32)
    x[7, 1] = np.nan
    made.bind(x.reshape(-1), y.reshape(-1), np.empty(made.scratch, np.float32))()
    assert np.isnan(y[7]).all()
    assert np.isfinite(np.delete(y, 7, 0)).all()


@pytest.mark.parametrize("wrong", ["low", "bias", "turned"])
def test_a_wrong_one_is_rejected(wrong, monkeypatch):
    """The comparison would notice a ReLU, a bias or a turned kernel that is missing."""
    g, whole = ConvGeometry(2, 4, 20, (6, 7), (3, 2)), direct.frozen

    def spoilt(w, bias, window, n, transposed=False, low=-np.inf):
        if wrong == "low":
            low = -np.inf
        elif wrong == "bias":
            bias = None
        else:
            w = np.ascontiguousarray(w[::-1, ::-1])
        return whole(w, bias, window, n, transposed, low)

    monkeypatch.setattr(direct, "frozen", spoilt)
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(*results(direct, g, 2, wrong == "turned", 0.0))
