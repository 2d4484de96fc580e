"""Section `layers`: every convolution of the paper's network, against cuDNN at the same precision.

All our algorithms take part; "ours" is the fastest, which is what `set_benchmark` makes a program
use, and "table" the one that the table takes without measuring. Theirs is what PyTorch calls,
channels last, in cuDNN's benchmark mode. Both are recorded as graphs, as a training step is: what
is compared is the device's time, not the host's way to a kernel. Results are compared before
anything is timed, on the device: the results of one layer are gigabytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.convolutions import PASSES, torch_calls
from benchmarks.geometries import Geometry
from benchmarks.gpu_device import (
    Row,
    cuda_torch,
    precisions_here,
    recorded,
    recorded_by_torch,
    take_turns,
)
from benchmarks.layers import Layer, distinct, layers_of
from benchmarks.modes import BenchmarkError
from benchmarks.plans import Net
from minideconv.backend import cupy, to_device
from minideconv.backend.precisions import precision
from minideconv.engine.cuda.problem import ConvProblem
from minideconv.engine.cuda.table import Algorithm, candidates
from minideconv.engine.layout import from_channels_last, taps_first, to_channels_last
from minideconv.ops.im2col import conv_window

__all__ = [
    "PER_ROOT",
    "TOLERANCE",
    "agree",
    "as_array",
    "as_graphs",
    "check",
    "drawn_arrays",
    "in_precision",
    "layers",
    "torch_precision",
    "torch_tensors",
]

_DRAWN = 999_983

# of the result's norm; both sides round their factors
TOLERANCE = {"fp32": 2e-5, "tf32": 3e-3, "bf16": 2e-2, "fp16": 3e-3}
PER_ROOT = 1e-7
"""And of it for the root of the number of summands: float32 sums have rounding errors."""


def layers(
    net: Net, precisions: tuple[str, ...], rounds: int, least: float, count: int | None
) -> Iterator[Row]:
    """Measure each distinct layer and pass; at most `count` layers, the others are left out."""
    for chosen in precisions_here(precisions):
        for layer, names in distinct(layers_of(net))[:count]:
            arrays = drawn_arrays(layer)
            theirs = _torch(layer, arrays, chosen)
            for which in PASSES:
                if which == "input gradient" and layer.name == "conv1_1":
                    continue  # the gradient of the photograph is not needed
                ways = _ours(layer, arrays, which, chosen)
                contenders = ways if theirs is None else {**ways, "cudnn": theirs[which]}
                tolerance = TOLERANCE[chosen] + PER_ROOT * _summands(layer, which) ** 0.5
                check(f"{layer.name}, {which}, {chosen}", contenders, tolerance)
                times = take_turns(as_graphs(contenders), rounds, least)
                best = min(ways, key=times.__getitem__)
                yield {
                    "name": ", ".join(names),
                    "pass": which,
                    "shape": str(layer),
                    "precision": chosen,
                    "flop": layer.flop,
                    "fastest": best,
                    "table": next(iter(ways)),
                    "ms": {"ours": times[best], **times},
                }


def as_graphs(contenders: dict[str, Callable[[], Any]]) -> dict[str, Callable[[], Any]]:
    """Return the contenders as graphs."""
    return {
        name: recorded_by_torch(cuda_torch(), call) or call if name == "cudnn" else recorded(call)
        for name, call in contenders.items()
    }


def _summands(layer: Layer, which: str) -> int:
    """Return how many products a number of the result is the sum of."""
    n, _, height, width = layer.y_shape
    if which == "weight gradient":
        return n * height * width
    return layer.kernel**2 * (layer.c_in if which == "forward" else layer.c_out)


def drawn_arrays(layer: Layer | Geometry) -> dict[str, Any]:
    """Return x, dy, w and b on the device, x and dy as (N, C, H, W) views of channels-last memory.

    A prime number of drawn numbers, over and over: to draw all would take longer than to measure.
    """
    drawn = to_device(np.random.default_rng(0).standard_normal(_DRAWN, np.float32), "gpu")

    def numbers(*shape: int) -> Any:
        return cupy().resize(drawn, shape)

    def images(shape: tuple[int, int, int, int]) -> Any:
        n, c, h, w = shape
        return from_channels_last(numbers(n, h, w, c))

    w = numbers(*layer.w_shape) / np.float32(layer.c_in**0.5 * layer.kernel)
    x, dy = images(layer.x_shape), images(layer.y_shape)
    return {"x": x, "dy": dy, "w": w, "b": numbers(layer.c_out)}


def _ours(
    layer: Layer, arrays: dict[str, Any], which: str, chosen: str
) -> dict[str, Callable[[], Any]]:
    """Return our algorithms for a pass by name, the one that the table takes first.

    Each pass of a transposed convolution is one of the convolution that goes the other way.
    """
    x, dy = (to_channels_last(arrays[name]) for name in ("x", "dy"))
    w, bias = taps_first(arrays["w"]), arrays["b"]
    operation = {"forward": "forward", "input gradient": "input_grad"}.get(which, "weight_grad")
    size, c, k = layer.size, layer.c_in, layer.c_out
    if layer.transposed:
        size, c, k, x, dy = layer.out_size, k, c, dy, x
        operation = {"forward": "input_grad", "input_grad": "forward"}.get(operation, operation)
    window = conv_window("conv2d", (size, size), layer.kernel, 1, layer.padding, 1)
    problem = ConvProblem(operation, window, layer.batch, c, k, 1, np.dtype(np.float32), chosen)
    b = bias if which == "forward" else None

    def call(way: Algorithm) -> Callable[[], Any]:
        def run() -> Any:
            with precision(chosen):
                if operation == "weight_grad":
                    return way.weight_grad(x, dy, window, 1).transpose(3, 2, 0, 1)
                if operation == "forward":
                    return from_channels_last(way.forward(x, w, b, window, 1))
                return from_channels_last(way.input_grad(dy, w, b, window, 1))

        return run

    return {way.name: call(way) for way in candidates(problem)}


def _torch(
    layer: Layer, arrays: dict[str, Any], chosen: str
) -> dict[str, Callable[[], Any]] | None:
    """Return PyTorch's three passes, or None where it cannot use this GPU."""
    torch = cuda_torch()
    if torch is None:
        return None
    tensors = torch_tensors(torch, arrays, chosen)
    theirs = torch_calls(layer, *(tensors[name] for name in ("x", "dy", "w", "b")))
    return {which: in_precision(torch, call, chosen) for which, call in theirs.items()}


