"""What a run that goes on must have in common with itself: its data, and the rate that it had."""

from __future__ import annotations

import numpy as np

from minideconv import optim
from minideconv.autograd import Tensor
from minideconv.errors import UsageError
from minideconv.settings.setting import refusal
from minideconv.training import build
from minideconv.training.config import TrainConfig
from minideconv.training.stages import Plan

__all__ = ["check_data", "check_epochs"]

_RISE = 1.1
"""How much higher than before the next step's rate may be without being asked for."""


def check_data(
    saved: dict[str, str] | None, found: dict[str, str], finished: bool, allowed: bool
) -> str:
    """Refuse other data than the run's; return what is to be said about it, or "".

    Parameters
    ----------
    saved, found : dict of str to str
        The fingerprints of the training and the validation list ("train", "val"): the checkpoint's,
        and those of the lists that are there now. None if the checkpoint has none.
    finished : bool
        Whether nothing is left to train, so that only the evaluation would be replaced.
    allowed : bool
        Whether other data was asked for (``--other-data``).

    Raises
    ------
    UsageError
        If they differ.
    """
    if saved is None:
        return (
            "the checkpoint, which is of an earlier version, does not say on which images it was"
            " trained; it goes on with those that are there now"
        )
    words = {"train": "training", "val": "validation"}
    others = [words[name] for name in words if saved.get(name) != found[name]]
    if not others:
        return ""
    what = f"the {' and '.join(others)} images are not those of this run"
    if finished:
        raise refusal(
            lambda name: (
                f"{name('resume')}: {what}, and as all its epochs are done, only its evaluation "
                "would be replaced; use python -m minideconv.evaluate for other images"
            )
        )
    if not allowed:
        raise refusal(
            lambda name: (
                f"{name('resume')}: {what} (names, order, sizes or contents differ); give"
                f" {name('data_root')} its own, begin a new run with {name('pretrained')} and this"
                f" one, or add {name('other_data')} to go on all the same"
            )
        )
    return f"going on with other data: {what}"


def check_epochs(
    saved: TrainConfig, config: TrainConfig, plan: Plan, stage: int, epoch: int, epoch_step: int,
    lr: float, higher_is_better: bool, allowed: bool,
) -> str:  # fmt: skip
    """Refuse numbers of epochs with which the run cannot go on; return what is to be said, or "".

    The learning rate of a step follows from the length of its stage, so with more epochs the steps
    that are left have other rates. Where the next one would be more than a tenth higher than the
    run's own plan has it (or than that of its last step, if its stage is at its end), that has to
    be asked for.

    Parameters
    ----------
    saved, config : TrainConfig
        The settings of the run, and those with which it goes on.
    plan : Plan
        What `config` plans.
    stage : int
        The number of the stage that the checkpoint was in.
    epoch, epoch_step : int
        Epochs that are done, and steps of the next one.
    lr : float
        The rate of the last step.
    higher_is_better : bool
        Of the task's main metric.
    allowed : bool
        Whether another rate was asked for (``--reschedule``).

    Raises
    ------
    UsageError
        In one sentence.
    """
    before = [part for part in saved.plan if part[1] > 0]
    after = {part[0]: part[1] for part in config.plan}
    if tuple(before) == tuple(part for part in config.plan if part[1] > 0) or not before:
        return ""
    for name, epochs, _ in before[:stage]:
        epoch -= epochs
        if after[name] != epochs:
            raise _refused(
                config, name, after[name], f"that stage is over, after {epochs} in this run"
            )
    name, epochs, rate = before[stage]
    least = epoch + (epoch_step > 0)
    if after[name] < least:
        raise _refused(
            config, name, after[name], f"{epoch} are done in this run, so it must be >= {least}"
        )
    if after[name] == epochs or after[name] == epoch or config.lr_schedule == "plateau":
        return ""
    steps = next(one.steps_per_epoch for one in plan.stages if one.name == name)
    done = epoch * steps + epoch_step

    def next_rate(total: int) -> float:
        optimizer = optim.SGD([Tensor(np.zeros(1, np.float32), requires_grad=True)], lr=rate)
        schedule = build.schedule(config, optimizer, total * steps, higher_is_better)
        return float(schedule.lr_at(done, rate))

    old, new = lr if epoch >= epochs else next_rate(epochs), next_rate(after[name])
    said = (
        f"with {after[name]} epochs in the place of {epochs} the {config.lr_schedule} schedule has"
        f" {new:.3g} as the next step's learning rate, where the run had {old:.3g}"
    )
    if new > _RISE * old and not allowed:
        raise refusal(
            lambda shown: (
                f"{shown('resume')}: {said}; add {shown('reschedule')} if that is meant, or begin a"
                f" new run with {shown('pretrained')} and this one"
            )
        )
    return "" if new == old else said


def _refused(config: TrainConfig, stage: str, epochs: int, why: str) -> UsageError:
    second = config.stage == "both" and stage == "2" and config.epochs_stage2 is not None
    option = "epochs_stage2" if second else "epochs"
    error = refusal(lambda name: f"{name(option)} is {epochs}, but {why}")
    assert isinstance(error, UsageError)
    return error
