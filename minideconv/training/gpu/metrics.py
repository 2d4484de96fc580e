"""The losses of steps on a GPU and their sums of metrics, kept there until they are read.

To read a number from a GPU is to wait for all work that was queued before. So a step
leaves its loss and its sums in one block of the device's memory, and the block is read every few
steps, in one copy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.backend import Array, cupy
from minideconv.engine.cuda.losses import add_loss

__all__ = ["DeviceMetrics"]


class DeviceMetrics:
    """Metrics of the steps since the last reading, on the current device.

    Parameters
    ----------
    counts : int64 or float64 array
        As what is added to, see `tasks.Metrics`.
    steps : int
        How many steps there may be between two readings.

    Attributes
    ----------
    counts : array on the device
        What steps add to.
    """

    def __init__(self, counts: np.ndarray, steps: int) -> None:
        ends = np.cumsum([8 * steps, 8 * counts.size, 4]).tolist()
        self._parts = [slice(0, ends[0]), slice(ends[0], ends[1]), slice(ends[1], ends[2])]
        self._shape, self._dtype = counts.shape, counts.dtype
        self._block: Any = cupy().zeros(ends[-1], np.uint8)
        self._host: Array = np.frombuffer(
            cupy().cuda.alloc_pinned_memory(ends[-1]), np.uint8, ends[-1]
        )
        self._losses, self.counts, self._step_index = self._views(self._block)
        self.steps = steps

    def _views(self, block: Any) -> tuple[Any, Any, Any]:
        losses, counts, step_index = (block[part] for part in self._parts)
        sums = counts.view(self._dtype).reshape(self._shape)
        return losses.view(np.float64), sums, step_index.view(np.int32)

    def add_loss(self, loss: Array, weight: Array, first: bool, last: bool) -> None:
        """Add a batch's loss, times `weight`, to that of its step; see `engine.cuda.losses`."""
        add_loss(self._losses, self._step_index, loss, weight, first, last)

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the losses of the steps since the last reading, and the sums.

        Both start anew. Waits for the device.
        """
        stream = cupy().cuda.get_current_stream()
        self._block.data.copy_to_host_async(self._host.ctypes.data, self._host.nbytes, stream)
        self._block.data.memset_async(0, self._host.nbytes, stream)
        stream.synchronize()
        losses, counts, step_index = self._views(self._host)
        return losses[: step_index[0]].copy(), counts.copy()
