"""Arrays in users' order, brought into the engine's: the same numbers, whatever the order was."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minideconv as md
from minideconv.engine.cpu import order
from minideconv.testing import values
from tests.support.kernel_operands import WRITABLE, read_only, swapped_bytes

NUMBA = importlib.util.find_spec("numba") is not None
LAYOUTS = (np.ascontiguousarray, *WRITABLE, read_only, swapped_bytes)
sizes = st.tuples(
    st.sampled_from([1, 3, 16, 21, 32, 48]), st.sampled_from([1, 5, 16, 32]),
    st.integers(1, 6), st.integers(1, 7),
)  # fmt: skip


@pytest.fixture(params=[False, True], ids=["numpy", "compiled"])
def kernels(request):
    if request.param and not NUMBA:
        pytest.skip("numba is not installed (extra fast)")
    before = md.use_compiled(request.param)
    yield
    md.use_compiled(before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.usefixtures("kernels")
def test_the_numbers_are_those_of_a_transposition(layout, dtype):
    @given(sizes)
    @settings(max_examples=25)
    def check(size):
        a = layout(values(size, 1, "normal", dtype))
        for found, axes in (
            (order.to_channels_last(a), (0, 2, 3, 1)),
            (order.taps_first(a), (2, 3, 1, 0)),
        ):
            assert found.flags.c_contiguous
            np.testing.assert_array_equal(found, a.transpose(axes))

    check()


@pytest.mark.usefixtures("kernels")
def test_what_is_in_order_is_not_copied():
    x = values((2, 5, 4, 16), 1, dtype=np.float32).transpose(0, 3, 1, 2)
    w = values((3, 3, 16, 32), 1, dtype=np.float32).transpose(3, 2, 0, 1)
    assert np.shares_memory(order.to_channels_last(x), x)
    assert np.shares_memory(order.taps_first(w), w)


@pytest.mark.usefixtures("kernels")
def test_large_arrays_are_turned_in_parts():
    x, w = (
        values((3, 64, 41, 37), 1, "normal", np.float32),
        values((96, 80, 5, 3), 2, "normal", np.float32),
    )
    np.testing.assert_array_equal(order.to_channels_last(x), x.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(order.taps_first(w), w.transpose(2, 3, 1, 0))
