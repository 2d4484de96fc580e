r"""Edge Boxes: proposals by the outlines that a box contains.

Windows of all sizes, shapes and places (`window_grid`) are scored by the groups of edges that lie
wholly inside (`edge_groups`, `box_scores`); the sides of the good ones are moved while that raises
their scores; of those that overlap much the best stays.

Source: Zitnick, Dollar, "Edge Boxes: locating object proposals from edges" (ECCV 2014), section
3.4.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from minideconv.errors import UsageError
from minideconv.segmentation.proposals.box_scores import BoxScorer, suppressed
from minideconv.segmentation.proposals.boxes import Proposals, check_image, check_numbers
from minideconv.segmentation.proposals.edge_groups import edge_groups
from minideconv.segmentation.proposals.edges import EdgeMap, edge_map
from minideconv.segmentation.proposals.window_grid import windows_of_all_shapes

__all__ = ["edge_boxes"]

_PHOTOGRAPH = 500 * 375  # pixels, for which the paper chose its smallest window


def edge_boxes(
    image: npt.NDArray[np.uint8],
    count: int = 2000,
    *,
    alpha: float = 0.65,
    beta: float = 0.75,
    min_score: float = 0.01,
    min_area: float | None = None,
    max_aspect: float = 3.0,
    kappa: float = 1.5,
    gamma: float = 2.0,
    refine: bool = True,
    edges: EdgeMap | None = None,
) -> Proposals:
    """Propose boxes by the outlines inside them; the parameters' defaults are the paper's.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        RGB.
    count : int
        Boxes at most; at least 1.
    alpha : float in (0, 1)
        IoU of neighbouring windows; closer to 1 means more windows and more time.
    beta : float in (0, 1]
        IoU above which the worse of two boxes is dropped.
    min_score : float
        Score from which a box is kept; at least 0.
    min_area : float, optional
        Smallest window, in pixels. 1000 if left out, less in images smaller than 500 x 375, so that
        it is the same share of the image; at least 9.
    max_aspect : float
        Largest ratio of a window's sides; at least 1.
    kappa, gamma : float
        See `box_scores` and `edge_groups`; at least 0.
    refine : bool
        Move the sides of the windows while that raises their scores.
    edges : EdgeMap, optional
        The edges to use instead of those that `edge_map` finds in the image.

    Raises
    ------
    UsageError (a ValueError)
        If the image is no such array, a parameter is not legal, or the edges are of another size.
    """
    check_image(image, "edge_boxes")
    height, width = image.shape[:2]
    if min_area is None:
        min_area = max(9.0, 1000 * min(1.0, height * width / _PHOTOGRAPH))
    check_numbers(
        "edge_boxes",
        ("count", count, count >= 1, "at least 1"),
        ("alpha", alpha, 0 < alpha < 1, "between 0 and 1, both left out"),
        ("beta", beta, 0 < beta <= 1, "greater than 0 and at most 1"),
        ("min_score", min_score, 0 <= min_score < math.inf, "at least 0"),
        ("min_area", min_area, 9 <= min_area < math.inf, "at least 9 pixels"),
        ("max_aspect", max_aspect, 1 <= max_aspect < math.inf, "at least 1"),
        ("kappa", kappa, 0 <= kappa < math.inf, "at least 0"),
        ("gamma", gamma, 0 <= gamma < math.inf, "at least 0"),
    )
    edges = edge_map(image) if edges is None else edges
    if edges.strength.shape != (height, width) or edges.orientation.shape != (height, width):
        raise UsageError(
            f"edge_boxes: edges have shapes {edges.strength.shape} and {edges.orientation.shape};"
            f" both must be that of the image, {(height, width)}"
        )
    scorer = BoxScorer.of(edge_groups(edges, gamma), kappa)
    boxes = windows_of_all_shapes(height, width, alpha, min_area, max_aspect)
    scores = scorer.scores(boxes, min_score)
    good = np.flatnonzero(scores > 0)
    good = good[np.argsort(-scores[good], kind="stable")]
    boxes, scores = boxes[good], scores[good]
    if refine:
        boxes, scores = scorer.refined(boxes, scores, alpha)
    chosen = suppressed(boxes, scores, beta, count)
    return Proposals(boxes[chosen], scores[chosen])
