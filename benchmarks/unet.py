"""A small U-Net: maps are halved by pooling, and doubled by 2x2 transposed convolutions.

Source: Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image
segmentation" (MICCAI 2015), figure 1; with padding and batch normalisation, as most write it.
"""

from __future__ import annotations

from minideconv import Tensor, concatenate, nn
from minideconv.models.blocks import Block

__all__ = ["UNet"]


class UNet(nn.Module):
    """(N, 3, H, W) -> (N, num_classes, H, W) scores; H and W are multiples of ``2 ** stages``."""

    def __init__(self, num_classes: int = 21, width: int = 16, stages: int = 3) -> None:
        super().__init__()
        widths = [width << number for number in range(stages + 1)]
        before = [3, *widths[:-1]]
        self.down = nn.ModuleList(_pair(*pair) for pair in zip(before, widths, strict=True))
        steps = range(stages, 0, -1)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(widths[i], widths[i - 1], 2, stride=2) for i in steps
        )
        self.after = nn.ModuleList(_pair(widths[i], widths[i - 1]) for i in steps)
        self.pool = nn.MaxPool2d(2, 2)
        self.score = nn.Conv2d(width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for number, stage in enumerate(self.down):
            x = stage(self.pool(x) if number else x)
            maps.append(x)
        maps.pop()
        for up, stage in zip(self.up, self.after, strict=True):
            x = stage(concatenate([maps.pop(), up(x)], axis=1))
        scores: Tensor = self.score(x)
        return scores


def _pair(c_in: int, c_out: int) -> nn.Sequential:
    first, second = nn.Conv2d(c_in, c_out, 3, padding=1), nn.Conv2d(c_out, c_out, 3, padding=1)
    return nn.Sequential(Block(first, c_out), Block(second, c_out))
