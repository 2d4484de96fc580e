r"""How many whole outlines a box contains: the score of Edge Boxes, and the search for good boxes.

For a box b of w x h pixels, and groups of edges with magnitudes m_i (see `edge_groups`),

    score(b) = ( \sum_i v_b(i) m_i  -  \sum_{p in centre} s_p ) / ((w + h) / 2) ^ kappa

where v_b(i) says how surely group i is part of an outline that lies wholly inside:

* 0 if the group has a pixel on the border of the box, or lies outside;
* otherwise 1 - max over paths T of the product of the affinities along T, where a path leads from
  a group on the border to group i, from group to group inside the box.

The centre is the middle box of half the width and height: strong edges there are more often inside
an object than its outline. kappa > 1 because large boxes hold more edges by chance. A product of
affinities below 0.05 counts as 0.

A group without a pixel on the border lies wholly on one side of it, as the pixels of a group are
adjacent; so one pixel of the group says which. The paper asks for the mean position instead, but
that of a bent group can lie in a box that no pixel of the group is in.

The sums over all groups inside and over the centre are four look-ups in integral images; what needs
time is only the paths, and no path adds to the score, so that a box whose sums are not good enough
is left without looking at paths.

Source: Zitnick, Dollar, "Edge Boxes: locating object proposals from edges" (ECCV 2014), sections
3.2 to 3.4. The paper divides by 2 (w + h)^kappa instead, a constant factor; the scale here is that
of the released code.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.backend.algorithms import compiled
from minideconv.backend.dispatch import accelerated
from minideconv.segmentation.proposals.edge_groups import CUT, EdgeGroups
from minideconv.segmentation.proposals.window_grid import window_steps

__all__ = ["BoxScorer", "overlaps", "suppressed"]

Floats = npt.NDArray[Any]
Boxes = npt.NDArray[Any]
"""(N, 4) int32: x1, y1, x2, y2, both ends inside, as in `minideconv.data.windows.Window`."""


@dataclass(frozen=True, eq=False)
class BoxScorer:
    """What is computed once for an image to score many boxes.

    Attributes
    ----------
    groups : EdgeGroups
    magnitudes, strengths : (H + 1, W + 1) float64 arrays
        Integral images: of the groups' magnitudes at their pixels (x, y), and of the edges.
    kappa : float
    """

    groups: EdgeGroups
    magnitudes: Floats
    strengths: Floats
    kappa: float

    @classmethod
    def of(cls, groups: EdgeGroups, kappa: float = 1.5) -> BoxScorer:
        """Make the integral images of an image's groups."""
        magnitudes = np.zeros(groups.labels.shape)
        magnitudes[groups.y, groups.x] = groups.magnitude
        return cls(groups, _integral(magnitudes), _integral(groups.strength), kappa)

    def scores(self, boxes: Boxes, least: float = 0.0) -> Floats:
        """Return the scores of boxes inside the image: (N,) float64; 0 for those below `least`."""
        return _scores(np.ascontiguousarray(boxes, np.int32), self, least)

    def refined(self, boxes: Boxes, scores: Floats, alpha: float) -> tuple[Boxes, Floats]:
        """Move the sides of boxes as long as their scores rise.

        The steps halve from half a window step (see `window_steps`) down to more than 2 pixels. At
        each size each side in turn moves out or in if that is better.

        Returns
        -------
        boxes : (N, 4) int32 array
        scores : (N,) float64 array
            Not lower than before.
        """
        steps = window_steps(boxes[:, 2:] - boxes[:, :2] + 1, alpha)
        return _refined(np.array(boxes, np.int32), np.array(scores, np.float64), steps, self)


def _integral(plane: Floats) -> Floats:
    return np.pad(plane.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))


def _sum(integral: Floats, x1: int, y1: int, x2: int, y2: int) -> float:
    """Sum over a box, both ends inside."""
    return float(
        integral[y2 + 1, x2 + 1] - integral[y1, x2 + 1] - integral[y2 + 1, x1] + integral[y1, x1]
    )


@accelerated
def _scores(boxes: Boxes, scorer: BoxScorer, least: float) -> Floats:
    return np.array([_score(scorer, box, least) for box in boxes], np.float64)


