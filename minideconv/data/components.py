"""Connected regions of a class mask: the objects of a mask that comes without instances."""

from __future__ import annotations

import numpy as np

from minideconv.data.voc_colors import VOID

__all__ = ["connected_components", "regions"]

_MOST = 254  # ids 1..254 fit beside 0 (background) and 255 (void) in a byte


def connected_components(mask: np.ndarray) -> np.ndarray:
    """Give every 4-connected region of one class in `mask` a number of its own.

    Two objects of one class that touch become one region, and an object cut in two by another
    becomes two: with real instance masks use those instead.

    Parameters
    ----------
    mask : (H, W) integers, 0 background, 255 void.

    Returns
    -------
    (H, W) uint8: 0 background, 1, 2, ... the regions, largest first, 255 void. With more than
    254 regions, the smallest of them become void.

    Examples
    --------
    >>> connected_components(np.array([[7, 0, 7], [7, 255, 0], [7, 0, 3]]))
    array([[  1,   0,   2],
           [  1, 255,   0],
           [  1,   0,   3]], dtype=uint8)
    """
    mask = np.asarray(mask)
    found = regions(mask)
    labels = np.where(found > _MOST, VOID, found).astype(np.uint8)
    labels[mask == VOID] = VOID
    return labels


def regions(mask: np.ndarray) -> np.ndarray:
    """Give every 4-connected region of one class a number, however many there are.

    Parameters
    ----------
    mask : (H, W) integers, 0 background, 255 void.

    Returns
    -------
    (H, W) int64: 1, 2, ... the regions, largest first; 0 background and void.
    """
    height, width = mask.shape
    thing = (mask != 0) & (mask != VOID)
    # Nodes are horizontal runs of one class: a new run starts wherever the class changes.
    starts = np.ones((height, width), dtype=bool)
    starts[:, 1:] = mask[:, 1:] != mask[:, :-1]
    run = np.cumsum(starts.ravel()).reshape(height, width) - 1
    # Edges join runs that touch vertically; neighbouring pixels mostly repeat the same edge.
    touch = thing[1:] & (mask[1:] == mask[:-1])
    upper, lower = run[:-1][touch], run[1:][touch]
    fresh = np.ones(len(upper), dtype=bool)
    fresh[1:] = (upper[1:] != upper[:-1]) | (lower[1:] != lower[:-1])
    upper, lower = upper[fresh], lower[fresh]
    # Every run takes the lowest number it can reach: the region's first run in row-major order.
    root = np.arange(int(run[-1, -1]) + 1)
    while True:
        low = np.minimum(root[upper], root[lower])
        if (low == root[upper]).all() and (low == root[lower]).all():
            break
        np.minimum.at(root, root[upper], low)
        np.minimum.at(root, root[lower], low)
        root = root[root]
    area = np.bincount(root, weights=np.bincount(run[thing], minlength=len(root)))
    order = np.argsort(-area, kind="stable")[: int((area > 0).sum())]
    number = np.zeros(len(root), np.int64)
    number[order] = np.arange(1, len(order) + 1)
    labels: np.ndarray = number[root[run]]
    labels[~thing] = 0
    return labels
