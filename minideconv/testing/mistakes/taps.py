"""What every window of a max pooling sees, and how wrong choices among it are registered."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minideconv.testing.mistakes.bank import Right, given, mistake, slip
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["Count", "Start", "Taps", "both", "both_slips", "index", "laid_out", "spelled_out"]

Count = Callable[[int, int, int, int], int]
"""``count(n, k, s, p)``: how many windows there are along an axis."""
Start = Callable[[int, int, int, int], int]
"""``start(i, k, s, p)``: where window i begins."""


class Taps:
    """The pixels under each window: (N, C, H', W', kh kw), with the row and column of each.

    `rows` (H', kh) and `columns` (W', kw) say what the windows see. What lies outside of the image
    is `fill`; rows and columns are those of the image, negative above and left of it.
    """

    def __init__(self, x: Array, rows: Array, columns: Array, fill: float = -np.inf) -> None:
        self.size = h, w = x.shape[2:]
        self.kernel = rows.shape[1], columns.shape[1]
        self.starts = rows[:, 0], columns[:, 0]
        shape = (len(rows), len(columns), *self.kernel)
        flat = (*shape[:2], shape[2] * shape[3])
        self.rows = np.broadcast_to(rows[:, None, :, None], shape).reshape(flat)
        self.columns = np.broadcast_to(columns[None, :, None, :], shape).reshape(flat)
        inside = (self.rows >= 0) & (self.rows < h) & (self.columns >= 0) & (self.columns < w)
        seen = x.astype(float)[:, :, self.rows.clip(0, h - 1), self.columns.clip(0, w - 1)]
        self.pixels = np.where(inside, seen, fill)

    def chosen(self, taps: Array) -> tuple[Array, Array]:
        """Return row and column of one tap of each window, (N, C, H', W')."""
        where = taps[..., None]
        shape = self.pixels.shape
        rows = np.take_along_axis(np.broadcast_to(self.rows, shape), where, -1)
        columns = np.take_along_axis(np.broadcast_to(self.columns, shape), where, -1)
        return rows[..., 0], columns[..., 0]

    def values(self, taps: Array) -> Array:
        """Return the pixel of one tap of each window."""
        return np.take_along_axis(self.pixels, taps[..., None], -1)[..., 0]


def spelled_out(settings: Settings) -> Settings:
    """Return the settings with the stride that None stands for."""
    stride = settings["stride"] or settings["kernel_size"]
    return {**settings, "stride": stride}


def windows_fit(n: int, k: int, s: int, p: int) -> int:
    """Return the right number of windows along an axis."""
    return (n + 2 * p - k) // s + 1


def begins(i: int, _k: int, s: int, p: int) -> int:
    """Return where window i begins."""
    return i * s - p


def laid_out(
    arrays: Arrays,
    settings: Settings,
    fill: float = -np.inf,
    *,
    count: Count = windows_fit,
    start: Start = begins,
    more: tuple[int, int] = (0, 0),
) -> Taps:
    """Return what every window sees, or would with other windows; `more`: of a larger kernel."""
    x, settings = given(arrays, "x"), spelled_out(settings)
    tables = []
    for axis, n in enumerate(x.shape[2:]):
        k, s, p = (settings[name][axis] for name in ("kernel_size", "stride", "padding"))
        starts = np.array([start(i, k, s, p) for i in range(count(n, k, s, p))], int)
        tables.append(starts[:, None] + np.arange(k + more[axis]))
    return Taps(x, tables[0], tables[1], fill)


def index(taps: Taps, which: Array) -> Array:
    """Return ``row W + column`` of one tap of each window."""
    rows, columns = taps.chosen(which)
    return rows * taps.size[1] + columns


# Both outputs -------------------------------------------------------------------------------
# A window in the wrong place gives wrong maxima and wrong switches: one name for both.


def both_slips(name: str, sentence: str) -> Callable[[Callable[[Arrays, Settings], None]], None]:
    """Register a mistake in the arguments for y and for the switches."""

    def register(wrong: Callable[[Arrays, Settings], None]) -> None:
        def spelled(arrays: Arrays, settings: Settings) -> None:
            settings["stride"] = settings["stride"] or settings["kernel_size"]
            wrong(arrays, settings)

        for output in ("y", "switches"):
            slip("max_pool2d", output, name, sentence)(spelled)

    return register


Pools = Callable[[Arrays, Settings], tuple[Taps, Array]]


def both(name: str, sentence: str) -> Callable[[Pools], Pools]:
    """Register a mistake that chooses other taps: ``wrong`` returns what it sees and chooses."""

    def register(wrong: Pools) -> Pools:
        @mistake("max_pool2d", "y", name, sentence)
        def _y(arrays: Arrays, settings: Settings, right: Right) -> Array:
            taps, which = wrong(arrays, settings)
            return taps.values(which)

        @mistake("max_pool2d", "switches", name, sentence)
        def _switches(arrays: Arrays, settings: Settings, right: Right) -> Array:
            taps, which = wrong(arrays, settings)
            return index(taps, which)

        return wrong

    return register
