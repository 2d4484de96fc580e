"""What FCN, DeconvNet and VGG-16 are made of: the table of their stages, and their unit, `Block`.

Source: Simonyan, Zisserman (ICLR 2015), table 1, configuration D, for the convolutions; Noh, Hong,
Han (ICCV 2015), Figure 2, for the deconvolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minideconv.autograd import Tensor
from minideconv.nn import BatchNorm2d, Conv2d, ConvTranspose2d, Module, ReLU
from minideconv.nn.fusion import fusible, norm_relu_pool
from minideconv.ops.switches import Switches

__all__ = ["DEPTHS", "NORMALISED", "OUTPUT_STRIDES", "STAGES", "Block", "contract", "expand"]

# Figure 2 as a table. A row is one resolution: on its left the convolutions in front of a pooling,
# on its right the deconvolutions that follow its unpooling; the numbers are output channels in
# units of `width`. At input 224 the maps of the rows are 224, 112, 56, 28 and 14 pixels wide.
#    convolution  deconvolution
STAGES = (
    ((1, 1), (1, 1)),
    ((2, 2), (2, 1)),
    ((4, 4, 4), (4, 4, 2)),
    ((8, 8, 8), (8, 8, 4)),
    ((8, 8, 8), (8, 8, 8)),
)

DEPTHS: dict[str, Any] = {
    "legal": range(1, len(STAGES) + 1).__contains__,
    "legal_text": f"in 1..{len(STAGES)}",
}
"""For `setting`: how many of these rows a network may have."""

NORMALISED = {
    "all": frozenset({"trunk", "fc", "decoder"}),
    "head": frozenset({"fc", "decoder"}),
    "encoder": frozenset({"trunk", "fc"}),
    "fc": frozenset({"fc"}),
    "none": frozenset(),
}
"""For each value of ``batch_norm`` the parts of the network that have batch normalisation."""

OUTPUT_STRIDES = (1, 2, 4, 8, 16)
"""Pixels of the image for each pixel of a decoder that ends behind one of the unpoolings."""


class Block(Module):
    """The unit of the network: (transposed) convolution, batch normalisation, ReLU."""

    folds = ("layer", "bn")

    def __init__(
        self, layer: Conv2d | ConvTranspose2d, channels: int, batch_norm: bool = True
    ) -> None:
        super().__init__()
        self.layer = layer
        self.bn = BatchNorm2d(channels) if batch_norm else None
        self.relu = ReLU()

    def forward(self, x: Tensor, pool: Module | None = None) -> Any:
        """Apply the three; with `pool` that too, and return what it returns."""
        y = self.layer(x)
        if self.bn is None:
            y = self.relu(y)
            return y if pool is None else pool(y)
        return norm_relu_pool(y, self.bn, self.relu, pool)


def contract(stage: Sequence[Module], x: Tensor) -> tuple[Tensor, Switches]:
    """Apply convolutions and a pooling; return the smaller map, and the switches."""
    *blocks, last, pool = stage
    for block in blocks:
        x = block(x)
    # In one pass, unless a hook on the block, or another module, needs the map in between.
    pooled = last(x, pool) if fusible(last, Block) else pool(last(x))
    if not isinstance(pooled, tuple):
        raise TypeError(
            f"contract: a {type(pool).__name__} in the place of a pooling "
            f"returned a {type(pooled).__name__}; it must return the pooled map and its switches, "
            "as MaxPool2d(2, 2, return_switches=True) does"
        )
    return pooled


def expand(stage: Sequence[Module], x: Tensor, switches: Switches) -> Tensor:
    """Apply an unpooling (or what is in its place) and deconvolutions."""
    unpool, *blocks = stage
    x = unpool(x, switches)
    for block in blocks:
        x = block(x)
    return x
