"""`kernel`: how every function in this folder is compiled, and what it may be called with.

A kernel takes numbers from memory at ``data + index``: that is right for arrays whose numbers are
neighbours. An array of NumPy's need not be so. It may have gaps, run backwards, repeat one number,
or lie in memory that the system protects. So every kernel has a gate in front of it (`Kernel`),
through which all calls from Python go; calls of one kernel by another do not leave compiled code.
What does not fit is copied or, where the kernel would change a read-only array, refused.

Two things numba does not tell apart, so that the gate cannot: numbers that begin between two words,
which the processor reads and writes all the same (`operation.Memory` promises no alignment), and
the other byte order. The functions that call kernels compare types (``x.dtype == np.float32``),
which do have an order, and leave such arrays to NumPy.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import event
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher

from minideconv.backend.parallel import hold_at_fork
from minideconv.engine.cpu.compiled.cache import NOT_KEPT, make_cache
from minideconv.engine.cpu.memory import empty

__all__ = ["Kernel", "kernel"]

hold_at_fork(global_compiler_lock)  # a thread may be compiling; the new process would wait for it


class Kernel(CPUDispatcher):
    """A compiled function with its gate, which costs nothing where the operands are as expected.

    numba compiles a function for each combination of types with which it is called; the type of an
    array says whether it is contiguous and whether it may be changed. Where there is machine code
    for the operands' types, numba calls it at once. Where there is none it asks
    `_compile_for_args`, which here has some made only for arrays that are as a kernel expects them.
    So there never is any for others, and each call with them comes here.

    Attributes
    ----------
    writes : frozenset of int
        Which operands the function changes, counted from 0.
    """

    writes: frozenset[int] = frozenset()

    def _compile_for_args(self, *operands: Any, **named: Any) -> Any:
        """Return what numba is to call with these operands."""
        if all(_fits(operand) for operand in operands):
            return super()._compile_for_args(*operands, **named)
        return self._call_with_copies

    def _call_with_copies(self, *operands: Any) -> Any:
        """Call the machine code with operands that fit; write what it changed to the given ones."""
        fitting, changed = list(operands), []
        for place, operand in enumerate(operands):
            if _fits(operand):
                continue
            if place not in self.writes:
                fitting[place] = _for_reading(operand)
                continue
            if not operand.flags.writeable:
                raise ValueError(
                    f"{self.__name__}: argument {place} of shape {operand.shape} is read-only, as a"
                    " file mapped for reading is, and would be changed in place; use a copy of it"
                )
            fitting[place] = _copy(operand)
            changed.append((operand, fitting[place]))
        result = super().__call__(*fitting)
        for operand, copy in changed:
            operand[...] = copy
        return result


def _fits(operand: Any) -> bool:
    """Whether all arrays of an operand are contiguous and writable (and aligned)."""
    if isinstance(operand, tuple):
        return all(map(_fits, operand))
    return not isinstance(operand, np.ndarray) or operand.flags.carray


def _copy(array: np.ndarray) -> np.ndarray:
    """Return a copy that, if it is large, begins with a cache line: it may be written past them."""
    made = empty(array.shape, array.dtype)
    made[...] = array
    return made


def _for_reading(operand: Any) -> Any:
    """Return arrays that fit, with the same numbers.

    One that is only read-only is not copied. To numba it would have a type of its own, for which
    everything would be compiled again; so it is passed as if it could be written, which the
    kernel does not do: it is not among what the kernel names as changed.
    """
    if isinstance(operand, tuple):
        return tuple(map(_for_reading, operand))
    if _fits(operand):
        return operand
    if operand.flags.c_contiguous and operand.flags.aligned:
        return np.asarray(_Memory(operand))
    return _copy(operand)


class _Memory:
    """The memory of a read-only array, as NumPy's array interface describes one for writing."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array  # kept alive as long as views of it
        described = array.__array_interface__
        self.__array_interface__ = {**described, "data": (described["data"][0], False)}


def kernel(function: Callable[..., Any] | None = None, *, writes: str = "") -> Any:
    """Compile the decorated function when it is first called; keep the machine code on disk.

    It releases the interpreter's lock. ``a * b + c`` may become one fused operation, which rounds
    once instead of twice; nothing else about the arithmetic is loosened, so NaN and infinity behave
    as in NumPy and sums are made in the order written.

    Parameters
    ----------
    writes : str
        The names of the arrays that it changes, with spaces between them.

    Returns
    -------
    Kernel
        Or, without a function, what decorates one.
    """

    def compiled(function: Callable[..., Any]) -> Kernel:
        options = {"nopython": True, "nogil": True, "error_model": "numpy"}
        made = Kernel(function, targetoptions={**options, "fastmath": {"contract"}})
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        made.writes = frozenset(names.index(name) for name in writes.split())
        if (cache := make_cache(function)) is not None:
            made._cache = cache
        return made

    return compiled if function is None else compiled(function)


class _Announcement(event.Listener):
    """Says, once in a process, why the first step takes so long."""

    def __init__(self) -> None:
        self.made = False

    def on_start(self, event: Any) -> None:
        if not self.made and event.data["dispatcher"].py_func.__module__.startswith(__package__):
            self.made = True
            text = "compiling kernels for this processor: some seconds, once; they are kept on disk"
            if NOT_KEPT:
                text = (
                    "compiling kernels for this processor: some seconds in each process, for they"
                    f" cannot be kept on disk ({NOT_KEPT[0]}); NUMBA_CACHE_DIR names another folder"
                )
            logging.getLogger("minideconv").warning(text)

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Announcement())
