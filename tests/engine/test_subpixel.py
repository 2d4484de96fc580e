"""Transposed convolution tile by tile against the readable one, exactly (integers)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minideconv as md
from minideconv import ops
from minideconv.backend import parallel
from minideconv.engine.cpu import subpixel
from minideconv.engine.cpu.table import choose
from minideconv.engine.layout import from_channels_last, taps_first, to_channels_last
from minideconv.ops.im2col import conv_transpose_window, conv_window
from minideconv.testing import ConvGeometry, conv_geometries, seeds, values

geometries = conv_geometries(
    max_out=7, max_kernel=7, max_stride=4, max_batch=3, max_channels=5, max_groups=1
)
dtypes = st.sampled_from((np.float32, np.float64))


@pytest.fixture(params=[None, 100], ids=["usual blocks", "small blocks"], scope="module")
def blocks(request):
    """Run each test with blocks of the usual size, and of one row of tiles."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param:
            patch.setattr(subpixel, "_BLOCK", request.param)
            patch.setattr(subpixel, "_ROWS", 1)
        yield


def window_of(g):
    return conv_window("test", g.size, g.kernel, g.stride, g.padding, g.dilation)


@given(geometries, seeds(), dtypes)
@settings(max_examples=150)
def test_it_is_the_readable_transposed_convolution(blocks, conv, g, seed, dtype):
    assume(subpixel.fits(window_of(g), g.c_in, g.c_out, dtype))
    conv.input_grad(subpixel, g, seed, dtype)


@pytest.mark.parametrize(
    "g",
    [
        ConvGeometry(2, 3, 4, size=(20, 33), kernel=(8, 6), stride=(4, 3)),  # whole strides
        ConvGeometry(2, 3, 4, size=(20, 33), kernel=(8, 6), stride=(4, 3), padding=(2, 1)),
        ConvGeometry(1, 3, 2, size=(9, 12), kernel=(3, 5), stride=(2, 3), padding=(1, 2)),  # filled
        ConvGeometry(
            2, 2, 3, size=(11, 9), kernel=(2, 2), stride=(2, 2)
        ),  # a last row without a tap
        ConvGeometry(2, 2, 3, size=(9, 8), kernel=(2, 3), stride=(2, 2), padding=(5, 4)),  # cut off
        ConvGeometry(
            1, 2, 3, size=(7, 12), kernel=(1, 4), stride=(1, 4)
        ),  # stride 1 along one axis
    ],
    ids=str,
)
def test_named_geometries(blocks, conv, g):
    assert subpixel.fits(window_of(g), g.c_in, g.c_out, np.float32)
    conv.input_grad(subpixel, g, 1)


@given(st.data())
@settings(max_examples=80)
def test_output_padding_gets_the_bias_alone_where_no_tap_meets_it(blocks, data):
    stride = data.draw(st.tuples(st.integers(1, 4), st.integers(2, 4)), "stride")
    kernel = tuple(s * data.draw(st.integers(1, 2), "strides in a kernel") for s in stride)
    extra = tuple(data.draw(st.integers(0, s - 1), "output padding") for s in stride)
    padding = tuple(data.draw(st.integers(0, k // 2), "padding") for k in kernel)
    size = data.draw(st.tuples(st.integers(2, 5), st.integers(2, 5)), "size")
    window = conv_transpose_window("test", size, kernel, stride, padding, extra, 1)
    x, w = values((2, 3, *size), 1), values((3, 2, *kernel), 2)
    b = values(2, 3)
    found = subpixel.input_grad(to_channels_last(x), taps_first(w), b, window)
    with md.algorithm("reference"):
        want = ops.conv_transpose2d(x, w, b, stride, padding, extra)
    np.testing.assert_array_equal(from_channels_last(found), want)


def test_results_do_not_depend_on_the_number_of_threads(blocks):
    pytest.importorskip("threadpoolctl", reason="workers need threadpoolctl")
    window = conv_transpose_window("test", (9, 12), (8, 8), (4, 4), (2, 2), 0, 1)
    x = to_channels_last(values((3, 8, 9, 12), 1, "normal", np.float32))
    w = taps_first(values((8, 5, 8, 8), 2, "normal", np.float32))
    found = []
    try:
        for threads in (1, 2):
            parallel.set_num_threads(threads)
            found.append(subpixel.input_grad(x, w, None, window))
    finally:
        parallel.set_num_threads(1)
    np.testing.assert_array_equal(*found)


def test_the_table_names_it_for_strides_that_are_dense_without_kernels(monkeypatch):
    monkeypatch.setattr("minideconv.engine.cpu.table.compiled", lambda: False)

    def name(kernel, stride, dilation=1):
        window = conv_window("test", (128, 96), kernel, stride, 0, dilation)
        with md.algorithm("exact"):
            return getattr(choose("input_grad", window, 2, 8, 8, np.float32), "name", None)

    assert name(4, 2) == name(64, 32) == name(3, 2) == name((2, 3), (1, 3)) == "subpixel"
    assert name(1, 2) is None  # three of four numbers would be zeros
    assert name(4, 2, 2) is None
    assert name(3, 1) != "subpixel"


def test_wrong_versions_are_rejected(blocks, conv):
    g = ConvGeometry(2, 3, 4, size=(12, 15), kernel=(4, 6), stride=(2, 3), padding=(1, 1))

    class Wrong:
        def __init__(self, change):
            self.change = change

        def input_grad(self, dy, w, bias, window):
            return self.change(dy, w, bias, window)

    right = subpixel.input_grad
    conv.input_grad(Wrong(right), g, 0)
    wrong = (
        lambda dy, w, b, window: right(dy, np.ascontiguousarray(w[::-1, ::-1]), b, window),
        lambda dy, w, b, window: right(dy, w, None, window),
        lambda dy, w, b, window: np.roll(right(dy, w, b, window), 1, axis=1),
        lambda dy, w, b, window: right(dy[::-1].copy(), w, b, window),
    )
    for each in wrong:
        with pytest.raises(AssertionError):
            conv.input_grad(Wrong(each), g, 0)
