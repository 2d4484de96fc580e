"""`RunProgress`: how far a run is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["RunProgress"]


@dataclass
class RunProgress:
    """How far a run is: all of it goes into the checkpoint's header as it stands."""

    epoch: int = 0
    """Epochs finished, over all stages."""
    step: int = 0
    """Optimiser steps taken, over all stages."""
    epoch_step: int = 0
    """Optimiser steps taken in the epoch under way."""
    best: float | None = None
    """The best validation by the task's main metric; None before the first."""
    best_epoch: int = 0
    metrics_lines: int = 0
    """Lines of metrics.jsonl that this state has seen."""
    elapsed: float = 0.0
    """Seconds, over all sessions."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunProgress:
        """Read it from a checkpoint's header, perhaps one of before there were other tasks."""
        values = dict(values)
        if "best_mean_iou" in values:
            best = values.pop("best_mean_iou")
            values["best"] = None if best < 0 else best
        return cls(**values)
