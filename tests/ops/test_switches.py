"""Switches: three encodings and back, and what is refused."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given

from minideconv.ops import Switches, max_pool2d, max_unpool2d
from minideconv.testing import PoolGeometry, pool_geometries, seeds, values


def pooled(g, seed):
    x = values(g.x_shape, seed, "ties")
    return x, *max_pool2d(x, **g.kwargs, return_switches=True)


def pooling(g):
    """The arguments of the pooling that the converters take."""
    return {k: g.kwargs[k] for k in ("kernel_size", "stride", "padding", "dilation")}


def same(a, b):
    return a.plane_shape == b.plane_shape and np.array_equal(a.indices, b.indices)


# --- meaning ---------------------------------------------------------------------------------


@pytest.mark.cpu  # counts the host's memory
def test_indices_are_looked_up_and_not_computed():
    _, switches = max_pool2d(values((4, 16, 64, 64), 0, "ties"), 2, return_switches=True)
    tracemalloc.start()
    try:
        indices = switches.indices
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * indices.nbytes  # with a row and a column for each it is twelve times


@given(pool_geometries(), seeds())
def test_each_encoding_finds_the_maximum(g, seed):
    """Written from the definitions of the three encodings, one switch at a time."""
    x, y, switches = pooled(g, seed)
    plane, window, tensor = switches.to_plane(), switches.to_window(), switches.to_tensor()
    column_major = switches.to_tensor(column_major=True)
    h, w = g.size
    for b, c, o, q in np.ndindex(y.shape):
        at = (b, c, o, q)
        assert x[b, c, plane[at] // w, plane[at] % w] == y[at]
        row = o * g.stride[0] - g.padding[0] + window[at] // g.kernel[1] * g.dilation[0]
        column = q * g.stride[1] - g.padding[1] + window[at] % g.kernel[1] * g.dilation[1]
        assert (row, column) == divmod(plane[at], w)
        assert tensor[at] == np.ravel_multi_index((b, c, row, column), x.shape)
        start = (b * g.channels + c) * h * w
        assert column_major[at] == start + column * h + row


@given(pool_geometries(), seeds())
def test_round_trips(g, seed):
    _, _, s = pooled(g, seed)
    how = pooling(g)
    assert same(s, Switches.from_plane(s.to_plane(), g.size))
    assert same(s, Switches.from_tensor(s.to_tensor(), g.size))
    assert same(s, Switches.from_tensor(s.to_tensor(True), g.size, column_major=True))
    for again in (
        Switches(s.indices, g.size, **how),
        Switches.from_plane(s.to_plane(), g.size, **how),
        Switches.from_window(s.to_window(), g.size, **how),
        Switches.from_tensor(s.to_tensor(), g.size, **how),
        pickle.loads(pickle.dumps(s)),
        s.to("cpu"),
    ):
        assert same(s, again)
        assert np.array_equal(again.to_window(), s.to_window())
        assert (again.kernel_size, again.stride) == (g.kernel, g.stride)
        assert (again.padding, again.dilation) == (g.padding, g.dilation)


@given(pool_geometries(), seeds())
def test_any_integer_type_and_strides_are_read(g, seed):
    _, _, s = pooled(g, seed)
    for dtype in (np.int16, np.uint16, np.int32, np.int64, np.uint64):
        strided = np.repeat(s.to_plane().astype(dtype), 2, axis=3)[..., ::2]
        assert same(s, Switches.from_plane(strided, g.size, **pooling(g)))
    for dtype in (np.int8, np.uint8, np.int64, np.uint64):
        assert same(s, Switches.from_window(s.to_window().astype(dtype), g.size, **pooling(g)))


def test_integer_types():
    s = max_pool2d(values((1, 2, 4, 6), 0), 2, return_switches=True)[1]
    assert s.indices.dtype == np.int32
    assert s.to_plane().dtype == s.to_tensor().dtype == np.int64
    assert s.to_window().dtype == np.int32
    huge = Switches.from_plane(np.array([[[[2**31]]]]), (2**16, 2**16))
    assert huge.indices.dtype == np.int64


def test_a_plane_too_large_for_int32_keeps_its_indices():
    """One tap of one byte stands for an index past 2**32; no such image is made."""
    s = Switches.from_window(
        np.array([[[[3]]]]), (2**17, 2**17), kernel_size=2, stride=2, dilation=2**16
    )
    assert s.indices.item() == 2**16 * 2**17 + 2**16


def test_taps_of_one_byte_with_a_wide_dilation():
    """Row 2 * 150 does not fit into a byte."""
    x = values((1, 1, 301, 1), 0, "taps")
    s = max_pool2d(x, (3, 1), dilation=150, return_switches=True)[1]
    assert s.indices.tolist() == [[[[300]]]]
    how = {"kernel_size": (3, 1), "dilation": 150}
    assert same(s, Switches.from_window(s.to_window().astype(np.uint8), (301, 1), **how))
    assert same(s, Switches.from_plane(s.to_plane().astype(np.uint16), (301, 1), **how))


def test_switches_do_not_change():
    g = PoolGeometry(1, 1, (4, 6), (2, 2))
    _, _, s = pooled(g, 0)
    with pytest.raises(AttributeError, match="plane_shape cannot be set"):
        s.plane_shape = (6, 4)
    mine = s.to_plane()
    read = Switches.from_plane(mine, g.size)
    mine[...] = 0
    assert same(read, s)
    assert repr(s) == "Switches((1, 1, 2, 3) into planes of 4 x 6)"
    assert str(s.device) == "cpu"


def test_chainer_s_wide_cover_is_read():
    """Chainer's cover_all gives 3 windows on 5 pixels; its in-window numbers need no more."""
    s = Switches.from_window(np.array([[[[0, 1, 0]]]]), (1, 5), kernel_size=(1, 2))
    assert s.indices.ravel().tolist() == [0, 3, 4]


