"""A run that was stopped and resumed ends with the same bytes as one that was not."""

from __future__ import annotations

import pytest
from stopped_runs import assert_same_run, lines, plain, run

from minideconv import random
from minideconv.errors import CheckpointError, TrainingError
from minideconv.training.config import TrainConfig
from minideconv.training.interrupt import Interrupted
from minideconv.training.run.checkpoint import load_checkpoint
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.journal import Journal
from minideconv.training.trainer import Trainer

pytestmark = pytest.mark.long_on_fakecuda  # tests/cuda/test_training_run.py resumes there


@pytest.fixture(params=["adamw", "sgd", "autoencoder", "swwae"])
def settings(tiny, request):
    # Three batches in a step: the last step of an epoch takes what is left.
    chosen = {**tiny, "accumulate": 2, "workers": 2, "lr": 0.02}
    if request.param in ("adamw", "sgd"):
        return {**chosen, "optimizer": request.param}
    without = ("fc", "fc_kernel", "epochs_stage2")
    chosen = {name: value for name, value in chosen.items() if name not in without}
    own = {"task": "autoencode", "model": request.param, "stage": "whole", "train_images": 12}
    # What corrupts the input draws random numbers in each step.
    return {**chosen, **own, "epochs": 4, "noise": 0.3, "masking": 0.2}


@pytest.fixture
def uninterrupted(settings, tmp_path):
    trainer = run(tmp_path / "whole", settings)
    assert trainer.progress.epoch == 4
    return trainer


def test_stopping_and_resuming_changes_no_byte(settings, uninterrupted, tmp_path):
    total = uninterrupted.progress.step
    first_stage = 2 * uninterrupted.plan.stages[0].steps_per_epoch
    assert 4 < first_stage < total - 4
    stops = {
        "in the first epoch": 1,
        "in stage 1": first_stage - 1,
        "at the boundary": first_stage,
        "in stage 2": first_stage + 2,
        "after the last step": total,
    }
    for name, step in stops.items():
        folder = tmp_path / name
        with pytest.raises(Interrupted) as stopped:
            run(folder, settings, stop_at=step)
        assert stopped.value.exit_code == 130
        assert f"python -m minideconv.train --resume '{folder}'" in str(stopped.value)
        run(folder, settings, resume=True)
        assert_same_run(tmp_path / "whole", folder)


def test_stopping_twice_and_in_a_validation(settings, uninterrupted, tmp_path):
    folder = tmp_path / "again"
    with pytest.raises(Interrupted) as stopped:
        run(folder, settings, in_validation=2)
    assert stopped.value.exit_code == 143
    with pytest.raises(Interrupted):
        run(folder, settings, resume=True, in_validation=1)
    with pytest.raises(Interrupted):
        run(folder, settings, resume=True, stop_at=uninterrupted.progress.step - 1)
    run(folder, settings, resume=True)
    assert_same_run(tmp_path / "whole", folder)


def test_another_number_of_workers_changes_no_byte(settings, uninterrupted, tmp_path):
    folder = tmp_path / "workers"
    with pytest.raises(Interrupted):
        run(folder, settings, stop_at=3)
    run(folder, {**settings, "workers": 0}, resume=True)
    one = load_checkpoint(tmp_path / "whole" / "checkpoints" / "last.npz")
    two = load_checkpoint(folder / "checkpoints" / "last.npz")
    assert plain(one.model_state) == plain(two.model_state)
    assert lines(tmp_path / "whole") == lines(folder)


def test_lines_behind_the_checkpoint_are_dropped(settings, uninterrupted, tmp_path):
    """As after a power cut: metrics.jsonl is ahead of last.npz, its last line half written."""
    folder = tmp_path / "cut"
    with pytest.raises(Interrupted):
        run(folder, settings, stop_at=4)
    saved = (folder / "checkpoints" / "last.npz").read_bytes()
    with pytest.raises(Interrupted):
        run(folder, settings, resume=True, stop_at=9)
    (folder / "checkpoints" / "last.npz").write_bytes(saved)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "ste')
    run(folder, settings, resume=True)
    assert_same_run(tmp_path / "whole", folder)


