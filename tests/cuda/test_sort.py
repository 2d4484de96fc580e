"""The GPU's running sum and stable sort, against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minideconv.engine.cuda import sort
from minideconv.testing import seeds


def check_sum(gpu, count, seed):
    numbers = np.random.default_rng(seed).integers(0, 9, count).astype(np.int32)
    there = gpu.put(numbers.copy())
    sort.running_sum(there)
    np.testing.assert_array_equal(gpu.get(there), np.cumsum(numbers))


def check_sort(gpu, count, bits, seed):
    """A quarter of the keys are equal to others."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 1 << bits, count, dtype=np.int64)
    keys[::2] = keys[rng.integers(0, count, len(keys[::2]))]
    keys[0] = (1 << bits) - 1
    there = gpu.put(keys)
    ordered, order = sort.stable_sort(there, bits)
    expected = np.argsort(keys, kind="stable")
    assert gpu.get(order).dtype == np.int32
    np.testing.assert_array_equal(gpu.get(order), expected)
    np.testing.assert_array_equal(gpu.get(ordered), keys[expected])
    np.testing.assert_array_equal(gpu.get(there), keys)  # the caller's stay


@given(st.integers(1, 300), seeds())
@example(16 * 256, 0)
@example(16 * 256 + 1, 0)
@example(3 * 16 * 256, 0)
def test_a_running_sum(gpu, count, seed):
    check_sum(gpu, count, seed)


def test_a_running_sum_on_three_levels(gpu, monkeypatch):
    monkeypatch.setattr(sort, "EACH", 1)
    for count in (256, 257, 256 * 256 + 7):
        check_sum(gpu, count, count)


@given(st.integers(1, 200), st.integers(0, 62), seeds())
@example(31, 5, 0)
@example(32, 4, 0)
@example(33, 1, 0)
@example(9000, 13, 0)
def test_a_stable_sort(gpu, count, bits, seed):
    check_sort(gpu, count, bits, seed)


def test_no_schedule_changes_a_place(gpu, schedule):
    for order in ("forward", "reverse", "shuffle"):
        with schedule(order):
            check_sort(gpu, 9000, 11, 1)
            check_sum(gpu, 9000, 1)


SLIPS = [
    ("scan.cu", "me >= step ?", "me > step ?"),
    ("scan.cu", "rounds[now][me] - sum", "rounds[now][me]"),
    ("scan.cu", "now = 1 - now;\n  }", "}"),
    ("scan.cu", "    __syncthreads();\n", "    if (step == 1) __syncthreads();\n"),
    ("scan.cu", "tile > 0", "tile > 1"),
    ("scan.cu", "sums[tile - 1]", "sums[tile]"),
    ("scan.cu", "if (me == BLOCK - 1) sums", "if (me == 0) sums"),
    ("sort.cu", "ends[cell - 1] : 0", "ends[cell - 1] : 1"),
    ("sort.cu", "][me]++;", "][me];"),
    ("sort.cu", "new_order[place] = order[i]", "new_order[place] = (i32)i"),
    ("sort.cu", "new_keys[place] = key", "new_keys[i] = key"),
    ("sort.cu", "i64 i = first; i < first + STRETCH && i < count; ++i) {",
     "i64 i = min(first + STRETCH, count) - 1; i >= first; --i) {"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "right", "wrong"), SLIPS)
def test_slips_are_seen(gpu, slip, schedule, file, right, wrong):
    def all_checks():
        for order in ("forward", "reverse"):
            with schedule(order):
                check_sum(gpu, 9000, 0)
                check_sort(gpu, 9000, 11, 0)

    all_checks()
    with slip(file, right, wrong), pytest.raises((AssertionError, IndexError)):
        all_checks()
