"""The dense CRF against pydensecrf2, whose filter is the same lattice."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.segmentation.crf import DenseCRF

SETTINGS = [(20, 3, 5), (50, 10, 4), (80, 13, 10)]


@pytest.fixture(scope="module")
def densecrf():
    return pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf2 is not installed")


def pictures(size, classes, seed):
    rng = np.random.default_rng(seed)
    coarse = rng.standard_normal((classes, 6, 6)) * 2
    y, x = (np.linspace(0, 5, n).astype(int) for n in size)
    p = np.exp(coarse[:, y][:, :, x] + 0.3 * rng.standard_normal((classes, *size)))
    coarse = rng.integers(0, 256, (5, 5, 3))
    y, x = (np.linspace(0, 4, n).astype(int) for n in size)
    image = np.clip(coarse[y][:, x] + rng.normal(0, 10, (*size, 3)), 0, 255).astype(np.uint8)
    return (p / p.sum(axis=0)).astype(np.float32), image


def theirs(densecrf, p, image, position, color, weight, iterations, **options):
    classes, height, width = p.shape
    crf = densecrf.DenseCRF2D(width, height, classes)
    crf.setUnaryEnergy(np.ascontiguousarray(-np.log(p).reshape(classes, -1)))
    crf.addPairwiseGaussian(sxy=3, compat=3, **options)
    crf.addPairwiseBilateral(sxy=position, srgb=color, rgbim=image, compat=weight, **options)
    return np.array(crf.inference(iterations)).reshape(p.shape)


@pytest.mark.parametrize(("position", "color", "weight"), SETTINGS)
@pytest.mark.parametrize("normalization", ["symmetric", "after", "before", "none"])
@pytest.mark.parametrize("classes", [3, 21])
def test_the_lattice_gives_the_same_numbers(
    densecrf, classes, normalization, position, color, weight
):
    p, image = pictures((37, 52), classes, classes)
    names = {"symmetric": "NORMALIZE_SYMMETRIC", "after": "NORMALIZE_AFTER"}
    names |= {"before": "NORMALIZE_BEFORE", "none": "NO_NORMALIZATION"}
    option = {"normalization": getattr(densecrf, names[normalization])}
    expected = theirs(densecrf, p, image, position, color, weight, 5, **option)
    crf = DenseCRF(
        bilateral_weight=weight, bilateral_position=position, bilateral_color=color,
        normalization=normalization, method="lattice",
    )  # fmt: skip
    q = crf.refine(p, image)
    assert np.abs(q - expected).mean() < 1e-5
    assert (q.argmax(axis=0) == expected.argmax(axis=0)).mean() > 0.999


def objects(seed):
    """A disc and a corner of their own colours; probabilities with much noise."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((40, 40))
    truth = ((y - 20) ** 2 + (x - 18) ** 2 < 120).astype(int)
    truth[27:, 23:] = 2
    p = 0.2 + 0.5 * rng.random((3, 40, 40)) + 0.4 * (truth == np.arange(3)[:, None, None])
    image = rng.integers(0, 256, (3, 3))[truth] + rng.normal(0, 8, (40, 40, 3))
    return (p / p.sum(axis=0)).astype(np.float32), np.clip(image, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("position", "color", "weight"), SETTINGS)
@pytest.mark.parametrize("seed", range(8))
def test_exact_sums_are_near(densecrf, seed, position, color, weight):
    """The lattice approximates; on pictures of pure noise it is farther off."""
    p, image = objects(seed)
    expected = theirs(densecrf, p, image, position, color, weight, 5)
    crf = DenseCRF(
        bilateral_weight=weight, bilateral_position=position, bilateral_color=color, method="exact"
    )
    q = crf.refine(p, image)
    assert np.abs(q - expected).mean() < 1e-3
    assert (q.argmax(axis=0) == expected.argmax(axis=0)).mean() > 0.999
    assert (q.argmax(axis=0) != p.argmax(axis=0)).mean() > 0.02
