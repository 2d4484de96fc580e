"""Mistakes that are made alike in several operations; each operation's file asks for its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from minideconv.testing.mistakes.bank import Mistake, given, register, slip, twist
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = [
    "border_mistakes",
    "interleaved",
    "kernel_misread",
    "kernel_slips",
    "layout_twists",
    "scale_twists",
    "settings_mistakes",
]

Kernel = Callable[[Arrays, Settings], Sequence[int]]
Loose = Callable[[Arrays, Settings, Settings], Array]
"""``loose(arrays, wrong, settings)``: the output with windows placed after the settings `wrong`, of
the size that the right settings give."""
Change = Callable[[Settings, Sequence[int]], None]


def interleaved(channels: int, groups: int) -> Array:
    """Return the channel order in which channel c belongs to group c % groups."""
    return np.arange(channels).reshape(channels // groups, groups).T.ravel()


def kernel_misread(w: Array) -> Array:
    """Read the taps in column order, as if the kernel were stored (kw, kh)."""
    kh, kw = w.shape[2:]
    return w.reshape(*w.shape[:2], kw, kh).swapaxes(2, 3)


# Settings ---------------------------------------------------------------------------------------


_SIZES = ("padding ignored", "padding doubled", "padding halved", "padding one too large")
_ALSO_LOOSE = (
    "padding and dilation interchanged",
    "padding swapped",
    "padding[0] used for both axes",
    "padding[1] used for both axes",
    "padding taken as half the kernel",
)


def settings_mistakes(
    operation: str, output: str, names: Iterable[str], kernel: Kernel, loose: Loose
) -> None:
    """Register what goes wrong with pairs (height, width) and with their meaning.

    Each in two ways: everything follows the wrong settings, or only the place of the windows does.
    """
    for name, sentence, change in _changes(tuple(names)):
        if name == "padding ignored" and operation == "conv_transpose2d":
            continue  # "padding not cropped" is its name there
        _setting(operation, output, name, sentence, change, kernel, loose)


def _setting(
    operation: str,
    output: str,
    name: str,
    sentence: str,
    change: Change,
    kernel: Kernel,
    loose: Loose,
) -> None:
    def changed(arrays: Arrays, settings: Settings) -> tuple[Arrays, Settings]:
        wrong = dict(settings)
        change(wrong, kernel(arrays, settings))
        return arrays, wrong

    def windows_only(arrays: Arrays, settings: Settings) -> Array:
        return loose(arrays, changed(arrays, settings)[1], settings)

    if _size_is_given(operation):
        # The windows have their number: what does not fit falls outside of the image.
        if name not in _SIZES:
            register(Mistake(operation, output, name, sentence, windows_only, changed))
        return

    if name != "padding and dilation interchanged":

        @slip(operation, output, name, sentence)
        def _everywhere(arrays: Arrays, settings: Settings) -> None:
            settings.update(changed(arrays, settings)[1])

    # Read from the unpadded image, windows of a wrong padding are those of a one-sided padding; and
    # output_padding moves no window.
    if not name.startswith(("output_padding", "padding")) or name in _ALSO_LOOSE:
        register(Mistake(operation, output, name, sentence, windows_only))


def _size_is_given(operation: str) -> bool:
    """Whether an argument of the operation has the size of the result, or that of its windows."""
    return operation == "col2im" or operation.endswith("_backward")


def _changes(names: Sequence[str]) -> list[tuple[str, str, Change]]:
    found: list[tuple[str, str, Change]] = []
    for name in names:
        found += [
            (
                f"{name} swapped",
                f"The {name}s of height and width are swapped; {name} is (height, width).",
                partial(_take, name, (1, 0)),
            ),
            (
                f"{name}[0] used for both axes",
                f"The {name} of the height is used for the width, too, which has its own.",
                partial(_take, name, (0, 0)),
            ),
            (
                f"{name}[1] used for both axes",
                f"The {name} of the width is used for the height, too, which has its own.",
                partial(_take, name, (1, 1)),
            ),
        ]
    if "stride" in names:
        found += [
            ("stride ignored", "Windows move by one pixel whatever the stride is.",
             lambda s, _k: s.update(stride=(1, 1))),
            ("stride one too large", "Windows move by stride + 1; the stride is the whole step.",
             lambda s, _k: s.update(stride=_plus(s["stride"], 1))),
            ("stride taken as the kernel's size",
             "Windows are put side by side, a kernel apart; they move by the stride.",
             lambda s, k: s.update(stride=tuple(k))),
        ]  # fmt: skip
    if "dilation" in names:
        found += [
            ("dilation ignored", "The taps stand next to each other; they are dilation apart.",
             lambda s, _k: s.update(dilation=(1, 1))),
            ("dilation one too large",
             "There are dilation zeros between two taps; there are dilation - 1.",
             lambda s, _k: s.update(dilation=_plus(s["dilation"], 1))),
        ]  # fmt: skip
    if "padding" in names:
        found += [
            ("padding ignored", "The image is taken as it is; padding zeros stand on each side.",
             lambda s, _k: s.update(padding=(0, 0))),
            ("padding doubled", "Twice the padding is on each side; padding is that of one side.",
             lambda s, _k: s.update(padding=tuple(2 * p for p in s["padding"]))),
            ("padding halved",
             "The padding is shared out to the two sides; each side gets all of it.",
             lambda s, _k: s.update(padding=tuple(p // 2 for p in s["padding"]))),
            ("padding taken as half the kernel",
             "The padding is kernel // 2 whatever is given; it is an argument.",
             lambda s, k: s.update(padding=tuple(n // 2 for n in k))),
            ("padding one too large", "There is a row and a column of padding too many.",
             lambda s, _k: s.update(padding=_plus(s["padding"], 1))),
        ]  # fmt: skip
    for first, second in (
        ("stride", "padding"),
        ("stride", "dilation"),
        ("padding", "dilation"),
        ("padding", "output_padding"),
    ):
        if first in names and second in names:
            found.append(
                (
                    f"{first} and {second} interchanged",
                    f"The {first} is taken for the {second} and the other way round.",
                    partial(_interchange, first, second),
                )
            )
    return found


def _take(name: str, places: tuple[int, int], settings: Settings, _kernel: Sequence[int]) -> None:
    settings[name] = tuple(settings[name][place] for place in places)


def _interchange(a: str, b: str, settings: Settings, _kernel: Sequence[int]) -> None:
    settings[a], settings[b] = settings[b], settings[a]


def _plus(pair: tuple[int, int], more: int) -> tuple[int, int]:
    return pair[0] + more, pair[1] + more


# Kernels ----------------------------------------------------------------------------------------


def kernel_slips(operation: str, output: str, why_not_flipped: str, *, outer: int = 0) -> None:
    """Register what goes wrong with the order of the weight's numbers.

    `outer` is the axis of the output channels: 0 in conv2d, 1 in conv_transpose2d.
    """
    inner = 1 - outer

    def weight(name: str, sentence: str, change: Callable[[Array], Array]) -> None:
        @slip(operation, output, name, sentence)
        def _changed(arrays: Arrays, settings: Settings) -> None:
            arrays["w"] = change(given(arrays, "w"))

    def by_group(name: str, sentence: str, change: Callable[[Array], Array], axis: int) -> None:
        @slip(operation, output, name, sentence)
        def _changed(arrays: Arrays, settings: Settings) -> None:
            w = given(arrays, "w")
            parts = np.split(w, settings["groups"]) if axis == 0 else [w]
            arrays["w"] = np.concatenate([change(part) for part in parts])

    weight("kernel flipped", f"The kernel is turned by 180 degrees; {why_not_flipped}",
           lambda w: w[:, :, ::-1, ::-1])  # fmt: skip
    weight("kernel flipped upside down",
           "The kernel's rows are read from the last to the first; nothing is flipped.",
           lambda w: w[:, :, ::-1])  # fmt: skip
    weight("kernel flipped left to right",
           "The kernel's columns are read from the last to the first; nothing is flipped.",
           lambda w: w[:, :, :, ::-1])  # fmt: skip
    weight("kernel transposed",
           "Rows and columns of the kernel are interchanged; the kernel is (kh, kw).",
           lambda w: w.swapaxes(2, 3))  # fmt: skip
    weight("kernel read column by column",
           "The taps are read as (kw, kh); they are stored (kh, kw), row by row.",
           kernel_misread)  # fmt: skip
    axes = "(C_out, C_in)" if outer else "(C_in, C_out)"
    must = "(C_in, C_out)" if outer else "(C_out, C_in)"
    for change in (
        lambda w: w.swapaxes(0, 1),
        lambda w: w.reshape(w.shape[1], w.shape[0], *w.shape[2:]).swapaxes(0, 1),
    ):
        weight("weight's channels interchanged",
               f"The weight is read as {axes}; its axes are {must}.", change)  # fmt: skip
    weight("weight read with its channels last",
           "The taps are read in the order (kh, kw, channels); they are stored (channels, kh, kw).",
           lambda w: w.reshape(w.shape[0], *w.shape[2:], w.shape[1]).transpose(0, 3, 1, 2),
           )  # fmt: skip
    weight("input channels in reverse order",
           "The kernel of input channel c meets the last channel but c; it meets channel c.",
           lambda w: np.flip(w, inner))  # fmt: skip
    for name, lost in (
        ("last row of the kernel left out", (slice(None), slice(None), slice(-1, None))),
        ("last column of the kernel left out", (..., slice(-1, None))),
        ("first row of the kernel left out", (slice(None), slice(None), slice(0, 1))),
        ("first column of the kernel left out", (..., slice(0, 1))),
    ):
        weight(name, "The loop over the kernel stops or begins one too early; it visits every tap.",
               partial(_zeroed, place=lost))  # fmt: skip
    weight("last row and column of the kernel left out",
           "The loops over the kernel stop one too early; they visit every tap.",
           lambda w: _zeroed(_zeroed(w, (..., slice(-1, None))),
                             (slice(None), slice(None), slice(-1, None))))  # fmt: skip
    weight("last tap only", "Every tap overwrites the one before (=); they add up (+=).",
           _last_tap)  # fmt: skip
    weight("last row of the kernel only",
           "Every row of taps overwrites the one before (=); they add up (+=).",
           lambda w: _zeroed(w, (slice(None), slice(None), slice(0, -1))))  # fmt: skip
    weight("averaged over the taps", "The sum is divided by kh kw; it is a sum, not a mean.",
           lambda w: w / (w.shape[2] * w.shape[3]))  # fmt: skip

    def along(axis: int, place: slice) -> tuple[slice, ...]:
        return tuple(place if a == axis else slice(None) for a in range(4))

    kinds = ("input", inner), ("output", outer)
    for kind, axis in kinds if output in ("y", "dx") else ():
        summed = (kind == "input") == (output == "y")
        if not summed:
            weight(f"first {kind} channel's kernel used for all",
                   f"One kernel serves every {kind} channel; each has its own.",
                   partial(_repeated, axis=axis))  # fmt: skip
            continue
        by_group(f"last {kind} channel only",
                 f"Every {kind} channel overwrites the one before (=); they add up (+=).",
                 partial(_zeroed, place=along(axis, slice(0, -1))), axis)  # fmt: skip
        by_group(f"first {kind} channel only",
                 f"Only the first {kind} channel counts; the sum runs over all of them.",
                 partial(_zeroed, place=along(axis, slice(1, None))), axis)  # fmt: skip
        by_group(f"averaged over the {kind} channels",
                 f"The sum over the {kind} channels is divided by their number; it is a sum.",
                 partial(_divided, axes=(axis,)), axis)  # fmt: skip
        by_group(f"first {kind} channel's kernel used for all",
                 f"One kernel serves every {kind} channel; each has its own.",
                 partial(_repeated, axis=axis), axis)  # fmt: skip
        by_group("averaged over taps and channels",
                 "The sum is divided by the number of its terms; it is a sum, not a mean.",
                 partial(_divided, axes=(axis, 2, 3)), axis)  # fmt: skip


def _repeated(w: Array, axis: int) -> Array:
    return np.repeat(w.take([0], axis), w.shape[axis], axis)


def _divided(w: Array, axes: tuple[int, ...]) -> Array:
    return w / np.prod([w.shape[axis] for axis in axes])


def _zeroed(w: Array, place: Any) -> Array:
    w = w.copy()
    w[place] = 0
    return w


def _last_tap(w: Array) -> Array:
    last = np.zeros_like(w)
    last[..., -1, -1] = w[..., -1, -1]
    return last


# Borders ----------------------------------------------------------------------------------------

_BORDERS: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ("padded by repeating the border", "edge", {},
     "The border is padded with the nearest pixel; the padding is zeros."),
    ("padded by reflection", "reflect", {},
     "The border is padded with its mirror image, the border pixel itself left out; the padding is "
     "zeros."),
    ("padded by reflection", "symmetric", {},
     "The border is padded with its mirror image; the padding is zeros."),
    ("padded by wrapping around", "wrap", {},
     "The border is padded with the opposite side of the image; the padding is zeros."),
    ("padded with ones", "constant", {"constant_values": 1},
     "The border is padded with ones; the padding is zeros."),
    ("padded with minus infinity", "constant", {"constant_values": -np.inf},
     "The border is padded with -inf, as max pooling has it; the padding is zeros."),
)  # fmt: skip


def _padded_by(shares: tuple[int, int], how: dict[str, Any], x: Array, ph: int, pw: int) -> Array:
    """Pad by so many times the padding at the top and left, and at the bottom and right."""
    before, after = shares
    return np.pad(x, ((0, 0), (0, 0), (before * ph, after * ph), (before * pw, after * pw)), **how)


def border_mistakes(operation: str, output: str, role: str) -> None:
    """Register wrong ways to pad one array, which the operation pads with zeros."""

    def padded(name: str, sentence: str, change: Callable[[Array, int, int], Array]) -> None:
        @slip(operation, output, name, sentence)
        def _padded(arrays: Arrays, settings: Settings) -> None:
            arrays[role] = change(given(arrays, role), *settings["padding"])
            settings["padding"] = (0, 0)

    for name, mode, extra, sentence in _BORDERS:
        padded(name, sentence,
               partial(_padded_by, (1, 1), dict(extra, mode=mode)))  # fmt: skip
    if _size_is_given(operation):
        sides: tuple[tuple[str, tuple[int, int]], ...] = (
            ("twice the padding at the top and left", (2, 0)),
        )
        padded("padding ignored", "Windows begin at the first pixel; they begin in the padding.",
               partial(_padded_by, (0, 2), {}))  # fmt: skip
    else:
        sides = (
            ("padded at the top and left only", (2, 0)),
            ("padding counted once, at the top and left", (1, 0)),
            ("padded at the bottom and right only", (0, 2)),
            ("padding counted once, at the bottom and right", (0, 1)),
        )
    for name, shares in sides:
        padded(name, "The padding is on one side; it goes to both sides of each axis.",
               partial(_padded_by, shares, {}))  # fmt: skip
    padded("image put into [p:-p], which is empty without padding",
           "A slice [0:-0] is empty; put the image into [p:p + size].", _put_between)  # fmt: skip
    if _size_is_given(operation):
        return
    padded("rows not padded", "Only the width is padded; padding is (height, width).",
           lambda x, _ph, pw: np.pad(x, ((0, 0), (0, 0), (0, 0), (pw, pw))))  # fmt: skip
    padded("columns not padded", "Only the height is padded; padding is (height, width).",
           lambda x, ph, _pw: np.pad(x, ((0, 0), (0, 0), (ph, ph), (0, 0))))  # fmt: skip


def _put_between(x: Array, ph: int, pw: int) -> Array:
    """Pad with zeros, but put the image into a slice that is empty where the padding is 0."""
    padded = np.zeros((*x.shape[:2], x.shape[2] + 2 * ph, x.shape[3] + 2 * pw))
    padded[:, :, ph:-ph, pw:-pw] = x
    return padded


# Results ----------------------------------------------------------------------------------------


def scale_twists(operation: str, output: str) -> None:
    """Register a wrong sign and wrong factors."""

    def scaled(name: str, sentence: str, change: Callable[[Array], Array]) -> None:
        @twist(operation, output, name, sentence)
        def _scaled(result: Array, arrays: Arrays, settings: Settings) -> Array:
            return change(result)

    scaled("wrong sign", f"{output} is -1 times what it must be.", lambda y: -y)
    scaled("twice as large", f"{output} is counted twice.", lambda y: 2 * y)
    scaled("half as large", f"{output} is halved; there is no factor 1/2.", lambda y: y / 2)
    scaled("zeros returned", f"{output} is made, but never written to.", np.zeros_like)
    scaled("negative numbers cut off", f"{output} is passed through a ReLU.",
           lambda y: np.maximum(y, 0))  # fmt: skip


def layout_twists(operation: str, output: str) -> None:
    """Register wrong orders of the axes, and of the images, of a result of four axes."""

    def turned(name: str, sentence: str, change: Callable[[Array], Array]) -> None:
        @twist(operation, output, name, sentence)
        def _turned(result: Array, arrays: Arrays, settings: Settings) -> Array:
            return change(result)

    for change in (
        lambda y: y.transpose(1, 0, 2, 3).reshape(y.shape),
        lambda y: y.transpose(1, 2, 3, 0).reshape(y.shape),
        lambda y: y.transpose(2, 3, 1, 0).reshape(y.shape),
        lambda y: y.transpose(0, 2, 3, 1).reshape(y.shape),
        lambda y: y.transpose(1, 0, 2, 3).reshape(y.shape[1], *y.shape[2:], y.shape[0])
        .transpose(3, 0, 1, 2),
    ):  # fmt: skip
        turned("axes mixed up by reshape",
               "The result is reshaped where its axes must be transposed: its numbers are those of "
               "other images and channels.", change)  # fmt: skip
    turned("rows and columns mixed up by reshape",
           "The result is reshaped to (W, H) and turned, which scrambles the pixels.",
           lambda y: y.reshape(*y.shape[:2], y.shape[3], y.shape[2]).swapaxes(2, 3))  # fmt: skip
    turned("rows and columns interchanged", "The result is (N, C, W, H); it must be (N, C, H, W).",
           lambda y: y.swapaxes(2, 3))  # fmt: skip
    turned("channels last", "The result is (N, H, W, C); it must be (N, C, H, W).",
           lambda y: y.transpose(0, 2, 3, 1))  # fmt: skip
    turned("images and channels interchanged", "The result is (C, N, H, W); it must be "
           "(N, C, H, W).", lambda y: y.swapaxes(0, 1))  # fmt: skip
    turned("first image only", "Every image of the batch gets the first one's result.",
           lambda y: np.repeat(y[:1], len(y), axis=0))  # fmt: skip
    turned("last image only", "Every image of the batch gets the last one's result.",
           lambda y: np.repeat(y[-1:], len(y), axis=0))  # fmt: skip
    turned("only the first image computed", "The other images of the batch stay zero.",
           lambda y: np.concatenate([y[:1], np.zeros_like(y[1:])]))  # fmt: skip
    turned("only the first image computed", "The other images of the batch are not returned.",
           lambda y: y[:1])  # fmt: skip
    turned("only the last image computed", "The other images of the batch stay zero.",
           lambda y: np.concatenate([np.zeros_like(y[:-1]), y[-1:]]))  # fmt: skip
    for change in (
        lambda y: np.broadcast_to(y.sum(0), y.shape),
        lambda y: y.sum(0, keepdims=True),
        lambda y: y.sum(0),
    ):
        turned("summed over the batch", "The images are added up; each has a result of its own.",
               change)  # fmt: skip
    turned("averaged over the batch", "The result is divided by the number of images.",
           lambda y: y / len(y))  # fmt: skip
    turned("the channels in reverse order", "The channels come out from the last to the first.",
           lambda y: y[:, ::-1])  # fmt: skip
    turned("upside down", "The rows come out from the last to the first.",
           lambda y: y[:, :, ::-1])  # fmt: skip
    turned("mirrored", "The columns come out from the last to the first.",
           lambda y: y[:, :, :, ::-1])  # fmt: skip
    turned("turned by 180 degrees", "Rows and columns come out from the last to the first.",
           lambda y: y[:, :, ::-1, ::-1])  # fmt: skip
    turned("without its last row and column",
           "The output size is one too small: (n - k) // s + 1 windows fit.",
           lambda y: y[:, :, :-1, :-1])  # fmt: skip
    turned("a row and a column too many",
           "The output size is one too large; the last row and column stay zero.",
           lambda y: np.pad(y, ((0, 0), (0, 0), (0, 1), (0, 1))))  # fmt: skip
    turned("zeros in the last row and column",
           "The loops stop one too early; the last row and column stay zero.",
           lambda y: _zeroed(_zeroed(y, (..., slice(-1, None))),
                             (slice(None), slice(None), slice(-1, None))))  # fmt: skip
