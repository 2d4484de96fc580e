"""The loader: the same bytes for any number of threads, exact resume, errors that name the item."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.data.loader import DataLoader
from minideconv.data.shapes import Shapes
from minideconv.data.transforms import (
    Compose,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    paper_train,
)
from minideconv.errors import DataError, UsageError

WORKERS = (0, 1, 3)


class Numbers:
    """Item i is a 6x5 image full of i, made at an unsteady pace."""

    classes = ("background", "thing")

    def __init__(self, length: int, bad: int | None = None) -> None:
        self.length, self.bad = length, bad

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if index == self.bad:
            raise ZeroDivisionError("made to fail")
        time.sleep(0.0005 * (index * 7 % 5))
        return np.full((6, 5, 3), index, np.uint8), np.full((6, 5), index, np.uint8)

    def name(self, index: int) -> str:
        return f"number-{index}"


def noise(image, mask, rng):
    """A transform whose result is all random: it shows which numbers a sample was given."""
    return rng.random(image.shape, dtype=np.float32), mask


def run(loader: DataLoader, epochs: int = 1) -> list[tuple[bytes, bytes]]:
    return [(images.tobytes(), masks.tobytes()) for _ in range(epochs) for images, masks in loader]


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("minideconv-loader")]


def test_batches_hold_the_items_in_order_once():
    batches = [masks[:, 0, 0].tolist() for _, masks in DataLoader(Numbers(7), 3)]
    assert batches == [[0, 1, 2], [3, 4, 5], [6]]
    batches = [masks[:, 0, 0].tolist() for _, masks in DataLoader(Numbers(7), 3, drop_last=True)]
    assert batches == [[0, 1, 2], [3, 4, 5]]


def test_shuffling_is_a_new_permutation_each_epoch_decided_by_the_seed():
    loader = DataLoader(Numbers(20), 4, shuffle=True, seed=5)
    epochs = [np.concatenate([m[:, 0, 0] for _, m in loader]).tolist() for _ in range(3)]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    again = DataLoader(Numbers(20), 4, shuffle=True, seed=5)
    again.set_epoch(2)
    assert np.concatenate([m[:, 0, 0] for _, m in again]).tolist() == epochs[2]
    other = DataLoader(Numbers(20), 4, shuffle=True, seed=6)
    assert np.concatenate([m[:, 0, 0] for _, m in other]).tolist() != epochs[0]


@pytest.mark.parametrize("prefetch", [1, 3])
def test_any_number_of_workers_gives_the_same_bytes(prefetch):
    transform = Compose([RandomCrop((4, 3)), RandomHorizontalFlip(), noise])
    runs = [
        run(
            DataLoader(
                Numbers(23), 4, transform, shuffle=True, seed=1, workers=n, prefetch=prefetch
            ),
            epochs=3,
        )
        for n in WORKERS
    ]
    assert len(runs[0]) == 18
    assert len(set(runs[0])) == 18  # no two batches share their random numbers
    assert runs[0] == runs[1] == runs[2]


def test_workers_with_the_real_thing():
    dataset = Shapes("train", length=24, cache_mb=0)
    loaders = [DataLoader(dataset, 5, paper_train(56), True, seed=2, workers=n) for n in WORKERS]
    runs = [run(loader) for loader in loaders]
    assert runs[0] == runs[1] == runs[2]


@given(
    length=st.integers(1, 17),
    batch=st.integers(1, 5),
    stop=st.integers(0, 20),
    workers=st.sampled_from(WORKERS),
    drop_last=st.booleans(),
)
def test_resume_at_any_batch_goes_on_byte_equal(length, batch, stop, workers, drop_last):
    if drop_last and length < batch:
        length = batch

    def make() -> DataLoader:
        return DataLoader(Numbers(length), batch, noise, True, 3, workers, drop_last)

    whole = run(make(), epochs=3)
    first, got, state = make(), [], None
    while state is None:
        for images, masks in first:
            if len(got) == min(stop, len(whole) - 1):
                break
            got.append((images.tobytes(), masks.tobytes()))
            if len(got) == min(stop, len(whole) - 1):
                state = json.loads(json.dumps(first.state_dict()))
                break
        if stop == 0:
            state = make().state_dict()
    assert not threads()
    second = make()
    second.load_state_dict(state)
    while len(got) < len(whole):
        got += run(second)
    assert got == whole


def test_state_after_the_last_batch_finishes_the_epoch_with_nothing():
    loader = DataLoader(Numbers(6), 3)
    states = [loader.state_dict() for _ in loader]
    assert [state["position"] for state in states] == [1, 2]
    other = DataLoader(Numbers(6), 3)
    other.load_state_dict(states[-1])
    assert run(other) == []
    assert other.epoch == 0
    assert len(run(other)) == 2
    assert other.epoch == 1


def test_leaving_a_loop_early_then_iterating_gives_a_whole_new_epoch():
    loader = DataLoader(Numbers(9), 2, workers=2)
    for _ in loader:
        break
    assert loader.state_dict()["position"] == 1
    assert [m[:, 0, 0].tolist() for _, m in loader] == [[0, 1], [2, 3], [4, 5], [6, 7], [8]]
    assert loader.epoch == 1


def test_no_thread_survives_a_loop_left_early_or_by_an_error():
    for _ in DataLoader(Numbers(50), 2, workers=3):
        assert threads()
        break
    assert not threads()

    def leave() -> None:
        for _ in DataLoader(Numbers(50), 2, workers=3):
            raise KeyError("leave")

    with pytest.raises(KeyError):
        leave()
    assert not threads()
    iterator = iter(DataLoader(Numbers(50), 2, workers=3))
    next(iterator)
    del iterator
    assert not threads()


def test_no_more_is_prepared_than_needed():
    asked = []

    class Watched(Numbers):
        def __getitem__(self, index: int):
            asked.append(index)
            return super().__getitem__(index)

    iterator = iter(DataLoader(Watched(100), 1, workers=2, prefetch=2))
    next(iterator)
    time.sleep(0.1)
    assert len(asked) <= 5  # one handed out, 2 workers x 2 ahead
    iterator.close()


def test_samplers():
    fixed = DataLoader(Numbers(9), 2, sampler=[8, 8, 1])
    assert [masks[:, 0, 0].tolist() for _, masks in fixed] == [[8, 8], [1]]
    mixed = DataLoader(Numbers(9), 9, sampler=[8, 8, 1, 2, 3, 4, 5], shuffle=True)
    order = next(iter(mixed))[1][:, 0, 0].tolist()
    assert sorted(order) == [1, 2, 3, 4, 5, 8, 8]
    assert order != [8, 8, 1, 2, 3, 4, 5]

    def drawn(epoch, rng):
        return [epoch, int(rng.integers(9))]

    loader = DataLoader(Numbers(9), 2, sampler=drawn)
    epochs = [next(iter(loader))[1][:, 0, 0].tolist() for _ in range(6)]
    assert [first for first, _ in epochs] == [0, 1, 2, 3, 4, 5]
    assert len({second for _, second in epochs}) > 1


def test_an_index_that_occurs_twice_is_varied_twice():
    images, _ = next(iter(DataLoader(Numbers(3), 2, noise, sampler=[1, 1])))
    assert (images[0] != images[1]).any()


@pytest.mark.parametrize("workers", WORKERS)
def test_errors_of_items_and_transforms_name_the_item(workers):
    message = r"item 5 \(number-5\) failed with ZeroDivisionError: made to fail"
    with pytest.raises(DataError, match=message):
        run(DataLoader(Numbers(9, bad=5), 2, workers=workers))

    def clumsy(image, mask, rng):
        raise RuntimeError("what is this")

    with pytest.raises(DataError, match=r"item 0 \(number-0\) failed with RuntimeError: what is"):
        run(DataLoader(Numbers(9), 2, clumsy, workers=workers))
    assert not threads()


def test_the_same_items_are_varied_anew_in_every_epoch():
    loader = DataLoader(Numbers(4), 4, noise)
    assert len({images.tobytes() for _ in range(3) for images, _ in loader}) == 3


def versions(loader: DataLoader, epochs: int) -> dict[int, list[bytes]]:
    """What each item looked like in each epoch."""
    seen: dict[int, list[bytes]] = {}
    for _ in range(epochs):
        for images, masks in loader:
            for image, mask in zip(images, masks, strict=True):
                seen.setdefault(int(mask[0, 0]), []).append(image.tobytes())
    return seen


@pytest.mark.parametrize("workers", WORKERS)
def test_each_item_has_so_many_views_and_shows_them_in_turn(workers):
    loader = DataLoader(Numbers(7), 2, noise, True, seed=4, workers=workers, views=3)
    seen = versions(loader, 7)
    for item, looks in seen.items():
        assert looks[:3] == looks[3:6], item
        assert looks[6] == looks[0], item
    # No two views of any two items are the same.
    assert len({look for looks in seen.values() for look in looks}) == 7 * 3
    # They are those of the seed, in whatever order they come.
    unshuffled = versions(DataLoader(Numbers(7), 3, noise, seed=4, views=3), 3)
    assert {item: looks[:3] for item, looks in seen.items()} == unshuffled
    assert versions(DataLoader(Numbers(7), 3, noise, seed=5, views=3), 3) != unshuffled


def test_an_item_that_occurs_twice_is_the_same_view_twice():
    images, _ = next(iter(DataLoader(Numbers(3), 2, noise, sampler=[1, 1], views=2)))
    assert (images[0] == images[1]).all()


def test_resuming_with_views_goes_on_byte_equal():
    def make() -> DataLoader:
        return DataLoader(Numbers(7), 2, noise, True, 3, views=2)

    whole, first = run(make(), epochs=4), make()
    got = run(first, epochs=1)
    batches = iter(first)
    got.append(tuple(part.tobytes() for part in next(batches)))
    second = make()
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert got + run(second, epochs=3) == whole


def test_sizes_that_do_not_fit_in_a_batch():
    class Uneven(Numbers):
        def __getitem__(self, index: int):
            side = 4 + index // 2
            return np.zeros((side, 6, 3), np.uint8), np.zeros((side, 6), np.uint8)

    with pytest.raises(DataError, match=r"number-0 is \(4, 6, 3\) but number-2 is \(5, 6, 3\)"):
        run(DataLoader(Uneven(4), 3))


def test_a_position_of_another_loader_is_refused():
    state = DataLoader(Numbers(9), 2, shuffle=True).state_dict()
    for other, message in (
        (DataLoader(Numbers(9), 3, shuffle=True), "batch_size=2 but this loader has batch_size=3"),
        (DataLoader(Numbers(8), 2, shuffle=True), "samples=9 but this loader has samples=8"),
        (DataLoader(Numbers(9), 2, shuffle=True, seed=1), "seed=0 but this loader has seed=1"),
        (DataLoader(Numbers(9), 2, shuffle=True, views=3), "views=0 but this loader has views=3"),
    ):
        with pytest.raises(UsageError, match=message):
            other.load_state_dict(state)
    older = {name: value for name, value in state.items() if name != "views"}
    DataLoader(Numbers(9), 2, shuffle=True).load_state_dict(older)
    with pytest.raises(UsageError, match="views=3 but this loader has views=0"):
        DataLoader(Numbers(9), 2, shuffle=True).load_state_dict({**state, "views": 3})
    with pytest.raises(UsageError, match="saved position is batch 6 of epoch 0"):
        DataLoader(Numbers(9), 2, shuffle=True).load_state_dict({**state, "position": 6})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"batch_size": 2, "transform": True}, "transform is True; .* by name: shuffle=True"),
        ({"batch_size": 2, "shuffle": "no"}, "shuffle is 'no'; it must be True or False"),
        ({"batch_size": 2, "workers": -1}, "workers is -1; it must be at least 0"),
        ({"batch_size": 2, "prefetch": 0}, "prefetch is 0; it must be at least 1"),
        ({"batch_size": 2, "seed": -1}, "seed is -1; it must be at least 0"),
        ({"batch_size": 2, "processes": 2.5}, "processes is 2.5; it must be a whole number"),
        ({"batch_size": 2, "views": -1}, "views is -1; it must be at least 0"),
        ({"batch_size": 2, "workers": "a"}, "workers is 'a'; it must be a whole number"),
        ({"batch_size": None}, "batch_size is None; it must be a whole number"),
        ({"batch_size": 2, "cache_mb": "1"}, "cache_mb is '1'; it must be a number"),
        ({"batch_size": 2, "cache_mb": float("nan")}, "cache_mb is nan; it must be at least 0"),
        ({"batch_size": 9, "drop_last": True}, "5 samples make no full batch of 9"),
        ({"batch_size": 2, "sampler": []}, "0 samples make no full batch of 2"),
    ],
)
def test_messages(arguments, message):
    with pytest.raises(UsageError, match=message):
        DataLoader(Numbers(5), **arguments)


def test_images_come_as_float32_and_masks_as_uint8():
    step = Compose([Normalize()])
    images, masks = next(iter(DataLoader(Shapes("val", length=3), 2, step)))
    assert (images.dtype, images.shape) == (np.float32, (2, 3, 64, 64))
    assert (masks.dtype, masks.shape) == (np.uint8, (2, 64, 64))


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("finish", [Normalize(), Normalize.paper()])
def test_bytes_normalised_afterwards_are_the_usual_batches(workers, finish):
    data = Shapes("train", length=9, cache_mb=0)

    def loader(as_bytes: bool) -> DataLoader:
        transform = paper_train(56, finish)
        return DataLoader(data, 4, transform, True, 2, workers, cache_mb=1, as_bytes=as_bytes)

    usual, as_bytes = loader(False), loader(True)
    assert as_bytes.normalize is finish
    for _ in range(2):
        pairs = zip(usual, as_bytes, strict=True)
        for (images, masks), (found, found_masks) in pairs:
            assert (found.dtype, found.shape) == (np.uint8, (len(images), 56, 56, 3))
            assert found.flags.c_contiguous
            after = as_bytes.normalize.batch(found)
            assert after.strides == images.strides
            assert after.tobytes() == images.tobytes()
            assert found_masks.tobytes() == masks.tobytes()
    assert usual.state_dict() == as_bytes.state_dict()


def test_bytes_that_are_not_what_the_next_batches_were_are_seen():
    """A check of the check: another order, or another step, is not the same."""
    data = Shapes("train", length=9, cache_mb=0)
    images, _ = next(iter(DataLoader(data, 4, paper_train(56), True, seed=2)))
    other = DataLoader(data, 4, paper_train(56), True, seed=3, as_bytes=True)
    assert other.normalize.batch(next(iter(other))[0]).tobytes() != images.tobytes()
    same = DataLoader(data, 4, paper_train(56), True, seed=2, as_bytes=True)
    assert Normalize.paper().batch(next(iter(same))[0]).tobytes() != images.tobytes()


def test_bytes_need_a_normalize_that_is_left_to_do_and_bytes_before_it():
    for transform in (None, RandomCrop(3), Compose([Normalize(), RandomCrop(3)])):
        with pytest.raises(UsageError, match="as_bytes is True, but the transform does not end in"):
            DataLoader(Numbers(5), 2, transform, as_bytes=True)
    numbers = DataLoader(Numbers(5), 2, Compose([noise, Normalize()]), as_bytes=True)
    with pytest.raises(UsageError, match=r"as_bytes is True, but the steps .* give float32; they"):
        next(iter(numbers))
