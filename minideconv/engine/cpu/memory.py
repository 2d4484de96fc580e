"""Memory for the engine's results: blocks that go round instead of back to the system.

A new large array is not memory yet. The system finds and clears a page of it whenever the program
first touches one, and above 32 MiB it takes all pages back as soon as the array dies. A training
step makes and drops the same arrays again and again, and would pay for this each time, with about
half of the time that an elementwise operation takes. So `empty` cuts arrays out of blocks which are
kept: small ones one by one, large ones out of one `Arena`.

A block follows its arrays by itself: what NumPy sees as the owner of the memory is a `BlockOwner`;
every array and view keeps it alive, and when the last one dies the block is free again.

    block -> BlockOwner -> the array that `empty` returned (its ``base``) -> views of it
"""

from __future__ import annotations

import mmap
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from minideconv.backend.parallel import hold_at_fork
from minideconv.engine.cpu.arena import Arena, make_arena
from minideconv.engine.cpu.resident import machine_memory

__all__ = [
    "BlockOwner",
    "MemoryUse",
    "allow",
    "empty",
    "reset_peak",
    "room",
    "set_limit",
    "trim",
    "use",
    "workspace",
]

_PLAIN = 4 << 10  # below, NumPy's own arrays are quicker
_LARGE = 256 << 10  # from here on, blocks come out of the arena
_SCRATCH = 32 << 20  # a workspace up to this size is kept
_LINE = 64

Block = tuple[int, int, Any]
"""Address, bytes, and the array that owns the memory; None for a piece of the arena."""


class BlockOwner:
    """Owns one block as long as an array on it lives."""

    __slots__ = ("__array_interface__", "_block", "_pool")

    __array_interface__: dict[str, Any]

    def __init__(self, pool: Pool, block: Block) -> None:
        self._pool = pool
        self._block = block

    def __del__(self) -> None:
        # May run at any moment and in any thread, in the middle of `Pool.empty` too: no lock here.
        self._pool.returned.append(self._block)


@dataclass(frozen=True)
class MemoryUse:
    """Bytes: in arrays now, in arrays at most (see `reset_peak`), and kept for the next ones."""

    allocated: int
    peak: int
    reserved: int


