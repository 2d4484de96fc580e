"""``mpiexec -n N python -m mpi4py -m minideconv.train``: the same run, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import sys
import time

import numpy as np
import pytest

from minideconv import train
from minideconv.errors import UsageError
from minideconv.training.run.checkpoint import load_checkpoint
from minideconv.training.run.lock import run_lock

TINY = [
    *("--train-images", "15", "--val-images", "3", "--image-size", "32", "--class-balance", "0"),
    *("--input-size", "16", "--width", "2", "--fc", "4", "--depth", "2", "--device", "cpu"),
    *("-b", "7", "--recalibrate", "1", "--lr", "0.02", "--print-freq", "1", "--images", "1"),
    *("--fc-kernel", "0", "--difficulty", "normal", "--final-images", "3", "--clip-grad", "1"),
    *("--lr-schedule", "constant", "--warmup", "0"),  # the same for any number of epochs
]
PROGRAM = ("-m", "mpi4py", "-m", "minideconv.train")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Return the folder of the run by one process: 3 epochs of 2 steps."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    assert train.main([*TINY, "-q", "--epochs", "3", "--output-dir", str(folder)]) == 0
    return folder


def weights(folder):
    state = load_checkpoint(folder / "checkpoints" / "last.npz").model_state
    return np.concatenate([array.ravel() for array in state.values() if array.dtype.kind == "f"])


def test_four_processes_then_two_then_one(start, tmp_path, reference, same_losses, capsys):
    folder = tmp_path / "run"
    done = start(4, *PROGRAM, *TINY, "--epochs", "1", "--output-dir", folder)
    assert done.code == 0, done.err
    assert "4 processes" in done.out
    assert done.out.count("epoch 1/1") == done.out.count("mean IoU") == 1  # of rank 0 alone
    assert done.err == ""
    done = start(2, *PROGRAM, "--resume", folder, "--epochs", "2")
    assert done.code == 0, done.err
    assert train.main(["--resume", str(folder), "--epochs", "3"]) == 0
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 9
    same_losses(folder, reference)
    np.testing.assert_allclose(weights(folder), weights(reference), rtol=1e-4, atol=1e-5)
    ours, theirs = (json.loads((f / "evaluation.json").read_text()) for f in (folder, reference))
    assert ours["val"]["confusion"] == theirs["val"]["confusion"]
    capsys.readouterr()


def wait_until_free(folder):
    """Wait until the launcher's processes, which may outlive it for a moment, are gone."""
    end = time.monotonic() + 60
    while True:
        try:
            with run_lock(folder):
                return
        except UsageError:
            assert time.monotonic() < end, "a process holds the run folder's lock for a minute"
            time.sleep(0.1)


def resume(folder, *options):
    """Go on in this process, to the end of the reference."""
    wait_until_free(folder)
    assert train.main(["--resume", str(folder), "-q", *options]) == 0


def fault(worker, folder, what, rank, call, *options, **keywords):
    arguments = (*TINY, "-q", "--epochs", "3", "--output-dir", folder, *options)
    return worker(3, "train_with_a_fault.py", what, rank, call, *arguments, **keywords)


GO_ON = "the last checkpoint stands; go on with: mpiexec -n 3 python -m mpi4py -m minideconv.train"


def steps_saved(folder):
    return load_checkpoint(folder / "checkpoints" / "last.npz").header["progress"]["step"]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process(worker, tmp_path, reference, rank, same_losses):
    """The launcher ends all others at once; what was saved every step stands."""
    folder = tmp_path / "run"
    done = fault(worker, folder, "kill", rank, 4, "--save-every", "1")
    assert done.code != 0
    assert steps_saved(folder) == 3
    resume(folder)
    same_losses(folder, reference)


