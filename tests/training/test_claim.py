"""Run folders among processes: each new run has one of its own, and one process trains a run."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tiny_run import TINY

from minideconv import report, train
from minideconv.errors import UsageError
from minideconv.training.run.claim import existing_run, new_run
from minideconv.training.run.folder import RunFolder
from minideconv.training.run.lock import run_lock

ROOT = Path(__file__).parents[2]

# Prints that it is ready, reads a line, claims its folder, prints which, and reads a line.
CLAIM = """
import sys
import threading
from pathlib import Path
from minideconv.errors import UsageError
from minideconv.training.run.claim import new_run, existing_run
print("ready", flush=True)
kind, path = sys.stdin.readline().split()
try:
    if kind == "old":
        claim = existing_run(Path(path))
    else:
        claim = new_run("shapes", None if path == "-" else path)
    with claim as run:
        (run.path / "notes").touch()
        print(run.path, flush=True)
        sys.stdin.readline()
except UsageError as error:
    print("refused:", error, flush=True)
"""


@pytest.fixture
def processes(tmp_path):
    """Start processes that stand ready to claim a folder; they end with the test."""
    started = []

    def start(count):
        for _ in range(count):
            started.append(
                subprocess.Popen(
                    [sys.executable, "-c", CLAIM],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path,
                    env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
                )
            )  # fmt: skip
        for process in started[-count:]:
            assert process.stdout.readline() == "ready\n"
        return started[-count:]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def tell(process, text):
    process.stdin.write(text + "\n")
    process.stdin.flush()


def test_runs_that_begin_together_have_a_folder_each(processes, tmp_path):
    together = processes(8)
    for process in together:
        tell(process, "new -")
    found = sorted(process.stdout.readline().strip() for process in together)
    assert found == [f"runs/shapes-{number}" for number in range(1, 9)]
    assert len(list((tmp_path / "runs").iterdir())) == 8


def test_of_runs_that_name_one_folder_one_gets_it(processes, tmp_path):
    together = processes(4)
    for process in together:
        tell(process, f"new {tmp_path / 'here'}")
    answers = [process.stdout.readline().strip() for process in together]
    assert answers.count(str(tmp_path / "here")) == 1
    refused = [text for text in answers if text.startswith("refused:")]
    assert len(refused) == 3
    for text in refused:
        assert f"{tmp_path / 'here'} is in use: process " in text


@pytest.mark.skipif(sys.platform == "win32", reason="fcntl is not on Windows")
def test_a_holder_that_has_not_written_its_name_yet_is_waited_for(tmp_path):
    import fcntl

    with (tmp_path / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        def name() -> None:
            held.write("process 7 on elsewhere")
            held.flush()

        later = threading.Timer(0.05, name)
        later.start()
        expected = "is in use: process 7 on elsewhere is training"
        with pytest.raises(UsageError, match=expected), run_lock(tmp_path):
            pass
        later.join()


def test_a_run_that_another_process_trains_is_not_resumed(processes, tmp_path, capsys):
    folder = tmp_path / "run"
    assert train.main([*TINY, "--output-dir", str(folder)]) == 0
    before = (folder / "metrics.jsonl").read_bytes()
    (other,) = processes(1)
    tell(other, f"old {folder / 'checkpoints' / 'last.npz'}")
    assert other.stdout.readline().strip() == str(folder)
    for name in (folder, folder / "checkpoints" / "best.npz"):
        assert train.main(["--resume", str(name), "--epochs", "2"]) == 2
        error = capsys.readouterr().err
        holder = f"process {other.pid} on {socket.gethostname()}"
        assert f"minideconv.train: {folder} is in use: {holder} is training there" in error
        assert len(error.splitlines()) == 1
    assert (folder / "metrics.jsonl").read_bytes() == before
    other.send_signal(signal.SIGKILL)  # it cannot clean up: what it leaves behind blocks no run
    other.wait()
    assert (folder / ".lock").exists()
    assert train.main(["--resume", str(folder), "--epochs", "2", "-q"]) == 0
    assert not (folder / ".lock").exists()


def test_a_run_is_locked_while_it_trains(tmp_path, monkeypatch):
    from minideconv.training import session

    seen = []

    def look(trainer):
        seen.append((trainer.run.path / ".lock").read_text())
        with pytest.raises(UsageError, match="is in use"), existing_run(trainer.run.last):
            pass

    monkeypatch.setattr(session, "_finish", look)
    assert train.main([*TINY, "--output-dir", str(tmp_path / "run")]) == 0
    assert train.main(["--resume", str(tmp_path / "run"), "--epochs", "2", "-q"]) == 0
    assert seen == [f"process {os.getpid()} on {socket.gethostname()}"] * 2


def test_a_run_that_writes_nothing_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZeroDivisionError), new_run("shapes"):
        1 / 0  # noqa: B018 (it raises)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with new_run("shapes", "mine"):
        pass
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize("part", ["checkpoints", "pictures"])
def test_a_part_of_a_run_is_no_folder_for_another(tmp_path, capsys, part):
    run = tmp_path / "run"
    assert train.main([*TINY, "--output-dir", str(run)]) == 0
    before = sorted(run.rglob("*"))
    assert train.main([*TINY, "--output-dir", str(run / part)]) == 2
    message = f"--output-dir {run / part} is a part of the run {run}; name another folder"
    assert message in capsys.readouterr().err
    fork = ["--resume", str(run), "--epochs", "2", "-q", "--output-dir", str(run / part)]
    assert train.main(fork) == 2
    assert message in capsys.readouterr().err
    assert sorted(run.rglob("*")) == before


def test_a_fork_shares_no_file_with_its_run(tmp_path):
    """Somebody may copy a file over one of them: other names of it would change, too."""
    run, fork = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "fork")
    assert train.main([*TINY, "--output-dir", str(run.path)]) == 0
    assert train.main(["--resume", str(run.path), "-q", "--output-dir", str(fork.path)]) == 0
    whole = run.last.read_bytes()
    assert fork.last.read_bytes() == whole
    fork.last.write_bytes(b"")
    fork.best.write_bytes(b"")
    assert run.last.read_bytes() == whole
    assert run.best.read_bytes() == whole


@pytest.mark.parametrize("name", ["config.json", "log.txt", "report.html", "pictures"])
def test_files_of_others_are_not_overwritten(tmp_path, capsys, name):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / name).write_text("mine")
    (folder / "notes.txt").write_text("these are not in the way")
    assert train.main([*TINY, "--output-dir", str(folder)]) == 2
    message = f"--output-dir {folder} already holds {name}, which the run would overwrite"
    assert message in capsys.readouterr().err
    assert {path.name for path in folder.iterdir()} == {name, "notes.txt"}
    assert (folder / name).read_text() == "mine"


@pytest.mark.parametrize("kind", ["link", "dangling", "file", "pipe"])
def test_a_lock_of_others_is_left_as_it_is(tmp_path, capsys, kind):
    folder, precious = tmp_path / "work", tmp_path / "precious"
    folder.mkdir()
    lock = folder / ".lock"
    if kind == "file":
        lock.write_text("mine")
    elif kind == "pipe":
        os.mkfifo(lock)
    else:
        lock.symlink_to(precious)
    if kind == "link":
        precious.write_text("mine")
    assert train.main([*TINY, "--output-dir", str(folder)]) == 2
    error = capsys.readouterr().err
    assert f"minideconv.train: {lock} is not the lock of a run" in error
    assert len(error.splitlines()) == 1
    assert list(folder.iterdir()) == [lock]
    assert lock.is_symlink() == (kind in ("link", "dangling"))
    if kind in ("link", "file"):
        assert lock.read_text() == "mine"
    assert precious.exists() == (kind == "link")


def test_a_checkpoint_among_files_of_others_is_not_resumed_there(tmp_path, capsys):
    run, folder = tmp_path / "run", tmp_path / "work"
    assert train.main([*TINY, "--output-dir", str(run)]) == 0
    folder.mkdir()
    (run / "checkpoints" / "last.npz").rename(folder / "last.npz")
    (folder / "config.json").write_text('{"mine": 1}')
    order = ["--resume", str(folder / "last.npz"), "--epochs", "2", "-q"]
    assert train.main(order) == 2
    assert "its folder is no run folder and holds config.json" in capsys.readouterr().err
    assert report.main([str(folder)]) == 1
    assert "config.json is of another program" in capsys.readouterr().err
    assert len(list(folder.iterdir())) == 2
    (folder / "config.json").unlink()
    assert train.main(order) == 2
    assert "its folder is no run folder; add --output-dir NEW" in capsys.readouterr().err
    assert list(folder.iterdir()) == [folder / "last.npz"]
    assert train.main([*order, "--output-dir", str(tmp_path / "new")]) == 0
    assert RunFolder(tmp_path / "new").is_run()
    assert list(folder.iterdir()) == [folder / "last.npz"]


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").touch()
    with (
        pytest.raises(UsageError, match=r"run folder runs: runs is a file"),
        new_run("shapes"),
    ):
        pass


def test_without_locks_a_run_goes_on_with_a_warning(tmp_path, monkeypatch):
    import errno

    from minideconv.training.run import lock

    def refuse(descriptor):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "_try", refuse)
    with (
        pytest.warns(RuntimeWarning, match="a file system without locks"),
        new_run("shapes", str(tmp_path / "run")) as run,
    ):
        assert run.path.is_dir()
