"""From a file of CUDA C++ to a launch: `launch` is the one way to call a kernel.

The files in `kernels` are compiled when a kernel of theirs is first called, by NVRTC, for the GPU
at hand and for one type of numbers (``-DREAL=float``); CuPy keeps what was compiled on the disk. A
kernel's arguments are read off its first line: an argument that is an array must have the type
written there, and a number is packed as that type, for a wrong width would be read as another
number without an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from minideconv.backend import get_xp
from minideconv.backend.dispatch import device_guard
from minideconv.engine.cuda.memory import with_room

__all__ = ["KERNELS", "address", "launch", "options", "parameters", "source"]

KERNELS = Path(__file__).with_name("kernels")

BLOCK = 256
"""Threads in a block, unless a kernel is written for another number."""

MAX_BLOCKS = 1 << 16
"""Blocks in a grid: enough for any GPU, since threads go on to further elements by themselves."""

_SHARED = 48 << 10
"""Bytes of shared memory that a block gets without asking."""

_TYPES = {
    "i8": np.int8,
    "u8": np.uint8,
    "u16": np.uint16,
    "i32": np.int32,
    "u32": np.uint32,
    "i64": np.int64,
    "float": np.float32,
    "double": np.float64,
}
_C_NAMES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}

_HEAD = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(([^)]*)\)'
)

host_compiler: Callable[..., Any] | None = None
"""Compiles kernels for NumPy arrays in place of CuPy's ``RawModule``: tests run them on the CPU."""


def address(array: Any) -> int:
    """Return where an array begins, on the host or the device."""
    return int(array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr)


def source(file: str) -> str:
    """Return the whole text of a kernel file, as the compiler sees it.

    common.cuh comes first, then the files that it names in lines ``// with: NAME``.
    """
    body = (KERNELS / file).read_text(encoding="utf-8")
    heads = ["common.cuh", *re.findall(r"^// with: (\S+)$", body, re.MULTILINE)]
    return "".join((KERNELS / name).read_text(encoding="utf-8") for name in heads) + body


def options(dtype: Any, defines: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the compiler's options for numbers of `dtype` and for further macros ``NAME=VALUE``.

    The accumulator ACC is float for both types unless it is set: sums of doubles are doubles.
    """
    real = _C_NAMES[np.dtype(dtype)]
    return tuple(f"-D{name}" for name in (f"REAL={real}", f"ACC={real}", *defines))


@cache
def parameters(file: str) -> dict[str, tuple[tuple[str, bool], ...]]:
    """Return every kernel of a file with its parameters: (type in C, whether it is a pointer)."""
    text = re.sub(r"//[^\n]*|\bconst\b", "", source(file))
    return {
        name: tuple((p.replace("*", " ").split()[0], "*" in p) for p in inside.split(","))
        for name, inside in _HEAD.findall(text)
    }


@device_guard
def launch(
    file: str,
    kernel: str,
    count: int,
    arguments: Sequence[Any],
    dtype: Any = np.float32,
    *,
    defines: tuple[str, ...] = (),
    block: int | tuple[int, ...] = BLOCK,
    grid: int | tuple[int, ...] | None = None,
    shared: int = 0,
) -> None:
    """Run `kernel` of `file` on the current stream of the arrays' device.

    Parameters
    ----------
    file, kernel : str
        Where it is and what it is called.
    count : int
        Elements to work on, one thread each where there are enough; with 0 nothing is launched.
    arguments : sequence
        Contiguous arrays and plain numbers, in the order of the kernel's parameters.
    dtype : float32 or float64
        What REAL is.
    defines : tuple of str
        Further macros, ``NAME=VALUE``; one whose value is a type may be the type of a parameter.
    block, grid : int or tuple of int
        Threads in a block, and blocks; by default as many blocks as `count` needs.
    shared : int
        Bytes of dynamic shared memory in a block.

    Raises
    ------
    TypeError
        If an argument does not match the kernel's first line. That is a bug in this library.
    """
    if count == 0:
        return
    xp = get_xp(arguments[0])
    device = 0 if xp is np else xp.cuda.runtime.getDevice()
    key = (xp, file, kernel, np.dtype(dtype), defines, shared, device)
    function, wanted = _function(*key) if xp is np else with_room(partial(_function, *key))
    if len(arguments) != len(wanted):
        raise TypeError(f"{kernel}: {len(arguments)} arguments for {len(wanted)} parameters")
    packed = tuple(_pack(xp, *pair, kernel) for pair in zip(arguments, wanted, strict=True))
    threads = block if isinstance(block, tuple) else (block,)
    if grid is None:
        grid = min(-(-count // threads[0]), MAX_BLOCKS)
    blocks = grid if isinstance(grid, tuple) else (grid,)
    start = partial(function, blocks, threads, packed, shared_mem=shared)
    start() if xp is np else with_room(start)


Wanted = tuple[np.dtype[Any], bool]


@cache
def _function(
    xp: Any,
    file: str,
    kernel: str,
    dtype: np.dtype[Any],
    defines: tuple[str, ...],
    shared: int,
    device: int,
) -> tuple[Callable[..., None], tuple[Wanted, ...]]:
    function = _module(xp, file, dtype, defines).get_function(kernel)
    if shared > _SHARED:  # more has to be requested, on each device
        function.max_dynamic_shared_size_bytes = shared
    types: dict[str, Any] = {**_TYPES, "REAL": dtype, "ACC": dtype}
    macros = (macro.partition("=") for macro in defines)
    types |= {name: _TYPES[value] for name, _, value in macros if value in _TYPES}
    wanted = tuple((np.dtype(types[name]), pointer) for name, pointer in parameters(file)[kernel])
    return function, wanted


@cache
def _module(xp: Any, file: str, dtype: np.dtype[Any], defines: tuple[str, ...]) -> Any:
    compiler = host_compiler if xp is np else xp.RawModule
    if compiler is None:
        raise TypeError(f"{file}: kernels work on CuPy arrays, and these are NumPy's")
    return compiler(code=source(file), options=options(dtype, defines))


def _pack(xp: Any, argument: Any, wanted: Wanted, kernel: str) -> Any:
    dtype, pointer = wanted
    if not pointer:
        return dtype.type(argument)
    if not isinstance(argument, xp.ndarray):
        kind = f"{type(argument).__module__}.{type(argument).__name__}"
        raise TypeError(f"{kernel}: a {kind} among arrays of {xp.__name__}")
    if argument.dtype != dtype or not argument.flags.c_contiguous:
        order = "contiguous" if argument.flags.c_contiguous else "strided"
        raise TypeError(f"{kernel}: a {order} array of {argument.dtype} where {dtype} is wanted")
    return argument
