"""Training: configuration, checkpoints, the run folder and the training loop.

What a notebook needs is named here. The trainer, the tasks and the report are imported when their
names are first used, so that ``python -m minideconv.train --help`` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from minideconv.training.config import TrainConfig
from minideconv.training.recalibrate import recalibrate_batch_norm
from minideconv.training.run.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from minideconv.training.run.folder import RunFolder

if TYPE_CHECKING:
    from minideconv.tasks import Trained
    from minideconv.tasks.segmentation import train_eval_agreement
    from minideconv.training.run.report import write_report
    from minideconv.training.run.trained import load_trained
    from minideconv.training.trainer import Trainer

__all__ = [
    "Checkpoint",
    "RunFolder",
    "TrainConfig",
    "Trained",
    "Trainer",
    "load_checkpoint",
    "load_trained",
    "recalibrate_batch_norm",
    "save_checkpoint",
    "train_eval_agreement",
    "write_report",
]

_LATER = {
    "Trained": "minideconv.tasks",
    "Trainer": "minideconv.training.trainer",
    "load_trained": "minideconv.training.run.trained",
    "train_eval_agreement": "minideconv.tasks.segmentation",
    "write_report": "minideconv.training.run.report",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
