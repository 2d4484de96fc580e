"""Wrong versions of conv_transpose2d."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minideconv.testing.error_kinds import ANY, Fails
from minideconv.testing.geometry import Pair
from minideconv.testing.mistakes.bank import Right, given, mistake, pad, slip
from minideconv.testing.mistakes.conv2d import bias_mistakes, weights_read_the_other_way
from minideconv.testing.mistakes.edges import WRITING, Edge
from minideconv.testing.mistakes.indices import backward_by_x, tables
from minideconv.testing.mistakes.output_sizes import Numbers, size_mistake, swapped_sizes
from minideconv.testing.mistakes.stamping import stamping_mistakes
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

OP = "conv_transpose2d"

stamping_mistakes(OP, "y", "x", outer=1)
bias_mistakes(OP, inner=0)
weights_read_the_other_way(OP, outer=1)


@slip(OP, "y", "output_padding ignored",
      "output_padding makes no difference; it makes the result larger at the bottom and right.",
      )  # fmt: skip
def _ignored(arrays: Arrays, settings: Settings) -> None:
    settings["output_padding"] = (0, 0)


@slip(OP, "y", "output_padding counted twice",
      "Twice output_padding rows and columns are added; output_padding is their number.",
      )  # fmt: skip
def _twice(arrays: Arrays, settings: Settings) -> None:
    settings["output_padding"] = tuple(2 * r for r in settings["output_padding"])


@slip(OP, "y", "output_padding taken as stride - 1",
      "Always stride - 1 rows and columns are added; output_padding is an argument.",
      )  # fmt: skip
def _from_the_stride(arrays: Arrays, settings: Settings) -> None:
    settings["output_padding"] = tuple(s - 1 for s in settings["stride"])


Extra = Callable[[Array, int, int], Array]


def _extra(name: str, sentence: str, change: Extra, *, bias_last: bool = True) -> None:
    """Register a wrong way to make a result without output_padding larger."""

    @mistake(OP, "y", name, sentence)
    def _wrong(arrays: Arrays, settings: Settings, right: Right) -> Array:
        b, plain = arrays["b"], {**arrays, "b": None} if bias_last else arrays
        (rh, rw), size = settings["output_padding"], right(plain, settings).shape[2:]
        y = right(plain, {**settings, "output_padding": (0, 0)})
        y = change(y[:, :, : max(0, size[0] - rh), : max(0, size[1] - rw)], rh, rw)
        return y + b[:, None, None] if bias_last and b is not None else y


_ZEROS = "output_padding appends zeros to the result; what stamps reach there is lost."
_extra("output_padding adds zeros", _ZEROS, lambda y, rh, rw: pad(y, 0, rh, 0, rw))
_extra("output_padding adds zeros", _ZEROS, lambda y, rh, rw: pad(y, 0, rh, 0, rw),
       bias_last=False)  # fmt: skip
_extra("output_padding repeats the last row and column",
       "The last row and column are repeated; the result is larger by what stamps reach there.",
       lambda y, rh, rw: pad(y, 0, rh, 0, rw, "edge"))  # fmt: skip
_extra("output_padding cuts the result", "The result gets smaller; output_padding makes it larger.",
       lambda y, rh, rw: y[:, :, : y.shape[2] - rh, : y.shape[3] - rw])  # fmt: skip
_FRONT = "output_padding is added at the top and left; it is added at the bottom and right."
_extra("output_padding at the top and left", _FRONT, lambda y, rh, rw: pad(y, rh, 0, rw, 0))
_extra("output_padding at the top and left", _FRONT, lambda y, rh, rw: pad(y, rh, 0, rw, 0),
       bias_last=False)  # fmt: skip
_BOTH = "output_padding is added on every side; it is added at the bottom and right."
_extra("output_padding on both sides", _BOTH, lambda y, rh, rw: pad(y, rh, rh, rw, rw))
_extra("output_padding on both sides", _BOTH, lambda y, rh, rw: pad(y, rh, rh, rw, rw),
       bias_last=False)  # fmt: skip


def _on_the_canvas(name: str, sentence: str, front: bool, both: bool) -> None:
    """Register stamps that are moved on a canvas which output_padding made larger."""

    @mistake(OP, "y", name, sentence)
    def _wrong(arrays: Arrays, settings: Settings, right: Right) -> Array:
        b, (ph, pw), (rh, rw) = arrays["b"], settings["padding"], settings["output_padding"]
        plain = {**settings, "output_padding": (0, 0), "padding": (0, 0)}
        canvas = right({**arrays, "b": None}, plain)
        canvas = pad(canvas, rh * front, rh * both, rw * front, rw * both)
        y = canvas[:, :, ph : canvas.shape[2] - ph, pw : canvas.shape[3] - pw]
        return y if b is None else y + b[:, None, None]


_on_the_canvas("output_padding at the top and left", _FRONT, front=True, both=False)
_on_the_canvas("output_padding on both sides", _BOTH, front=True, both=True)


@mistake(OP, "y", "no room for output_padding on the canvas",
         "The canvas ends with the last stamp; it needs output_padding more rows and columns, or "
         "they are missing wherever output_padding > padding.")  # fmt: skip
def _short_canvas(arrays: Arrays, settings: Settings, right: Right) -> Array:
    b, plain = arrays["b"], {**arrays, "b": None}
    size = right(plain, settings).shape[2:]
    canvas = right(plain, {**settings, "padding": (0, 0), "output_padding": (0, 0)})
    ph, pw = settings["padding"]
    y = canvas[:, :, ph : ph + size[0], pw : pw + size[1]]
    return y if b is None else y + b[:, None, None]


PARTS = ("image", "kernel", "stride", "padding", "output_padding", "dilation")


def _numbers(arrays: Arrays, settings: Settings) -> dict[str, Pair]:
    image, kernel = given(arrays, "x").shape[2:], given(arrays, "w").shape[2:]
    return {"image": image, "kernel": kernel} | {name: settings[name] for name in PARTS[2:]}


def _formula(known: Numbers) -> Pair:
    rows, columns = (
        (n - 1) * s - 2 * p + d * (k - 1) + r + 1
        for n, k, s, p, r, d in zip(*(known[name] for name in PARTS), strict=True)
    )
    return rows, columns


def _of_size(arrays: Arrays, settings: Settings, size: Pair, edge: Edge) -> Array:
    """Leave rows and columns out, or add such as the stamps reach."""
    x, w, b = given(arrays, "x"), given(arrays, "w"), arrays["b"]
    where = edge(tables(settings, w.shape[2:], x.shape[2:]), size, settings["padding"])
    y = backward_by_x(x, w, settings["groups"], where, size)
    return y if b is None else y + b[:, None, None]


swapped_sizes(
    OP,
    "y",
    ("image", "kernel", "stride", "padding", "dilation"),
    _numbers,
    _formula,
    _of_size,
    WRITING,
)


def _sized(name: str, sentence: str, size: Callable[..., int]) -> None:
    """Register a wrong formula for the output size."""

    def counts(arrays: Arrays, settings: Settings) -> Pair:
        known = _numbers(arrays, settings)
        rows, columns = (size(*axis) for axis in zip(*(known[name] for name in PARTS), strict=True))
        return rows, columns

    size_mistake(OP, "y", name, sentence, counts, _of_size, WRITING)


_sized("output size taken as size·stride",
       "The result is size·stride; it is (size - 1)·stride - 2 padding + dilation·(k - 1) + "
       "output_padding + 1.", lambda n, k, s, p, r, d: n * s)  # fmt: skip
_sized("output size taken as size·stride",
       "The result is size·stride + output_padding; it is (size - 1)·stride - 2 padding + "
       "dilation·(k - 1) + output_padding + 1.", lambda n, k, s, p, r, d: n * s + r)  # fmt: skip
_sized("padding left out of the output size", "The size has no - 2 padding.",
       lambda n, k, s, p, r, d: (n - 1) * s + d * (k - 1) + 1 + r)  # fmt: skip
_sized("kernel left out of the output size", "The size has no dilation·(k - 1).",
       lambda n, k, s, p, r, d: (n - 1) * s - 2 * p + 1 + r)  # fmt: skip
_sized("dilation left out of the output size", "The size has k - 1 in place of dilation·(k - 1).",
       lambda n, k, s, p, r, d: (n - 1) * s - 2 * p + k + r)  # fmt: skip
_sized("size in place of size - 1 in the output size",
       "The size begins with size·stride; it begins with (size - 1)·stride.",
       lambda n, k, s, p, r, d: n * s - 2 * p + d * (k - 1) + 1 + r)  # fmt: skip
_sized("output size taken from the input", "The result is as large as the input.",
       lambda n, k, s, p, r, d: n)  # fmt: skip


@mistake(OP, "y", "output_padding of stride or more refused",
         "output_padding must be smaller than the larger of stride and dilation, not than the "
         "stride alone.")  # fmt: skip
def _refused(arrays: Arrays, settings: Settings, right: Right) -> Array:
    if any(r >= s for r, s in zip(settings["output_padding"], settings["stride"], strict=True)):
        raise Fails(*ANY)
    return right(arrays, settings)


@mistake(OP, "y", "groups ignored",
         "The result has the channels of one group; it has those of all groups.")  # fmt: skip
def _dense(arrays: Arrays, settings: Settings, right: Right) -> Array:
    inner = given(arrays, "w").shape[1]
    b = None if arrays["b"] is None else arrays["b"][:inner]
    return right({**arrays, "b": b}, {**settings, "groups": 1})


@mistake(OP, "y", "bias added with every stamp",
         "The bias is added each time a stamp is; it is added once to every pixel.")  # fmt: skip
def _bias_in_stamps(arrays: Arrays, settings: Settings, right: Right) -> Array:
    b, plain = arrays["b"], {**arrays, "b": None}
    y = right(plain, settings)
    if b is None:
        return y
    return y + b[:, None, None] * _counts(arrays, settings, right)


@mistake(OP, "y", "bias added only where there are stamps",
         "Pixels that no stamp reaches stay zero; every pixel gets the bias.")  # fmt: skip
def _bias_under_stamps(arrays: Arrays, settings: Settings, right: Right) -> Array:
    b, plain = arrays["b"], {**arrays, "b": None}
    y = right(plain, settings)
    if b is None:
        return y
    return y + b[:, None, None] * (_counts(arrays, settings, right) > 0)


@mistake(OP, "y", "no bias on the rows of output_padding",
         "The bias is added before output_padding makes the result larger; every pixel gets "
         "it.")  # fmt: skip
def _bias_before(arrays: Arrays, settings: Settings, right: Right) -> Array:
    y, b = right({**arrays, "b": None}, settings), arrays["b"]
    if b is not None:
        rh, rw = settings["output_padding"]
        y[:, :, : y.shape[2] - rh, : y.shape[3] - rw] += b[:, None, None]
    return y


def _counts(arrays: Arrays, settings: Settings, right: Right) -> Array:
    """Return how many stamps reach each pixel, (1, 1, H', W')."""
    x, w = given(arrays, "x"), given(arrays, "w")
    ones: Arrays = {"x": np.ones_like(x[:1, :1]), "w": np.ones_like(w[:1, :1]), "b": None}
    return right(ones, {**settings, "groups": 1})
