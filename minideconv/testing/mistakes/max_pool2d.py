"""Wrong versions of max_pool2d."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minideconv.testing.checking.calls import Call
from minideconv.testing.checking.probing import probes, sized_probes, tried
from minideconv.testing.mistakes.bank import Right, mistake, pad, slip
from minideconv.testing.operations import OPERATIONS
from minideconv.testing.operations.batch_norm import given
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["Taps", "laid_out"]

POOLING = OPERATIONS["max_pool2d"]


class Taps:
    """The pixels under each window: (N, C, H', W', kh kw), with the row and column of each.

    What lies in the padding is `fill`; rows and columns are those of the image, negative above and
    left of it.
    """

    def __init__(self, x: Array, settings: Settings, fill: float = -np.inf) -> None:
        (kh, kw), (sh, sw), (ph, pw) = (
            settings[name] for name in ("kernel_size", "stride", "padding")
        )
        self.size = h, w = x.shape[2:]
        self.kernel, self.padding = (kh, kw), (ph, pw)
        count = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
        self.starts = np.arange(count[0]) * sh - ph, np.arange(count[1]) * sw - pw
        rows = self.starts[0][:, None] + np.arange(kh)  # (H', kh)
        columns = self.starts[1][:, None] + np.arange(kw)
        shape = (*count, kh, kw)
        self.rows = np.broadcast_to(rows[:, None, :, None], shape).reshape(*count, -1)
        self.columns = np.broadcast_to(columns[None, :, None, :], shape).reshape(*count, -1)
        padded = np.pad(
            x.astype(float), ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=fill
        )
        self.pixels = padded[:, :, self.rows + ph, self.columns + pw]

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


def laid_out(arrays: Arrays, settings: Settings, fill: float = -np.inf) -> Taps:
    """Return what every window sees."""
    return Taps(given(arrays, "x"), settings, fill)


def index(taps: Taps, which: Array) -> Array:
    """Return ``row W + column`` of one tap of each window."""
    rows, columns = taps.chosen(which)
    return rows * taps.size[1] + columns


# Both outputs -------------------------------------------------------------------------------
# A window in the wrong place gives wrong maxima and wrong switches: one name for both.


def both_slips(name: str, sentence: str) -> Callable[[Callable[[Arrays, Settings], None]], None]:
    """Register a mistake in the arguments for y and for the switches."""

    def register(wrong: Callable[[Arrays, Settings], None]) -> None:
        for output in ("y", "switches"):
            slip("max_pool2d", output, name, sentence)(wrong)

    return register


Pools = Callable[[Arrays, Settings], tuple[Taps, Array]]


def both(name: str, sentence: str) -> Callable[[Pools], None]:
    """Register a mistake that chooses other taps: ``wrong`` returns what it sees and chooses."""

    def register(wrong: Pools) -> None:
        @mistake("max_pool2d", "y", name, sentence)
        def _y(arrays: Arrays, settings: Settings, right: Right) -> Array:
            taps, which = wrong(arrays, settings)
            return taps.values(which)

        @mistake("max_pool2d", "switches", name, sentence)
        def _switches(arrays: Arrays, settings: Settings, right: Right) -> Array:
            taps, which = wrong(arrays, settings)
            return index(taps, which)

    return register


@both_slips("stride swapped", "The strides of height and width are swapped; stride is "
            "(height, width).")  # fmt: skip
def _stride_swapped(arrays: Arrays, settings: Settings) -> None:
    settings["stride"] = settings["stride"][::-1]


@both_slips("kernel_size swapped", "The window's height and width are swapped; kernel_size is "
            "(height, width).")  # fmt: skip
def _kernel_swapped(arrays: Arrays, settings: Settings) -> None:
    settings["kernel_size"] = settings["kernel_size"][::-1]


@both_slips("padding swapped", "The paddings of height and width are swapped; padding is "
            "(height, width).")  # fmt: skip
def _padding_swapped(arrays: Arrays, settings: Settings) -> None:
    settings["padding"] = settings["padding"][::-1]


@both_slips("padding ignored", "The image is not padded.")
def _padding_ignored(arrays: Arrays, settings: Settings) -> None:
    settings["padding"] = (0, 0)


@both_slips("stride ignored", "Windows move by one pixel whatever the stride is.")
def _stride_ignored(arrays: Arrays, settings: Settings) -> None:
    settings["stride"] = (1, 1)


@both("stride ignored", "Windows move by one pixel whatever the stride is.")
def _stride_ignored_in_size(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    rows, columns = laid_out(arrays, settings).rows.shape[:2]
    taps = laid_out(arrays, {**settings, "stride": (1, 1)})
    taps.rows, taps.columns = taps.rows[:rows, :columns], taps.columns[:rows, :columns]
    taps.pixels = taps.pixels[:, :, :rows, :columns]
    return taps, taps.pixels.argmax(-1)


@both_slips("kernel_size taken as the stride", "Windows move by their own size, so that they never "
            "overlap; they move by the stride.")  # fmt: skip
def _stride_is_kernel(arrays: Arrays, settings: Settings) -> None:
    settings["stride"] = settings["kernel_size"]


@both_slips("stride taken as the kernel_size", "Windows are as large as the stride.")
def _kernel_is_stride(arrays: Arrays, settings: Settings) -> None:
    settings["kernel_size"] = settings["stride"]


@both_slips("kernel_size and stride swapped", "The window's size is taken as the stride, and the "
            "stride as its size.")  # fmt: skip
def _kernel_and_stride(arrays: Arrays, settings: Settings) -> None:
    settings["kernel_size"], settings["stride"] = settings["stride"], settings["kernel_size"]


for _place, _axis, _other in ((0, "height", "width"), (1, "width", "height")):
    for _setting in ("kernel_size", "stride", "padding"):

        @both_slips(
            f"{_setting} of the {_axis} used for both axes",
            f"The {_setting} of the {_axis} is used for the {_other}, too.",
        )
        def _one_for_both(
            arrays: Arrays, settings: Settings, place: int = _place, setting: str = _setting
        ) -> None:
            settings[setting] = (settings[setting][place],) * 2


for _names in (("kernel_size", "stride"), ("kernel_size", "padding"), ("stride", "padding")):

    @both_slips(
        f"{_names[0]} and {_names[1]} with height and width swapped",
        f"Height and width of {_names[0]} and of {_names[1]} are swapped.",
    )
    def _two_swapped(
        arrays: Arrays, settings: Settings, names: tuple[str, str] = _names
    ) -> None:
        for name in names:
            settings[name] = settings[name][::-1]


@both_slips("height and width swapped", "Height and width of kernel_size, stride and padding are "
            "swapped.")  # fmt: skip
def _all_swapped(arrays: Arrays, settings: Settings) -> None:
    for name in ("kernel_size", "stride", "padding"):
        settings[name] = settings[name][::-1]


@both("minimum in place of the maximum", "Each window's smallest pixel is taken.")
def _minimum(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings, np.inf)
    return taps, taps.pixels.argmin(-1)


@both("minimum in place of the maximum", "Each window's smallest pixel is taken.")
def _minimum_of_zeros(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings, 0)
    return taps, taps.pixels.argmin(-1)


@both("padded with zeros", "The padding counts as pixels of 0, which win where all pixels are "
      "negative; padding never wins (-inf).")  # fmt: skip
def _padded_with_zeros(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings, 0)
    return taps, taps.pixels.argmax(-1)


@both("largest absolute value", "The pixel farthest from 0 is taken, not the largest.")
def _largest_absolute(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings, 0)
    return taps, np.abs(taps.pixels).argmax(-1)


@both("first pixel of each window", "The window's top left pixel is taken, not its largest.")
def _first_pixel(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings)
    return taps, np.zeros(taps.pixels.shape[:-1], int)


@both("first row of each window only", "Only the window's top row is searched.")
def _first_row(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings)
    return taps, taps.pixels[..., : taps.kernel[1]].argmax(-1)


@both("first column of each window only", "Only the window's left column is searched.")
def _first_column(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings)
    return taps, taps.pixels[..., :: taps.kernel[1]].argmax(-1) * taps.kernel[1]


@both("last row and column of each window left out", "The window is a pixel too small on both "
      "axes: a range or slice ends one too early.")  # fmt: skip
def _window_too_small(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings)
    tap = np.arange(taps.kernel[0] * taps.kernel[1]).reshape(taps.kernel)
    inner = tap[: max(taps.kernel[0] - 1, 1), : max(taps.kernel[1] - 1, 1)].ravel()
    return taps, inner[taps.pixels[..., inner].argmax(-1)]


@both("maximum over all channels", "A window spans all channels of the image; each channel is "
      "pooled by itself.")  # fmt: skip
def _over_channels(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings)
    taps.pixels = np.broadcast_to(taps.pixels.max(1, keepdims=True), taps.pixels.shape)
    return taps, taps.pixels.argmax(-1)


@both("first channel only", "Every channel gets the first one's result.")
def _first_channel(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    x = given(arrays, "x")
    taps = laid_out({"x": np.repeat(x[:, :1], x.shape[1], 1)}, settings)
    return taps, taps.pixels.argmax(-1)


@both("first image only", "Every image of the batch gets the first one's result.")
def _first_image(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    x = given(arrays, "x")
    taps = laid_out({"x": np.repeat(x[:1], len(x), 0)}, settings)
    return taps, taps.pixels.argmax(-1)


@both("windows moved into the image", "A window that begins in the padding is moved to the image's "
      "border; it must be cut there.")  # fmt: skip
def _moved_inside(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    taps = laid_out(arrays, settings)
    (h, w), (kh, kw) = taps.size, taps.kernel
    rows = np.maximum(taps.starts[0], 0)[:, None, None] + np.arange(kh).repeat(kw)
    columns = np.maximum(taps.starts[1], 0)[:, None] + np.tile(np.arange(kw), kh)
    taps.rows = np.broadcast_to(rows, taps.rows.shape)
    taps.columns = np.broadcast_to(columns, taps.rows.shape)
    x = pad(given(arrays, "x").astype(float), 0, kh, 0, kw)
    outside = (taps.rows >= h) | (taps.columns >= w)
    taps.pixels = np.where(outside, -np.inf, x[:, :, taps.rows, taps.columns])
    return taps, taps.pixels.argmax(-1)


def _padded_on(arrays: Arrays, settings: Settings, before: int) -> tuple[Taps, Array]:
    """Pad one side of each axis only; `before`: 1 for top and left, 0 for bottom and right."""
    ph, pw = settings["padding"]
    x = pad(given(arrays, "x").astype(float), ph * before, ph - ph * before,
            pw * before, pw - pw * before, "constant")  # fmt: skip
    filled = np.full(x.shape, -np.inf)
    h, w = given(arrays, "x").shape[2:]
    filled[:, :, ph * before : ph * before + h, pw * before : pw * before + w] = given(arrays, "x")
    taps = Taps(filled, {**settings, "padding": (0, 0)})
    taps.rows, taps.columns = taps.rows - ph * before, taps.columns - pw * before
    taps.size = h, w
    return taps, taps.pixels.argmax(-1)


@both("padded at the top and left only", "Bottom and right are not padded.")
def _padded_before(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    return _padded_on(arrays, settings, 1)


@both("padded at the bottom and right only", "Top and left are not padded.")
def _padded_behind(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    return _padded_on(arrays, settings, 0)


def _sized(
    arrays: Arrays, settings: Settings, count: Callable[[int, int, int, int], int]
) -> tuple[Taps, Array]:
    """Pool with another number of windows on each axis."""
    x = given(arrays, "x")
    (kh, kw), (sh, sw), (ph, pw) = (
        settings[name] for name in ("kernel_size", "stride", "padding")
    )
    h, w = x.shape[2:]
    rows, columns = count(h, kh, sh, ph), count(w, kw, sw, pw)
    # Enlarged by what the last windows reach, and cut to as many as there are.
    more = (max(rows * sh + kh, h), max(columns * sw + kw, w))
    filled = np.full((*x.shape[:2], *more), -np.inf)
    filled[:, :, :h, :w] = x
    taps = Taps(filled, settings)
    taps.size = h, w
    taps.rows, taps.columns = taps.rows[:rows, :columns], taps.columns[:rows, :columns]
    taps.pixels = taps.pixels[:, :, :rows, :columns]
    return taps, taps.pixels.argmax(-1)


@both("output size rounded up", "A last window that hangs over the edge is kept; the size is "
      "rounded down.")  # fmt: skip
def _rounded_up(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    return _sized(arrays, settings, lambda n, k, s, p: -((n + 2 * p - k) // -s) + 1)


@both("last window left out", "The output has a row and a column too few: the + 1 is missing in "
      "floor((H + 2 ph - kh) / sh) + 1.")  # fmt: skip
def _last_window(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    return _sized(arrays, settings, lambda n, k, s, p: (n + 2 * p - k) // s)


@both("output size without the padding", "The padding is missing in the output's size "
      "floor((H + 2 ph - kh) / sh) + 1.")  # fmt: skip
def _size_without_padding(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    return _sized(arrays, settings, lambda n, k, s, p: (n - k) // s + 1)


@both("output size is H / stride", "The output's size is H / sh; it is floor((H + 2 ph - kh) / sh) "
      "+ 1.")  # fmt: skip
def _size_by_stride(arrays: Arrays, settings: Settings) -> tuple[Taps, Array]:
    return _sized(arrays, settings, lambda n, k, s, p: n // s)


# The maxima ---------------------------------------------------------------------------------


def _mean(arrays: Arrays, settings: Settings, divisor: str) -> Array:
    taps = laid_out(arrays, settings, 0)
    seen = np.isfinite(laid_out(arrays, settings).pixels).sum(-1)
    return taps.pixels.sum(-1) / (seen if divisor == "pixels" else taps.pixels.shape[-1])


@mistake("max_pool2d", "y", "mean in place of the maximum", "Each window's mean is taken.")
def _mean_of_pixels(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return _mean(arrays, settings, "pixels")


@mistake("max_pool2d", "y", "mean in place of the maximum", "Each window's mean is taken.")
def _mean_with_padding(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return _mean(arrays, settings, "window")


@mistake("max_pool2d", "y", "sum in place of the maximum", "Each window's sum is taken.")
def _sum(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return laid_out(arrays, settings, 0).pixels.sum(-1)


@mistake("max_pool2d", "y", "absolute value of the pixel farthest from 0",
         "The largest absolute value is returned, not the largest pixel.")  # fmt: skip
def _absolute(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return np.abs(laid_out(arrays, settings, 0).pixels).max(-1)


@mistake("max_pool2d", "y", "maximum begins at 0", "The search for the maximum starts from 0, so "
         "that a window of negative pixels gives 0.")  # fmt: skip
def _begins_at_zero(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return np.maximum(right(arrays, settings), 0)


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


def _wrong_number(call: Call, values: Callable[[Arrays, Settings, float], Array]) -> float | None:
    """Return the one number that stands in y in place of maxima, if it explains every y."""
    cases = [*probes(POOLING), *sized_probes(POOLING)]
    seen = tried(POOLING, call, cases)
    if any(p.got is None or p.got["y"].shape != p.right["y"].value.shape for p in seen):
        return None
    found = {
        float(number)
        for p in seen
        if p.got is not None
        for number in p.got["y"][p.got["y"] != p.right["y"].value]
    }
    if len(found) != 1:
        return None
    number = found.pop()
    for p in seen:
        arrays, settings = POOLING.call_arguments(p.case)
        if p.got is None or not np.array_equal(p.got["y"], values(arrays, settings, number)):
            return None
    return number


def _padded_maxima(arrays: Arrays, settings: Settings, value: float) -> Array:
    return laid_out(arrays, settings, value).pixels.max(-1)


def _started_maxima(arrays: Arrays, settings: Settings, value: float) -> Array:
    return np.maximum(laid_out(arrays, settings).pixels.max(-1), value)


def _padded_with_finite(call: Call) -> bool:
    return _wrong_number(call, _padded_maxima) is not None


def _started_from_finite(call: Call) -> bool:
    return _wrong_number(call, _started_maxima) is not None


for _value in (-9999.0, -1e9):

    @mistake("max_pool2d", "y", "padded with a finite number", "The padding counts as some "
             "negative number, which wins where all pixels are smaller; use -inf.",
             recognise=_padded_with_finite)  # fmt: skip
    def _padded(
        arrays: Arrays, settings: Settings, right: Right, value: float = _value
    ) -> Array:
        return _padded_maxima(arrays, settings, value)

    @mistake("max_pool2d", "y", "maximum begins at a finite number", "The search for the maximum "
             "starts from some negative number, which stays where all pixels are smaller; start "
             "from -inf or the first pixel.", recognise=_started_from_finite)  # fmt: skip
    def _started(
        arrays: Arrays, settings: Settings, right: Right, value: float = _value
    ) -> Array:
        return _started_maxima(arrays, settings, value)


# The switches -------------------------------------------------------------------------------

Encoding = Callable[[Taps, Array, Array, Array], Any]


def encoded(name: str, sentence: str) -> Callable[[Encoding], None]:
    """Register ``wrong(taps, which, rows, columns)``: another number for the right pixel."""

    def register(wrong: Encoding) -> None:
        @mistake("max_pool2d", "switches", name, sentence)
        def _switches(arrays: Arrays, settings: Settings, right: Right) -> Array:
            taps = laid_out(arrays, settings)
            which = taps.pixels.argmax(-1)
            codes: Array = wrong(taps, which, *taps.chosen(which))
            return np.broadcast_to(codes, which.shape).astype(np.int64)

    return register


@encoded("switches count within the window", "A switch is the pixel's place in its window; it is "
         "its place in the whole plane, row W + column.")  # fmt: skip
def _in_window(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return which


@encoded("switches count within the window", "A switch is the pixel's place in its window cut at "
         "the border; it is its place in the whole plane, row W + column.")  # fmt: skip
def _in_cut_window(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    top, left = (np.maximum(starts, 0) for starts in taps.starts)
    right = np.minimum(taps.starts[1] + taps.kernel[1], taps.size[1])
    return (rows - top[:, None]) * (right - left) + columns - left


@encoded("the window's first row and column not added", "A switch is counted from the window's "
         "corner, not from the image's.")  # fmt: skip
def _without_start(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return which // taps.kernel[1] * taps.size[1] + which % taps.kernel[1]


@encoded("the window's first row not added", "The row of a switch is counted from the window's "
         "top, not from the image's.")  # fmt: skip
def _without_row(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return which // taps.kernel[1] * taps.size[1] + columns


@encoded("the window's first column not added", "The column of a switch is counted from the "
         "window's left side, not from the image's.")  # fmt: skip
def _without_column(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return rows * taps.size[1] + which % taps.kernel[1]


@encoded("stride missing in the switches", "A switch is counted from (i, j); window (i, j) begins "
         "at (i sh - ph, j sw - pw).")  # fmt: skip
def _without_stride(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    (kw, w), (ph, pw) = (taps.kernel[1], taps.size[1]), taps.padding
    i, j = np.indices(which.shape[2:])
    return (i + which // kw - ph) * w + j + which % kw - pw


@encoded("switches column by column", "A switch is column H + row; it is row W + column.")
def _columns_first(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return columns * taps.size[0] + rows


@encoded("switches with the height as the row's length", "A switch is row H + column; it is "
         "row W + column.")  # fmt: skip
def _height_as_width(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return rows * taps.size[0] + columns


@encoded("switches with the output's width as the row's length", "A switch is row W' + column; it "
         "is row W + column, with the width of the image that was pooled.")  # fmt: skip
def _output_width(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return rows * which.shape[3] + columns


@encoded("switches with the window's width as the row's length", "A switch is row kw + column; it "
         "is row W + column.")  # fmt: skip
def _window_width(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return rows * taps.kernel[1] + columns


@encoded("switches point into the padded image", "Rows and columns count the padding, too; they "
         "are those of the image.")  # fmt: skip
def _in_padded(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    ph, pw = taps.padding
    return (rows + ph) * (taps.size[1] + 2 * pw) + columns + pw


@encoded("padding not subtracted in the switches", "Rows and columns are counted from the "
         "padding's corner; the image's is (0, 0).")  # fmt: skip
def _padding_not_subtracted(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    ph, pw = taps.padding
    return (rows + ph) * taps.size[1] + columns + pw


@encoded("switches with the padded width as the row's length", "A switch is row (W + 2 pw) + "
         "column; it is row W + column.")  # fmt: skip
def _padded_width(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return rows * (taps.size[1] + 2 * taps.padding[1]) + columns


@encoded("switches count through the whole batch", "A switch is the pixel's place in the whole "
         "array; it is its place in the plane of its image and channel.")  # fmt: skip
def _whole_batch(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    n, c = which.shape[:2]
    planes = np.arange(n * c).reshape(n, c, 1, 1)
    return (planes * taps.size[0] + rows) * taps.size[1] + columns


@encoded("switches count through the channels", "A switch is the pixel's place in its image with "
         "all channels; it is its place in the plane of its channel.")  # fmt: skip
def _whole_image(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    channels = np.arange(which.shape[1]).reshape(-1, 1, 1)
    return (channels * taps.size[0] + rows) * taps.size[1] + columns


@encoded("switches counted from 1", "The first pixel has the number 1; it is 0.")
def _from_one(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return rows * taps.size[1] + columns + 1


@encoded("switches hold the row only", "The column is missing: row W + column.")
def _row_only(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return rows


@encoded("switches hold the column only", "The row is missing: row W + column.")
def _column_only(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return columns


@encoded("switches add row and column", "A switch is row + column; it is row W + column.")
def _row_plus_column(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return rows + columns


@encoded("switches hold the window's number", "A switch is the number of the window; it is the "
         "place of the pixel that won.")  # fmt: skip
def _window_number(taps: Taps, which: Array, rows: Array, columns: Array) -> Array:
    return np.arange(which.shape[2] * which.shape[3]).reshape(which.shape[2:])


@mistake("max_pool2d", "switches", "last maximum in place of the first",
         "Of several maxima the last one is taken (>= in place of >); it is the first, row by "
         "row.")  # fmt: skip
def _last_maximum(arrays: Arrays, settings: Settings, right: Right) -> Array:
    taps = laid_out(arrays, settings)
    last = taps.pixels.shape[-1] - 1 - taps.pixels[..., ::-1].argmax(-1)
    return index(taps, last)


@mistake("max_pool2d", "switches", "first maximum column by column",
         "Of several maxima the first one column by column is taken; it is the first, row by "
         "row.")  # fmt: skip
def _first_by_columns(arrays: Arrays, settings: Settings, right: Right) -> Array:
    taps = laid_out(arrays, settings)
    order = np.arange(taps.pixels.shape[-1]).reshape(taps.kernel).T.ravel()
    return index(taps, order[taps.pixels[..., order].argmax(-1)])


def _by_last_row_or_column(taps: Taps, rows_last: bool, columns_last: bool) -> Array:
    tap = np.arange(taps.pixels.shape[-1]).reshape(taps.kernel)
    order = tap[:: -1 if rows_last else 1, :: -1 if columns_last else 1].ravel()
    return order[taps.pixels[..., order].argmax(-1)]


@mistake("max_pool2d", "switches", "last column of the maxima in a row",
         "Of several maxima in one row the last is taken; it is the first.")  # fmt: skip
def _last_column(arrays: Arrays, settings: Settings, right: Right) -> Array:
    taps = laid_out(arrays, settings)
    return index(taps, _by_last_row_or_column(taps, False, True))


@mistake("max_pool2d", "switches", "last row of the maxima",
         "Of maxima in several rows the last row's is taken; it is the first's.")  # fmt: skip
def _last_row(arrays: Arrays, settings: Settings, right: Right) -> Array:
    taps = laid_out(arrays, settings)
    return index(taps, _by_last_row_or_column(taps, True, False))
