"""A transform taken apart gives the bytes of the whole one, and does the fixed part once."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.data.loader import DataLoader
from minideconv.data.prepare import Preparation
from minideconv.data.shapes import Shapes
from minideconv.data.transforms import (
    CenterCrop,
    ColorJitter,
    Compose,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomScale,
    Resize,
    Scale,
    WholeWindow,
    paper_eval,
    paper_train,
)
from minideconv.errors import DataError

STEPS = [
    WholeWindow(),
    Resize((21, 18)),
    Scale(20),
    CenterCrop(17),
    RandomScale(),
    RandomCrop(15),
    RandomHorizontalFlip(),
    ColorJitter(),
]
FINISHES = [None, Normalize(), Normalize.paper(), Normalize((1.5, 2.5, 3.5), 0.3)]


class Pictures:
    """Item i is noise of its own; counts how often each is read."""

    classes = ("background", "thing")

    def __init__(self, shape=(24, 31)):
        self.shape, self.reads = shape, []

    def __len__(self):
        return 4

    def __getitem__(self, index):
        self.reads.append(index)
        rng = np.random.default_rng(index)
        return rng.integers(0, 256, (*self.shape, 3), np.uint8), rng.integers(
            0, 5, self.shape, np.uint8
        )

    def name(self, index):
        return f"picture-{index}"


def by_hand(picture, steps, finish, seed):
    """Do each step on one picture, and normalise with one sum and one product per channel."""
    image, mask = picture
    rng = np.random.default_rng(seed)
    for step in steps:
        image, mask = step(image, mask, rng)
    if finish is not None:
        x = (image.astype(np.float32) - finish.mean) * np.float32(1 / finish.scale)
        image = (x[:, :, ::-1] if finish.bgr else x).transpose(2, 0, 1)
    return image, mask


@given(
    steps=st.lists(st.sampled_from(STEPS), max_size=5),
    finish=st.sampled_from(FINISHES),
    nested=st.booleans(),
    megabytes=st.sampled_from([0, 1]),
)
def test_the_bytes_are_those_of_one_step_after_the_other(steps, finish, nested, megabytes):
    whole = [*steps, *([] if finish is None else [finish])]
    transform = Compose([Compose(whole[:2]), Compose(whole[2:])] if nested else whole)
    pictures = Pictures()
    preparation = Preparation(pictures.__getitem__, transform, megabytes)
    for seed in (5, 6):
        expected = by_hand(Pictures()[2], steps, finish, seed)
        images, masks = preparation.batch(
            [preparation.sample(2, lambda seed=seed: np.random.default_rng(seed))]
        )
        assert images.dtype == (np.uint8 if finish is None else np.float32)
        np.testing.assert_array_equal(images[0], expected[0], strict=True)
        np.testing.assert_array_equal(masks[0], expected[1], strict=True)
    fixed = bool(steps) and getattr(steps[0], "fixed", False)
    assert len(pictures.reads) == (1 if fixed and megabytes else 2)


def test_only_the_leading_steps_that_draw_nothing_are_kept():
    parts = Preparation(Pictures().__getitem__, paper_train(16), 1)
    assert [type(step) for step in parts.fixed] == [WholeWindow, Resize]
    assert [type(step) for step in parts.drawn] == [RandomCrop, RandomHorizontalFlip]
    assert isinstance(parts.finish, Normalize)
    parts = Preparation(Pictures().__getitem__, paper_eval(16), 1)
    assert (len(parts.fixed), parts.drawn) == (2, [])
    parts = Preparation(Pictures().__getitem__, lambda image, mask, rng: (image, mask), 1)
    assert (parts.fixed, len(parts.drawn), parts.finish) == ([], 1, None)
    parts = Preparation(Pictures().__getitem__, None, 1)
    assert (parts.fixed, parts.drawn, parts.finish) == ([], [], None)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("cache_mb", [0, 0.004, 64])
def test_neither_cache_nor_workers_change_a_byte(workers, cache_mb):
    dataset = Shapes("train", length=12, size=32)

    def run(**options):
        loader = DataLoader(dataset, 5, paper_train(24), True, seed=2, **options)
        return [(x.tobytes(), y.tobytes()) for _ in range(3) for x, y in loader]

    assert run(workers=workers, cache_mb=cache_mb) == run()


def test_the_cache_is_bounded():
    pictures = Pictures()
    loader = DataLoader(pictures, 2, paper_eval(64), cache_mb=2.5 * 64 * 64 * 4 / 2**20)
    for _ in range(3):
        list(loader)
    assert sorted(pictures.reads) == [0, 1, 2, 2, 2, 3, 3, 3]


def test_arrays_of_the_data_set_stay_writable():
    image, mask = Pictures((8, 8))[0]

    class Own(Pictures):
        def __getitem__(self, index):
            return image, mask

    list(DataLoader(Own(), 2, paper_eval(8), cache_mb=1))
    assert image.flags.writeable
    assert mask.flags.writeable


def test_a_step_that_draws_must_not_say_that_it_is_fixed():
    class Liar(RandomHorizontalFlip):
        fixed = True

    with pytest.raises(DataError, match=r"item 0 .* a transform that has fixed = True draws"):
        list(DataLoader(Pictures(), 2, Liar()))


def test_batches_are_channels_last():
    images, _ = next(iter(DataLoader(Shapes("val", length=4), 2, paper_eval(32))))
    assert images.shape == (2, 3, 32, 32)
    assert images.transpose(0, 2, 3, 1).flags.c_contiguous


def test_many_threads_fill_one_cache():
    preparation = Preparation(Pictures().__getitem__, paper_eval(16), 1)
    found = []

    def work():
        for index in range(4):
            found.append((index, preparation.sample(index, lambda: None)[0].tobytes()))

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert len(set(found)) == 4
