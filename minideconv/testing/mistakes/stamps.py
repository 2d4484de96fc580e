"""A call that stamps kernels onto a canvas, by its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from minideconv.testing.geometry import Pair
from minideconv.testing.mistakes.indices import Tables, backward_by_x, tables
from minideconv.testing.operations.operation import Array, Settings

__all__ = ["Parts", "Register", "Stamps"]


@dataclass
class Stamps:
    """The parts of one call, by what they are to the canvas.

    ``source`` (N, K, H', W') holds the factor of each stamp, ``w`` (K, C / groups, kh, kw) the
    stamps, ``size`` is that of the result, after the crop.
    """

    source: Array
    w: Array
    bias: Array
    size: Pair
    settings: Settings

    @property
    def where(self) -> Tables:
        """Rows and columns of the result that each stamp meets."""
        return tables(self.settings, self.w.shape[2:], self.source.shape[2:])

    def stamped(
        self, where: Tables | None = None, size: Pair | None = None, source: Array | None = None
    ) -> Array:
        """Return the result, or that of other tables, another size, another source; no bias."""
        return backward_by_x(
            self.source if source is None else source, self.w, self.settings["groups"],
            where or self.where, size or self.size,
        )  # fmt: skip

    @property
    def canvas(self) -> Array:
        """The canvas before its crop."""
        (ph, pw), (rows, columns) = self.settings["padding"], self.where
        height, width = self.size
        return self.stamped((rows + ph, columns + pw), (height + 2 * ph, width + 2 * pw))


Parts = Callable[[Stamps], Array]
Register = Callable[..., None]
"""``register(name, sentence, change, *variants)`` of results without their bias."""
