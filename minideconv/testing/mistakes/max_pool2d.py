"""Wrong versions of max_pool2d: settings that are taken for others, so that windows are wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from minideconv.testing.mistakes.bank import Right, given, mistake
from minideconv.testing.mistakes.taps import Taps, both_slips, index, laid_out, spelled_out
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

SETTINGS = ("kernel_size", "stride", "padding")
Change = Callable[[Settings], None]


def windows(name: str, sentence: str, change: Change, parts: str = "") -> None:
    """Register settings taken for others: all through, and in the `parts` of such code alone.

    Code may take them for others where windows begin ("places"), and not in the size of the output,
    or in the size alone ("sizes").
    """

    @both_slips(name, sentence)
    def _all_through(arrays: Arrays, settings: Settings) -> None:
        change(settings)

    if "kernel_size" in name or "padding" in name:
        # Of a window of nothing but padding the switch is the first place, or 0.
        @mistake("max_pool2d", "switches", name, sentence)
        def _first_place(arrays: Arrays, settings: Settings, right: Right) -> Array:
            settings = spelled_out(settings)
            change(settings)
            taps = laid_out(arrays, settings)
            return index(taps, taps.pixels.argmax(-1))

    if "kernel_size" in name and "stride" not in name:
        # A stride that is left out is the kernel's size, before the change or after it.
        @both_slips(name, sentence)
        def _followed(arrays: Arrays, settings: Settings) -> None:
            tiles = settings["stride"] == settings["kernel_size"]
            change(settings)
            settings["stride"] = settings["kernel_size"] if tiles else settings["stride"]

    if "places" in parts:

        @mistake("max_pool2d", "y", name, sentence)
        def _places(arrays: Arrays, settings: Settings, right: Right) -> Array:
            settings = spelled_out(settings)
            return _seen(arrays, settings, changed(settings)).pixels.max(-1)

    if "sizes" in parts:

        @mistake("max_pool2d", "y", name, sentence)
        def _sizes(arrays: Arrays, settings: Settings, right: Right) -> Array:
            settings = spelled_out(settings)
            return _seen(arrays, changed(settings), settings).pixels.max(-1)

    def changed(settings: Settings) -> Settings:
        settings = dict(settings)
        change(settings)
        return settings


def _seen(arrays: Arrays, sizes: Settings, places: Settings) -> Taps:
    """Return what windows of `places` see where `sizes` say how many there are."""
    x, tables = given(arrays, "x"), []
    for axis, n in enumerate(x.shape[2:]):
        k, s, p = (sizes[name][axis] for name in SETTINGS)
        count = max((n + 2 * p - k) // s + 1, 0)
        k, s, p = (places[name][axis] for name in SETTINGS)
        tables.append((np.arange(count) * s - p)[:, None] + np.arange(k))
    return Taps(x, tables[0], tables[1])


# Height and width ---------------------------------------------------------------------------


def _swap(names: tuple[str, ...], settings: Settings) -> None:
    for name in names:
        settings[name] = settings[name][::-1]


def _one(name: str, place: int, settings: Settings) -> None:
    settings[name] = (settings[name][place],) * 2


for _name, _what in (("stride", "The strides"), ("kernel_size", "The window's sides"),
                     ("padding", "The paddings")):  # fmt: skip
    windows(f"{_name} swapped", f"{_what} of height and width are swapped; {_name} is (height, "
            "width).", partial(_swap, (_name,)), "places sizes")  # fmt: skip
    for _place, _axis, _other in ((0, "height", "width"), (1, "width", "height")):
        windows(f"{_name} of the {_axis} used for both axes",
                f"The {_name} of the {_axis} is used for the {_other}, too.",
                partial(_one, _name, _place), "places sizes")  # fmt: skip

for _two in (("kernel_size", "stride"), ("kernel_size", "padding"), ("stride", "padding")):
    windows(f"{_two[0]} and {_two[1]} with height and width swapped",
            f"Height and width of {_two[0]} and of {_two[1]} are swapped.",
            partial(_swap, _two))  # fmt: skip
windows("height and width swapped", "Height and width of kernel_size, stride and padding are "
        "swapped.", partial(_swap, SETTINGS))  # fmt: skip


# One setting for another --------------------------------------------------------------------


def _set(name: str, value: Callable[[Settings], tuple[int, int]], settings: Settings) -> None:
    settings[name] = value(settings)


def _interchanged(settings: Settings) -> None:
    settings["kernel_size"], settings["stride"] = settings["stride"], settings["kernel_size"]


windows("padding ignored", "The image is not padded.",
        partial(_set, "padding", lambda _: (0, 0)))  # fmt: skip


@mistake("max_pool2d", "y", "windows begin at the image's first pixel",
         "Window (0, 0) begins at pixel (0, 0), and all of the padding lies behind the image; it "
         "begins in the padding, at (-ph, -pw).")  # fmt: skip
def _from_first_pixel(arrays: Arrays, settings: Settings, right: Right) -> Array:
    settings = spelled_out(settings)
    return _seen(arrays, settings, {**settings, "padding": (0, 0)}).pixels.max(-1)


windows("stride ignored", "Windows move by one pixel whatever the stride is.",
        partial(_set, "stride", lambda _: (1, 1)), "places")  # fmt: skip
windows("kernel_size taken as the stride", "Windows move by their own size, so that they never "
        "overlap; they move by the stride.",
        partial(_set, "stride", lambda s: s["kernel_size"]), "places sizes")  # fmt: skip
windows("stride taken as the kernel_size", "Windows are as large as the stride.",
        partial(_set, "kernel_size", lambda s: s["stride"]), "places")  # fmt: skip
windows("kernel_size and stride swapped", "The window's size is taken as the stride, and the "
        "stride as its size.", _interchanged)  # fmt: skip


# A stride that is left out ------------------------------------------------------------------


def left_out(name: str, sentence: str, value: Callable[[Settings], tuple[int, int]]) -> None:
    """Register what stride=None is taken for."""

    def taken(arrays: Arrays, settings: Settings) -> Taps:
        settings = {**settings, "stride": settings["stride"] or value(settings)}
        return laid_out(arrays, settings)

    @mistake("max_pool2d", "y", name, sentence)
    def _y(arrays: Arrays, settings: Settings, right: Right) -> Array:
        return taken(arrays, settings).pixels.max(-1)

    @mistake("max_pool2d", "switches", name, sentence)
    def _switches(arrays: Arrays, settings: Settings, right: Right) -> Array:
        taps = taken(arrays, settings)
        return index(taps, taps.pixels.argmax(-1))


for _number in (1, 2):
    left_out(f"stride=None taken as {_number}", f"Without a stride windows move by {_number}; they "
             "move by their own size.",
             lambda _, number=_number: (number, number))  # type: ignore[misc]  # fmt: skip
left_out("stride=None taken as the kernel's height", "Without a stride windows move by their "
         "height along both axes; they move by their own size.",
         lambda s: (s["kernel_size"][0],) * 2)  # fmt: skip
left_out("stride=None taken as the kernel's width", "Without a stride windows move by their "
         "width along both axes; they move by their own size.",
         lambda s: (s["kernel_size"][1],) * 2)  # fmt: skip


# Code that raises ---------------------------------------------------------------------------


def refuses(name: str, sentence: str, what: Callable[[tuple[int, int], Settings], bool]) -> None:
    """Register code that raises for some calls and is right for all others."""
    for output in ("y", "switches"):

        @mistake("max_pool2d", output, name, sentence)
        def _refused(arrays: Arrays, settings: Settings, right: Right) -> Array:
            h, w = given(arrays, "x").shape[2:]
            if what((h, w), spelled_out(settings)):
                raise ValueError("cannot reshape array")
            return right(arrays, settings)


def refuses_none(output: str) -> None:
    """Register code that fails without a stride."""

    @mistake("max_pool2d", output, "stride=None refused", "Without a stride the code fails; "
             "windows move by their own size then.")  # fmt: skip
    def _refused(arrays: Arrays, settings: Settings, right: Right) -> Array:
        if settings["stride"] is None:
            raise TypeError("cannot unpack non-iterable NoneType object")
        return right(arrays, settings)


for _output in ("y", "switches"):
    refuses_none(_output)


def _rest(size: tuple[int, int], settings: Settings) -> bool:
    kernel = settings["kernel_size"]
    return any(n % k for n, k in zip(size, kernel, strict=True))


def _tiles(settings: Settings) -> bool:
    return settings["stride"] == settings["kernel_size"] and settings["padding"] == (0, 0)


refuses("only sizes that are multiples of the kernel", "The image is reshaped into windows, which "
        "fails where its size is no multiple of theirs; what is left over is cut off.",
        lambda size, s: _tiles(s) and _rest(size, s))  # fmt: skip
