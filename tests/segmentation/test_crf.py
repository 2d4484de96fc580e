"""The dense CRF: against loops over all pairs, between its two methods, and what it does."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import Tensor
from minideconv.backend import device_of, to_cpu
from minideconv.backend.algorithms import algorithm
from minideconv.errors import UsageError
from minideconv.segmentation.crf import DenseCRF


def example(height, width, classes, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.random((classes, height, width)) + 0.05
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    return (p / p.sum(axis=0)).astype(np.float32), image


def naive(p, image, crf):
    """Mean field as the formulas say, pixel by pixel, in float64."""
    classes, height, width = p.shape
    pixels = [(y, x) for y in range(height) for x in range(width)]

    def kernel(a, b):
        place = sum((i - j) ** 2 for i, j in zip(a, b, strict=True))
        color = sum((int(i) - int(j)) ** 2 for i, j in zip(image[a], image[b], strict=True))
        yield (
            crf.bilateral_weight,
            np.exp(-place / (2 * crf.bilateral_position**2) - color / (2 * crf.bilateral_color**2)),
        )
        yield crf.spatial_weight, np.exp(-place / (2 * crf.spatial_position**2))

    n = len(pixels)
    matrices = np.array([[[k for _, k in kernel(a, b)] for b in pixels] for a in pixels])
    weights = [w for w, _ in kernel(pixels[0], pixels[0])]
    total = np.zeros((n, n))
    for number, weight in enumerate(weights):
        k = matrices[:, :, number]
        sums = k.sum(axis=1)
        k = {
            "symmetric": k / np.sqrt(sums[:, None] * sums[None]),
            "after": k / sums[:, None],
            "before": k / sums[None],
            "none": k,
        }[crf.normalization]
        total += weight * k
    log_p = np.log(np.array([p[:, y, x] for y, x in pixels], np.float64))
    q = np.exp(log_p)
    for _ in range(crf.iterations):
        q = np.exp(log_p + total @ q)
        q /= q.sum(axis=1, keepdims=True)
    return q.T.reshape(classes, height, width)


@pytest.mark.parametrize("normalization", ["symmetric", "after", "before", "none"])
def test_exact_is_the_formulas(normalization):
    p, image = example(5, 7, 3)
    crf = DenseCRF(
        bilateral_weight=2.0, bilateral_position=3.0, bilateral_color=90.0, spatial_weight=0.7,
        spatial_position=1.5, normalization=normalization, method="exact",
    )  # fmt: skip
    q = crf.refine(p, image)
    np.testing.assert_allclose(q, naive(p, image, crf), atol=2e-5)
    assert np.abs(q - p).max() > 0.05  # it does something


def smooth(size, classes, seed):
    """Probabilities that change slowly, on a picture of two colours with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(size)
    z = np.stack(
        [np.sin(x / rng.uniform(5, 9) + y / rng.uniform(5, 9) + c) for c in range(classes)]
    )
    image = np.where(((x // 16) % 2)[..., None], [200, 60, 40], [40, 90, 180])
    image = np.clip(image + rng.normal(0, 12, image.shape), 0, 255).astype(np.uint8)
    p = np.exp(2 * z)
    return (p / p.sum(axis=0)).astype(np.float32), image


@pytest.mark.parametrize("classes", [3, 21])
def test_the_lattice_is_nearly_exact(classes):
    p, image = smooth((40, 48), classes, classes)
    weights = {"bilateral_weight": 3, "spatial_weight": 1}
    exact = DenseCRF(method="exact", **weights).refine(p, image)
    ours = DenseCRF(method="lattice", **weights).refine(p, image)
    assert np.abs(ours - exact).mean() < 5e-3
    assert (ours.argmax(axis=0) == exact.argmax(axis=0)).mean() > 0.98
    assert (p.argmax(axis=0) != exact.argmax(axis=0)).mean() > 0.05


@pytest.mark.parametrize("classes", [3, 16, 21, 40])
@pytest.mark.parametrize("weights", [(10.0, 3.0), (10.0, 0.0), (0.0, 3.0), (0.0, 0.0)])
def test_compiled_is_the_reference(classes, weights):
    p, image = smooth((30, 44), classes, 1)
    crf = DenseCRF(bilateral_weight=weights[0], spatial_weight=weights[1], method="lattice")
    with algorithm("reference"):
        expected = crf.refine(p, image)
    np.testing.assert_allclose(crf.refine(p, image), expected, atol=1e-5)


def test_an_outline_moves_to_the_edge_of_the_colours():
    """A mask 3 pixels too wide: the CRF finds where the colour changes."""
    truth = np.zeros((40, 60), np.uint8)
    truth[:, 30:] = 1
    image = np.where(truth[..., None], [210, 50, 60], [60, 160, 90]).astype(np.uint8)
    wide = np.zeros_like(truth)
    wide[:, 27:] = 1
    p = np.where(np.stack([wide == 0, wide == 1]), 0.7, 0.3).astype(np.float32)
    for method in ("exact", "lattice"):
        labels = DenseCRF(method=method).refine(p, image).argmax(axis=0)
        np.testing.assert_array_equal(labels, truth)


def test_without_iterations_or_weights_the_probabilities_stay():
    p, image = example(6, 5, 4)
    for crf in (DenseCRF(iterations=0), DenseCRF(bilateral_weight=0, spatial_weight=0)):
        np.testing.assert_allclose(crf.refine(p, image), p, atol=1e-6)


def test_a_probability_of_zero_is_no_infinity():
    p, image = example(6, 5, 4)
    p[0], p[1] = 0, 1
    p[2:] = 0
    q = DenseCRF().refine(p, image)
    assert np.isfinite(q).all()
    assert (q.argmax(axis=0) == 1).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bilateral_color": 0}, "bilateral_color is 0; it must be greater than 0"),
        ({"spatial_position": float("nan")}, "spatial_position is nan; it must be greater than 0"),
        ({"spatial_weight": -1}, "spatial_weight is -1; it must be at least 0"),
        ({"iterations": -1}, "iterations is -1; it must be a whole number in 0..1000"),
        ({"iterations": 10**9}, "iterations is 1000000000; it must be a whole number in 0..1000"),
        ({"normalization": "both"}, "normalization is 'both'; it must be one of symmetric, after"),
        ({"method": "fast"}, "method is 'fast'; it must be one of auto, exact, lattice"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=f"DenseCRF: {message}"):
        DenseCRF(**options)


def test_bad_arrays():
    p, image = example(6, 5, 4)
    with pytest.raises(ValueError, match=r"shape \(4, 6, 5\) and the image \(5, 6, 3\), uint8"):
        DenseCRF().refine(p, image.transpose(1, 0, 2))
    with pytest.raises(ValueError, match="float64; they must be"):
        DenseCRF().refine(p, image / 255)
    with pytest.raises(ValueError, match=r"from .* to 5.*; they must be in \[0, 1\]"):
        DenseCRF().refine(p + 4.5, image)
    p[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="nan"):
        DenseCRF().refine(p, image)


def test_what_an_image_cannot_take_is_one_sentence():
    p, image = example(110, 100, 2)
    with pytest.raises(UsageError, match="method is exact, but an image has 11,000 pixels"):
        DenseCRF(method="exact").refine(p, image)
    for narrow in (
        {"bilateral_color": 1e-30},
        {"bilateral_color": 1e-3},
        {"spatial_position": 1e-9},
    ):
        with pytest.raises(UsageError, match="a kernel is too narrow for an image of 11,000"):
            DenseCRF(**narrow).refine(p, image)


def test_it_computes_where_the_scores_are():
    p, image = example(6, 5, 4)
    scores = Tensor(p).data
    q = DenseCRF().refine(scores, image)
    assert device_of(q) == device_of(scores)
    np.testing.assert_allclose(to_cpu(q), DenseCRF().refine(p, image), atol=1e-6)
