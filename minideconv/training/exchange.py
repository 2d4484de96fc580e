"""What the processes of a run tell each other in a step: `Alone`, for a run that is one process.

A step asks at three places. Its answers here say that there is nobody else.
"""

from __future__ import annotations

from typing import Any

from minideconv.backend import Array

__all__ = ["Alone"]


class Alone:
    """One process, which has every image of the batch itself."""

    def share(self, truth: Array, share: float) -> float:
        """Return the weight of this process's mean loss over the pixels of `truth` that count.

        The weights of all processes add up to `share`, the weight of the whole batch in its step.
        """
        return share

    def add_gradients(self, optimizer: Any) -> None:
        """Replace the gradients of `optimizer` by their sum over all processes."""

    def add_up(self, figures: Array) -> Array:
        """Return the sum of `figures` over all processes: losses, counts of pixels."""
        return figures