def test_switches_read_from_pytorch_s_numbers_unpool():
    x = values((1, 1, 2, 2), 0)
    s = Switches.from_plane(np.array([[[[1, 6], [8, 15]]]]), (4, 4))
    y = max_unpool2d(x, s)
    assert y.ravel()[[1, 6, 8, 15]].tolist() == x.ravel().tolist()
    assert np.count_nonzero(y) == 4


# --- refusals --------------------------------------------------------------------------------

INDICES = np.array([[[[0, 3], [13, 11]]]])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Switches(INDICES, (3, 4)), ValueError, r"from 0 to 13; .* 3 x 4 plane are 0..11"),
        (lambda: Switches(-INDICES, (4, 4)), ValueError, r"from -13 to 0; .* are 0..15"),
        (lambda: Switches(INDICES * 1.0, (4, 4)), TypeError, r"dtype float64; .* integer"),
        (lambda: Switches(INDICES > 3, (4, 4)), TypeError, r"dtype bool"),
        (lambda: Switches(INDICES[0], (4, 4)), ValueError, r"shape \(1, 2, 2\); .* 4 axes"),
        (lambda: Switches(INDICES, (0, 4)), ValueError, r"plane_shape is \(0, 4\)"),
        (lambda: Switches(INDICES, (1, 4, 4)), TypeError, r"plane_shape is \(1, 4, 4\)"),
        (
            lambda: Switches(INDICES, (4, 4), kernel_size=2, stride=1),
            ValueError,
            r"indices\[0, 0, 0, 1\] is 3, .* 2 x 2 window that it belongs to \(3 of 4 are wrong\)",
        ),
        (
            lambda: Switches(INDICES, (4, 4), stride=2),
            ValueError,
            r"stride, padding or dilation is given without kernel_size",
        ),
        (
            lambda: Switches.from_window(INDICES, (4, 4), 2),
            ValueError,
            r"from 0 to 13; those of the 2 x 2 window are 0..3",
        ),
        (
            lambda: Switches.from_window(INDICES * 0, (4, 4), 2, padding=1),
            ValueError,
            r"taps\[0, 0, 0, 0\] is 0, which lies outside the 4 x 4 plane \(3 of 4 are wrong\)",
        ),
        (
            lambda: Switches.from_window(INDICES * 0, (4, 3), 2, stride=3),
            ValueError,
            r"window that starts at pixel 3 along width meets none of the input's 3",
        ),
        (
            lambda: Switches.from_tensor(INDICES + 16, (4, 4)),
            ValueError,
            r"indices\[0, 0, 0, 0\] is 16, which points out of the plane of its own image",
        ),
        (
            lambda: Switches.from_plane(INDICES, (4, 4)).to_window(),
            ValueError,
            r"to_window: these switches were made from plane indices alone; give",
        ),
    ],
)
def test_misuse_is_refused_in_words(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_plane_numbers_taken_for_tensor_numbers_are_refused():
    """The commonest confusion: PyTorch's numbers read as ONNX's, of two channels."""
    _, _, s = pooled(PoolGeometry(1, 2, (4, 6), (2, 2)), 0)
    with pytest.raises(ValueError, match="points out of the plane of its own image and channel"):
        Switches.from_tensor(s.to_plane(), s.plane_shape)
    with pytest.raises(ValueError, match=r"those of the 4 x 6 plane are 0\.\.23"):
        Switches.from_plane(s.to_tensor(), s.plane_shape)
