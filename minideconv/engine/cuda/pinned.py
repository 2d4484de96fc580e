"""From the host's memory to the device's while the device computes: `DoubleBuffer`.

    worker thread     fills slot 0 |  fills slot 1   |  fills slot 0   | ...
    copying stream                 | slot 0->arriving| slot 1->arriving| ...
    computing stream                                 |arriving->current|  step on current  | ...

A copy runs beside the work of the device only if it starts from *pinned* memory, which the system
promises not to move, and on a stream of its own. Then none of the three waits by itself, and each
needs an event at which it may begin:

* a slot is filled again when the copy out of it has ended        (the worker waits for `landed`)
* a copy into `arriving` begins when the block before has left it (the copying stream, for `left`)
* a block leaves `arriving` when it is there                      (the computing stream: `landed`)

A step reads `current`, which only the computing stream writes: between two steps, by a copy inside
the device that takes microseconds. So a block always has the same address, as a recorded graph must
have it, and the next one can arrive during the whole step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.backend import Array, cupy

__all__ = ["DoubleBuffer", "Machine"]


class Machine:
    """What `DoubleBuffer` needs of a device; tests have one that shows every missing wait."""

    def device(self) -> int:
        """Return the number of the device: the current one."""
        return int(cupy().cuda.runtime.getDevice())

    def use(self, device: int) -> None:
        """Make a device the current one of the calling thread, for good."""
        cupy().cuda.Device(device).use()

    def pinned(self, nbytes: int) -> np.ndarray:
        """Return bytes of pinned memory."""
        memory = cupy().cuda.alloc_pinned_memory(nbytes)
        return np.frombuffer(memory, np.uint8, nbytes)

    def block(self, nbytes: int) -> Array:
        """Return bytes of the device's memory."""
        result: Array = cupy().zeros(nbytes, np.uint8)
        return result

    def stream(self) -> Any:
        """Return a new stream."""
        return cupy().cuda.Stream(non_blocking=True)

    def computing(self) -> Any:
        """Return the stream that computes."""
        return cupy().cuda.get_current_stream()

    def event(self) -> Any:
        """Return an event, which counts as reached until it is recorded."""
        return cupy().cuda.Event(disable_timing=True)

    def upload(self, source: np.ndarray, target: Any, nbytes: int, stream: Any) -> None:
        """Copy from pinned memory to the device."""
        target.data.copy_from_host_async(source.ctypes.data, nbytes, stream)

    def move(self, source: Any, target: Any, nbytes: int, stream: Any) -> None:
        """Copy inside the device."""
        target.data.copy_from_device_async(source.data, nbytes, stream)


class DoubleBuffer:
    """Two slots of pinned memory, two blocks of the device's, and the order between them.

    Parameters
    ----------
    nbytes : int
        The largest block.
    machine : Machine, optional
        The device.

    Attributes
    ----------
    slots : list of (nbytes,) uint8 arrays
        In pinned memory.
    current : (nbytes,) uint8 array
        On the device: what was sent last, for work on the computing stream.
    """

    SLOTS = 2

    def __init__(self, nbytes: int, machine: Machine | None = None) -> None:
        self._machine = machine = Machine() if machine is None else machine
        self._device = machine.device()
        self.slots = [machine.pinned(nbytes) for _ in range(self.SLOTS)]
        self.current, self._arriving = machine.block(nbytes), machine.block(nbytes)
        self._copying = machine.stream()
        self._landed = [machine.event() for _ in self.slots]
        self._left = machine.event()
        self._left.record(machine.computing())  # the blocks are zeroed there

    def attach_thread(self) -> None:
        """Prepare the calling thread to fill slots, before it does anything else.

        A thread begins on device 0, and its first call of CUDA would take memory there, some
        hundred MiB, also where the run computes on another one.
        """
        self._machine.use(self._device)

    def wait_until_empty(self, slot: int) -> None:
        """Wait, in the thread that fills slots, until one may be filled."""
        self._landed[slot].synchronize()

    def send(self, slot: int, nbytes: int) -> None:
        """Put the first `nbytes` of a slot into `current`, behind the work already queued."""
        machine, computing = self._machine, self._machine.computing()
        self._copying.wait_event(self._left)
        machine.upload(self.slots[slot], self._arriving, nbytes, self._copying)
        self._landed[slot].record(self._copying)
        computing.wait_event(self._landed[slot])
        machine.move(self._arriving, self.current, nbytes, computing)
        self._left.record(computing)
