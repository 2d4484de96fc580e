"""Instance-wise inference as options of `evaluate` and `predict`: ``--proposals N --join ...``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minideconv.data.transforms import Normalize
from minideconv.nn import Module
from minideconv.segmentation import InstanceSegmenter, Segmenter
from minideconv.settings.setting import AT_LEAST_0, Settings, setting

__all__ = ["ProposalSettings", "segmenter_of"]


@dataclass(frozen=True, kw_only=True)
class ProposalSettings(Settings):
    """Where a segmentation network looks, and how what it finds is joined."""

    group = "where the network looks (segmentation)"

    proposals: int = setting(
        0, "look at N boxes that may hold objects; 0: at the whole image", **AT_LEAST_0
    )
    join: str = setting("max", "how the boxes' scores become one map", choices=("max", "sum"))
    min_box: int = setting(
        0, "pass over boxes of fewer pixels a side; 112 in the authors' code", **AT_LEAST_0
    )
    from_zero: bool = setting(False, "begin the maximum at 0, as the authors' code does")


def segmenter_of(
    model: Module,
    input_size: int,
    normalize: Normalize,
    flip: bool,
    batch_size: int,
    settings: ProposalSettings,
) -> Segmenter:
    """Return what applies a network to images: to the whole image, or to proposed objects."""
    common: tuple[Any, ...] = (model, input_size, normalize, flip, batch_size)
    if settings.proposals == 0:
        return Segmenter(*common)
    join: Any = settings.join  # one of its choices
    return InstanceSegmenter(
        *common, proposals=settings.proposals, join=join,
        min_box=settings.min_box, from_zero=settings.from_zero,
    )  # fmt: skip
