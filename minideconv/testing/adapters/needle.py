"""CMU 10-714's needle: ``conv(a, b, stride=1, padding=1)`` of needle's Tensors.

    a (N, H, W, C_in), b (K, K, C_in, C_out)  ->  (N, H', W', C_out)

Square kernels, one stride and one padding for both axes, no bias, no dilation, no groups. needle
computes in float32, which holds the integers of the kit's cases exactly; so a float64 case is
computed in float32 and compared by ``==`` all the same. The backward is the gradient of the
student's operation, through ``Tensor.backward``: ``backward="autograd"``.
Source: CMU 10-714, homework 4, python/needle/ops and tests/hw4/test_conv.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minideconv.errors import UsageError
from minideconv.testing.adapters.arrays import ArrayKind
from minideconv.testing.adapters.convert import over_numpy
from minideconv.testing.adapters.limits import Limits
from minideconv.testing.adapters.signature import Function, Functions, Shown, Signature, own_names
from minideconv.testing.operations.operation import Array, Arrays, Operation, Settings

__all__ = ["Needle"]

_LIMITS: dict[str, Any] = {
    "square": ("kernel", "stride", "padding"),
    "fixed": {"dilation": (1, 1), "groups": 1},
}


class NeedleArrays(ArrayKind):
    """needle's Tensors, in float32."""

    name, type = "needle", "a needle Tensor"

    def __init__(self) -> None:
        try:
            self.needle = importlib.import_module("needle")
        except ImportError as error:
            raise UsageError(f"signature='needle' needs needle to be imported: {error}") from None

    def lend(self, array: Array) -> Any:
        return self.needle.Tensor(np.ascontiguousarray(array, np.float32))

    def holds(self, value: Any) -> bool:
        return isinstance(value, self.needle.Tensor)

    def take(self, value: Any) -> Array:
        return np.asarray(value.numpy())

    def gradients(
        self, function: Callable[..., Any], inputs: Sequence[Any], cotangent: Any
    ) -> Sequence[Any]:
        function(*inputs).backward(cotangent)
        return [leaf.grad for leaf in inputs]


class Needle(Signature):
    """needle's operations."""

    name = "needle"
    limits: Mapping[str, Limits] = {"conv2d": Limits(**_LIMITS, without=("b",)),
              "conv2d_backward": Limits(**_LIMITS, outputs=("dx", "dw"))}  # fmt: skip

    names: Mapping[str, tuple[str, ...]] = {
        "conv2d": ("conv",),
        "conv2d_backward": ("autograd",),
    }

    def arrays(self, name: str) -> ArrayKind:
        """Return the library's own arrays, whatever is asked for."""
        return NeedleArrays()

    def operation(self, name: str, given: Functions) -> Operation:
        """Return the operation; the library computes in float32."""
        return replace(super().operation(name, given), double=False)

    def functions(self, given: Functions, kind: ArrayKind) -> dict[str, Function]:
        """Return conv2d and its backward, which is the library's autograd."""
        own: Any = given["conv2d"]
        if given.get("conv2d_backward", "autograd") != "autograd":
            raise UsageError(
                "needle's gradient is a method of its operation: give backward='autograd'"
            )
        forward = over_numpy(own, kind, outputs=("y",))

        def conv2d(x: Array, w: Array, b: None, **settings: Any) -> Any:
            y = forward(*_images_last(x, w), settings["stride"][0], settings["padding"][0])
            return y.transpose(0, 3, 1, 2).astype(x.dtype) if _four(y) else y

        def conv2d_backward(dy: Array, x: Array, w: Array, **settings: Any) -> Any:
            a, b = (kind.lend(array) for array in _images_last(x, w))
            da, db = (
                kind.take(gradient).astype(x.dtype)
                for gradient in kind.gradients(
                    lambda a, b: own(a, b, settings["stride"][0], settings["padding"][0]),
                    [a, b],
                    kind.lend(dy.transpose(0, 2, 3, 1)),
                )
            )
            return (da.transpose(0, 3, 1, 2) if _four(da) else da,
                    db.transpose(3, 2, 0, 1) if _four(db) else db)  # fmt: skip

        return {"conv2d": conv2d, "conv2d_backward": conv2d_backward}

    def written(
        self, operation: str, given: Functions, arrays: Arrays, settings: Settings, shown: Shown
    ) -> str | None:
        """Return a call as a student would write it."""
        x, w = arrays["x"], arrays["w"]
        assert x is not None
        assert w is not None
        names = own_names(given["conv2d"], ("a", "b", "stride", "padding"))
        values = [*map(shown, _images_last(x, w)), settings["stride"][0], settings["padding"][0]]
        words = ", ".join(f"{n}={value}" for n, value in zip(names, values, strict=True))
        call = f"{getattr(given['conv2d'], '__name__', 'conv')}({words})"
        if arrays.get("dy") is None:
            return call
        return f"{call}.backward({shown(np.asarray(arrays['dy']).transpose(0, 2, 3, 1))})"


def _images_last(x: Array, w: Array) -> tuple[Array, Array]:
    """Return x as (N, H, W, C) and w as (kh, kw, C_in, C_out)."""
    return x.transpose(0, 2, 3, 1), w.transpose(2, 3, 1, 0)


def _four(array: Any) -> bool:
    return getattr(array, "ndim", 0) == 4
