"""One parameter from another program's layout to this library's, and back.

Here a convolution's weight is (out, in, height, width), a transposed one's (in, out, height,
width), and the fully connected layers of VGG-16 are convolutions: fc6 with a 7x7 window, fc7 with
1x1. A fully connected weight of another program is the same numbers in a matrix, whose columns
count the map's values in the order of that program's maps: (C, H, W) in PyTorch and Caffe,
(H, W, C) in Keras.
"""

from __future__ import annotations

import math

import numpy as np

from minideconv.interop.malformed import Malformed

__all__ = ["from_own", "to_own"]

_DENSE = ("fc6.layer.weight", "fc7.layer.weight")


def to_own(array: np.ndarray, name: str, layout: str, channels: int) -> tuple[np.ndarray, str]:
    """Return a parameter as this library has it, and in words what was done.

    Parameters
    ----------
    array : array
        As it is in the file.
    name : str
        This library's name for it.
    layout : {"OIHW", "HWIO"}
        The other program's.
    channels : int
        Of the map that the layer sees; a matrix's columns are this many times its window.

    Raises
    ------
    Malformed
        If the array has not the shape that such a parameter can have.
    """
    words = []
    if not name.endswith("layer.weight") and name != "seg_score.weight":
        if array.ndim > 1 and array.size == max(array.shape):  # Caffe's (1, 1, 1, C), (1, C, 1, 1)
            array = array.reshape(-1)
            words.append("flattened")
    elif name in _DENSE and _matrix(array) is not None:
        array = _unfold(_matrix(array), name, layout, channels)
        words.append(f"matrix -> {array.shape[2]}x{array.shape[3]} convolution")
    elif layout == "HWIO" and array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)
        words.append("HWIO -> OIHW")
    if array.dtype.kind == "f" and array.dtype != np.float32:
        words.append(f"{array.dtype} -> float32")
        with np.errstate(invalid="ignore", over="ignore"):  # the caller looks for what that made
            array = array.astype(np.float32)
    return np.array(array, order="C"), ", ".join(words) or "as it is"


def from_own(array: np.ndarray, name: str, layout: str, matrices: bool) -> np.ndarray:
    """Return a parameter of this library in another program's layout: `to_own` undone."""
    if not name.endswith("layer.weight"):
        return np.array(array, order="C")
    if name in _DENSE and matrices:
        matrix = array if layout == "OIHW" else array.transpose(0, 2, 3, 1)
        matrix = matrix.reshape(len(array), -1)
        return np.array(matrix if layout == "OIHW" else matrix.T, order="C")
    return np.array(array if layout == "OIHW" else array.transpose(2, 3, 1, 0), order="C")


def _matrix(array: np.ndarray) -> np.ndarray | None:
    """Return a fully connected weight as a matrix; None if it is a convolution's already."""
    if array.ndim == 4 and array.shape[:2] == (1, 1):  # Caffe's (1, 1, out, in)
        array = array[0, 0]
    return array if array.ndim == 2 else None


def _unfold(matrix: np.ndarray | None, name: str, layout: str, channels: int) -> np.ndarray:
    assert matrix is not None
    rows, columns = matrix.shape if layout == "OIHW" else matrix.shape[::-1]
    side = math.isqrt(columns // max(1, channels))
    if side < 1 or channels * side * side != columns:
        raise Malformed(
            f"{name} is a matrix of {columns:,} columns, which is no square window on a map of"
            f" {channels} channels"
        )
    if layout == "OIHW":
        return matrix.reshape(rows, channels, side, side)
    return matrix.reshape(side, side, channels, rows).transpose(3, 2, 0, 1)
