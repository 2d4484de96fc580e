"""Standard output that vanishes under a program: a pipe, a full disk, a terminal that is closed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minideconv.settings import output
from minideconv.settings.command_line import run_program
from minideconv.train import main
from minideconv.training import session
from minideconv.training.interrupt import StopRequest
from minideconv.training.run.checkpoint import load_checkpoint

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes of Unix")

ROOT = Path(__file__).parents[1]
TINY = [
    *("--train-images", "4", "--val-images", "2", "--image-size", "32", "--input-size", "16"),
    *("--width", "2", "--fc", "4", "--depth", "2", "--device", "cpu", "-b", "2", "--epochs", "2"),
    *("--recalibrate", "1", "--images", "0", "--fc-kernel", "0"),
]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "NO_COLOR": "1"}


def shell(line, folder):
    """Run a line of shell in which $TRAIN trains into `folder`; return the completed process."""
    command = " ".join(
        [sys.executable, "-m", "minideconv.train", *TINY, "--output-dir", str(folder)]
    )
    return subprocess.run(
        ["bash", "-c", line],
        env={**environment(), "TRAIN": command},
        capture_output=True,
        text=True,
    )


def assert_done(folder):
    assert (folder / "evaluation.json").exists()
    log = (folder / "log.txt").read_text()
    assert "epoch 2/2" in log
    assert "everything is in" in log


@pytest.mark.parametrize(
    ("line", "lost"),
    [
        ("$TRAIN | head -n 1; exit ${PIPESTATUS[0]}", "Broken pipe"),
        ("$TRAIN > /dev/full", "the disk is full"),
        ("$TRAIN >&-", "it was closed from the beginning"),
        ("$TRAIN >&- 2>&-", "it was closed from the beginning"),
        ("$TRAIN <&- >&- 2>&-", "it was closed from the beginning"),
        ("$TRAIN > /dev/full 2> /dev/full", "the disk is full"),
    ],
)
def test_a_run_goes_on_without_its_output(tmp_path, line, lost):
    done = shell(line, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert_done(tmp_path / "run")
    assert f"the standard output is lost ({lost})" in (tmp_path / "run" / "log.txt").read_text()


def test_a_terminal_that_dies_ends_no_run(tmp_path):
    """Writing to it gives EIO from then on, whatever the bar does."""
    master, terminal = os.openpty()
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "minideconv.train", *TINY, "--output-dir", str(folder)],
        stdin=terminal, stdout=terminal, stderr=terminal,
        env={**environment(), "TERM": "xterm"},
        # These tests may be run by nohup, which a program obeys.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )  # fmt: skip
    os.close(terminal)
    assert os.read(master, 1)
    os.close(master)
    assert process.wait(timeout=120) == 0
    assert_done(folder)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_closed_terminal_saves_the_run(tmp_path, number):
    """As the system does it: SIGHUP, and a terminal that is gone."""
    master, terminal = os.openpty()
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "minideconv.train", *TINY, "--epochs", "4000", "--output-dir",
         str(folder)],
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        env={**environment(), "TERM": "xterm"},
        # These tests may be run by nohup, which a program obeys.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )  # fmt: skip
    os.close(terminal)
    end = time.monotonic() + 120
    while not (folder / "checkpoints" / "best.npz").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    os.close(master)
    process.send_signal(number)
    assert process.wait(timeout=120) == 128 + number
    progress = load_checkpoint(folder / "checkpoints" / "last.npz").header["progress"]
    assert 0 < progress["step"] < 8000
    log = (folder / "log.txt").read_text()
    assert f"stopped in epoch {progress['epoch'] + 1}, after step {progress['step']}" in log


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("place", ["_draw", "_finish", "Trainer.evaluate"])
def test_a_signal_behind_the_last_step_is_answered(tmp_path, monkeypatch, capsys, place, number):
    """All epochs are saved by then; what is left is done when the run goes on."""
    owner = session.Trainer if place == "Trainer.evaluate" else session
    name = place.removeprefix("Trainer.")
    function, calls = getattr(owner, name), []

    def signalled(*arguments):
        calls.append(name)
        if len(calls) == (3 if name == "evaluate" else 2 if name == "_draw" else 1):
            signal.raise_signal(number)
        return function(*arguments)

    before = [signal.signal(n, signal.SIG_DFL) for n in (signal.SIGHUP, signal.SIGTERM)]
    try:
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, signalled)
            # A handler of the test's, so that a signal that nobody answers ends no test run.
            for other in (signal.SIGHUP, signal.SIGTERM):
                signal.signal(other, lambda n, frame: pytest.fail(f"signal {n} is not answered"))
            assert main([*TINY, "--output-dir", str(tmp_path)]) == 128 + number
        assert main(["--resume", str(tmp_path)]) == 0
    finally:
        for other, handler in zip((signal.SIGHUP, signal.SIGTERM), before, strict=True):
            signal.signal(other, handler)
    command = f"python -m minideconv.train --resume {tmp_path}"
    stopped = f"stopped in the final evaluation; go on with: {command}"
    assert capsys.readouterr().err.splitlines()[-1].endswith(stopped)
    assert f"ended: {stopped}" in (tmp_path / "log.txt").read_text()
    assert_done(tmp_path)


def test_nohup_is_obeyed():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGHUP)
        assert stop.signal_number == 0
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGHUP)
        assert stop.signal_number == signal.SIGHUP
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


FULL = "minideconv.some: the standard output cannot be written: the disk is full\n"
PRINTS = """
import sys
from minideconv.settings.command_line import run_program

