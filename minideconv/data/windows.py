"""Square windows onto an image that may reach outside it: cutting out and placing back.

A window is four inclusive integer pixel coordinates, as in VOC's annotations and in the lists of
DeconvNet's second stage: `267 -20 517 230` is 251 pixels wide and 251 high and starts 20 rows
above the image. Outside the image a cut is black and its mask is void, so that nothing is learned
from what is not there (Noh, Hong, Han, ICCV 2015, section 4; released window data layer).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minideconv.data.resize import PART, resize_image, rows_first
from minideconv.data.voc_colors import VOID
from minideconv.errors import UsageError

__all__ = [
    "Window",
    "box_of",
    "cut",
    "cut_pair",
    "cut_resized",
    "place",
    "placement",
    "square_window",
    "whole_image_window",
]

_Slices = tuple[slice, slice]


class Window(NamedTuple):
    """A box from column x1 to x2 and row y1 to y2, both ends inside; it may leave the image."""

    x1: int
    y1: int
    x2: int
    y2: int

    @property
    def width(self) -> int:
        """Columns."""
        return self.x2 - self.x1 + 1

    @property
    def height(self) -> int:
        """Rows."""
        return self.y2 - self.y1 + 1

    @property
    def area(self) -> int:
        """Pixels."""
        return self.width * self.height

    def union(self, other: Window) -> Window:
        """Return the smallest box around both."""
        x1, y1 = min(self.x1, other.x1), min(self.y1, other.y1)
        return Window(x1, y1, max(self.x2, other.x2), max(self.y2, other.y2))

    def intersection(self, other: Window) -> int:
        """Return the number of pixels that are in both boxes."""
        width = min(self.x2, other.x2) - max(self.x1, other.x1) + 1
        height = min(self.y2, other.y2) - max(self.y1, other.y1) + 1
        return max(0, width) * max(0, height)

    def iou(self, other: Window) -> float:
        """Intersection over union of the two boxes, 0..1."""
        inside = self.intersection(other)
        return inside / (self.area + other.area - inside)


def box_of(region: np.ndarray) -> Window:
    """Find the tight box around the True pixels of (H, W) `region`.

    Raises
    ------
    ValueError
        If no pixel is True.
    """
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    if rows.size == 0:
        raise ValueError("box_of: region has no True pixel, so it has no box")
    return Window(int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1]))


def square_window(box: Window, enlarge: float = 1.2) -> Window:
    """Make the square around the box's centre, `enlarge` times the box's longer side wide.

    side = round(enlarge * max(width, height)); where the centre falls between two pixels, the
    window leans to the lower coordinate.

    Examples
    --------
    >>> square_window(Window(10, 20, 19, 39))
    Window(x1=3, y1=18, x2=26, y2=41)
    """
    if enlarge < 1:
        raise UsageError(
            f"square_window: enlarge is {enlarge}; it must be at least 1 to hold the box"
        )
    side = int(enlarge * max(box.width, box.height) + 0.5)
    x1 = (box.x1 + box.x2 + 1 - side) // 2
    y1 = (box.y1 + box.y2 + 1 - side) // 2
    return Window(x1, y1, x1 + side - 1, y1 + side - 1)


def whole_image_window(height: int, width: int) -> Window:
    """Make the smallest square that holds the whole image in its middle.

    Examples
    --------
    >>> whole_image_window(4, 7)
    Window(x1=0, y1=-2, x2=6, y2=4)
    """
    return square_window(Window(0, 0, width - 1, height - 1), enlarge=1.0)


def placement(window: Window, height: int, width: int) -> tuple[_Slices, _Slices]:
    """Where a window and an image of (height, width) overlap, seen from each of the two.

    Returns
    -------
    in_image, in_window : pairs of slices (rows, columns) of the same extent, empty when the window
        is wholly outside. `image[..., *in_image]` and `cut[..., *in_window]` are the same pixels.

    Examples
    --------
    >>> placement(Window(-1, 2, 3, 6), 5, 9)
    ((slice(2, 5, None), slice(0, 4, None)), (slice(0, 3, None), slice(1, 5, None)))
    """
    if window.width < 1 or window.height < 1:
        raise UsageError(
            f"window {tuple(window)} is empty; x2 and y2 are inclusive and must reach x1 and y1"
        )
    rows = _overlap(window.y1, window.y2, height)
    columns = _overlap(window.x1, window.x2, width)
    return (rows[0], columns[0]), (rows[1], columns[1])


def _overlap(first: int, last: int, extent: int) -> tuple[slice, slice]:
    start, stop = min(max(0, first), extent), min(last + 1, extent)
    stop = max(start, stop)  # equal, so both slices are empty, where the window is outside
    return slice(start, stop), slice(start - first, stop - first)


def cut(array: np.ndarray, window: Window, fill: int = 0) -> np.ndarray:
    """Copy the window's pixels out of (H, W) or (H, W, C) `array`, `fill` outside of it."""
    (in_image, in_window) = placement(window, array.shape[0], array.shape[1])
    out = np.full((window.height, window.width, *array.shape[2:]), fill, dtype=array.dtype)
    out[in_window] = array[in_image]
    return out


def cut_resized(image: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """Return ``resize_image(cut(image, window), size)`` without the whole cut in memory.

    The square around a strip of 60000 x 10 pixels would take 10 GB. The rows of a square window are
    resized a part at a time, and those outside of the image are black as they are.
    """
    if window.area <= PART or not rows_first((window.height, window.width), size):
        return resize_image(cut(image, window, 0), size)
    in_image, (rows, columns) = placement(window, image.shape[0], image.shape[1])
    narrow = np.zeros((window.height, size[1], 3), np.uint8)
    inside, placed = image[in_image], narrow[rows]
    step = max(1, PART // window.width)
    padded = np.zeros((min(step, len(inside)), window.width, 3), np.uint8)
    for start in range(0, len(inside), step):
        part = inside[start : start + step]
        padded[: len(part), columns] = part
        placed[start : start + step] = resize_image(padded[: len(part)], (len(part), size[1]))
    return resize_image(narrow, size)


def cut_pair(image: np.ndarray, mask: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Cut the window out of an image and of its mask: black and void outside."""
    return cut(image, window, 0), cut(mask, window, VOID)


def place(canvas: np.ndarray, patch: np.ndarray, window: Window) -> None:
    """Write `patch` (..., side, side) into `canvas` (..., H, W) where the window is, in place.

    The inverse of `cut` for maps with leading channels; what is outside the canvas is dropped.
    """
    if patch.shape[-2:] != (window.height, window.width):
        raise UsageError(
            f"place: patch is {patch.shape[-2]}x{patch.shape[-1]} (rows x columns) but window"
            f" {tuple(window)} is {window.height}x{window.width}; resize the patch first"
        )
    in_image, in_window = placement(window, canvas.shape[-2], canvas.shape[-1])
    canvas[(..., *in_image)] = patch[(..., *in_window)]
