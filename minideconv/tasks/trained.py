"""A trained network, ready to use."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minideconv.backend import Device
from minideconv.tasks.inference import InferenceSettings

__all__ = ["Trained"]


@dataclass(frozen=True)
class Trained:
    """A trained network ready to use, its task, the checkpoint it came from, and its device.

    Of an ensemble, `path` and `header` are those of the first network and `others` are the paths of
    all others.
    """

    path: Path
    task: Any
    predictor: Any
    header: dict[str, Any]
    device: Device
    description: str
    inference: InferenceSettings = field(default_factory=InferenceSettings)
    others: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """The paths of all networks."""
        return " and ".join(map(str, (self.path, *self.others)))
