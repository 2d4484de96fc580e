"""The confusion matrix and its metrics, against a six-line oracle and numbers worked by hand."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from minideconv.segmentation.metrics import ConfusionMatrix


def oracle(truth: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    counts = np.zeros((classes, classes), np.int64)
    for true, predicted in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        if true != 255:
            counts[true, predicted] += 1
    return counts


@pytest.mark.parametrize("seed", range(20))
def test_counts_equal_the_oracle_however_the_set_is_cut(seed):
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(1, 9))
    shape = (3, int(rng.integers(1, 12)), int(rng.integers(1, 12)))
    truth = rng.integers(0, classes, shape).astype(np.uint8)
    truth[rng.random(shape) < 0.2] = 255
    prediction = rng.integers(0, classes, shape)
    whole, parts = ConfusionMatrix(classes), ConfusionMatrix(classes)
    whole.update(truth, prediction)
    for image in range(3):
        parts.update(truth[image], prediction[image])
    expected = oracle(truth, prediction, classes)
    assert (whole.counts == expected).all()
    assert (parts.counts == expected).all()
    assert whole.pixels == (truth != 255).sum()
    for label in range(classes):
        both = ((truth == label) & (prediction == label)).sum()
        either = ((truth != 255) & ((truth == label) | (prediction == label))).sum()
        if either:
            assert whole.iou[label] == pytest.approx(both / either, rel=1e-12)
        else:
            assert math.isnan(whole.iou[label])


def test_metrics_worked_by_hand():
    # Rows are the truth: class 0 has 10 pixels, class 1 has 5, class 2 has 5.
    confusion = ConfusionMatrix(3)
    confusion.counts[:] = [[8, 2, 0], [1, 4, 0], [0, 5, 0]]
    assert confusion.pixel_accuracy == pytest.approx(12 / 20)
    assert confusion.mean_accuracy == pytest.approx((8 / 10 + 4 / 5 + 0 / 5) / 3)
    assert confusion.iou == pytest.approx([8 / 11, 4 / 12, 0.0])
    assert confusion.mean_iou == pytest.approx((8 / 11 + 4 / 12 + 0) / 3)
    weighted = (10 * 8 / 11 + 5 * 4 / 12 + 0) / 20
    assert confusion.frequency_weighted_iou == pytest.approx(weighted)


def test_how_absent_classes_count():
    # Class 1: nowhere. Class 2: not in the truth, but predicted. Class 3: in the truth, missed.
    truth = np.array([0, 0, 0, 3])
    prediction = np.array([0, 0, 2, 0])
    confusion = ConfusionMatrix(4)
    confusion.update(truth, prediction)
    assert np.isnan(confusion.iou).tolist() == [False, True, False, False]
    assert confusion.mean_iou == pytest.approx((2 / 4 + 0 + 0) / 3)
    assert np.isnan(confusion.class_accuracy).tolist() == [False, True, True, False]
    assert confusion.mean_accuracy == pytest.approx((2 / 3 + 0) / 2)
    assert confusion.frequency_weighted_iou == pytest.approx((3 * 2 / 4 + 1 * 0) / 4)
    metrics = confusion.compute()
    assert metrics["class_iou"][1] is None
    assert metrics["class_accuracy"][2] is None


def test_mean_over_images_is_another_number():
    # Why the matrix must cover the whole set.
    first, second = np.array([0, 0, 0, 1]), np.array([1, 1, 1, 1])
    guess = np.array([0, 0, 0, 0]), np.array([1, 1, 1, 1])
    whole = ConfusionMatrix(2)
    means = []
    for truth, prediction in zip((first, second), guess, strict=True):
        whole.update(truth, prediction)
        alone = ConfusionMatrix(2)
        alone.update(truth, prediction)
        means.append(alone.mean_iou)
    assert np.mean(means) == pytest.approx((3 / 4 / 2 + 1) / 2)
    assert whole.mean_iou == pytest.approx((3 / 4 + 4 / 5) / 2)


def test_void_is_ignored_and_nothing_gives_nan():
    confusion = ConfusionMatrix(2)
    confusion.update(np.full((2, 3), 255, np.uint8), np.full((2, 3), 77))
    assert confusion.pixels == 0
    assert math.isnan(confusion.pixel_accuracy)
    assert math.isnan(confusion.mean_iou)
    assert confusion.compute()["mean_iou"] is None
    assert confusion.classes_in_truth == 0
    confusion.update(np.array([1]), np.array([1]))
    assert confusion.pixel_accuracy == 1.0
    confusion.reset()
    assert confusion.pixels == 0


def test_the_metrics_say_how_many_classes_the_truth_shows():
    confusion = ConfusionMatrix(21)
    confusion.update(np.zeros((4, 4), int), np.zeros((4, 4), int))
    assert confusion.mean_iou == 1.0  # of background alone: hence the number beside it
    assert confusion.compute()["classes_in_truth"] == 1
    confusion.update(np.array([3, 255]), np.array([0, 7]))
    assert confusion.compute()["classes_in_truth"] == 2


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        ([0, 1], [0, 3], "prediction has label 3 (1 such pixels); with 3 classes labels are 0..2"),
        ([0, 1], [255, 1], "prediction has label 255"),
        ([0, -1], [0, 1], "truth has label -1 (1 such pixels)"),
        (
            [7, 7],
            [0, 1],
            "truth has label 7 (2 such pixels); with 3 classes labels are 0..2 or 255",
        ),
        ([0, 1], [0], r"truth has shape (2,) but prediction has shape (1,); they must be equal"),
    ],
)
def test_wrong_labels_are_refused_by_value(truth, prediction, message):
    confusion = ConfusionMatrix(3)
    with pytest.raises(ValueError, match=re.escape(message)):
        confusion.update(np.array(truth), np.array(prediction))
    assert confusion.pixels == 0


def test_scores_instead_of_labels_are_refused():
    with pytest.raises(TypeError, match="prediction has dtype float64"):
        ConfusionMatrix(2).update(np.array([0]), np.array([0.0]))
    with pytest.raises(ValueError, match="num_classes is 0"):
        ConfusionMatrix(0)


def test_counts_made_elsewhere_are_added():
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 3, (2, 4, 5)), rng.integers(0, 3, (2, 4, 5))
    whole, parts = ConfusionMatrix(3), ConfusionMatrix(3)
    whole.update(truth, prediction)
    parts.update(truth[0], prediction[0])
    parts.add(oracle(truth[1], prediction[1], 3).astype(np.uint32))
    assert (parts.counts == whole.counts).all()
    assert parts.counts.dtype == np.int64
    given = np.ones((3, 3), np.int64)
    parts.add(given)
    parts.reset()
    assert (given == 1).all()


@pytest.mark.parametrize(
    ("counts", "error", "message"),
    [
        (np.zeros((2, 3), int), ValueError, "counts have shape (2, 3); with 3 classes it must be"),
        (np.zeros((3, 3)), TypeError, "counts have dtype float64; they must be integers"),
        (np.full((3, 3), -2), ValueError, "counts has -2; none may be negative"),
    ],
)
def test_counts_that_cannot_be_are_refused(counts, error, message):
    with pytest.raises(error, match=re.escape(f"ConfusionMatrix.add: {message}")):
        ConfusionMatrix(3).add(counts)
