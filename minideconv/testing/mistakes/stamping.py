"""Mistakes of whatever stamps kernels onto a canvas: conv_transpose2d, and dx of conv2d."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from minideconv.testing.geometry import Pair
from minideconv.testing.mistakes.bank import (
    Mistake,
    Right,
    given,
    pad,
    register,
    right_values,
    vary,
)
from minideconv.testing.mistakes.correlation_groups import kernels_interleaved
from minideconv.testing.mistakes.edges import WRITING, Edge, as_it_is
from minideconv.testing.mistakes.guards import GUARDS, guarded_crops
from minideconv.testing.mistakes.indexing import indexing_mistakes
from minideconv.testing.mistakes.indices import (
    backward_by_x,
    tables,
    write,
)
from minideconv.testing.mistakes.kernels import kernel_slips, zeroed
from minideconv.testing.mistakes.lines import lines_left_out
from minideconv.testing.mistakes.results import layout_twists, scale_twists
from minideconv.testing.mistakes.settings import settings_mistakes
from minideconv.testing.mistakes.square_kernels import square_kernels
from minideconv.testing.mistakes.stamp_groups import stamp_group_mistakes
from minideconv.testing.mistakes.stamp_strides import stamp_stride_mistakes
from minideconv.testing.mistakes.stamps import Parts, Register, Stamps
from minideconv.testing.mistakes.weight_orders import weight_orders
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["stamping_mistakes"]


def stamping_mistakes(operation: str, output: str, role: str, *, outer: int) -> None:
    """Register the mistakes of an output made of stamps, one for each entry of the array `role`.

    `outer` is the axis of the output channels in ``w``.
    """

    def parts(arrays: Arrays, settings: Settings, right: Right) -> Stamps:
        plain = {**arrays, "b": None} if "b" in arrays else arrays
        b, size = arrays.get("b"), right(plain, settings).shape[2:]
        return Stamps(
            given(arrays, role), given(arrays, "w"),
            np.zeros((1, 1, 1)) if b is None else b[:, None, None],
            (size[0], size[1]), settings,
        )  # fmt: skip

    right_one = right_values(operation, output)

    def of_parts(change: Parts, arrays: Arrays, settings: Settings) -> Array:
        stamps = parts(arrays, settings, right_one)
        return change(stamps) + stamps.bias

    def wrong(name: str, sentence: str, *changes: Parts) -> None:
        if role == "dy":  # of conv2d's gradient, which comes before stamps in a course
            name, sentence = (text.replace("stamp", "window") for text in (name, sentence))
        first, *others = (partial(of_parts, change) for change in changes)
        register(Mistake(operation, output, name, sentence, first, variants=tuple(others)))

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
    why = (
        "every stamp is the kernel as it is."
        if role == "x"
        else "dx[...] += dy·w takes it as it is."
    )
    why += f" Only a correlation of {role} with zeros between needs it turned."
    kernel_slips(operation, output, why, outer=outer)
    square_kernels(operation, output, sized=role == "x")
    lines_left_out(operation, output, role)
    layout_twists(operation, output)
    indexing_mistakes(operation, output, loose, writes=True)
    scale_twists(operation, output)

    def cropped(places: Pair, arrays: Arrays, settings: Settings) -> Array:
        """Crop by the padding of the other axis; the slice ends with the canvas."""
        stamps = parts(arrays, settings, right_one)
        (ph, pw), (height, width) = (settings["padding"][k] for k in places), stamps.size
        return stamps.canvas[:, :, ph : ph + height, pw : pw + width] + stamps.bias

    for name, places in (
        ("padding swapped", (1, 0)),
        ("padding[0] used for both axes", (0, 0)),
        ("padding[1] used for both axes", (1, 1)),
    ):
        vary(operation, output, name, partial(cropped, places))
    _overlap_mistakes(wrong)
    _crop_mistakes(wrong)
    stamp_stride_mistakes(role, wrong)
    stamp_group_mistakes(role, wrong)
    kernels_interleaved(operation, output)
    weight_orders(operation, output)


def _overlap_mistakes(wrong: Register) -> None:
    sentence = (
        "Where stamps overlap, the last one overwrites the others (=); they add up (+=). "
        "x[index] += v keeps one of several, too: np.add.at."
    )

    def by_windows(s: Stamps) -> Array:
        return _overwritten(s, "windows")

    def by_taps(s: Stamps) -> Array:
        return _overwritten(s, "taps")

    def last_channel(s: Stamps, order: str) -> Array:
        """Overwrite the stamps of other channels of the source, too."""
        last = np.concatenate(
            [zeroed(w, slice(0, -1)) for w in np.split(s.w, s.settings["groups"])]
        )
        return _overwritten(replace(s, w=last), order)

    wrong("stamps overwritten", sentence, by_windows, by_taps,
          *(partial(last_channel, order=order) for order in ("windows", "taps")))  # fmt: skip

    def averaged(s: Stamps) -> Array:
        count = _count(s)
        return s.stamped() / np.maximum(count, 1)

    wrong("divided by the number of overlapping stamps",
          "The sum of the stamps is divided by how many overlap; it is a sum.",
          averaged)  # fmt: skip

    def inverse(s: Stamps) -> Array:
        units = np.eye(s.source[0].size).reshape(-1, *s.source.shape[1:])
        matrix = s.stamped(source=units).reshape(len(units), -1)  # of conv2d: y = matrix @ x
        result = s.source.reshape(len(s.source), -1) @ np.linalg.pinv(matrix).T
        return result.reshape(len(s.source), -1, *s.size)

    wrong("inverse in place of the transpose",
          "The (pseudo-)inverse of the convolution's matrix is taken; it is the transposed matrix.",
          inverse)  # fmt: skip

    def largest(s: Stamps) -> Array:
        return _overwritten(s, "largest")

    wrong("largest of the overlapping stamps",
          "Where stamps overlap, the largest is kept; they add up.", largest)  # fmt: skip


def _count(s: Stamps) -> Array:
    ones = np.ones((1, 1, *s.source.shape[2:], *s.w.shape[2:]))
    return write(ones, s.where, s.size)


def _overwritten(s: Stamps, order: str) -> Array:
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


def _stamps(s: Stamps) -> Array:
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
    for crop in (
        lambda c, p, n: c[:, :, p[0] : -p[0], p[1] : -p[1]],
        lambda c, p, n: c[:, :, p[0] : -p[0], p[1] : -p[1]] if max(p) else c,
    ):
        cropped("cropped with [p:-p], which is empty without padding",
                "A slice [0:-0] is empty, of one axis, too; cut off [p:p + size].",
                crop)  # fmt: skip
    for words, why, guard in GUARDS:
        for crop in guarded_crops(guard):
            cropped(f"cropped {words}", why, crop)
    cropped("padding added to the result", "Zeros are put around the result; padding cuts it.",
            lambda c, p, n: pad(c, p[0], p[0], p[1], p[1]))  # fmt: skip
