"""Layers on disk: one checkpoint with the filters of all, how they were learnt, and how far."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minideconv.backend import Device, to_device
from minideconv.errors import CheckpointError
from minideconv.sparse_coding.hierarchy.layer import Layer
from minideconv.sparse_coding.hierarchy.settings import HierarchySettings
from minideconv.training.run.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

__all__ = ["NAME", "load_hierarchy", "make_layer", "save_hierarchy"]

NAME = "hierarchy.npz"
_KIND = "hierarchical deconvolutional network"


def make_layer(settings: HierarchySettings, at: int, filters: Any, connections: Any) -> Layer:
    """Return layer number `at`, from 0 on, with these settings."""
    kappa, p = settings.all_kappas[at], settings.all_powers[at]
    return Layer(filters, connections, settings.lam, kappa, p, settings.cg_steps)


def save_hierarchy(path: Path, layers: Sequence[Layer], header: dict[str, Any]) -> None:
    """Write it, whole or not at all.

    Raises
    ------
    CheckpointError
        If it cannot be written.
    """
    arrays = {}
    for number, layer in enumerate(layers, 1):
        arrays[f"layer{number}.filters"] = layer.filters
        arrays[f"layer{number}.connections"] = layer.connections
    save_checkpoint(path, Checkpoint(arrays, {**header, "kind": _KIND}))


def load_hierarchy(
    path: Path, device: Device
) -> tuple[list[Layer], HierarchySettings, dict[str, Any]]:
    """Read what `save_hierarchy` wrote: the layers so far, the settings and the header.

    Parameters
    ----------
    path : Path
        A folder that ``hierarchy`` wrote, or the file in it.
    device : Device

    Raises
    ------
    CheckpointError
        If it is missing or damaged, something else, or its filters are not finite.
    """
    path = path / NAME if path.is_dir() else path
    found = load_checkpoint(path)
    if found.header.get("kind") != _KIND:
        raise CheckpointError(f"{path} holds no layers; `hierarchy` writes them")
    try:
        settings = HierarchySettings(**found.header["settings"])
        layers = []
        for at in range(len(found.model_state) // 2):
            names = [f"layer{at + 1}.{what}" for what in ("filters", "connections")]
            arrays = [found.model_state.pop(name) for name in names]
            for name, array in zip(names, arrays, strict=True):
                if array.dtype.kind != "f" or not np.isfinite(array).all():
                    raise CheckpointError(f"{path}: {name} holds numbers that are not finite")
            layers.append(make_layer(settings, at, *(to_device(a, device) for a in arrays)))
        if found.model_state:
            raise ValueError(f"it has {min(found.model_state)}, which is of no layer")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(f"{path} does not say how it was learnt ({error})") from error
    return layers, settings, found.header
