"""Proposals by selective search, which OpenCV computes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minideconv.errors import UsageError
from minideconv.segmentation.proposals.boxes import Proposals, check_image, check_numbers

__all__ = ["selective_search"]


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
    check_numbers("selective_search", ("count", count, count >= 1, "at least 1"))
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
