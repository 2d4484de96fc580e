"""Stanford CS231n's layers: ``conv_forward_naive(x, w, b, conv_param) -> (out, cache)``.

    conv_forward_naive(x, w, b, {"stride": s, "pad": p})      conv_backward_naive(dout, cache) -> dx, dw, db

One stride and one padding for both axes, no dilation, no groups, always a bias. The assignment
defines the result only where the windows fill the padded image, so only such images are drawn.
Source: CS231n, assignment 2, cs231n/layers.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.testing.adapters.arrays import ArrayKind
from minideconv.testing.adapters.convert import over_numpy
from minideconv.testing.adapters.limits import Limits
from minideconv.testing.adapters.signature import Function, Functions, Shown, Signature, own_names
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["CS231n"]


def _no_remainder(geometry: Any) -> bool:
    return not any(geometry.output_padding)


_CONV: dict[str, Any] = {
    "square": ("stride", "padding"),
    "fixed": {"dilation": (1, 1), "groups": 1},
    "fits": _no_remainder,
}


class CS231n(Signature):
    """The functions of CS231n's assignment 2."""

    name = "cs231n"
    limits = {"conv2d": Limits(**_CONV, always=("b",)), "conv2d_backward": Limits(**_CONV)}

    def functions(self, given: Functions, kind: ArrayKind) -> dict[str, Function]:
        made: dict[str, Function] = {}
        if "conv2d" in given:
            made |= _conv(given, kind)
        return made

    def written(
        self, operation: str, given: Functions, arrays: Arrays, settings: Settings, shown: Shown
    ) -> str | None:
        if operation == "conv2d":
            return _conv_call(given, arrays, settings, shown)
        full = {**arrays, "b": _no_bias(arrays["w"])}
        dout = own_names(given[operation], ("dout",))[0]
        return (
            f"{_title(given[operation])}({dout}={shown(arrays['dy'])}, cache), where cache is that "
            f"of {_conv_call(given, full, settings, shown)}"
        )


def _conv(given: Functions, kind: ArrayKind) -> dict[str, Function]:
    forward = over_numpy(given["conv2d"], kind, outputs=("out", "cache"), opaque=(1,))

    def conv2d(x: Array, w: Array, b: Array, **settings: Any) -> Any:
        return _out(forward(x, w, b, _conv_param(settings)))

    made: dict[str, Function] = {"conv2d": conv2d}
    if "conv2d_backward" in given:
        own = over_numpy(given["conv2d_backward"], kind, outputs=("dx", "dw", "db"))

        def conv2d_backward(dy: Array, x: Array, w: Array, **settings: Any) -> Any:
            result = forward(x, w, _no_bias(w), _conv_param(settings))
            return own(dy, result[1])

        made["conv2d_backward"] = conv2d_backward
    return made


def _conv_param(settings: Settings) -> dict[str, int]:
    return {"stride": settings["stride"][0], "pad": settings["padding"][0]}


def _no_bias(w: Array | None) -> Array:
    assert w is not None
    return np.zeros(w.shape[0], w.dtype)


def _out(result: Any) -> Any:
    """Return the first of (out, cache); what is no such pair is refused by whoever compares."""
    return result[0] if isinstance(result, tuple) and len(result) == 2 else result


def _conv_call(given: Functions, arrays: Arrays, settings: Settings, shown: Shown) -> str:
    names = own_names(given["conv2d"], ("x", "w", "b", "conv_param"))
    words = [f"{n}={shown(arrays[role])}" for n, role in zip(names, "xwb", strict=False)]
    return f"{_title(given['conv2d'])}({', '.join(words)}, {names[3]}={_conv_param(settings)})"


def _title(function: Any) -> str:
    return getattr(function, "__name__", "function")
