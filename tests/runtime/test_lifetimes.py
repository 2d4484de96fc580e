"""Arrays that are needed at once never overlap, and others do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.runtime.lifetimes import Life, arrange

pytestmark = pytest.mark.cpu

lives = st.lists(
    st.builds(
        lambda size, first, length: Life(size, first, first + length),
        st.integers(0, 5000),
        st.integers(-1, 12),
        st.integers(0, 12),
    ),
    max_size=12,
)


def overlapping(found, places):
    """Pairs of arrays that are needed at once and share a byte."""
    pairs = list(zip(found, places, strict=True))
    return [
        (a, b)
        for i, (a, start) in enumerate(pairs)
        for b, other in pairs[:i]
        if a.first <= b.last and b.first <= a.last
        if start < other + b.nbytes and other < start + a.nbytes
    ]


@given(lives)
def test_arrays_that_are_needed_at_once_do_not_overlap(found):
    places, size = arrange(found)
    assert not overlapping(found, places)
    assert all(place % 64 == 0 for place in places)
    assert all(p + life.nbytes <= size for life, p in zip(found, places, strict=True))


def test_the_check_would_notice():
    found = [Life(100, 0, 1), Life(100, 1, 2)]
    assert overlapping(found, [0, 64])
    assert overlapping(found, [0, 0])
    assert not overlapping(found, [0, 128])


def test_a_chain_takes_the_memory_of_two():
    chain = [Life(64 * 1024, i, i + 1) for i in range(20)]
    assert arrange(chain)[1] < 2.1 * 64 * 1024


def test_an_array_goes_into_a_hole_between_two():
    found = [Life(6400, 0, 9), Life(6400, 0, 3), Life(6400, 0, 9), Life(640, 5, 6)]
    places, size = arrange(found)
    assert size < 3 * 6400 + 3 * 640
    assert not overlapping(found, places)


def test_nothing_takes_nothing():
    assert arrange([]) == ([], 0)
