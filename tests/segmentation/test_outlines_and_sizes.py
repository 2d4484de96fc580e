"""Mean IoU in bands around outlines and by the objects' sizes: against loops over pixels."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.data.components import regions
from minideconv.segmentation import ConfusionMatrix
from minideconv.segmentation.boundaries import BoundaryIoU, outline_bands
from minideconv.segmentation.object_sizes import SIZES, SizeIoU, object_ious


def scene(seed, size=(23, 31), blobs=6, classes=4):
    """Rectangles of classes, some with a void border, and noise."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(size, np.uint8)
    for _ in range(blobs):
        y, x = rng.integers(0, size[0]), rng.integers(0, size[1])
        h, w = rng.integers(1, 12, 2)
        if rng.random() < 0.5:
            mask[max(0, y - 1) : y + h + 1, max(0, x - 1) : x + w + 1] = 255
        mask[y : y + h, x : x + w] = rng.integers(0, classes)
    return mask


def predicted(truth, seed, classes=4):
    rng = np.random.default_rng(seed)
    found = np.roll(truth, rng.integers(-2, 3, 2), (0, 1))
    found[found == 255] = rng.integers(0, classes)
    noise = rng.random(truth.shape) < 0.05
    found[noise] = rng.integers(0, classes, int(noise.sum()))
    return found


def naive_band(labels, radius, keep=lambda dy, dx: True):
    height, width = labels.shape
    band = np.zeros(labels.shape, bool)
    steps = range(-radius, radius + 1)
    for y in range(height):
        for x in range(width):
            band[y, x] = any(
                0 <= y + dy < height and 0 <= x + dx < width and keep(dy, dx)
                and labels[y + dy, x + dx] != labels[y, x]
                for dy in steps for dx in steps
            )  # fmt: skip
    return band


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("radii", [(1, 2, 4, 8), (3,), (2, 3, 40)])
def test_bands_are_squares_with_two_labels(seed, radii):
    labels = scene(seed)
    found = list(outline_bands(labels, radii))
    for radius, band in zip(radii, found, strict=True):
        np.testing.assert_array_equal(band, naive_band(labels, radius))


def test_a_disc_or_a_diamond_is_another_band():
    labels = scene(0)
    [band] = outline_bands(labels, [4])
    for keep in (lambda dy, dx: dy**2 + dx**2 <= 16, lambda dy, dx: abs(dy) + abs(dx) <= 4):
        assert (naive_band(labels, 4, keep) != band).any()


@pytest.mark.parametrize("radii", [(1, 2, 4), (5,)])
def test_boundary_iou_is_the_mean_iou_of_the_band(radii):
    metric, expected = BoundaryIoU(4, radii), {r: ConfusionMatrix(4) for r in radii}
    without_void = {r: ConfusionMatrix(4) for r in radii}  # wrong: outlines next to void forgotten
    for seed in range(5):
        truth = scene(seed)
        found = predicted(truth, seed)
        metric.update(truth, found)
        for r in radii:
            band = naive_band(truth, r)
            expected[r].update(np.where(band, truth, 255), found)
            other = naive_band(np.where(truth == 255, 0, truth), r)
            without_void[r].update(np.where(other, truth, 255), found)
    for r in radii:
        np.testing.assert_array_equal(metric.bands[r].counts, expected[r].counts)
        assert metric.mean_iou[r] == expected[r].mean_iou
        assert metric.mean_iou[r] != without_void[r].mean_iou


def test_an_image_of_one_label_has_no_band():
    metric = BoundaryIoU(3)
    metric.update(np.ones((5, 6), np.uint8), np.ones((5, 6), np.uint8))
    assert all(np.isnan(value) for value in metric.mean_iou.values())


@pytest.mark.parametrize("radii", [(), (0, 1), (2, 1), (1, 1), (1.5,)])
def test_radii_rise_from_1(radii):
    with pytest.raises(ValueError, match="it must be rising whole numbers from 1 on"):
        BoundaryIoU(3, radii)


def naive_regions(mask):
    """Return the regions as sets of pixels, by flooding."""
    left, found = {(y, x) for y, x in np.argwhere((mask != 0) & (mask != 255))}, []
    while left:
        stack, region = [left.pop()], set()
        label = mask[stack[0]]
        while stack:
            y, x = stack.pop()
            region.add((y, x))
            for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if near in left and mask[near] == label:
                    left.remove(near)
                    stack.append(near)
        found.append(region)
    return found


def naive_ious(truth, prediction, touching=True, others=True):
    """Return share and IoU of each object, from sets; the options are wrong variants."""
    answers = []
    for own in naive_regions(truth):
        label = truth[next(iter(own))]
        outside = set()
        for region in naive_regions(prediction):
            if prediction[next(iter(region))] == label and (region & own or not touching):
                outside |= region
        outside = {p for p in outside - own if truth[p] != 255}
        if others:
            outside = {p for p in outside if truth[p] != label}
        right = sum(prediction[p] == label for p in own)
        if len(own) >= truth.size / 1000:
            answers.append((len(own) / truth.size, right / (len(own) + len(outside))))
    return answers


@pytest.mark.parametrize("seed", range(8))
def test_object_ious_are_those_of_sets(seed):
    truth = scene(seed, blobs=9)
    found = predicted(truth, seed)
    ours = object_ious(truth, found)
    assert sorted(ours) == sorted(naive_ious(truth, found))
    assert [share for share, _ in ours] == sorted((share for share, _ in ours), reverse=True)


@pytest.mark.parametrize("wrong", [{"touching": False}, {"others": False}])
def test_wrong_unions_are_seen(wrong):
    cases = [(t := scene(seed, blobs=9), predicted(t, seed)) for seed in range(8)]
    assert any(sorted(object_ious(*c)) != sorted(naive_ious(*c, **wrong)) for c in cases)


def test_sizes_are_shares_of_the_image():
    truth = np.zeros((100, 100), np.uint8)
    truth[0, :9] = 1  # 0.09 %: a speck
    truth[10, :10] = 1  # 0.1 %
    truth[20, :99] = 1  # 0.99 %
    truth[30, :100] = 1  # 1 %
    truth[40:49, :100] = 2  # 9 %
    truth[60:70, :100] = 3  # 10 %
    prediction = truth.copy()
    prediction[20] = 0
    prediction[40:43] = 0
    metric = SizeIoU()
    metric.update(truth, prediction)
    assert list(SIZES) == ["small", "medium", "large"]
    assert metric.objects == {"small": 2, "medium": 2, "large": 1}
    assert metric.mean_iou == pytest.approx({"small": 0.5, "medium": (1 + 2 / 3) / 2, "large": 1})
    assert np.isnan(list(SizeIoU().mean_iou.values())).all()


def test_more_regions_than_a_byte_can_number():
    mask = np.zeros((40, 40), np.uint8)
    mask[::2, ::2] = 1
    assert regions(mask).max() == 400
    assert len(object_ious(mask, mask)) == 0 or min(i for _, i in object_ious(mask, mask)) == 1


def test_shapes_that_differ():
    with pytest.raises(ValueError, match=r"truth has shape \(2, 3\) and prediction \(3, 2\)"):
        object_ious(np.zeros((2, 3), int), np.zeros((3, 2), int))
