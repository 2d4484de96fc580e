"""Programs that use a trained network do it through a plan, with the same masks."""

from __future__ import annotations

import numpy as np
import pytest
from random_state import draw_state

from minideconv import models
from minideconv.segmentation import ConfusionMatrix, Segmenter
from minideconv.segmentation.inference import Segmenter as Plain

pytestmark = pytest.mark.cpu


def network(name="deconvnet"):
    build = {
        "deconvnet": lambda: models.deconvnet(5, width=16, input_size=24, fc=32, stages=2),
        "fcn8s": lambda: models.fcn(8, num_classes=5, width=4, fc=8, fc_kernel=1, padding="same"),
    }[name]
    net = build()
    draw_state(net, np.random.default_rng(0))
    return net


def images():
    rng = np.random.default_rng(1)
    sizes = [(30, 41), (24, 24), (50, 20), (31, 31), (24, 60), (40, 40)]
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


class Unplanned(Plain):
    def _network(self):
        return self.model


@pytest.mark.parametrize("name", ["deconvnet", "fcn8s"])
@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("flip", [False, True])
def test_masks_are_those_of_the_network(name, batch_size, flip):
    net = network(name).eval()
    options = {"input_size": 32, "flip": flip, "batch_size": batch_size}
    planned, plain = Segmenter(net, **options), Unplanned(net, **options)
    matrices = ConfusionMatrix(5), ConfusionMatrix(5)
    for _ in range(4):
        for a, b in zip(planned.labels_of(images()), plain.labels_of(images()), strict=True):
            np.testing.assert_array_equal(a, b)
            for matrix, mask in zip(matrices, (a, b), strict=True):
                matrix.update(np.full(a.shape, 1, np.uint8), mask)
    np.testing.assert_array_equal(matrices[0].counts, matrices[1].counts)
    assert not planned._plan.reason
    assert planned._plan._programs


def test_a_network_in_training_has_no_plan():
    net = network().train()
    segmenter = Segmenter(net, 32, batch_size=1)
    for _ in segmenter.scores_of(images()):
        pass
    assert segmenter._plan is None


def test_other_weights_and_another_network_are_noticed():
    segmenter = Segmenter(network().eval(), 32, batch_size=1)
    before = list(segmenter.scores_of(images()))
    draw_state(segmenter.model, np.random.default_rng(5))
    wanted = list(Unplanned(segmenter.model, 32, batch_size=1).scores_of(images()))
    for now, old, want in zip(segmenter.scores_of(images()), before, wanted, strict=True):
        np.testing.assert_allclose(now, want, atol=1e-4 * np.abs(want).max())
        assert np.abs(now - old).max() > 0.1
    segmenter.model = network("fcn8s").eval()
    wanted = Unplanned(segmenter.model, 32, batch_size=1).scores(images()[0])
    np.testing.assert_allclose(segmenter.scores(images()[0]), wanted, atol=1e-4)


def test_one_photograph_makes_no_plan():
    segmenter = Segmenter(network().eval(), 32)
    segmenter.labels(images()[0])
    assert not segmenter._plan._programs


def test_a_large_network_has_no_plan(monkeypatch):
    from minideconv.segmentation import inference

    monkeypatch.setattr(inference, "_LARGE", 10)
    segmenter = Segmenter(network().eval(), 32, batch_size=1)
    for _ in segmenter.scores_of(images()):
        pass
    assert segmenter._plan is None
