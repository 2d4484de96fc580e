"""``python -m minideconv.train`` as a user meets it: exit codes, sentences, the folder, signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minideconv import train
from minideconv.optim import FixedLR
from minideconv.training import build
from minideconv.training.run.checkpoint import load_checkpoint
from minideconv.training.step import HostStep
from minideconv.training.trainer import Trainer

TINY = [
    *("--train-images", "6", "--val-images", "3", "--image-size", "32", "--class-balance", "0"),
    *("--input-size", "16", "--width", "2", "--fc", "4", "--depth", "2", "--device", "cpu"),
    *("-b", "2", "--windows", "1", "--epochs", "1", "--recalibrate", "2", "--lr", "0.002"),
    *("--print-freq", "2", "--images", "2", "--fc-kernel", "0", "--difficulty", "normal"),
    *("--optimizer", "adamw", "--lr", "0.002"),
]
BOTH = [*TINY, "--stage", "both", "--epochs-stage2", "1"]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "minideconv.train", *map(str, arguments)]


def environment() -> dict[str, str]:
    root = str(Path(__file__).parents[1])
    return {**os.environ, "PYTHONPATH": root, "OPENBLAS_NUM_THREADS": "1"}


def test_a_run_leaves_its_folder_behind(tmp_path, capsys):
    folder = tmp_path / "run"
    assert train.main([*BOTH, "--epochs-stage2", "1", "--output-dir", str(folder)]) == 0
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "config.json",
        "config.toml",
        "metrics.jsonl",
        "log.txt",
        "evaluation.json",
        "checkpoints",
        "pictures",
        "report.html",
        "live.js",
    }
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["best.npz", "last.npz"]
    assert (folder / "pictures" / "epoch_002.png").exists()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    epochs = [line for line in lines if line["kind"] == "epoch"]
    assert [(line["epoch"], line["stage"]) for line in epochs] == [(1, "1"), (2, "2")]
    steps = [line["step"] for line in lines if line["kind"] == "step"]
    assert steps == sorted(set(steps))
    assert all(step % 2 == 0 for step in steps)
    out = capsys.readouterr().out
    assert "mean IoU" in out
    assert str(folder) in out
    assert out.strip() in (folder / "log.txt").read_text()
    # The table is of the final network: last.npz.
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["val"]["mean_iou"] == epochs[-1]["val"]["mean_iou"]
    assert evaluation["train"]["images"] == 6
    page = (folder / "report.html").read_text()
    assert "still running" not in page
    assert page.count("How it learned") == 1


def test_the_configuration_of_a_run_runs_again(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    assert train.main([*BOTH, "-q", "--output-dir", str(first)]) == 0
    arguments = ["--config", str(first / "config.toml"), "--output-dir", str(second)]
    assert train.main(arguments) == 0
    one = load_checkpoint(first / "checkpoints" / "last.npz").model_state
    two = load_checkpoint(second / "checkpoints" / "last.npz").model_state
    assert all(one[name].tobytes() == two[name].tobytes() for name in one)


def test_the_command_line_wins_over_the_file_and_the_file_over_the_default(tmp_path, capsys):
    path = tmp_path / "run.toml"
    path.write_text("width = 9\nlr = 0.5\n")
    assert train.main(["--config", str(path), "--lr", "0.25", "--print-config"]) == 0
    out = capsys.readouterr().out
    assert "width = 9\n" in out
    assert "lr = 0.25\n" in out
    assert "momentum = 0.9\n" in out
    assert not (tmp_path / "runs").exists()


def test_quiet_prints_nothing(tmp_path, capsys):
    assert train.main([*BOTH, "-q", "--output-dir", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out == ""
    assert "epoch 1/2" in (tmp_path / "run" / "log.txt").read_text()


def test_runs_are_numbered_when_no_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train.main([*TINY, "-q", "--epochs", "0", "--stage", "1"]) == 0
    assert train.main([*TINY, "-q", "--epochs", "0", "--stage", "1"]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["shapes-1", "shapes-2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lr", "0"], "--lr is 0.0; it must be > 0"),
        (["--data", "voc"], "--data voc needs --data-root DIR"),
        (["--data", "voc", "--data-root", "/no/such"], "--data-root /no/such"),
        (["--config", "/no/such.toml"], "--config /no/such.toml: No such file or directory"),
        (["--depth", "9"], "--depth is 9; it must be in 1..5"),
        (["--depth", "5"], "--input-size is (16, 16); with --model deconvnet 5 poolings halve"),
        (["--resume", "x", "--config", "y"], "leave --config out"),
        (["-b", "5000"], "samples make no full batch of 5000"),
        (["--image-size", "100000"], "--image-size is 100000; it must be in 16..16384"),
        (["--input-size", "100000"], "--input-size is 100000; it must be in 1..16384"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(arguments, message, tmp_path, capsys):
    folder = tmp_path / "run"
    drawn = [] if "voc" in arguments else TINY  # of which photographs ignore some
    assert train.main([*drawn, *arguments, "--output-dir", str(folder)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("minideconv.train: ")
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not folder.exists()


def test_a_network_that_does_not_fit_into_memory_is_wrong_usage(tmp_path, capsys, monkeypatch):
    def build(*arguments):
        raise MemoryError("Unable to allocate 335. GiB")

    monkeypatch.setattr("minideconv.models.build", build)
    assert train.main([*TINY, "--output-dir", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err == (
        "minideconv.train: --model deconvnet does not fit into memory with these settings (Unable "
        "to allocate 335. GiB); make the network smaller\n"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments", [["--widht", "8"], ["--width", "many"], ["--epoch", "3"], ["stray"]]
)
def test_what_the_parser_refuses_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        train.main(arguments)
    assert stop.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_a_gpu_that_is_not_there_is_exit_code_2(tmp_path, capsys):
    from minideconv.backend import gpu_problem

    if gpu_problem() is None:
        pytest.skip("this machine has a GPU")
    assert train.main([*TINY, "--device", "gpu", "--output-dir", str(tmp_path / "run")]) == 2
    assert "--device gpu: " in capsys.readouterr().err
    assert train.main([*TINY, "--device", "tpu", "--output-dir", str(tmp_path / "run")]) == 2
    assert "--device is tpu; it must be auto, cpu, gpu or gpu:N" in capsys.readouterr().err


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path, capsys):
    folder = str(tmp_path / "run")
    assert train.main([*TINY, "-q", "--epochs", "1", "--stage", "1", "--output-dir", folder]) == 0
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert train.main([*TINY, "--output-dir", folder]) == 2
    assert f"already holds a run; go on with it by --resume {folder}" in capsys.readouterr().err
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    (tmp_path / "file").touch()
    assert train.main([*TINY, "--output-dir", str(tmp_path / "file")]) == 2
    assert "is a file; name a folder" in capsys.readouterr().err


def test_resume_refuses_what_would_change_the_numbers(tmp_path, capsys):
    folder = str(tmp_path / "run")
    assert train.main([*TINY, "-q", "--stage", "1", "--output-dir", folder]) == 0
    assert train.main(["--resume", folder, "--lr", "0.5"]) == 2
    assert "--lr is 0.002 in this run and cannot become 0.5" in capsys.readouterr().err
    assert train.main(["--resume", folder, "--lr", "0.002", "--workers", "0", "-q"]) == 0
    assert train.main(["--resume", str(tmp_path / "none")]) == 2
    assert "no such run folder or checkpoint" in capsys.readouterr().err
    # More epochs are allowed if it is known what they do to the learning rate: the run goes on.
    assert train.main(["--resume", folder, "--epochs", "2", "-q"]) == 2
    assert "where the run had 9.9e-05; add --reschedule if that is meant" in capsys.readouterr().err
    assert train.main(["--resume", folder, "--epochs", "2", "-q", "--reschedule"]) == 0
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines if '"epoch"}' not in line][-1] == 2


def test_a_run_too_short_for_a_warm_up_can_be_made_longer(tmp_path):
    folder = str(tmp_path / "run")
    settings = [*TINY, "--stage", "whole", "--train-images", "4", "--warmup", "5"]
    assert train.main([*settings, "-q", "--output-dir", folder]) == 0  # two steps
    assert train.main(["--resume", folder, "--epochs", "6", "-q", "--reschedule"]) == 0


def test_a_checkpoint_of_another_schedule_is_refused_in_a_sentence(tmp_path, capsys, monkeypatch):
    folder = str(tmp_path / "run")
    assert train.main([*TINY, "-q", "--stage", "whole", "--output-dir", folder]) == 0
    monkeypatch.setattr(build, "schedule", lambda config, optimiser, *steps: FixedLR(optimiser))
    assert train.main(["--resume", folder, "--epochs", "2", "-q", "--reschedule"]) == 1
    error = capsys.readouterr().err
    assert "the checkpoint does not fit the settings of this run" in error
    assert "Traceback" not in error


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "run"
    settings = [*TINY, "--stage", "1", "--epochs", "3", "--output-dir", str(folder)]
    real = HostStep._backward

    def poisoned(self, stage, x, truth, share):
        if self.journal.progress.epoch == 1 and self.journal.progress.epoch_step == 1:
            return float("nan")
        return real(self, stage, x, truth, share)

    monkeypatch.setattr(HostStep, "_backward", poisoned)
    assert train.main(settings) == 1
    error = capsys.readouterr().err
    assert re.search(
        r"the loss \(nan\) stopped being finite at step \d+ \(epoch 2\) with learning rate 0\.00\d",
        error,
    )
    assert "try a lower --lr, a longer --warmup or --clip-grad 1" in error
    assert f"the last good checkpoint is {folder / 'checkpoints' / 'last.npz'}" in error
    saved = load_checkpoint(folder / "checkpoints" / "last.npz")
    assert saved.header["progress"]["epoch"] == 1
    assert all(np.isfinite(array).all() for array in saved.model_state.values())


@pytest.mark.parametrize("lr", ["1e4", "1e10", "1e30", "1e38"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numbers that overflow
def test_a_rate_that_is_far_too_high_is_a_sentence(tmp_path, capsys, optimizer, lr):
    """Whatever overflows first: a loss, a weight, or a variance within batch norm."""
    settings = [*TINY, "--optimizer", optimizer, "--lr", lr, "--warmup", "0", "--recalibrate", "2"]
    code = train.main([*settings, "--output-dir", str(tmp_path / "run")])
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert code == ("stopped being finite at step" in error)
    assert code or lr == "1e4"


def test_a_weight_that_is_not_finite_is_not_saved(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "run"
    real = Trainer._finish_epoch

    def poisoned(self, stage, line):
        if self.progress.epoch == 1:
            self.model.seg_score.bias.data[0] = np.inf
        real(self, stage, line)

    monkeypatch.setattr(Trainer, "_finish_epoch", poisoned)
    assert train.main([*TINY, "--stage", "1", "--epochs", "3", "--output-dir", str(folder)]) == 1
    assert "a value of seg_score.bias stopped being finite" in capsys.readouterr().err
    saved = load_checkpoint(folder / "checkpoints" / "last.npz")
    assert saved.header["progress"]["epoch"] == 1


def test_a_bug_shows_its_traceback(monkeypatch):
    monkeypatch.setattr(train, "make_parser", lambda model: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train.main([])


def test_a_truncated_checkpoint_is_exit_code_1(tmp_path, capsys):
    path = tmp_path / "last.npz"
    path.write_bytes(b"PK\x03\x04half")
    assert train.main(["--resume", str(path)]) == 1
    assert "truncated or damaged" in capsys.readouterr().err


def test_help_is_quick_and_names_every_option():
    before = os.times()
    done = subprocess.run(command("--help"), capture_output=True, text=True, env=environment())
    after = os.times()
    assert done.returncode == 0
    for option in (
        "--data-root",
        "--stage",
        "--resume",
        "--lr-schedule",
        "--batch-size",
        "[auto]",
    ):
        assert option in done.stdout
    # Of the processor: on a busy machine the wall clock measures others. It takes half a second.
    seconds = after.children_user + after.children_system
    assert seconds - before.children_user - before.children_system < 5
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "minideconv.train", "--help"],
        capture_output=True,
        text=True,
        env=environment(),
    )
    for heavy in ("PIL", "rich", "matplotlib", "cupy", "minideconv.training.trainer"):
        assert not re.search(rf"\| +{re.escape(heavy)}\b", loaded.stderr), heavy


STOPPED = ["--stage", "1", "--epochs", "3", "--images", "0", "--val-every", "2"]

STOPS_ITSELF = """
import os, sys
from minideconv import train
from minideconv.training.memory_watch import MemoryWatch