class Pool:
    """Blocks in use and blocks waiting.

    `make_arena` is called for the first large block. If it returns None, all blocks are NumPy's,
    and each size is kept by itself.
    """

    def __init__(self, make_arena: Callable[[], Arena | None] = make_arena) -> None:
        self.returned: deque[Block] = deque()
        self._lock = threading.RLock()
        self._make_arena: Callable[[], Arena | None] | None = make_arena
        self._arena: Arena | None = None
        self._waiting: dict[int, list[Block]] = {}
        self.allocated = self._peak = self._held = 0  # held: by `_waiting` alone
        self._limit: int | None = None

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        """Return an uninitialised C-contiguous array; from 4 KiB on it starts on a cache line."""
        dtype = np.dtype(dtype)
        size = prod(shape) * dtype.itemsize
        if size < _PLAIN or dtype.kind not in "fiub":
            return np.empty(shape, dtype)
        with self._lock:
            self._collect()
            block = self._take(size)
            self.allocated += block[1]
            self._peak = max(self._peak, self.allocated)
        owner = BlockOwner(self, block)
        owner.__array_interface__ = {
            "shape": shape,
            "typestr": dtype.str,
            "data": (block[0], False),
            "version": 3,
        }
        return np.asarray(owner)

    def _take(self, size: int) -> Block:
        """Find a block of `size` bytes or a little more."""
        if size >= _LARGE and self._make_arena is not None:
            self._arena, self._make_arena = self._make_arena(), None
        if size >= _LARGE and self._arena is not None:
            # Five lines more than whole pages: blocks side by side then begin at different places
            # of a page, which the caches need to hold several arrays at once.
            size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE + 5 * _LINE
            offset = self._arena.take(size)
            if offset is not None:
                return (self._arena.start + offset, size, None)
        step = max(_LINE, 1 << (size.bit_length() - 4))  # at most an eighth too large
        size = -(-size // step) * step
        waiting = self._waiting.get(size)
        if waiting:
            self._held -= size
            return waiting.pop()
        owner = np.empty(size + _LINE, np.uint8)
        address = owner.__array_interface__["data"][0]
        return (address + -address % _LINE, size, owner)

    def _collect(self) -> None:
        """Put away the blocks that have come back."""
        if not self.returned:
            return  # nearly always: no need to look at the limit
        while self.returned:
            block = self.returned.popleft()
            address, size, owner = block
            self.allocated -= size
            if owner is not None:
                self._waiting.setdefault(size, []).append(block)
                self._held += size
            elif self._arena is not None:
                self._arena.give(address - self._arena.start, size)
        if self._limit is not None:
            self._trim(self._limit)

    def _trim(self, keep: int) -> None:
        """Give memory back until at most `keep` bytes wait."""
        if self._held > keep:
            self._waiting.clear()
            self._held = 0
        if self._arena is not None:
            self._arena.trim(keep - self._held)

    def use(self) -> MemoryUse:
        """Return how many bytes arrays made by `empty` take (those of 4 KiB and more)."""
        with self._lock:
            self._collect()
            held = self._held + (self._arena.reserved if self._arena is not None else 0)
            return MemoryUse(self.allocated, self._peak, held)

    def reset_peak(self) -> None:
        """Make `MemoryUse.peak` start anew at what is in use now."""
        with self._lock:
            self._collect()
            self._peak = self.allocated

    def trim(self) -> None:
        """Give the memory of all waiting blocks back to the system."""
        with self._lock:
            self._collect()
            self._trim(0)

    def set_limit(self, limit: int | None) -> None:
        """Let at most `limit` bytes wait for later arrays; None for any number."""
        with self._lock:
            self._limit = limit
            self._collect()
            if limit is not None:
                self._trim(limit)


_pool = Pool()
hold_at_fork(_pool._lock)

empty, use, reset_peak = _pool.empty, _pool.use, _pool.reset_peak
trim, set_limit = _pool.trim, _pool.set_limit


class _Allowance:
    """What `room` may still give away; None: up to half of the machine's memory, for all arrays."""

    left: int | None = None
    lock = threading.RLock()


hold_at_fork(_Allowance.lock)


def allow(nbytes: int | None) -> None:
    """Let `room` give away `nbytes` from now on, or as it does by itself (None).

    For a memory budget; to be called at the beginning of every step.
    """
    with _Allowance.lock:
        _Allowance.left = nbytes


def room(nbytes: int) -> bool:
    """Return whether `nbytes` may be kept for the rest of the step that it could do without.

    True is a promise that is counted: call this once for each array, and keep the array no longer
    than its step takes.
    """
    if _Allowance.left is None:
        most = machine_memory() // 2  # 0: not known
        return not most or _pool.allocated + nbytes <= most
    with _Allowance.lock:
        if _Allowance.left is None or nbytes > _Allowance.left:
            return False
        _Allowance.left -= nbytes
        return True


_local = threading.local()


def workspace(name: str, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """Return this thread's scratch array of that name; its contents are whatever was left there.

    The same name may give the same memory: two arrays in use at once need two names. Up to 32 MiB
    are kept for the thread; a larger array comes from the pool and goes back to it.
    """
    dtype = np.dtype(dtype)
    size = prod(shape) * dtype.itemsize
    if size > _SCRATCH:
        return empty(shape, dtype)
    kept: dict[str, np.ndarray] = _local.__dict__
    raw = kept.get(name)
    if raw is None or raw.nbytes < size:
        # Not from the pool: it stays for good, and would fragment the pool.
        owner = np.empty(size + _LINE, np.uint8)
        start = -owner.__array_interface__["data"][0] % _LINE
        raw = kept[name] = owner[start : start + size]
    scratch: np.ndarray = raw[:size].view(dtype).reshape(shape)
    return scratch
