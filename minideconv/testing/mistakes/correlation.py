"""Mistakes of whatever slides a window over an image: conv2d, and dx of conv_transpose2d."""

from __future__ import annotations

import numpy as np

from minideconv.testing.geometry import Pair
from minideconv.testing.mistakes.bank import Right, given, mistake, pad, slip
from minideconv.testing.mistakes.borders import border_mistakes
from minideconv.testing.mistakes.correlation_groups import group_mistakes
from minideconv.testing.mistakes.correlation_sizes import frame_mistakes, size_mistakes
from minideconv.testing.mistakes.correlation_styles import style_mistakes
from minideconv.testing.mistakes.edges import READING, Edge, as_it_is
from minideconv.testing.mistakes.indexing import indexing_mistakes
from minideconv.testing.mistakes.indices import Tables, forward, read, tables
from minideconv.testing.mistakes.kernels import kernel_slips
from minideconv.testing.mistakes.lines import lines_left_out
from minideconv.testing.mistakes.results import layout_twists, scale_twists
from minideconv.testing.mistakes.settings import settings_mistakes
from minideconv.testing.mistakes.square_kernels import square_kernels
from minideconv.testing.mistakes.weight_orders import weight_orders
from minideconv.testing.operations.conv import windows
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["correlation_mistakes"]


def correlation_mistakes(operation: str, output: str, role: str, *, outer: int) -> None:
    """Register the mistakes of an output that correlates the array `role` with ``w``.

    `outer` is the axis of the output channels in ``w``.
    """

    def bias(arrays: Arrays) -> Array:
        b = arrays.get("b")
        return np.zeros((1, 1, 1)) if b is None else b[:, None, None]

    def count(arrays: Arrays, settings: Settings) -> Pair:
        """How many windows there are: of a gradient, what there is to be given one."""
        x, w = given(arrays, role), given(arrays, "w")
        if role == "dy":
            size = given(arrays, "x").shape[2:]
            return size[0], size[1]
        return windows(
            (x.shape[2], x.shape[3]), (w.shape[2], w.shape[3]), settings["stride"],
            settings["padding"], settings["dilation"],
        )  # fmt: skip

    def correlated(arrays: Arrays, settings: Settings, where: Tables) -> Array:
        y = forward(given(arrays, role), given(arrays, "w"), settings["groups"], where)
        return y + bias(arrays)

    def right_tables(arrays: Arrays, settings: Settings) -> Tables:
        return tables(settings, given(arrays, "w").shape[2:], count(arrays, settings))

    def loose(arrays: Arrays, wrong: Settings, settings: Settings, edge: Edge = as_it_is) -> Array:
        where = tables(wrong, given(arrays, "w").shape[2:], count(arrays, settings))
        where = edge(where, given(arrays, role).shape[2:], wrong["padding"])
        return correlated(arrays, settings, where)

    names = ("stride", "padding", "dilation")
    settings_mistakes(
        operation, output, names, lambda a, _s: given(a, "w").shape[2:], loose, READING
    )
    why = "textbook convolution does that, conv2d correlates." if role == "x" else (
        "dx correlates dy with the kernel as it is."
    )  # fmt: skip
    kernel_slips(operation, output, why, outer=outer)
    square_kernels(operation, output, sized=role == "x")
    lines_left_out(operation, output, role)
    border_mistakes(operation, output, role)
    indexing_mistakes(operation, output, loose, writes=False)
    layout_twists(operation, output)
    scale_twists(operation, output)

    @mistake(operation, output, "padding multiplied by the stride",
             "Window i begins at (i - padding)·stride; it begins at i·stride - padding.",
             )  # fmt: skip
    def _scaled_padding(arrays: Arrays, settings: Settings, right: Right) -> Array:
        more = tuple(p * s for p, s in zip(settings["padding"], settings["stride"], strict=True))
        return loose(arrays, {**settings, "padding": more}, settings)

    for places in ("windows", "all"):

        @mistake(operation, output, "taps spaced by the stride",
                 "The stride is used inside the window, too; there the taps are dilation apart.",
                 )  # fmt: skip
        def _spread(
            arrays: Arrays, settings: Settings, right: Right, everything: bool = places == "all"
        ) -> Array:
            wrong = {**settings, "dilation": settings["stride"]}
            return right(arrays, wrong) if everything else loose(arrays, wrong, settings)

    for padded_first in (True, False):

        @slip(operation, output, "stride taken in the image",
              "Every stride-th pixel of the image is kept and the windows move by one; the windows "
              "move by the stride over all pixels.")  # fmt: skip
        def _subsampled(arrays: Arrays, settings: Settings, first: bool = padded_first) -> None:
            x, (ph, pw), (sh, sw) = given(arrays, role), settings["padding"], settings["stride"]
            settings["stride"] = (1, 1)
            if first:
                x, settings["padding"] = pad(x, ph, ph, pw, pw), (0, 0)
            arrays[role] = x[:, :, ::sh, ::sw]

    @mistake(operation, output, "taps repeated in place of spread",
             "Every tap is repeated dilation times; zeros stand between the taps.")  # fmt: skip
    def _thick_kernel(arrays: Arrays, settings: Settings, right: Right) -> Array:
        dh, dw = settings["dilation"]
        w = given(arrays, "w").repeat(dh, axis=2).repeat(dw, axis=3)
        w = w[:, :, : w.shape[2] - dh + 1, : w.shape[3] - dw + 1]
        return right({**arrays, "w": w}, {**settings, "dilation": (1, 1)})

    @mistake(operation, output, "taps repeated in place of spread",
             "Every tap is repeated dilation times; zeros stand between the taps.")  # fmt: skip
    def _thicker_kernel(arrays: Arrays, settings: Settings, right: Right) -> Array:
        dh, dw = settings["dilation"]
        w = given(arrays, "w").repeat(dh, axis=2).repeat(dw, axis=3)
        return right({**arrays, "w": w}, {**settings, "dilation": (1, 1)})

    @mistake(operation, output, "windows over the padding left out",
             "Windows that reach over the border stay zero; they see zeros there.")  # fmt: skip
    def _inner_only(arrays: Arrays, settings: Settings, right: Right) -> Array:
        rows, columns = right_tables(arrays, settings)
        h, w = given(arrays, role).shape[2:]
        inside = [((t >= 0) & (t < n)).all(1) for t, n in ((rows, h), (columns, w))]
        y = right({**arrays, "b": None} if "b" in arrays else arrays, settings)
        return y * (inside[0][:, None] & inside[1]) + bias(arrays)

    @mistake(operation, output, "maximum in place of the sum",
             "The largest product of a window is taken; the products add up.")  # fmt: skip
    def _maximum(arrays: Arrays, settings: Settings, right: Right) -> Array:
        w, groups = given(arrays, "w"), settings["groups"]
        seen = read(given(arrays, role), right_tables(arrays, settings))
        inner, outer = w.shape[1], len(w) // groups
        parts = []
        for k in range(len(w)):
            first = k // outer * inner
            products = seen[:, first : first + inner] * w[k][:, None, None]
            parts.append(products.max((1, 4, 5)))
        return np.stack(parts, 1) + bias(arrays)

    group_mistakes(operation, output, role)
    weight_orders(operation, output)
    if role == "x":
        size_mistakes(operation, output, correlated)
        frame_mistakes(operation, output)
        style_mistakes(operation, output)
