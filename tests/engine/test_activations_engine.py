"""The engine's ReLU and its backward against the readable ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minideconv as md
from minideconv import ops
from minideconv.backend import memory_order, parallel
from minideconv.engine.cpu import activations as engine
from minideconv.testing import seeds, values

pytestmark = pytest.mark.cpu  # the engine's own functions on NumPy arrays


@pytest.fixture(autouse=True, scope="module")
def _small_parts():
    """Take small arrays too, and cut them into several parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "LEAST", 1)
        patch.setattr(engine, "PART", 7)
        yield


def numbers(shape, order, seed, dtype=np.float32):
    """Numbers of which many are zeros, some NaN or infinite, stored in any order of the axes."""
    stored = values([shape[axis] for axis in order], seed, "ties", dtype)
    special = np.random.default_rng(seed).random(stored.shape)
    stored[special < 0.1] = np.nan
    stored[special > 0.9] = -np.inf
    return stored.transpose(np.argsort(order))


@st.composite
def stored(draw):
    """A shape, and the order of its axes in memory."""
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    return shape, draw(st.permutations(range(len(shape))))


@given(case=stored(), seed=seeds(), dtype=st.sampled_from([np.float32, np.float64]))
def test_the_results_are_those_of_the_reference_in_the_order_of_the_input(case, seed, dtype):
    x = numbers(*case, seed, dtype)
    dy = np.nan_to_num(numbers(*case, seed + 1, dtype), nan=2, neginf=3)
    y = engine.positive_part(x)
    dx = engine.positive_part_backward(dy, y)
    with md.algorithm("reference"):
        np.testing.assert_array_equal(y, ops.relu(x))
        np.testing.assert_array_equal(dx, ops.relu_backward(dy, y))
    assert y.dtype == dx.dtype == dtype
    for result in (y, dx):
        assert result.transpose(memory_order(x)).flags.c_contiguous


@pytest.mark.parametrize("threads", [1, 3])
def test_each_number_is_computed_once_by_any_number_of_threads(threads):
    before = parallel.get_num_threads()
    parallel.set_num_threads(threads)
    try:
        x = values((2, 5, 3, 11), 0, "normal", np.float32)
        y = engine.positive_part(x)
        np.testing.assert_array_equal(y, np.where(x > 0, x, 0))
        assert not np.shares_memory(x, y)
    finally:
        parallel.set_num_threads(before)


def test_ops_call_it():
    x = values((4, 9), 1, "normal", np.float32)
    calls = []
    ways = ops.relu.ways
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ways, "cpu", lambda x: calls.append(1) or engine.positive_part(x))
        with md.algorithm("fast"):
            ops.relu(x)
        with md.algorithm("reference"):
            ops.relu(x)
    assert calls == [1]


def test_what_is_left_to_the_reference():
    x = values((6, 8), 2, "normal", np.float32)
    y = np.maximum(x, 0)
    assert engine.positive_part(x[:, ::2]) is None  # gaps
    assert engine.positive_part(x[:, ::-1]) is None  # backwards
    assert engine.positive_part(np.arange(5)) is None  # integers
    assert engine.positive_part(np.zeros((0, 3), np.float32)) is None
    assert engine.positive_part_backward(np.asfortranarray(x), y) is None  # two orders
    assert engine.positive_part_backward(x.astype(np.float64), y) is None
    np.testing.assert_array_equal(ops.relu(x[:, ::-1]), y[:, ::-1])
    assert memory_order(ops.relu(x.T)) == memory_order(x.T)
