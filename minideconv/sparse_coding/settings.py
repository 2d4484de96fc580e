"""The settings of the command: how a dictionary is learnt, and how images are coded with one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from minideconv.settings.setting import AT_LEAST_0, AT_LEAST_1, Settings, setting
from minideconv.sparse_coding.coding import METHODS
from minideconv.sparse_coding.dictionary import CONSTRAINTS

__all__ = ["MOST", "CodingSettings", "LearnSettings"]

MOST = 1e6
"""Of every weight: images are in [0, 1], and what is larger would overflow before it is of use."""
_POSITIVE: dict[str, Any] = {
    "legal": lambda v: 0 < v <= MOST,
    "legal_text": f"> 0 and at most {MOST:g}",
}


@dataclass(frozen=True, kw_only=True)
class LearnSettings(Settings):
    """How a dictionary is learnt."""

    group: ClassVar[str] = "learning"

    filters: int = setting(64, "filters of the dictionary", **AT_LEAST_1)
    filter_size: int = setting(8, "height and width of a filter in pixels", **AT_LEAST_1)
    color: bool = setting(False, "filters of three channels, for colour images")
    sparsity: float = setting(
        0.1, "weight lambda of the maps' absolute values; images are in [0, 1]", **_POSITIVE
    )
    smoothness: float = setting(
        5.0,
        "weight mu of a smooth part's squared gradient, beside the maps (0: no smooth part)",
        legal=lambda v: 0 <= v <= MOST,
        legal_text=f">= 0 and at most {MOST:g}",
    )
    learner: str = setting(
        "batch",
        "batch: all crops at once, one iteration each in turn; online: one crop at a time",
        choices=("batch", "online"),
    )
    steps: int = setting(150, "iterations (batch) or crops (online)", resume=True, **AT_LEAST_1)
    crop: int = setting(128, "side of the square that is cut out of an image", **AT_LEAST_1)
    constraint: str = setting(
        "ball", "filters have a norm of at most 1, or of exactly 1 (sphere)", choices=CONSTRAINTS
    )
    iterations: int = setting(50, "online: iterations of ADMM for each crop", **AT_LEAST_1)
    eta_a: float = setting(50.0, "online: the filters' steps are a / (b + step)", **_POSITIVE)
    eta_b: float = setting(5.0, "online: b", **_POSITIVE)
    double: bool = setting(False, "compute in float64 instead of float32")
    seed: int = setting(0, "start of all random numbers: first filters, crops", **AT_LEAST_0)
    limit: int = setting(0, "use the first N images only (0: all)", **AT_LEAST_0)
    save_every: int = setting(25, "steps between two saves", resume=True, **AT_LEAST_1)


@dataclass(frozen=True, kw_only=True)
class CodingSettings(Settings):
    """How images are coded."""

    group: ClassVar[str] = "coding"

    method: str = setting("admm", "the algorithm", choices=METHODS)
    iterations: int = setting(300, "at most", **AT_LEAST_1)
    tolerance: float = setting(
        1e-3,
        "end when ten iterations change the objective by less than this share of it (0: never)",
        **AT_LEAST_0,
    )
    limit: int = setting(0, "use the first N images only (0: all)", **AT_LEAST_0)
