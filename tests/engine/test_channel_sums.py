"""The gradient of a convolution's bias: one walk over dy, equal to a sum in float64."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import ops, use_compiled
from minideconv.backend.algorithms import algorithm
from minideconv.engine.cpu.batch_norm import channel_sums
from minideconv.testing import values


def channels_last(shape, dtype, shift=0.0):
    n, c, h, w = shape
    x = values((n, h, w, c), seed=7, kind="normal", dtype=dtype) + dtype(shift)
    return x.transpose(0, 3, 1, 2)


@pytest.mark.parametrize("is_compiled", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(2, 3, 90, 61), (1, 64, 31, 40), (3, 48, 17, 19)])
def test_equal_to_a_sum_in_float64(shape, dtype, is_compiled):
    if is_compiled:
        pytest.importorskip("numba", reason="numba is not installed (extra fast)")
    before = use_compiled(is_compiled)
    try:
        x = channels_last(shape, dtype, shift=100.0)
        found = channel_sums(x)
    finally:
        use_compiled(before)
    expected = x.sum(axis=(0, 2, 3), dtype=np.float64)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6 if dtype == np.float32 else 1e-13)


def test_the_backward_pass_uses_it(monkeypatch):
    x, dy = channels_last((2, 4, 70, 64), np.float32), channels_last((2, 8, 70, 64), np.float32)
    w = values((8, 4, 3, 3), seed=1, kind="normal", dtype=np.float32)
    with algorithm("exact"):
        _, _, db = ops.conv2d_backward(dy, x, w, padding=1)
    expected = dy.sum(axis=(0, 2, 3), dtype=np.float64)
    np.testing.assert_allclose(db, expected, rtol=1e-5, atol=1e-4)


def test_other_layouts_are_left_to_the_reference():
    assert channel_sums(np.ones((2, 8, 70, 64), np.float32)) is None
