r"""Where objects may be: boxes for the instance-wise inference of DeconvNet.

`edge_boxes` scores windows of all sizes, shapes and places by the outlines they contain, improves
the good ones, and keeps those that do not overlap much. `sliding_windows` needs no image at all.
`selective_search` asks OpenCV.

Source: Zitnick, Dollar, "Edge Boxes: locating object proposals from edges" (ECCV 2014), section
3.4; Noh, Hong, Han (ICCV 2015), section 3.2, for how proposals are used.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minideconv.data.windows import Window, square_window, whole_image_window
from minideconv.errors import UsageError
from minideconv.segmentation.box_scores import BoxScorer, suppressed
from minideconv.segmentation.edge_groups import edge_groups
from minideconv.segmentation.edges import EdgeMap, check_image, edge_map
from minideconv.segmentation.window_grid import grid, windows_of_all_shapes

__all__ = [
    "Proposals",
    "best_windows",
    "edge_boxes",
    "selective_search",
    "sliding_windows",
    "squared",
]

_PHOTOGRAPH = 500 * 375  # pixels, for which the paper chose its smallest window


class Proposals(NamedTuple):
    """Boxes that may hold objects, the best first.

    Attributes
    ----------
    boxes : (N, 4) int32 array
        x1, y1, x2, y2 in pixels, both ends inside, as in a `Window`.
    scores : (N,) float64 array
        Falling; on what scale depends on who made them.
    """

    boxes: npt.NDArray[Any]
    scores: npt.NDArray[Any]


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
    _check(
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


def _check(caller: str, *rules: tuple[str, float | None, bool, str]) -> None:
    """Refuse the first value that is not right; a rule is (name, value, right, what is legal)."""
    for name, value, right, legal in rules:
        if not right:
            raise UsageError(f"{caller}: {name} is {value}; it must be {legal}")


def sliding_windows(
    height: int,
    width: int,
    count: int | None = None,
    *,
    overlap: float = 0.5,
    smallest: float = 0.2,
) -> Proposals:
    """Lay squares of several sizes over an image, the largest first: proposals without looking.

    The largest is as wide as the shorter side, each next one sqrt(2) times narrower.

    Parameters
    ----------
    height, width : int
        Of the image, in pixels.
    count : int, optional
        Boxes at most. Of the last size that has room, an even choice is taken.
    overlap : float in [0, 1)
        Share of its side that a window has in common with the next.
    smallest : float in (0, 1]
        Side of the smallest as a share of the image's shorter side.

    Returns
    -------
    Proposals
        The score is the share of the image that the window covers.

    Raises
    ------
    UsageError (a ValueError)
        If a parameter is not legal.

    Examples
    --------
    >>> sliding_windows(40, 60, 3).boxes
    array([[ 0,  0, 39, 39],
           [20,  0, 59, 39],
           [ 0,  0, 27, 27]], dtype=int32)
    """
    _check(
        "sliding_windows",
        ("height", height, height >= 1, "at least 1"),
        ("width", width, width >= 1, "at least 1"),
        ("count", count, count is None or count >= 1, "at least 1"),
        ("overlap", overlap, 0 <= overlap < 1, "in [0, 1)"),
        ("smallest", smallest, 0 < smallest <= 1, "greater than 0 and at most 1"),
    )
    longest = min(height, width)
    found: list[npt.NDArray[Any]] = []
    side, left = float(longest), math.inf if count is None else count
    while left > 0 and round(side) >= max(1, smallest * longest - 1e-9):
        size = round(side)
        step = max(1.0, size * (1 - overlap))
        boxes = grid(height, width, size, size, step, step)
        if len(boxes) > left:
            boxes = boxes[np.linspace(0, len(boxes), int(left), endpoint=False).astype(int)]
        found.append(boxes)
        left -= len(boxes)
        side /= math.sqrt(2)
    every = np.concatenate(found)
    sizes = (every[:, 2:] - every[:, :2] + 1).astype(np.float64)
    return Proposals(every, sizes.prod(axis=1) / (height * width))


def selective_search(image: npt.NDArray[np.uint8], count: int = 2000) -> Proposals:
    """Propose boxes by OpenCV's selective search: regions of like colour and texture, joined.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        RGB.
    count : int
        Boxes at most; at least 1.

    Returns
    -------
    Proposals
        OpenCV gives an order, partly drawn at random, and no scores; these are 1, 1/2, 1/3, ....

    Raises
    ------
    UsageError (a ValueError)
        If OpenCV's extra modules are not installed, or an argument is not legal.

    Notes
    -----
    Source: Uijlings, van de Sande, Gevers, Smeulders, "Selective search for object recognition"
    (IJCV 2013); the parameters are those that OpenCV calls "fast".
    """
    check_image(image, "selective_search")
    _check("selective_search", ("count", count, count >= 1, "at least 1"))
    try:
        from cv2.ximgproc import segmentation
    except ImportError as error:
        raise UsageError(
            "selective_search needs OpenCV's extra modules, which are not installed;"
            " pip install minideconv[proposals]"
        ) from error
    search = segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(image[..., ::-1]))
    search.switchToSelectiveSearchFast()
    found = np.asarray(search.process(), np.int32).reshape(-1, 4)[:count]
    boxes = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:] - 1], axis=1)
    return Proposals(boxes, 1 / np.arange(1.0, len(boxes) + 1))


def squared(boxes: npt.NDArray[Any], height: int, width: int, enlarge: float = 1.2) -> list[Window]:
    """Make the square window around each box that the network looks at.

    Parameters
    ----------
    boxes : (N, 4) integer array
    height, width : int
        Of the image. A square as large as the whole image or larger becomes `whole_image_window`,
        which holds all there is to see.
    enlarge : float
        The square's side over the box's longer side; at least 1. The margin shows what is around
        the object; 1.2 is that of the second training stage.

    Returns
    -------
    list of Window
        In the order of the boxes; equal ones only once. They may leave the image.
    """
    whole = whole_image_window(height, width)
    windows = [square_window(Window(*map(int, box)), enlarge) for box in boxes]
    limited = [window if window.width < whole.width else whole for window in windows]
    return list(dict.fromkeys(limited))


def best_windows(
    proposals: Proposals, height: int, width: int, count: int = 50, min_box: int = 0
) -> list[Window]:
    """Return the windows at which the network looks: squares around the best boxes.

    Parameters
    ----------
    proposals : Proposals
    height, width : int
        Of the image, in pixels.
    count : int
        Windows at most; at least 1. The paper takes 50. Boxes with the same square count once.
    min_box : int
        Windows of fewer pixels a side are passed over and do not count: 0 takes all, as the paper
        does; the authors' code has 112.

    Returns
    -------
    list of Window
        The best first. The whole image if there is no other.

    Raises
    ------
    UsageError (a ValueError)
        If a parameter is not legal.
    """
    _check(
        "best_windows",
        ("count", count, count >= 1, "at least 1"),
        ("min_box", min_box, min_box >= 0, "at least 0"),
    )
    windows = squared(proposals.boxes, height, width)
    chosen = [window for window in windows if window.width >= min_box][:count]
    return chosen or [whole_image_window(height, width)]
