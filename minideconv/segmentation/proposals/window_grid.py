r"""Windows laid over an image: of one size (`grid`), and of all (`windows_of_all_shapes`).

The windows of all shapes lie so close that a neighbour overlaps by an IoU of alpha:

* moved: two boxes of width w, shifted by d, share w - d of w + d: d = w (1 - alpha) / (1 + alpha);
* enlarged: the areas have the ratio alpha, the sides sqrt(alpha);
* stretched: of two boxes of one area, one q times wider and as much flatter, 1 / q of the area is
  common and 2 - 1 / q is covered: q = (1 + alpha) / (2 alpha), and the ratio of the sides changes
  by q ^ 2.

Source: Zitnick, Dollar, "Edge Boxes: locating object proposals from edges" (ECCV 2014), section
3.4.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["grid", "window_steps", "windows_of_all_shapes"]

Boxes = npt.NDArray[Any]
"""(N, 4) int32: x1, y1, x2, y2, both ends inside."""


def window_steps(sizes: npt.NDArray[Any], alpha: float) -> npt.NDArray[Any]:
    """Return how far boxes of some sizes (any shape) are moved until they overlap by `alpha`."""
    return sizes * (1 - alpha) / (1 + alpha)


def windows_of_all_shapes(
    height: int, width: int, alpha: float, min_area: float, max_aspect: float
) -> Boxes:
    """Lay windows of all sizes, shapes and places over an image.

    Parameters
    ----------
    height, width : int
        Of the image, in pixels.
    alpha : float in (0, 1)
        IoU of neighbouring windows.
    min_area : float
        Area of the smallest, in pixels.
    max_aspect : float
        Largest ratio of their sides.

    Returns
    -------
    (N, 4) int32 array
        By area, the smallest first. What would be larger than the image is cut to it.
    """
    shape_step = ((1 + alpha) / (2 * alpha)) ** 2
    shapes = int(math.log(max_aspect) / math.log(shape_step) + 1e-9)
    smallest = math.sqrt(min_area)
    sizes = max(0, math.ceil(math.log(max(height, width) / smallest) / math.log(alpha**-0.5)))
    boxes: dict[tuple[int, int], None] = {}
    for size in range(sizes + 1):
        side = smallest * alpha ** (-size / 2)
        for shape in range(-shapes, shapes + 1):
            stretch = shape_step ** (shape / 2)
            boxes[min(round(side * stretch), width), min(round(side / stretch), height)] = None
    found = [np.zeros((0, 4), np.int32)]
    for w, h in boxes:
        if min(w, h) > 1:
            across, down = np.maximum(2, window_steps(np.array([w, h]), alpha))
            found.append(grid(height, width, h, w, down, across))
    return np.concatenate(found)


def grid(height: int, width: int, h: int, w: int, down: float, across: float) -> Boxes:
    """Lay boxes of h x w pixels over all of an image, evenly, at most the given steps apart.

    Examples
    --------
    >>> grid(4, 8, 4, 4, 3, 3)
    array([[0, 0, 3, 3],
           [2, 0, 5, 3],
           [4, 0, 7, 3]], dtype=int32)
    """
    y1, x1 = (
        plane.ravel()
        for plane in np.meshgrid(
            _places(height - h, down), _places(width - w, across), indexing="ij"
        )
    )
    return np.stack([x1, y1, x1 + w - 1, y1 + h - 1], axis=1).astype(np.int32)


def _places(room: int, step: float) -> npt.NDArray[Any]:
    return np.rint(np.linspace(0, room, math.ceil(room / step) + 1)).astype(np.int32)
