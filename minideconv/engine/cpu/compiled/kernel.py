"""`kernel`: how every function in this folder is compiled, once for a machine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core import event

__all__ = ["kernel"]


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` when it is first called and keep the machine code on disk.

    It releases the interpreter's lock. ``a * b + c`` may become one fused operation, which rounds
    once instead of twice; nothing else about the arithmetic is loosened, so NaN and infinity behave
    as in NumPy and sums are made in the order written.
    """
    return njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})(function)


class _Announcement(event.Listener):
    """Says, once in a process, why the first step takes so long."""

    def __init__(self) -> None:
        self.made = False

    def on_start(self, event: Any) -> None:
        if not self.made and event.data["dispatcher"].py_func.__module__.startswith(__package__):
            self.made = True
            logging.getLogger("minideconv").warning(
                "compiling kernels for this processor: some seconds, once; they are kept on disk"
            )

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Announcement())
