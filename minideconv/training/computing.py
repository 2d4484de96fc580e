"""How a run computes: threads, algorithms, precision. What it computes does not depend on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from minideconv.backend import Device, cupy, parallel
from minideconv.backend.algorithms import algorithm
from minideconv.backend.precisions import get_precision, precision
from minideconv.engine.cuda import memory
from minideconv.engine.cuda.capability import check_precision
from minideconv.engine.cuda.streams import computing_on
from minideconv.errors import TrainingError
from minideconv.settings.setting import refusal
from minideconv.training.gpu.out_of_memory import shortage

__all__ = ["computing", "loader_workers"]

_MOST_WORKERS = 8
"""More threads than this have not been seen to prepare more batches."""


def loader_workers(workers: int | None, device: Device, cores: int) -> int:
    """Return how many threads prepare batches: `workers`, or for None what the device can use.

    A network on the CPU leaves one thread time enough, and needs the `cores` itself; a GPU is
    faster than that, and leaves them free.
    """
    if workers is not None:
        return workers
    return 1 if device.type == "cpu" else min(_MOST_WORKERS, cores)


@contextmanager
def computing(
    device: Device, threads: int, algorithm_name: str | None, precision_name: str | None = None
) -> Iterator[None]:
    """Compute on `device`, with `threads` (0: one per core), in this way, inside the block.

    A run may change all of it from one session to the next.

    Raises
    ------
    UsageError
        If the CPU shall compute in another precision than fp32, or a GPU in one it has not.
    TrainingError
        If the block needs more of a GPU's memory than there is.
    """
    wanted = precision_name or get_precision()
    if device.type == "cpu" and wanted != "fp32":
        raise refusal(
            lambda name: (
                f"{name('precision') if precision_name else 'MINIDECONV_PRECISION'} {wanted} is for"
                " a GPU, but the run computes on the CPU, which has fp32 only"
            )
        )
    before = parallel.get_num_threads()
    parallel.set_num_threads(threads or None)
    try:
        with computing_on(device), algorithm(algorithm_name), precision(precision_name):
            if device.type == "gpu":
                check_precision(get_precision(), device.index)
            yield
    except Exception as error:
        asked = memory.bytes_asked(error) if device.type == "gpu" else None
        if asked is None:
            raise
        with cupy().cuda.Device(device.index):
            short = shortage(asked, memory.room_on_device())
        raise refusal(
            lambda name: f"out of the GPU's memory: {short}; try a smaller {name('batch_size')}",
            TrainingError,
        ) from error
    finally:
        if parallel.get_num_threads() != before:
            parallel.set_num_threads(before)
