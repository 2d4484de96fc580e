"""Trains a set of runs, one after the other, and goes on with one that was stopped."""

from __future__ import annotations

import json
import shlex
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from minideconv import models, tasks
from minideconv.errors import DivergenceError
from minideconv.files.reading import read_json
from minideconv.run_sets.folder import Plan, SetFolder
from minideconv.settings.setting import by_setting_names
from minideconv.training.config import TrainConfig
from minideconv.training.interrupt import Interrupted
from minideconv.training.run.checkpoint import read_header
from minideconv.training.run.folder import RunFolder, write_text
from minideconv.training.session import run_session

__all__ = ["PlannedRun", "outcome_of", "train_and_write"]


class PlannedRun(NamedTuple):
    """One run of a set: what it is called, its seed, and what makes its settings when it begins."""

    name: str
    seed: int
    config: Callable[[], TrainConfig]


def train_and_write(
    folder: SetFolder[Plan],
    runs: Sequence[PlannedRun],
    program: str,
    machine: Mapping[str, Any],
    quiet: bool,
    collect: Callable[[], dict[str, Any]],
    markdown: Callable[[Mapping[str, Any]], str],
    draw: Callable[[Mapping[str, Any]], str],
) -> None:
    """Train every run that is not done, and bring results, table and picture up to date after each.

    Parameters
    ----------
    folder : SetFolder
    runs : sequence of PlannedRun
    program : str
        What goes on: of ``python -m minideconv.PROGRAM --resume``.
    machine : mapping of str to value
        Settings that change no number of a run, such as ``threads``.
    quiet : bool
        Print nothing.
    collect : callable
        Returns the results of the runs that are done.
    markdown, draw : callable
        Make the table and the picture of them.

    Raises
    ------
    Interrupted
        If it was stopped; the sentence has the command that goes on.
    """

    def write() -> str:
        results = collect()
        table = markdown(results)
        write_text(folder.results, json.dumps(results, indent=1) + "\n")
        write_text(folder.table, table)
        write_text(folder.picture, draw(results))
        return table

    def show(line: str) -> None:
        if not quiet:
            print(line, flush=True)

    go_on = f"go on with: python -m minideconv.{program} --resume {shlex.quote(str(folder.path))}"
    try:
        for number, (name, seed, make) in enumerate(runs, 1):
            done = folder.outcome(name, seed)
            if done is None:
                config = TrainConfig.from_dict(
                    {**make().to_dict(), **machine, "seed": seed, "quiet": True}
                )
                done = outcome_of(config, folder.run(name, seed))
                folder.write_outcome(name, seed, done)
                write()
            show(f"{number}/{len(runs)}  {name}, seed {seed}: {_in_words(done)}")
    except Interrupted as stopped:
        message = str(stopped).partition("; go on with")[0]
        raise Interrupted(f"{message}; {go_on}", stopped.signal_number) from None
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; {go_on}", signal.SIGINT) from None
    show(write() + f"everything is in {folder.path}")


def _in_words(outcome: Mapping[str, Any]) -> str:
    if outcome["diverged"]:
        return f"diverged: {outcome['diverged']}"
    return f"{outcome.get('metric', 'value')} {outcome['value']:.4f}"


def outcome_of(config: TrainConfig, run: RunFolder) -> dict[str, Any]:
    """Train one run, or go on with it; return what came of it.

    A loss that stops being finite is a result too: it cannot be trained like that.
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
    metric = tasks.get(config.task).main_metric
    found = {
        "diverged": diverged,
        "metric": metric.name,
        "value": None,
        "parameters": network.num_parameters(),
        "updates": header["progress"]["step"],
        "seconds": header["progress"]["elapsed"],
    }
    if not diverged:
        result = read_json(run.evaluation)["val"]
        found["value"] = result[metric.key]
        found["loss"] = result["loss"]
        found["metrics"] = {k: v for k, v in result.items() if isinstance(v, float)}
    return found
