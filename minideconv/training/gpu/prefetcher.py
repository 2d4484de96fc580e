"""Batches on their way to the device: one block each, filled by a thread of its own.

    | numbers, float32 | images (N, H, W, 3), uint8 | targets (N, H, W), uint8 |

A photograph is bytes, and stays bytes until it is on the device: a quarter of the copy. The few
numbers that a step takes from the host, its learning rate and such, travel in the same block, since
a copy costs as much for ten bytes as for a hundred thousand.

The thread that fills the slots of a `DoubleBuffer` and the thread that sends them hand the slots to
and fro in two queues. An error of the former is raised in the latter, in its place among the
batches.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np

from minideconv.backend import Array
from minideconv.engine.cuda.pinned import DoubleBuffer

__all__ = ["Block", "Layout", "Prefetcher"]

_ALIGN = 256


@dataclass(frozen=True)
class Layout:
    """Where the parts of a batch are in its block: ``count`` images of (height, width)."""

    count: int
    height: int
    width: int
    numbers: int

    @property
    def nbytes(self) -> int:
        """Length of the block."""
        return self._places()[-1]

    def view(self, block: Array) -> tuple[Array, Array, Array]:
        """Return the numbers, images and targets in a block of bytes, on the host or the device."""
        first, second, third = self._places()
        shape = (self.count, self.height, self.width)
        numbers = block[: 4 * self.numbers].view(np.float32)
        images = block[first : first + 3 * math.prod(shape)].reshape(*shape, 3)
        return numbers, images, block[second:third].reshape(shape)

    def _places(self) -> tuple[int, int, int]:
        pixels = self.count * self.height * self.width
        images = _rounded(4 * self.numbers)
        targets = images + _rounded(3 * pixels)
        return images, targets, targets + pixels


def _rounded(nbytes: int) -> int:
    return -(-nbytes // _ALIGN) * _ALIGN


@dataclass(frozen=True)
class Block:
    """A batch that is ready to be sent: its slot, its layout, and its targets on the host."""

    slot: int
    layout: Layout
    targets: np.ndarray
    loader_state: dict[str, Any]
    """The state of the loader behind this batch."""


class Prefetcher:
    """Fills blocks from a loader, one or two ahead, and sends them when they are needed.

    Parameters
    ----------
    buffers : DoubleBuffer
        With slots that are large enough.
    loader : DataLoader
        Its batches are bytes (``as_bytes=True``): (N, H, W, 3) and (N, H, W).
    numbers : int
        Numbers in each block.
    check : callable
        Called with each batch's targets; what it raises is raised by `take`.

    Notes
    -----
    `close` must be called, at the end of the loop or when it is left early: the thread ends then.
    """

    def __init__(
        self, buffers: DoubleBuffer, loader: Any, numbers: int, check: Callable[[np.ndarray], None]
    ) -> None:
        self._buffers, self._loader, self._numbers, self._check = buffers, loader, numbers, check
        self._empty: SimpleQueue[int | None] = SimpleQueue()  # None: stop
        self._ready: SimpleQueue[Block | BaseException | None] = SimpleQueue()  # None: the end
        for slot in range(len(buffers.slots)):
            self._empty.put(slot)
        self._thread = threading.Thread(target=self._run, name="minideconv-prefetcher", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Block]:
        return self

    def __next__(self) -> Block:
        """Return the next block; it is to be sent before the next but one is taken.

        Raises
        ------
        Exception
            What the loader raised instead of a batch, or `check` about one.
        """
        found = self._ready.get()
        if isinstance(found, Block):
            return found
        self._ready.put(found)  # the next call gets the same
        raise StopIteration if found is None else found

    def send(self, block: Block, numbers: np.ndarray) -> None:
        """Put the block, with these numbers, on the device; its slot may be filled again."""
        block.layout.view(self._buffers.slots[block.slot])[0][:] = numbers
        self._buffers.send(block.slot, block.layout.nbytes)
        self._empty.put(block.slot)

    def close(self) -> None:
        """End the thread, whatever it is doing, and wait until it has ended."""
        self._empty.put(None)
        self._thread.join()

    def _run(self) -> None:
        batches: Any = None
        try:
            self._buffers.attach_thread()
            batches = iter(self._loader)
            for images, targets in batches:
                slot = self._empty.get()
                if slot is None:
                    return
                self._buffers.wait_until_empty(slot)
                self._ready.put(self._filled(slot, images, targets))
            self._ready.put(None)
        except BaseException as error:  # any: a thread that ends silently hangs the run
            self._ready.put(error)
        finally:
            if hasattr(batches, "close"):
                batches.close()  # the loader's own threads end here

    def _filled(self, slot: int, images: np.ndarray, targets: np.ndarray) -> Block:
        self._check(targets)
        count, height, width = targets.shape
        layout = Layout(count, height, width, self._numbers)
        _, pixels, maps = layout.view(self._buffers.slots[slot])
        pixels[...] = images
        maps[...] = targets
        return Block(slot, layout, maps, self._loader.state_dict())