def torch_tensors(torch: Any, arrays: dict[str, Any], chosen: str) -> dict[str, Any]:
    """Return the arrays as PyTorch's tensors, channels last, in the precision's type."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(chosen, torch.float32)
    found = {}
    for name, array in arrays.items():
        tensor = torch.as_tensor(array, device="cuda").to(dtype)
        is_image = tensor.ndim == 4
        found[name] = tensor.contiguous(memory_format=torch.channels_last) if is_image else tensor
    return found


def in_precision(torch: Any, call: Callable[[], Any], chosen: str) -> Callable[[], Any]:
    """Return PyTorch's `call` so that it multiplies in the precision, without a tape."""

    def run() -> Any:
        torch_precision(torch, chosen)
        with torch.no_grad():
            return call()

    return run


def torch_precision(torch: Any, chosen: str) -> None:
    """Let cuDNN and cuBLAS multiply in the same precision, and try its algorithms."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = chosen == "tf32"


def check(what: str, calls: dict[str, Callable[[], Any]], tolerance: float) -> None:
    """Compare all contenders with cuDNN, or where it is missing with the first of ours."""
    others = dict(calls)
    expected = as_array(others.pop("cudnn" if "cudnn" in others else next(iter(others)))())
    for name, call in others.items():
        agree(f"{what}, {name}", call(), expected, tolerance)


def as_array(result: Any) -> Any:
    """Return a result of ours or of PyTorch's as a float32 array on the device."""
    ours = isinstance(result, cupy().ndarray)
    return result if ours else cupy().asarray(result.detach().float())


def agree(what: str, found: Any, expected: Any, tolerance: float) -> None:
    """Raise BenchmarkError where two results differ: a fast wrong answer is no result."""
    difference = as_array(found).reshape(expected.shape) - expected
    error, size = (float((array * array).sum()) ** 0.5 for array in (difference, expected))
    if not error <= tolerance * size:
        raise BenchmarkError(f"{what}: the results differ by {error / size:.1e} of their norm")
