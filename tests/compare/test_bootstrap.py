"""The paired bootstrap: it covers what is true, and wrong ones of the same form do not."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.compare.bootstrap import Interval, mean_iou, paired_difference
from minideconv.segmentation import ConfusionMatrix

pytestmark = pytest.mark.cpu  # counts on the host

PIXELS, CLASSES = 20_000, 4


def images(seed, count, gain=0.0):
    """Confusion matrices of two rows, (count, C, C) each.

    An image is hard or easy for both; the second row confuses fewer pixels of it, by `gain` on
    average, and by another share in each image.
    """
    rng = np.random.default_rng(seed)
    found = np.zeros((2, count, CLASSES, CLASSES), np.int64)
    for i in range(count):
        shown = np.sort(rng.choice(np.arange(1, CLASSES), rng.integers(1, 3), replace=False))
        sizes = rng.multinomial(PIXELS, rng.dirichlet(np.ones(1 + len(shown))))
        hard = 0.15 + 0.8 * rng.beta(0.6, 0.6)
        wrong = np.clip([hard, hard - gain + rng.normal(0, 0.03)], 0, 1)
        for label, size in zip([0, *shown], sizes, strict=True):
            other = rng.integers(0, CLASSES)
            for row in range(2):
                missed = rng.binomial(size, wrong[row])
                found[row, i, label, label] += size - missed
                found[row, i, label, other] += missed
    return found[0], found[1]


def unpaired(a, b, resamples, confidence=0.95, seed=0):
    """Wrong: the rows are drawn apart."""
    rng = np.random.default_rng(seed)
    n = len(a)
    draws = [rng.multinomial(n, np.full(n, 1 / n), resamples) for _ in "ab"]
    return _interval(a, b, mean_iou(a, draws[0]) - mean_iou(b, draws[1]), confidence)


def of_pixels(a, b, resamples, confidence=0.95, seed=0):
    """Wrong: pixels are drawn as if those of an image were independent."""
    rng = np.random.default_rng(seed)
    both = []
    for counts in (a, b):
        total = counts.sum(axis=0).ravel()
        drawn = rng.multinomial(total.sum(), total / total.sum(), resamples)
        both.append(mean_iou(drawn.reshape(-1, CLASSES, CLASSES), np.eye(resamples)))
    return _interval(a, b, both[0] - both[1], confidence)


def of_means(a, b, resamples, confidence=0.95, seed=0):
    """Wrong: the mean of the images' own mean IoUs is another number."""
    rng = np.random.default_rng(seed)
    n = len(a)
    each = mean_iou(a, np.eye(n)) - mean_iou(b, np.eye(n))
    drawn = rng.multinomial(n, np.full(n, 1 / n), resamples) @ each / n
    return Interval(each.mean(), *np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2]))


def _interval(a, b, drawn, confidence):
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    once = np.ones((1, len(a)))
    return Interval(float((mean_iou(a, once) - mean_iou(b, once))[0]), low, high)


@pytest.fixture(scope="module")
def population():
    """Many images, their true difference, and 120 samples of 60 of them."""
    a, b = images(0, 2000, gain=0.05)
    rng = np.random.default_rng(1)
    samples = [rng.choice(len(a), 60) for _ in range(120)]
    once = np.ones((1, len(a)))
    truth = float((mean_iou(a, once) - mean_iou(b, once))[0])
    return truth, [(a[i], b[i]) for i in samples]


def coverage(bootstrap, population, confidence=0.95):
    """Share of the samples whose interval holds the true difference."""
    truth, samples = population
    found = [bootstrap(a, b, resamples=300, confidence=confidence) for a, b in samples]
    return float(np.mean([each.low <= truth <= each.high for each in found]))


@pytest.mark.parametrize(("confidence", "least", "most"), [(0.95, 0.90, 0.99), (0.5, 0.4, 0.6)])
def test_intervals_hold_the_true_difference_as_often_as_they_claim(
    population, confidence, least, most
):
    assert least <= coverage(paired_difference, population, confidence) <= most


def test_drawing_the_rows_apart_is_rejected(population):
    assert coverage(unpaired, population, 0.5) > 0.8  # far too wide
    truth, samples = population
    a, b = samples[0]
    right, wrong = paired_difference(a, b, 500), unpaired(a, b, 500)
    assert wrong.high - wrong.low > 2 * (right.high - right.low)
    assert right.verdict == "lower"
    assert truth < 0
    assert wrong.verdict == "not decided"


