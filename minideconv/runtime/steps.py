"""How the steps of a plan are carried out: `Kernel` for those that write where they are told to.

A step is one of two kinds. A *kernel* reads and writes arrays that are given beforehand, channels
last: convolutions with their packed weights, 2x2 pooling and unpooling. All others are *calls*: a
function of arrays that returns a new one, whatever the engine has for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minideconv import ops
from minideconv.backend.algorithms import compiled, get_algorithm
from minideconv.engine.cpu import pooling
from minideconv.engine.cpu.table import choose
from minideconv.engine.layout import taps_first, with_taps_first
from minideconv.ops.batch_norm import from_running, normalize
from minideconv.ops.conv import conv2d_core, conv_transpose2d_core
from minideconv.ops.im2col import Window, conv_transpose_window, conv_window
from minideconv.ops.pool_window import pool_window
from minideconv.runtime.fusing import CONVOLUTIONS, Step

__all__ = ["Kernel", "call_of", "kernel_of", "pool_window_of"]

Shape = tuple[int, ...]
Run = Callable[[], object]


@dataclass(frozen=True)
class Kernel:
    """A step that writes where it is told to.

    Attributes
    ----------
    algorithm : str
        For people.
    scratch : int
        Numbers of float32 that it needs for itself while it runs.
    bind : callable
        ``bind(x, y, taps, scratch)``, all flat, returns a function without arguments.
    """

    algorithm: str
    scratch: int
    bind: Callable[[Any, Any, Any, Any], Run]


def kernel_of(step: Step, x: Shape, y: Shape, dtype: Any, pooled: Shape | None) -> Kernel | None:
    """Return the kernel of a step, or None if there is none for it here.

    Parameters
    ----------
    step : Step
    x, y : tuple of int
        Shapes of its input and its result.
    dtype
        Of both.
    pooled : tuple of int, optional
        Of an unpooling, the shape of what was pooled.
    """
    if dtype != np.float32 or len(x) != 4 or get_algorithm() == "reference" or 0 in x:
        return None
    if step.name in CONVOLUTIONS and step.constants:
        return _convolution(step, x)
    if step.name == "max_pool2d":
        return _pooling("pool", pool_window_of(step, x), x, y)
    if step.name == "max_unpool2d" and step.pool is not None and pooled is not None:
        return _pooling("scatter", pool_window_of(step, pooled), y, x)
    return None


def _window(step: Step, x: Shape) -> Window:
    weight, o = step.constants["weight"], step.options
    sizes = (step.name, x[2:], weight.shape[2:], o["stride"], o["padding"])
    if step.name == "conv2d":
        return conv_window(*sizes, o["dilation"])
    return conv_transpose_window(*sizes, o["output_padding"], o["dilation"])


def _convolution(step: Step, x: Shape) -> Kernel | None:
    transposed, weight = step.name == "conv_transpose2d", step.constants["weight"]
    if step.options["groups"] != 1 or weight.dtype != np.float32:
        return None
    window, operation = _window(step, x), "input_grad" if transposed else "forward"
    k, c = weight.shape[:2]
    found = choose(operation, window, x[0], c, k, np.dtype(np.float32))
    if found is None or found.frozen is None:
        return None
    bias, low = step.constants["bias"], 0.0 if step.relu else -np.inf
    made = found.frozen(taps_first(weight), bias, window, x[0], transposed, low)
    if made is None:
        return None
    return Kernel(found.name, made.scratch, lambda x, y, _, scratch: made.bind(x, y, scratch))


def pool_window_of(step: Step, x: Shape) -> Window:
    """Return the window of a pooling, or of the pooling of an unpooling, of `x`."""
    assert step.name == "max_pool2d" or step.pool is not None
    options = step.options if step.pool is None else step.pool.options
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    return pool_window("max_pool2d", x[2:], *(options[name] for name in names))


def _pooling(name: str, window: Window, large: Shape, small: Shape) -> Kernel | None:
    if not compiled():
        return None
    n, c, h, w = large
    last = ((n, h, w, c), (n, *small[2:], c))
    if not pooling.bindable(window, c):
        return None

    def bind(x: Any, y: Any, taps: Any, _: Any) -> Run:
        x, y = (x, y) if name == "pool" else (y, x)
        return pooling.bound(name, x.reshape(last[0]), y.reshape(last[1]), taps.reshape(last[1]))

    return Kernel("2x2 windows", 0, bind)


# ---------------------------------------------------------------------------------------------
# Calls


def call_of(step: Step, x: Shape) -> Callable[..., Any] | None:
    """Return a function of arrays that carries out a step; None for one of `OPERATIONS`.

    A pooling whose switches are used returns two results.
    """
    kept = step.constants
    if step.name in CONVOLUTIONS and kept:
        core = conv2d_core if step.name == "conv2d" else conv_transpose2d_core
        groups, bias, window = step.options["groups"], kept["bias"], _window(step, x)
        weight = with_taps_first(kept["weight"]) if groups == 1 else kept["weight"]

        def convolve(x: Any) -> Any:
            y = core(x, weight, bias, window, groups)
            return np.maximum(y, 0, out=y) if step.relu else y

        return convolve
    if step.name == "batch_norm" and kept:
        saved = from_running(kept["mean"], kept["var"], step.options["eps"])
        return lambda x: normalize(x, saved, kept["weight"], kept["bias"], step.relu)
    if step.name == "relu":
        return ops.relu
    if step.name == "max_pool2d":
        wanted = step.pool is not None
        return lambda x: ops.max_pool2d(x, **step.options, return_switches=wanted)
    return None
