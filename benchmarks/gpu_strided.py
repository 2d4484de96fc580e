"""Section `strided`: gradients of convolutions with a stride, by all taps and by phases.

A transposed convolution is the input gradient of the convolution that goes the other way. Which of
the two ways is taken `engine.cuda.traffic` counts; here both are timed, and cuDNN's beside them, so
that a run on a GPU says where the count is wrong. "table" is what it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.geometries import GEOMETRIES, Geometry
from benchmarks.gpu_device import Row, cuda_torch, precisions_here, take_turns
from benchmarks.gpu_layers import (
    PER_ROOT,
    TOLERANCE,
    as_array,
    as_graphs,
    check,
    drawn_arrays,
    in_precision,
    torch_tensors,
)
from minideconv.backend import cupy
from minideconv.backend.precisions import precision
from minideconv.engine.cuda import phases_gemm, traffic
from minideconv.engine.cuda.problem import ConvProblem
from minideconv.engine.cuda.table import Algorithm, candidates
from minideconv.engine.layout import from_channels_last, taps_first, to_channels_last
from minideconv.ops.im2col import conv_window

__all__ = ["SHARED", "STRIDED", "TINY_STRIDED", "strided"]

_MORE = (
    Geometry("4x4 s2", False, 64, 128, 112, 4, 1.0, stride=2, padding=1),
    Geometry("transposed 4x4 s2 g4", True, 64, 64, 56, 4, 1.0, stride=2, padding=1, groups=4),
)
STRIDED = tuple(
    replace(geometry, batch=16)
    for geometry in (*GEOMETRIES, *_MORE)
    if geometry.kernel > geometry.stride > 1
)
TINY_STRIDED = (
    Geometry("tiny 4x4 s2", False, 4, 5, 8, 4, 1.0, stride=2, padding=1, batch=2),
    Geometry("tiny transposed 5x5 s3", True, 4, 6, 3, 5, 1.0, stride=3, padding=1, groups=2),
)

SHARED = "phases_gemm, patches shared"


def strided(
    geometries: Sequence[Geometry], precisions: Sequence[str], rounds: int, least: float
) -> Iterator[Row]:
    """Measure each geometry's gradients in each precision."""
    for chosen in precisions_here(precisions):
        for geometry in geometries:
            arrays = _as_convolution(geometry, drawn_arrays(geometry))
            for which, operation in _passes(geometry).items():
                ways, table = _ours(geometry, arrays, operation, chosen)
                theirs = _cudnn(geometry, arrays, operation, chosen)
                contenders = ways if theirs is None else {**ways, "cudnn": theirs}
                joined = {name: partial(_joined, call) for name, call in contenders.items()}
                terms = geometry.batch * geometry.size**2 * geometry.kernel**2
                tolerance = TOLERANCE[chosen] + PER_ROOT * terms**0.5
                check(f"{geometry.name}, {which}, {chosen}", joined, tolerance)
                times = take_turns(as_graphs(contenders), rounds, least)
                best = min(ways, key=times.__getitem__)
                yield {
                    "name": geometry.name,
                    "pass": which,
                    "shape": str(geometry),
                    "precision": chosen,
                    "fastest": best,
                    "table": table,
                    "ms": {"ours": times[best], **times},
                }


def _passes(geometry: Geometry) -> dict[str, str]:
    """Return the passes that have phases, and what each is of the convolution.

    A transposed convolution goes back with one patch matrix of all taps for both gradients.
    """
    if geometry.transposed:
        return {"forward": "input_grad", "weight gradient": "weight_grad"}
    gradients = {"input gradient": "input_grad", "weight gradient": "weight_grad"}
    return {**gradients, "both gradients": "both"}


def _as_convolution(geometry: Geometry, arrays: dict[str, Any]) -> dict[str, Any]:
    """Return the arrays of the convolution whose gradients are meant: x is the larger image."""
    if not geometry.transposed:
        return arrays
    return {**arrays, "x": arrays["dy"], "dy": arrays["x"]}


def _ours(
    geometry: Geometry, arrays: dict[str, Any], operation: str, chosen: str
) -> tuple[dict[str, Callable[[], list[Any]]], str]:
    """Return our ways by name, and the name of the one that a program takes without measuring."""
    w, groups, kernel = taps_first(arrays["w"]), geometry.groups, geometry.kernel
    x, dy = (to_channels_last(arrays[name]) for name in ("x", "dy"))
    window = conv_window(
        "conv2d", x.shape[1:3], kernel, geometry.stride, geometry.padding, geometry.dilation
    )

    def gradients(way: Algorithm) -> list[Any]:
        found = []
        with precision(chosen):
            if operation != "weight_grad":
                dx = way.input_grad(dy, w, None, window, groups)
                found.append(from_channels_last(dx))
            if operation != "input_grad":
                found.append(way.weight_grad(x, dy, window, groups).transpose(3, 2, 0, 1))
        return found

    def shared() -> list[Any]:
        with precision(chosen):
            dx, dw = phases_gemm.input_and_weight_grad(dy, x, w, window, groups)
        return [from_channels_last(dx), dw.transpose(3, 2, 0, 1)]

    sizes = (geometry.batch, x.shape[3], dy.shape[3], groups, np.dtype(np.float32), chosen)
    is_both = operation == "both"
    problem = ConvProblem("input_grad" if is_both else operation, window, *sizes)
    found = candidates(problem)
    ways = {way.name: partial(gradients, way) for way in found}
    if not is_both:
        return ways, found[0].name
    taken = SHARED if traffic.is_shared(problem) else found[0].name
    return {**ways, SHARED: shared}, taken


def _cudnn(
    geometry: Geometry, arrays: dict[str, Any], operation: str, chosen: str
) -> Callable[[], list[Any]] | None:
    """Return PyTorch's gradients, or None where it cannot use this GPU."""
    torch = cuda_torch()
    if torch is None:
        return None
    tensors = torch_tensors(torch, arrays, chosen)
    x, dy, w = (tensors[name] for name in ("x", "dy", "w"))
    sides = [[side, side] for side in (geometry.stride, geometry.padding, geometry.dilation)]
    mask = [operation != "weight_grad", operation != "input_grad", False]

    def call() -> list[Any]:
        found = torch.ops.aten.convolution_backward(
            dy, x, w, None, *sides, False, [0, 0], geometry.groups, mask
        )
        return [one for one, wanted in zip(found, mask, strict=True) if wanted]

    return in_precision(torch, call, chosen)


def _joined(call: Callable[[], list[Any]]) -> Any:
    """Return all numbers of a call's results in one row."""
    return cupy().concatenate([as_array(one).ravel() for one in call()])
