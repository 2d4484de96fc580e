"""Which runs a set of starts and labels has, in the order in which they are trained."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from minideconv import tasks
from minideconv.errors import UsageError
from minideconv.few_labels.folder import Folder
from minideconv.few_labels.plan import PRETEXTS, STARTS, FewLabels
from minideconv.run_sets.training import PlannedRun

__all__ = ["check_data", "run_name", "runs"]


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


def runs(folder: Folder, planned: FewLabels) -> Iterator[PlannedRun]:
    """Yield all of the first seed, then all of the next; auto-encoders before what needs them."""
    for seed in planned.all_seeds:
        for name in planned.pretexts:
            yield PlannedRun(name, seed, partial(planned.pretext_config, name, seed))
        for labels in planned.labels:
            for start in (name for name in STARTS if name in planned.starts):
                # The network of the last epoch: nothing is chosen by the validation images.
                weights = folder.run(start, seed).last if start in PRETEXTS else None
                make = partial(planned.config, start, labels, seed, weights)
                yield PlannedRun(run_name(start, labels), seed, make)
