"""The folder of a set of runs: what it is a set of, its runs, and what has come of each.

::

    runs/ablations/
      ablation.json               the settings and seeds of the set, and what is compared
      runs/upsampling-fixed-1/    a run folder for each run and seed; outcome.json once it is done
      results.json, table.md, ablations.svg
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from minideconv.errors import DataError, DeviceError, UsageError
from minideconv.files.outputs import refuse_same_folder
from minideconv.files.reading import read_json
from minideconv.files.schema import Mismatch, mapping_of, number, optional, table, text, whole
from minideconv.settings.setting import option_name, refusal
from minideconv.training.config import TrainConfig
from minideconv.training.run.folder import RunFolder, write_text
from minideconv.training.run.lock import run_lock

__all__ = ["Plan", "Planned", "SetFolder"]

_NUMBER = optional(number(finite=False))
_OUTCOME = table(
    {"value": _NUMBER, "diverged": text},
    {
        "metric": text,
        "parameters": whole(),
        "updates": whole(),
        "seconds": number(0),
        "loss": _NUMBER,
        "metrics": mapping_of(_NUMBER),
    },
)


class Planned(Protocol):
    """What a set of runs consists of."""

    @property
    def base(self) -> TrainConfig:
        """The settings that all runs share; its seed is the first one."""
        ...

    @property
    def seeds(self) -> int:
        """With how many seeds each run is trained."""
        ...

    @property
    def all_seeds(self) -> range:
        """The seeds themselves."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        ...


Plan = TypeVar("Plan", bound=Planned)


class SetFolder(Generic[Plan]):
    """Paths inside the folder of a set, and what is kept about its runs.

    Parameters
    ----------
    path : str or Path
    read : callable
        Makes the set from what its `Planned.to_dict` returned.
    what : str
        What it is a set of.
    names : (str, str)
        The files of the set and of its picture.
    """

    def __init__(
        self,
        path: str | Path,
        read: Callable[[dict[str, Any]], Plan],
        what: str,
        names: tuple[str, str],
    ) -> None:
        self.path, self._read, self._what = Path(path), read, what
        self.set = self.path / names[0]
        self.results = self.path / "results.json"
        self.table = self.path / "table.md"
        self.picture = self.path / names[1]

    @contextlib.contextmanager
    def new(self, planned: Plan) -> Iterator[None]:
        """Make the folder and hold its lock, for a set that begins.

        Raises
        ------
        UsageError
            If it holds a set or one of its files, cannot be made, or is in use.

        Notes
        -----
        If the block fails by a user's mistake before anything was trained, nothing is left.
        """
        root = planned.base.data_root
        refuse_same_folder("--output", self.path, {"--data-root": root})
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
    def _new(self, planned: Plan) -> Iterator[None]:
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

    def write_set(self, planned: Plan) -> None:
        """Write down what is trained."""
        write_text(self.set, json.dumps(planned.to_dict(), indent=1) + "\n")

    def read_set(self) -> Plan:
        """Return what is trained here.

        Raises
        ------
        UsageError
            If the folder holds no set, or one of another version of this program.
        """
        try:
            return self._read(read_json(self.set))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            wrong = f"{self.path} is no folder of a set of {self._what}"
            raise refusal(lambda name: f"{name('resume')} {wrong}") from None

    def seeds_of(self, planned: Plan, asked: int | None) -> int:
        """Return how many seeds a set that goes on shall have: as many as before, or more.

        Raises
        ------
        UsageError
            If it were fewer.
        """
        seeds = planned.seeds if asked is None else asked
        if seeds < planned.seeds:
            raise UsageError(
                f"--seeds is {seeds}, but {self.path} is a set of {planned.seeds};"
                " it can only become more"
            )
        return seeds

    def refuse_changes(self, asked: Mapping[str, tuple[Any, Any]]) -> None:
        """Refuse other values than those of the set that goes on.

        Parameters
        ----------
        asked : mapping of str to (value, value)
            By the name of a setting, what it is in the set and what it is to become.

        Raises
        ------
        UsageError
            One sentence with both values.
        """
        for name, (own, value) in asked.items():
            if value != own:
                shown, other = (
                    " ".join(map(str, v)) if isinstance(v, tuple) else v for v in (own, value)
                )
                raise UsageError(
                    f"--resume {self.path}: {option_name(name)} is {shown} in this set and cannot"
                    f" become {other}; start a new set for that"
                )

    def run(self, name: str, seed: int) -> RunFolder:
        """Return the folder of a run."""
        return RunFolder(self.path / "runs" / f"{name}-{seed}")

    def outcome(self, name: str, seed: int) -> dict[str, Any] | None:
        """Return what came of a run; None if it is not done."""
        path = self._outcome(name, seed)
        try:
            found: dict[str, Any] = read_json(path)
            _OUTCOME(found, "it")
        except FileNotFoundError:
            return None
        except OSError as error:
            wrong = f"is damaged ({error.strerror})"
            raise UsageError(f"{path} {wrong}; remove it to evaluate again") from error
        except Mismatch as error:
            wrong = f"is no outcome of a run ({error})"
            raise UsageError(f"{path} {wrong}; remove it to evaluate again") from error
        return found

    def write_outcome(self, name: str, seed: int, outcome: dict[str, Any]) -> None:
        """Write down what came of a run, which is then done."""
        write_text(self._outcome(name, seed), json.dumps(outcome, indent=1) + "\n")

    def _outcome(self, name: str, seed: int) -> Path:
        return self.run(name, seed).path / "outcome.json"
