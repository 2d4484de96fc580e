"""DeconvNet: VGG-16's convolutions, and their mirror image that learns the upsampling.

    deconvnet   (N, 3, H, W) -> (N, num_classes, H, W) scores

Source: Noh, Hong, Han, "Learning Deconvolution Network for Semantic Segmentation" (ICCV 2015),
Figure 2 and section 3; batch normalisation after every convolution and deconvolution as in section
4.1 and in the authors' released network, whose 251,805,653 parameters the default arguments
reproduce.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minideconv import functional as F
from minideconv.autograd import Tensor, checkpoint
from minideconv.backend import Array
from minideconv.models.blocks import NORMALISED, STAGES, Block, contract, expand
from minideconv.models.deconvnet_options import DeconvNetOptions, check_choices, check_window
from minideconv.models.registry import register
from minideconv.models.trunk import Features
from minideconv.models.upsampling import UPSAMPLING
from minideconv.nn import Conv2d, ConvTranspose2d, Dropout, MaxPool2d, Module
from minideconv.nn.inspection import activations
from minideconv.ops import geometry

__all__ = ["DeconvNet", "deconvnet"]


@register("deconvnet", DeconvNetOptions, title="DeconvNet")
class DeconvNet(Module):
    """The network; the default arguments are exactly the paper's network.

    Parameters
    ----------
    num_classes : int
        Classes, background included. PASCAL VOC has 21.
    width : int
        Channels of the first stage; all others are multiples of it, see ``STAGES``.
    input_size : int or (int, int)
        Pixels (H, W) of the crops it is trained on; at least ``2 ** stages``.
    fc : int
        Channels of the two fully connected layers, which are convolutions.
    stages : int
        Poolings, 1 to 5: a shallower network is the first rows of the same table.
    in_channels : int
        Colours of the input.
    fc_kernel : int or (int, int), optional
        Window of fc6. Left out it is the whole map behind the last pooling, as in the paper: one
        vector then describes the image. With a smaller window every place is described by a
        vector of its own, from its surroundings; such a network learns from far fewer images.
    padding : {"paper", "same"}
        "paper": fc6 pads by nothing. "same": fc6, whose window must be odd then, pads by half of
        it, and fc7 describes each place of the map behind the last pooling.
    batch_norm : {"all", "head", "encoder", "fc", "none"}
        Which parts are normalised: all, fc6 and the layers behind it, all up to fc7, fc6 and fc7,
        or none.
    dropout : float
        Probability in [0, 1] with which values of fc6 and fc7 are dropped in training.
    deconvolutions : int, optional
        Transposed convolutions behind each unpooling, at most: the last ones of the table's row.
        Left out there are as many as in the paper.
    output_stride : {1, 2, 4, 8, 16}
        Where the decoder ends: at so many pixels of the image for each of its own. Its scores are
        enlarged bilinearly. The paper's decoder goes on to 1, the image itself.
    coarse_scores : bool
        Whether fc7's own scores are enlarged and added, as in FCN-32s. It is not the paper's
        network: what it makes of the image need not pass through the decoder.
    upsampling : {"switches", "fixed", "bilinear", "learned"}
        What undoes a pooling: unpooling by its switches (the paper's), unpooling to the upper left
        of each window, bilinear enlargement, or a transposed convolution of stride 2, which alone
        has parameters, ``4 C^2 + C`` for C channels. See `models.upsampling`.
    recompute : bool or int
        Whether training computes activations twice instead of keeping them (`checkpoint`): those of
        all stages, or of so many stages, counted from the image, where the maps are large. It
        changes memory and time, and no number. May be set later: ``net.recompute = True``.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    It starts with He's initialisation (`nn.init.kaiming_normal_`). The paper starts from ImageNet's
    VGG-16 and small Gaussians instead; without that pre-training those Gaussians vanish on the way.

    Examples
    --------
    >>> deconvnet(num_classes=4, width=2, input_size=32, fc=8).num_parameters()
    29996
    """

    def __init__(
        self,
        num_classes: int = 21,
        width: int = 64,
        input_size: int | tuple[int, int] = 224,
        fc: int = 4096,
        stages: int = 5,
        in_channels: int = 3,
        fc_kernel: int | tuple[int, int] | None = None,
        padding: str = "paper",
        batch_norm: str = "all",
        dropout: float = 0.0,
        deconvolutions: int | None = None,
        output_stride: int = 1,
        coarse_scores: bool = False,
        upsampling: str = "switches",
        recompute: bool | int = False,
    ) -> None:
        super().__init__()
        size = geometry.pair(input_size, "input_size", "deconvnet")
        geometry.check_positive("deconvnet", num_classes=num_classes, width=width, fc=fc)
        kernel = check_window(size, stages, fc_kernel, padding)
        check_choices(
            kernel, stages, deconvolutions, padding, batch_norm, output_stride, upsampling
        )
        self.num_classes, self.width, self.input_size = num_classes, width, size
        self.fc, self.stages, self.in_channels = fc, stages, in_channels
        self.fc_kernel = None if fc_kernel is None else kernel
        self.padding, self.batch_norm, self.dropout = padding, batch_norm, dropout
        self.deconvolutions, self.output_stride = deconvolutions, output_stride
        self.coarse_scores, self.upsampling = coarse_scores, upsampling
        self.recompute = recompute
        normalised = NORMALISED[batch_norm]

        channels = in_channels
        for number, (convolutions, _) in enumerate(STAGES[:stages], 1):
            for i, multiple in enumerate(convolutions, 1):
                conv = Conv2d(channels, multiple * width, 3, padding=1)
                channels = multiple * width
                setattr(self, f"conv{number}_{i}", Block(conv, channels, "trunk" in normalised))
            setattr(self, f"pool{number}", MaxPool2d(2, 2, return_switches=True))

        border = (0, 0) if padding == "paper" else (kernel[0] // 2, kernel[1] // 2)
        self.fc6 = Block(Conv2d(channels, fc, kernel, padding=border), fc, "fc" in normalised)
        self.fc7 = Block(Conv2d(fc, fc, 1), fc, "fc" in normalised)
        if dropout:
            self.drop6, self.drop7 = Dropout(dropout), Dropout(dropout)
        if coarse_scores:
            self.score_fr = Conv2d(fc, num_classes, 1)
        deconv = ConvTranspose2d(fc, channels, kernel, padding=border)
        self.fc6_deconv = Block(deconv, channels, "decoder" in normalised)

        for number in self._decoder_stages():
            setattr(self, f"unpool{number}", UPSAMPLING[upsampling](channels))
            for i, multiple in enumerate(self._deconvolutions(number), 1):
                deconv = ConvTranspose2d(channels, multiple * width, 3, padding=1)
                channels = multiple * width
                block = Block(deconv, channels, "decoder" in normalised)
                setattr(self, f"deconv{number}_{i}", block)
        self.seg_score = Conv2d(channels, num_classes, 1)

    def _decoder_stages(self) -> range:
        """Return the numbers of the poolings that the decoder undoes, in its order."""
        return range(self.stages, self.output_stride.bit_length() - 1, -1)

    def _deconvolutions(self, number: int) -> tuple[int, ...]:
        """Return the output channels, in units of ``width``, behind an unpooling."""
        row = STAGES[number - 1][1]
        return row if self.deconvolutions is None else row[-self.deconvolutions :]

    def forward(self, x: Tensor) -> Tensor:
        """Return every class's score at every pixel, ``(N, 3, H, W) -> (N, num_classes, H, W)``.

        Parameters
        ----------
        x : Tensor, shape (N, in_channels, H, W)
            Normalised images, at least as large as ``input_size``; larger ones are treated fully
            convolutionally, and a size that a pooling cannot halve is restored by its switches.

        Raises
        ------
        ValueError
            If `x` has another number of axes or channels, or is smaller than ``input_size``.
        """
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"DeconvNet: x has shape {x.shape}; it must be (N, {self.in_channels}, H, W)"
            )
        if x.shape[2] < self.input_size[0] or x.shape[3] < self.input_size[1]:
            raise ValueError(
                f"DeconvNet: x is {x.shape[2]}x{x.shape[3]} pixels; this network was built "
                f"for {self.input_size[0]}x{self.input_size[1]} and fc6 needs at least that"
            )

        return self.decode(self.encode(x, self.stages))

    def encode(self, x: Tensor, stages: int) -> Features:
        """Compute the first stages; the rest needs the last map, and all switches."""
        features = Features(0, (x.shape[2], x.shape[3]), (x,))
        return self._contracted(features, stages)

    def _contracted(self, features: Features, stages: int) -> Features:
        """Go on to a later stage."""
        x, all_switches = features.maps[-1], [*features.switches]
        for number in range(features.stages + 1, stages + 1):
            x, switches = self._compute(number, contract, self._stage("conv", number), x)
            all_switches.append(switches)
        return Features(stages, features.size, (x,), tuple(all_switches))

    def decode(self, features: Features) -> Tensor:
        """Compute the other stages, fc6, fc7, and the mirror image of it all."""
        _, _, (x,), switches = self._contracted(features, self.stages)
        all_switches = [*switches]
        x = vectors = self._dropped("drop7", self.fc7(self._dropped("drop6", self.fc6(x))))
        x = self.fc6_deconv(x)
        for number in self._decoder_stages():
            stage = self._stage("deconv", number)
            x = self._compute(number, expand, stage, x, all_switches.pop())
        scores: Tensor = self.seg_score(x)
        if self.output_stride > 1:
            scores = F.interpolate(scores, size=features.size, mode="bilinear")
        if self.coarse_scores:
            coarse = self.score_fr(vectors)
            scores = scores + F.interpolate(coarse, size=features.size, mode="bilinear")
        return scores

    def decoder_layers(self) -> list[tuple[Module, bool]]:
        """Return the decoder's transposed convolutions, and whether each is behind an unpooling."""
        layers: list[tuple[Module, bool]] = [(self.fc6_deconv.layer, False)]
        for number in self._decoder_stages():
            _, *blocks = self._stage("deconv", number)
            layers += [(block.layer, i == 0) for i, block in enumerate(blocks)]
        return layers

    def _dropped(self, name: str, x: Tensor) -> Tensor:
        return getattr(self, name)(x) if self.dropout else x

    def _stage(self, side: str, number: int) -> list[Module]:
        """Return the modules of one side of a row of the table, in the order of computation."""
        blocks = STAGES[number - 1][0] if side == "conv" else self._deconvolutions(number)
        names = [f"{side}{number}_{i}" for i in range(1, len(blocks) + 1)]
        names = [*names, f"pool{number}"] if side == "conv" else [f"unpool{number}", *names]
        return [getattr(self, name) for name in names]

    def _compute(
        self, number: int, function: Callable[..., Any], stage: list[Module], *inputs: Any
    ) -> Any:
        """Call `function`, with `checkpoint` if `recompute` covers this stage."""
        again = self.stages if self.recompute is True else self.recompute
        # A hook is to see each call once, and on the tape.
        if number <= again and not any(m._hooks for part in stage for m in part.modules()):
            return checkpoint(function, stage, *inputs)
        return function(stage, *inputs)

    def activations(self, x: Tensor | Array) -> dict[str, Array]:
        """Return every layer's output for `x`, by name, in the order in which they are computed.

        Blocks, poolings, unpoolings and ``seg_score``: `visualize.activations` has what is inside
        the blocks too, and any other network.
        """
        return activations(self, x, layers=[name for name, _ in self.named_children()])

    def config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this network, as plain JSON."""
        names = (
            *("num_classes", "width", "input_size", "fc", "stages", "in_channels", "fc_kernel"),
            *("padding", "batch_norm", "dropout", "deconvolutions", "output_stride"),
            *("coarse_scores", "upsampling"),
        )
        values = {name: getattr(self, name) for name in names}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    def extra_repr(self) -> str:
        """Return the number of parameters."""
        return f"{self.num_parameters():,} parameters"


deconvnet = DeconvNet
"""The name in PyTorch's style for what builds a network."""
