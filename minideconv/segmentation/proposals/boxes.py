r"""Boxes that may hold objects, and the square windows around them at which a network looks.

Source: Noh, Hong, Han, "Learning Deconvolution Network for Semantic Segmentation" (ICCV 2015),
section 3.2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minideconv.data.windows import Window, square_window, whole_image_window
from minideconv.errors import UsageError

__all__ = ["Proposals", "best_windows", "check_image", "check_numbers", "squared"]


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
    check_numbers(
        "best_windows",
        ("count", count, count >= 1, "at least 1"),
        ("min_box", min_box, min_box >= 0, "at least 0"),
    )
    windows = squared(proposals.boxes, height, width)
    chosen = [window for window in windows if window.width >= min_box][:count]
    return chosen or [whole_image_window(height, width)]


def check_numbers(caller: str, *rules: tuple[str, float | None, bool, str]) -> None:
    """Refuse the first value that is not right; a rule is (name, value, right, what is legal)."""
    for name, value, right, legal in rules:
        if not right:
            raise UsageError(f"{caller}: {name} is {value}; it must be {legal}")


def check_image(image: npt.NDArray[np.uint8], caller: str) -> None:
    """Refuse what is not an RGB image of at least 2 x 2 pixels.

    Raises
    ------
    UsageError (a ValueError)
        Naming `caller`.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or min(image.shape) < 2:
        raise UsageError(
            f"{caller}: image has shape {image.shape} and dtype {image.dtype}; it must be (height,"
            " width, 3) uint8 RGB, at least 2 pixels high and wide"
        )