def _score(scorer: BoxScorer, box: Boxes, least: float) -> float:
    """Score one box; see the top of this file."""
    groups = scorer.groups
    x1, y1, x2, y2 = map(int, box)
    width, height = x2 - x1 + 1, y2 - y1 + 1
    total = _sum(scorer.magnitudes, x1, y1, x2, y2)
    dx, dy = width // 4, height // 4
    total -= _sum(scorer.strengths, x1 + dx, y1 + dy, x2 - dx, y2 - dy)
    norm = ((width + height) / 2) ** -scorer.kappa
    if total * norm < least or total <= 0:
        return 0.0
    inside = (x1 <= groups.x) & (groups.x <= x2) & (y1 <= groups.y) & (groups.y <= y2)
    border = groups.labels[[y1, y2], x1 : x2 + 1], groups.labels[y1 : y2 + 1, [x1, x2]]
    on_border = np.unique(np.concatenate([side.ravel() for side in border]))
    best = {int(group): 1.0 for group in on_border if group >= 0}
    waiting = deque(best)
    while waiting:
        group = waiting.popleft()
        for place in range(groups.first[group], groups.first[group + 1]):
            other = int(groups.neighbour[place])
            product = best[group] * float(groups.affinity[place])
            if inside[other] and product >= CUT and product > best.get(other, 0.0):
                best[other] = product
                waiting.append(other)
    for group, product in best.items():
        if inside[group]:
            total -= product * float(groups.magnitude[group])
    score = total * norm
    return score if score >= least and score > 0 else 0.0


@_scores.faster("cpu")
def _scores_compiled(boxes: Boxes, scorer: BoxScorer, least: float) -> Floats | None:
    if not compiled():
        return None
    from minideconv.engine.cpu.compiled.edge_boxes import score_all

    found = np.zeros(len(boxes))
    score_all(boxes, found, least, _arrays(scorer))
    return found


def _arrays(scorer: BoxScorer) -> tuple[Any, ...]:
    """Return what the kernels read of an image. Columns are read from a transposed copy."""
    groups = scorer.groups
    return (
        groups.labels, np.ascontiguousarray(groups.labels.T), groups.magnitude, groups.x, groups.y,
        groups.first, groups.neighbour, groups.affinity, scorer.magnitudes, scorer.strengths,
        scorer.kappa, CUT,
    )  # fmt: skip


@accelerated
def _refined(
    boxes: Boxes, scores: Floats, steps: Floats, scorer: BoxScorer
) -> tuple[Boxes, Floats]:
    height, width = scorer.groups.labels.shape
    ends = (width - 1, height - 1)
    for number, box in enumerate(boxes):
        step = steps[number] / 2
        while max(step) > 2:
            for side in range(4):
                axis = side % 2
                for move in (-int(max(1, step[axis])), int(max(1, step[axis]))):
                    moved = box.copy()
                    moved[side] = min(max(moved[side] + move, 0), ends[axis])
                    if moved[axis] >= moved[axis + 2]:
                        continue
                    score = _score(scorer, moved, scores[number])
                    if score > scores[number]:
                        box[:], scores[number] = moved, score
            step = step / 2
    return boxes, scores


@_refined.faster("cpu")
def _refined_compiled(
    boxes: Boxes, scores: Floats, steps: Floats, scorer: BoxScorer
) -> tuple[Boxes, Floats] | None:
    if not compiled():
        return None
    from minideconv.engine.cpu.compiled.edge_boxes import refine_all

    refine_all(boxes, scores, steps, _arrays(scorer))
    return boxes, scores


def overlaps(box: Boxes, boxes: Boxes) -> Floats:
    """Return the intersection over union of one box (4,) with each of several (N, 4)."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    inside = np.maximum(high - low + 1, 0).prod(axis=1)
    area = (box[2:] - box[:2] + 1).prod(), (boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1)
    return inside / (area[0] + area[1] - inside)


def suppressed(boxes: Boxes, scores: Floats, beta: float, count: int) -> npt.NDArray[np.intp]:
    """Choose the best boxes that do not overlap much: non-maximum suppression.

    From the best score downwards, a box is kept unless its IoU with a kept one is above `beta`.

    Returns
    -------
    (K,) array of integers, K <= count
        Which boxes, by falling score; of equal ones the first comes first.
    """
    order = np.argsort(-scores, kind="stable")
    return order[_kept(np.ascontiguousarray(boxes[order], np.int32), beta, count)]


@accelerated
def _kept(boxes: Boxes, beta: float, count: int) -> npt.NDArray[np.intp]:
    """Return which of the boxes, sorted by falling score, are kept."""
    kept: list[int] = []
    left = np.arange(len(boxes))
    while len(left) and len(kept) < count:
        kept.append(int(left[0]))
        left = left[1:][overlaps(boxes[left[0]], boxes[left[1:]]) <= beta]
    return np.array(kept, np.intp)


@_kept.faster("cpu")
def _kept_compiled(boxes: Boxes, beta: float, count: int) -> npt.NDArray[np.intp] | None:
    if not compiled():
        return None
    from minideconv.engine.cpu.compiled.edge_boxes import keep

    kept = np.zeros(min(count, len(boxes)), np.intp)
    return kept[: keep(boxes, beta, kept)]