number, step = map(int, sys.argv[1:3])
steps, forward_done = 0, MemoryWatch.forward_done

def and_a_signal(self):
    global steps
    forward_done(self)
    steps += 1
    if steps == step:
        os.kill(os.getpid(), number)

MemoryWatch.forward_done = and_a_signal
sys.exit(train.main(sys.argv[3:]))
"""
"""The program, in which a signal arrives in the middle of a certain step.

Sent from here, it would come too early, when the program has only begun, or too late, on a machine
where this process has to wait and the short training does not.
"""


@pytest.fixture(scope="module")
def not_stopped(tmp_path_factory):
    """Return the weights after the same settings without a signal."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert train.main([*TINY, *STOPPED, "-q", "--output-dir", str(folder)]) == 0
    return load_checkpoint(folder / "checkpoints" / "last.npz").model_state


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_prints_the_command_that_goes_on(tmp_path, not_stopped, number, code):
    part = tmp_path / "part"
    arguments = [*TINY, *STOPPED, "--output-dir", str(part)]
    done = subprocess.run(
        [sys.executable, "-c", STOPS_ITSELF, str(int(number)), "11", *arguments],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    progress = load_checkpoint(part / "checkpoints" / "last.npz").header["progress"]
    assert progress["epoch"] == 1
    assert progress["step"] == 11
    found = re.search(r"go on with: python -m (minideconv\.train .*)", done.stderr)
    assert found is not None, done.stderr
    name, *arguments = found.group(1).split()
    assert name == "minideconv.train"
    assert train.main([*arguments, "-q"]) == 0
    two = load_checkpoint(part / "checkpoints" / "last.npz").model_state
    assert all(two[name].tobytes() == array.tobytes() for name, array in not_stopped.items())


def test_a_second_ctrl_c_stops_at_once():
    from minideconv.training.interrupt import StopRequest

    signals: list[int] = []

    def press() -> None:
        signal.raise_signal(signal.SIGINT)

    # A shell starts its background jobs with SIGINT ignored, and CI may be such a job.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        stop = StopRequest(signals.append)
        with stop:
            press()
            assert stop.signal_number == signal.SIGINT
            assert signals == [signal.SIGINT]
            with pytest.raises(KeyboardInterrupt):
                press()
        with pytest.raises(KeyboardInterrupt):  # the usual handlers are back
            press()
    finally:
        signal.signal(signal.SIGINT, before)
