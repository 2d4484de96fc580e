"""A linear probe: what a network's features say about classes by a linear map alone.

    Probe   (N, 3, H, W) -> (N, num_classes, H, W) scores

VGG-16's convolutions, one 1x1 convolution that scores the classes, and bilinear enlargement. With
all stages frozen (`trunk.freeze`, ``--freeze``) nothing learns but the scores: how good they become
depends on the features, which some other run or file gives (``--init-from``).

Source: Alain, Bengio, "Understanding intermediate layers using linear classifier probes" (ICLR
workshop 2017), for probes; Zhang, Isola, Efros, "Colorful image colorization" (ECCV 2016), section
3.2, for frozen features of networks that learned without labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from minideconv import functional as F
from minideconv.autograd import Tensor
from minideconv.models.blocks import DEPTHS, STAGES, Block
from minideconv.models.registry import NetworkOptions, register
from minideconv.models.trunk import Features
from minideconv.nn import Conv2d, MaxPool2d, Module
from minideconv.ops import geometry
from minideconv.settings.setting import AT_LEAST_1, setting

__all__ = ["Probe"]


@dataclass(frozen=True, kw_only=True)
class ProbeOptions(NetworkOptions):
    """What a training run chooses."""

    renamed: ClassVar[Mapping[str, str]] = {"depth": "stages"}

    width: int = setting(16, "channels of the first convolution (VGG-16: 64)", **AT_LEAST_1)
    depth: int = setting(3, "number of pooling stages in front of the scores", **DEPTHS)
    batch_norm: str = setting(
        "all",
        "whether the convolutions are normalised (all) or not (none, VGG-16's)",
        choices=("all", "none"),
    )


@register("probe", ProbeOptions, title="Linear probe")
class Probe(Module):
    """The network.

    Parameters
    ----------
    num_classes : int
        Classes, background included.
    width : int
        Channels of the first stage; all others are multiples of it, see ``STAGES``.
    stages : int
        Poolings in front of the scores, 1 to 5.
    input_size : int or (int, int)
        The smallest images (H, W) that it is given; at least ``2 ** stages`` a side.
    in_channels : int
        Colours of the input.
    batch_norm : {"all", "none"}
        Whether each convolution is normalised.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    def __init__(
        self,
        num_classes: int = 21,
        width: int = 64,
        stages: int = 5,
        input_size: int | tuple[int, int] = 224,
        in_channels: int = 3,
        batch_norm: str = "all",
    ) -> None:
        super().__init__()
        size = geometry.pair(input_size, "input_size", "Probe")
        sizes = {"num_classes": num_classes, "width": width, "in_channels": in_channels}
        geometry.check_positive("Probe", **sizes)
        if not 1 <= stages <= len(STAGES):
            raise ValueError(f"Probe: stages is {stages}; it must be in 1..{len(STAGES)}")
        if min(size) < 2**stages:
            raise ValueError(
                f"Probe: input_size is {size}; {stages} poolings halve it {stages} times, so both"
                f" sides must be at least {2**stages}"
            )
        if batch_norm not in ("all", "none"):
            raise ValueError(f"Probe: batch_norm is {batch_norm!r}; it must be 'all' or 'none'")
        self.num_classes, self.width, self.stages = num_classes, width, stages
        self.input_size, self.in_channels, self.batch_norm = size, in_channels, batch_norm
        channels = in_channels
        for number, (convolutions, _) in enumerate(STAGES[:stages], 1):
            for i, multiple in enumerate(convolutions, 1):
                conv = Conv2d(channels, multiple * width, 3, padding=1)
                channels = multiple * width
                setattr(self, f"conv{number}_{i}", Block(conv, channels, batch_norm == "all"))
            setattr(self, f"pool{number}", MaxPool2d(2, 2))
        self.score = Conv2d(channels, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return every class's score at every pixel, ``(N, 3, H, W) -> (N, num_classes, H, W)``.

        Parameters
        ----------
        x : Tensor, shape (N, in_channels, H, W)
            Normalised images of at least ``2 ** stages`` pixels a side.

        Raises
        ------
        ValueError
            If `x` has another number of axes or channels, or is smaller.
        """
        if x.ndim != 4 or x.shape[1] != self.in_channels or min(x.shape[2:]) < 2**self.stages:
            raise ValueError(
                f"Probe: x has shape {x.shape}; it must be (N, {self.in_channels}, H, W) with H"
                f" and W at least {2**self.stages}"
            )
        return self.decode(self.encode(x, self.stages))

    def encode(self, x: Tensor, stages: int) -> Features:
        """Compute the first stages."""
        return self._contracted(Features(0, (x.shape[2], x.shape[3]), (x,)), stages)

    def _contracted(self, features: Features, stages: int) -> Features:
        (x,) = features.maps
        for number in range(features.stages + 1, stages + 1):
            for i in range(1, len(STAGES[number - 1][0]) + 1):
                x = getattr(self, f"conv{number}_{i}")(x)
            x = getattr(self, f"pool{number}")(x)
        return Features(stages, features.size, (x,))

    def decode(self, features: Features) -> Tensor:
        """Compute the other stages and the scores, and enlarge them."""
        (x,) = self._contracted(features, self.stages).maps
        return F.interpolate(self.score(x), size=features.size, mode="bilinear")

    def config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this network, as plain JSON."""
        names = ("num_classes", "width", "stages", "in_channels", "batch_norm")
        values = {name: getattr(self, name) for name in names}
        return {**values, "input_size": list(self.input_size)}

    def extra_repr(self) -> str:
        """Return the number of parameters."""
        return f"{self.num_parameters():,} parameters"
