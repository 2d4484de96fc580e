"""Section `ops`: what computes little and moves much, against PyTorch's, channels last.

Beside each time stands the rate at which the bytes that have to move at least did move.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.gpu_device import Row, cuda_torch, take_turns
from benchmarks.gpu_layers import agree
from benchmarks.memory_bound import Place, Shape, cases
from minideconv.backend import to_device

__all__ = ["memory_bound"]

GPU = Place(lambda array: to_device(array, "gpu"), "cuda")
TOLERANCE = 1e-3
"""Of the result's norm: a pixel within a rounding error of 0 may fall on either side of a ReLU."""


def memory_bound(
    maps: Sequence[Shape], scores: Sequence[Shape], rounds: int, least: float
) -> Iterator[Row]:
    """Measure every op at every shape."""
    torch = cuda_torch()
    for shape, case in cases(maps, scores, GPU):
        calls = {"ours": case.ours}
        if torch is not None:
            calls["torch"] = case.torch(torch.channels_last)
            expected = calls["torch"]().detach().float().cpu().numpy()
            agree(f"{case.name} {shape}", case.ours(), expected, TOLERANCE)
        times = take_turns(calls, rounds, least)
        moved = case.read + case.written
        yield {
            "name": case.name,
            "shape": "x".join(map(str, shape)),
            "bytes": moved,
            "gb_per_s": round(moved / times["ours"] / 1e6, 1),
            "ms": times,
        }
