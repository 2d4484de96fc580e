"""Losses that wait on the device to be read: each step's in its place."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.backend import Device
from minideconv.engine.cuda.confusion import count
from minideconv.engine.cuda.losses import add_loss
from minideconv.engine.cuda.streams import computing_on
from minideconv.training.gpu.metrics import DeviceMetrics


def added(gpu, steps, places):
    """Add steps, lists of (loss, share); return the losses and how many steps there are."""
    room = gpu.put(np.full(places + 1, np.nan))  # one more, for wrong kernels to write to
    losses, place = room[:places], gpu.put(np.zeros(1, np.int32))
    for step in steps:
        for number, (loss, weight) in enumerate(step):
            pair = (gpu.put(np.full(1, value, np.float32)) for value in (loss, weight))
            add_loss(losses, place, *pair, number == 0, number == len(step) - 1)
    assert np.isnan(gpu.get(room)[-1])
    return gpu.get(losses), int(gpu.get(place)[0])


def check(gpu):
    steps = [[(2.0, 1.0)], [(1.0, 0.5), (3.0, 0.25), (8.0, 0.25)], [(np.inf, 1.0)], [(7.0, 0.5)]]
    losses, place = added(gpu, steps, 6)
    np.testing.assert_array_equal(losses[:4], [2.0, 3.25, np.inf, 3.5])
    assert place == 4
    losses, place = added(gpu, [[(float(k), 1.0)] for k in range(5)], 3)
    np.testing.assert_array_equal(losses, [0.0, 1.0, 2.0])
    assert place == 3


def test_each_step_has_its_place_and_what_has_none_is_left_out(gpu):
    check(gpu)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("first ? 0.0", "last ? 0.0"),
        ("if (last)", "if (first)"),
        ("here < places", "here <= places"),
        ("(double)weight[0]", "1.0"),
    ],
)
def test_a_wrong_kernel_is_seen(gpu, slip, right, wrong):
    with slip("losses.cu", right, wrong), pytest.raises(AssertionError):
        check(gpu)


def test_reading_returns_all_and_begins_anew(cupy_device):
    rng = np.random.default_rng(0)
    with computing_on(Device("gpu")):
        metrics = DeviceMetrics(np.zeros((3, 3), np.int64), 4)
        weight = cupy_device.put(np.ones(1, np.float32))
        for reading in range(2):
            want, counts = [], np.zeros((3, 3), np.int64)
            for _ in range(3 + reading):
                loss = rng.standard_normal(()).astype(np.float32)
                truth = rng.integers(0, 3, (2, 4, 5)).astype(np.uint8)
                scores = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
                want.append(float(loss))
                np.add.at(counts, (truth, scores.argmax(axis=1)), 1)
                metrics.add_loss(cupy_device.put(loss), weight, True, True)
                count(metrics.counts, cupy_device.put(truth), cupy_device.put(scores))
            losses, found = metrics.read()
            assert losses.tolist() == want
            np.testing.assert_array_equal(found, counts)
        losses, found = metrics.read()
        assert not losses.size
        assert not found.any()
