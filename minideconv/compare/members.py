"""The networks of a comparison, loaded from their runs, and what each of them cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minideconv import models, tasks
from minideconv.autograd import Tensor
from minideconv.backend import Device
from minideconv.errors import UsageError
from minideconv.nn.costs import multiply_accumulates
from minideconv.nn.utils import device_of_module
from minideconv.segmentation import Ensemble, InstanceSegmenter, Predictor, Segmenter
from minideconv.tasks import Segmentation
from minideconv.tasks.segmentation.task import TrainedSegmenter
from minideconv.training.run.checkpoint import check_run_header, find_checkpoint
from minideconv.training.run.trained import load_alone

__all__ = ["BUDGET", "Member", "load_members", "not_in_common", "products_per_image"]

BUDGET = (
    *("data", "data_root", "train_split", "train_images", "image_size", "difficulty"),
    *("augment", "views", "class_balance", "stage", "windows", "batch_size", "accumulate", "seed"),
)
"""The settings of data, examples and seed that networks under one budget have in common."""


@dataclass(frozen=True)
class Member:
    """A trained network with its name in the comparison."""

    name: str
    trained: TrainedSegmenter

    @property
    def predictor(self) -> Predictor:
        """Segments images."""
        return self.trained.segmenter

    def facts(self) -> dict[str, Any]:
        """Return what it is and what it cost, as plain JSON."""
        header = self.trained.header
        config, progress = header["config"], header["progress"]
        segmenter = next(segmenters(self.predictor))
        return {
            "name": self.name,
            "model": header["model"]["name"],
            "options": header["model"]["arguments"],
            "checkpoint": str(self.trained.path),
            "data": config["data"],
            "seed": config["seed"],
            "pretrained": config.get("pretrained"),
            "input_size": header["input_size"],
            "parameters": segmenter.model.num_parameters(),
            "multiply_accumulates": products_per_pass(segmenter),
            "multiply_accumulates_per_image": products_per_image(self.predictor),
            "epochs": progress["epoch"],
            "updates": progress["step"],
            "training_seconds": progress["elapsed"],
        }


def segmenters(predictor: Predictor) -> Any:
    """Yield the networks behind a predictor: one, at one size or at several."""
    if isinstance(predictor, Ensemble):
        for each in predictor.members:
            yield from segmenters(each)
    elif isinstance(predictor, Segmenter):
        yield predictor


def products_per_pass(segmenter: Segmenter) -> int:
    """Return the multiply-accumulates of one forward pass of one window."""
    size = segmenter.input_size
    x = Tensor(np.zeros((1, 3, size, size), np.float32), device=device_of_module(segmenter.model))
    return sum(multiply_accumulates(segmenter.model, x).values())


def products_per_image(predictor: Predictor) -> int:
    """Return the multiply-accumulates for an image: of all sizes, windows and mirror images.

    With proposals an image may have fewer windows than asked for; all of them are counted.
    """
    total = 0
    for each in segmenters(predictor):
        windows = each.proposals if isinstance(each, InstanceSegmenter) else 1
        total += products_per_pass(each) * windows * (2 if each.flip else 1)
    return total


def load_members(
    paths: Sequence[str | Path],
    device: Device | str,
    which: str = "last",
    batch_size: int = 16,
    **inference: Any,
) -> list[Member]:
    """Load the networks and name them: by their kind, and by their runs where kinds repeat.

    Parameters
    ----------
    paths : sequence of str or Path
        At least one run folder or checkpoint.
    device, which, batch_size, inference
        See `load_trained`.

    Raises
    ------
    UsageError
        If one does not segment, its classes are not those of the first, or it is there already.
    CheckpointError
        If one cannot be read, or is not of a training run.
    """
    files = [find_checkpoint(path, which).resolve() for path in paths]
    for path, file in zip(paths, files, strict=True):
        if files.count(file) > 1:
            raise UsageError(f"{path} is named twice; a network cannot be compared with itself")
    found: list[Any] = [load_alone(path, device, which, batch_size, **inference) for path in paths]
    for each in found:
        check_run_header(each.header, each.path)
        if not isinstance(each.task, Segmentation):
            task = tasks.of_config(each.header["config"]).name
            raise UsageError(
                f"{each.path} was trained for the task {task};"
                " only networks that segment are compared"
            )
        if wrong := found[0].task.ensemble_mismatch(each.task):
            raise UsageError(f"{each.path} {wrong}")
    found[0].inference.check_networks([each.header["model"]["name"] for each in found])
    titles = [models.MODELS[each.header["model"]["name"]].title for each in found]
    return [Member(name, each) for name, each in zip(_names(titles, paths), found, strict=True)]


def _names(titles: Sequence[str], paths: Sequence[str | Path]) -> list[str]:
    """Return names that differ.

    >>> _names(["FCN-8s", "DeconvNet"], ["a", "b"])
    ['FCN-8s', 'DeconvNet']
    >>> _names(["DeconvNet", "DeconvNet"], ["runs/one", "runs/two/checkpoints/best.npz"])
    ['DeconvNet (one)', 'DeconvNet (two)']
    >>> _names(["DeconvNet", "DeconvNet"], ["a/run", "b/run"])
    ['DeconvNet (run)', 'DeconvNet (run) 2']
    """
    names: list[str] = []
    for title, path in zip(titles, paths, strict=True):
        parts = [part for part in Path(path).parts if part != "checkpoints"]
        run = parts[-2] if str(path).endswith(".npz") and len(parts) > 1 else parts[-1]
        name = title if titles.count(title) == 1 else f"{title} ({run})"
        same = sum(each == name or each.startswith(f"{name} ") for each in names)
        names.append(f"{name} {same + 1}" if same else name)
    return names


def not_in_common(members: Sequence[Member]) -> list[str]:
    """Return in words what of the budget differs between the networks; empty under one budget."""
    configs = [member.trained.header["config"] for member in members]
    values = {name: [config.get(name) for config in configs] for name in BUDGET}
    values["updates"] = [member.trained.header["progress"]["step"] for member in members]
    return [
        f"{name.replace('_', ' ')} is "
        + ", ".join(f"{v} for {m.name}" for v, m in zip(each, members, strict=True))
        for name, each in values.items()
        if any(value != each[0] for value in each)
    ]
