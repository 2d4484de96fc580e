"""How many objects proposals find: `objects_found`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.data.components import regions
from minideconv.data.windows import box_of
from minideconv.segmentation.proposals.box_scores import overlaps

__all__ = ["objects_found"]


def objects_found(
    boxes: npt.NDArray[Any], truth: npt.NDArray[np.uint8], least: float = 0.5, speck: float = 0.001
) -> tuple[int, int]:
    """Count the objects of a mask that some box fits.

    Parameters
    ----------
    boxes : (N, 4) integer array
        x1, y1, x2, y2, both ends inside; N may be 0.
    truth : (H, W) uint8 array
        Classes, 0 background, 255 void. An object is a 4-connected region of one class.
    least : float
        A box fits if its IoU with the object's own box is at least that.
    speck : float
        Objects that cover a smaller share of the image are not counted.

    Returns
    -------
    found, objects : int
        The recall of many images is the ratio of the sums.
    """
    found = objects = 0
    numbers = regions(truth)
    for number, area in enumerate(np.bincount(numbers.ravel())[1:], 1):
        if area < speck * truth.size:
            break  # the largest come first
        objects += 1
        own = np.array(box_of(numbers == number))
        found += bool(overlaps(own, boxes).max(initial=0) >= least)
    return found, objects
