"""Trains a set of runs, one after the other, and goes on with one that was stopped."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Callable, Mapping
from typing import Any

from minideconv import models, tasks
from minideconv.ablate.folder import Folder, RunSet
from minideconv.ablate.variants import configurations, equal_updates
from minideconv.errors import DivergenceError
from minideconv.settings.setting import by_setting_names
from minideconv.training.config import TrainConfig
from minideconv.training.interrupt import Interrupted
from minideconv.training.run.checkpoint import read_header
from minideconv.training.run.folder import RunFolder
from minideconv.training.session import run_session

__all__ = ["outcome_of", "run_all"]


def run_all(
    folder: Folder,
    planned: RunSet,
    machine: Mapping[str, Any],
    show: Callable[[str], None],
    after: Callable[[], object],
) -> None:
    """Train every run that is not done; all variants with the first seed, then with the next.

    Parameters
    ----------
    folder : Folder
    planned : RunSet
    machine : mapping of str to value
        Settings that change no number of a run, such as ``threads``.
    show : callable
        Prints a line.
    after : callable
        Called after each run, to bring the table up to date.

    Raises
    ------
    Interrupted
        If it was stopped; the sentence has the command that goes on.
    """
    go_on = f"go on with: python -m minideconv.ablate --resume {shlex.quote(str(folder.path))}"
    try:
        configs = equal_updates(configurations(planned.base, planned.names))
        runs = [(name, seed) for seed in planned.all_seeds for name in configs]
        for number, (name, seed) in enumerate(runs, 1):
            done = folder.outcome(name, seed)
            if done is None:
                config = TrainConfig.from_dict(
                    {**configs[name].to_dict(), **machine, "seed": seed, "quiet": True}
                )
                done = outcome_of(config, folder.run(name, seed))
                folder.write_outcome(name, seed, done)
                after()
            show(f"{number}/{len(runs)}  {name}, seed {seed}: {_in_words(planned, done)}")
    except Interrupted as stopped:
        message = str(stopped).partition("; go on with")[0]
        raise Interrupted(f"{message}; {go_on}", stopped.signal_number) from None
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; {go_on}", signal.SIGINT) from None


def _in_words(planned: RunSet, outcome: Mapping[str, Any]) -> str:
    if outcome["diverged"]:
        return f"diverged: {outcome['diverged']}"
    return tasks.get(planned.base.task).main_metric.name + f" {outcome['value']:.4f}"


def outcome_of(config: TrainConfig, run: RunFolder) -> dict[str, Any]:
    """Train one run, or go on with it; return what came of it.

    A loss that stops being finite is a result too: this variant cannot be trained like that.
    """
    diverged = ""
    if not run.last.exists():
        run.keep_metrics(0)  # of a session that ended before its first checkpoint
    try:
        with by_setting_names(f"run {run.path.name}"):
            run_session(config, run, run.last if run.last.exists() else None)
    except DivergenceError as error:
        diverged = str(error)
    if diverged and not run.last.exists():
        return {"diverged": diverged, "value": None}
    header = read_header(run.last)
    network = models.build(header["model"]["name"], header["model"]["arguments"])
    found = {
        "diverged": diverged,
        "value": None,
        "parameters": network.num_parameters(),
        "updates": header["progress"]["step"],
        "seconds": header["progress"]["elapsed"],
    }
    if not diverged:
        result = json.loads(run.evaluation.read_text(encoding="utf-8"))["val"]
        found["value"] = result[tasks.get(config.task).main_metric.key]
        found["loss"] = result["loss"]
        found["metrics"] = {k: v for k, v in result.items() if isinstance(v, float)}
    return found
