"""Results of conv2d whose size is wrong, or comes out right by another way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from minideconv.testing.geometry import Pair
from minideconv.testing.mistakes.bank import Right, given, mistake, pad, right_values, vary
from minideconv.testing.mistakes.edges import Edge
from minideconv.testing.mistakes.indices import Tables, tables
from minideconv.testing.mistakes.kernels import zeroed
from minideconv.testing.mistakes.output_sizes import conv_size_mistakes
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["frame_mistakes", "size_mistakes"]

NAMES = ("stride", "padding", "dilation")


def frame_mistakes(operation: str, output: str) -> None:
    """Register results whose size comes out right, or nearly so, by another way."""
    right_one = right_values(operation, output)

    def without_exact(
        axes: Sequence[int], biased: bool, arrays: Arrays, settings: Settings
    ) -> Array:
        """Leave the last window out where it ends with the image: range(0, n - k, s)."""
        b = arrays["b"] if biased else None
        y = right_one({**arrays, "b": None} if biased else arrays, settings)
        numbers = [settings[name] for name in NAMES]
        shapes = given(arrays, "x").shape[2:], given(arrays, "w").shape[2:]
        for axis, (n, k, s, p, d) in enumerate(zip(*shapes, *numbers, strict=True)):
            if axis in axes and (n + 2 * p - d * (k - 1) - 1) % s == 0:
                y = zeroed(y, (slice(None),) * (2 + axis) + (slice(-1, None),))
        return y if b is None else y + b[:, None, None]

    for what, axes in (("row", (0,)), ("column", (1,)), ("row and column", (0, 1))):
        vary(operation, output, f"zeros in the last {what}",
             *(partial(without_exact, axes, biased) for biased in (True, False)))  # fmt: skip

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


def size_mistakes(
    operation: str, output: str, correlated: Callable[[Arrays, Settings, Tables], Array]
) -> None:
    """Register wrong output sizes of conv2d."""

    def result(arrays: Arrays, settings: Settings, counts: Pair, edge: Edge) -> Array:
        where = tables(settings, given(arrays, "w").shape[2:], counts)
        where = edge(where, given(arrays, "x").shape[2:], settings["padding"])
        return correlated(arrays, settings, where)

    def numbers(arrays: Arrays, settings: Settings) -> dict[str, Pair]:
        image, kernel = given(arrays, "x").shape[2:], given(arrays, "w").shape[2:]
        return {"image": image, "kernel": kernel} | {name: settings[name] for name in NAMES}

    conv_size_mistakes(operation, output, numbers, result)

    @mistake(operation, output, "stride left out of the output size",
             "The result has a place for every pixel; there is one for every stride-th.",
             )  # fmt: skip
    def _frame(arrays: Arrays, settings: Settings, right: Right) -> Array:
        y, large = right(arrays, settings), right(arrays, {**settings, "stride": (1, 1)})
        return pad(y, 0, large.shape[2] - y.shape[2], 0, large.shape[3] - y.shape[3])
