"""A trained network taken out of its checkpoint, ready to use on photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from minideconv import models, tasks
from minideconv.backend import Device, as_device, describe_device
from minideconv.errors import CheckpointError, UsageError
from minideconv.interop.finite import check_finite
from minideconv.nn import Module
from minideconv.tasks import Task, Trained
from minideconv.training.run.checkpoint import (
    check_model_state,
    find_checkpoint,
    load_checkpoint,
    not_much_larger,
)

__all__ = ["load_alone", "load_network", "load_trained"]


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
    first = load_alone(path, device, prefer, batch_size, **inference)
    paths = [first.path, *(find_checkpoint(each, prefer) for each in ensemble)]
    files = [each.resolve() for each in paths]
    for each, file in zip(paths[1:], files[1:], strict=True):
        if files.count(file) > 1:
            raise UsageError(f"{each} is in the ensemble twice; name each network once")
    others = [
        load_alone(each, device, prefer, batch_size, like=first.task, **inference)
        for each in ensemble
    ]
    networks = (first, *others)
    settings = first.inference
    settings.check_networks([each.header["model"]["name"] for each in networks])
    predictor = first.task.combined([each.predictor for each in networks], settings)
    return replace(first, predictor=predictor, others=tuple(each.path for each in others))


def load_alone(
    path: str | Path,
    device: Device | str = "cpu",
    prefer: str = "best",
    batch_size: int = 16,
    like: Task | None = None,
    **inference: Any,
) -> Trained:
    """Load one checkpoint of several to which the same settings of inference are given.

    Its predictor applies the network as these settings ask of its model, and leaves out what
    follows the networks: how they are joined, and what refines the result.

    Parameters
    ----------
    path, device, prefer, batch_size, inference
        See `load_trained`, for what is raised as well.
    like : Task, optional
        The task with whose networks this one shall be joined.
    """
    found_device = as_device(device)
    found = find_checkpoint(path, prefer)
    task, network, header = load_network(found, found_device)
    if like is not None and (wrong := like.ensemble_mismatch(task)):
        raise UsageError(f"{found} {wrong}")
    settings = tasks.inference_of(type(task), inference)
    own = settings.for_network(header["model"]["name"])
    predictor = task.predictor(network, int(header["input_size"]), own, batch_size)
    name = describe_device(device, found_device)
    return task.trained(found, task, predictor, header, found_device, name, settings)


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
        with not_much_larger(checkpoint):
            network: Any = models.build(description["name"], description["arguments"])
        task = kind.from_header(header)
        _check_together(network, task, header["input_size"])
    except (KeyError, TypeError, ValueError, MemoryError) as error:
        raise CheckpointError(
            f"checkpoint {path}: its header does not describe a network this minideconv can "
            f"build ({error})"
        ) from error
    check_model_state(network.arrays(), checkpoint.model_state, path)
    if finite:
        check_finite(checkpoint.model_state, f"checkpoint {path}", unless)
    network.load_state_dict(checkpoint.model_state)
    network.to(device).eval()
    return task, network, header


def _check_together(network: Any, task: Task, input_size: int) -> None:
    """Raise ValueError for a network that cannot take the task's images, or gives something else.

    What a network does not say about itself is taken to be right.
    """
    for name, needed in (("in_channels", 3), ("num_classes", task.outputs)):
        if (value := getattr(network, name, needed)) != needed:
            raise ValueError(f"{name} is {value}, and the task {task.name} needs {needed}")
    least = max(getattr(network, "input_size", (1, 1)))
    if input_size < least:
        raise ValueError(f"input_size is {input_size}, and the network needs {least}")
