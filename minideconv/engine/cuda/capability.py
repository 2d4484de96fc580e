"""What the GPU at hand can do: its compute capability, and which precisions that is enough for.

A GPU without tensor cores for a precision does not refuse it: for tf32 cuBLAS silently computes in
fp32, for bf16 it fails or takes many times as long, depending on the GPU. So we refuse it.
"""

from __future__ import annotations

from functools import cache

from minideconv.backend import Device, cupy, describe_device, gpu_problem
from minideconv.backend.precisions import PRECISIONS
from minideconv.errors import UsageError

__all__ = ["capability", "check_precision"]

NEEDED = {"tf32": 80, "bf16": 80}
"""The least compute capability, times 10, of precisions that not every GPU has.

fp16 is on all of them; below 7.0 its products are computed without tensor cores.
"""


def capability() -> int:
    """Return the compute capability of the current device, times 10; 0 if there is no GPU."""
    return _capability(cupy().cuda.runtime.getDevice()) if _gpu_problem() is None else 0


_gpu_problem = cache(gpu_problem)


@cache
def _capability(index: int) -> int:
    return int(cupy().cuda.Device(index).compute_capability)


def check_precision(precision: str, index: int) -> None:
    """Raise UsageError if the GPU with this number has no such `precision`."""
    needed = NEEDED.get(precision, 0)
    if not needed:
        return
    has = _capability(index)
    if has < needed:
        legal = [name for name in PRECISIONS if NEEDED.get(name, 0) <= has]
        device = Device("gpu", index)
        raise UsageError(
            f"precision {precision} needs a GPU of compute capability {needed / 10}, but "
            f"{describe_device(None, device)} has {has / 10}; there it must be {_either(legal)}"
        )


def _either(names: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
