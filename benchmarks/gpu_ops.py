"""Section `ops`: what computes little and moves much, against PyTorch's, channels last.

Beside each time stands the rate at which the bytes that have to move at least did move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.gpu_device import Row, cuda_torch, take_turns
from benchmarks.gpu_layers import agree, as_array
from benchmarks.memory_bound import Place, Shape, cases
from benchmarks.optimizers import OPTIONS, PASSES_OVER
from minideconv import Tensor, optim
from minideconv.backend import to_device
from minideconv.nn import Parameter

__all__ = ["memory_bound"]

GPU = Place(lambda array: to_device(array, "gpu"), "cuda")
TOLERANCE = 1e-3
"""Of the result's norm: a pixel within a rounding error of 0 may fall on either side of a ReLU."""


def memory_bound(
    maps: Sequence[Shape], scores: Sequence[Shape], parameters: int, rounds: int, least: float
) -> Iterator[Row]:
    """Measure every op at every shape, and the optimisers on so many parameters."""
    torch = cuda_torch()
    for shape, case in cases(maps, scores, GPU):
        calls = {"ours": case.ours}
        if torch is not None:
            calls["torch"] = case.torch(torch.channels_last)
            expected = as_array(calls["torch"]())
            agree(f"{case.name} {shape}", case.ours(), expected, TOLERANCE)
        times = take_turns(calls, rounds, least)
        yield _row(case.name, "x".join(map(str, shape)), case.read + case.written, times)
    for name in OPTIONS:
        calls = _optimizers(name, parameters)
        moved = 4 * parameters * sum(PASSES_OVER[name])
        yield _row(name, f"{parameters} parameters", moved, take_turns(calls, rounds, least))


def _row(name: str, shape: str, moved: int, times: dict[str, float]) -> Row:
    rate = round(moved / times["ours"] / 1e6, 1)
    return {"name": name, "shape": shape, "bytes": moved, "gb_per_s": rate, "ms": times}


def _optimizers(name: str, parameters: int) -> dict[str, Callable[[], Any]]:
    """Return the step of ours, flat, and of PyTorch's fused one, on four equal arrays."""
    shape = (4, parameters // 4)
    weights, grads = (np.random.default_rng(s).standard_normal(shape, np.float32) for s in (0, 1))
    mine = [Parameter(to_device(weight, "gpu")) for weight in weights]
    optimizer = getattr(optim, name)(mine, **OPTIONS[name])
    optimizer.flatten()
    for parameter, grad in zip(mine, grads, strict=True):
        parameter.grad = Tensor(to_device(grad, "gpu"))
    calls = {"ours": optimizer.step}
    torch = cuda_torch()
    if torch is not None:
        theirs = [torch.nn.Parameter(torch.from_numpy(weight).cuda()) for weight in weights]
        for tensor, grad in zip(theirs, grads, strict=True):
            tensor.grad = torch.from_numpy(grad).cuda()
        calls["torch"] = getattr(torch.optim, name)(theirs, **OPTIONS[name], fused=True).step
    return calls
