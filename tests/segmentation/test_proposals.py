"""Proposals: they find drawn objects, say what is wrong with arguments, and become windows."""

from __future__ import annotations

import builtins
import math

import numpy as np
import pytest

from minideconv.data import Shapes
from minideconv.data.windows import Window, whole_image_window
from minideconv.segmentation.proposals import (
    Proposals,
    best_windows,
    edge_boxes,
    objects_found,
    selective_search,
    sliding_windows,
    squared,
)
from minideconv.segmentation.proposals.box_scores import overlaps
from minideconv.segmentation.proposals.edges import EdgeMap

pytestmark = pytest.mark.cpu


def recall(propose, images, count: int, least: float) -> float:
    """Share of the objects that one of the first `count` boxes overlaps by `least`."""
    pairs = [objects_found(propose(image).boxes[:count], mask, least) for image, mask in images]
    found, objects = np.sum(pairs, axis=0)
    return found / objects


def test_edge_boxes_find_drawn_objects_that_sliding_windows_miss():
    pytest.importorskip("numba", reason="numba is not installed (extra fast): this takes minutes")
    data = Shapes("val", length=16, size=128, difficulty="easy")
    images = [data[index] for index in range(16)]

    def slide(image):
        return sliding_windows(*image.shape[:2])

    assert recall(edge_boxes, images, 10, 0.7) >= 0.55
    assert recall(edge_boxes, images, 50, 0.7) >= 0.75
    assert recall(slide, images, 10, 0.7) <= 0.3
    assert recall(slide, images, 50, 0.7) <= 0.5


def test_objects_found_are_those_with_a_box_that_fits():
    truth = np.zeros((40, 50), np.uint8)
    truth[2:12, 3:23], truth[20:30, 10:20], truth[35, 49] = 1, 2, 3
    truth[2:12, 23:25] = 255
    exact, half = [3, 2, 22, 11], [10, 20, 19, 24]  # IoU 1 and 1/2
    boxes = np.array([half, exact])
    assert objects_found(boxes, truth, 0.5) == (2, 2)
    assert objects_found(boxes, truth, 0.51) == (1, 2)
    assert objects_found(boxes[:0], truth) == (0, 2)
    assert objects_found(boxes, truth, 0.5, speck=0.0) == (2, 3)


def test_boxes_of_one_object():
    image = np.full((60, 80, 3), 60, np.uint8)
    image[15:45, 20:60] = (220, 40, 40)
    proposals = edge_boxes(image, 20, alpha=0.5)
    boxes, scores = proposals
    assert boxes.dtype == np.int32
    assert len(boxes) == len(scores) <= 20
    assert (np.diff(scores) <= 0).all()
    assert (scores >= 0.01).all()
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] < [80, 60]).all()
    assert overlaps(np.array([20, 15, 59, 44]), boxes[:1])[0] > 0.7
    worst = max(overlaps(boxes[i], boxes[i + 1 :]).max(initial=0) for i in range(len(boxes)))
    assert worst <= 0.75
    again = edge_boxes(image, 20, alpha=0.5)
    assert (again.boxes == boxes).all()
    assert len(edge_boxes(image, 3, alpha=0.5).boxes) == 3


def test_parameters_reach_the_search():
    image = np.full((60, 80, 3), 60, np.uint8)
    image[15:45, 20:60] = (220, 40, 40)
    usual = edge_boxes(image, alpha=0.5)
    assert len(edge_boxes(image, alpha=0.5, min_score=0.1).boxes) < len(usual.boxes)
    assert edge_boxes(image, alpha=0.5, min_score=0.1).scores.min() >= 0.1
    assert len(edge_boxes(image, alpha=0.5, beta=0.4).boxes) < len(usual.boxes)
    assert edge_boxes(image, alpha=0.5, kappa=1.0).scores[0] > 2 * usual.scores[0]
    rough = edge_boxes(image, alpha=0.5, refine=False)
    assert rough.scores[0] < usual.scores[0]
    sides = rough.boxes[:, 2:] - rough.boxes[:, :2] + 1
    assert sides.max(axis=1).max() / sides.min() > 1
    large = edge_boxes(image, alpha=0.5, refine=False, min_area=900)
    assert (large.boxes[:, 2:] - large.boxes[:, :2] + 1).prod(axis=1).min() >= 800
    square = edge_boxes(image, alpha=0.5, refine=False, max_aspect=1.0).boxes
    sides = square[:, 2:] - square[:, :2] + 1
    assert ((sides[:, 0] == sides[:, 1]) | (sides == [80, 60]).any(axis=1)).all()
    other = EdgeMap(np.zeros((60, 80)), np.zeros((60, 80)))
    assert edge_boxes(image, edges=other).boxes.shape == (0, 4)


def test_an_image_without_edges_has_no_boxes_and_is_looked_at_whole():
    proposals = edge_boxes(np.full((30, 50, 3), 9, np.uint8))
    assert proposals.boxes.shape == (0, 4)
    assert best_windows(proposals, 30, 50) == [whole_image_window(30, 50)]


