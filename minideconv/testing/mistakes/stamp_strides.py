"""Mistakes of stamps with where they lie: zeros between pixels, and the padding around them."""

from __future__ import annotations

from functools import partial

import numpy as np

from minideconv.testing.error_kinds import ANY, INDEX, Fails
from minideconv.testing.mistakes.edges import Edge, as_it_is, strict
from minideconv.testing.mistakes.indices import forward, tables
from minideconv.testing.mistakes.stamps import Register, Stamps
from minideconv.testing.operations.operation import Array, Settings

__all__ = ["stamp_stride_mistakes"]


def stamp_stride_mistakes(role: str, wrong: Register) -> None:
    """Register them for stamps that are scaled by the array `role`."""

    def repeated(s: Stamps) -> Array:
        sh, sw = s.settings["stride"]
        tall = s.source.repeat(sh, axis=2).repeat(sw, axis=3)
        h, w = s.source.shape[2:]
        tall = tall[:, :, : (h - 1) * sh + 1, : (w - 1) * sw + 1]
        close = {**s.settings, "stride": (1, 1)}
        return s.stamped(tables(close, s.w.shape[2:], tall.shape[2:]), source=tall)

    def all_repeated(s: Stamps) -> Array:
        sh, sw = s.settings["stride"]
        tall = s.source.repeat(sh, axis=2).repeat(sw, axis=3)
        close = {**s.settings, "stride": (1, 1)}
        return s.stamped(tables(close, s.w.shape[2:], tall.shape[2:]), source=tall)

    def all_repeated_and_larger(s: Stamps) -> Array:
        sh, sw = s.settings["stride"]
        tall = s.source.repeat(sh, axis=2).repeat(sw, axis=3)
        close = {**s.settings, "stride": (1, 1)}
        return s.stamped(tables(close, s.w.shape[2:], tall.shape[2:]),
                         (s.size[0] + sh - 1, s.size[1] + sw - 1), tall)  # fmt: skip

    for ways in (repeated, all_repeated, all_repeated_and_larger):
        wrong("pixels repeated in place of spaced out",
              "Every pixel serves stride places: repeated, or found by a division by the stride "
              "that leaves a remainder; zeros stand between two pixels.",
              ways)  # fmt: skip

    def wide(s: Stamps, axes: tuple[int, ...], sized: bool) -> Array:
        """Let pixels be stride + 1 apart where the stride is more than 1."""
        old = s.settings["stride"]
        new = tuple(n + (n > 1) * (axis in axes) for axis, n in enumerate(old))
        size = [
            n + (after - before) * (count - 1) * sized
            for n, before, after, count in zip(s.size, old, new, s.source.shape[2:], strict=True)
        ]
        where = tables({**s.settings, "stride": new}, s.w.shape[2:], s.source.shape[2:])
        return s.stamped(where, (size[0], size[1]))

    wrong("stride zeros between two pixels",
          "Where the stride is more than 1, stride zeros are put between two pixels; there are "
          "stride - 1.",
          *(partial(wide, axes=axes, sized=sized)
            for sized in (True, False) for axes in ((0, 1), (0,), (1,))))  # fmt: skip

    def behind(s: Stamps) -> Array:
        rows, columns = s.where
        sh, sw = s.settings["stride"]
        size = s.size[0] + sh - 1, s.size[1] + sw - 1
        return s.stamped((rows + sh - 1, columns + sw - 1), size)

    wrong("zeros put before each pixel",
          "The stride's zeros stand before each pixel, the first one, too; they stand between two.",
          behind)  # fmt: skip
    wrong("zeros put before each pixel",
          "The stride's zeros stand before each pixel, the first one, too; they stand between two.",
          lambda s: behind(s)[:, :, : s.size[0], : s.size[1]])  # fmt: skip

    def after(s: Stamps) -> Array:
        sh, sw = s.settings["stride"]
        return s.stamped(size=(s.size[0] + sh - 1, s.size[1] + sw - 1))

    wrong("zeros put after the last pixel, too",
          "The stride's zeros stand after every pixel, the last one, too; they stand between two.",
          after)  # fmt: skip

    def complement(s: Stamps, spread: bool, empties: bool = False) -> Array:
        """Correlate the stuffed image with the flipped kernel, under another padding."""
        pairs = zip(s.w.shape[2:], s.settings["padding"], s.settings["dilation"], strict=True)
        padding = tuple(p + (d - 1) * (k - 1) if spread else d * (k - 1) - p for k, p, d in pairs)
        size = tuple(
            n + 2 * old - 2 * new
            for n, old, new in zip(s.size, s.settings["padding"], padding, strict=True)
        )
        if min(size) < 1:
            pads = s.settings["padding"]
            if not empties or any(n + 2 * p < 1 for n, p in zip(size, pads, strict=True)):
                raise Fails(*ANY)
            channels = s.w.shape[1] * s.settings["groups"]
            return np.zeros((len(s.source), channels, *(max(0, n) for n in size)))
        where = tables({**s.settings, "padding": padding}, s.w.shape[2:], s.source.shape[2:])
        return s.stamped(where, (size[0], size[1]))

    wrong("padding taken for that of a correlation",
          "The stuffed image is padded by padding; a correlation that does the same needs "
          "dilation·(k - 1) - padding.", lambda s: complement(s, spread=False))  # fmt: skip

    def loosely(s: Stamps, settings: Settings, edge: Edge = as_it_is) -> Array:
        where = tables(settings, s.w.shape[2:], s.source.shape[2:])
        return s.stamped(edge(where, s.size, settings["padding"]))

    def short_canvas(s: Stamps) -> Array:
        """Leave what the short padding does not reach zero; the crop is right."""
        numbers = [s.source.shape[2:], s.w.shape[2:], s.settings["stride"], s.settings["dilation"]]
        full = [(n - 1) * t + 1 + (2 - d) * (k - 1) for n, k, t, d in zip(*numbers, strict=True)]
        if min(full) < 1:
            raise Fails(*ANY)
        ahead = tuple((d - 1) * (k - 1) for k, d in zip(numbers[1], numbers[3], strict=True))
        where = tables({**s.settings, "padding": ahead}, s.w.shape[2:], s.source.shape[2:])
        ph, pw = s.settings["padding"]
        canvas = np.zeros((*s.canvas.shape[:2], s.size[0] + 2 * ph, s.size[1] + 2 * pw))
        part = s.stamped(where, (full[0], full[1]))[:, :, : canvas.shape[2], : canvas.shape[3]]
        canvas[:, :, : part.shape[2], : part.shape[3]] = part
        return canvas[:, :, ph : ph + s.size[0], pw : pw + s.size[1]]

    def ahead(s: Stamps) -> Array:
        padding = tuple(
            p + (d - 1) * (k - 1)
            for k, p, d in zip(
                s.w.shape[2:], s.settings["padding"], s.settings["dilation"], strict=True
            )
        )
        return loosely(s, {**s.settings, "padding": padding})

    smaller = partial(complement, spread=True)
    emptied = partial(complement, spread=True, empties=True)
    both = (short_canvas, ahead)
    first, *others = (smaller, emptied, *both) if role == "x" else both
    wrong("dilation left out of k - 1 - padding",
          "The stuffed image is padded by k - 1 - padding; it takes dilation·(k - 1) - padding.",
          first, *others)  # fmt: skip

    def spaced(s: Stamps, edge: Edge = as_it_is) -> Array:
        return loosely(s, {**s.settings, "dilation": s.settings["stride"]}, edge)

    wrong("taps spaced by the stride",
          "The stride is used inside the stamp, too; there the taps are dilation apart.",
          spaced, partial(spaced, edge=strict))  # fmt: skip

    def from_behind(s: Stamps, axes: tuple[int, ...], lowest: bool) -> Array:
        """Let the sources with negative indices be those at the end."""
        (height, width), source = s.source.shape[2:], s.source
        moved, begin = [], dict(zip((0, 1), s.settings["stride"], strict=True))
        for axis, n in enumerate((height, width)):
            if axis in axes:
                source = np.concatenate([source, source], axis=2 + axis)
            moved.append(n * begin[axis] * (axis in axes))
        rows, columns = tables(s.settings, s.w.shape[2:], source.shape[2:])
        if lowest and any(
            (table - shift - step).max() >= 0 and axis in axes
            for axis, (table, shift, step) in enumerate(
                zip((rows[:1], columns[:1]), moved, s.settings["stride"], strict=True)
            )
        ):
            raise Fails(INDEX)
        return s.stamped((rows - moved[0], columns - moved[1]), source=source)

    wrong("negative sources wrap around",
          "A source with a negative index is taken from the end of the axis; there is none.",
          *(partial(from_behind, axes=axes, lowest=lowest)
            for lowest in (False, True) for axes in ((0, 1), (0,), (1,))))  # fmt: skip

    def reach(s: Stamps) -> tuple[int, int]:
        rows, columns = (
            d * (k - 1) for k, d in zip(s.w.shape[2:], s.settings["dilation"], strict=True)
        )
        return rows, columns

    def within_reach(s: Stamps) -> Array:
        if any(p > r for p, r in zip(s.settings["padding"], reach(s), strict=True)):
            raise Fails(*ANY)
        return s.stamped()

    def reach_at_most(s: Stamps, sized: bool) -> Array:
        padding = tuple(map(min, s.settings["padding"], reach(s)))
        where = tables({**s.settings, "padding": padding}, s.w.shape[2:], s.source.shape[2:])
        size = [
            n + 2 * (old - new) * sized
            for n, old, new in zip(s.size, s.settings["padding"], padding, strict=True)
        ]
        return s.stamped(where, (size[0], size[1]))

    wrong("padding beyond the kernel's reach fails",
          "dilation·(k - 1) - padding may be negative: then the stuffed image is cropped.",
          within_reach)  # fmt: skip
    sizes = (True, False) if role == "x" else (False,)
    wrong("padding beyond the kernel's reach left out",
          "A negative dilation·(k - 1) - padding is taken as 0: then the stuffed image is cropped.",
          *(partial(reach_at_most, sized=sized) for sized in sizes))  # fmt: skip

    def ordinary(s: Stamps) -> Array:
        groups = s.settings["groups"]
        blocks = [part.swapaxes(0, 1) for part in np.split(s.w, groups)]
        w = np.concatenate(blocks)
        count = [
            (n + 2 * p - d * (k - 1) - 1) // t + 1
            for n, k, p, d, t in zip(
                s.source.shape[2:], w.shape[2:],
                *(s.settings[name] for name in ("padding", "dilation", "stride")), strict=True,
            )
        ]  # fmt: skip
        if min(count) < 1:
            raise ValueError("the kernel does not fit")
        return forward(s.source, w, groups, tables(s.settings, w.shape[2:], count))

    wrong("ordinary convolution in place of its transpose",
          "The kernel slides over the image; it is added to a larger canvas.",
          ordinary)  # fmt: skip
