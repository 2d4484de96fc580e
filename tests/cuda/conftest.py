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
from contextlib import contextmanager
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


@pytest.fixture(scope="session")
def schedule(gpu):
    """Return a context: blocks and threads run "forward", in "reverse" or in "shuffle" order.

    A GPU has an order of its own, which nobody chooses.
    """

    @contextmanager
    def run(order):
        if gpu.kind == "fakecuda":
            sys.modules["fakecuda"].set_order(order)
            try:
                yield
            finally:
                sys.modules["fakecuda"].set_order("forward")
            return
        with pytest.MonkeyPatch.context() as patch:
            if gpu.kind == "hostshim":
                kernel = sys.modules["hostshim"].RawKernel
                call = kernel.__call__

                def in_order(self, *arguments, **options):
                    self.order = order
                    return call(self, *arguments, **options)

                patch.setattr(kernel, "__call__", in_order)
            try:
                yield
            finally:
                _forget()  # the order stays with a kernel

    return run


@pytest.fixture(scope="session")
def slip(gpu):
    """Return a context: a kernel file with one slip in it, `wrong` for what is `right`."""

    @contextmanager
    def run(file, right, wrong):
        source, whole = module.source(file), module.source
        assert source.count(right) == 1, f"{right!r} is {source.count(right)} times in {file}"
        slipped = source.replace(right, wrong)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "source", lambda name: slipped if name == file else whole(name))
            _forget()
            try:
                yield
            finally:
                _forget()

    return run


def _forget():
    """Make the next launch compile its kernel."""
    module._module.cache_clear()
    module._function.cache_clear()


@pytest.fixture
def counts(cupy_device):
    """Return ``counts()``: what it yields says, at the end, what the device was asked for."""
    if cupy_device.kind != "fakecuda":
        pytest.skip("counts are fakecuda's")
    import fakecuda

    @contextmanager
    def counting():
        fakecuda.reset()
        seen = {}
        yield lambda: seen
        stats = fakecuda.stats()
        names = ("launches", "syncs", "h2d", "d2h", "d2d", "mallocs")
        seen.update((name, stats[name]) for name in names)

    return counting
