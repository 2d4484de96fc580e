"""Class balancing: counts, bounds, and the order of what is added."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.data.balance import balanced_indices
from minideconv.errors import UsageError

label_lists = st.lists(st.lists(st.integers(1, 6), max_size=3), min_size=1, max_size=40)


def counts_of(labels, indices) -> np.ndarray:
    counts = np.zeros(7, dtype=int)
    for index in indices:
        counts[list(set(labels[index]))] += 1
    return counts


def test_by_hand():
    assert balanced_indices([[1], [1], [1], [2]]).tolist() == [0, 1, 2, 3, 3, 3]
    # Class 3 needs two more; its single example brings class 1 up as well.
    assert balanced_indices([[1, 3], [1], [1], [2], [2]], most=9).tolist() == [
        *range(5),
        *(0, 0),
        3,
    ]
    assert balanced_indices([[1]] * 8 + [[2]], share=0.5).tolist() == [*range(9), 8, 8, 8]
    assert balanced_indices([[], [], [4]]).tolist() == [0, 1, 2]


@given(label_lists, st.floats(0, 1), st.integers(1, 8))
def test_every_class_reaches_the_target_or_its_examples_are_used_up(labels, share, most):
    indices = balanced_indices(labels, share, most)
    assert indices[: len(labels)].tolist() == list(range(len(labels)))
    times = np.bincount(indices, minlength=len(labels))
    assert times.max() <= max(most, 1)
    before, after = counts_of(labels, range(len(labels))), counts_of(labels, indices)
    target = round(share * before.max())
    for label in np.flatnonzero(before):
        used_up = all(times[i] >= most for i, have in enumerate(labels) if label in have)
        assert after[label] >= target or used_up
    # Nothing is repeated that no class needed.
    for index in set(indices[len(labels) :].tolist()):
        assert any(before[label] < target for label in labels[index])


@given(st.lists(st.integers(1, 6), min_size=1, max_size=60))
def test_examples_of_one_class_each_end_up_even(single):
    labels = [[label] for label in single]
    after = counts_of(labels, balanced_indices(labels, most=100))
    assert set(after[after > 0].tolist()) == {counts_of(labels, range(len(labels))).max()}
    # and the repeats are dealt out evenly within a class
    times = np.bincount(balanced_indices(labels, most=100))
    for label in set(single):
        mine = times[np.array(single) == label]
        assert mine.max() - mine.min() <= 1


def test_any_number_of_repeats_may_be_allowed():
    # as much as to say "no limit": the repeats that are not needed take no memory
    assert balanced_indices([[1], [1], [2]], most=2**31 - 1).tolist() == [0, 1, 2, 2]


def test_messages():
    with pytest.raises(UsageError, match=r"share is 1\.5; it must be between 0 and 1"):
        balanced_indices([[1]], share=1.5)
    with pytest.raises(UsageError, match="most is 0; it must be at least 1"):
        balanced_indices([[1]], most=0)
