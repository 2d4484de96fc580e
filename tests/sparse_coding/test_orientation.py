"""The coherence of a filter: gratings, blobs, noise; what does not matter to it."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.sparse_coding import coherence, oriented
from minideconv.sparse_coding.dictionary import random_filters
from minideconv.sparse_coding.orientation import random_coherence


def gabor(angle, size=8, wavelength=4.0):
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    along = rows * np.sin(angle) + columns * np.cos(angle)
    return np.exp(-(rows**2 + columns**2) / 8) * np.cos(2 * np.pi * along / wavelength)


def blob(size=9):
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    r2 = rows**2 + columns**2
    return np.exp(-r2 / 3) - np.exp(-r2 / 6) / 2


def one(filter_):
    return float(coherence(filter_[None, None])[0])


@pytest.mark.parametrize("angle", np.linspace(0, np.pi, 7)[:-1])
def test_gratings_are_coherent_in_every_direction(angle):
    assert one(gabor(angle)) > 0.85
    assert oriented(gabor(angle)[None, None]).all()


def test_blobs_are_not():
    assert one(blob()) < 1e-6
    assert one(gabor(0) + gabor(np.pi / 2)) < 1e-6
    assert one(np.zeros((8, 8))) == 0
    assert one(np.ones((8, 8))) < 1e-12


def test_contrast_sign_mean_place_and_quarter_turns_do_not_matter():
    f = gabor(0.4, size=6, wavelength=3.0)
    value = one(f)
    centred = np.pad(f - f.mean(), ((1, 4), (2, 3)))
    moved = np.pad(f - f.mean(), ((3, 2), (4, 1)))
    for same in (-f, 7 * f, np.rot90(f), f[::-1]):
        assert one(same) == pytest.approx(value, rel=1e-9)
    assert one(f + 3) == pytest.approx(value, rel=1e-9)
    assert one(centred) == pytest.approx(one(moved), rel=1e-9)


def test_random_filters_are_the_control():
    others = random_filters(2000, 1, (8, 8), np.random.default_rng(99), np.float64)
    share = oriented(others).mean()
    assert 0.035 < share < 0.065  # 5 % by definition, on filters other than the 2000 that set it
    assert random_coherence((1, 8, 8)) == random_coherence((1, 8, 8))
    assert random_coherence((1, 8, 8), 0.5) < random_coherence((1, 8, 8), 0.95) < 0.6


def test_channels_count_together():
    f = gabor(0.4)
    both = np.stack([f, 2 * f])[None]
    assert float(coherence(both)[0]) == pytest.approx(one(f), rel=1e-9)
    crossed = np.stack([gabor(0), gabor(np.pi / 2)])[None]
    assert float(coherence(crossed)[0]) < 1e-6
