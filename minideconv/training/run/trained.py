"""A trained network taken out of its checkpoint, ready to use on photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minideconv import models, tasks
from minideconv.backend import Device, as_device, describe_device
from minideconv.errors import CheckpointError, UsageError
from minideconv.interop.finite import check_finite
from minideconv.nn import Module
from minideconv.tasks import Task, Trained
from minideconv.training.run.checkpoint import check_model_state, find_checkpoint, load_checkpoint

__all__ = ["load_network", "load_trained"]


def load_trained(
    path: str | Path,
    device: Device | str = "cpu",
    prefer: str = "best",
    batch_size: int = 16,
    ensemble: Sequence[str | Path] = (),
    **inference: Any,
) -> Trained:
    """Load a checkpoint, or an ensemble of several, for prediction.

    Parameters
    ----------
    path : str or Path
        A checkpoint or a run folder.
    device : Device or str
        Where the network shall work.
    prefer : {"best", "last"}
        Which checkpoint of a run folder.
    batch_size
        See `Task.predictor`.
    ensemble : sequence of str or Path
        Other checkpoints or run folders, of networks that do the same.
    **inference
        Settings of the task's `Task.inference`, such as ``flip=True`` or ``crf=True``.

    Raises
    ------
    CheckpointError
        If it cannot be read, or its arrays do not fit the network that its header describes.
    DeviceError
        If the device is not there.
    UsageError
        If the network's task is not registered, a setting is not the task's or not legal, or the
        networks of an ensemble do not fit together or are not different.

    Examples
    --------
    ::

        trained = load_trained("runs/shapes-1")
        labels = trained.predictor.labels(image)
    """
    found_device = as_device(device)
    found = find_checkpoint(path, prefer)
    task, network, header = load_network(found, found_device)
    settings = tasks.inference_of(type(task), inference)
    predictors = [task.predictor(network, int(header["input_size"]), settings, batch_size)]
    others = tuple(find_checkpoint(each, prefer) for each in ensemble)
    files = [each.resolve() for each in (found, *others)]
    for each, file in zip(others, files[1:], strict=True):
        if files.count(file) > 1:
            raise UsageError(f"{each} is in the ensemble twice; name each network once")
    for other in others:
        its_task, its_network, its_header = load_network(other, found_device)
        if wrong := task.ensemble_mismatch(its_task):
            raise UsageError(f"{other} {wrong}")
        size = int(its_header["input_size"])
        predictors.append(its_task.predictor(its_network, size, settings, batch_size))
    predictor = task.combined(predictors, settings)
    name = describe_device(device, found_device)
    return task.trained(found, task, predictor, header, found_device, name, settings, others)


def load_network(
    path: Path, device: Device, finite: bool = True, unless: str = ""
) -> tuple[Task, Module, dict[str, Any]]:
    """Load one checkpoint: its task, its network in evaluation mode, and its header.

    Raises
    ------
    CheckpointError, UsageError
        As `load_trained`; with `finite` also if a weight is NaN or infinite, where the option
        `unless` is not given.
    """
    checkpoint = load_checkpoint(path)
    header = checkpoint.header
    kind = tasks.of_config(header.get("config", {}))
    try:
        description = header["model"]
        network: Any = models.build(description["name"], description["arguments"])
        task = kind.from_header(header)
        int(header["input_size"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"checkpoint {path}: its header does not describe a network this minideconv can "
            f"build ({error})"
        ) from error
    check_model_state(network.state_dict(), checkpoint.model_state, path)
    if finite:
        check_finite(checkpoint.model_state, f"checkpoint {path}", unless)
    network.load_state_dict(checkpoint.model_state)
    network.to(device).eval()
    return task, network, header
