"""Mistakes of whatever slides a window over an image: conv2d, and dx of conv_transpose2d."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minideconv.testing.geometry import Pair
from minideconv.testing.mistakes.bank import Right, given, mistake, pad, slip
from minideconv.testing.mistakes.borders import border_mistakes
from minideconv.testing.mistakes.indices import Tables, forward, interleaved, read, tables
from minideconv.testing.mistakes.kernels import kernel_slips
from minideconv.testing.mistakes.results import layout_twists, scale_twists
from minideconv.testing.mistakes.settings import settings_mistakes
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

    def loose(arrays: Arrays, wrong: Settings, settings: Settings) -> Array:
        where = tables(wrong, given(arrays, "w").shape[2:], count(arrays, settings))
        return correlated(arrays, settings, where)

    names = ("stride", "padding", "dilation")
    settings_mistakes(operation, output, names, lambda a, _s: given(a, "w").shape[2:], loose)
    why = "textbook convolution does that, conv2d correlates." if role == "x" else (
        "dx correlates dy with the kernel as it is."
    )  # fmt: skip
    kernel_slips(operation, output, why, outer=outer)
    border_mistakes(operation, output, role)
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

    _group_mistakes(operation, output, role)
    if role == "x":
        _size_mistakes(operation, output, correlated)
        _frame_mistakes(operation, output)


def _group_mistakes(operation: str, output: str, role: str) -> None:
    ignored = "groups ignored", (
        "Every group sees the channels of the first one; each has channels of its own."
    )  # fmt: skip

    def blocks(name: str, sentence: str, change: Callable[[list[Array]], list[Array]]) -> None:
        @slip(operation, output, name, sentence)
        def _blocks(arrays: Arrays, settings: Settings) -> None:
            parts = np.split(given(arrays, role), settings["groups"], axis=1)
            arrays[role] = np.concatenate(change(parts), axis=1)

    blocks(*ignored, lambda parts: parts[:1] * len(parts))
    blocks("every group sees the last group's channels",
           "Every group sees the channels of the last one; each has channels of its own.",
           lambda parts: parts[-1:] * len(parts))  # fmt: skip
    blocks("every group sees all channels",
           "The channels of all groups are added up; a group sees its own ones only.",
           lambda parts: [sum(parts[1:], parts[0])] * len(parts))  # fmt: skip
    blocks("groups in reverse order", "The first group sees the last one's channels.",
           lambda parts: parts[::-1])  # fmt: skip

    @mistake(operation, output, "every group sees all channels",
             "The kernels are spread over the channels of all groups; a group sees its own ones "
             "only.")  # fmt: skip
    def _spread(arrays: Arrays, settings: Settings, right: Right) -> Array:
        w, groups = given(arrays, "w"), settings["groups"]
        return right({**arrays, "w": w.repeat(groups, axis=1)}, {**settings, "groups": 1})

    @mistake(operation, output, "last group only", "Each group writes to the first one's channels.")
    def _at_the_front(arrays: Arrays, settings: Settings, right: Right) -> Array:
        plain = {**arrays, "b": None} if "b" in arrays else arrays
        y, b = right(plain, settings), arrays.get("b")
        count = y.shape[1] // settings["groups"]
        result = np.zeros_like(y)
        result[:, :count] = y[:, y.shape[1] - count :]
        return result if b is None else result + b[:, None, None]

    @slip(operation, output, "groups interleaved",
          "Input channel c is given to group c % groups; a group's channels are neighbours.",
          )  # fmt: skip
    def _interleaved(arrays: Arrays, settings: Settings) -> None:
        x = given(arrays, role)
        arrays[role] = x[:, interleaved(x.shape[1], settings["groups"])]

    for inputs in (False, True):
        _dealt_out(operation, output, role, inputs=inputs)

    @mistake(operation, output, "the groups' results interleaved",
             "The results of the groups are dealt out in turn; they stand one after the other.",
             )  # fmt: skip
    def _stacked(arrays: Arrays, settings: Settings, right: Right) -> Array:
        y = right(arrays, settings)
        return y[:, interleaved(y.shape[1], settings["groups"])]

    @slip(operation, output, "first group's weights used for all",
          "Every group uses the kernels of the first one; each has its own.")  # fmt: skip
    def _first_weights(arrays: Arrays, settings: Settings) -> None:
        parts = np.split(given(arrays, "w"), settings["groups"])
        arrays["w"] = np.concatenate(parts[:1] * len(parts))

    @slip(operation, output, "first group only", "The other groups' results stay zero.")
    def _first_group(arrays: Arrays, settings: Settings) -> None:
        w = given(arrays, "w")
        arrays["w"] = np.concatenate([w[: len(w) // settings["groups"]],
                                      np.zeros_like(w[len(w) // settings["groups"] :])],
                                     )  # fmt: skip

    @slip(operation, output, "last group only", "Each group overwrites the results of the others.")
    def _last_group(arrays: Arrays, settings: Settings) -> None:
        w = given(arrays, "w")
        last = len(w) - len(w) // settings["groups"]
        arrays["w"] = np.concatenate([np.zeros_like(w[:last]), w[last:]])


def _dealt_out(operation: str, output: str, role: str, *, inputs: bool) -> None:
    """Register output channels dealt out to the groups in turn, with the input channels or not."""

    @mistake(operation, output, "groups interleaved",
             "Channel c is given to group c % groups; a group's channels are neighbours.",
             )  # fmt: skip
    def _outputs_interleaved(arrays: Arrays, settings: Settings, right: Right) -> Array:
        w, x, groups = given(arrays, "w"), given(arrays, role), settings["groups"]
        order = interleaved(len(w), groups)
        turned = {**arrays, "w": w[order]}
        if arrays.get("b") is not None:
            turned["b"] = given(arrays, "b")[order]
        if inputs:
            turned[role] = x[:, interleaved(x.shape[1], groups)]
        y = np.empty_like(result := right(turned, settings))
        y[:, order] = result
        return y


def _frame_mistakes(operation: str, output: str) -> None:
    """Register results whose size comes out right, or nearly so, by another way."""

    def plain(arrays: Arrays) -> tuple[Arrays, Array]:
        b = arrays["b"]
        return {**arrays, "b": None}, np.zeros((1, 1, 1)) if b is None else b[:, None, None]

    @mistake(operation, output, "windows counted from the end",
             "The last window ends at the last pixel; the first one begins at the first.",
             )  # fmt: skip
    def _from_the_end(arrays: Arrays, settings: Settings, right: Right) -> Array:
        sh, sw = settings["stride"]
        y = right(arrays, {**settings, "stride": (1, 1)})
        return y[:, :, ::-1, ::-1][:, :, ::sh, ::sw][:, :, ::-1, ::-1]

    @mistake(operation, output, "padding ignored",
             "The image is taken as it is; padding zeros stand on each side.")  # fmt: skip
    def _unpadded_in_a_frame(arrays: Arrays, settings: Settings, right: Right) -> Array:
        """Leave zeros where windows are missing, so that the size is right."""
        rows, columns = right(arrays, settings).shape[2:]
        y = right(arrays, {**settings, "padding": (0, 0)})
        return pad(y, 0, rows - y.shape[2], 0, columns - y.shape[3])

    @mistake(operation, output, "padding ignored",
             "The image is taken as it is; padding zeros stand on each side.")  # fmt: skip
    def _unpadded_with_bias(arrays: Arrays, settings: Settings, right: Right) -> Array:
        arrays, bias = plain(arrays)
        rows, columns = right(arrays, settings).shape[2:]
        y = right(arrays, {**settings, "padding": (0, 0)})
        return pad(y, 0, rows - y.shape[2], 0, columns - y.shape[3]) + bias

    @mistake(operation, output, "padding added to the result",
             "Zeros are put around the result; they belong around the image.")  # fmt: skip
    def _padded_result(arrays: Arrays, settings: Settings, right: Right) -> Array:
        (ph, pw), (arrays, bias) = settings["padding"], plain(arrays)
        return pad(right(arrays, {**settings, "padding": (0, 0)}), ph, ph, pw, pw) + bias


def _size_mistakes(
    operation: str, output: str, correlated: Callable[[Arrays, Settings, Tables], Array]
) -> None:
    """Register wrong output sizes; what lies outside of the padded image is zero."""

    def sized(name: str, sentence: str, size: Callable[[int, int, int, int, int], int]) -> None:
        @mistake(operation, output, name, sentence)
        def _sized(arrays: Arrays, settings: Settings, right: Right) -> Array:
            x, w = given(arrays, "x"), given(arrays, "w")
            names = ("stride", "padding", "dilation")
            counts = [
                max(size(*numbers), 0)
                for numbers in zip(
                    x.shape[2:], w.shape[2:], *(settings[n] for n in names), strict=True
                )
            ]
            return correlated(arrays, settings, tables(settings, w.shape[2:], counts))

    sized("output size rounded up",
          "A last window hangs over the edge; the size is rounded down.",
          lambda n, k, s, p, d: -(-(n + 2 * p - d * (k - 1) - 1) // s) + 1)  # fmt: skip
    sized("padding left out of the output size",
          "The size is worked out without the padding: (n + 2 padding - k) // s + 1.",
          lambda n, k, s, p, d: (n - d * (k - 1) - 1) // s + 1)  # fmt: skip
    sized("dilation left out of the output size",
          "The size is worked out with k in place of dilation·(k - 1) + 1.",
          lambda n, k, s, p, d: (n + 2 * p - k) // s + 1)  # fmt: skip
    sized("dilated kernel taken as dilation·k",
          "A dilated kernel reaches over dilation·(k - 1) + 1 pixels, not dilation·k.",
          lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1)  # fmt: skip
    sized("1 left out of the dilated kernel's extent",
          "A dilated kernel reaches over dilation·(k - 1) + 1 pixels, not dilation·(k - 1).",
          lambda n, k, s, p, d: (n + 2 * p - d * (k - 1)) // s + 1)  # fmt: skip
    sized("1 added before the division in the output size",
          "The size is (n + 2 padding - k + 1) // s; it is (n + 2 padding - k) // s + 1.",
          lambda n, k, s, p, d: (n + 2 * p - d * (k - 1)) // s)  # fmt: skip
    sized("stride left out of the output size",
          "There is a window for every pixel; there is one for every stride-th.",
          lambda n, k, s, p, d: n + 2 * p - d * (k - 1))  # fmt: skip
    sized("output size taken from the input",
          "The result is as large as the image; its size follows from kernel, stride and padding.",
          lambda n, k, s, p, d: n)  # fmt: skip
    sized("output size divided before 1 is added to the padding",
          "Each part is divided by the stride by itself; the whole of n + 2 padding - k is.",
          lambda n, k, s, p, d: (n - d * (k - 1) - 1) // s + 2 * p // s + 1)  # fmt: skip

    @mistake(operation, output, "stride left out of the output size",
             "The result has a place for every pixel; there is one for every stride-th.",
             )  # fmt: skip
    def _frame(arrays: Arrays, settings: Settings, right: Right) -> Array:
        y, large = right(arrays, settings), right(arrays, {**settings, "stride": (1, 1)})
        return pad(y, 0, large.shape[2] - y.shape[2], 0, large.shape[3] - y.shape[3])

    for other in (0, 1):
        text = ("height", "width")[other]

        @mistake(operation, output, f"both output sizes taken from the {text}",
                 f"Height and width of the result are worked out from the {text}.")  # fmt: skip
        def _square(arrays: Arrays, settings: Settings, right: Right, axis: int = other) -> Array:
            count = right(arrays, settings).shape[2 + axis]
            kernel = given(arrays, "w").shape[2:]
            return correlated(arrays, settings, tables(settings, kernel, (count, count)))