def test_a_hanging_process(worker, tmp_path, reference, same_losses):
    # On a busy machine those that do not hang come late, too, though not by so much.
    folder = tmp_path / "run"
    done = fault(worker, folder, "hang", 1, 2, "--wait-limit", "10", "--save-every", "1")
    assert done.code == 1
    assert re.search(
        rf"^minideconv.train: rank 1 does not answer; rank 0 waited 1\d\.\d s for .*; {GO_ON}"
        rf" --resume {folder}$",
        done.err,
        re.MULTILINE,
    )
    assert steps_saved(folder) == 1
    resume(folder)
    same_losses(folder, reference)


def test_an_error_in_one_process(worker, tmp_path, reference, same_losses):
    folder = tmp_path / "run"
    done = fault(worker, folder, "error", 2, 4)  # in the second epoch
    assert done.code == 1
    line = f"minideconv.train: rank 2: cat.png: this file is cut off; {GO_ON} --resume {folder}\n"
    assert line in done.err
    assert done.err.count("cat.png") == 1
    assert "Traceback" not in done.err
    assert steps_saved(folder) == 2
    resume(folder)
    same_losses(folder, reference)


def test_a_bug_in_one_process_shows_where(worker, tmp_path):
    done = fault(worker, tmp_path / "run", "bug", 1, 1)
    assert done.code == 1
    assert (
        "minideconv.train: rank 1: ZeroDivisionError: a bug; there is no checkpoint yet;"
        " --save-every N writes one every N steps\n"
    ) in done.err
    assert done.err.count("Traceback") == 1
    assert "with_a_fault" in done.err


def test_a_signal_to_one_process_stops_all(worker, tmp_path, reference, same_losses):
    folder = tmp_path / "run"
    done = fault(worker, folder, "terminate", 2, 2)
    assert done.code == 143
    assert done.err.count("stopped in epoch 1, after step 2; go on with: mpiexec -n 3") == 1
    resume(folder)
    same_losses(folder, reference)


def test_ctrl_c_saves_once(start, tmp_path):
    folder = tmp_path / "run"

    def interrupt(process):
        end = time.monotonic() + 300
        metrics = folder / "metrics.jsonl"
        while not (metrics.exists() and metrics.stat().st_size):
            assert time.monotonic() < end, "the run did not begin"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)

    arguments = (*TINY, "--epochs", "1000", "--output-dir", folder)
    done = start(2, *PROGRAM, *arguments, stop_after=interrupt)
    assert done.code == 130, done.err
    assert done.err.count("go on with: mpiexec -n 2 python -m mpi4py -m minideconv.train") == 1
    assert done.out.count("stopping after this step") == 1
    progress = load_checkpoint(folder / "checkpoints" / "last.npz").header["progress"]
    assert f"after step {progress['step']};" in done.err


def test_processes_with_different_settings(start, tmp_path):
    one = [*TINY, "--output-dir", str(tmp_path / "run")]
    other = [":", "-n", "1", sys.executable, *PROGRAM, *one, "--lr", "0.5"]
    done = start(1, *PROGRAM, *one, *other)
    assert done.code == 2
    assert done.err == (
        "minideconv.train: rank 1 has --lr 0.5 but rank 0 has 0.02; all processes must run with"
        " the same settings and versions\n"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lr", "-1"], "minideconv.train: --lr is -1.0; it must be > 0"),
        (["--lrr", "1"], "unrecognized arguments: --lrr"),
        (["--device", "gpu:1"], "minideconv.train: --device gpu:1 names one GPU"),
        (["--output-dir", "x" * 300], f"{'x' * 300}: File name too long\n"),
        (["-b", "1000"], "minideconv.train: --batch-size is 1000, but 15 samples make no full"),
    ],
)
def test_a_wrong_option_is_reported_once(start, tmp_path, options, message):
    done = start(2, *PROGRAM, *TINY, "--output-dir", tmp_path / "run", *options)
    assert done.code == 2
    assert done.err.count(message) == 1
    assert "Traceback" not in done.err


def test_help_is_printed_once(start):
    done = start(2, *PROGRAM, "--help")
    assert done.code == 0
    assert done.out.count("usage:") == 1
    assert "mpiexec -n 4 python -m mpi4py -m minideconv.train" in done.out
