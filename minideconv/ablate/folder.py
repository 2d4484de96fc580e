"""The folder of a set of runs: what it is a set of, its runs, and what has come of each.

::

    runs/ablations/
      ablation.json               the settings, ablations and seeds of the set
      runs/upsampling-fixed-1/    the run folder of a variant and seed; outcome.json once it is done
      results.json, table.md, ablations.svg
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minideconv.ablate.variants import ABLATIONS
from minideconv.errors import DataError, DeviceError, UsageError
from minideconv.settings.setting import refusal
from minideconv.training.config import TrainConfig
from minideconv.training.run.folder import RunFolder, write_text
from minideconv.training.run.lock import run_lock

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

    @property
    def all_seeds(self) -> range:
        """The seeds themselves."""
        return range(self.base.seed, self.base.seed + self.seeds)


class Folder:
    """Paths inside the folder of a set, and what is kept about its runs."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.set = self.path / "ablation.json"
        self.results = self.path / "results.json"
        self.table = self.path / "table.md"
        self.picture = self.path / "ablations.svg"

    @contextlib.contextmanager
    def new(self, planned: RunSet) -> Iterator[None]:
        """Make the folder and hold its lock, for a set that begins.

        Raises
        ------
        UsageError
            If it holds a set or one of its files, cannot be made, or is in use.

        Notes
        -----
        If the block fails by a user's mistake before anything was trained, nothing is left.
        """
        try:
            made = not self.path.exists()
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            wrong = f"{self.path}: {error.strerror}"
            raise refusal(lambda name: f"{name('output')} {wrong}") from error
        try:
            with self._new(planned):
                yield
        finally:
            if made:
                with contextlib.suppress(OSError):  # it is not empty: it stays
                    self.path.rmdir()

    @contextlib.contextmanager
    def _new(self, planned: RunSet) -> Iterator[None]:
        with run_lock(self.path):
            own = (self.set, self.results, self.table, self.picture, self.path / "runs")
            there = [path.name for path in own if os.path.lexists(path)]
            if self.set.name in there:
                raise refusal(
                    lambda name: (
                        f"{name('output')} {self.path} already holds a set of runs; go on with it"
                        f" by {name('resume')} {self.path}, or name another folder"
                    )
                )
            if there:
                raise refusal(
                    lambda name: (
                        f"{name('output')} {self.path} already holds {', '.join(there)}, which"
                        " the set would overwrite; name another folder"
                    )
                )
            self.write_set(planned)
            try:
                yield
            except (UsageError, DataError, DeviceError):
                if not (self.path / "runs").exists():
                    self.set.unlink()  # nothing was trained; the corrected command begins anew
                raise

    def write_set(self, planned: RunSet) -> None:
        """Write down what is trained."""
        write_text(self.set, json.dumps(planned.to_dict(), indent=1) + "\n")

    def read_set(self) -> RunSet:
        """Return what is trained here.

        Raises
        ------
        UsageError
            If the folder holds no set, or one of another version of this program.
        """
        try:
            values = json.loads(self.set.read_text(encoding="utf-8"))
            names, seeds, settings = (values[k] for k in ("ablations", "seeds", "settings"))
            names = tuple(names)
        except (OSError, ValueError, KeyError, TypeError):
            raise refusal(
                lambda name: f"{name('resume')} {self.path} is no folder of a set of ablations"
            ) from None
        if not set(names) <= ABLATIONS.keys():
            raise UsageError(f"{self.set} has ablations that this minideconv does not know")
        return RunSet(TrainConfig.from_dict(settings), names, seeds)

    def run(self, name: str, seed: int) -> RunFolder:
        """Return the folder of a run."""
        return RunFolder(self.path / "runs" / f"{name}-{seed}")

    def outcome(self, name: str, seed: int) -> dict[str, Any] | None:
        """Return what came of a run; None if it is not done."""
        path = self._outcome(name, seed)
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise UsageError(f"{path} is damaged ({error}); remove it to evaluate again") from error
        return found

    def write_outcome(self, name: str, seed: int, outcome: dict[str, Any]) -> None:
        """Write down what came of a run, which is then done."""
        write_text(self._outcome(name, seed), json.dumps(outcome, indent=1) + "\n")

    def _outcome(self, name: str, seed: int) -> Path:
        return self.run(name, seed).path / "outcome.json"
