"""Scores by bands of rows are, bit for bit, those of the whole image; no large one is whole."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from minideconv.autograd import Tensor
from minideconv.backend import to_cpu
from minideconv.data.resize import PART, resize_image, size_within
from minideconv.data.windows import Window, cut, cut_resized
from minideconv.errors import DataError, UsageError
from minideconv.nn import Conv2d, Module, Parameter
from minideconv.ops.interpolate import interpolation_matrix
from minideconv.segmentation import (
    CRFSegmenter,
    DenseCRF,
    Ensemble,
    InstanceSegmenter,
    Segmenter,
    all_maps,
    inference,
    instances,
    multi_scale,
    refinement,
    score_map,
)
from minideconv.segmentation.proposals import Proposals
from minideconv.segmentation.score_map import ArrayMap, Enlarged

CLASSES = 5
SHAPES = [(1, 50), (50, 1), (9, 9), (40, 61), (61, 40), (200, 30)]


class Net(Module):
    """Scores of each pixel from its three numbers; as many pixels as the input has."""

    def __init__(self, seed: int = 0, factor: float = 1.0) -> None:
        super().__init__()
        self.conv = Conv2d(3, CLASSES, 1, bias=False)
        rng = np.random.default_rng(seed)
        weight = factor * rng.standard_normal((CLASSES, 3, 1, 1))
        self.conv.weight = Parameter(weight.astype(np.float32))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def proposals(image):
    height, width = image.shape[:2]
    rng = np.random.default_rng(3)
    corner = rng.integers(0, (width // 2, height // 2), (30, 2))
    boxes = np.hstack([corner, corner + rng.integers(1, (width // 2, height // 2), (30, 2))])
    return Proposals(boxes, -np.arange(30.0))


def predictors():
    one, two = Segmenter(Net(1), 13), Segmenter(Net(2), 24, flip=True)
    crf = DenseCRF(iterations=2, bilateral_position=5)

    def instance(**more):
        return InstanceSegmenter(Net(3), 8, batch_size=4, propose=proposals, **more)

    return {
        "whole image": one,
        "flip": two,
        "mean": Ensemble([one, two]),
        "product": Ensemble([one, two], "product"),
        "scores": Ensemble([one, two], "scores"),
        "sizes": multi_scale(lambda size: Segmenter(Net(1), size), [11, 24]),
        "max": instance(proposals=7),
        "sum": instance(proposals=7, join="sum"),
        "from zero": instance(proposals=7, from_zero=True),
        "crf": CRFSegmenter(Ensemble([one, instance(proposals=3)]), crf),
    }


def _long(name):
    """The CRF takes a minute there, and has tests of its own in tests/cuda."""
    return pytest.param(name, marks=pytest.mark.long_on_fakecuda if name == "crf" else ())


@pytest.mark.parametrize("name", [_long(name) for name in predictors()])
@pytest.mark.parametrize(
    ("rows", "shape"),
    [
        # Each band is a kernel of its own, of which the emulated device makes thirty a second.
        *(pytest.param(1, shape, marks=pytest.mark.long_on_fakecuda) for shape in SHAPES[3:]),
        *((1, shape) for shape in SHAPES[:3]),
        *((7, shape) for shape in SHAPES),
    ],
    ids=str,
)
def test_bands_are_the_whole(monkeypatch, name, shape, rows):
    predictor, image = predictors()[name], picture(*shape)
    scores = to_cpu(next(predictor.maps_of([image])).whole())
    assert scores.shape == (CLASSES, *shape)
    expected = scores.argmax(axis=0)
    monkeypatch.setattr(score_map, "BAND", rows * CLASSES * shape[1])
    monkeypatch.setattr(score_map, "DEVICE_BAND", rows * CLASSES * shape[1])
    found = next(predictor.maps_of([image]))
    assert len(found.bands()) == -(-shape[0] // rows)
    bands = np.concatenate([to_cpu(found.rows(*band)) for band in found.bands()], axis=1)
    assert bands.tobytes() == np.ascontiguousarray(scores).tobytes()
    assert (found.labels() == expected).all()
    assert (predictor.labels(image) == expected).all()
    assert (next(predictor.labels_of([image])) == expected).all()
    some = found.at(slice(None, None, 3), np.arange(0, shape[1], 2))
    assert np.array_equal(to_cpu(some), scores[:, ::3, ::2])


@pytest.mark.parametrize("join", ["max", "sum"])
def test_windows_joined_at_once_or_band_by_band(monkeypatch, join):
    """Which of the two needs less memory changes no bit."""
    image = picture(50, 70)
    segmenter = InstanceSegmenter(Net(3), 8, propose=proposals, proposals=20, join=join)
    at_once = segmenter.map(image)
    assert not isinstance(at_once, ArrayMap)
    segmenter.input_size = 60  # more numbers than the image has: joined as they come
    assert isinstance(segmenter.map(image), ArrayMap)
    segmenter.input_size = 8
    several = [Window(*w) for w in segmenter.windows(image)]
    plain = [to_cpu(each) for each in segmenter.window_scores(image, several)]
    joined = plain[0].copy()
    for each in plain[1:]:
        joined = np.maximum(joined, each) if join == "max" else joined + each
    assert np.array_equal(to_cpu(at_once.whole()), joined)


@pytest.mark.parametrize("size", [(3, 4), (9, 5), (5, 16)])
@pytest.mark.parametrize("window", [(0, 0, 9, 9), (-3, 2, 20, 9), (4, -6, 6, 30), (40, 0, 45, 5)])
def test_enlarging_is_the_product_with_two_matrices(size, window):
    rng, place = np.random.default_rng(0), Window(*window)
    scores = rng.standard_normal((CLASSES, *size))
    rows = interpolation_matrix(size[0], place.height)
    columns = interpolation_matrix(size[1], place.width)
    large = rows @ scores @ columns.T
    expected = np.zeros((CLASSES, 11, 17))
    for y in range(11):
        for x in range(17):
            v, u = y - place.y1, x - place.x1
            if 0 <= v < place.height and 0 <= u < place.width:
                expected[:, y, x] = large[:, v, u]
    found = Enlarged(scores, place, 11, 17).whole()
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", predictors())
def test_scores_that_are_no_numbers_are_an_error(name, value):
    net = Net()
    net.conv.weight.data[2, 1] = value
    predictor = predictors()[name]
    for each in [predictor, *getattr(predictor, "members", [])]:
        if isinstance(each, CRFSegmenter):
            each = each.predictor.members[0]
        if isinstance(each, Segmenter):
            each.model = net
    with pytest.raises(DataError, match="the network's scores are NaN or infinite"):
        predictor.labels(picture(20, 30))


@pytest.mark.long_on_fakecuda
def test_a_small_image_of_a_large_one_for_the_crf(monkeypatch):
    crf = DenseCRF(iterations=2, bilateral_position=5)
    base, image = Segmenter(Net(1), 13), resize_image(picture(9, 12), (90, 120))
    seen = []
    refine = DenseCRF.refine
    monkeypatch.setattr(
        DenseCRF, "refine", lambda self, p, image: seen.append(p.shape) or refine(self, p, image)
    )
    full = CRFSegmenter(base, crf).labels(image)
    monkeypatch.setattr(refinement, "CRF_PIXELS", 2700)
    small = CRFSegmenter(base, crf)
    labels = small.labels(image)
    assert seen == [(CLASSES, 90, 120), (CLASSES, 45, 60)]
    assert labels.shape == full.shape
    assert np.mean(labels == full) > 0.9
    np.testing.assert_allclose(to_cpu(small.probabilities(image)).sum(axis=0), 1, atol=1e-5)
    (ways,) = all_maps({"a": base}, [image], crf=crf)
    assert np.array_equal(ways["a + CRF"].labels(), labels)


def test_proposals_of_a_large_image_are_found_in_a_small_one(monkeypatch):
    image, seen = picture(80, 120), []

    def propose(small):
        seen.append(small.shape)
        return Proposals(np.array([[0, 0, 29, 19], [10, 5, 19, 14]]), np.array([2.0, 1.0]))

    segmenter = InstanceSegmenter(Net(), 8, propose=propose)
    monkeypatch.setattr(instances, "PROPOSAL_PIXELS", 60 * 40)
    windows = segmenter.windows(image)
    assert seen == [(40, 60, 3)]
    assert windows[1] == Window(18, 8, 41, 31)  # 20 x 20 pixels around the box's centre, and 1.2
    assert windows[0].width == round(1.2 * 60)


def test_too_many_windows_of_a_large_image_are_one_sentence(monkeypatch):
    monkeypatch.setattr(inference, "MOST", 5 * CLASSES * 8 * 8 * 4)
    image = picture(100, 90)
    segmenter = InstanceSegmenter(Net(), 8, propose=proposals, proposals=20)
    with pytest.raises(UsageError, match=r"90 x 100 pixels is too large for 20 windows.* most 5"):
        segmenter.labels(image)
    assert InstanceSegmenter(Net(), 8, propose=proposals, proposals=5).labels(image).size == 9000


# -- The network's input ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(31, 47), (47, 31), (3, 90), (90, 3), (60, 60)])
@pytest.mark.parametrize("part", [50, 1000])
@pytest.mark.parametrize("size", [(7, 7), (16, 9), (100, 100)])
def test_resizing_in_parts_changes_no_pixel(monkeypatch, shape, part, size):
    image = picture(*shape)
    windows = [Window(-2, -5, shape[1], shape[0] + 3), Window(5, 1, 30, 26), Window(-9, -9, 80, 80)]
    whole = resize_image(image, size)
    cuts = [resize_image(cut(image, window), size) for window in windows]
    assert shape[0] * shape[1] < PART
    for module in ("minideconv.data.resize", "minideconv.data.windows"):
        monkeypatch.setattr(f"{module}.PART", part)
    assert np.array_equal(resize_image(image, size), whole)
    for window, expected in zip(windows, cuts, strict=True):
        assert np.array_equal(cut_resized(image, window, size), expected)


def test_sizes_within_a_number_of_pixels():
    for height, width in ((1, 1), (30, 40), (1, 9000), (60000, 10), (7000, 7001)):
        for pixels in (100, 2400, 10**9):
            h, w = size_within(height, width, pixels)
            assert 1 <= h <= height
            assert 1 <= w <= width
            assert h * w <= pixels
            assert (h, w) == (height, width) or h * w > 0.7 * pixels


def test_labels_of_a_strip_take_no_square(monkeypatch):
    """60000 x 10 pixels: the square around it has 10 GB, its scores at the image's size 12 MB."""
    image = picture(10, 60000)
    tracemalloc.start()
    try:
        labels = Segmenter(Net(), 32).labels(image)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert labels.shape == (10, 60000)
    assert peak < 100e6
