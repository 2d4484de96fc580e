"""The losses of some steps, kept on the device until they are read: `add_loss`."""

from __future__ import annotations

from minideconv.backend import Array
from minideconv.engine.cuda.module import launch

__all__ = ["add_loss"]


def add_loss(
    losses: Array, place: Array, loss: Array, share: Array, first: bool, last: bool
) -> None:
    """Add ``share * loss`` to ``losses[place]``, and go on to the next place behind the last batch.

    Parameters
    ----------
    losses : (n,) float64 array
    place : (1,) int32 array
        Steps that are in `losses`; at n, nothing more is kept.
    loss, share : () or (1,) float32 arrays
        A batch's loss and its weight in the step.
    first, last : bool
        Whether the batch is the first or the last one of its step.
    """
    arguments = (losses, place, loss.reshape(1), share.reshape(1), first, last, losses.size)
    launch("figures.cu", "add_loss", 1, arguments, block=1)
