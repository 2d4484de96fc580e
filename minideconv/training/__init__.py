"""The engine room: configuration, checkpoints, the run folder and the training loop.

What a notebook needs is named here; the modules are imported when a name is first used, so that
``python -m minideconv.train --help`` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minideconv.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
    from minideconv.training.config import TrainConfig
    from minideconv.training.engine import Trainer
    from minideconv.training.recalibrate import recalibrate_batch_norm, train_eval_agreement
    from minideconv.training.report import write_report
    from minideconv.training.run_folder import RunFolder
    from minideconv.training.trained import Trained, load_trained

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

_MODULES = {
    "Checkpoint": "checkpoint",
    "RunFolder": "run_folder",
    "TrainConfig": "config",
    "Trained": "trained",
    "Trainer": "engine",
    "load_checkpoint": "checkpoint",
    "load_trained": "trained",
    "recalibrate_batch_norm": "recalibrate",
    "save_checkpoint": "checkpoint",
    "train_eval_agreement": "recalibrate",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
