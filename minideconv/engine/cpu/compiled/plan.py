"""What the direct convolution's passes share: registers, a window's reach, parts of the work."""

from __future__ import annotations

from llvmlite import binding

from minideconv.engine.cpu.parts import ranges
from minideconv.ops.im2col import Window

__all__ = ["WIDE", "cut", "operations", "reach", "shape"]

# AVX-512: 32 registers of 16 numbers. Without it, a vector of 16 takes two of 16 registers, or four
# of 32, and a tile can hold six at most.
WIDE = bool(binding.get_host_cpu_features().get("avx512f"))

_PARTS = (2, 4, 8)  # fixed, so that results do not depend on the number of threads
_SMALL = 2e7  # floating point operations that are not worth handing to a worker
_SMALL_SUM = 5e7  # where the parts' results have to be added up as well


def reach(count: int, kernel: int, stride: int, dilation: int) -> int:
    """Return how many input rows (columns) `count` output rows (columns) look at."""
    return (count - 1) * stride + (kernel - 1) * dilation + 1


def shape(window: Window) -> tuple[tuple[int, int], ...]:
    """Return the window as a tuple that compiled code can take apart."""
    w = window
    return (w.size, w.kernel, w.stride, w.padding, w.dilation, w.out)


def operations(window: Window, c: int, k: int) -> float:
    """Return how many floating point operations one image's convolution takes."""
    (kh, kw), (ho, wo) = window.kernel, window.out
    return 2.0 * ho * wo * kh * kw * c * k


def cut(units: int, operations: float, adds: bool = False) -> list[tuple[int, int]]:
    """Cut `units` pieces of a convolution's work into parts (first, last), by its size alone.

    `adds`: the results of the parts have to be added up.
    """
    small = _SMALL_SUM if adds else _SMALL
    if operations < _PARTS[0] * small:  # said first, since small convolutions are called often
        return [(0, units)]
    return ranges(units, max(p for p in _PARTS if p * small <= operations))
