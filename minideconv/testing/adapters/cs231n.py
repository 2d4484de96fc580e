"""Stanford CS231n's layers: ``conv_forward_naive(x, w, b, conv_param) -> (out, cache)``.

    conv_forward_naive(x, w, b, {"stride", "pad"})
    max_pool_forward_naive(x, {"pool_height", "pool_width", "stride"})
    batchnorm_forward, spatial_batchnorm_forward (x, gamma, beta, bn_param)

and each with its backward, ``conv_backward_naive(dout, cache) -> dx, dw, db``.

One stride and one padding for both axes, no dilation, no groups, always a bias; pooling without
padding and without switches. The assignment defines convolution and pooling only where the windows
fill the padded image, so only such images are drawn. Its running variance is the biased one and its
momentum the weight of the old value, so of batch norm the result is checked, in training and in
evaluation, but not the running statistics. A function with "spatial" in its name is given images
(N, C, H, W), another one of batch norm the matrix (N H W, C).
Source: CS231n, assignment 2, cs231n/layers.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from minideconv.errors import UsageError
from minideconv.testing.adapters.arrays import ArrayKind
from minideconv.testing.adapters.convert import over_numpy
from minideconv.testing.adapters.limits import Limits
from minideconv.testing.adapters.pooled_input import given_the_input
from minideconv.testing.adapters.signature import Function, Functions, Shown, Signature, own_names
from minideconv.testing.faults import StudentFault
from minideconv.testing.operations import OPERATIONS
from minideconv.testing.operations.operation import Array, Arrays, Operation, Settings

__all__ = ["CS231n"]


def _no_remainder(geometry: Any) -> bool:
    return not any(geometry.output_padding)


def _no_pixel_left(geometry: Any) -> bool:
    return not any(geometry.remainder)


def _result_only(geometry: Any) -> bool:
    return geometry.evaluation or not geometry.running


_CONV: dict[str, Any] = {
    "square": ("stride", "padding"),
    "fixed": {"dilation": (1, 1), "groups": 1},
    "fits": _no_remainder,
}
_POOL: dict[str, Any] = {
    "square": ("stride",),
    "fixed": {"padding": (0, 0), "default_stride": False},
    "fits": _no_pixel_left,
}
BACKWARD = "_backward"


class CS231n(Signature):
    """The functions of CS231n's assignment 2."""

    name = "cs231n"
    limits: Mapping[str, Limits] = {
        "conv2d": Limits(**_CONV, always=("b",)),
        "conv2d_backward": Limits(**_CONV),
        "max_pool2d": Limits(**_POOL, outputs=("y",)),
        "max_pool2d_backward": Limits(**_POOL),
        "batch_norm": Limits(outputs=("y",), fits=_result_only),
        "batch_norm_backward": Limits(),
    }

    names: Mapping[str, tuple[str, ...]] = {
        "conv2d": ("conv_forward_naive",),
        "conv2d_backward": ("conv_backward_naive",),
        "max_pool2d": ("max_pool_forward_naive",),
        "max_pool2d_backward": ("max_pool_backward_naive",),
        "batch_norm": ("spatial_batchnorm_forward", "batchnorm_forward"),
        "batch_norm_backward": ("spatial_batchnorm_backward", "batchnorm_backward"),
    }

    def operation(self, name: str, given: Functions) -> Operation:
        """Return the operation; that of a pooling's backward is given the input."""
        made = replace(OPERATIONS[name], again=name.endswith(BACKWARD))
        return given_the_input(made) if name == "max_pool2d_backward" else made

    def functions(self, given: Functions, kind: ArrayKind) -> dict[str, Function]:
        """Return the operations; each backward is given the cache of its forward."""
        made: dict[str, Function] = {}
        for name in dict.fromkeys(name.removesuffix(BACKWARD) for name in given):
            forward, backward = given.get(name), given.get(name + BACKWARD)
            if not callable(forward) or not (backward is None or callable(backward)):
                raise UsageError(
                    f"signature='cs231n' needs the forward of {name} and, to check it, its "
                    "backward as functions: the backward is given the forward's cache"
                )
            own = over_numpy(forward, kind, outputs=("out", "cache"), opaque=(1,))
            own_backward = backward and over_numpy(backward, kind, outputs=GRADIENTS[name])
            made |= MAKE[name](own, own_backward, "spatial" in _title(forward))
        return made

    def written(
        self, operation: str, given: Functions, arrays: Arrays, settings: Settings, shown: Shown
    ) -> str | None:
        """Return a call as a student would write it."""
        name = operation.removesuffix(BACKWARD)
        if name == "conv2d" and operation != name:
            arrays = {**arrays, "b": _no_bias(arrays["w"])}
        usual, roles, parameters = CALLS[name]
        names = own_names(given[name], usual)
        words = [f"{n}={shown(arrays[role])}" for n, role in zip(names, roles, strict=False)]
        words.append(f"{names[len(roles)]}={parameters(settings)}")
        call = f"{_title(given[name])}({', '.join(words)})"
        if operation == name:
            return call
        dout = own_names(given[operation], ("dout",))[0]
        return (
            f"{_title(given[operation])}({dout}={shown(arrays['dy'])}, cache), where cache is that "
            f"of {call}"
        )


