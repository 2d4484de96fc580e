"""One batch cut into the parts of several processes: all of it, once, and the same bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.data import DataLoader, transforms
from minideconv.data.shapes import Shapes
from minideconv.data.shard import shard_of


@given(st.integers(0, 100), st.integers(0, 50), st.integers(1, 12))
def test_the_parts_are_all_items_once_and_even(first, count, size):
    items = range(first, first + count)
    parts = [shard_of(items, rank, size) for rank in range(size)]
    assert [item for part in parts for item in part] == list(items)
    lengths = [len(part) for part in parts]
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(("rank", "size"), [(2, 2), (-1, 2), (0, 0)])
def test_a_rank_that_is_not_there_is_refused(rank, size):
    with pytest.raises(ValueError, match=f"rank is {rank}"):
        shard_of(range(5), rank, size)


@pytest.mark.parametrize(("batch", "size"), [(7, 2), (7, 4), (3, 4), (4, 1)])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_parts_of_batches_are_the_batches(batch, size, as_bytes):
    data, step = Shapes("train", length=11), transforms.paper_train(32, transforms.Normalize())

    def loader(**options):
        return DataLoader(data, batch, shuffle=True, transform=step, as_bytes=as_bytes, **options)

    whole = loader()
    parts = [loader(shard=(rank, size), workers=rank) for rank in range(size)]
    assert {part.state_dict()["samples"] for part in parts} == {11}
    for _ in range(2):
        wanted, found = list(whole), [list(part) for part in parts]
        for k, pair in enumerate(wanted):
            for kind, array in enumerate(pair):
                pieces = [part[k][kind] for part in found]
                np.testing.assert_array_equal(np.concatenate(pieces), array)


def test_another_number_of_processes_goes_on_at_the_same_place():
    data, step = Shapes("train", length=12), transforms.paper_train(32, transforms.Normalize())
    one = DataLoader(data, 4, shuffle=True, transform=step)
    two = DataLoader(data, 4, shuffle=True, transform=step, shard=(1, 2))
    batches = iter(one)
    next(batches)
    two.load_state_dict(one.state_dict())
    for images, masks in two:
        whole_images, whole_masks = next(batches)
        np.testing.assert_array_equal(images, whole_images[2:])
        np.testing.assert_array_equal(masks, whole_masks[2:])
