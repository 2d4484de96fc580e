"""The GPU: what it is, its clock, and section `rates`: how fast it multiplies and moves bytes.

Contenders take turns in one process, A B A B; a turn is as many calls as fill the least time,
between two synchronisations of the device, and the median of the turns is kept. Both libraries'
cost of asking for work is so contained in a turn as it is in a training run.
"""

from __future__ import annotations

import datetime
import gc
import importlib.metadata
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import minideconv
from minideconv.backend import cupy, gpu_problem, to_device
from minideconv.engine.cuda import memory
from minideconv.engine.cuda.blas import gemm
from minideconv.engine.cuda.capability import NEEDED, capability
from minideconv.engine.cuda.graph import Recorder
from minideconv.errors import UsageError

__all__ = [
    "Row",
    "cuda_torch",
    "describe",
    "free_memory",
    "precisions_here",
    "rates",
    "recorded",
    "recorded_by_torch",
    "take_turns",
    "the_gpu",
]

Row = dict[str, Any]
Contenders = Mapping[str, Callable[[], Any]]


def the_gpu() -> Any:
    """Return CuPy, or raise UsageError where there is no GPU."""
    problem = gpu_problem()
    if problem is not None:
        raise UsageError(f"this measures a GPU: {problem}")
    return cupy()


def cuda_torch() -> Any | None:
    """Return PyTorch if it can use this GPU."""
    try:
        import torch

        if not torch.cuda.is_available():
            return None
        torch.ones(1, device="cuda").add_(1)  # a build without code for this GPU fails here
    except (ImportError, OSError, RuntimeError):  # OSError: a library of it does not load
        return None
    return torch


def recorded(call: Callable[[], Any]) -> Callable[[], Any]:
    """Return `call`, which has been called before, as a recorded graph: the device's time alone."""
    stream = the_gpu().cuda.Stream(non_blocking=True)
    the_gpu().cuda.runtime.deviceSynchronize()
    with stream:
        graph = Recorder().record(call)

    def replay() -> None:
        with stream:
            graph()

    return replay


def recorded_by_torch(torch: Any, call: Callable[[], Any]) -> Callable[[], Any] | None:
    """Do the same with a call of PyTorch's; None, with a word, if that cannot be recorded."""
    side, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    try:
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # as PyTorch asks for before a capture
            for _ in range(2):
                call()
        torch.cuda.current_stream().wait_stream(side)
        with torch.cuda.graph(graph, stream=side):
            call()
    except RuntimeError as error:
        print(f"  PyTorch cannot record this here: {str(error).partition(chr(10))[0]}", flush=True)
        return None
    replay: Callable[[], Any] = graph.replay
    return replay


def free_memory() -> None:
    """Give back what neither library uses: each takes what the other leaves."""
    gc.collect()
    memory.release()
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        sys.modules["torch"].cuda.empty_cache()


def precisions_here(names: Sequence[str]) -> list[str]:
    """Return those of the precisions that this GPU has."""
    return [name for name in names if NEEDED.get(name, 0) <= capability()]


def describe() -> dict[str, Any]:
    """Return the device, the date, and the versions of everything that computes on it."""
    cp, torch = the_gpu(), cuda_torch()
    properties = cp.cuda.runtime.getDeviceProperties(0)
    found = {
        "date": datetime.date.today().isoformat(),
        "device": properties["name"].decode(),
        "compute_capability": f"{properties['major']}.{properties['minor']}",
        "multiprocessors": properties["multiProcessorCount"],
        "memory_gib": round(properties["totalGlobalMem"] / 2**30, 1),
        "driver": _version(cp.cuda.runtime.driverGetVersion()),
        "runtime": _version(cp.cuda.runtime.runtimeGetVersion()),
        "minideconv": minideconv.__version__,
        "numpy": np.__version__,
        "cupy": cp.__version__,
        "torch": "without this GPU" if torch is None else torch.__version__,
    }
    if torch is not None:
        found["cudnn"] = str(torch.backends.cudnn.version())
    for name in ("nvidia-cublas", "nvidia-cublas-cu12"):
        try:
            found["cublas"] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def take_turns(contenders: Contenders, rounds: int, least: float) -> dict[str, float]:
    """Let the contenders take turns and return each one's median, in milliseconds a call."""
    repeats = {name: _repeats(call, least) for name, call in contenders.items()}
    turns: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            turns[name].append(_turn(call, repeats[name]))
    return {name: _rounded(1e3 * statistics.median(seconds)) for name, seconds in turns.items()}


def _repeats(call: Callable[[], Any], least: float) -> int:
    for _ in range(3 if least else 1):  # compiles, allocates, tries algorithms
        call()
    return max(1, min(1000, round(least / max(_turn(call, 1), 1e-7))))


def _turn(call: Callable[[], Any], repeats: int) -> float:
    wait = cupy().cuda.runtime.deviceSynchronize
    wait()
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    wait()
    return (time.perf_counter() - start) / repeats


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


# ---------------------------------------------------------------------------------------------
# Rates


def rates(side: int, bytes_: int, rounds: int, least: float) -> Iterator[Row]:
    """Measure square products in each precision, and copies on the device and to it."""
    cp = the_gpu()
    rng = np.random.default_rng(0)
    a, b = (to_device(rng.standard_normal((side, side), np.float32), "gpu") for _ in range(2))
    out = cp.empty((side, side), np.float32)
    half = [array.astype(np.float16) for array in (a, b)]
    brain = [(array.view(np.uint32) >> 16).astype(np.uint16) for array in (a, b)]
    products = {
        "product, fp32": lambda: gemm(a, b, out),
        "product, tf32": lambda: gemm(a, b, out, tf32=True),
        "product, bf16": lambda: gemm(*brain, out),
        "product, fp16": lambda: gemm(*half, out),
    }
    here = [f"product, {name}" for name in precisions_here(("fp32", "tf32", "bf16", "fp16"))]
    for name, ms in take_turns({name: products[name] for name in here}, rounds, least).items():
        yield {"name": name, "rate": _rounded(2 * side**3 / ms / 1e9), "unit": "TFLOP/s"}
    x = cp.ones(bytes_ // 4, np.float32)
    y = cp.empty_like(x)
    pinned = cp.cuda.alloc_pinned_memory(bytes_)
    host = np.frombuffer(pinned, np.float32, x.size)
    copies: dict[str, tuple[Callable[[], Any], int]] = {
        "copy on the device (read + write)": (lambda: cp.copyto(y, x), 2),
        "copy to the device, pinned": (lambda: x.set(host), 1),
    }
    times = take_turns({name: call for name, (call, _) in copies.items()}, rounds, least)
    for name, ms in times.items():
        rate = copies[name][1] * x.nbytes / ms / 1e6
        yield {"name": name, "rate": _rounded(rate), "unit": "GB/s"}
