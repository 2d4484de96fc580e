"""Mistakes of whatever stamps kernels onto a canvas: conv_transpose2d, and dx of conv2d."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minideconv.testing.geometry import Pair
from minideconv.testing.mistakes.bank import Right, given, mistake, pad
from minideconv.testing.mistakes.edges import WRITING, Edge, as_it_is
from minideconv.testing.mistakes.indexing import indexing_mistakes
from minideconv.testing.mistakes.indices import (
    Tables,
    backward_by_x,
    forward,
    interleaved,
    tables,
    write,
)
from minideconv.testing.mistakes.kernels import kernel_slips
from minideconv.testing.mistakes.lines import lines_left_out
from minideconv.testing.mistakes.results import layout_twists, scale_twists
from minideconv.testing.mistakes.settings import settings_mistakes
from minideconv.testing.mistakes.square_kernels import square_kernels
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["stamping_mistakes"]


@dataclass
class _Stamps:
    """The parts of one call, by what they are to the canvas.

    ``source`` (N, K, H', W') holds the factor of each stamp, ``w`` (K, C / groups, kh, kw) the
    stamps, ``size`` is that of the result, after the crop.
    """

    source: Array
    w: Array
    bias: Array
    size: Pair
    settings: Settings

    @property
    def where(self) -> Tables:
        return tables(self.settings, self.w.shape[2:], self.source.shape[2:])

    def stamped(
        self, where: Tables | None = None, size: Pair | None = None, source: Array | None = None
    ) -> Array:
        """Return the result, or that of other tables, another size, another source; no bias."""
        return backward_by_x(
            self.source if source is None else source, self.w, self.settings["groups"],
            where or self.where, size or self.size,
        )  # fmt: skip

    @property
    def canvas(self) -> Array:
        """The canvas before its crop."""
        (ph, pw), (rows, columns) = self.settings["padding"], self.where
        height, width = self.size
        return self.stamped((rows + ph, columns + pw), (height + 2 * ph, width + 2 * pw))


Parts = Callable[[_Stamps], Array]


def stamping_mistakes(operation: str, output: str, role: str, *, outer: int) -> None:
    """Register the mistakes of an output made of stamps, one for each entry of the array `role`.

    `outer` is the axis of the output channels in ``w``.
    """

    def parts(arrays: Arrays, settings: Settings, right: Right) -> _Stamps:
        plain = {**arrays, "b": None} if "b" in arrays else arrays
        b, size = arrays.get("b"), right(plain, settings).shape[2:]
        return _Stamps(
            given(arrays, role), given(arrays, "w"),
            np.zeros((1, 1, 1)) if b is None else b[:, None, None],
            (size[0], size[1]), settings,
        )  # fmt: skip

    def wrong(name: str, sentence: str, change: Parts) -> None:
        @mistake(operation, output, name, sentence)
        def _wrong(arrays: Arrays, settings: Settings, right: Right) -> Array:
            stamps = parts(arrays, settings, right)
            return change(stamps) + stamps.bias

    def size(arrays: Arrays, settings: Settings) -> Pair:
        x, w = given(arrays, role), given(arrays, "w")
        if role == "dy":
            rows, columns = given(arrays, "x").shape[2:]
        else:
            rows, columns = (
                (n - 1) * s + d * (k - 1) + 1 - 2 * p + r
                for n, k, s, d, p, r in zip(
                    x.shape[2:], w.shape[2:],
                    *(settings[n] for n in ("stride", "dilation", "padding", "output_padding")),
                    strict=True,
                )
            )  # fmt: skip
        return rows, columns

    def loose(arrays: Arrays, other: Settings, settings: Settings, edge: Edge = as_it_is) -> Array:
        source, w, b = given(arrays, role), given(arrays, "w"), arrays.get("b")
        where, shape = tables(other, w.shape[2:], source.shape[2:]), size(arrays, settings)
        where = edge(where, shape, other["padding"])
        y = backward_by_x(source, w, settings["groups"], where, shape)
        return y if b is None else y + b[:, None, None]

    names = ["stride", "padding", "dilation"] + ["output_padding"] * (role == "x")
    settings_mistakes(
        operation, output, names, lambda a, _s: given(a, "w").shape[2:], loose, WRITING
    )
    why = "every stamp is the kernel as it is." if role == "x" else (
        "dx[...] += dy·w takes it as it is: only a correlation of dy needs it flipped."
    )  # fmt: skip
    kernel_slips(operation, output, why, outer=outer)
    square_kernels(operation, output, sized=role == "x")
    lines_left_out(operation, output, role)
    layout_twists(operation, output)
    indexing_mistakes(operation, output, loose, writes=True)
    scale_twists(operation, output)
    _overlap_mistakes(wrong)
    _crop_mistakes(wrong)
    _stride_mistakes(wrong)
    _group_mistakes(operation, output, role, wrong)


Register = Callable[[str, str, Parts], None]


def _overlap_mistakes(wrong: Register) -> None:
    sentence = "Where stamps overlap, the last one overwrites the others (=); they add up (+=)."

    def by_windows(s: _Stamps) -> Array:
        return _overwritten(s, "windows")

    def by_taps(s: _Stamps) -> Array:
        return _overwritten(s, "taps")

    wrong("stamps overwritten", sentence, by_windows)
    wrong("stamps overwritten", sentence, by_taps)

    def averaged(s: _Stamps) -> Array:
        count = _count(s)
        return s.stamped() / np.maximum(count, 1)

    wrong("divided by the number of overlapping stamps",
          "The sum of the stamps is divided by how many overlap; it is a sum.",
          averaged)  # fmt: skip

    def inverse(s: _Stamps) -> Array:
        units = np.eye(s.source[0].size).reshape(-1, *s.source.shape[1:])
        matrix = s.stamped(source=units).reshape(len(units), -1)  # of conv2d: y = matrix @ x
        result = s.source.reshape(len(s.source), -1) @ np.linalg.pinv(matrix).T
        return result.reshape(len(s.source), -1, *s.size)

    wrong("inverse in place of the transpose",
          "The (pseudo-)inverse of the convolution's matrix is taken; it is the transposed matrix.",
          inverse)  # fmt: skip

    def largest(s: _Stamps) -> Array:
        return _overwritten(s, "largest")

    wrong("largest of the overlapping stamps",
          "Where stamps overlap, the largest is kept; they add up.", largest)  # fmt: skip


def _count(s: _Stamps) -> Array:
    ones = np.ones((1, 1, *s.source.shape[2:], *s.w.shape[2:]))
    return write(ones, s.where, s.size)


def _overwritten(s: _Stamps, order: str) -> Array:
    """Write stamps (summed over their channels) one after the other."""
    rows, columns = s.where
    kh, kw = s.w.shape[2:]
    height, width = s.source.shape[2:]
    channels = s.w.shape[1] * s.settings["groups"]
    y = np.zeros((len(s.source), channels, *s.size))
    touched = np.zeros(s.size, bool)
    windows = [(i, j) for i in range(height) for j in range(width)]
    taps = [(a, e) for a in range(kh) for e in range(kw)]
    visits = [(t, w) for t in taps for w in windows] if order == "taps" else [
        (t, w) for w in windows for t in taps
    ]  # fmt: skip
    stamps = _stamps(s)
    for (a, e), (i, j) in visits:
        r, c = rows[i, a], columns[j, e]
        if 0 <= r < s.size[0] and 0 <= c < s.size[1]:
            new = stamps[:, :, i, j, a, e]
            if order == "largest" and touched[r, c]:
                new = np.maximum(new, y[:, :, r, c])
            y[:, :, r, c], touched[r, c] = new, True
    return y


def _stamps(s: _Stamps) -> Array:
    """Return every entry of every stamp: (N, C, H', W', kh, kw)."""
    kh, kw = s.w.shape[2:]
    height, width = s.source.shape[2:]
    apart = tables({"stride": (kh, kw), "padding": (0, 0), "dilation": (1, 1)}, (kh, kw),
                   (height, width))  # fmt: skip
    flat = s.stamped(apart, (height * kh, width * kw))
    n, c = flat.shape[:2]
    return flat.reshape(n, c, height, kh, width, kw).transpose(0, 1, 2, 4, 3, 5)


def _crop_mistakes(wrong: Register) -> None:
    def cropped(name: str, sentence: str, change: Callable[[Array, Pair, Pair], Array]) -> None:
        wrong(name, sentence, lambda s: change(s.canvas, s.settings["padding"], s.size))

    cropped("padding not cropped", "The whole canvas is returned; padding is cut off its edges.",
            lambda c, p, n: c)  # fmt: skip
    top = "The padding is cut off at the top and left; it is cut off on every side."
    bottom = "The padding is cut off at the bottom and right; it is cut off on every side."
    cropped("cropped at the top and left only", top, lambda c, p, n: c[:, :, p[0] :, p[1] :])
    cropped("twice the padding cropped at the top and left", top,
            lambda c, p, n: c[:, :, 2 * p[0] :, 2 * p[1] :])  # fmt: skip
    cropped("cropped at the bottom and right only", bottom,
            lambda c, p, n: c[:, :, : n[0] + p[0], : n[1] + p[1]])  # fmt: skip
    cropped("cropped at the bottom and right only", bottom,
            lambda c, p, n: c[:, :, : n[0], : n[1]])  # fmt: skip
    cropped("rows not cropped", "Only columns are cut off; padding is (height, width).",
            lambda c, p, n: c[:, :, :, p[1] : p[1] + n[1]])  # fmt: skip
    cropped("columns not cropped", "Only rows are cut off; padding is (height, width).",
            lambda c, p, n: c[:, :, p[0] : p[0] + n[0]])  # fmt: skip
    cropped("cropped with [p:-p], which is empty without padding",
            "A slice [0:-0] is empty; cut off [p:p + size].",
            lambda c, p, n: c[:, :, p[0] : -p[0], p[1] : -p[1]])  # fmt: skip
    cropped("padding added to the result", "Zeros are put around the result; padding cuts it.",
            lambda c, p, n: pad(c, p[0], p[0], p[1], p[1]))  # fmt: skip


def _stride_mistakes(wrong: Register) -> None:
    def repeated(s: _Stamps) -> Array:
        sh, sw = s.settings["stride"]
        tall = s.source.repeat(sh, axis=2).repeat(sw, axis=3)
        h, w = s.source.shape[2:]
        tall = tall[:, :, : (h - 1) * sh + 1, : (w - 1) * sw + 1]
        close = {**s.settings, "stride": (1, 1)}
        return s.stamped(tables(close, s.w.shape[2:], tall.shape[2:]), source=tall)

    def all_repeated(s: _Stamps) -> Array:
        sh, sw = s.settings["stride"]
        tall = s.source.repeat(sh, axis=2).repeat(sw, axis=3)
        close = {**s.settings, "stride": (1, 1)}
        return s.stamped(tables(close, s.w.shape[2:], tall.shape[2:]), source=tall)

    def all_repeated_and_larger(s: _Stamps) -> Array:
        sh, sw = s.settings["stride"]
        tall = s.source.repeat(sh, axis=2).repeat(sw, axis=3)
        close = {**s.settings, "stride": (1, 1)}
        return s.stamped(tables(close, s.w.shape[2:], tall.shape[2:]),
                         (s.size[0] + sh - 1, s.size[1] + sw - 1), tall)  # fmt: skip

    for ways in (repeated, all_repeated, all_repeated_and_larger):
        wrong("pixels repeated in place of spaced out",
              "The stride repeats every pixel (nearest neighbour); zeros stand between them.",
              ways)  # fmt: skip

    def behind(s: _Stamps) -> Array:
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

    def after(s: _Stamps) -> Array:
        sh, sw = s.settings["stride"]
        return s.stamped(size=(s.size[0] + sh - 1, s.size[1] + sw - 1))

    wrong("zeros put after the last pixel, too",
          "The stride's zeros stand after every pixel, the last one, too; they stand between two.",
          after)  # fmt: skip

    def complement(s: _Stamps, spread: bool) -> Array:
        """Correlate the stuffed image with the flipped kernel, under another padding."""
        pairs = zip(s.w.shape[2:], s.settings["padding"], s.settings["dilation"], strict=True)
        padding = tuple(p + (d - 1) * (k - 1) if spread else d * (k - 1) - p for k, p, d in pairs)
        size = tuple(
            n + 2 * old - 2 * new
            for n, old, new in zip(s.size, s.settings["padding"], padding, strict=True)
        )
        if min(size) < 1:
            raise ValueError("nothing is left")
        where = tables({**s.settings, "padding": padding}, s.w.shape[2:], s.source.shape[2:])
        return s.stamped(where, (size[0], size[1]))

    wrong("padding taken for that of a correlation",
          "The stuffed image is padded by padding; a correlation that does the same needs "
          "dilation·(k - 1) - padding.", lambda s: complement(s, spread=False))  # fmt: skip
    wrong("dilation left out of k - 1 - padding",
          "The stuffed image is padded by k - 1 - padding; it takes dilation·(k - 1) - padding.",
          lambda s: complement(s, spread=True))  # fmt: skip

    def ordinary(s: _Stamps) -> Array:
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
          "The kernel slides over the image; it is stamped onto a larger canvas.",
          ordinary)  # fmt: skip


def _group_mistakes(operation: str, output: str, role: str, wrong: Register) -> None:
    def split(s: _Stamps) -> tuple[list[Array], list[Array]]:
        groups = s.settings["groups"]
        return np.split(s.source, groups, axis=1), np.split(s.w, groups)

    def blocks(s: _Stamps, sources: list[Array], weights: list[Array]) -> Array:
        changed = _Stamps(np.concatenate(sources, axis=1), np.concatenate(weights), s.bias, s.size,
                          s.settings)  # fmt: skip
        return changed.stamped()

    def first_everywhere(s: _Stamps) -> Array:
        sources, weights = split(s)
        return blocks(s, sources[:1] * len(sources), weights[:1] * len(weights))

    def first_sources(s: _Stamps) -> Array:
        sources, weights = split(s)
        return blocks(s, sources[:1] * len(sources), weights)

    def first_weights(s: _Stamps) -> Array:
        sources, weights = split(s)
        return blocks(s, sources, weights[:1] * len(weights))

    def summed(s: _Stamps) -> Array:
        y = s.stamped()
        groups = s.settings["groups"]
        return np.concatenate([sum(np.split(y, groups, axis=1))] * groups, axis=1)

    def first_only(s: _Stamps) -> Array:
        y = s.stamped()
        y[:, s.w.shape[1] :] = 0
        return y

    def last_only(s: _Stamps) -> Array:
        y = s.stamped()
        y[:, : -s.w.shape[1]] = 0
        return y

    def gathered_in_the_first(s: _Stamps) -> Array:
        y = summed(s)
        y[:, s.w.shape[1] :] = 0
        return y

    def interleaved_sources(s: _Stamps) -> Array:
        order = interleaved(s.source.shape[1], s.settings["groups"])
        return s.stamped(source=s.source[:, order])

    def interleaved_with_weights(s: _Stamps) -> Array:
        order = interleaved(s.source.shape[1], s.settings["groups"])
        changed = _Stamps(s.source[:, order], s.w[order], s.bias, s.size, s.settings)
        return changed.stamped()

    def interleaved_everywhere(s: _Stamps) -> Array:
        y = interleaved_with_weights(s)
        result = np.empty_like(y)
        result[:, interleaved(y.shape[1], s.settings["groups"])] = y
        return result

    def interleaved_result(s: _Stamps) -> Array:
        y = s.stamped()
        return y[:, interleaved(y.shape[1], s.settings["groups"])]

    def interleaved_back(s: _Stamps) -> Array:
        y = s.stamped()
        result = np.empty_like(y)
        result[:, interleaved(y.shape[1], s.settings["groups"])] = y
        return result

    def reversed_sources(s: _Stamps) -> Array:
        sources, weights = split(s)
        return blocks(s, sources[::-1], weights)

    def dense(s: _Stamps) -> Array:
        return backward_by_x(s.source, s.w, 1, s.where, s.size)

    if role == "dy":
        wrong("groups ignored", "The gradient has the channels of one group only.", dense)
    ignored = "Every group gets what the first one gets; each has channels of its own."
    for change in (first_everywhere, first_sources, gathered_in_the_first):
        wrong("groups ignored", ignored, change)
    wrong("the groups' results added up",
          "The results of the groups are added up; they stand one after the other.",
          summed)  # fmt: skip
    wrong("first group's weights used for all",
          "Every group uses the kernels of the first one; each has its own.",
          first_weights)  # fmt: skip
    wrong("first group only", "The other groups' results stay zero.", first_only)
    wrong("last group only", "Each group overwrites the results of the others.", last_only)
    for change in (interleaved_sources, interleaved_with_weights, interleaved_everywhere):
        wrong("groups interleaved",
              "Channel c is given to group c % groups; a group's channels are neighbours.",
              change)  # fmt: skip
    for change in (interleaved_result, interleaved_back):
        wrong("the groups' results interleaved",
              "The results of the groups are dealt out in turn; they stand one after the other.",
              change)  # fmt: skip
    wrong("groups in reverse order", "The first group is given the last one's channels.",
          reversed_sources)  # fmt: skip
