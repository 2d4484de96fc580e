"""A network to look inside of, from a checkpoint or from a file with VGG-16's weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from minideconv import models
from minideconv.backend import Device
from minideconv.backend.environment import cache_folder
from minideconv.errors import UsageError
from minideconv.interop import match, read_weights
from minideconv.interop.finite import check_finite
from minideconv.interop.fitting import to_input
from minideconv.interop.known import KNOWN, fetch, recognise
from minideconv.settings.setting import refusal
from minideconv.training.enough_memory import check_network_memory
from minideconv.training.pretrained import normalization_for
from minideconv.training.run.checkpoint import find_checkpoint
from minideconv.training.run.trained import load_network
from minideconv.visualize.subject import Subject

__all__ = ["WEIGHTS_SIZE", "load_subject"]

WEIGHTS_SIZE = 224
"""Pixels of a side of the images that VGG-16's weights were trained with."""


def load_subject(
    name: str,
    device: Device,
    which: str = "best",
    size: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Subject:
    """Return the network that a name means: a run folder, a checkpoint, weights, a known file.

    Parameters
    ----------
    name : str
    device : Device
        Where it shall compute.
    which : {"best", "last"}
        Which checkpoint of a run folder.
    size : int, optional
        Side of its input in pixels; its own if left out.
    say : callable
        Shows a line of text about a download.

    Raises
    ------
    UsageError
        If there is no such file, or the network cannot take that size.
    CheckpointError
        If the file cannot be read, or holds NaN or infinite values.
    """
    if not Path(name).exists() and name in KNOWN:
        path = fetch(name, cache_folder(), say)
    else:
        path = find_checkpoint(name, which)
    subject = _of_checkpoint(path, device) if path.suffix == ".npz" else _of_weights(path, device)
    check_finite(subject.network.arrays(), str(path))
    if size is not None:
        least = max(getattr(subject.network, "input_size", (1, 1)))
        if size < least:
            raise refusal(lambda name: f"{name('size')} is {size}; {path} needs at least {least}")
        check_network_memory(subject.network, subject.input_size, (size, size), device)
        subject = dataclasses.replace(subject, input_size=size)
    return subject


def _of_checkpoint(path: Path, device: Device) -> Subject:
    task, network, header = load_network(path, device)
    title = models.MODELS[header["model"]["name"]].title
    return Subject.of_task(title, network, task, int(header["input_size"]))


def _of_weights(path: Path, device: Device) -> Subject:
    """Put VGG-16's weights of a file into that network; its last layer's are not used."""
    found = match(read_weights(path))
    known = recognise(path)
    found.convention = (KNOWN[known].convention if known else None) or found.convention
    if found.convention is None:
        raise UsageError(f"weights {path}: it is not known what input they were trained with")
    normalize, target = normalization_for(found.convention)
    to_input(found, target)
    arrays = found.arrays
    head = "fc7.layer.weight" in arrays
    network = models.vgg16(
        num_classes=1,
        width=len(arrays["conv1_1.layer.weight"]),
        fc=len(arrays["fc6.layer.weight"]) if head else 1,
        input_size=WEIGHTS_SIZE if head else 32,
        batch_norm="conv1_1.bn.weight" in arrays,
    )
    state = network.state_dict()
    taken = {name: array for name, array in arrays.items() if name in state}
    network.load_state_dict({**state, **taken})
    network.to(device).eval()
    blocks = {name.partition(".")[0] for name in taken}
    layers = [
        name for name, _ in network.named_children() if name in blocks or name.startswith("pool")
    ]
    return Subject(
        "VGG-16", network, normalize, WEIGHTS_SIZE, whole=False, layers=layers, has_output=False
    )
