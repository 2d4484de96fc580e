"""`values` and its helpers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.testing import as_numpy, integer_valued, seeds, values

SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
KINDS = (
    "integer", "normal", "distinct", "ties", "onehot", "taps",
    "large mean", "large scale", "large negative", "tiny scale", "constant",
)  # fmt: skip


@given(SHAPES, seeds(), st.sampled_from(KINDS), st.sampled_from([np.float32, np.float64]))
def test_depend_on_seed_kind_and_shape_only(shape, seed, kind, dtype):
    state = np.random.get_state()[1].copy()  # noqa: NPY002 (the old generator must stay as it is)
    a, b = values(shape, seed, kind, dtype), values(shape, seed, kind, dtype)
    assert a.shape == shape
    assert a.dtype == dtype
    assert a.flags.c_contiguous
    assert np.array_equal(a, b)
    assert a is not b
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002 (the old generator must stay as it is)


def test_seeds_differ():
    first = values((3, 4), 0, "normal")
    assert all(not np.array_equal(first, values((3, 4), s, "normal")) for s in range(1, 50))


def test_integers_are_small_whole_and_never_zero():
    data = values((50, 40), 7)
    assert set(np.unique(data)) == {-3, -2, -1, 1, 2, 3}


def test_distinct_has_gaps_of_one_and_no_zero():
    for n in (1, 2, 5, 30):
        data = np.sort(values(n, 3, "distinct"))
        assert 0 not in data
        assert (np.diff(data) >= 1).all()
        assert np.abs(data).max() <= n // 2 + 1
    assert not np.array_equal(values(30, 3, "distinct"), np.sort(values(30, 3, "distinct")))


def test_ties_onehot_taps():
    assert set(np.unique(values(300, 0, "ties"))) == {-1, 0, 1}
    onehots = [values((2, 3), s, "onehot") for s in range(40)]
    assert all(a.sum() == 1 and a.max() == 1 for a in onehots)
    assert len({int(a.argmax()) for a in onehots}) == 6
    assert np.array_equal(values((2, 2), 9, "taps"), [[1, 2], [3, 4]])


def test_numbers_of_unusual_size():
    means = {float(np.round(values(60, s, "large mean").mean(), -3)) for s in range(60)}
    assert means == {-2e4, -1e4, -5e3, 5e3, 1e4, 2e4}
    around = values(60, 1, "large mean")
    assert set(around - np.round(around.mean(), -3)) == {-3, -2, -1, 0, 1, 2, 3}
    assert np.array_equal(around, around.astype(np.float32))
    for kind, scale in (("large scale", 1e10), ("large negative", 1e10), ("tiny scale", 1e-10)):
        data = values(400, 2, kind)
        assert 0.8 * scale < np.sqrt((data**2).mean()) < 1.2 * scale
    assert (values(400, 2, "large negative") < 0).all()
    constants = {float(values(3, s, "constant")[0]) for s in range(40)}
    assert len(constants) == 4
    assert all(len(set(values((2, 3), s, "constant").ravel())) == 1 for s in range(40))


def test_unknown_kind_lists_the_known_ones():
    with pytest.raises(ValueError, match="kind is 'nomal'; it must be one of integer, normal"):
        values(3, 0, "nomal")


def test_integer_valued_accepts_what_is_exact():
    assert integer_valued(np.array([1.0, -3.0]), np.array([2], np.float32), np.array([5]))
    assert not integer_valued(np.array([0.5]))
    assert not integer_valued(np.array([np.nan]))
    assert not integer_valued(np.array([np.inf]))
    assert integer_valued(np.array([2.0**24]))
    assert not integer_valued(np.array([2.0**24], np.float32))


def test_as_numpy_takes_numbers_and_device_arrays():
    class OnDevice:
        dtype = np.dtype(float)

        def get(self):
            return np.ones(2)

    array = np.ones(3)
    assert as_numpy(array) is array
    assert as_numpy(2.0) == 2
    assert np.array_equal(as_numpy(OnDevice()), [1, 1])
