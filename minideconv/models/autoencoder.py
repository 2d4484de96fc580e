r"""Auto-encoders: VGG-16's convolutions, and their mirror image that draws the input again.

    Autoencoder, SWWAE    x (N, 3, H, W) -> x~ (N, 3, H, W)

A pooling keeps *what* is there, the maximum of each window, and loses *where* in the window it was.
The decoder of `Autoencoder` must do without: it enlarges. That of the stacked what-where
auto-encoder, `SWWAE`, is given the where: the pooling's switches, by which it unpools. All else is
the same, and as in `DeconvNet`: the names and shapes of the layers too, so that a DeconvNet can
begin with what was learned here.

    encoder    h_0 = x,   h_m, s_m = pool(conv_m(h_(m-1)))            m = 1 .. M
    decoder    g_M = h_M,   g_(m-1) = deconv_m(unpool(g_m, s_m)),   x~ = W g_0 + b

A what-where auto-encoder is to draw again not the image alone but each map h_m that the encoder
made of it, so that no layer of the decoder is trained by the image's error only:

    L = w_input mean (x - x~)^2  +  w_middle sum_(m = 1 .. M-1) mean (h_m - g_m)^2

Here h_m is a target: no gradient goes into it. Each layer is normalised by its batch, so scaling
h_m and g_m by one factor changes nothing behind them, and with a gradient into both the second term
could become as small as one likes without any likeness.

Source: Zhao, Mathieu, Goroshin, LeCun, "Stacked what-where auto-encoders" (arXiv 1506.02351, 2015)
without its term about labels; that h_m is held is this library's. The layers are those of Noh,
Hong, Han (ICCV 2015), Figure 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from minideconv.autograd import Tensor
from minideconv.models.blocks import DEPTHS, STAGES, Block, contract, expand
from minideconv.models.corruption import Corruption
from minideconv.models.registry import NetworkOptions, register
from minideconv.models.upsampling import UPSAMPLING
from minideconv.nn import Conv2d, ConvTranspose2d, MaxPool2d, Module
from minideconv.ops import geometry
from minideconv.settings.setting import AT_LEAST_0, AT_LEAST_1, FRACTION, refusal, setting

__all__ = ["SWWAE", "Autoencoder", "StackedReconstruction"]

Pairs = list[tuple[Tensor, Tensor]]


@runtime_checkable
class StackedReconstruction(Protocol):
    """A network that draws again more than its input; see `SWWAE`.

    Attributes
    ----------
    input_weight, middle_weight : float
        Of the mean squared errors of the input, and of each of the maps in between.
    """

    input_weight: float
    middle_weight: float

    def reconstruct(self, x: Tensor) -> tuple[Tensor, Pairs]:
        """Return what is made of `x`, and each map of the encoder with what it is drawn as."""
        ...


@dataclass(frozen=True, kw_only=True)
class CommonOptions(NetworkOptions):
    """What a training run chooses about every auto-encoder."""

    renamed: ClassVar[Mapping[str, str]] = {"depth": "stages"}

    width: int = setting(16, "channels of the first convolution (VGG-16: 64)", **AT_LEAST_1)
    depth: int = setting(3, "number of pooling stages (VGG-16: 5)", **DEPTHS)
    noise: float = setting(
        0.0,
        "denoising: standard deviation of the noise that training adds to the input, in units of "
        "the normalised input (1 is 58 grey levels)",
        metavar="SIGMA",
        **AT_LEAST_0,
    )
    masking: float = setting(
        0.0,
        "denoising: share of the pixels that training sets to the mean colour",
        metavar="P",
        **FRACTION,
    )


@dataclass(frozen=True, kw_only=True)
class AutoencoderOptions(CommonOptions):
    """What a training run chooses about an auto-encoder without switches."""

    upsampling: str = setting(
        "learned",
        "how the decoder enlarges: by a learned transposed convolution of stride 2, bilinearly, or "
        "by unpooling to the upper left pixel of each window",
        choices=("learned", "bilinear", "fixed"),
    )


@dataclass(frozen=True, kw_only=True)
class SWWAEOptions(CommonOptions):
    """What a training run chooses about a what-where auto-encoder."""

    input_weight: float = setting(
        1.0, "weight of the input's mean squared error in the loss", metavar="W", **AT_LEAST_0
    )
    middle_weight: float = setting(
        0.1,
        "weight of the mean squared error of each of the encoder's maps in between, which the "
        "decoder draws again",
        metavar="W",
        **AT_LEAST_0,
    )

    def check(self) -> None:
        """Refuse a loss that is 0 whatever the network does."""
        super().check()
        if not self.input_weight and not (self.middle_weight and self.depth > 1):
            raise refusal(
                lambda name: (
                    f"{name('input_weight')} is 0; with {name('middle_weight')}"
                    f" {self.middle_weight:g} and {name('depth')} {self.depth} the loss would"
                    " always be 0, so it must be above 0"
                )
            )


@register("autoencoder", AutoencoderOptions, title="Auto-encoder")
class Autoencoder(Module):
    """The network whose decoder does not know where the maxima were.

    Parameters
    ----------
    num_classes : int
        Channels of the output: 3 to draw an image again.
    width : int
        Channels of the first stage; all others are multiples of it, see ``STAGES``.
    stages : int
        Poolings, 1 to 5.
    input_size : int or (int, int)
        The smallest images (H, W) that it is given; at least ``2 ** stages`` a side.
    in_channels : int
        Colours of the input.
    noise, masking : float
        What is done to the input in training; see `corruption.Corruption`.
    upsampling : {"learned", "bilinear", "fixed"}
        How a pooling is undone; see `models.upsampling`.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> Autoencoder(width=2, stages=2, input_size=16).num_parameters()
    755
    """

    known_upsampling: tuple[str, ...] = ("learned", "bilinear", "fixed")

    def __init__(
        self,
        num_classes: int = 3,
        width: int = 64,
        stages: int = 5,
        input_size: int | tuple[int, int] = 224,
        in_channels: int = 3,
        noise: float = 0.0,
        masking: float = 0.0,
        upsampling: str = "learned",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        size = geometry.pair(input_size, "input_size", name)
        geometry.check_positive(name, num_classes=num_classes, width=width, in_channels=in_channels)
        if not 1 <= stages <= len(STAGES):
            raise ValueError(f"{name}: stages is {stages}; it must be in 1..{len(STAGES)}")
        if min(size) < 2**stages:
            raise ValueError(
                f"{name}: input_size is {size}; {stages} poolings halve it {stages} times, so both"
                f" sides must be at least {2**stages}"
            )
        if upsampling not in self.known_upsampling:
            among = ", ".join(map(repr, self.known_upsampling))
            raise ValueError(f"{name}: upsampling is {upsampling!r}; it must be one of {among}")
        self.num_classes, self.width, self.stages = num_classes, width, stages
        self.input_size, self.in_channels, self.upsampling = size, in_channels, upsampling

        self.corruption = Corruption(noise, masking)
        channels = in_channels
        for number, (convolutions, _) in enumerate(STAGES[:stages], 1):
            for i, multiple in enumerate(convolutions, 1):
                conv = Conv2d(channels, multiple * width, 3, padding=1)
                channels = multiple * width
                setattr(self, f"conv{number}_{i}", Block(conv, channels))
            setattr(self, f"pool{number}", MaxPool2d(2, 2, return_switches=True))
        for number in range(stages, 0, -1):
            setattr(self, f"unpool{number}", UPSAMPLING[upsampling](channels))
            for i, multiple in enumerate(STAGES[number - 1][1], 1):
                deconv = ConvTranspose2d(channels, multiple * width, 3, padding=1)
                channels = multiple * width
                setattr(self, f"deconv{number}_{i}", Block(deconv, channels))
        self.reconstruction = Conv2d(channels, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Draw the images again, ``(N, in_channels, H, W) -> (N, num_classes, H, W)``.

        Parameters
        ----------
        x : Tensor, shape (N, in_channels, H, W)
            Normalised images of at least ``2 ** stages`` pixels a side. A size that a pooling
            cannot halve is restored.

        Raises
        ------
        ValueError
            If `x` has another number of axes or channels, or is smaller.
        """
        return self.reconstruct(x)[0]

    def reconstruct(self, x: Tensor) -> tuple[Tensor, Pairs]:
        """Return what `forward` does, and the pairs (h_m, g_m), m = 1 .. M-1, of the same shapes.

        The pairs are in the order of the decoder, from the coarsest on; h_m is off the tape.
        """
        if x.ndim != 4 or x.shape[1] != self.in_channels or min(x.shape[2:]) < 2**self.stages:
            raise ValueError(
                f"{type(self).__name__}: x has shape {x.shape}; it must be (N, {self.in_channels},"
                f" H, W) with H and W at least {2**self.stages}"
            )
        x = self.corruption(x)
        maps, all_switches = [], []
        for number in range(1, self.stages + 1):
            names = [f"conv{number}_{i + 1}" for i in range(len(STAGES[number - 1][0]))]
            x, switches = contract(self._modules_of(*names, f"pool{number}"), x)
            maps.append(x)
            all_switches.append(switches)
        pairs: Pairs = []
        for number in range(self.stages, 0, -1):
            if number < self.stages:
                pairs.append((maps[number - 1].detach(), x))
            names = [f"deconv{number}_{i + 1}" for i in range(len(STAGES[number - 1][1]))]
            stage = self._modules_of(f"unpool{number}", *names)
            x = expand(stage, x, all_switches[number - 1])
        return self.reconstruction(x), pairs

    def _modules_of(self, *names: str) -> list[Module]:
        return [getattr(self, name) for name in names]

    def config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this network, as plain JSON."""
        names = ("num_classes", "width", "stages", "in_channels", "upsampling")
        values = {name: getattr(self, name) for name in names}
        corruption = {"noise": self.corruption.noise, "masking": self.corruption.masking}
        return {**values, "input_size": list(self.input_size), **corruption}

    def extra_repr(self) -> str:
        """Return the number of parameters."""
        return f"{self.num_parameters():,} parameters"


@register("swwae", SWWAEOptions, title="What-where auto-encoder")
class SWWAE(Autoencoder):
    """The network whose decoder is given the switches, and draws the maps in between again.

    Parameters
    ----------
    num_classes, width, stages, input_size, in_channels, noise, masking
        As for `Autoencoder`.
    input_weight, middle_weight : float
        Of the terms of the loss, which the task `Autoencode` computes; not both are 0.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    known_upsampling = ("switches",)

    def __init__(
        self,
        num_classes: int = 3,
        width: int = 64,
        stages: int = 5,
        input_size: int | tuple[int, int] = 224,
        in_channels: int = 3,
        noise: float = 0.0,
        masking: float = 0.0,
        input_weight: float = 1.0,
        middle_weight: float = 0.1,
    ) -> None:
        super().__init__(
            num_classes, width, stages, input_size, in_channels, noise, masking, "switches"
        )
        for name, value in (("input_weight", input_weight), ("middle_weight", middle_weight)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"SWWAE: {name} is {value}; it must be finite and >= 0")
        if not input_weight and not (middle_weight and stages > 1):
            raise ValueError(
                f"SWWAE: input_weight is 0; with middle_weight {middle_weight} and {stages} stages"
                " the loss would always be 0"
            )
        self.input_weight, self.middle_weight = input_weight, middle_weight

    def config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this network, as plain JSON."""
        values = super().config()
        del values["upsampling"]  # always by switches
        return {**values, "input_weight": self.input_weight, "middle_weight": self.middle_weight}
