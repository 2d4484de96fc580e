"""Denoising and inpainting of pictures that are sparse in the dictionary that is used."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.backend import to_default_device
from minideconv.sparse_coding import denoise, inpaint, psnr

SIZE = (40, 49)


def edges():
    """Return a dictionary of steps along both axes, and a picture of rectangles."""
    rows, columns = np.mgrid[:6, :6]
    steps = [np.where(a < k, -1.0, 1.0) for a in (rows, columns) for k in (2, 3, 4)]
    filters = np.stack(steps)[:, None]
    filters = filters - filters.mean(axis=(2, 3), keepdims=True)
    filters /= np.sqrt((filters**2).sum(axis=(1, 2, 3), keepdims=True))
    picture = np.full((1, *SIZE), 0.3)
    picture[:, 8:25, 10:30] = 0.8
    picture[:, 18:35, 22:44] = 0.6
    return to_default_device(filters.astype(np.float32)), picture.astype(np.float32)


def test_psnr():
    truth = np.zeros((1, 4, 5), np.float32)
    assert psnr(truth + np.float32(0.1), truth) == pytest.approx(20, abs=1e-5)
    assert psnr(truth, truth) == float("inf")
    with pytest.raises(ValueError, match=r"image has shape \(1, 5\) but truth \(1, 4, 5\)"):
        psnr(truth[0, :1], truth)


def test_denoising():
    filters, truth = edges()
    noise = np.random.default_rng(0).standard_normal(truth.shape)
    noisy = truth + np.float32(0.1) * noise.astype(np.float32)
    found = denoise(noisy, filters, 0.1)
    assert found.shape == truth.shape
    assert found.dtype == np.float32
    assert psnr(noisy, truth) == pytest.approx(20, abs=0.3)
    assert psnr(found, truth) > 24
    # What is left over has the noise's strength: neither noise nor picture went elsewhere.
    assert 0.07 < (noisy - found).std() < 0.11


def test_without_noise_a_picture_stays():
    filters, truth = edges()
    assert psnr(denoise(truth, filters, 0.0), truth) > 40


def test_channels_are_denoised_alike_with_filters_of_one_channel():
    filters, truth = edges()
    noisy = truth + np.float32(0.1) * np.random.default_rng(0).standard_normal(truth.shape)
    three = np.concatenate([noisy, noisy[:, ::-1], noisy]).astype(np.float32)
    how = {"tolerance": 0, "iterations": 40, "adapt_every": 0}
    found = denoise(three, filters, 0.1, **how)
    alone = denoise(noisy.astype(np.float32), filters, 0.1, **how)
    np.testing.assert_allclose(found[0], alone[0], atol=1e-4)
    np.testing.assert_allclose(found[2], alone[0], atol=1e-4)
    color = to_default_device(np.repeat(np.asarray(edges()[0].tolist(), np.float32), 3, axis=1))
    assert denoise(three, color, 0.1, iterations=20).shape == three.shape


def test_inpainting():
    filters, truth = edges()
    known = np.random.default_rng(1).random(SIZE) >= 0.5
    damaged = np.where(known, truth, np.float32(7))
    found = inpaint(damaged, known, filters)
    np.testing.assert_array_equal(found[:, known], truth[:, known])
    assert psnr(found, truth) > 26
    # What stands at unknown pixels does not count.
    other = np.where(known, truth, np.float32(-3))
    np.testing.assert_array_equal(found, inpaint(other, known, filters))
    grey = np.where(known, truth, truth[:, known].mean())
    assert psnr(found, truth) > psnr(grey, truth) + 8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d, x: denoise(x, d, -1.0), "sigma is -1.0; it must be a number of at least 0"),
        (lambda d, x: denoise(x[0], d, 0.1), r"image has shape \(40, 49\); it must be"),
        (lambda d, x: denoise(x * np.float32(np.nan), d, 0.1), "NaN or infinity"),
        (lambda d, x: inpaint(x, np.ones((3, 4), bool), d), r"known has shape \(3, 4\)"),
        (lambda d, x: denoise(x, d, 0.1, method="ista"), "method is 'ista'"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(ValueError, match=message):
        call(*edges())
