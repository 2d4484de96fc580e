"""The generated set: the same bytes always, distinct splits, VOC's form, no give-away colours."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from minideconv.data.shape_outlines import OUTLINES, blob, pose, stroke
from minideconv.data.shapes import DIFFICULTIES, Difficulty, Shapes
from minideconv.errors import UsageError


def digest(dataset: Shapes, indices) -> list[str]:
    parts = []
    for index in indices:
        image, mask = dataset[index]
        instances = dataset.instances(index)
        blob = image.tobytes() + mask.tobytes() + instances.tobytes()
        parts.append(hashlib.sha256(blob).hexdigest())
    return parts


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
@pytest.mark.parametrize("size", [64, (48, 72), 160])
def test_form_of_an_item(difficulty, size):
    dataset = Shapes("train", length=6, size=size, difficulty=difficulty)
    height, width = (size, size) if isinstance(size, int) else size
    for index in range(6):
        image, mask = dataset[index]
        instances = dataset.instances(index)
        assert image.shape == (height, width, 3)
        assert mask.shape == instances.shape == (height, width)
        assert image.dtype == mask.dtype == instances.dtype == np.uint8
        assert set(np.unique(mask)) <= {*range(dataset.num_classes), 255}
        numbers = set(np.unique(instances)) - {0, 255}
        assert numbers, "an image without an object"
        assert ((instances == 255) == (mask == 255)).all()
        assert ((instances == 0) == (mask == 0)).all()
        for number in numbers:
            assert len(np.unique(mask[instances == number])) == 1


def test_items_do_not_depend_on_order_length_cache_or_threads():
    straight = digest(Shapes("train", length=40), range(40))
    backward = digest(Shapes("train", length=40), reversed(range(40)))[::-1]
    longer = digest(Shapes("train", length=100), range(40))
    uncached = Shapes("train", length=40, cache_mb=0)
    twice = [digest(uncached, range(40)), digest(uncached, range(40))]
    with ThreadPoolExecutor(4) as pool:
        shared = Shapes("train", length=40)
        threaded = list(pool.map(lambda i: digest(shared, [i])[0], range(40)))
    assert straight == backward == longer == twice[0] == twice[1] == threaded


def test_splits_and_seeds_share_no_image():
    seen = set()
    for split in ("train", "val", "test"):
        for seed in (0, 1, 2**32, 2**32 + 1):
            dataset = Shapes(split, length=25, seed=seed)
            seen |= {dataset[index][0].tobytes() for index in range(25)}
    assert len(seen) == 3 * 4 * 25


def test_every_class_occurs_about_equally_often():
    dataset = Shapes("train", length=400)
    counts = np.zeros(dataset.num_classes, dtype=int)
    for index in range(400):
        present = np.unique(dataset[index][1])
        counts[present[present < 255]] += 1
    assert counts[1:].min() > 0.6 * counts[1:].max()


def test_colour_does_not_give_the_class_away():
    # The mean colour of a class's pixels is that of any other's, up to the spread of random draws:
    # standard error of a mean over ~90 objects with standard deviation ~60 is ~6 grey levels.
    dataset = Shapes("train", length=400)
    means = [[] for _ in range(dataset.num_classes)]
    for index in range(400):
        image, mask = dataset[index]
        instances = dataset.instances(index)
        for number in set(np.unique(instances)) - {0, 255}:
            region = instances == number
            means[mask[region][0]].append(image[region].mean(axis=0))
    of_class = np.array([np.mean(m, axis=0) for m in means[1:]])
    assert np.abs(of_class - of_class.mean(axis=0)).max() < 30


def saturation(image: np.ndarray) -> np.ndarray:
    high, low = image.max(axis=-1).astype(float), image.min(axis=-1).astype(float)
    return (high - low) / np.maximum(high, 1)


def test_muted_scenes_have_greyer_backgrounds_and_others_do_not():
    plain = Difficulty(("disc", "star"), (1, 2), (0.2, 0.3), 1.0, (1, 3), 60, 20, 0.1, 2, 0.9)
    gaps = {}
    for muted in (0.0, 1.0):
        dataset = Shapes("train", length=80, difficulty=replace(plain, muted=muted))
        of = [[], []]
        for index in range(80):
            image, mask = dataset[index]
            colourful = saturation(image)
            of[0].append(np.median(colourful[mask == 0]))
            of[1].append(np.median(colourful[(mask > 0) & (mask < 255)]))
        gaps[muted] = np.mean(of[1]) - np.mean(of[0])
    assert abs(gaps[0.0]) < 0.1
    assert gaps[1.0] > 0.35


def test_void_is_a_thin_band_between_an_object_and_the_rest():
    for size, most in ((64, 0.08), (224, 0.1)):
        dataset = Shapes("val", length=20, size=size)
        shares, far = [], 0
        for index in range(20):
            mask = dataset[index][1]
            void = mask == 255
            assert void.any()
            shares.append(void.mean())
            # Every void pixel has an object within the band's width, but at needle-sharp tips.
            reach = 2 + size // 64
            grown = np.zeros_like(void)
            objects = np.pad((mask > 0) & ~void, reach)
            for dy in range(2 * reach + 1):
                for dx in range(2 * reach + 1):
                    grown |= objects[dy : dy + size, dx : dx + size]
            far += (void & ~grown).mean()
        assert far <= 0.02 * np.sum(shares)
        assert 0.005 < np.mean(shares) < most


def test_occlusion_leaves_enough_of_every_object():
    dataset = Shapes("train", length=60, difficulty="hard")
    for index in range(60):
        numbers, counts = np.unique(dataset.instances(index), return_counts=True)
        things = [c for n, c in zip(numbers, counts, strict=True) if n not in (0, 255)]
        assert min(things) >= 3


@pytest.mark.parametrize("name", OUTLINES)
def test_outlines_are_about_one_in_radius(name):
    for seed in range(20):
        rings = OUTLINES[name](np.random.default_rng(seed))
        reach = np.sqrt((rings[0] ** 2).sum(axis=1)).max()
        assert 0.9 <= reach <= 1.6
        assert all(ring.shape[1] == 2 and len(ring) >= 3 for ring in rings)


def area(ring: np.ndarray) -> float:
    x, y = ring.T
    return abs(float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())) / 2


@pytest.mark.parametrize("make", [*OUTLINES.values(), blob, stroke])
def test_pose_scales_areas_by_the_radius_squared(make):
    # Turning, slanting and stretching have determinant one, so only the radius changes areas.
    for seed in range(10):
        rng = np.random.default_rng(seed)
        outline = make(rng)
        for before, after in zip(outline, pose(outline, rng, 7.0, 1.8), strict=True):
            assert area(after) == pytest.approx(49 * area(before), rel=1e-9)


def test_difficulty_can_be_made_by_hand():
    one = Difficulty(("star", "tee"), (2, 2), (0.2, 0.3), 1.0, (0, 0), 120, 0, 0, 0, 0.9)
    dataset = Shapes("val", length=10, difficulty=one)
    assert dataset.classes == ["background", "star", "tee"]
    assert {int(v) for i in range(10) for v in np.unique(dataset[i][1])} == {0, 1, 2, 255}


def test_cached_arrays_cannot_be_changed_by_accident():
    image, mask = Shapes("train", length=1)[0]
    for array in (image, mask):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1


def test_negative_index_and_range():
    dataset = Shapes("train", length=5)
    assert (dataset[-1][0] == dataset[4][0]).all()
    with pytest.raises(IndexError, match="index 5 is outside this split of 5 images"):
        dataset[5]
    assert dataset.name(3) == "shapes-0-train-00003"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "dev"}, "split is 'dev'; it must be 'train', 'val' or 'test'"),
        ({"length": 0}, "length is 0; it must be at least 1"),
        ({"size": (64, 8)}, "size is 64x8; each side must be at least 16"),
        ({"seed": -1}, "seed is -1; it must be 0 or more"),
        ({"difficulty": "brutal"}, "difficulty is 'brutal'; it must be one of 'easy'"),
    ],
)
def test_messages(arguments, message):
    with pytest.raises(UsageError, match=message):
        Shapes(**arguments)


def test_message_for_an_unknown_shape():
    with pytest.raises(UsageError, match="names 'cat'; the shapes that can be drawn are disc"):
        Shapes(difficulty=Difficulty(("cat",), (1, 1), (0.1, 0.2), 1, (0, 0), 9, 9, 0, 0, 0.5))
