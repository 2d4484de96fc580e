"""A container's user: no home, no temporary folder, nothing writable but one output folder.

As root the programs run as another user, where that one may start Python at all. A file system that
is read-only needs root as well, to be made: that was tried by hand (docs/command_line.md, section
"In a container").
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs users as POSIX has them"),
]

NOBODY = 65534
SMALL = [
    *("--width", "2", "--depth", "2", "--fc", "4", "--input-size", "16", "--image-size", "16"),
    *("--train-images", "8", "--val-images", "2", "--epochs", "1", "--images", "1"),
    *("--final-images", "2", "--batch-size", "4"),
]


def _as_nobody() -> list[str]:
    """Return how a command is started as another user; [] where that cannot be."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return []
    command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    package = Path(__file__).parents[1]
    tried = subprocess.run(
        [*command, sys.executable, "-c", "import numpy, minideconv"],
        cwd="/", env={"PYTHONPATH": str(package)}, capture_output=True, check=False,
    )  # fmt: skip
    return command if tried.returncode == 0 else []


@pytest.fixture
def place():
    """A folder that every user may look into; pytest's own are for one user alone."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.parametrize("compiled", ["0", "1"])
def test_training_and_its_use(place, compiled):
    locked, output = place / "locked", place / "output"
    locked.mkdir()
    output.mkdir()
    user = _as_nobody()
    if user:
        os.chown(output, NOBODY, NOBODY)
    locked.chmod(0o555)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
        "MINIDECONV_COMPILED": compiled,
        "TMPDIR": str(locked / "none"),
        "NUMBA_CACHE_DIR": "/proc/nothing",
        "MPLCONFIGDIR": "/proc/nothing",
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def run(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [*user, sys.executable, "-m", f"minideconv.{program}", *arguments],
            cwd=locked, env=environment, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    folder = str(output / "run")
    assert "everything is in" in run("train", *SMALL, "--output-dir", folder)
    if compiled == "0":  # else every program compiles for a minute, as nothing can be kept
        assert "mean IoU" in run("evaluate", folder)
        run("report", folder)
        run("train", "--resume", folder, "--epochs", "2", "--reschedule", "-q")
    assert os.listdir(locked) == []
    assert sorted(os.listdir(output)) == ["run"]
