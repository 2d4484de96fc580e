"""The phases of a stride along one axis, against the sums that they come from."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minideconv.engine.phases import inside, split

small = st.integers(1, 9)


@given(small, small)
def test_every_phase_is_in_one_run_that_knows_its_taps(kernel, stride):
    found = [
        (first + i, taps) for first, count, taps in split(kernel, stride) for i in range(count)
    ]
    assert found == [(r, len(range(r, kernel, stride))) for r in range(stride)]


@given(small, small)
def test_neighbouring_runs_differ(kernel, stride):
    taps = [run[2] for run in split(kernel, stride)]
    assert len(set(taps)) == len(taps)


@given(st.data(), small, st.integers(0, 9), small)
def test_the_pixels_inside(data, stride, padding, size):
    first = data.draw(st.integers(0, stride - 1), "first")
    count = data.draw(st.integers(1, stride - first), "count")
    found = inside(first, count, stride, padding, size)
    want = [
        p
        for p in range(size + padding + 1)
        if any(0 <= p * stride + r - padding < size for r in range(first, first + count))
    ]
    assert list(found) == want
