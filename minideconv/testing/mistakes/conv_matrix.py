"""Wrong versions of conv_matrix."""

from __future__ import annotations

import numpy as np

from minideconv.testing.mistakes.bank import Right, mistake, slip
from minideconv.testing.operations.conv import windows
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank


@slip("conv_matrix", "A", "kernel flipped",
      "The kernel is turned by 180 degrees; this is the matrix of conv2d, which does not turn "
      "it.")  # fmt: skip
def _kernel_flipped(arrays: Arrays, settings: Settings) -> None:
    arrays["w"] = _weight(arrays)[:, :, ::-1, ::-1]


@slip("conv_matrix", "A", "stride swapped",
      "The strides of height and width are swapped; stride is (height, width).")  # fmt: skip
def _stride_swapped(arrays: Arrays, settings: Settings) -> None:
    settings["stride"] = settings["stride"][::-1]


@mistake("conv_matrix", "A", "transposed",
         "A row is an input pixel; a row of A is an output pixel, its columns are input "
         "pixels.")  # fmt: skip
def _transposed(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return right(arrays, settings).T


@mistake("conv_matrix", "A", "taps on the padding not left out",
         "A tap beside the image is given the pixel at the other end of a row; it has no "
         "column.")  # fmt: skip
def _wrapped(arrays: Arrays, settings: Settings, right: Right) -> Array:
    w = _weight(arrays)
    (k, c, kh, kw), (h, wide) = w.shape, settings["size"]
    (sh, sw), (ph, pw) = settings["stride"], settings["padding"]
    rows, columns = windows((h, wide), (kh, kw), (sh, sw), (ph, pw), (1, 1))
    matrix = np.zeros((k, rows, columns, c, h * wide), w.dtype)
    for i, j, a, e in np.ndindex(rows, columns, kh, kw):
        pixel = (i * sh + a - ph) * wide + j * sw + e - pw
        if -h * wide <= pixel < h * wide:
            matrix[:, i, j, :, pixel] = w[:, :, a, e]
    return matrix.reshape(k * rows * columns, c * h * wide)


@mistake("conv_matrix", "A", "padding of one side only",
         "The image is padded at the top and left as if the padding were 0.")  # fmt: skip
def _not_moved(arrays: Arrays, settings: Settings, right: Right) -> Array:
    w, (h, wide), (ph, pw) = _weight(arrays), settings["size"], settings["padding"]
    larger = {**settings, "size": (h + 2 * ph, wide + 2 * pw), "padding": (0, 0)}
    full = right(arrays, larger).reshape(-1, w.shape[1], h + 2 * ph, wide + 2 * pw)
    return full[:, :, :h, :wide].reshape(len(full), -1)


def _weight(arrays: Arrays) -> Array:
    w = arrays["w"]
    assert w is not None
    return w
