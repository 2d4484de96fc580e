"""Transposed convolution to few channels against the readable one, exactly (integers)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minideconv as md
from minideconv.backend import parallel
from minideconv.engine.cpu import stamps
from minideconv.engine.cpu.table import choose
from minideconv.engine.layout import taps_first, to_channels_last
from minideconv.ops.im2col import conv_transpose_window, conv_window
from minideconv.testing import ConvGeometry, conv_geometries, seeds, values

geometries = conv_geometries(
    max_out=9, max_kernel=7, max_stride=1, max_batch=3, max_channels=5, max_groups=1
)
dtypes = st.sampled_from((np.float32, np.float64))


@pytest.fixture(params=[None, 100], ids=["usual blocks", "small blocks"], scope="module")
def blocks(request):
    """Run each test with blocks of the usual size, and of one row, in parts for workers."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param:
            patch.setattr(stamps, "_BLOCK", request.param)
            patch.setattr(stamps, "_SMALL", 0)
        yield


@given(geometries, seeds(), dtypes)
@settings(max_examples=150)
def test_it_is_the_readable_transposed_convolution(blocks, conv, g, seed, dtype):
    assume(g.stride == (1, 1))
    conv.input_grad(stamps, g, seed, dtype)


@pytest.mark.parametrize(
    "g",
    [
        ConvGeometry(2, 1, 40, size=(20, 33), kernel=(8, 6)),
        ConvGeometry(1, 3, 40, size=(20, 33), kernel=(5, 8), padding=(4, 7)),
        ConvGeometry(1, 2, 33, size=(30, 21), kernel=(3, 4), dilation=(3, 2), padding=(2, 5)),
    ],
    ids=str,
)
def test_named_geometries(blocks, conv, g):
    window = conv_window("test", g.size, g.kernel, 1, g.padding, g.dilation)
    assert stamps.fits(window, g.c_in, g.c_out, np.float32)
    conv.input_grad(stamps, g, 1)


def test_results_do_not_depend_on_the_number_of_threads(blocks):
    pytest.importorskip("threadpoolctl", reason="workers need threadpoolctl")
    window = conv_transpose_window("test", (90, 120), (8, 8), 1, 0, 0, 1)
    x = to_channels_last(values((1, 40, 90, 120), 1, "normal", np.float32))
    w = taps_first(values((40, 1, 8, 8), 2, "normal", np.float32))
    found = []
    try:
        for threads in (1, 2):
            parallel.set_num_threads(threads)
            found.append(stamps.input_grad(x, w, None, window))
    finally:
        parallel.set_num_threads(1)
    np.testing.assert_array_equal(*found)


def test_the_table_names_it_for_few_channels():
    def name(c, k, stride=1, operation="input_grad", kernel=8):
        window = conv_window("test", (128, 96), kernel, stride, 0, 1)
        with md.algorithm("exact"):
            return getattr(choose(operation, window, 2, c, k, np.float32), "name", None)

    assert name(1, 32) == name(3, 100) == name(2, 64, kernel=(3, 5)) == "stamps"
    assert "stamps" not in (
        name(4, 64), name(1, 31), name(1, 64, stride=2), name(1, 64, operation="forward"),
        name(1, 64, operation="weight_grad"), name(1, 64, kernel=1),
    )  # fmt: skip


def test_wrong_versions_are_rejected(blocks, conv):
    g = ConvGeometry(2, 3, 40, size=(12, 15), kernel=(4, 6), padding=(1, 1))

    class Wrong:
        def __init__(self, change):
            self.change = change

        def input_grad(self, dy, w, bias, window):
            return self.change(dy, w, bias, window)

    right = stamps.input_grad
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