def main(arguments):
    for number in range(100000):
        print(number)
    print("still here", file=sys.stderr)
    return 3

sys.exit(run_program("minideconv.some", main, [], goes_on=sys.argv[1] == "yes"))
"""


@pytest.mark.parametrize(
    ("line", "goes_on", "code", "error"),
    [
        ("| head -n 1; exit ${PIPESTATUS[0]}", "yes", 3, "still here\n"),
        ("| head -n 1; exit ${PIPESTATUS[0]}", "no", 1, ""),
        ("> /dev/full", "yes", 3, "still here\n"),
        ("> /dev/full", "no", 1, FULL),
        ("> /dev/null", "no", 3, "still here\n"),
        ("2> /dev/full > /dev/null", "no", 3, ""),
        ("2>&- > /dev/null", "no", 3, ""),
    ],
)  # fmt: skip
def test_programs_that_print_their_results_say_when_they_cannot(
    tmp_path, line, goes_on, code, error
):
    (tmp_path / "prints.py").write_text(PRINTS)
    order = f"{sys.executable} {tmp_path / 'prints.py'} {goes_on} {line}"
    done = subprocess.run(["bash", "-c", order], env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, error)


def test_an_ascii_terminal_is_no_lost_output(tmp_path):
    code = "import sys; from minideconv.settings.command_line import run_program\n"
    code += "sys.exit(run_program('x', lambda a: print('\\u00e9\\U0001f600 done') or 0, []))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**environment(), "PYTHONIOENCODING": "ascii:strict"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "\\xe9\\U0001f600 done\n")


def test_the_streams_are_as_they_were_afterwards(capsys):
    before = sys.stdout, sys.stderr
    assert run_program("some", lambda arguments: print("hello") or 0, [], goes_on=True) == 0
    assert (sys.stdout, sys.stderr) == before
    with output.standing_output("stdout", goes_on=False):
        assert output.output_problem(sys.stdout) == ""
        assert sys.stdout.fileno is not None
    assert capsys.readouterr().out == "hello\n"


@pytest.mark.parametrize(
    "module", ["train", "ablate", "few_labels", "sparse_coding", "fit_crf", "compare"]
)
def test_every_program_that_works_long_goes_on(module, monkeypatch):
    import importlib

    from minideconv.settings import command_line

    found = []
    name = f"minideconv.{module}" + ("" if module == "train" else ".__main__")
    program = importlib.import_module(name)

    def look(name, main, arguments=None, goes_on=False):
        found.append(goes_on)
        return 0

    monkeypatch.setattr(command_line, "run_program", look)
    monkeypatch.setattr(program, "run_program", look, raising=False)
    program.main([])
    assert found == [True]
