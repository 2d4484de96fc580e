"""VGG-16, the classification network whose convolutions FCN and DeconvNet begin with.

    vgg16   (N, 3, H, W) -> (N, num_classes) scores

Source: Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition"
(ICLR 2015), table 1, configuration D, whose 138,357,544 parameters the default arguments give.
The fully connected layers are convolutions, as in section 3.2 of the paper: their numbers are the
same, and an image of any size that is large enough can be classified.
"""

from __future__ import annotations

from typing import Any

from minideconv.autograd import Tensor
from minideconv.models.blocks import STAGES, Block
from minideconv.nn import Conv2d, Dropout, MaxPool2d, Module
from minideconv.ops import geometry

__all__ = ["VGG16", "vgg16"]


class VGG16(Module):
    """The network; the default arguments are exactly the paper's.

    Parameters
    ----------
    num_classes : int
        Classes; ImageNet has 1000.
    width : int
        Channels of the first stage; all others are multiples of it.
    fc : int
        Channels of fc6 and fc7.
    input_size : int or (int, int)
        Pixels (H, W) of the images for which fc6 sees the whole map; at least 32.
    in_channels : int
        Colours of the input.
    batch_norm : bool
        Whether each convolution, fc6 and fc7 excepted, is normalised, as in torchvision's
        vgg16_bn; the paper's are not.
    dropout : float
        Probability in [0, 1] with which values of fc6 and fc7 are dropped in training.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> vgg16(num_classes=4, width=2, input_size=32, fc=8).num_parameters()
    14794
    """

    def __init__(
        self,
        num_classes: int = 1000,
        width: int = 64,
        fc: int = 4096,
        input_size: int | tuple[int, int] = 224,
        in_channels: int = 3,
        batch_norm: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        sizes = {"num_classes": num_classes, "width": width, "fc": fc, "in_channels": in_channels}
        geometry.check_positive("vgg16", **sizes)
        size = geometry.pair(input_size, "input_size", "vgg16")
        # Each pooling halves and rounds down.
        kernel = (size[0] >> len(STAGES), size[1] >> len(STAGES))
        if min(kernel) < 1:
            raise ValueError(
                f"vgg16: input_size is {size}; five poolings halve it five times, so both sides "
                f"must be at least {2 ** len(STAGES)}"
            )
        self.num_classes, self.width, self.fc, self.input_size = num_classes, width, fc, size
        self.in_channels, self.batch_norm, self.dropout = in_channels, batch_norm, dropout

        channels = in_channels
        for number, (convolutions, _) in enumerate(STAGES, 1):
            for i, multiple in enumerate(convolutions, 1):
                conv = Conv2d(channels, multiple * width, 3, padding=1)
                channels = multiple * width
                setattr(self, f"conv{number}_{i}", Block(conv, channels, batch_norm))
            setattr(self, f"pool{number}", MaxPool2d(2, 2))
        self.fc6 = Block(Conv2d(channels, fc, kernel), fc, batch_norm=False)
        self.drop6 = Dropout(dropout)
        self.fc7 = Block(Conv2d(fc, fc, 1), fc, batch_norm=False)
        self.drop7 = Dropout(dropout)
        self.fc8 = Conv2d(fc, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return every class's score, ``(N, in_channels, H, W) -> (N, num_classes)``.

        Parameters
        ----------
        x : Tensor, shape (N, in_channels, H, W)
            Normalised images, at least as large as ``input_size``. Of a larger one the scores of
            all places are averaged (section 3.2 of the paper).

        Raises
        ------
        ValueError
            If `x` has another number of axes or channels, or is smaller than ``input_size``.
        """
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"VGG16: x has shape {x.shape}; it must be (N, {self.in_channels}, H, W)"
            )
        if any(side < least for side, least in zip(x.shape[2:], self.input_size, strict=True)):
            raise ValueError(
                f"VGG16: x is {x.shape[2]}x{x.shape[3]} pixels; this network was built for "
                f"{self.input_size[0]}x{self.input_size[1]} and fc6 needs at least that"
            )
        for number, (convolutions, _) in enumerate(STAGES, 1):
            for i in range(1, len(convolutions) + 1):
                x = getattr(self, f"conv{number}_{i}")(x)
            x = getattr(self, f"pool{number}")(x)
        scores: Tensor = self.fc8(self.drop7(self.fc7(self.drop6(self.fc6(x)))))
        return scores.mean(axis=(2, 3))

    def config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this network, as plain JSON."""
        names = ("num_classes", "width", "fc", "in_channels", "batch_norm", "dropout")
        size = {"input_size": list(self.input_size)}
        return {**{name: getattr(self, name) for name in names}, **size}

    def extra_repr(self) -> str:
        """Return the number of parameters."""
        return f"{self.num_parameters():,} parameters"


vgg16 = VGG16
"""The name in PyTorch's style for what builds a network."""