def test_a_run_that_died_goes_on_from_its_last_save(tiny, tmp_path, monkeypatch):
    settings = {**tiny, "save_every": 1}
    run(tmp_path / "whole", settings)
    real = Trainer._step

    def die(self, stage):
        if self.progress.epoch_step == 2 and self.progress.epoch == 1:
            raise MemoryError
        real(self, stage)

    monkeypatch.setattr(Trainer, "_step", die)
    with pytest.raises(MemoryError):
        run(tmp_path / "part", settings)
    monkeypatch.undo()
    saved = load_checkpoint(tmp_path / "part" / "checkpoints" / "last.npz")
    assert saved.header["progress"]["epoch_step"] == 2
    run(tmp_path / "part", settings, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "part")


def test_another_seed_is_another_run(tiny, tmp_path):
    """The comparison above is able to fail."""
    run(tmp_path / "a", tiny)
    run(tmp_path / "b", {**tiny, "seed": 1})
    with pytest.raises(AssertionError):
        assert_same_run(tmp_path / "a", tmp_path / "b")


def test_a_plateau_schedule_resumes_too(tiny, tmp_path):
    settings = {**tiny, "lr_schedule": "plateau"}
    run(tmp_path / "whole", settings)
    with pytest.raises(Interrupted):
        run(tmp_path / "part", settings, stop_at=5)
    run(tmp_path / "part", settings, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "part")


def test_resuming_a_finished_run_does_nothing(tiny, tmp_path):
    run(tmp_path / "run", tiny)
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    trainer = run(tmp_path / "run", tiny, resume=True)
    assert trainer.progress.epoch == 4
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_resuming_another_network_names_the_difference(tiny, tmp_path):
    run(tmp_path / "run", {**tiny, "epochs": 1, "epochs_stage2": 0})
    last = tmp_path / "run" / "checkpoints" / "last.npz"
    with pytest.raises(
        CheckpointError, match=r"its conv1_1\.layer\.weight has shape \(2, 3, 3, 3\)"
    ):
        Trainer(TrainConfig(**{**tiny, "width": 3}), resume=last)


# -- One trainer, several calls of fit (a notebook's stop button) --------------------------------


def stopping(folder, settings, stops, between=lambda trainer: None):
    """Call `fit` until it ends, stopped after these steps, or in a validation where None is."""
    run_folder = RunFolder(folder)
    trainer = Trainer(TrainConfig(**settings), run=run_folder)
    run_folder.create(trainer.config)
    left = list(stops)

    def step(info):
        if left and left[0] == trainer.progress.step:
            left.pop(0)
            trainer.stop.ask()

    def work(what, done, total):
        if left and left[0] is None:
            left.pop(0)
            trainer.stop.ask()

    trainer.show.step, trainer.show.work = step, work
    for _ in stops:
        with pytest.raises(Interrupted):
            trainer.fit()
        between(trainer)
    trainer.fit()
    return trainer


def test_fit_goes_on_after_an_interrupt(settings, uninterrupted, tmp_path):
    total = uninterrupted.progress.step
    boundary = 2 * uninterrupted.plan.stages[0].steps_per_epoch

    def look(trainer):  # what people do between two cells
        trainer.predictor()
        trainer.model.eval()
        random.manual_seed(1234)
        random.default_rng().standard_normal(3)

    stops = [1, 2, None, boundary - 1, boundary, boundary + 1, None, total]
    trainer = stopping(tmp_path / "part", settings, stops, look)
    assert trainer.progress.epoch == 4
    assert_same_run(tmp_path / "whole", tmp_path / "part")
    assert trainer.fit().epoch == 4  # and at the end there is nothing left to do


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_fit_goes_on_without_a_run_folder(tiny, tmp_path, workers):
    whole = run(tmp_path / "whole", tiny)
    trainer = Trainer(TrainConfig(**{**tiny, "workers": workers}))
    trainer.show.step = lambda info: trainer.progress.step % 3 == 0 and trainer.stop.ask()
    interrupts = 0
    while trainer.progress.epoch < 4:
        try:
            trainer.fit()
        except Interrupted:
            interrupts += 1
    assert interrupts > 3
    assert plain(trainer.model.state_dict()) == plain(whole.model.state_dict())


