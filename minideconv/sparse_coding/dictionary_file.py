"""A dictionary on disk: a checkpoint with the filters, how they were learnt, and how to go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.errors import CheckpointError
from minideconv.sparse_coding.settings import LearnSettings
from minideconv.training.run.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

__all__ = ["NAME", "find_dictionary", "load_dictionary", "read_filters", "save_dictionary"]

NAME = "dictionary.npz"
_KIND = "convolutional sparse coding"


def find_dictionary(path: Path) -> Path:
    """Return the file of a folder that `learn` wrote, or the file itself."""
    return path / NAME if path.is_dir() else path


def save_dictionary(
    path: Path, filters: npt.NDArray[Any], header: dict[str, Any], state: dict[str, Any]
) -> None:
    """Write it, whole or not at all.

    Raises
    ------
    CheckpointError
        If it cannot be written.
    """
    header = {**header, "kind": _KIND}
    save_checkpoint(path, Checkpoint({"filters": filters}, header, state))


def load_dictionary(path: Path) -> Checkpoint:
    """Read what `save_dictionary` wrote.

    Raises
    ------
    CheckpointError
        If it is missing or damaged, no dictionary, or its filters are not finite.
    """
    path = find_dictionary(path)
    found = load_checkpoint(path)
    if found.header.get("kind") != _KIND or "filters" not in found.model_state:
        raise CheckpointError(f"{path} is no dictionary; `learn` writes one")
    filters = found.model_state["filters"]
    if filters.ndim != 4 or 0 in filters.shape or not np.isfinite(filters).all():
        raise CheckpointError(
            f"{path} holds filters of shape {filters.shape} that are not all finite numbers in 4"
            " axes (filters, channels, height, width)"
        )
    return found


def read_filters(path: Path) -> tuple[npt.NDArray[Any], LearnSettings]:
    """Return a dictionary's filters (M, C, kh, kw) and how they were learnt.

    Raises
    ------
    CheckpointError
        If it is no dictionary.
    """
    found = load_dictionary(path)
    return found.model_state["filters"], settings_of(find_dictionary(path), found)


def settings_of(path: Path, found: Checkpoint) -> LearnSettings:
    """Return how a dictionary was learnt."""
    try:
        return LearnSettings(**found.header["settings"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} does not say how it was learnt ({error})") from error
