"""The losses of some steps, kept on the device until they are read: `add_loss`."""

from __future__ import annotations

from minideconv.backend import Array
from minideconv.engine.cuda.module import launch

__all__ = ["add_loss"]


def add_loss(
    losses: Array, step_index: Array, loss: Array, weight: Array, first: bool, last: bool
) -> None:
    """Add ``weight * loss`` to ``losses[step_index]``, and count the step behind its last batch.

    Parameters
    ----------
    losses : (n,) float64 array
    step_index : (1,) int32 array
        Steps that are in `losses`; at n, nothing more is kept.
    loss, weight : () or (1,) float32 arrays
        A batch's loss and its weight in the step.
    first, last : bool
        Whether the batch is the first or the last one of its step.
    """
    arguments = (losses, step_index, loss.reshape(1), weight.reshape(1), first, last, losses.size)
    launch("losses.cu", "add_loss", 1, arguments, block=1)
