"""Wrong ways to find the pixel of a switch, which pooling's backward and unpooling share.

Each changes the arguments ``switches`` and ``size``: what is right of the changed ones is what such
code gives. And wrong ways to find an image's and a channel's plane in the whole array.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minideconv.testing.operations.batch_norm import given
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["DECODINGS", "PLANES", "Decode", "blocks", "corners", "decoded", "scattered"]

Decode = Callable[[Arrays, Settings], Array]


def _plane(arrays: Arrays, settings: Settings) -> tuple[int, int]:
    """Return (H, W): of the setting, or of the planes where they are given."""
    height, width = settings["size"] if "size" in settings else given(arrays, "dx").shape[2:]
    return height, width


def _inside(rows: Array, columns: Array, arrays: Arrays, settings: Settings) -> Array:
    """Return the numbers of the pixels; IndexError if one is none, as indexing gives."""
    height, width = _plane(arrays, settings)
    if max(rows.max() - height, columns.max() - width) >= 0:
        raise IndexError("a switch is outside of the plane")
    return rows * width + columns


def _columns_first(arrays: Arrays, settings: Settings) -> Array:
    columns, rows = np.divmod(given(arrays, "switches"), _plane(arrays, settings)[0])
    return _inside(rows, columns, arrays, settings)


def _swapped(arrays: Arrays, settings: Settings) -> Array:
    columns, rows = np.divmod(given(arrays, "switches"), _plane(arrays, settings)[1])
    return _inside(rows, columns, arrays, settings)


def _by_height(arrays: Arrays, settings: Settings) -> Array:
    rows, columns = np.divmod(given(arrays, "switches"), _plane(arrays, settings)[0])
    return _inside(rows, columns, arrays, settings)


def _by_output_width(arrays: Arrays, settings: Settings) -> Array:
    switches = given(arrays, "switches")
    rows, columns = np.divmod(switches, switches.shape[3])
    return _inside(rows, columns, arrays, settings)


def _by_output_width_flat(arrays: Arrays, settings: Settings) -> Array:
    switches = given(arrays, "switches")
    rows, columns = np.divmod(switches, switches.shape[3])
    return _in_plane(rows * _plane(arrays, settings)[1] + columns, arrays, settings)


def _by_height_flat(arrays: Arrays, settings: Settings) -> Array:
    height, width = _plane(arrays, settings)
    rows, columns = np.divmod(given(arrays, "switches"), height)
    return _in_plane(rows * width + columns, arrays, settings)


def _in_plane(pixels: Array, arrays: Arrays, settings: Settings) -> Array:
    """Return the numbers of pixels; IndexError if one is outside of a plane that is kept flat."""
    height, width = _plane(arrays, settings)
    if pixels.max() >= height * width:
        raise IndexError("a switch is outside of the plane")
    return pixels


def _from_one(arrays: Arrays, settings: Settings) -> Array:
    height, width = _plane(arrays, settings)
    return (given(arrays, "switches") - 1) % (height * width)


def _window_number(arrays: Arrays, settings: Settings) -> Array:
    switches = given(arrays, "switches")
    rows, columns = np.indices(switches.shape[2:])
    return np.broadcast_to(rows * _plane(arrays, settings)[1] + columns, switches.shape)


def _running_number(arrays: Arrays, settings: Settings) -> Array:
    switches = given(arrays, "switches")
    flat = np.arange(switches.shape[2] * switches.shape[3]).reshape(switches.shape[2:])
    return np.broadcast_to(flat, switches.shape)


def corners(arrays: Arrays, settings: Settings, place: str = "top left") -> Array:
    """Return one fixed pixel of each block of H // H' x W // W' pixels."""
    switches = given(arrays, "switches")
    height, width = _plane(arrays, settings)
    down, right = height // switches.shape[2], width // switches.shape[3]
    if not down * right:
        raise ValueError("there are more windows than pixels")
    rows, columns = np.indices(switches.shape[2:])
    more = {"top left": (0, 0), "middle": (down // 2, right // 2),
            "bottom right": (down - 1, right - 1)}[place]  # fmt: skip
    pixels = (rows * down + more[0]) * width + columns * right + more[1]
    return np.broadcast_to(pixels, switches.shape)


def _corners_that_fit(arrays: Arrays, settings: Settings) -> Array:
    """Return the top left pixels of blocks of a pixel at least, of as many as are in the plane."""
    switches = given(arrays, "switches")
    height, width = _plane(arrays, settings)
    down, right = (max(n // m, 1) for n, m in zip((height, width), switches.shape[2:], strict=True))
    rows = np.arange(switches.shape[2])[:, None] * down
    columns = np.arange(switches.shape[3]) * right
    if "dx" in arrays:  # every window has a gradient
        pixels = rows.clip(0, height - 1) * width + columns.clip(0, width - 1)
    else:
        pixels = rows[rows[:, 0] < height] * width + columns[columns < width]
    return np.broadcast_to(pixels, (*switches.shape[:2], *pixels.shape))


def _nearest_corners(arrays: Arrays, settings: Settings) -> Array:
    """Return pixel (i H // H', j W // W') of window (i, j)."""
    switches = given(arrays, "switches")
    height, width = _plane(arrays, settings)
    rows = np.arange(switches.shape[2])[:, None] * height // switches.shape[2]
    columns = np.arange(switches.shape[3]) * width // switches.shape[3]
    return np.broadcast_to(rows * width + columns, switches.shape)


def decoded(decode: Decode, arrays: Arrays, settings: Settings) -> None:
    """Put other switches into the arguments; values whose windows have none are left out."""
    switches = arrays["switches"] = decode(arrays, settings)
    rows, columns = switches.shape[2:]
    for role in {"y", "dy"} & arrays.keys():
        arrays[role] = given(arrays, role)[:, :, :rows, :columns]


def blocks(values: Array, size: tuple[int, int]) -> Array:
    """Repeat each value over its block of H // H' x W // W' pixels; 0 where no block reaches."""
    down, right = size[0] // values.shape[2], size[1] // values.shape[3]
    wide = values.repeat(down, 2).repeat(right, 3)
    filled = np.zeros((*values.shape[:2], *size))
    filled[:, :, : wide.shape[2], : wide.shape[3]] = wide
    return filled


def _first_channel(arrays: Arrays, settings: Settings) -> Array:
    switches = given(arrays, "switches")
    return np.repeat(switches[:, :1], switches.shape[1], 1)


def _first_image(arrays: Arrays, settings: Settings) -> Array:
    switches = given(arrays, "switches")
    return np.repeat(switches[:1], len(switches), 0)


DECODINGS: tuple[tuple[str, str, Decode], ...] = (
    ("switches read column by column",
     "Row and column are switch % H and switch // H; they are switch // W and switch % W.",
     _columns_first),
    ("row and column of the switches swapped",
     "Row and column are switch % W and switch // W; they are switch // W and switch % W.",
     _swapped),
    ("switches read with the height as the row's length",
     "Row and column are switch // H and switch % H; they are switch // W and switch % W.",
     _by_height),
    ("switches read with the height as the row's length",
     "Row and column are switch // H and switch % H; they are switch // W and switch % W.",
     _by_height_flat),
    ("switches read with the windows' number as the row's length",
     "Row and column are switch // W' and switch % W', with the pooled image's width; they are "
     "switch // W and switch % W.", _by_output_width),
    ("switches read with the windows' number as the row's length",
     "Row and column are switch // W' and switch % W', with the pooled image's width; they are "
     "switch // W and switch % W.", _by_output_width_flat),
    ("switches read as counted from 1",
     "The pixel before the switch's is taken; the first pixel has the number 0.", _from_one),
    ("switches ignored: pixel (i, j)",
     "Window (i, j) is taken to have chosen pixel (i, j) of the plane.", _window_number),
    ("switches ignored: pixels in order",
     "The windows are taken to have chosen the plane's first pixels, one after the other.",
     _running_number),
    ("switches ignored: the windows' top left pixel",
     "A fixed corner of each window is used in place of the pixel that won.", corners),
    ("switches ignored: the windows' top left pixel",
     "A fixed corner of each window is used in place of the pixel that won.", _corners_that_fit),
    ("switches ignored: the windows' top left pixel",
     "A fixed corner of each window is used in place of the pixel that won.", _nearest_corners),
    ("switches ignored: the windows' middle pixel",
     "The middle of each window is used in place of the pixel that won.",
     lambda a, s: corners(a, s, "middle")),
    ("switches ignored: the windows' bottom right pixel",
     "A fixed corner of each window is used in place of the pixel that won.",
     lambda a, s: corners(a, s, "bottom right")),
    ("switches of the first channel used for all",
     "Every channel uses the first one's switches; each has its own.", _first_channel),
    ("switches of the first image used for all",
     "Every image uses the first one's switches; each has its own.", _first_image),
)  # fmt: skip
"""Name, sentence and what the switches are taken for."""


# Planes -------------------------------------------------------------------------------------

Place = Callable[[int, int, tuple[int, int], int, int], int]
"""``place(n, c, (N, C), area, windows)``: where the plane of image n, channel c begins."""

PLANES: tuple[tuple[str, str, Place], ...] = (
    ("planes not told apart",
     "Switches are used as places in the whole array, so that all belong to the first plane; each "
     "image and channel has a plane of its own.", lambda n, c, nc, area, m: 0),
    ("channels not told apart",
     "All channels of an image use the plane of its first one; each has a plane of its own.",
     lambda n, c, nc, area, m: n * nc[1] * area),
    ("channels not told apart",
     "All channels of an image use the plane of its last one; each has a plane of its own.",
     lambda n, c, nc, area, m: ((n + 1) * nc[1] - 1) * area),
    ("images not told apart",
     "The images use the planes of the first one; each has planes of its own.",
     lambda n, c, nc, area, m: c * area),
    ("images not told apart",
     "The images use the planes of the last one; each has planes of its own.",
     lambda n, c, nc, area, m: ((nc[0] - 1) * nc[1] + c) * area),
    ("planes counted with the channels first",
     "Plane (n, c) is taken to have the number c N + n; it is n C + c.",
     lambda n, c, nc, area, m: (c * nc[0] + n) * area),
    ("planes taken to be as small as the pooled ones",
     "Plane n C + c is taken to begin at (n C + c) H' W'; it begins at (n C + c) H W.",
     lambda n, c, nc, area, m: (n * nc[1] + c) * m),
)  # fmt: skip
"""Name, sentence and where planes are taken to begin in the whole array."""


def scattered(
    values: Array, switches: Array, size: tuple[int, int], place: Place, *, add: bool
) -> Array:
    """Add values to the pixels of their switches, or assign them, with planes somewhere else."""
    (n, c), area = values.shape[:2], size[0] * size[1]
    flat = np.zeros(n * c * area)
    for image, channel in np.ndindex(n, c):
        begin = place(image, channel, (n, c), area, values[0, 0].size)
        pixels, here = switches[image, channel].ravel() + begin, values[image, channel].ravel()
        if add:
            np.add.at(flat, pixels, here)
        else:
            flat[pixels] = here
    return flat.reshape(n, c, *size)
