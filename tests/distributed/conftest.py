"""Tests that start several processes by ``mpiexec``, each within a time limit.

They need mpi4py and MPICH's mpiexec (pip install mpi4py mpich). On CI they must run: what would be
skipped is a failure there.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
WORKERS = Path(__file__).parent / "workers"
ON_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")


def unavailable() -> str:
    """Say why no processes can be started here; empty if they can."""
    if importlib.util.find_spec("mpi4py") is None:
        return "mpi4py is not installed: pip install mpi4py mpich"
    if mpiexec() is None:
        return "there is no mpiexec: pip install mpich, its bin folder on PATH"
    return ""


def mpiexec() -> str | None:
    """Return the launcher: the one beside this Python, or the first on PATH."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def environment(**more: str) -> dict[str, str]:
    """Return the processes' environment: one thread each, no kernels to compile."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MINIDECONV_COMPILED": "0",
        **more,
    }


def run(arguments: list[str], seconds: float, stop_after: object = None, **more: str):
    """Run a command in a session of its own; kill all of it when its time is over.

    ``stop_after(process)`` may wait for something and then send a signal.
    """
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**more),
        start_new_session=True,
    )
    try:
        if stop_after is not None:
            stop_after(process)
        out, err = process.communicate(timeout=seconds)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            pytest.fail(f"not done after {seconds} s: {arguments}\n{out}\n{err}")
        raise
    return SimpleNamespace(code=process.returncode, out=out, err=err)


@pytest.fixture(scope="session")
def start():
    """Return ``start(size, *what)``: run Python ``what`` in so many processes.

    Keywords: ``seconds``, the limit; ``stop_after``; and variables of the environment.
    """
    reason = unavailable()
    if reason and ON_CI:
        pytest.fail(f"{reason} (on CI these tests must run)")
    if reason:
        pytest.skip(reason)

    def start(size, *what, seconds=300, **more):
        command = [str(mpiexec()), "-n", str(size), sys.executable, *map(str, what)]
        return run(command, seconds, **more)

    return start


@pytest.fixture
def worker(start):
    """Return ``worker(size, name, *arguments)``: run one of the programs in workers/."""

    def worker(size, name, *arguments, **keywords):
        return start(size, "-m", "mpi4py", WORKERS / name, *arguments, **keywords)

    return worker


def losses(folder):
    """Return every logged loss of a run, by step and kind of line."""
    found = {}
    for text in (folder / "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        if line["kind"] == "step":
            found[line["step"], "step"] = line["loss"]
        else:
            found[line["step"], "train"] = line["train"]["loss"]
            found[line["step"], "val"] = line["val"]["loss"]
    return found


@pytest.fixture(scope="session")
def same_losses():
    """Return a function that compares every logged loss of two runs."""

    def same_losses(folder, reference, within=1e-6):
        found, wanted = losses(folder), losses(reference)
        assert found.keys() == wanted.keys()
        for key, loss in found.items():
            assert loss == pytest.approx(wanted[key], rel=within), key

    return same_losses
