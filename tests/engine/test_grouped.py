"""Convolutions in groups and depthwise against the readable ones, over any geometry, exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minideconv as md
from minideconv import ops
from minideconv.backend import parallel
from minideconv.engine.cpu import depthwise, grouped
from minideconv.ops.im2col import conv_window
from minideconv.testing import ConvGeometry, conv_geometries, seeds, values

try:
    from minideconv.engine.cpu.compiled import depthwise as kernels
except ImportError:  # no numba
    kernels = None

in_groups = conv_geometries(max_out=9, max_kernel=4, max_batch=3, max_channels=6, max_groups=5)
dtypes = st.sampled_from((np.float32, np.float64))
NAMED = (
    ConvGeometry(2, 128, 64, size=(12, 13), kernel=(3, 3), padding=(1, 1), groups=4),
    ConvGeometry(2, 32, 48, size=(13, 9), kernel=(3, 2), stride=(2, 1), padding=(1, 0), groups=4),
    ConvGeometry(2, 128, 128, size=(20, 21), kernel=(3, 3), padding=(1, 1), groups=128),
    ConvGeometry(1, 40, 40, size=(21, 18), kernel=(3, 3), stride=(2, 2), padding=(1, 1), groups=40),
    ConvGeometry(2, 33, 33, size=(9, 14), kernel=(5, 4), dilation=(2, 1), groups=33),
    ConvGeometry(1, 7, 7, size=(15, 11), kernel=(3, 6), stride=(3, 2), dilation=(2, 2), groups=7),
    ConvGeometry(1, 18, 18, size=(7, 5), kernel=(1, 2), stride=(3, 3), padding=(0, 1), groups=18),
    ConvGeometry(1, 6, 12, size=(9, 8), kernel=(3, 3), groups=6),  # two outputs for each channel
)


def of_depth(g, channels):
    """Return the same geometry with one channel in each group."""
    return replace(g, c_in=channels, c_out=channels, groups=channels)


def same(g, seed, dtype):
    """Compare the three passes with the reference: integers, so that nothing rounds."""
    x, w, dy = (
        values(shape, seed + i, dtype=dtype)
        for i, shape in enumerate((g.x_shape, g.w_shape, g.y_shape))
    )
    inside, outside = (values(n, seed + 5, dtype=dtype) for n in (g.c_in, g.c_out))

    def passes():
        return (
            ops.conv2d(x, w, outside, **g.kwargs),
            ops.conv_transpose2d(dy, w, inside, **g.transpose_kwargs),
            ops.conv2d_weight_grad(x, dy, g.kernel, **g.kwargs),
        )

    with md.algorithm("exact"):
        found = passes()
    with md.algorithm("reference"):
        want = passes()
    for one, other in zip(found, want, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@given(in_groups, seeds(), dtypes)
@settings(max_examples=100)
def test_groups_are_the_readable_ones(g, seed, dtype):
    same(g, seed, dtype)


@given(in_groups, st.integers(1, 40), seeds(), dtypes)
@settings(max_examples=100)
def test_depthwise_is_the_readable_one(g, channels, seed, dtype):
    same(of_depth(g, channels), seed, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("g", NAMED, ids=str)
def test_named_geometries(g, dtype):
    same(g, 3, dtype)


@pytest.mark.parametrize("module", [depthwise, kernels], ids=["NumPy", "compiled"])
@given(in_groups, st.integers(1, 40), seeds())
@settings(max_examples=40)
def test_both_depthwise_modules_compute_the_same(module, g, channels, seed):
    if module is None:
        pytest.skip("compiled kernels need numba")
    g = of_depth(g, channels)
    window = conv_window("test", g.size, g.kernel, g.stride, g.padding, g.dilation)
    last = (0, 2, 3, 1)
    x, dy = (
        np.ascontiguousarray(values(shape, seed + i, dtype=np.float32).transpose(last))
        for i, shape in enumerate((g.x_shape, g.y_shape))
    )
    w = np.ascontiguousarray(values(g.w_shape, seed, dtype=np.float32)[:, 0].transpose(1, 2, 0))
    bias = values(channels, seed, dtype=np.float32)
    with md.algorithm("reference"):
        plain = w.transpose(2, 0, 1)[:, None]
        y = ops.conv2d(x.transpose(0, 3, 1, 2), plain, bias, **g.kwargs)
        dw = ops.conv2d_weight_grad(
            x.transpose(0, 3, 1, 2), dy.transpose(0, 3, 1, 2), g.kernel, **g.kwargs
        )
        dx = ops.conv_transpose2d(dy.transpose(0, 3, 1, 2), plain, bias, **g.transpose_kwargs)
    np.testing.assert_array_equal(module.forward(x, w, bias, window), y.transpose(last))
    np.testing.assert_array_equal(module.input_grad(dy, w, bias, window), dx.transpose(last))
    np.testing.assert_array_equal(module.weight_grad(x, dy, window), dw[:, 0].transpose(1, 2, 0))


def test_results_do_not_depend_on_the_number_of_threads():
    pytest.importorskip("threadpoolctl", reason="workers need threadpoolctl")
    for g in NAMED[:4]:
        x, w, dy = (
            values(shape, i, "normal", np.float32)
            for i, shape in enumerate((g.x_shape, g.w_shape, g.y_shape))
        )
        found = []
        try:
            for threads in (1, 2):
                parallel.set_num_threads(threads)
                found.append(
                    (
                        ops.conv2d(x, w, **g.kwargs),
                        ops.conv_transpose2d(dy, w, **g.transpose_kwargs),
                        ops.conv2d_weight_grad(x, dy, g.kernel, **g.kwargs),
                    )
                )
        finally:
            parallel.set_num_threads(1)
        for one, two in zip(*found, strict=True):
            np.testing.assert_array_equal(one, two)


def test_what_has_a_faster_way_and_what_has_none():
    window = conv_window("test", (20, 20), (3, 3), (1, 1), (1, 1), (1, 1))
    fits = lambda *shape: grouped.fits("forward", window, *shape, np.float32)  # noqa: E731
    with md.algorithm("exact"):
        assert fits(2, 64, 64, 64)
        assert fits(2, 64, 32, 4)
        assert not fits(2, 64, 128, 64), "two outputs for each channel: a call for each costs more"
        assert not fits(2, 8, 8, 4)
    with md.algorithm("reference"):
        assert not fits(2, 64, 32, 4)
