"""Section `layers`: every convolution of the paper's network, against cuDNN at the same precision.

Ours is what the table chooses, and each of its algorithms by itself; theirs is what PyTorch calls,
channels last, in cuDNN's benchmark mode. Results are compared before anything is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.convolutions import PASSES, our_calls, torch_calls
from benchmarks.gpu_device import Row, cuda_torch, take_turns
from benchmarks.layers import Layer, distinct, layers_of
from benchmarks.modes import BenchmarkError
from benchmarks.plans import Net
from minideconv.backend import to_cpu, to_device
from minideconv.engine.layout import from_channels_last
from minideconv.precisions import precision

__all__ = ["TOLERANCE", "agree", "layers", "torch_precision"]

# of the result's norm; both sides round their factors
TOLERANCE = {"fp32": 2e-5, "tf32": 3e-3, "bf16": 2e-2, "fp16": 3e-3}


def layers(
    net: Net, precisions: tuple[str, ...], rounds: int, least: float, count: int | None
) -> Iterator[Row]:
    """Measure each distinct layer and pass; at most `count` layers, the others are left out."""
    for layer, names in distinct(layers_of(net))[:count]:
        arrays = _arrays(layer)
        for chosen in precisions:
            calls = _contenders(layer, arrays, chosen)
            for which in PASSES:
                if which == "input gradient" and layer.name == "conv1_1":
                    continue  # nobody asks for the gradient of the photograph
                turn = {name: call[which] for name, call in calls.items()}
                _check(f"{layer.name}, {which}, {chosen}", turn, TOLERANCE[chosen])
                yield {
                    "name": ", ".join(names),
                    "pass": which,
                    "shape": str(layer),
                    "precision": chosen,
                    "flop": layer.flop,
                    "ms": take_turns(turn, rounds, least),
                }


def _arrays(layer: Layer) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)

    def images(shape: tuple[int, int, int, int]) -> np.ndarray:
        n, c, h, w = shape
        return from_channels_last(rng.standard_normal((n, h, w, c), np.float32))

    w = rng.standard_normal(layer.w_shape, np.float32) / np.float32(layer.c_in**0.5 * layer.kernel)
    bias = rng.standard_normal(layer.c_out, np.float32)
    return {"x": images(layer.x_shape), "dy": images(layer.y_shape), "w": w, "b": bias}


def _contenders(
    layer: Layer, arrays: dict[str, np.ndarray], chosen: str
) -> dict[str, dict[str, Callable[[], Any]]]:
    ours = our_calls(layer, {name: to_device(array, "gpu") for name, array in arrays.items()})

    def in_precision(call: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            with precision(chosen):
                return call()

        return run

    found = {"ours": {which: in_precision(call) for which, call in ours.items()}}
    torch = cuda_torch()
    if torch is not None:
        found["cudnn"] = _torch(torch, layer, arrays, chosen)
    return found


def _torch(
    torch: Any, layer: Layer, arrays: dict[str, np.ndarray], chosen: str
) -> dict[str, Callable[[], Any]]:
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(chosen, torch.float32)
    tensors = {
        name: torch.from_numpy(np.ascontiguousarray(array)).cuda().to(dtype)
        for name, array in arrays.items()
    }
    last = torch.channels_last
    x, dy, w = (tensors[name].contiguous(memory_format=last) for name in ("x", "dy", "w"))
    theirs = torch_calls(layer, x, dy, w, tensors["b"])

    def in_precision(call: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            torch_precision(torch, chosen)
            with torch.no_grad():
                return call()

        return run

    return {which: in_precision(call) for which, call in theirs.items()}


def torch_precision(torch: Any, chosen: str) -> None:
    """Let cuDNN and cuBLAS multiply in the same precision, and try its algorithms."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = chosen == "tf32"


def _check(what: str, calls: dict[str, Callable[[], Any]], tolerance: float) -> None:
    if "cudnn" in calls:
        expected = calls["cudnn"]().float().cpu().numpy()
        agree(f"{what}, against cuDNN", calls["ours"](), expected, tolerance)


def agree(what: str, found: Any, expected: np.ndarray, tolerance: float) -> None:
    """Raise BenchmarkError where two results differ: a fast wrong answer is no result."""
    found = to_cpu(found).reshape(expected.shape)
    error = float(np.linalg.norm((found - expected).ravel()))
    if not error <= tolerance * float(np.linalg.norm(expected.ravel())):
        raise BenchmarkError(f"{what}: the results differ by {error:.1e}")