def test_fit_goes_on_after_a_validation_that_failed(tiny, tmp_path, monkeypatch):
    whole = run(tmp_path / "whole", tiny)
    trainer = Trainer(TrainConfig(**tiny))
    monkeypatch.setattr(Trainer, "evaluate", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trainer.fit()
    monkeypatch.undo()
    trainer.fit()
    assert plain(trainer.model.state_dict()) == plain(whole.model.state_dict())


@pytest.mark.parametrize(("owner", "name"), [(Trainer, "_step"), (Trainer, "save")])
def test_fit_goes_on_after_an_error_between_two_steps(tiny, tmp_path, monkeypatch, owner, name):
    """A second Ctrl-C, or a full disk: the batches that lay ready are not skipped."""
    settings = {**tiny, "save_every": 2}
    whole = run(tmp_path / "whole", settings)
    folder = RunFolder(tmp_path / "part")
    trainer = Trainer(TrainConfig(**settings), run=folder)
    folder.create(trainer.config)
    with monkeypatch.context() as patched:
        real, calls = getattr(owner, name), []

        def pressed(*arguments, **options):
            calls.append(name)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return real(*arguments, **options)

        patched.setattr(owner, name, pressed)
        with pytest.raises(KeyboardInterrupt):
            trainer.fit()
    assert 0 < trainer.progress.epoch_step + trainer.progress.epoch < whole.progress.step
    trainer.fit()
    assert plain(trainer.model.state_dict()) == plain(whole.model.state_dict())
    assert_same_run(tmp_path / "whole", folder.path)


@pytest.mark.parametrize("name", ["step", "finish_epoch"])
def test_fit_does_not_go_on_from_a_half_written_record(tiny, tmp_path, monkeypatch, name):
    """The step is done and its line is not written, or the other way round."""
    folder = RunFolder(tmp_path / "run")
    trainer = Trainer(TrainConfig(**{**tiny, "save_every": 1}), run=folder)
    folder.create(trainer.config)
    with monkeypatch.context() as patched:
        real = getattr(Journal, name)

        def pressed(self, *arguments):
            if self.progress.step >= 2:
                raise KeyboardInterrupt
            return real(self, *arguments)

        patched.setattr(Journal, name, pressed)
        with pytest.raises(KeyboardInterrupt):
            trainer.fit()
    with pytest.raises(TrainingError, match=r"make a new Trainer with resume='.*last\.npz'"):
        trainer.fit()
    run(tmp_path / "whole", {**tiny, "save_every": 1})
    run(folder.path, {**tiny, "save_every": 1}, resume=True)
    assert_same_run(tmp_path / "whole", folder.path)


def test_fit_does_not_go_on_from_the_middle_of_a_step(tiny, tmp_path, monkeypatch):
    """The second Ctrl-C: some weights may have changed already."""
    folder = RunFolder(tmp_path / "run")
    trainer = Trainer(TrainConfig(**{**tiny, "save_every": 1}), run=folder)
    folder.create(trainer.config)
    real = type(trainer.steps).take

    def pressed(self, stage, count):
        real(self, stage, count)
        if trainer.progress.step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(type(trainer.steps), "take", pressed)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    monkeypatch.undo()
    with pytest.raises(TrainingError, match=r"make a new Trainer with resume='.*last\.npz'"):
        trainer.fit()
    run(tmp_path / "whole", {**tiny, "save_every": 1})
    run(folder.path, {**tiny, "save_every": 1}, resume=True)
    assert_same_run(tmp_path / "whole", folder.path)