def _conv(own: Function, own_backward: Function | None, _: bool) -> dict[str, Function]:
    def conv2d(x: Array, w: Array, b: Array, **settings: Any) -> Any:
        return _out(own(x, w, b, _conv_param(settings)))

    def conv2d_backward(dy: Array, x: Array, w: Array, **settings: Any) -> Any:
        assert own_backward is not None
        cache = _cache(own(x, w, _no_bias(w), _conv_param(settings)))
        return _gradients(own_backward, dy, cache, settings)

    return {"conv2d": conv2d, "conv2d_backward": conv2d_backward}


def _pool(own: Function, own_backward: Function | None, _: bool) -> dict[str, Function]:
    def max_pool2d(x: Array, **settings: Any) -> Any:
        return _out(own(x, _pool_param(settings)))

    def max_pool2d_backward(dy: Array, x: Array, **settings: Any) -> Any:
        assert own_backward is not None
        return _gradients(own_backward, dy, _cache(own(x, _pool_param(settings))), settings)

    return {"max_pool2d": max_pool2d, "max_pool2d_backward": max_pool2d_backward}


def _norm(own: Function, own_backward: Function | None, spatial: bool) -> dict[str, Function]:
    def batch_norm(
        x: Array, weight: Array, bias: Array, mean: Array, var: Array, **settings: Any
    ) -> Any:
        param = {**_bn_param(settings), "momentum": 1 - settings["momentum"],
                 "running_mean": mean.copy(), "running_var": var.copy()}  # fmt: skip
        result = own(x if spatial else _matrix(x), weight, bias, param)
        if not isinstance(result, tuple) or len(result) != 2:
            return result
        return (result[0] if spatial else _images(result[0], x.shape)), (result[1], x.shape)

    def batch_norm_backward(dy: Array, cache: Any) -> Any:
        assert own_backward is not None
        inner, shape = cache
        result = own_backward(dy if spatial else _matrix(dy), inner)
        if spatial or not isinstance(result, tuple) or len(result) != 3:
            return result
        return (_images(result[0], shape), *result[1:])

    return {"batch_norm": batch_norm, "batch_norm_backward": batch_norm_backward}


def _matrix(x: Array) -> Array:
    """Return (N, C, H, W) as (N H W, C)."""
    return x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])


def _images(y: Any, shape: tuple[int, ...]) -> Any:
    """Return the reverse of `_matrix`; a wrong result as it is."""
    n, c, h, w = shape
    if getattr(y, "shape", None) != (n * h * w, c):
        return y
    return y.reshape(n, h, w, c).transpose(0, 3, 1, 2)


def _conv_param(settings: Settings) -> dict[str, Any]:
    return {"stride": settings["stride"][0], "pad": settings["padding"][0]}


def _pool_param(settings: Settings) -> dict[str, Any]:
    height, width = settings["kernel_size"]
    return {"pool_height": height, "pool_width": width, "stride": settings["stride"][0]}


def _bn_param(settings: Settings) -> dict[str, Any]:
    return {"mode": "train" if settings["training"] else "test", "eps": settings["eps"]}


def _no_bias(w: Array | None) -> Array:
    assert w is not None
    return np.zeros(w.shape[0], w.dtype)


def _out(result: Any) -> Any:
    """Return the first of (out, cache); what is no such pair is refused by whoever compares."""
    return result[0] if isinstance(result, tuple) and len(result) == 2 else result


def _gradients(backward: Function, dy: Array, cache: Any, settings: Settings) -> Any:
    """Call a backward, or the second time with its cache (`Operation.again`)."""
    if settings.get("again"):
        backward(dy.copy(), cache)
    return backward(dy, cache)


def _cache(result: Any) -> Any:
    if not isinstance(result, tuple) or len(result) != 2:
        raise StudentFault("returned", "the forward must return (out, cache)")
    return result[1]


def _title(function: Any) -> str:
    return getattr(function, "__name__", "function")


GRADIENTS = {
    "conv2d": ("dx", "dw", "db"),
    "max_pool2d": ("dx",),
    "batch_norm": ("dx", "dgamma", "dbeta"),
}
MAKE = {"conv2d": _conv, "max_pool2d": _pool, "batch_norm": _norm}
CALLS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Callable[[Settings], dict[str, Any]]]] = {
    "conv2d": (("x", "w", "b", "conv_param"), ("x", "w", "b"), _conv_param),
    "max_pool2d": (("x", "pool_param"), ("x",), _pool_param),
    "batch_norm": (("x", "gamma", "beta", "bn_param"), ("x", "weight", "bias"), _bn_param),
}
"""Of each forward: its arguments, the roles of its arrays, and its dictionary."""
