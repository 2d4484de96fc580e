"""FISTA's and ADMM's updates on the CPU, compiled, in parts for the threads.

A map has a hundred times the numbers of its image: these updates are bound by memory. NumPy walks
over the arrays six times, this once.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minideconv.backend import memory_order
from minideconv.backend.algorithms import compiled
from minideconv.backend.parallel import map_ordered
from minideconv.ops import shrinkage as reference

__all__ = ["admm_update", "fista_update"]

_PART = 1 << 18  # numbers in a part for a thread


@reference.fista_update.faster("cpu")
def fista_update(
    y: np.ndarray,
    x: np.ndarray,
    gradient: np.ndarray,
    step: float,
    threshold: float,
    momentum: float,
) -> bool | None:
    """`ops.shrinkage.fista_update`; None if the arrays are not for this."""
    return _walk("fista_update", (y, x, gradient), (step, threshold, momentum))


@reference.admm_update.faster("cpu")
def admm_update(
    state: np.ndarray, correction: np.ndarray, threshold: float, relaxation: float
) -> bool | None:
    """`ops.shrinkage.admm_update`; None if the arrays are not for this."""
    return _walk("admm_update", (state, correction), (threshold, relaxation))


def _walk(name: str, arrays: tuple[np.ndarray, ...], numbers: tuple[float, ...]) -> bool | None:
    """Call a kernel on parts of arrays that are stored without gaps, all in one order."""
    if not compiled() or any(a.dtype != arrays[0].dtype for a in arrays):
        return None
    if arrays[0].dtype not in (np.float32, np.float64):
        return None
    axes = memory_order(arrays[0])
    stored = [a.transpose(axes) for a in arrays]
    if not all(a.flags.c_contiguous and a.shape == stored[0].shape for a in stored):
        return None
    from minideconv.engine.cpu.compiled import shrinkage as kernels

    flat = [a.reshape(-1) for a in stored]  # views
    run: Any = partial(_run, getattr(kernels, name), flat, [*map(flat[0].dtype.type, numbers)])
    map_ordered(run, range(0, flat[0].size, _PART))
    return True


def _run(kernel: Any, flat: list[np.ndarray], numbers: list[Any], start: int) -> None:
    kernel(*(a[start : start + _PART] for a in flat), *numbers)
