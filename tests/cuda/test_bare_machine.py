"""A bare machine with a GPU: CuPy and NumPy are there, and few other packages.

Each test is a process of its own, in which the packages are left out (`bare_machine`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import bare_machine
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _on_fakecuda(cupy_device):
    if cupy_device.kind != "fakecuda":
        pytest.skip("the bare machine is an emulated one")


def run(command, **variables):
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **variables}
    )
    return done, done.stdout + done.stderr


def test_the_first_run_passes_and_prints_what_it_left_out(tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{bare_machine.__file__}" "$@"\n')
    python.chmod(0o755)
    out = tmp_path / "gpu.json"
    command = ["bash", "benchmarks/gpu_first_run.sh", "--tiny", "--out", str(out)]
    done, printed = run(command, PYTHON=str(python))
    assert done.returncode == 0, printed
    assert "left out, because something is missing: training agreement crf" in printed
    sections = json.loads(out.read_text())["sections"]
    assert list(sections) == ["rates", "training", "agreement", "steps", "layers", "strided", "crf"]
    assert all(sections.values())
    for name in ("training", "agreement", "crf"):
        assert sections[name][0]["because"].startswith("Pillow")
    assert "## Whole training steps" in out.with_suffix(".md").read_text()


COLLECT = """
import os, sys
sys.path.insert(0, "tests/support")
import bare_machine
if os.environ["MINIDECONV_TEST_DEVICE"] == "gpu":
    bare_machine.install_fakecuda()  # a device to collect for
bare_machine.leave_out("numba", "llvmlite")
import pytest

class Look:
    def pytest_collection_finish(self, session):
        spoilt = [item.nodeid for item in session.items if "slip" in item.fixturenames]
        print("collected", len(session.items), "of which spoil a kernel", len(spoilt), *spoilt[:3])

sys.exit(pytest.main(["--collect-only", "-qq", "tests/cuda", *sys.argv[1:]], plugins=[Look()]))
"""


@pytest.mark.parametrize(("device", "everything"), [("gpu", ""), ("gpu", "1"), ("fakecuda", "1")])
def test_no_wrong_kernel_is_collected_for_a_gpu(device, everything):
    done, printed = run(
        [sys.executable, "-c", COLLECT],
        MINIDECONV_TEST_DEVICE=device,
        MINIDECONV_TEST_LADDER=everything,
    )
    # A session on fakecuda that launches nothing fails; this one only collects.
    assert done.returncode == (device == "fakecuda"), printed
    (line,) = [line for line in printed.splitlines() if line.startswith("collected ")]
    count, spoilt = int(line.split()[1]), int(line.split()[7])
    assert count > 300
    # on fakecuda, those that need CuPy itself: the check would see them
    assert (spoilt == 0) == (device == "gpu"), line


def test_the_emulated_tier_runs_without_numba():
    program = COLLECT.replace('"--collect-only", "-qq", "tests/cuda"', '"-q"')
    files = ("tests/cuda/test_images.py", "tests/cuda/test_on_device.py", "tests/ops/test_pad.py")
    done, printed = run([sys.executable, "-c", program, *files], MINIDECONV_TEST_DEVICE="fakecuda")
    assert done.returncode == 0, printed
    assert "passed" in printed