@pytest.mark.parametrize("shape", [(2, 2), (2, 60), (9, 9), (300, 3)])
def test_any_size(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    boxes = edge_boxes(image, alpha=0.3).boxes
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] < [shape[1], shape[0]]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "edge_boxes: count is 0; it must be at least 1"),
        ({"alpha": 1.0}, "alpha is 1.0; it must be between 0 and 1, both left out"),
        ({"beta": 0}, "beta is 0; it must be greater than 0 and at most 1"),
        ({"min_score": math.nan}, "min_score is nan; it must be at least 0"),
        ({"min_area": 4}, "min_area is 4; it must be at least 9 pixels"),
        ({"max_aspect": 0.5}, "max_aspect is 0.5; it must be at least 1"),
        ({"kappa": -1}, "kappa is -1; it must be at least 0"),
        ({"gamma": math.inf}, "gamma is inf; it must be at least 0"),
        ({"edges": EdgeMap(np.zeros((3, 4)), np.zeros((3, 4)))}, r"that of the image, \(8, 9\)"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ValueError, match=message):
        edge_boxes(np.zeros((8, 9, 3), np.uint8), **options)


def test_an_image_must_be_rgb():
    with pytest.raises(ValueError, match=r"edge_boxes: image has shape \(8, 9\)"):
        edge_boxes(np.zeros((8, 9), np.uint8))
    with pytest.raises(ValueError, match="selective_search: image has shape"):
        selective_search(np.zeros((8, 9), np.uint8))


# -- Without looking ----------------------------------------------------------------------------


def test_sliding_windows_are_squares_of_falling_size_all_over_the_image():
    boxes, scores = sliding_windows(120, 200)
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    assert (sides[:, 0] == sides[:, 1]).all()
    assert (np.diff(sides[:, 0]) <= 0).all()
    assert (sides[0, 0], sides[-1, 0]) == (120, 30)
    np.testing.assert_allclose(scores, sides.prod(axis=1) / (120 * 200))
    for side in np.unique(sides[:, 0]):
        covered = np.zeros((120, 200), bool)
        for x1, y1, x2, y2 in boxes[sides[:, 0] == side]:
            covered[y1 : y2 + 1, x1 : x2 + 1] = True
        assert covered.all()
    assert len(np.unique(boxes, axis=0)) == len(boxes)


@pytest.mark.parametrize("count", [1, 2, 7, 30, 10_000])
def test_fewer_sliding_windows_are_the_larger_ones_spread_out(count):
    every, some = sliding_windows(60, 90).boxes, sliding_windows(60, 90, count).boxes
    assert len(some) == min(count, len(every))
    sides, known = some[:, 2] - some[:, 0], every[:, 2] - every[:, 0]
    assert (sides == known[: len(some)]).all()
    assert {tuple(box) for box in some.tolist()} <= {tuple(box) for box in every.tolist()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 0}, "sliding_windows: height is 0; it must be at least 1"),
        ({"count": 0}, "count is 0; it must be at least 1"),
        ({"overlap": 1.0}, r"overlap is 1.0; it must be in \[0, 1\)"),
        ({"smallest": 0.0}, "smallest is 0.0; it must be greater than 0 and at most 1"),
    ],
)
def test_mistakes_of_sliding_windows(options, message):
    with pytest.raises(ValueError, match=message):
        sliding_windows(**{"height": 5, "width": 6, **options})


# -- By OpenCV ----------------------------------------------------------------------------------


def test_selective_search_without_opencv_is_one_sentence(monkeypatch):
    usual = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("cv2"):
            raise ImportError(name)
        return usual(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"not installed; pip install minideconv\[proposals\]"):
        selective_search(np.zeros((20, 20, 3), np.uint8))


# -- Windows ------------------------------------------------------------------------------------


def test_squares_have_a_margin_and_are_no_larger_than_the_image():
    boxes = np.array([[10, 20, 19, 39], [0, 0, 99, 59], [10, 20, 19, 39], [60, 5, 80, 6]])
    windows = squared(boxes, 60, 100)
    assert windows == [Window(3, 18, 26, 41), whole_image_window(60, 100), Window(58, -7, 82, 17)]
    assert squared(boxes[:1], 60, 100, enlarge=2.0)[0].width == 40
    with pytest.raises(ValueError, match=r"enlarge is 0\.5; it must be at least 1"):
        squared(boxes, 60, 100, enlarge=0.5)


def test_the_best_windows():
    boxes = np.array([[10 * k, 0, 10 * k + 9 + k, 19] for k in range(10)], np.int32)
    proposals = Proposals(boxes, np.linspace(1, 0.1, 10))
    assert best_windows(proposals, 200, 300, 4) == squared(boxes, 200, 300)[:4]
    # What is too small does not count: three others take the place of those passed over.
    large = np.array(
        [[10, 10, 109, 50], [0, 0, 9, 9], [50, 50, 149, 149], [3, 3, 120, 9]], np.int32
    )
    proposals = Proposals(large, np.array([4.0, 3.0, 2.0, 1.0]))
    assert best_windows(proposals, 200, 300, 2, min_box=112) == squared(large[[0, 2]], 200, 300)
    assert best_windows(proposals, 200, 300, 2) == squared(large[:2], 200, 300)
    assert best_windows(proposals, 200, 300, 2, min_box=999) == [whole_image_window(200, 300)]
    for options in ({"count": 0}, {"min_box": -1}):
        with pytest.raises(ValueError, match=r"best_windows: .* it must be at least"):
            best_windows(proposals, 200, 300, **options)
