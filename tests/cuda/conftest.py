"""One fixture for the GPU's kernels: where they run, and how arrays get there and back.

On the device "cpu" the kernels' own source is compiled for the host and runs on NumPy arrays; what
needs CuPy itself (products, streams, graphs) asks for the fixture `cupy_device` and runs on the
devices "fakecuda" and "gpu".
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minideconv.engine.cuda import module

TOOLS = Path(
    os.environ.get("MINIDECONV_TEST_TOOLS") or Path(__file__).parents[3] / "shared" / "tools"
)
DEVICE = os.environ.get("MINIDECONV_TEST_DEVICE") or "cpu"


def _hostshim():
    path = TOOLS / "hostshim" / "hostshim.py"
    if not path.exists() or shutil.which("g++") is None:
        pytest.skip(f"kernels on the CPU need g++ and {path}")
    if "hostshim" not in sys.modules:
        spec = importlib.util.spec_from_file_location("hostshim", path)
        sys.modules["hostshim"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["hostshim"])
    return sys.modules["hostshim"]


@pytest.fixture(scope="session")
def gpu():
    """Return where kernels run: ``xp``, ``put(array)``, ``get(array)`` and the device's ``kind``.

    ``put`` keeps an array's order in memory.
    """
    if DEVICE == "cpu":
        module.host_compiler = _hostshim().RawModule
        return SimpleNamespace(xp=np, put=np.asarray, get=np.asarray, kind="hostshim")
    import cupy

    from minideconv.backend import to_device

    return SimpleNamespace(
        xp=cupy, put=lambda array: to_device(array, "gpu"), get=cupy.asnumpy, kind=DEVICE
    )


@pytest.fixture(scope="session")
def cupy_device(gpu):
    """Return the same where there is CuPy."""
    if gpu.kind == "hostshim":
        pytest.skip("needs CuPy: run with MINIDECONV_TEST_DEVICE=fakecuda or gpu")
    return gpu