def test_drawing_pixels_is_rejected(population):
    assert coverage(of_pixels, population) < 0.9


def test_the_mean_of_the_images_is_rejected(population):
    assert coverage(of_means, population) < 0.9


def test_the_difference_is_that_of_the_confusion_matrices():
    a, b = images(3, 20)
    found = []
    for counts in (a, b):
        confusion = ConfusionMatrix(CLASSES)
        confusion.add(counts.sum(axis=0))
        found.append(confusion.mean_iou)
    assert paired_difference(a, b, 10).difference == pytest.approx(found[0] - found[1], abs=1e-12)


def test_one_resample_at_a_time_by_hand():
    a, b = images(4, 7)
    rng = np.random.default_rng(5)
    drawn = []
    for weights in rng.multinomial(7, np.full(7, 1 / 7), 40):
        rows = []
        for counts in (a, b):
            confusion = ConfusionMatrix(CLASSES)
            confusion.add(sum(int(w) * each for w, each in zip(weights, counts, strict=True)))
            rows.append(confusion.mean_iou)
        drawn.append(rows[0] - rows[1])
    found = paired_difference(a, b, 40, confidence=0.8, seed=5)
    assert [found.low, found.high] == pytest.approx(np.quantile(drawn, [0.1, 0.9]).tolist())


def test_a_row_and_itself_do_not_differ():
    a, _ = images(6, 12)
    assert paired_difference(a, a) == Interval(0.0, 0.0, 0.0)


def test_swapping_the_rows_turns_the_interval_round():
    a, b = images(7, 15, gain=0.05)
    one, other = paired_difference(a, b, 200), paired_difference(b, a, 200)
    assert [one.difference, one.low, one.high] == pytest.approx(
        [-other.difference, -other.high, -other.low]
    )


def test_seeds_are_averaged_and_images_drawn_for_all_of_them_together():
    a, b = images(8, 25, gain=0.05)
    c, d = images(9, 25, gain=0.05)
    assert paired_difference(np.stack([a, a]), np.stack([b, b]), 200) == paired_difference(
        a, b, 200
    )
    both = paired_difference(np.stack([a, c]), np.stack([b, d]), 200)
    parts = [paired_difference(a, b, 200).difference, paired_difference(c, d, 200).difference]
    assert both.difference == pytest.approx(np.mean(parts))


def test_the_same_seed_draws_alike_and_the_size_of_blocks_changes_nothing(monkeypatch):
    a, b = images(10, 9)
    found = paired_difference(a, b, 100, seed=3)
    assert found == paired_difference(a, b, 100, seed=3)
    assert found != paired_difference(a, b, 100, seed=4)
    monkeypatch.setattr("minideconv.compare.bootstrap._AT_ONCE", 64)
    assert found == paired_difference(a, b, 100, seed=3)


def test_a_class_that_no_drawn_image_shows_is_left_out():
    counts = np.zeros((3, 2, 2), np.int64)
    counts[:, 0, 0] = 10
    counts[2, 1, 1] = 5
    assert mean_iou(counts, np.array([[2, 1, 0], [1, 1, 1]])).tolist() == [1.0, 1.0]
    assert np.isnan(mean_iou(counts * 0, np.ones((1, 3))))[0]


@pytest.mark.parametrize(
    ("a", "b", "options", "words"),
    [
        ((3, 2, 2), (4, 2, 2), {}, "b (4, 2, 2)"),
        ((2, 2), (2, 2), {}, "a has shape (2, 2)"),
        ((3, 2, 3), (3, 2, 3), {}, "a has shape (3, 2, 3)"),
        ((0, 2, 2), (0, 2, 2), {}, "there must be an image"),
        ((3, 2, 2), (3, 2, 2), {"resamples": 0}, "resamples is 0"),
        ((3, 2, 2), (3, 2, 2), {"confidence": 1.0}, "confidence is 1.0"),
    ],
)
def test_what_is_refused(a, b, options, words):
    with pytest.raises(ValueError, match=r"^paired_difference: ") as error:
        paired_difference(np.ones(a, int), np.ones(b, int), **options)
    assert words in str(error.value)
