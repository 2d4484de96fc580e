"""FCN-32s, FCN-16s and FCN-8s: VGG-16 made fully convolutional, its scores enlarged and fused.

    FCN32s, FCN16s, FCN8s   (N, 3, H, W) -> (N, num_classes, H, W) scores

The scores of a map 32 times smaller than the image are enlarged in one step (32s), or step by step,
adding the scores of pool4 (16s) and of pool3 (8s) on the way.

Source: Long, Shelhamer, Darrell, "Fully convolutional networks for semantic segmentation" (CVPR
2015), sections 3.3 and 4.2, and Figure 3; padding, cropping and the initial weights as in the
authors' released networks, whose 134,489,759 parameters (8s) the default arguments reproduce.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from minideconv.autograd import Tensor
from minideconv.models.blocks import STAGES, Block
from minideconv.models.fcn_options import FCNOptions, check
from minideconv.models.registry import register
from minideconv.models.trunk import Features
from minideconv.nn import Conv2d, ConvTranspose2d, Dropout, MaxPool2d, Module, init

__all__ = ["FCN8s", "FCN16s", "FCN32s", "fcn"]

PAPER_PADDING = 100  # of conv1_1: fc6 then fits into the map of the smallest image


class Grid(NamedTuple):
    """Where the pixels of a map are on the image: pixel p at ``stride * p + offset``, its centre.

    A layer changes this; two maps are added, and the output is cut to the image, where their grids
    agree.
    """

    stride: int
    offset: float

    def convolved(self, kernel: int, padding: int = 0, stride: int = 1) -> Grid:
        """Return the grid behind a convolution or pooling."""
        return Grid(self.stride * stride, self.offset + self.stride * ((kernel - 1) / 2 - padding))

    def enlarged(self, kernel: int, stride: int) -> Grid:
        """Return the grid behind a transposed convolution without padding: the other way round."""
        fine = self.stride // stride
        return Grid(fine, self.offset - fine * (kernel - 1) / 2)

    def crop(self, other: Grid) -> int:
        """Return which pixel of this map is at pixel 0 of `other`, which has the same stride."""
        return round((other.offset - self.offset) / self.stride)


class FCN(Module):
    """What the three networks share; the default arguments are exactly the paper's networks.

    Parameters
    ----------
    num_classes : int
        Classes, background included. PASCAL VOC has 21.
    width : int
        Channels of the first stage; all others are multiples of it, as in VGG-16.
    fc : int
        Channels of the two fully connected layers, which are convolutions.
    fc_kernel : int
        Window of fc6; odd if `padding` is "same".
    in_channels : int
        Colours of the input.
    padding : {"paper", "same"}
        "paper": conv1_1 pads by 100 pixels and fc6 by none, so that an image of any size gives fc6
        at least one window, most of which is border for a small image. "same": each convolution
        pads by half of its window.
    batch_norm : {"all", "fc", "none"}
        Which convolutions are normalised: all, fc6 and fc7, or none, as in the paper.
    skip_scale : float
        What pool4 and pool3 are multiplied by in front of their scores. 1, as in the paper, suits
        weights that are trained in turn, from 32s to 8s. Trained at once, values of hundreds, such
        as those of VGG-16's weights without batch normalisation, need a small one (the authors'
        network at once: 0.01 for pool4, 0.0001 for pool3).
    head_init : {"he", "uniform"}
        How fc6, fc7 and the layers that score classes start. "he": fc6 and fc7 by He's rule, the
        scores at zero, as in the released networks. "uniform": all of them uniformly within
        1/sqrt(fan_in), PyTorch's default; behind batch normalisation AdamW then takes larger steps
        relative to the weights.
    learn_upsampling : bool
        Whether the transposed convolutions learn; they start as bilinear enlargement (`nn.init`)
        and stay it otherwise, as in the released networks. The paper finds no difference.
    dropout : float
        Probability in [0, 1] with which values of fc6 and fc7 are dropped in training.
    stages : int
        Poolings, at most 5: a shallower network, for small images, is the first rows of the same
        table. The scores of its last pooling are enlarged ``2 ** stages`` times (FCN-32s), or
        fused with those of the one (16s) or two (8s) poolings in front of it.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    stride: int
    """Pixels of the image for each pixel of the finest scores, at five stages: 32, 16 or 8."""

    skips: int
    """How many poolings in front of the last one have scores of their own: 0, 1 or 2."""

    def __init__(
        self,
        num_classes: int = 21,
        width: int = 64,
        fc: int = 4096,
        fc_kernel: int = 7,
        in_channels: int = 3,
        padding: str = "paper",
        batch_norm: str = "none",
        learn_upsampling: bool = False,
        dropout: float = 0.5,
        skip_scale: float = 1.0,
        head_init: str = "he",
        stages: int = 5,
    ) -> None:
        super().__init__()
        sizes = {"num_classes": num_classes, "width": width, "fc": fc, "fc_kernel": fc_kernel}
        check(type(self).__name__, sizes, stages, self.skips, padding, batch_norm, head_init)
        if not 0 < skip_scale < float("inf"):
            raise ValueError(f"{type(self).__name__}: skip_scale is {skip_scale}; it must be > 0")
        self.num_classes, self.in_channels = num_classes, in_channels
        self.width, self.fc, self.fc_kernel, self.padding = width, fc, fc_kernel, padding
        self.batch_norm, self.learn_upsampling, self.dropout = batch_norm, learn_upsampling, dropout
        self.skip_scale, self.head_init, self.stages = skip_scale, head_init, stages
        self._skipped = tuple(stages - i for i in range(1, self.skips + 1))

        channels, grids = in_channels, {0: Grid(1, 0.0)}
        for number, (multiples, _) in enumerate(STAGES[:stages], 1):
            grid = grids[number - 1]
            for i, multiple in enumerate(multiples, 1):
                border = PAPER_PADDING if (number, i, padding) == (1, 1, "paper") else 1
                conv = Conv2d(channels, multiple * width, 3, padding=border)
                channels = multiple * width
                grid = grid.convolved(3, border)
                setattr(self, f"conv{number}_{i}", Block(conv, channels, batch_norm == "all"))
            setattr(self, f"pool{number}", MaxPool2d(2, 2, ceil_mode=True))
            grids[number] = grid.convolved(2, stride=2)

        border = 0 if padding == "paper" else fc_kernel // 2
        normalised = batch_norm != "none"
        self.fc6 = Block(Conv2d(channels, fc, fc_kernel, padding=border), fc, normalised)
        self.drop6 = Dropout(dropout)
        self.fc7 = Block(Conv2d(fc, fc, 1), fc, normalised)
        self.drop7 = Dropout(dropout)
        self.score_fr = _score(fc, num_classes)
        if head_init == "uniform":
            for layer in (self.fc6.layer, self.fc7.layer, self.score_fr):
                bound = 1 / math.sqrt(init.fans(layer.weight.shape)[0])
                init.uniform_(layer.weight, -bound, bound)

        # Each step enlarges the scores to the next pooling's grid, the last one to the image's.
        self._fusions: list[tuple[str, int, int]] = []
        grid = grids[stages].convolved(fc_kernel, border)
        for number in self._skipped:
            name = f"upscore_pool{number + 1}" if self._fusions else "upscore2"
            grid = self._enlarge(name, grid, 2)
            crop = grids[number].crop(grid)
            self._fusions.append((name, number, crop))
            channels = STAGES[number - 1][0][-1] * width
            setattr(self, f"score_pool{number}", _score(channels, num_classes))
            grid = max(grid, grids[number], key=lambda g: g.offset)
        name = f"upscore{self.stride}" if self.skips else "upscore"
        self._last = name, self._enlarge(name, grid, grid.stride).crop(grids[0])

    def _enlarge(self, name: str, grid: Grid, factor: int) -> Grid:
        """Add a transposed convolution that enlarges bilinearly; return its output's grid."""
        n = self.num_classes
        layer = ConvTranspose2d(n, n, 2 * factor, stride=factor, bias=False)
        init.bilinear_(layer.weight)
        layer.weight.requires_grad = self.learn_upsampling
        setattr(self, name, layer)
        return grid.enlarged(2 * factor, factor)

    def forward(self, x: Tensor) -> Tensor:
        """Return every class's score at every pixel, ``(N, 3, H, W) -> (N, num_classes, H, W)``.

        Parameters
        ----------
        x : Tensor, shape (N, in_channels, H, W)
            Normalised images of any size.

        Raises
        ------
        ValueError
            If `x` has another number of axes or channels.
        """
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"{type(self).__name__}: x has shape {x.shape};"
                f" it must be (N, {self.in_channels}, H, W)"
            )
        return self.decode(self.encode(x, self.stages))

    def encode(self, x: Tensor, stages: int) -> Features:
        """Compute the first stages; the maps are those whose scores are fused, and the last."""
        maps, size = [], (x.shape[2], x.shape[3])
        for number in range(1, stages + 1):
            x = self._pooled(x, number)
            if number in self._skipped and number < stages:
                maps.append(x)
        return Features(stages, size, (*maps, x))

    def decode(self, features: Features) -> Tensor:
        """Compute the other stages, the scores, and what enlarges and fuses them."""
        size, x = features.size, features.maps[-1]
        done = [n for n in sorted(self._skipped) if n < features.stages]
        pooled = dict(zip([*done, features.stages], features.maps, strict=True))
        for number in range(features.stages + 1, self.stages + 1):
            x = pooled[number] = self._pooled(x, number)
        x = self.drop7(self.fc7(self.drop6(self.fc6(x))))
        scores: Tensor = self.score_fr(x)
        for name, number, crop in self._fusions:
            pool = pooled[number] if self.skip_scale == 1 else pooled[number] * self.skip_scale
            skip = getattr(self, f"score_pool{number}")(pool)
            scores = _added(getattr(self, name)(scores), skip, crop)
        name, crop = self._last
        enlarged: Tensor = getattr(self, name)(scores)
        return enlarged[:, :, crop : crop + size[0], crop : crop + size[1]]

    def _pooled(self, x: Tensor, number: int) -> Tensor:
        """Compute a stage: its convolutions and its pooling."""
        for i in range(1, len(STAGES[number - 1][0]) + 1):
            x = getattr(self, f"conv{number}_{i}")(x)
        pooled: Tensor = getattr(self, f"pool{number}")(x)
        return pooled

    def config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this network, as plain JSON."""
        names = (
            *("num_classes", "width", "fc", "fc_kernel", "in_channels"),
            *("padding", "batch_norm", "learn_upsampling", "dropout", "skip_scale", "head_init"),
            "stages",
        )
        return {name: getattr(self, name) for name in names}

    def extra_repr(self) -> str:
        """Return the output stride and the number of parameters."""
        return f"stride={2 ** (self.stages - self.skips)}, {self.num_parameters():,} parameters"


def _score(channels: int, num_classes: int) -> Conv2d:
    """Return a layer that scores classes. It starts at zero, as in the released networks."""
    layer = Conv2d(channels, num_classes, 1)
    init.constant_(layer.weight, 0.0)
    return layer


def _added(scores: Tensor, skip: Tensor, crop: int) -> Tensor:
    """Add two maps, of which pixel `crop` of `skip` is at pixel 0 of `scores`."""
    a, b = max(0, -crop), max(0, crop)
    h, w = (min(m - a, n - b) for m, n in zip(scores.shape[2:], skip.shape[2:], strict=True))
    return scores[:, :, a : a + h, a : a + w] + skip[:, :, b : b + h, b : b + w]


@register("fcn32s", FCNOptions, title="FCN-32s")
class FCN32s(FCN):
    """FCN-32s: the coarse scores are enlarged 32 times in one step. Arguments: see `FCN`."""

    stride, skips = 32, 0


@register("fcn16s", FCNOptions, title="FCN-16s")
class FCN16s(FCN):
    """FCN-16s: the scores of pool4 are added on the way. Arguments: see `FCN`."""

    stride, skips = 16, 1


@register("fcn8s", FCNOptions, title="FCN-8s")
class FCN8s(FCN):
    """FCN-8s: the scores of pool4 and of pool3 are added on the way. Arguments: see `FCN`."""

    stride, skips = 8, 2


def fcn(stride: int = 8, **arguments: Any) -> FCN:
    """Build FCN-32s, FCN-16s or FCN-8s by its `stride`; the other arguments are those of `FCN`.

    Raises
    ------
    ValueError
        If `stride` is not 32, 16 or 8, or an argument is out of range.
    """
    networks: dict[int, type[FCN]] = {32: FCN32s, 16: FCN16s, 8: FCN8s}
    if stride not in networks:
        raise ValueError(f"fcn: stride is {stride!r}; it must be 32, 16 or 8")
    return networks[stride](**arguments)
