"""Compiled kernels whose machine code cannot be kept on disk, or is damaged: the same results."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="needs numba: pip install minideconv[fast]")

PROGRAM = """
import numpy as np
from minideconv.engine.cpu.compiled.shrinkage import admm_update
state, correction = (np.linspace(-2, n, 33, dtype=np.float32) for n in (2, 3))
arrays = [state.copy(), correction.copy()]
numbers = [np.float32(0.5), np.float32(1.5)]
admm_update(*arrays, *numbers)
admm_update.py_func(state, correction, *numbers)
assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(arrays, (state, correction)))
print("right")
"""
ONCE = "compiling kernels for this processor: some seconds, once; they are kept on disk\n"
NOT_KEPT = "compiled kernels are not kept on disk ("


def run(folder: Path | str, before: str = "") -> str:
    """Run the program; return what it says on the standard error."""
    done = subprocess.run(
        [sys.executable, "-c", before + PROGRAM],
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder)},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "right\n"), done.stderr
    return done.stderr


def test_machine_code_is_compiled_once(tmp_path):
    assert run(tmp_path) == ONCE
    assert run(tmp_path) == ""
    assert len(list(tmp_path.rglob("*.sha256.nbi"))) == 1


@pytest.mark.parametrize(
    ("ending", "harm"),
    [
        *(("nbc", harm) for harm in ("cut off", "a bit", "empty", "noise")),
        *(("nbi", harm) for harm in ("a bit", "a folder")),
    ],
)
def test_damaged_machine_code_is_compiled_again(tmp_path, ending, harm):
    run(tmp_path)
    (path,) = tmp_path.rglob(f"*.{ending}")
    content = bytearray(path.read_bytes())
    if harm == "cut off":
        path.write_bytes(content[: len(content) // 2])
    elif harm == "a bit":
        content[len(content) * 2 // 3] ^= 1
        path.write_bytes(content)
    elif harm == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(b"" if harm == "empty" else b"\x80\x05noise" * 20)
    said = run(tmp_path)
    if harm == "a folder":  # it cannot be replaced
        assert said.startswith(ONCE + NOT_KEPT)
        return
    assert said == ONCE
    assert run(tmp_path) == ""


def test_a_full_disk(tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
    said = run(tmp_path, limit)
    assert said.startswith(ONCE + NOT_KEPT)
    assert said.count("\n") == 2
    assert "NUMBA_CACHE_DIR names another folder" in said
    assert run(tmp_path) == ONCE


def test_no_folder_that_can_be_written_to(tmp_path):
    nothing = (
        "import tempfile\n"
        "def refuse(*arguments, **options): raise PermissionError(13, 'Permission denied')\n"
        "tempfile.TemporaryFile = refuse\n"
    )
    said = run(tmp_path, nothing)
    assert said.startswith("compiling kernels for this processor: some seconds in each process")
    assert "cannot be kept on disk (there is no folder for it that can be written to)" in said
    assert said.count("\n") == 1
    assert list(tmp_path.rglob("*.nb?")) == []
