"""What a run has written down, read and checked: `read_written`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minideconv import tasks
from minideconv.errors import DataError
from minideconv.files.reading import read_json
from minideconv.files.schema import Mismatch
from minideconv.models import MODELS
from minideconv.settings.setting import by_setting_names
from minideconv.training.config import TrainConfig
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.record_schema import check_lines

__all__ = ["Written", "damaged", "read_written"]


@dataclass(frozen=True)
class Written:
    """The files of a run folder.

    Attributes
    ----------
    config : dict
        The content of config.json.
    settings : TrainConfig
        What that means.
    task : type
        What the run learns.
    metrics : list of dict
        The lines of metrics.jsonl.
    evaluation : dict
        The content of evaluation.json; empty if there is none.
    """

    config: dict[str, Any]
    settings: TrainConfig
    task: Any
    metrics: list[dict[str, Any]]
    evaluation: dict[str, Any]

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """The epochs' lines."""
        return [line for line in self.metrics if line["kind"] == "epoch"]

    @property
    def title(self) -> str:
        """The network and its data."""
        return f"{MODELS[self.settings.model].title} on {self.settings.described_data}"

    @property
    def planned(self) -> int:
        """Epochs in all."""
        return sum(count for _, count, _ in self.settings.plan)

    @property
    def done(self) -> int:
        """Epochs that are over."""
        return self.epochs[-1]["epoch"] if self.epochs else 0

    @property
    def is_over(self) -> bool:
        """Whether all was trained and evaluated."""
        return self.done >= self.planned and self.evaluation.get("epoch") == self.done


def read_written(run: RunFolder) -> Written:
    """Read them.

    Raises
    ------
    DataError
        If the folder holds no run, or a damaged one.
    """
    try:
        config = read_json(run.config)
    except OSError as error:
        raise DataError(f"{run.path}: there is no run here, {run.config} cannot be read") from error
    if not run.is_run():
        raise DataError(f"{run.path}: there is no run here, {run.config} is of another program")
    with by_setting_names(str(run.config)):  # which are no options of this command
        settings, task = TrainConfig.from_dict(config), tasks.of_config(config)
    metrics, evaluation = run.read_metrics(), _evaluation(run)
    try:
        check_lines(metrics, task.main_metric.key)
    except Mismatch as error:
        raise damaged(run, error) from error
    return Written(config, settings, task, metrics, evaluation)


def damaged(run: RunFolder, error: Mismatch) -> DataError:
    """Return the error about a file that is not as a run writes it."""
    return DataError(f"{run.path} is damaged, or of another program: {error}")


def _evaluation(run: RunFolder) -> dict[str, Any]:
    """Return the content of evaluation.json; empty if there is none."""
    try:
        found = read_json(run.evaluation)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DataError(f"{run.evaluation} cannot be read: {error.strerror}") from error
    if not isinstance(found, dict):
        raise DataError(f"{run.evaluation} is no result of an evaluation")
    return found
