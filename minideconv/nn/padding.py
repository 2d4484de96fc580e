"""Layers that put a border around images: `F.pad` with amounts that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from minideconv import functional as F
from minideconv.autograd import Tensor
from minideconv.backend.checks import check_integer, check_number
from minideconv.nn.module import Module

__all__ = ["CircularPad2d", "ConstantPad2d", "ReflectionPad2d", "ReplicationPad2d", "ZeroPad2d"]


class _Pad2d(Module):
    """Keeps (left, right, top, bottom); negative amounts crop."""

    mode = "constant"

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        amounts: Sequence[int] = ()
        items = padding if isinstance(padding, Sequence) else [padding] * 4
        with suppress(TypeError):
            amounts = [check_integer("", "", item) for item in items]
        if len(amounts) != 4:
            raise ValueError(
                f"{type(self).__name__}: padding is {padding!r}; it must be an integer or four of "
                "them, (left, right, top, bottom)"
            )
        self.padding: tuple[int, ...] = tuple(amounts)

    def forward(self, x: Tensor) -> Tensor:
        """Pad the last two axes of `x`."""
        return F.pad(x, self.padding, self.mode)

    def extra_repr(self) -> str:
        """Return the amounts."""
        return str(self.padding)


class ConstantPad2d(_Pad2d):
    """A border of `value`: ``(..., H, W) -> (..., top + H + bottom, left + W + right)``."""

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = check_number("ConstantPad2d", "value", value)

    def forward(self, x: Tensor) -> Tensor:
        """Pad the last two axes of `x`."""
        return F.pad(x, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        """Return the amounts and the value."""
        return f"{self.padding}, value={self.value}"


class ZeroPad2d(_Pad2d):
    """A border of zeros; otherwise as `ConstantPad2d`."""


class ReflectionPad2d(_Pad2d):
    """A border of mirrored pixels, the edge not repeated; see `ops.pad`."""

    mode = "reflect"


class ReplicationPad2d(_Pad2d):
    """A border of repeated edge pixels; see `ops.pad`."""

    mode = "replicate"


class CircularPad2d(_Pad2d):
    """A border of the pixels of the opposite side; see `ops.pad`."""

    mode = "circular"
