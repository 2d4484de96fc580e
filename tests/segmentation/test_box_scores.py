"""The score of a box, by all paths there are; refinement and suppression, compiled and not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from minideconv.backend.algorithms import algorithm
from minideconv.data import Shapes
from minideconv.segmentation.proposals.box_scores import BoxScorer, overlaps, suppressed
from minideconv.segmentation.proposals.edge_groups import EdgeGroups, edge_groups
from minideconv.segmentation.proposals.edges import EdgeMap, edge_map
from minideconv.segmentation.proposals.window_grid import grid, windows_of_all_shapes

pytestmark = pytest.mark.cpu


def scorer_of(seed: int, size: int = 40) -> BoxScorer:
    """Edges drawn at random: many groups, many paths."""
    rng = np.random.default_rng(seed)
    strength = rng.random((size, size + 7)) * (rng.random((size, size + 7)) < 0.2)
    edges = EdgeMap(strength, rng.random(strength.shape) * 0.9)
    return BoxScorer.of(edge_groups(edges))


def boxes_in(scorer: BoxScorer, count: int, seed: int = 0) -> np.ndarray:
    height, width = scorer.groups.labels.shape
    rng = np.random.default_rng(seed)
    x, y = np.sort(rng.integers(0, width, (count, 2))), np.sort(rng.integers(0, height, (count, 2)))
    boxes = np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1)
    return boxes[(boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= 6].astype(np.int32)


def naive(scorer: BoxScorer, box: np.ndarray, wrong: str = "") -> float:
    """The score by the formula: pixel loops, and relaxation over all pairs until nothing moves."""
    groups: EdgeGroups = scorer.groups
    x1, y1, x2, y2 = map(int, box)
    count = len(groups.magnitude)
    affinity = np.zeros((count, count))
    for i in range(count):
        for place in range(groups.first[i], groups.first[i + 1]):
            affinity[i, groups.neighbour[place]] = groups.affinity[place]
    inside, border = np.zeros(count, bool), np.zeros(count, bool)
    centre = 0.0
    width, height = x2 - x1 + 1, y2 - y1 + 1
    for y in range(groups.labels.shape[0]):
        for x in range(groups.labels.shape[1]):
            group = groups.labels[y, x]
            if group < 0 or not (x1 <= x <= x2 and y1 <= y <= y2):
                continue
            inside[group] |= (groups.x[group], groups.y[group]) == (x, y)
            border[group] |= x in (x1, x2) or y in (y1, y2)
            middle_x = x1 + width // 4 <= x <= x2 - width // 4
            if middle_x and y1 + height // 4 <= y <= y2 - height // 4:
                centre += groups.strength[y, x]
    best = border.astype(float)
    for _ in range(count):
        product = best[:, None] * affinity
        product[product < 0.05] = 0
        reached = np.where(inside, product.max(axis=0, initial=0), 0)
        if wrong == "one step":
            best = np.maximum(border, reached)
            break
        if (reached <= best).all():
            break
        best = np.maximum(best, reached)
    if wrong == "no paths":
        best = border.astype(float)
    if wrong == "borders count":
        best = np.zeros(count)
    total = ((1 - best) * groups.magnitude)[inside].sum()
    total -= 0 if wrong == "no centre" else centre
    kappa = 1.0 if wrong == "kappa" else scorer.kappa
    return max(0.0, total / ((width + height) / 2) ** kappa)


@pytest.mark.parametrize("way", ["fast", "reference"])
def test_scores_are_those_of_the_formula(way):
    scorer = scorer_of(1)
    boxes = boxes_in(scorer, 40)
    with algorithm(way):
        scores = scorer.scores(boxes)
    expected = np.array([naive(scorer, box) for box in boxes])
    assert (expected > 0).sum() >= 10
    np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=1e-12)
    for wrong in ("one step", "no paths", "borders count", "no centre", "kappa"):
        other = np.array([naive(scorer, box, wrong) for box in boxes])
        assert abs(scores - other).max() > 1e-3, f"{wrong} makes no difference"


@pytest.mark.parametrize("way", ["fast", "reference"])
def test_scores_below_the_least_are_0_and_others_do_not_change(way):
    scorer = scorer_of(2)
    boxes = boxes_in(scorer, 60)
    with algorithm(way):
        free, cut = scorer.scores(boxes), scorer.scores(boxes, 0.1)
    assert 0 < (free >= 0.1).sum() < (free > 0).sum()
    np.testing.assert_array_equal(cut, np.where(free >= 0.1, free, 0))


def test_an_outline_inside_scores_and_one_that_is_cut_does_not():
    image = np.full((80, 100, 3), 60, np.uint8)
    image[20:60, 30:70] = 200
    scorer = BoxScorer.of(edge_groups(edge_map(image)))
    around, cut, off = scorer.scores(
        np.array([[27, 17, 72, 62], [40, 17, 90, 62], [75, 5, 95, 75]])
    )
    assert around > 0.3
    assert cut < 0.2 * around
    assert off == 0


def test_an_outline_that_leaves_the_image_is_not_cut_by_the_end_of_the_image():
    image = np.full((80, 100, 3), 60, np.uint8)
    image[40:, 30:70] = 200
    scorer = BoxScorer.of(edge_groups(edge_map(image)))
    whole, higher = scorer.scores(np.array([[27, 37, 72, 79], [27, 37, 72, 70]]))
    # Cut, the two upright sides count nothing and the top 3/4: its affinity to them is 1/4.
    assert whole > 0.25
    assert 0 < higher < 0.4 * whole


def test_a_group_whose_mean_lies_in_the_box_but_no_pixel_does_not_count():
    groups = edge_groups(EdgeMap(np.zeros((30, 30)), np.zeros((30, 30))))
    labels = np.full((30, 30), -1, np.int32)
    labels[5, 5:25] = labels[5:25, 5] = labels[24, 5:25] = 0  # a C: its mean is in the middle
    groups = dataclasses.replace(
        groups, labels=labels, strength=(labels >= 0) * 1.0, magnitude=np.array([58.0]),
        x=np.array([5], np.int32), y=np.array([14], np.int32), first=np.zeros(2, np.int32),
    )  # fmt: skip
    scores = BoxScorer.of(groups).scores(np.array([[8, 8, 22, 22], [2, 2, 27, 27]]))
    assert scores[0] == 0
    assert scores[1] > 0


@pytest.mark.parametrize("seed", [0, 1])
def test_compiled_proposals_are_those_of_the_reference(seed):
    pytest.importorskip("numba", reason="numba is not installed (extra fast)")
    image, _ = Shapes("train", length=2, size=(40, 56), seed=5)[seed]
    scorer = BoxScorer.of(edge_groups(edge_map(image)))
    boxes = windows_of_all_shapes(40, 56, 0.5, 100, 2)

    def search():
        scores = scorer.scores(boxes, 0.01)
        refined, better = scorer.refined(boxes[scores > 0], scores[scores > 0], 0.5)
        return scores, refined, better, suppressed(refined, better, 0.6, 30)

    fast = search()
    with algorithm("reference"):
        plain = search()
    np.testing.assert_allclose(fast[0], plain[0], rtol=1e-9)
    np.testing.assert_array_equal(fast[1], plain[1])
    np.testing.assert_allclose(fast[2], plain[2], rtol=1e-9)
    np.testing.assert_array_equal(fast[3], plain[3])
    assert len(fast[3]) >= 3


@pytest.mark.parametrize("way", ["fast", "reference"])
def test_refinement_raises_scores_and_leaves_its_arguments(way):
    image = np.full((80, 100, 3), 60, np.uint8)
    image[20:60, 30:70] = 200
    scorer = BoxScorer.of(edge_groups(edge_map(image)))
    boxes = np.array([[20, 10, 78, 70]], np.int32)
    before = scorer.scores(boxes)
    kept = boxes.copy()
    with algorithm(way):
        refined, scores = scorer.refined(boxes, before, 0.65)
    assert (boxes == kept).all()
    assert scores[0] > before[0]
    np.testing.assert_allclose(scores, scorer.scores(refined))
    object_ = np.array([29, 19, 70, 60])
    assert overlaps(object_, refined)[0] > overlaps(object_, boxes)[0]


@pytest.mark.parametrize("way", ["fast", "reference"])
def test_suppression_against_pairs(way):
    rng = np.random.default_rng(4)
    low = rng.integers(0, 30, (120, 2))
    boxes = np.concatenate([low, low + rng.integers(5, 25, (120, 2))], axis=1).astype(np.int32)
    scores = rng.integers(0, 20, 120) / 20  # with ties

    def pixels(box):
        return {(x, y) for x in range(box[0], box[2] + 1) for y in range(box[1], box[3] + 1)}

    sets = [pixels(box) for box in boxes]
    kept: list[int] = []
    for k in sorted(range(120), key=lambda k: (-scores[k], k)):
        if all(len(sets[k] & sets[j]) / len(sets[k] | sets[j]) <= 0.4 for j in kept):
            kept.append(k)
    with algorithm(way):
        assert suppressed(boxes, scores, 0.4, 1000).tolist() == kept
        assert suppressed(boxes, scores, 0.4, 7).tolist() == kept[:7]
        assert suppressed(boxes[:0], scores[:0], 0.4, 7).tolist() == []
        assert suppressed(boxes, scores, 1.0, 1000).tolist() != kept


def test_neighbouring_windows_overlap_by_alpha():
    """Every box of a sensible size has a window that overlaps it well."""
    alpha, height, width = 0.65, 240, 320
    boxes = windows_of_all_shapes(height, width, alpha, 1000, 3)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] < [width, height]).all()
    assert [0, 0, width - 1, height - 1] in boxes.tolist()
    assert len(np.unique(boxes, axis=0)) == len(boxes)
    sizes = boxes[:, 2:] - boxes[:, :2] + 1
    ratio = sizes[:, 0] / sizes[:, 1]
    whole = (sizes < [width, height]).all(axis=1)
    assert ratio[whole].max() <= 3.1
    assert ratio[whole].min() >= 1 / 3.1
    rng = np.random.default_rng(0)
    for _ in range(50):
        w, h = rng.integers(45, 200, 2)
        if max(w, h) > 2.5 * min(w, h):
            continue
        x, y = rng.integers(0, width - w), rng.integers(0, height - h)
        assert overlaps(np.array([x, y, x + w - 1, y + h - 1]), boxes).max() > 0.6
    for size in np.unique(sizes[whole], axis=0)[::9]:
        same = boxes[(sizes == size).all(axis=1)]
        first = same[0]
        beside = same[(same[:, 1] == first[1]) & (same[:, 0] > first[0])][0]
        assert overlaps(first, beside[None])[0] > alpha - 0.06


def test_a_grid_covers_the_image_evenly():
    boxes = grid(50, 91, 20, 30, 7, 9)
    x, y = np.unique(boxes[:, 0]), np.unique(boxes[:, 1])
    assert (x[0], x[-1], y[0], y[-1]) == (0, 61, 0, 30)
    assert np.diff(x).max() <= 9
    assert np.diff(y).max() <= 7
    assert len(boxes) == len(x) * len(y)
    assert (boxes[:, 2:] - boxes[:, :2] == [29, 19]).all()
