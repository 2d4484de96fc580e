"""The folder of one training run: where each file is, and how metrics and log are written.

::

    runs/shapes-1/
      config.json         every setting, resolved
      config.toml         the same, for --config
      metrics.jsonl       one JSON object a line: "step" lines and "epoch" lines
      log.txt             what was printed
      evaluation.json     the task's metrics at the end, train and val
      checkpoints/        last.npz, best.npz
      pictures/           predictions as training goes
      report.html         all of it on one page
      live.js             how far it is, for that page

`claim` decides which process may write to it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minideconv.errors import DataError, TrainingError
from minideconv.files.atomic import replace_file, write_problem
from minideconv.files.reading import read_json, read_text
from minideconv.settings.setting import refusal
from minideconv.training.config import TrainConfig
from minideconv.training.run.live import Live

__all__ = ["RunFolder", "write_bytes", "write_text"]

_MOST_METRICS = 64 << 20  # bytes


class RunFolder:
    """Paths inside a run folder, and its two append-only text files."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.config_toml = self.path / "config.toml"
        self.metrics = self.path / "metrics.jsonl"
        self.log = self.path / "log.txt"
        self.evaluation = self.path / "evaluation.json"
        self.checkpoints = self.path / "checkpoints"
        self.last = self.checkpoints / "last.npz"
        self.best = self.checkpoints / "best.npz"
        self.pictures = self.path / "pictures"
        self.report = self.path / "report.html"
        self.live = Live(self.path / "live.js")
        self.metrics_lines = 0

    def files(self) -> list[str]:
        """Return the names of what is there of all that a run writes."""
        own = (self.config, self.config_toml, self.metrics, self.log, self.evaluation)
        paths = (*own, self.checkpoints, self.pictures, self.report, self.live.path)
        return [path.name for path in paths if os.path.lexists(path)]

    def is_run(self) -> bool:
        """Whether the folder holds the configuration of a run."""
        try:
            config = read_json(self.config)
        except OSError:
            return False
        return isinstance(config, dict) and {"data", "model", "epochs"} <= config.keys()

    def create(self, config: TrainConfig) -> None:
        """Make the folders and write the configuration.

        Raises
        ------
        UsageError
            If the folder cannot be made.
        """
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self.pictures.mkdir(exist_ok=True)
        except OSError as error:
            wrong = f"{self.path}: {error.strerror}"
            raise refusal(lambda name: f"{name('output_dir')} {wrong}") from error
        write_text(self.config, json.dumps(config.to_dict(), indent=2) + "\n")
        write_text(self.config_toml, config.to_toml())

    def add_metrics(self, line: dict[str, Any]) -> None:
        """Append one JSON object to metrics.jsonl and hand it to the operating system at once."""
        append_text(self.metrics, json.dumps(line) + "\n")
        self.metrics_lines += 1

    def read_metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl; a last line cut off by a crash is left out.

        Raises
        ------
        DataError
            If the file cannot be read, or another line is damaged.
        """
        lines, texts = [], self._metrics_text().splitlines()
        for number, text in enumerate(texts, 1):
            try:
                lines.append(json.loads(text))
            except (ValueError, RecursionError) as error:
                if number < len(texts):
                    raise DataError(f"{self.metrics}: line {number} is no JSON") from error
        return lines

    def _metrics_text(self) -> str:
        """Return metrics.jsonl; "" if there is none."""
        try:
            return read_text(self.metrics, _MOST_METRICS)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise DataError(f"{self.metrics} cannot be read: {error.strerror}") from error

    def keep_metrics(self, lines: int) -> None:
        """Cut metrics.jsonl back to its first `lines` lines: those the checkpoint has seen."""
        if self.metrics.exists():
            kept = self._metrics_text().splitlines(keepends=True)[:lines]
            write_text(self.metrics, "".join(kept))
            self.metrics_lines = len(kept)

    def sync_metrics(self) -> None:
        """Force metrics.jsonl to the disk, so that a power cut takes no line away."""
        with contextlib.suppress(OSError), self.metrics.open("rb") as file:
            os.fsync(file.fileno())

    def add_picture(self, name: str, content: bytes) -> None:
        """Write a file into the folder of pictures."""
        write_bytes(self.pictures / name, content)

    def add_log(self, text: str) -> None:
        """Append a line to log.txt."""
        append_text(self.log, text + "\n")


def append_text(path: Path, text: str) -> None:
    """Add to the end of a text file, handing it to the operating system at once."""
    with _writing(path), path.open("a", encoding="utf-8") as file:
        file.write(text)


def write_text(path: Path, text: str) -> None:
    """Replace a text file in one step, so that a reader never sees half of it."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file in one step; a failed write leaves the old one and no other file.

    Raises
    ------
    TrainingError
        If it cannot be written: a full disk, for example.
    """
    with _writing(path):
        replace_file(path, content)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingError(f"{path} could not be written: {write_problem(error)}") from error
