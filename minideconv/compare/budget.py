"""Networks trained under one budget: the same data, seed, examples and updates.

Under the budget "updates" every network takes as many steps. Under "computation" every network
computes as many multiply-accumulates: `epochs` is for the one that takes the most of them for an
image, and the others have more epochs in proportion.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minideconv import models, tasks
from minideconv.autograd import Tensor
from minideconv.compare.members import BUDGET
from minideconv.errors import UsageError
from minideconv.files.reading import read_json
from minideconv.nn.costs import multiply_accumulates
from minideconv.settings.run import data_of
from minideconv.settings.setting import by_setting_names, option_name
from minideconv.training.config import TrainConfig, read_config
from minideconv.training.run.checkpoint import find_checkpoint
from minideconv.training.run.claim import existing_run, new_run
from minideconv.training.run.folder import RunFolder
from minideconv.training.session import run_session

__all__ = ["BUDGETS", "DRAWN", "NETWORKS", "network_configs", "train_networks"]

BUDGETS = ("updates", "computation")
NETWORKS = ("fcn8s", "deconvnet")
"""What is trained if nothing else is asked for."""
DRAWN: dict[str, Any] = {"train_images": 2000, "val_images": 200}
"""Settings that differ from those of a training run, on drawn pictures: some minutes on a CPU."""


def network_configs(
    networks: Sequence[str], given: Mapping[str, Any], budget: str = "updates"
) -> dict[str, TrainConfig]:
    """Return the settings with which each network is trained, by a name for its folder.

    Parameters
    ----------
    networks : sequence of str
        Names of networks, or TOML files of settings (``--config`` of a training run), which may
        name one by ``model``.
    given : mapping of str to anything
        Settings of every network, over those of its file.
    budget : {"updates", "computation"}

    Raises
    ------
    UsageError
        If there are not two networks at least, two of them have one name, a file cannot be read, a
        setting is not legal, or two files differ in what the budget has in common.
    """
    if len(networks) < 2:
        raise UsageError(f"--networks names {len(networks)}; a comparison needs two at least")
    found: dict[str, TrainConfig] = {}
    for item in networks:
        own = {"model": item} if item in models.MODELS else _read(item)
        values = {**own, **given}
        drawn = data_of(values.get("data", "auto"), values.get("data_root")) == "shapes"
        name = item if item in models.MODELS else Path(item).stem
        if name in found:
            raise UsageError(f"--networks: two networks are called {name}; name files apart")
        # Of a file's settings some are no options of the command.
        with contextlib.nullcontext() if item in models.MODELS else by_setting_names(item):
            found[name] = TrainConfig(**{**(DRAWN if drawn else {}), **values})
    _check_common(found, budget)
    return _of_equal_computation(found) if budget == "computation" else found


def _read(path: str) -> dict[str, Any]:
    try:
        return read_config(path)
    except UsageError as error:
        raise UsageError(f"--networks: {error}") from error


def _check_common(configs: Mapping[str, TrainConfig], budget: str) -> None:
    shared = [*BUDGET, *(["epochs", "epochs_stage2"] if budget == "updates" else [])]
    (first, one), *others = configs.items()
    for name, config in others:
        for setting in shared:
            a, b = getattr(one, setting), getattr(config, setting)
            if a != b:
                raise UsageError(
                    f"{option_name(setting)} is {a} for {first} but {b} for {name}; networks under"
                    " one budget have it in common"
                )


def _of_equal_computation(configs: Mapping[str, TrainConfig]) -> dict[str, TrainConfig]:
    """Give each network the epochs that cost as much as those of the most expensive one."""
    costs = {name: _products(config) for name, config in configs.items()}
    most = max(costs.values())
    found = {}
    for name, config in configs.items():
        times = most / costs[name]
        values: dict[str, Any] = {"epochs": round(config.epochs * times)}
        if config.epochs_stage2 is not None:
            values["epochs_stage2"] = round(config.epochs_stage2 * times)
        found[name] = TrainConfig(**{**config.to_dict(), **values})
    return found


def _products(config: TrainConfig) -> int:
    """Return the multiply-accumulates of one image, of a network that is still to be trained."""
    task = tasks.of_config(config.to_dict())
    data = task.dataset(config, config.train_split, 1)
    model = models.build(config.model, config.model_arguments(len(data.classes)))
    size = config.input_size
    x = Tensor(np.zeros((1, 3, size, size), np.float32), device="cpu")
    return sum(multiply_accumulates(model, x).values())


def train_networks(configs: Mapping[str, TrainConfig], seed: int, folder: Path) -> list[Path]:
    """Train each network with a seed into FOLDER/NAME-SEED; return the run folders.

    A run that has ended is taken as it is, one that was stopped goes on: the same command does what
    is left.

    Raises
    ------
    UsageError
        If a folder holds a run of other settings.
    """
    found = []
    for name, config in configs.items():
        path = folder / f"{name}-{seed}"
        _train(TrainConfig(**{**config.to_dict(), "seed": seed, "output_dir": str(path)}))
        found.append(path)
    return found


def _train(config: TrainConfig) -> None:
    run = RunFolder(config.output_dir or "")
    if not run.is_run():
        with new_run(config.data, run.path) as claimed:
            _session(config, claimed)
        return
    saved = read_json(run.config)
    for name, setting in TrainConfig.settings(config.model).items():
        value = config.to_dict()[name]
        if not setting.resume and name != "output_dir" and saved.get(name) != value:
            raise UsageError(
                f"{run.path} holds a run whose {option_name(name)} is {saved.get(name)}, not"
                f" {value}; choose another --output"
            )
    if not run.evaluation.exists():
        checkpoint = find_checkpoint(run.path, prefer="last")
        with existing_run(checkpoint) as claimed:
            _session(config, claimed, checkpoint)


def _session(config: TrainConfig, run: RunFolder, checkpoint: Path | None = None) -> None:
    with by_setting_names(f"network {config.model}"):
        run_session(config, run, checkpoint)
