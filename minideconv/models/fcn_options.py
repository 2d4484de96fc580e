"""What a training run may choose about an FCN, and which values the networks accept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from minideconv.models.blocks import DEPTHS, STAGES
from minideconv.models.registry import NetworkOptions
from minideconv.settings.setting import AT_LEAST_1, FRACTION, POSITIVE, setting

__all__ = ["FCNOptions", "check"]


@dataclass(frozen=True, kw_only=True)
class FCNOptions(NetworkOptions):
    """What a training run chooses; its defaults are of a network that a laptop trains."""

    renamed: ClassVar[Mapping[str, str]] = {"depth": "stages"}

    width: int = setting(16, "channels of the first convolution (the paper: 64)", **AT_LEAST_1)
    depth: int = setting(5, "number of pooling stages (the paper: 5)", **DEPTHS)
    fc: int = setting(256, "channels of fc6 and fc7 (the paper: 4096)", **AT_LEAST_1)
    fc_kernel: int = setting(3, "window of fc6 (the paper: 7)", metavar="PIXELS", **AT_LEAST_1)
    padding: str = setting(
        "same",
        "paper: 100 pixels around the image, none at fc6; same: no convolution changes the size",
        choices=("paper", "same"),
    )
    batch_norm: str = setting(
        "all",
        "where batch normalisation is: after each convolution (all), at fc6 and fc7 alone (fc), or "
        "nowhere (none, the paper's)",
        choices=("all", "fc", "none"),
    )
    learn_upsampling: bool = setting(
        False, "learn the transposed convolutions that start as bilinear enlargement"
    )
    dropout: float = setting(
        0.5, "share of fc6's and fc7's values that training drops", metavar="P", **FRACTION
    )
    skip_scale: float = setting(
        1.0,
        "what pool4 and pool3 are multiplied by in front of their scores (the paper: 1; small for "
        "a frozen trunk without batch norm: 0.01)",
        metavar="FACTOR",
        **POSITIVE,
    )
    head_init: str = setting(
        "he",
        "how fc6, fc7 and the scores start: he (He's rule, the scores at zero, as released) or "
        "uniform (within 1/sqrt(fan_in), PyTorch's default)",
        choices=("he", "uniform"),
    )


def check(
    network: str,
    sizes: Mapping[str, int],
    stages: int,
    skips: int,
    padding: str,
    batch_norm: str,
    head_init: str,
) -> None:
    """Refuse arguments that the network has no meaning for.

    Parameters
    ----------
    network : str
        Its name, for the message.
    sizes : mapping
        Arguments by name that must be at least 1.
    stages, skips : int
        Poolings, and how many of them, in front of the last one, have scores of their own.
    padding, batch_norm, head_init : str
        As for `FCN`.
    """
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{network}: {name} is {value}; it must be at least 1")
    if not skips < stages <= len(STAGES):
        raise ValueError(f"{network}: stages is {stages}; it must be in {skips + 1}..{len(STAGES)}")
    if padding not in ("paper", "same"):
        raise ValueError(f"{network}: padding is {padding!r}; it must be 'paper' or 'same'")
    if batch_norm not in ("all", "fc", "none"):
        raise ValueError(
            f"{network}: batch_norm is {batch_norm!r}; it must be 'all', 'fc' or 'none'"
        )
    if head_init not in ("he", "uniform"):
        raise ValueError(f"{network}: head_init is {head_init!r}; it must be 'he' or 'uniform'")
    if padding == "same" and sizes["fc_kernel"] % 2 == 0:
        raise ValueError(
            f"{network}: fc_kernel is {sizes['fc_kernel']}; with padding 'same' it must be odd"
        )
