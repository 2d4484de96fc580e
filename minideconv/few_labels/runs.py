"""Trains a set of runs, one after the other, and goes on with one that was stopped."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from minideconv import tasks
from minideconv.ablate.runs import outcome_of
from minideconv.errors import UsageError
from minideconv.few_labels.folder import Folder
from minideconv.few_labels.plan import PRETEXTS, STARTS, FewLabels
from minideconv.training.config import TrainConfig
from minideconv.training.interrupt import Interrupted

__all__ = ["check_data", "run_all", "run_name"]

Make = Callable[[], TrainConfig]


def run_name(start: str, labels: int) -> str:
    """Return what the runs from a start with so many labels are called."""
    return f"{start}-{labels}"


def check_data(planned: FewLabels) -> None:
    """Refuse more labels than there are training images.

    Raises
    ------
    UsageError
        Also if there is no such data.
    """
    base = planned.base
    there = len(tasks.get(base.task).dataset(base, base.train_split))
    if max(planned.labels) > there:
        raise UsageError(
            f"labels: {max(planned.labels)} images are asked for, but {base.data}"
            f" {base.train_split} has {there}"
        )


def run_all(
    folder: Folder,
    planned: FewLabels,
    machine: Mapping[str, Any],
    show: Callable[[str], None],
    after: Callable[[], object],
) -> None:
    """Train every run that is not done; all of the first seed, then all of the next.

    Parameters
    ----------
    folder : Folder
    planned : FewLabels
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
    go_on = f"go on with: python -m minideconv.few_labels --resume {shlex.quote(str(folder.path))}"
    try:
        runs = list(_runs(folder, planned))
        for number, (name, seed, make) in enumerate(runs, 1):
            done = folder.outcome(name, seed)
            if done is None:
                config = TrainConfig.from_dict({**make().to_dict(), **machine, "quiet": True})
                done = outcome_of(config, folder.run(name, seed))
                folder.write_outcome(name, seed, done)
                after()
            metric = tasks.get("autoencode" if name in PRETEXTS else planned.base.task).main_metric
            found = done["diverged"] or f"{metric.name} {done['value']:.4f}"
            show(f"{number}/{len(runs)}  {name}, seed {seed}: {found}")
    except Interrupted as stopped:
        message = str(stopped).partition("; go on with")[0]
        raise Interrupted(f"{message}; {go_on}", stopped.signal_number) from None
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; {go_on}", signal.SIGINT) from None


def _runs(folder: Folder, planned: FewLabels) -> Iterator[tuple[str, int, Make]]:
    """Yield each run's name, its seed, and what makes its settings."""
    for seed in planned.all_seeds:
        for name in planned.pretexts:
            yield name, seed, partial(planned.pretext_config, name, seed)
        for labels in planned.labels:
            for start in (name for name in STARTS if name in planned.starts):
                # The network of the last epoch: nothing is chosen by the validation images.
                weights = folder.run(start, seed).last if start in PRETEXTS else None
                make = partial(planned.config, start, labels, seed, weights)
                yield run_name(start, labels), seed, make
