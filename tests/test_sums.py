"""Sums round little along every axis, and of any order in memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv import Tensor, ops
from minideconv.backend.sums import sum_over


@given(
    shape=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    data=st.data(),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_sum_is_numpys_up_to_rounding(shape, data, seed):
    rng = np.random.default_rng(seed)
    order = data.draw(st.permutations(range(len(shape))))
    array = rng.integers(-8, 9, [shape[i] for i in order]).astype(np.float32)
    array = array.transpose(np.argsort(order))
    axis = data.draw(st.integers(0, len(shape) - 1))
    step = data.draw(st.sampled_from([1, 2, -1]))
    array = array[(slice(None),) * axis + (slice(None, None, step),)]
    axes = tuple(data.draw(st.sets(st.integers(0, len(shape) - 1))))
    keep = data.draw(st.booleans())
    found = sum_over(array, axes, keep)
    np.testing.assert_array_equal(found, array.sum(axes, keepdims=keep))  # of integers: exact
    assert found.shape == array.sum(axes, keepdims=keep).shape
    assert found.dtype == np.float32


@pytest.mark.cpu  # NumPy's sums; a GPU's are those of its library
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((1000003, 2), (0,)),
        ((70000, 3, 5), (0, 2)),
        ((3, 200001, 2), (1,)),
        ((150000,), (0,)),
        ((500, 6000), (0,)),
    ],
)
@pytest.mark.parametrize("order", ["C", "F", "every second"])
def test_a_sum_of_many_rows_is_off_by_a_few_roundings(shape, axes, order):
    rng = np.random.default_rng(0)
    array = rng.random(shape, np.float32)
    array = array[::2] if order == "every second" else np.asarray(array, order=order)
    want = array.sum(axes, dtype=np.float64)
    for found in (sum_over(array, axes), Tensor(array).sum(axes).numpy()):
        assert np.abs(found / want - 1).max() < 3e-7
    mean = Tensor(array).mean(axes).numpy()
    assert np.abs(mean / array.mean(axes, dtype=np.float64) - 1).max() < 3e-7


@pytest.mark.cpu
def test_the_rows_that_numpy_adds_one_after_another():
    """A million times 0.1: NumPy is off by 1e-2, since each addition rounds the same way."""
    rows = np.full((1000000, 2), 0.1, np.float32)
    want = rows.sum(0, dtype=np.float64)
    assert np.abs(rows.sum(0) / want - 1).max() > 1e-3  # what is avoided
    assert np.abs(sum_over(rows, (0,)) / want - 1).max() < 1e-7


@pytest.mark.cpu
def test_bias_gradients_are_such_sums():
    dy = np.full((1000000, 2), 0.1, np.float32)
    want = dy.sum(0, dtype=np.float64)
    _, _, dbias = ops.linear_backward(dy, dy, np.ones((2, 2), np.float32), (False, False, True))
    assert np.abs(dbias / want - 1).max() < 1e-7
    bias = Tensor(np.zeros(2, np.float32), requires_grad=True)
    (Tensor(np.zeros_like(dy)) + bias).backward(dy)
    assert np.abs(bias.grad.numpy() / want - 1).max() < 1e-7


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_numbers_of_the_other_byte_order(kind):
    x = np.random.default_rng(3).standard_normal((3, 40, 50)).astype(kind)
    swapped = x.astype(x.dtype.newbyteorder())
    for axes in ((0,), (1,), (2,), (0, 2), (0, 1, 2)):
        assert np.array_equal(sum_over(swapped, axes), sum_over(x, axes))
    y = Tensor(swapped, requires_grad=True)
    (y.sum(axis=1) * 2).mean().backward()
    z = Tensor(x, requires_grad=True)
    (z.sum(axis=1) * 2).mean().backward()
    assert np.array_equal(y.grad.data, z.grad.data)
