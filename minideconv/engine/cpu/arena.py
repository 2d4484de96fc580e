"""One long stretch of addresses, and which parts of it are free: first fit, in order of address.

A part is taken from the lowest free area that is long enough. A part that is given back grows
together with the free areas beside it. Areas close to the beginning are so used again and again,
and long areas remain behind them: of the simple rules this one breaks memory up least (D. Knuth,
The Art of Computer Programming, volume 1, section 2.5; P. Wilson et al., "Dynamic storage
allocation: a survey and critical review", 1995).

It suits a training step. Forward takes parts one behind the other; backward gives them back from
the last to the first, and the gradients of the weights, which stay, fill the space that opens.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from bisect import bisect

import numpy as np

__all__ = ["Arena", "make_arena"]

_PAGE = mmap.PAGESIZE
_NORESERVE = 0x4000  # MAP_NORESERVE of Linux: no page is promised before it is used


class Arena:
    """Addresses 0 to `size`, all free, and the memory behind them unless ``memory=False``.

    A free area is [first address, address behind it, bytes of it that hold pages]: those that were
    used and not given back to the system since. They are taken to be its first bytes, which is so
    but for areas that were trimmed.
    """

    def __init__(self, size: int, memory: bool = True) -> None:
        self._map = _reserve(size) if memory else None
        self.start = 0
        if self._map is not None:
            bytes_ = np.frombuffer(self._map, np.uint8)
            self.start = int(bytes_.__array_interface__["data"][0])
        self._free: list[list[int]] = [[0, size, 0]]
        self.reserved = 0
        """Bytes that hold pages though no array uses them."""

    def take(self, size: int) -> int | None:
        """Return where `size` free bytes begin; None if there are no such."""
        for number, area in enumerate(self._free):
            first, behind, pages = area
            if behind - first >= size:
                area[0], area[2] = first + size, max(0, pages - size)
                self.reserved -= pages - area[2]
                if area[0] == behind:
                    del self._free[number]
                return first
        return None

    def give(self, first: int, size: int) -> None:
        """Take back what `take` gave."""
        behind, pages = first + size, size
        free = self._free
        number = bisect(free, [first])
        if number < len(free) and free[number][0] == behind:
            _, behind, more = free.pop(number)
            pages += more
        if number and free[number - 1][1] == first:
            number -= 1
            first, _, more = free.pop(number)
            pages += more
        free.insert(number, [first, behind, pages])
        self.reserved += size

    def trim(self, keep: int = 0) -> None:
        """Give free pages back to the system, from the end, until at most `keep` bytes are held."""
        for area in reversed(self._free):
            if self.reserved <= keep:
                return
            first, behind, pages = area
            first_page, last_page = -(-first // _PAGE) * _PAGE, behind // _PAGE * _PAGE
            if pages and self._map is not None and last_page > first_page:
                self._map.madvise(mmap.MADV_DONTNEED, first_page, last_page - first_page)
            self.reserved -= pages
            area[2] = 0

    @property
    def free(self) -> list[tuple[int, int]]:
        """The free areas: (first address, address behind it), in order."""
        return [(first, behind) for first, behind, _ in self._free]


def make_arena() -> Arena | None:
    """Return an arena of as many addresses as the machine has memory; None where that is unwise.

    Addresses cost nothing where the system gives them without reserving memory. Not every system
    does, and a process may have a limit.
    """
    if sys.platform != "linux" or _limited():
        return None
    try:
        return Arena(os.sysconf("SC_PHYS_PAGES") * _PAGE)
    except (OSError, ValueError, OverflowError):
        return None


def _limited() -> bool:
    """Return whether this process, or the whole system, is counted for addresses."""
    import resource

    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return True
    try:
        with open("/proc/sys/vm/overcommit_memory") as file:
            return file.read().strip() == "2"
    except OSError:
        return True


def _reserve(size: int) -> mmap.mmap:
    """Map `size` bytes of addresses. They become memory page by page, when first written to."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE
    reserved = mmap.mmap(-1, size, flags=flags)
    with contextlib.suppress(OSError):  # a kernel may not have them
        reserved.madvise(mmap.MADV_HUGEPAGE)  # 2 MiB pages: fewer of them to find and to clear
    return reserved
