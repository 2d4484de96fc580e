"""Cornell's minitorch: ``conv2d(input, weight)`` and ``maxpool2d(input, kernel)`` of its Tensors.

    conv2d     input (N, C_in, H, W), weight (C_out, C_in, kh, kw)  ->  (N, C_out, H, W)

Window (i, j) begins at pixel (i, j), and beyond the bottom and the right edge the image is 0: the
result has the image's size. So the kit's padding is half the adapter's (zeros above and to the left
of the image) and half the student's (below and to the right), and what the kit has no name for is
cut off. There is no stride, bias, dilation or group. minitorch computes in float64 whatever it is
given. Of its other functions ``avgpool2d`` is no operation of the kit, and ``conv1d`` is none.
Source: minitorch, minitorch/fast_conv.py and nn.py, module 4.
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
from minideconv.testing.adapters.signature import Function, Functions, Shown, Signature
from minideconv.testing.operations.operation import Array, Arrays, Operation, Settings

__all__ = ["Minitorch"]

_CONV: dict[str, Any] = {"fixed": {"stride": (1, 1), "dilation": (1, 1), "groups": 1}}


class MinitorchArrays(ArrayKind):
    """minitorch's Tensors, in float64."""

    name, type = "minitorch", "a minitorch Tensor"

    def __init__(self) -> None:
        try:
            self.minitorch = importlib.import_module("minitorch")
            self.backend = self.minitorch.SimpleBackend
        except (ImportError, AttributeError) as error:
            raise UsageError(
                f"signature='minitorch' needs minitorch of 2022 or later: {error}"
            ) from None

    def lend(self, array: Array) -> Any:
        return self.minitorch.Tensor.make(
            array.ravel().astype(np.float64), array.shape, backend=self.backend
        )

    def holds(self, value: Any) -> bool:
        return isinstance(value, self.minitorch.Tensor)

    def take(self, value: Any) -> Array:
        storage, shape, strides = value.tuple()
        steps = tuple(int(s) * storage.itemsize for s in strides)
        return np.lib.stride_tricks.as_strided(storage, tuple(map(int, shape)), steps).copy()

    def gradients(
        self, function: Callable[..., Any], inputs: Sequence[Any], cotangent: Any
    ) -> Sequence[Any]:
        for leaf in inputs:
            leaf.requires_grad_(True)
        function(*inputs).backward(cotangent)
        return [leaf.grad for leaf in inputs]


class Minitorch(Signature):
    """minitorch's functions of module 4."""

    name = "minitorch"
    limits: Mapping[str, Limits] = {"conv2d": Limits(**_CONV, without=("b",)),
              "conv2d_backward": Limits(**_CONV, outputs=("dx", "dw"))}  # fmt: skip

    names: Mapping[str, tuple[str, ...]] = {
        "conv2d": ("conv2d",),
        "conv2d_backward": ("autograd",),
    }

    def arrays(self, name: str) -> ArrayKind:
        """Return the library's own arrays, whatever is asked for."""
        return MinitorchArrays()

    def operation(self, name: str, given: Functions) -> Operation:
        """Return the operation; the library computes in float32."""
        return replace(super().operation(name, given), double=False)

    def functions(self, given: Functions, kind: ArrayKind) -> dict[str, Function]:
        """Return conv2d and its backward, which is the library's autograd."""
        own: Any = given["conv2d"]
        if given.get("conv2d_backward", "autograd") != "autograd":
            raise UsageError("minitorch's backward is its autograd: give backward='autograd'")
        forward = over_numpy(own, kind, outputs=("y",))

        def conv2d(x: Array, w: Array, b: None, *, padding: Any, **_: Any) -> Any:
            image = _above(x, padding)
            y = forward(image, w)
            want = (x.shape[0], w.shape[0], *image.shape[2:])
            return _cut(y, x, w, padding).astype(x.dtype) if y.shape == want else y

        def conv2d_backward(dy: Array, x: Array, w: Array, *, padding: Any, **_: Any) -> Any:
            image = _above(x, padding)
            full = np.zeros((dy.shape[0], dy.shape[1], *image.shape[2:]))
            full[:, :, : dy.shape[2], : dy.shape[3]] = dy
            dimage, dw = (
                kind.take(gradient).astype(x.dtype)
                for gradient in kind.gradients(
                    own, [kind.lend(image), kind.lend(w)], kind.lend(full)
                )
            )
            return dimage[:, :, padding[0] :, padding[1] :], dw

        return {"conv2d": conv2d, "conv2d_backward": conv2d_backward}

    def written(
        self, operation: str, given: Functions, arrays: Arrays, settings: Settings, shown: Shown
    ) -> str | None:
        """Return a call as a student would write it."""
        x = arrays["x"]
        assert x is not None
        image = shown(_above(x, settings["padding"]))
        call = f"conv2d(input={image}, weight={shown(arrays['w'])})"
        if arrays.get("dy") is None:
            return call
        return f"{call}.backward({shown(arrays['dy'])}, and 0 where the result is larger)"


def _above(x: Array, padding: tuple[int, int]) -> Array:
    """Return the image with zeros above it and to its left."""
    return np.pad(x, ((0, 0), (0, 0), (padding[0], 0), (padding[1], 0)))


def _cut(y: Array, x: Array, w: Array, padding: tuple[int, int]) -> Array:
    """Return the windows that the kit's padding has."""
    rows, columns = (
        n + 2 * p - k + 1 for n, p, k in zip(x.shape[2:], padding, w.shape[2:], strict=True)
    )
    return y[:, :, :rows, :columns]
