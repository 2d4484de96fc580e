"""The run folder: appended metrics, whole files, full disks."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from minideconv.errors import TrainingError, UsageError
from minideconv.settings.options import read_toml
from minideconv.training.config import TrainConfig
from minideconv.training.run.claim import new_run
from minideconv.training.run.folder import RunFolder, write_bytes, write_text


def test_a_new_folder_holds_its_configuration(tmp_path):
    config = TrainConfig(width=5, lr=0.125)
    run = RunFolder(tmp_path / "a" / "b")
    run.create(config)
    assert TrainConfig(**json.loads(run.config.read_text())) == config
    assert TrainConfig(**read_toml(run.config_toml)) == config


def test_metrics_are_appended_and_cut_back(tmp_path):
    run = RunFolder(tmp_path)
    assert run.read_metrics() == []
    for step in range(5):
        run.add_metrics({"step": step})
    assert run.metrics_lines == 5
    with run.metrics.open("a") as file:
        file.write('{"step": 5, "lo')  # the power went
    assert [line["step"] for line in run.read_metrics()] == [0, 1, 2, 3, 4]
    again = RunFolder(tmp_path)
    again.keep_metrics(3)
    assert again.metrics_lines == 3
    again.add_metrics({"step": 33})
    assert [line["step"] for line in again.read_metrics()] == [0, 1, 2, 33]


def test_a_folder_that_cannot_be_made_is_wrong_usage(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"^output_dir .*file/run: Not a directory") as caught:
        RunFolder(tmp_path / "file" / "run").create(TrainConfig())
    assert caught.value.as_options.startswith("--output-dir ")


def test_the_next_free_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "shapes-1").mkdir(parents=True)
    (tmp_path / "runs" / "shapes-3").mkdir()
    with new_run("shapes") as run:
        assert run.path == Path("runs/shapes-2")
    with new_run("shapes", "here") as run:
        assert run.path == Path("here")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_full_disk_while_writing_metrics(tmp_path):
    run = RunFolder(tmp_path)
    run.metrics.symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=r"metrics\.jsonl could not be written: the disk is"):
        run.add_metrics({"step": 1})
    assert run.metrics_lines == 0


def test_a_reader_never_sees_half_of_a_new_file(tmp_path):
    path = tmp_path / "report.html"
    write_bytes(path, b"old")
    with path.open("rb") as reader:
        write_bytes(path, b"another")
        assert reader.read() == b"old"  # the file it has opened is still there
    assert path.read_bytes() == b"another"
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    write_text(path, "old")

    def fail(descriptor, mode):
        file = real(descriptor, mode)
        write = file.write

        def half(content):
            write(content[:2])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(file, "write", half)
        return file

    real = os.fdopen
    monkeypatch.setattr(os, "fdopen", fail)
    with pytest.raises(TrainingError, match=r"report\.html could not be written: the disk is full"):
        write_bytes(path, b"new content")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.html"]
