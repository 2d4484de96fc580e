"""Wrong versions of max_pool2d: how many windows there are, where they end, and the border."""

from __future__ import annotations

import numpy as np

from minideconv.testing.mistakes.bank import Right, given, mistake, pad, twist
from minideconv.testing.mistakes.taps import Count, Taps, both, index, laid_out, spelled_out
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank


# How many windows ---------------------------------------------------------------------------


def sized(name: str, sentence: str, rows: Count, columns: Count | None = None) -> None:
    """Register another number of windows along each axis; beyond the image there is padding."""

    @both(name, sentence)
    def _pooled(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
        axes = iter((rows, columns or rows))
        taps = laid_out(arrays, settings, count=lambda n, k, s, p: next(axes)(n, k, s, p))
        return taps, taps.pixels.argmax(-1)

    @mistake("max_pool2d", "switches", name, sentence)
    def _none_in_empty_windows(arrays: Arrays, settings: Settings, right: Right) -> Array:
        taps, which = _pooled(arrays, settings)
        return np.where(np.isfinite(taps.values(which)), index(taps, which), 0)


def _right_count(n: int, k: int, s: int, p: int) -> int:
    return (n + 2 * p - k) // s + 1


def _one_less(n: int, k: int, s: int, p: int) -> int:
    return (n + 2 * p - k) // s


sized("output size rounded up", "A last window that hangs over the edge is kept; the size is "
      "rounded down.", lambda n, k, s, p: -((n + 2 * p - k) // -s) + 1)  # fmt: skip
sized("output size rounded to the nearest", "A last window that hangs over the edge is kept if "
      "half of it fits; the size is rounded down.",
      lambda n, k, s, p: round((n + 2 * p - k) / s) + 1)  # fmt: skip


def _range_too_short(n: int, k: int, s: int, p: int) -> int:
    return len(range(0, n + 2 * p - k, s))


for _fewer, _why in (
    (_one_less, "the + 1 is missing in floor((H + 2 ph - kh) / sh) + 1."),
    (_range_too_short, "range(0, H + 2 ph - kh, sh) ends before the last window where it fits "
                       "exactly; it is range(0, H + 2 ph - kh + 1, sh)."),
):  # fmt: skip
    for _counts in ((_fewer, _fewer), (_fewer, _right_count), (_right_count, _fewer)):
        sized("last window left out", f"The output has a row or a column too few: {_why}", *_counts)
sized("output size without the padding", "The padding is missing in the output's size "
      "floor((H + 2 ph - kh) / sh) + 1.", lambda n, k, s, p: (n - k) // s + 1)  # fmt: skip
sized("output size is H / stride", "The output's size is H / sh; it is floor((H + 2 ph - kh) / sh) "
      "+ 1.", lambda n, k, s, p: n // s)  # fmt: skip
sized("output size without the kernel", "The output's size is (H + 2 ph) / sh; it is floor((H + 2 "
      "ph - kh) / sh) + 1.", lambda n, k, s, p: (n + 2 * p) // s)  # fmt: skip


# Windows that are not written to ------------------------------------------------------------


def _skipped(
    result: Array, arrays: Arrays, settings: Settings, axes: str, fill: float, exact: bool
) -> Array:
    settings = spelled_out(settings)
    result = result.copy()
    for axis, name in enumerate(("rows", "columns")):
        n = given(arrays, "x").shape[2 + axis]
        k, s, p = (settings[name][axis] for name in ("kernel_size", "stride", "padding"))
        if name in axes and not (exact and (n + 2 * p - k) % s):
            result[(..., -1, slice(None)) if axis == 0 else (..., -1)] = fill
    return result


for _axes, _what in (("rows", "row"), ("columns", "column"), ("rows, columns", "row and column")):
    for _output, _fills in (("y", (0.0, -np.inf)), ("switches", (0.0,))):
        for _fill in _fills:
            for _exact in (False, True):

                @twist("max_pool2d", _output, f"last {_what} of windows not computed",
                       f"The loop stops one window too early, so that the last {_what} of the "
                       "output keeps what it began with.")  # fmt: skip
                def _not_computed(
                    result: Array,
                    arrays: Arrays,
                    settings: Settings,
                    axes: str = _axes,
                    fill: float = _fill,
                    exact: bool = _exact,
                ) -> Array:
                    return _skipped(result, arrays, settings, axes, fill, exact)


# Where windows end --------------------------------------------------------------------------


def cut(name: str, sentence: str, rows: int, columns: int) -> None:
    """Register windows that lack their last row or column."""

    @both(name, sentence)
    def _too_small(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
        taps = laid_out(arrays, settings)
        kh, kw = taps.kernel
        tap = np.arange(kh * kw).reshape(kh, kw)
        inner = tap[: max(kh - rows, 1), : max(kw - columns, 1)].ravel()
        return taps, inner[taps.pixels[..., inner].argmax(-1)]


cut("last row and column of each window left out", "The window is a pixel too small on both axes: "
    "a range or slice ends one too early.", 1, 1)  # fmt: skip
cut("last row of each window left out", "The window is a row too small: a range or slice ends one "
    "too early.", 1, 0)  # fmt: skip
cut("last column of each window left out", "The window is a column too small: a range or slice "
    "ends one too early.", 0, 1)  # fmt: skip

for _more, _what in (((1, 1), "row and a column"), ((1, 0), "row"), ((0, 1), "column")):

    @mistake("max_pool2d", "y", f"windows a {_what} too large",
             "A range or slice ends one too late.")  # fmt: skip
    def _too_large(
        arrays: Arrays, settings: Settings, right: Right, more: tuple[int, int] = _more
    ) -> Array:
        return laid_out(arrays, settings, more=more).pixels.max(-1)


@both("image's last row and column not seen", "Windows end before the image's last row and column: "
      "they are cut at H - 1 and W - 1.")  # fmt: skip
def _not_seen(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings)
    h, w = taps.size
    outside = (taps.rows >= h - 1) | (taps.columns >= w - 1)
    taps.pixels = np.where(outside, -np.inf, taps.pixels)
    return taps, taps.pixels.argmax(-1)


# The border ---------------------------------------------------------------------------------


@both("windows moved into the image", "A window that begins in the padding is moved to the image's "
      "border; it must be cut there.")  # fmt: skip
def _moved_inside(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings, start=lambda i, k, s, p: max(i * s - p, 0))
    return taps, taps.pixels.argmax(-1)


@both("padded at the top and left only", "Bottom and right are not padded.")
def _padded_before(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings, count=lambda n, k, s, p: (n + p - k) // s + 1)
    return taps, taps.pixels.argmax(-1)


@both("padded at the bottom and right only", "Top and left are not padded.")
def _padded_behind(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(
        arrays,
        settings,
        count=lambda n, k, s, p: (n + p - k) // s + 1,
        start=lambda i, k, s, p: i * s,
    )
    return taps, taps.pixels.argmax(-1)


@mistake("max_pool2d", "y", "padded by reflection", "The padding repeats pixels of the image in "
         "reverse; padding holds no pixels.")  # fmt: skip
def _reflected(arrays: Arrays, settings: Settings, right: Right) -> Array:
    ph, pw = settings["padding"]
    x = pad(given(arrays, "x"), ph, ph, pw, pw, "reflect")
    return right({"x": x}, {**settings, "padding": (0, 0)})


@mistake("max_pool2d", "y", "padded by wrapping around", "The padding holds the pixels of the "
         "opposite border; padding holds no pixels.")  # fmt: skip
def _wrapped(arrays: Arrays, settings: Settings, right: Right) -> Array:
    ph, pw = settings["padding"]
    x = pad(given(arrays, "x"), ph, ph, pw, pw, "wrap")
    return right({"x": x}, {**settings, "padding": (0, 0)})


@mistake("max_pool2d", "y", "padded by wrapping around", "Row and column -1 are the last ones in "
         "Python: windows above and left of the image see the opposite border.")  # fmt: skip
def _negative_index(arrays: Arrays, settings: Settings, right: Right) -> Array:
    taps, x = laid_out(arrays, settings), given(arrays, "x")
    if (taps.rows >= x.shape[2]).any() or (taps.columns >= x.shape[3]).any():
        raise IndexError("index is out of bounds")
    return x[:, :, taps.rows, taps.columns].max(-1)
