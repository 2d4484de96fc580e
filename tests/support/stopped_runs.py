"""Runs of a `Trainer` that are stopped and go on, and their comparison."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np

from minideconv.training.config import TrainConfig
from minideconv.training.run.checkpoint import load_checkpoint
from minideconv.training.run.folder import RunFolder
from minideconv.training.trainer import Trainer

TIMING = {"elapsed", "images_per_second", "data_wait", "memory"}


def run(
    folder: Path,
    settings: dict[str, Any],
    stop_at: int | None = None,
    resume: bool = False,
    in_validation: int | None = None,
) -> Trainer:
    """Train into `folder`; stop after step `stop_at`, or in the n-th validation."""
    config = TrainConfig(**settings)
    run_folder = RunFolder(folder)
    trainer = Trainer(config, run=run_folder, resume=run_folder.last if resume else None)
    run_folder.create(config)
    validations = 0

    def step(info: Any) -> None:
        if trainer.progress.step == stop_at:
            trainer.stop.ask()

    def work(what: str, done: int, total: int) -> None:
        nonlocal validations
        validations += done == 1
        if validations == in_validation and done == 1:
            trainer.stop.ask(signal.SIGTERM)

    trainer.show.step = step
    trainer.show.work = work
    trainer.fit()
    return trainer


def lines(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMING} for line in text]


def plain(tree: Any) -> Any:
    """Arrays as bytes, so that trees compare bit by bit."""
    if isinstance(tree, np.ndarray):
        return (str(tree.dtype), tree.shape, tree.tobytes())
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    return [plain(value) for value in tree] if isinstance(tree, list) else tree


def assert_same_run(first: Path, second: Path) -> None:
    for name in ("last", "best"):
        one = load_checkpoint(first / "checkpoints" / f"{name}.npz")
        two = load_checkpoint(second / "checkpoints" / f"{name}.npz")
        assert plain(one.model_state) == plain(two.model_state), name
        assert plain(one.state) == plain(two.state), name
        one.header["progress"].pop("elapsed")
        two.header["progress"].pop("elapsed")
        assert one.header == two.header, name
    assert lines(first) == lines(second)
