"""log.txt: when, by which command, on what, and how a run ended."""

from __future__ import annotations

import json
import os
import re
import socket

import numpy as np
import pytest

from minideconv import train
from minideconv.errors import DataError
from minideconv.training import session
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.lock import is_locked, run_lock
from minideconv.training.run.report import report_html
from minideconv.training.trainer import Trainer

TINY = [
    *("--train-images", "4", "--val-images", "2", "--image-size", "32", "--input-size", "16"),
    *("--width", "2", "--fc", "4", "--depth", "2", "--device", "cpu", "-b", "2", "--images", "0"),
    *("--recalibrate", "1", "--fc-kernel", "0", "--print-freq", "1", "-q", "--epochs", "2"),
]
WHEN = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d: "


def log_of(folder):
    return (folder / "log.txt").read_text(encoding="utf-8")


def test_the_log_says_when_how_and_where(tmp_path):
    folder = tmp_path / "run"
    assert train.main([*TINY, "--output-dir", str(folder)]) == 0
    lines = log_of(folder).splitlines()
    assert re.match(WHEN + "began: .*python", lines[0])
    assert re.match(
        WHEN + f"process {os.getpid()} on {re.escape(socket.gethostname())}, ", lines[1]
    )
    assert f"NumPy {np.__version__}" in lines[1]
    assert re.fullmatch(WHEN + "ended: done", lines[-1])
    assert train.main(["--resume", str(folder), "-q"]) == 0
    assert log_of(folder).count("began: ") == log_of(folder).count("ended: done") == 2


def test_the_log_holds_the_sentence_that_a_run_died_of(tmp_path, monkeypatch, capsys):
    def fails(self, data, limit=0):
        raise DataError("VOC: a.png is broken")

    monkeypatch.setattr(Trainer, "evaluate", fails)
    folder = tmp_path / "run"
    assert train.main([*TINY, "--output-dir", str(folder)]) == 1
    assert "VOC: a.png is broken" in capsys.readouterr().err
    assert re.search(WHEN + r"ended: VOC: a\.png is broken\n$", log_of(folder))
    page = report_html(RunFolder(folder))
    assert "still running" not in page
    assert "stopped: 0 of 2 epochs" in page


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyboardInterrupt(), "ended: stopped at once, without saving"),
        (MemoryError(), "ended: there is not enough memory: no more is given out"),
        (ZeroDivisionError("of a bug"), "ended by a bug of this program:\nTraceback"),
    ],
)
def test_the_log_holds_bugs_and_interrupts(tmp_path, monkeypatch, error, text):
    def fails(trainer):
        raise error

    monkeypatch.setattr(session, "_finish", fails)
    folder = tmp_path / "run"
    if isinstance(error, ZeroDivisionError):
        with pytest.raises(ZeroDivisionError):
            train.main([*TINY, "--output-dir", str(folder)])
        assert log_of(folder).endswith("ZeroDivisionError: of a bug\n")
    else:
        train.main([*TINY, "--output-dir", str(folder)])
    assert text in log_of(folder)


def test_a_full_disk_under_the_log_is_the_error_that_is_reported(tmp_path, monkeypatch, capsys):
    real = RunFolder.add_log

    def full(self, text):
        if "epoch 1/" in text or "ended" in text:
            from minideconv.errors import TrainingError

            raise TrainingError("log.txt could not be written: the disk is full")
        real(self, text)

    monkeypatch.setattr(RunFolder, "add_log", full)
    assert train.main([*TINY, "--output-dir", str(tmp_path / "run")]) == 1
    assert "log.txt could not be written: the disk is full" in capsys.readouterr().err


def test_the_loss_of_a_set_that_is_all_void_is_none(tmp_path):
    folder = tmp_path / "run"
    real = Trainer.__init__

    class Void:
        def __init__(self, data):
            self.data = data

        def __len__(self):
            return len(self.data)

        def __getitem__(self, index):
            image, mask = self.data[index]
            return image, np.full_like(mask, 255)

        def __getattr__(self, name):
            return getattr(self.data, name)

    def void(self, *arguments, **options):
        real(self, *arguments, **options)
        self.val_data = Void(self.val_data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "__init__", void)
        assert train.main([*TINY, "--output-dir", str(folder)]) == 0
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["val"]["loss"] for line in lines if line["kind"] == "epoch"] == [None, None]
    assert json.loads((folder / "evaluation.json").read_text())["val"]["loss"] is None
    assert "val loss -  val IoU -" in log_of(folder)
    assert "NaN" not in (folder / "evaluation.json").read_text()


def test_a_run_is_running_while_its_lock_is_held(tmp_path):
    assert not is_locked(tmp_path)
    with run_lock(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)
    (tmp_path / ".lock").write_text("process 1 on elsewhere")  # left behind by one that was killed
    assert not is_locked(tmp_path)
    (tmp_path / ".lock").unlink()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / ".lock")
        assert not is_locked(tmp_path)


def test_a_step_in_which_no_target_counts_has_no_loss(tmp_path, monkeypatch):
    """Its gradients are zeros, never NaN; the loss would be a mean of nothing."""
    folder, real = tmp_path / "run", Trainer._step

    def without_targets(trainer, stage):
        step, fetch = trainer.progress.step + 1, trainer.steps._fetch

        def void(stage):
            inputs, targets = fetch(stage)
            return inputs, np.full_like(targets, 255) if step != 2 else targets

        with monkeypatch.context() as patched:
            patched.setattr(trainer.steps, "_fetch", void)
            real(trainer, stage)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", without_targets)
        assert train.main([*TINY, "--output-dir", str(folder)]) == 0
    lines = RunFolder(folder).read_metrics()
    losses = {line["step"]: line["loss"] for line in lines if line["kind"] == "step"}
    assert [step for step, loss in losses.items() if loss is not None] == [2]
    first, second = (line["train"]["loss"] for line in lines if line["kind"] == "epoch")
    assert (first, second) == (losses[2], None)
    assert re.search(r"epoch 2/2 \(stage whole\)  loss -  train", log_of(folder))
    page = re.sub(r'base64,[^"]*', "", report_html(RunFolder(folder)))
    assert "nan" not in page.lower()
