"""`kernel`: how every function in this folder is compiled, once for a machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["kernel"]


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` when it is first called and keep the machine code on disk.

    It releases the interpreter's lock. ``a * b + c`` may become one fused operation, which rounds
    once instead of twice; nothing else about the arithmetic is loosened, so NaN and infinity behave
    as in NumPy and sums are made in the order written.
    """
    return njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})(function)
