"""Weights of classes: from the pixels of the data, into the loss and its share of a batch."""

from __future__ import annotations

import numpy as np
import pytest
from device_tier import DEVICE

from minideconv import Tensor
from minideconv import functional as F
from minideconv.backend import as_device, to_device
from minideconv.tasks.segmentation.class_weights import class_weights
from minideconv.tasks.segmentation.task import Segmentation
from minideconv.training import TrainConfig, Trainer


class Masks:
    """Label maps of known counts: 60 of class 0, 30 of class 1, 10 of class 3, 20 void."""

    classes = ("a", "b", "c", "d")

    def __init__(self, whole):
        self.masks = np.repeat(np.array([0, 1, 3, 255], np.uint8), [60, 30, 10, 20]).reshape(
            3, 4, 10
        )
        if not whole:
            self.mask = lambda index: self.masks[index]

    def __len__(self):
        return 3

    def __getitem__(self, index):
        assert not hasattr(self, "mask")  # images are not read where masks can be had alone
        return np.zeros((4, 10, 3), np.uint8), self.masks[index]


@pytest.mark.parametrize("whole", [False, True])
def test_they_are_powers_of_the_shares(whole):
    found = class_weights(Masks(whole), 4, 0.5)
    raw = np.array([0.6**-0.5, 0.3**-0.5, 0.1**-0.5, 0.1**-0.5])  # class 2 has none: the largest
    mean = 0.6 * raw[0] + 0.3 * raw[1] + 0.1 * raw[3]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, raw / mean, rtol=1e-6)


def test_the_mean_weight_of_a_pixel_is_one():
    for power in (0.0, 0.3, 1.0):
        found = class_weights(Masks(False), 4, power)
        assert found @ np.array([0.6, 0.3, 0.0, 0.1]) == pytest.approx(1.0, rel=1e-6)
    np.testing.assert_array_equal(class_weights(Masks(False), 4, 0.0), np.ones(4, np.float32))


def test_the_loss_and_the_weight_of_a_part_of_a_batch():
    """The parts of a batch, weighted by `weight`, give the loss of the whole batch."""
    weights = np.array([0.5, 1.0, 3.0, 2.0], np.float32)
    task = Segmentation("abcd", class_weights=weights)
    rng = np.random.default_rng(0)
    device = as_device("cpu" if DEVICE == "cpu" else "gpu")
    scores = rng.standard_normal((5, 4, 6, 7)).astype(np.float32)
    targets = rng.integers(0, 4, (5, 6, 7)).astype(np.uint8)
    targets[rng.random(targets.shape) < 0.2] = 255

    def loss(part):
        return float(
            task.loss(
                Tensor(scores[part], device=device), None, to_device(targets[part], device)
            ).numpy()
        )

    parts = [slice(0, 2), slice(2, 5)]
    terms = [task.weight(targets[part]) for part in parts]
    assert sum(terms) == pytest.approx(weights[targets[targets != 255]].sum())
    combined = sum(t * loss(p) for t, p in zip(terms, parts, strict=True)) / sum(terms)
    assert combined == pytest.approx(loss(slice(None)), rel=1e-5)
    log = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    total = norm = 0.0
    for n, i, j in zip(*np.nonzero(targets != 255), strict=True):
        w = weights[targets[n, i, j]]
        total, norm = total - w * log[n, targets[n, i, j], i, j], norm + w
    assert loss(slice(None)) == pytest.approx(total / norm, rel=1e-5)
    plain = Segmentation("abcd").loss(
        Tensor(scores, device=device), None, to_device(targets, device)
    )
    expected = F.cross_entropy(
        Tensor(scores), to_device(targets.astype(np.int64), Tensor(scores).device)
    )
    assert float(plain.numpy()) == pytest.approx(float(expected.numpy()), rel=1e-6)


def test_a_run_uses_them():
    common = {
        **{"train_images": 6, "val_images": 2, "image_size": 32, "input_size": 16, "width": 2},
        **{"fc": 4, "depth": 2, "batch_size": 2, "epochs": 1, "images": 0, "final_images": 2},
        "device": "cpu" if DEVICE == "cpu" else "gpu",
    }
    without = Trainer(TrainConfig(**common))
    trainer = Trainer(TrainConfig(**common, class_weights=0.5))
    assert without.task.class_weights is None
    found = trainer.task.class_weights
    shown = trainer.train_data
    np.testing.assert_array_equal(found, class_weights(shown, len(shown.classes), 0.5))
    assert np.ptp(found) > 0.1
    trainer.fit()
    without.fit()
    state, other = trainer.model.state_dict(), without.model.state_dict()
    assert not np.array_equal(state["seg_score.weight"], other["seg_score.weight"])
