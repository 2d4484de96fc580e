"""What stands behind a stage of DeconvNet's decoder where its pooling is undone: `UPSAMPLING`.

    upsampling    x (N, C, H', W'), switches of a pooling of H x W  ->  (N, C, H, W)

| name | a value goes to | parameters |
|---|---|---|
| switches | the pixel that its pooling's maximum came from; zeros elsewhere (the paper's) | none |
| fixed | the upper left pixel of its window; zeros elsewhere | none |
| bilinear | all pixels around it, weighted by their distance | none |
| learned | each pixel of its window, by a 2 x 2 transposed convolution of stride 2 | 4 C^2 + C |

All of them restore the size that was pooled, an odd one too. The last three do not use where the
maxima were: networks with them show what the switches are worth (`minideconv.ablate`).

Source: Noh, Hong, Han (ICCV 2015), section 3.2.1, for the switches; Dosovitskiy, Springenberg,
Brox, "Learning to generate chairs with convolutional neural networks" (CVPR 2015), for the fixed
position; Long, Shelhamer, Darrell (CVPR 2015), section 3.3, for enlargement that is bilinear
or learned; Ronneberger, Fischer, Brox, "U-Net" (MICCAI 2015), for the 2 x 2 window.
"""

from __future__ import annotations

from collections.abc import Callable

from minideconv import functional as F
from minideconv.autograd import Tensor
from minideconv.backend import get_xp
from minideconv.nn import ConvTranspose2d, MaxUnpool2d, Module
from minideconv.ops.switches import Switches

__all__ = ["UPSAMPLING", "BilinearUpsampling", "FixedUnpool2d", "LearnedUpsampling"]


class FixedUnpool2d(Module):
    """Unpooling to the first pixel of each window: (N, C, H', W') -> (N, C, H, W)."""

    def forward(self, x: Tensor, switches: Switches) -> Tensor:
        """Unpool `x` into windows as those of `switches`, each value at the upper left.

        Raises
        ------
        ValueError
            If the switches do not know their windows, or the windows are padded, so that their
            first pixel may be outside of the plane.
        """
        taps = switches.taps
        if taps is None or switches.padding != (0, 0):
            raise ValueError(
                f"FixedUnpool2d: the switches have padding {switches.padding}; they must be of a"
                " known pooling without padding"
            )
        return F.max_unpool2d(x, switches.with_taps(get_xp(taps).zeros_like(taps)))


class BilinearUpsampling(Module):
    """Bilinear enlargement to the size that was pooled: (N, C, H', W') -> (N, C, H, W)."""

    def forward(self, x: Tensor, switches: Switches) -> Tensor:
        """Enlarge `x` to the plane of `switches`."""
        return F.interpolate(x, size=switches.plane_shape, mode="bilinear")


class LearnedUpsampling(Module):
    """A 2 x 2 transposed convolution of stride 2: (N, C, H', W') -> (N, C, H, W).

    The last row or column of an odd plane is in no window and gets the bias alone.

    Parameters
    ----------
    channels : int
        C, of input and output: ``4 C^2 + C`` parameters.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = ConvTranspose2d(channels, channels, 2, stride=2)

    def forward(self, x: Tensor, switches: Switches) -> Tensor:
        """Enlarge `x` to the plane of `switches`, whose sides are 2 H' or 2 H' + 1."""
        return self.layer(x, output_size=switches.plane_shape)


UPSAMPLING: dict[str, Callable[[int], Module]] = {
    "switches": lambda channels: MaxUnpool2d(),
    "fixed": lambda channels: FixedUnpool2d(),
    "bilinear": lambda channels: BilinearUpsampling(),
    "learned": LearnedUpsampling,
}
"""For each value of ``upsampling`` what builds the module for a map of so many channels."""
