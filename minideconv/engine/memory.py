"""Memory for the engine's results and for what it needs in between."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

__all__ = ["empty", "workspace"]


def empty(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """Return an uninitialised C-contiguous array that starts on a cache line (64 bytes)."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


_local = threading.local()


def workspace(name: str, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """Return this thread's scratch array of that name; its contents are whatever was left there.

    The same name gives the same memory: two arrays in use at once need two names.
    """
    dtype = np.dtype(dtype)
    kept: dict[str, np.ndarray] = _local.__dict__
    size = int(np.prod(shape)) * dtype.itemsize
    raw = kept.get(name)
    if raw is None or raw.nbytes < size:
        raw = kept[name] = empty((size,), np.uint8)
    return raw[:size].view(dtype).reshape(shape)
