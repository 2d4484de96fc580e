"""What a training run may choose about a DeconvNet, and which values the network accepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from minideconv.models.blocks import DEPTHS, NORMALISED, OUTPUT_STRIDES, STAGES
from minideconv.models.registry import NetworkOptions
from minideconv.models.upsampling import UPSAMPLING
from minideconv.ops import geometry
from minideconv.settings.setting import AT_LEAST_0, AT_LEAST_1, FRACTION, refusal, setting

__all__ = ["DeconvNetOptions", "check_choices", "check_window"]


@dataclass(frozen=True, kw_only=True)
class DeconvNetOptions(NetworkOptions):
    """What a training run chooses; its defaults are those of a network that a laptop trains."""

    renamed: ClassVar[Mapping[str, str]] = {"depth": "stages"}

    width: int = setting(16, "channels of the first convolution (the paper: 64)", **AT_LEAST_1)
    depth: int = setting(3, "number of pooling stages (the paper: 5)", **DEPTHS)
    fc: int = setting(256, "channels of fc6 and fc7 (the paper: 4096)", **AT_LEAST_1)
    fc_kernel: int = setting(
        1,
        "window of fc6 (0: the whole map, the paper's; a small one learns from fewer images)",
        metavar="PIXELS",
        **AT_LEAST_0,
    )
    padding: str = setting(
        "paper",
        "paper: none at fc6, whose map shrinks; same: fc6 keeps the map's size",
        choices=("paper", "same"),
    )
    batch_norm: str = setting(
        "all",
        "where batch normalisation is: everywhere (all, the paper's), behind the trunk (head), in "
        "front of the decoder (encoder), at fc6 and fc7 alone (fc), or nowhere (none)",
        choices=tuple(NORMALISED),
    )
    dropout: float = setting(
        0.0, "share of fc6's and fc7's values that training drops", metavar="P", **FRACTION
    )
    deconvolutions: int = setting(
        0,
        "transposed convolutions behind each unpooling, at most (0: the paper's, 2 or 3)",
        **AT_LEAST_0,
    )
    output_stride: int = setting(
        1,
        "pixels of the image for each pixel of the decoder's output, which is enlarged bilinearly "
        "(the paper: 1)",
        metavar="PIXELS",
        legal=OUTPUT_STRIDES.__contains__,
        legal_text="1, 2, 4, 8 or 16",
    )
    coarse_scores: bool = setting(
        False, "add the scores that fc7 gives, enlarged: a skip connection that the paper has not"
    )
    upsampling: str = setting(
        "switches",
        "what undoes a pooling: unpooling by its switches (the paper's) or to fixed pixels, "
        "bilinear enlargement, or a learned transposed convolution of stride 2",
        choices=tuple(UPSAMPLING),
    )
    decoder_init: str = setting(
        "he",
        "he: random weights; scores: the decoder begins as an enlargement of the scores of the "
        "FCN-32s in --pretrained",
        choices=("he", "scores"),
    )

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `DeconvNet`, for which None stands for some zeros."""
        values = super().arguments()
        del values["decoder_init"]  # about the weights
        for name in ("fc_kernel", "deconvolutions"):
            values[name] = values[name] or None
        return values

    def check(self) -> None:
        """Refuse a start from scores where normalisation or enlargement would change them."""
        super().check()
        if self.decoder_init == "scores" and self.upsampling in ("bilinear", "learned"):
            raise refusal(
                lambda name: (
                    f"{name('decoder_init')} is scores, a start for decoders that unpool;"
                    f" {name('upsampling')} is {self.upsampling}, it must be switches or fixed"
                )
            )
        if self.decoder_init == "scores" and "decoder" in NORMALISED[self.batch_norm]:
            raise refusal(
                lambda name: (
                    f"{name('decoder_init')} is scores, which batch normalisation in the decoder"
                    f" would change; {name('batch_norm')} is {self.batch_norm},"
                    " it must be encoder, fc or none"
                )
            )


def check_window(
    size: tuple[int, int],
    stages: int,
    fc_kernel: int | tuple[int, int] | None,
    padding: str = "paper",
) -> tuple[int, int]:
    """Return fc6's window, by default the whole map that so many poolings leave of an image.

    Raises
    ------
    ValueError
        If there cannot be so many poolings, or the window is larger than that map and not padded.
    """
    if not 1 <= stages <= len(STAGES):
        raise ValueError(f"deconvnet: stages is {stages}; it must be in 1..{len(STAGES)}")
    top = (size[0] >> stages, size[1] >> stages)  # each pooling halves and rounds down
    if min(top) < 1:
        raise ValueError(
            f"deconvnet: input_size is {size}; {stages} poolings halve it {stages} times, "
            f"so both sides must be at least {2**stages}"
        )
    kernel = top if fc_kernel is None else geometry.pair(fc_kernel, "fc_kernel", "deconvnet")
    fits = all(k <= side for k, side in zip(kernel, top, strict=True))
    if min(kernel) < 1 or not (fits or padding == "same"):
        raise ValueError(
            f"deconvnet: fc_kernel is {kernel}; behind {stages} poolings of {size} "
            f"the map is {top}, so it must be between (1, 1) and {top}"
        )
    return kernel


def check_choices(
    kernel: tuple[int, int],
    stages: int,
    deconvolutions: int | None,
    padding: str,
    batch_norm: str,
    output_stride: int,
    upsampling: str,
) -> None:
    """Refuse values that the network has no meaning for."""
    choices: tuple[tuple[str, Any, Sequence[Any]], ...] = (
        ("padding", padding, ("paper", "same")),
        ("batch_norm", batch_norm, tuple(NORMALISED)),
        ("output_stride", output_stride, OUTPUT_STRIDES[:stages]),
        ("upsampling", upsampling, tuple(UPSAMPLING)),
    )
    for name, value, legal in choices:
        if value not in legal:
            among = ", ".join(map(repr, legal))
            raise ValueError(f"deconvnet: {name} is {value!r}; it must be one of {among}")
    if padding == "same" and (kernel[0] % 2 == 0 or kernel[1] % 2 == 0):
        raise ValueError(
            f"deconvnet: fc_kernel is {kernel}; with padding 'same' both sides must be odd"
        )
    if deconvolutions is not None and deconvolutions < 1:
        raise ValueError(f"deconvnet: deconvolutions is {deconvolutions}; it must be at least 1")
