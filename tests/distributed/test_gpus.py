"""Several processes with a GPU each: NCCL, and MPI by way of the CPU, on made-up GPUs.

All of CuPy and of this library's GPU code runs, in processes that truly run; the GPU and NCCL are
programs on this CPU. Needs the tools (see tests/conftest.py), the CuPy wheel and g++.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from minideconv import train

TOOLS = Path(
    os.environ.get("MINIDECONV_TEST_TOOLS") or Path(__file__).parents[3] / "shared" / "tools"
)
TINY = [
    *("--train-images", "10", "--val-images", "2", "--image-size", "32", "--class-balance", "0"),
    *("--input-size", "8", "--width", "2", "--fc", "4", "--depth", "1", "-b", "5", "--lr", "0.02"),
    *("--recalibrate", "1", "--print-freq", "1", "--images", "0", "--final-images", "1"),
    *("--epochs", "1", "--clip-grad", "1", "-q"),
]
PROBLEM = next(
    (
        f"needs {what}"
        for what, there in (
            ("CuPy (pip install cupy-cuda13x)", importlib.util.find_spec("cupy")),
            ("g++", shutil.which("g++")),
            (f"the made-up GPU in {TOOLS}", (TOOLS / "fakecuda").exists()),
        )
        if not there
    ),
    "",
)


@pytest.fixture
def on_gpus(worker):
    """Return ``on_gpus(size, file, *arguments)``: run one of the workers, each with a GPU."""
    if PROBLEM:
        pytest.skip(PROBLEM)
    workers = Path(__file__).parent / "workers"

    def on_gpus(size, file, *arguments):
        return worker(size, "on_made_up_gpu.py", TOOLS, workers / file, *arguments, seconds=600)

    return on_gpus


@pytest.mark.parametrize(("size", "backend", "name"), [(2, "nccl", "Nccl"), (3, "mpi", "Mpi")])
def test_collective_operations(on_gpus, size, backend, name):
    done = on_gpus(size, "collectives.py", "gpu", backend)
    assert done.code == 0, done.err
    assert done.out == f"{name} on gpu:0 fine\n"


@pytest.mark.parametrize("backend", ["nccl", "mpi"])
def test_two_gpus_train_as_one_cpu(on_gpus, tmp_path, same_losses, backend):
    """The batches of 5 are cut into 2 and 3."""
    one, two = tmp_path / "one", tmp_path / "two"
    assert train.main([*TINY, "--device", "cpu", "--output-dir", str(one)]) == 0
    options = (*TINY, "--device", "gpu", "--communication", backend, "--output-dir", two)
    done = on_gpus(2, "train.py", *options)
    assert done.code == 0, done.err
    same_losses(two, one, within=1e-5)
