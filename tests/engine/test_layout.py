"""Channels last and taps first: views, not new shapes; and copies between orders."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.engine.layout import (
    assign,
    empty_weight,
    from_channels_last,
    taps_first,
    to_channels_last,
    with_taps_first,
)
from minideconv.testing import values


def test_views_where_the_order_is_right_already():
    x = values((2, 5, 4, 3), seed=1)
    there = to_channels_last(from_channels_last(x))
    assert there.shape == x.shape
    assert np.shares_memory(there, x)
    w = with_taps_first(values((6, 4, 3, 2), seed=2))
    assert np.shares_memory(taps_first(w), w)
    assert np.shares_memory(with_taps_first(w), w)


def test_shapes_and_values_stay():
    x = values((2, 3, 5, 4), seed=1)
    y = from_channels_last(to_channels_last(x))
    assert (y == x).all()
    assert y.strides[1] == x.itemsize
    w = values((6, 4, 3, 2), seed=2)
    stored = with_taps_first(w)
    assert (stored == w).all()
    assert stored.strides[0] == w.itemsize
    assert taps_first(w).shape == (3, 2, 4, 6)
    assert taps_first(w)[1, 0, 2, 3] == w[3, 2, 1, 0]


@pytest.mark.parametrize("shape", [(6, 4, 3, 2), (300, 20, 1, 1), (7, 19, 2, 5)])
def test_assign_copies_every_number_to_its_place(shape):
    source = values(shape, seed=3, kind="distinct", dtype=np.float32)
    target = empty_weight(shape)
    assert target.dtype == np.float32
    assert target.shape == shape
    assert target.transpose(2, 3, 1, 0).flags.c_contiguous
    assign(target, source)
    assert (target == source).all()
    back = np.zeros(shape, np.float32)
    assign(back, target)
    assert (back == source).all()
    assign(back, 2.0)
    assert (back == 2).all()
