"""Connected regions against a flood fill, one pixel at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minideconv.data.components import connected_components


def flood(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    """All 4-connected regions of one class, as sets of pixels."""
    left = {(y, x) for y, x in np.ndindex(mask.shape) if mask[y, x] not in (0, 255)}
    regions = []
    while left:
        region, edge = set(), [left.pop()]
        while edge:
            y, x = edge.pop()
            region.add((y, x))
            for near in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if near in left and mask[near] == mask[y, x]:
                    left.remove(near)
                    edge.append(near)
        regions.append(region)
    return regions


@st.composite
def masks(draw):
    height, width, classes = (draw(st.integers(1, n)) for n in (11, 13, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mask = rng.integers(0, classes + 1, (height, width)).astype(np.uint8)
    mask[rng.random((height, width)) < 0.1] = 255
    return mask.repeat(draw(st.integers(1, 2)), 0).repeat(draw(st.integers(1, 3)), 1)


@given(masks())
def test_regions_are_those_of_a_flood_fill_largest_first(mask):
    labels = connected_components(mask)
    assert labels.dtype == np.uint8
    assert ((labels == 0) == (mask == 0)).all()
    assert ((labels == 255) == (mask == 255)).all()
    want = {frozenset(region) for region in flood(mask)}
    numbers = sorted(set(labels.ravel().tolist()) - {0, 255})
    got = [frozenset(zip(*map(tuple, np.nonzero(labels == n)), strict=True)) for n in numbers]
    assert numbers == list(range(1, len(want) + 1))
    assert set(got) == want
    assert [len(region) for region in got] == sorted(map(len, got), reverse=True)


def test_a_spiral_is_one_region():
    # The worst case for label propagation: one long thin region that turns inwards.
    mask = np.zeros((41, 41), dtype=np.uint8)
    y = x = 0
    dy, dx = 0, 1
    mask[0, 0] = 1
    for length in [40, 40, 40, *(n for m in range(38, 0, -2) for n in (m, m))]:
        for _ in range(length):
            y, x = y + dy, x + dx
            mask[y, x] = 1
        dy, dx = dx, -dy
    assert (connected_components(mask) == mask).all()


def test_more_regions_than_a_byte_holds_become_void_smallest_first():
    mask = np.zeros((40, 41), dtype=np.uint8)
    mask[::2, ::2] = 1  # 420 single pixels
    mask[0, 0:6] = 2  # and one larger
    labels = connected_components(mask)
    assert (labels[0, 0:6] == 1).all()
    assert len(set(labels.ravel().tolist()) - {0, 255}) == 254
    assert ((labels == 0) == (mask == 0)).all()
