"""best.npz, last.npz and the report agree at every instant at which a run can be killed."""

from __future__ import annotations

import os

import pytest
from killed_runs import KILLED, check_consistent, ended, in_child, no_leftovers, train
from stopped_runs import assert_same_run, lines, run

from minideconv.errors import CheckpointError, DataError
from minideconv.training.run.checkpoint import (
    Checkpoint,
    load_checkpoint,
    read_header,
    save_checkpoint,
)
from minideconv.training.run.claim import existing_run
from minideconv.training.run.commit import commit, settle
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.report import report_html
from minideconv.training.trainer import Trainer

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system"),
]


@pytest.fixture
def short(tiny):
    return {**tiny, "stage": "whole", "epochs": 2, "epochs_stage2": None, "train_images": 4}


def dying(at: int, work) -> int:
    """Do `work` in a child which dies at its call number `at` that changes the disk."""

    def and_die():
        calls = 0

        def dies(name):
            real = getattr(os, name)

            def call(*arguments, **options):
                nonlocal calls
                calls += 1
                if calls == at:
                    os._exit(KILLED)
                return real(*arguments, **options)

            setattr(os, name, call)

        for name in ("replace", "link", "fsync", "chmod", "unlink"):
            dies(name)
        work()

    return ended(in_child(and_die))


@pytest.mark.long_on_fakecuda
@pytest.mark.parametrize("first", [1, 2, 3, 4])
def test_killed_at_any_change_of_the_disk(short, tmp_path, first):
    """Every fourth such call: together the four tests die at each of them."""
    settings = {**short, "save_every": 1}
    whole = tmp_path / "whole"
    assert ended(in_child(lambda: train(whole, settings))) == 0
    check_consistent(whole)
    assert no_leftovers(whole)
    at, deaths = first, 0
    while True:
        folder = tmp_path / f"killed-{at}"
        code = dying(at, lambda folder=folder: train(folder, settings))
        check_consistent(folder)
        if code == 0:
            break
        assert code == KILLED
        deaths += 1
        assert ended(in_child(lambda folder=folder: train(folder, settings))) == 0
        check_consistent(folder)
        assert_same_run(whole, folder)
        if (folder / "checkpoints" / "best.npz").stat().st_nlink > 1:
            assert no_leftovers(folder / "checkpoints")
        at += 4
    assert deaths >= 5


def test_a_validation_that_fails_loses_no_epoch(short, tmp_path, monkeypatch):
    run(tmp_path / "whole", short)
    real = Trainer.evaluate

    def fails(self, data, limit=0):
        if self.progress.epoch == 1:
            raise DataError("a broken photograph")
        return real(self, data, limit)

    monkeypatch.setattr(Trainer, "evaluate", fails)
    folder = tmp_path / "part"
    with pytest.raises(DataError):
        run(folder, short)
    progress = read_header(folder / "checkpoints" / "last.npz")["progress"]
    assert (progress["epoch"], progress["epoch_step"]) == (1, 2)
    check_consistent(folder)
    monkeypatch.undo()
    run(folder, short, resume=True)
    assert_same_run(tmp_path / "whole", folder)


def test_the_best_epoch_is_one_file_under_two_names(short, tmp_path):
    run(tmp_path / "run", {**short, "epochs": 1})
    names = [tmp_path / "run" / "checkpoints" / f"{name}.npz" for name in ("best", "last")]
    assert names[0].samefile(names[1])
    run(tmp_path / "run", {**short, "epochs": 1}, resume=True)
    before = names[0].read_bytes()
    commit(RunFolder(tmp_path / "run"), Checkpoint({}, {"model": {}}), best=False)
    assert names[0].read_bytes() == before  # the other name is another file from now on
    assert not names[0].samefile(names[1])


def test_without_hard_links_the_content_is_copied(short, tmp_path, monkeypatch):
    def refuse(*names):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    run(tmp_path / "run", {**short, "epochs": 1})
    checkpoints = tmp_path / "run" / "checkpoints"
    assert (checkpoints / "best.npz").read_bytes() == (checkpoints / "last.npz").read_bytes()
    assert sorted(p.name for p in checkpoints.iterdir()) == ["best.npz", "last.npz"]


def test_a_last_that_is_the_best_mends_an_older_best(short, tmp_path):
    """As versions before wrote them: last.npz first, then killed."""
    folder = RunFolder(tmp_path / "run")
    run(folder.path, {**short, "epochs": 1})
    new = load_checkpoint(folder.last)
    assert new.header["progress"]["best_epoch"] == 1
    header = {**new.header, "progress": {**new.header["progress"], "epoch": 0, "best_epoch": 0}}
    save_checkpoint(folder.best, Checkpoint(new.model_state, header, new.state))
    with existing_run(folder.last):
        pass
    assert read_header(folder.best)["progress"]["epoch"] == 1
    folder.best.unlink()
    settle(folder)
    assert read_header(folder.best)["progress"]["epoch"] == 1


def test_settling_leaves_everything_else_alone(short, tmp_path):
    folder = RunFolder(tmp_path / "run")
    run(folder.path, short)
    files = {path: path.read_bytes() for path in folder.checkpoints.iterdir()}
    settle(folder)
    assert {path: path.read_bytes() for path in folder.checkpoints.iterdir()} == files
    folder.best.write_bytes(b"PK\x03\x04 damaged")
    settle(folder)
    assert folder.last.read_bytes() == files[folder.last]
    assert "best validation" not in report_html(folder)
    with pytest.raises(CheckpointError, match=r"best\.npz cannot be read"):
        load_checkpoint(folder.best)


def test_half_written_files_of_the_dead_are_removed_and_of_the_living_are_not(short, tmp_path):
    folder = RunFolder(tmp_path / "run")
    run(folder.path, {**short, "epochs": 1})
    dead = [folder.checkpoints / ".writing-abc.tmp", folder.path / ".writing-def.tmp"]
    for path in dead:
        path.write_bytes(b"half")
    others = folder.path / ".writing-notes.txt"
    others.write_bytes(b"mine")
    from minideconv.files.atomic import replacing

    with replacing(folder.report) as file:
        file.write(b"slowly")
        with existing_run(folder.last):
            pass
        assert len(list(folder.path.glob(".writing-*.tmp"))) == 1
    assert not any(path.exists() for path in dead)
    assert others.exists()
    assert folder.report.read_bytes() == b"slowly"


def test_an_interrupted_commit_is_counted_once(short, tmp_path):
    """The metrics' line of an epoch stands once, whichever file was written."""
    whole = tmp_path / "whole"
    run(whole, short)
    for at in (3, 9):
        folder = tmp_path / str(at)
        dying(at, lambda folder=folder: train(folder, short))
        train(folder, short)
        assert lines(folder) == lines(whole)
