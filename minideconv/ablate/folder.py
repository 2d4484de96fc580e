"""What a set of ablations is, and its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minideconv.ablate.variants import ABLATIONS
from minideconv.errors import UsageError
from minideconv.run_sets.folder import SetFolder
from minideconv.training.config import TrainConfig

__all__ = ["Folder", "RunSet"]


@dataclass(frozen=True)
class RunSet:
    """What is trained: some ablations of one configuration, each with several seeds.

    Attributes
    ----------
    base : TrainConfig
        The settings that all runs share; its seed is the first one.
    names : tuple of str
        Of `ABLATIONS`.
    seeds : int
        How many.
    """

    base: TrainConfig
    names: tuple[str, ...]
    seeds: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {"ablations": self.names, "seeds": self.seeds, "settings": self.base.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunSet:
        """Make the set that `to_dict` returned.

        Raises
        ------
        UsageError, KeyError, TypeError
            If it is of another version of this program, or none.
        """
        names = tuple(values["ablations"])
        if not set(names) <= ABLATIONS.keys():
            raise UsageError("the set has ablations that this minideconv does not know")
        return cls(TrainConfig.from_dict(values["settings"]), names, values["seeds"])

    @property
    def all_seeds(self) -> range:
        """The seeds themselves."""
        return range(self.base.seed, self.base.seed + self.seeds)


class Folder(SetFolder[RunSet]):
    """The folder of a set of ablations."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, RunSet.from_dict, "ablations", ("ablation.json", "ablations.svg"))
