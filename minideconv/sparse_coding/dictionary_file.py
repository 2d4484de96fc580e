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
_MOST_NORM = 1 + 1e-3  # rounding, of float32 too


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
        If it is missing or damaged, no dictionary, or its filters are not what its settings say.
    """
    path = find_dictionary(path)
    found = load_checkpoint(path)
    if found.header.get("kind") != _KIND or "filters" not in found.model_state:
        raise CheckpointError(f"{path} is no dictionary; `learn` writes one")
    if wrong := _wrong(found.model_state["filters"], settings_of(path, found)):
        raise CheckpointError(f"{path} is damaged, or of another program: its filters {wrong}")
    return found


def _wrong(filters: npt.NDArray[Any], settings: LearnSettings) -> str:
    """Return in words how filters are not what `learn` makes with such settings; "" if they are."""
    dtype = np.dtype(np.float64 if settings.double else np.float32)
    side = settings.filter_size
    shape = (settings.filters, 3 if settings.color else 1, side, side)
    if filters.dtype != dtype:
        return f"are {filters.dtype}, and its settings say {dtype}"
    if filters.shape != shape:
        return f"have shape {filters.shape}, and its settings say {shape}"
    largest = float(np.abs(filters).max())
    if not largest < float("inf"):
        return "are not all finite"
    if largest > 1 or (filters.astype(np.float64) ** 2).sum(axis=(1, 2, 3)).max() > _MOST_NORM**2:
        return "have a norm above 1, which no dictionary has"
    return ""


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
