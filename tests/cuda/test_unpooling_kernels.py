"""The GPU's unpooling by plane indices alone: any number of values for a pixel, in one order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.engine.cuda import unpooling as engine
from minideconv.testing import seeds, values


def with_order(array, order):
    return np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))


def loop(dy, indices, plane):
    """Sums and the last value's place, one value after another."""
    n, c = dy.shape[:2]
    sums, last = np.zeros((n, c, *plane)), np.zeros(dy.shape, bool)
    for i, k in np.ndindex(n, c):
        owner = {}
        for place in np.ndindex(dy.shape[2:]):
            pixel = indices[i, k][place]
            sums[i, k].flat[pixel] += dy[i, k][place]
            owner[pixel] = place
        for place in owner.values():
            last[i, k][place] = True
    return sums, last


def check(gpu, shape, plane, seed, dtype=np.float32, order=(0, 2, 3, 1)):
    """Compare on integers; the values of a plane fall on few of its pixels, so lists are long."""
    dy = values(shape, seed, dtype=dtype)
    few = np.random.default_rng(seed).integers(0, min(plane[0] * plane[1], 7), shape)
    indices = (few * 3 % (plane[0] * plane[1])).astype(np.int32)
    sums, last = loop(dy, indices, plane)
    there = gpu.put(with_order(indices, order))
    found = engine.scatter_indices(gpu.put(with_order(dy, order)), there, plane)
    assert found.dtype == dtype
    assert found.transpose(0, 2, 3, 1).flags.c_contiguous
    assert np.array_equal(gpu.get(found), sums)
    mask = gpu.get(engine.last_of_indices(there, plane))
    assert mask.dtype == bool
    assert np.array_equal(mask, last)


@given(
    st.tuples(st.integers(1, 3), st.sampled_from([1, 3, 8]), st.integers(1, 5), st.integers(1, 4)),
    st.tuples(st.integers(1, 5), st.integers(1, 7)),
    seeds(),
    st.sampled_from([np.float32, np.float64]),
    st.permutations(range(4)),
)
def test_equals_one_value_after_another(gpu, shape, plane, seed, dtype, order):
    check(gpu, shape, plane, seed, dtype, order)


def test_a_sum_has_one_order_whatever_the_list_s(gpu, schedule):
    rng = np.random.default_rng(0)
    dy = gpu.put(rng.normal(size=(2, 3, 9, 10)).astype(np.float32))
    indices = gpu.put(rng.integers(0, 12, (2, 3, 9, 10)).astype(np.int32))
    results = []
    for order in ("forward", "reverse", "shuffle"):
        with schedule(order):
            found = (
                engine.scatter_indices(dy, indices, (3, 4)),
                engine.last_of_indices(indices, (3, 4)),
            )
            results.append([gpu.get(a).copy() for a in found])
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_what_the_kernels_do_not_know_is_left_to_the_reference(gpu):
    x = gpu.put(np.ones((1, 2, 3, 4), np.float32))
    assert engine.scatter_indices(x, x.astype(np.int64), (3, 4)) is None
    assert engine.scatter_indices(x.astype(np.float16), x.astype(np.int32), (3, 4)) is None
    assert engine.last_of_indices(x[:0].astype(np.int32), (3, 4)) is None


MUTANTS = {
    "the first instead of the last": ("atomicMax(", "atomicMin("),
    "the first that is found": ("if (i > added && (least < 0 || i < least)) least = i;",
                  "if (i == heads[pixel] && added < 0) least = i; "
                  "else if (added >= 0 && next[added] == i) least = i;"),
    "one value for a pixel": ("added = least;", "break;"),
    "another image's": ("(image * pixels + indices[i])", "indices[i]"),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_wrong_kernels_are_rejected(gpu, schedule, slip, name):
    with slip(engine.FILE, *MUTANTS[name]), pytest.raises(AssertionError):
        hard_ones(gpu, schedule)


def hard_ones(gpu, schedule):
    check(gpu, (2, 3, 4, 5), (3, 4), 0)
    test_a_sum_has_one_order_whatever_the_list_s(gpu, schedule)


def test_the_right_kernels_pass_what_rejects_the_wrong_ones(gpu, schedule):
    hard_ones(gpu, schedule)
