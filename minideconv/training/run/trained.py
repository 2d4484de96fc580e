"""A trained network taken out of its checkpoint, ready to use on photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minideconv import models, tasks
from minideconv.backend import Device, as_device, describe_device
from minideconv.errors import CheckpointError, SettingError
from minideconv.settings.setting import refusal
from minideconv.tasks import Trained
from minideconv.training.run.checkpoint import check_model_state, find_checkpoint, load_checkpoint

__all__ = ["load_trained"]


def load_trained(
    path: str | Path,
    device: Device | str = "cpu",
    prefer: str = "best",
    flip: bool = False,
    batch_size: int = 16,
    **inference: Any,
) -> Trained:
    """Load a checkpoint for prediction.

    Parameters
    ----------
    path : str or Path
        A checkpoint or a run folder.
    device : Device or str
        Where the network shall work.
    prefer : {"best", "last"}
        Which checkpoint of a run folder.
    flip, batch_size
        See `Task.predictor`.
    **inference
        Some of the task's own settings; see `Task.inference`.

    Raises
    ------
    CheckpointError
        If it cannot be read, or its arrays do not fit the network that its header describes.
    DeviceError
        If the device is not there.
    UsageError
        If the network's task is not registered, or has no such setting.

    Examples
    --------
    ::

        trained = load_trained("runs/shapes-1")
        labels = trained.predictor.labels(image)
    """
    found = find_checkpoint(path, prefer)
    found_device = as_device(device)
    checkpoint = load_checkpoint(found)
    header = checkpoint.header
    kind = tasks.of_config(header.get("config", {}))
    for name in inference:
        if name not in kind.inference.settings():
            raise _foreign(name, kind.name)
    try:
        description = header["model"]
        network: Any = models.build(description["name"], description["arguments"])
        task = kind.from_header(header)
        input_size = int(header["input_size"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"checkpoint {found}: its header does not describe a network this minideconv can "
            f"build ({error})"
        ) from error
    check_model_state(network.state_dict(), checkpoint.model_state, found)
    network.load_state_dict(checkpoint.model_state)
    network.to(found_device).eval()
    predictor = task.predictor(network, input_size, flip, batch_size, **inference)
    name = describe_device(device, found_device)
    return kind.trained(found, task, predictor, header, found_device, name)


def _foreign(setting: str, task: str) -> SettingError:
    return refusal(lambda name: f"{name(setting)} is no setting of the task {task}")
