"""A trained network taken out of its checkpoint, ready to use on photographs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minideconv import models
from minideconv.backend import Device, as_device, describe_device
from minideconv.errors import CheckpointError
from minideconv.segmentation import Segmenter
from minideconv.training.build import normalization_from_dict
from minideconv.training.run.checkpoint import check_model_state, find_checkpoint, load_checkpoint

__all__ = ["Trained", "load_trained"]


@dataclass(frozen=True)
class Trained:
    """A network, its classes, the header of the checkpoint it came from, and where it computes."""

    path: Path
    segmenter: Segmenter
    classes: list[str]
    header: dict[str, Any]
    device: Device
    place: str


def load_trained(
    path: str | Path,
    device: Device | str = "cpu",
    prefer: str = "best",
    flip: bool = False,
    batch_size: int = 16,
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
        See `Segmenter`.

    Raises
    ------
    CheckpointError
        If it cannot be read, or its arrays do not fit the network that its header describes.
    DeviceError
        If the device is not there.

    Examples
    --------
    ::

        trained = load_trained("runs/shapes-1")
        mask = trained.segmenter.labels(image)
    """
    found = find_checkpoint(path, prefer)
    place = as_device(device)
    checkpoint = load_checkpoint(found)
    header = checkpoint.header
    try:
        description, classes = header["model"], list(header["classes"])
        network: Any = models.build(description["name"], description["arguments"])
        normalize = normalization_from_dict(header["normalization"])
        input_size = int(header["input_size"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"checkpoint {found}: its header does not describe a network this minideconv can "
            f"build ({error})"
        ) from error
    check_model_state(network.state_dict(), checkpoint.model_state, found)
    network.load_state_dict(checkpoint.model_state)
    network.to(place).eval()
    segmenter = Segmenter(network, input_size, normalize, flip, batch_size)
    return Trained(found, segmenter, classes, header, place, describe_device(device, place))
