"""Images normalised on the device: the bits that the CPU's `Normalize` gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.data.loader import DataLoader
from minideconv.data.shapes import Shapes
from minideconv.data.transforms import Normalize, paper_train
from minideconv.engine.cuda import images
from minideconv.testing import seeds

STEPS = [Normalize(), Normalize.paper(), Normalize((1.5, 2.5, 250.1), 0.3), Normalize(bgr=True)]


def check(gpu, batch, step):
    found = images.normalize(gpu.put(batch), step)
    want = step.batch(batch)
    assert (found.shape, found.dtype) == (want.shape, np.float32)
    assert found.transpose(0, 2, 3, 1).flags.c_contiguous
    np.testing.assert_array_equal(gpu.get(found).view(np.uint32), want.view(np.uint32))


@given(
    st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(1, 13)),
    st.sampled_from(STEPS),
    seeds(),
    st.booleans(),
)
def test_the_bits_of_the_cpu(gpu, size, step, seed, mirrored):
    batch = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    check(gpu, batch[:, :, ::-1] if mirrored else batch, step)


@pytest.mark.parametrize("step", STEPS)
def test_every_byte_in_every_colour(gpu, step):
    check(gpu, np.arange(768, dtype=np.uint8).reshape(1, 16, 16, 3), step)
    check(gpu, np.arange(768, dtype=np.uint8).reshape(3, 256).T.copy().reshape(1, 16, 16, 3), step)


def test_a_loader_of_bytes_and_this_make_the_usual_batches(gpu):
    data = Shapes("train", length=5)
    usual = DataLoader(data, 2, paper_train(24), True, seed=1)
    as_bytes = DataLoader(data, 2, paper_train(24), True, seed=1, as_bytes=True)
    for (x, _), (batch, _) in zip(usual, as_bytes, strict=True):
        found = gpu.get(images.normalize(gpu.put(batch), as_bytes.normalize))
        assert found.tobytes() == x.tobytes()


def test_what_is_no_image_is_refused(gpu):
    for shape, dtype in (
        ((1, 3, 4, 5), np.uint8),
        ((4, 5, 3), np.uint8),
        ((1, 4, 5, 3), np.float32),
    ):
        with pytest.raises(ValueError, match=r"they must be uint8 \(N, H, W, 3\)"):
            images.normalize(gpu.put(np.zeros(shape, dtype)), Normalize())


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("reversed ? 2 - place : place", "place"),
        ("reversed ? 2 - place : place", "2 - place"),
        ("channel == 0 ? mean_0", "place == 0 ? mean_0"),
        ("channel == 1 ? mean_1", "channel == 1 ? mean_2"),
        ("- mean) * factor", "* factor - mean * factor)"),
        ("i - place + channel", "i"),
    ],
)
def test_slips_are_seen(gpu, slip, right, wrong):
    batch = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)

    def all_checks():
        for step in STEPS:
            check(gpu, batch, step)

    all_checks()
    with slip("images.cu", right, wrong), pytest.raises(AssertionError):
        all_checks()


def test_no_schedule_changes_a_bit(gpu, schedule):
    batch = np.random.default_rng(0).integers(0, 256, (2, 15, 17, 3), np.uint8)
    for order in ("reverse", "shuffle"):
        with schedule(order):
            check(gpu, batch, Normalize())
