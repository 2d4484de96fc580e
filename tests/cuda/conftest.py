"""One fixture for the GPU's kernels: where they run, and how arrays get there and back.

On the device "cpu" the kernels' own source is compiled for the host and runs on NumPy arrays; what
needs CuPy itself (products, streams, graphs) takes the fixture `cupy_device` and runs on the
devices "fakecuda" and "gpu".

What tests/kernels adds by environment variables, each in a process of its own:

MINIDECONV_TEST_ORDER    "reverse" or "shuffle": the order of blocks and threads in all tests
MINIDECONV_TEST_MEMORY   set: only tests of kernels that are right, with every access checked (guard
                         pages on fakecuda; the compiler's sanitizers where HOSTSHIM_SAN is set)
"""

from __future__ import annotations

import importlib.util
import math
import os
import shutil
import sys
from contextlib import contextmanager
from functools import wraps
from types import SimpleNamespace

import device_tier
import numpy as np
import pytest
from device_tier import DEVICE, ON_CI, TOOLS

from minideconv.engine.cuda import module
from minideconv.engine.cuda.capability import capability
from minideconv.errors import UsageError

ORDER = os.environ.get("MINIDECONV_TEST_ORDER") or "forward"
CHECK_MEMORY = bool(os.environ.get("MINIDECONV_TEST_MEMORY"))
os.environ.pop("LD_PRELOAD", None)  # the sanitizers are loaded: the compiler shall not be checked


def pytest_collection_modifyitems(config, items):
    """Where memory is checked, leave only tests of kernels, and of none that is meant to fail."""
    if not CHECK_MEMORY:
        return
    kept, out = [], []
    for item in items:
        wrong = device_tier.spoils_kernels(item)
        right = "gpu" in item.fixturenames and not device_tier.needs_cupy(item) and not wrong
        (kept if right else out).append(item)
    for item in kept:
        device_tier.few_examples(item)
    config.hook.pytest_deselected(items=out)
    items[:] = kept


def _hostshim():
    path = TOOLS / "hostshim" / "hostshim.py"
    if not path.exists() or shutil.which("g++") is None:
        reason = f"kernels on the CPU need g++ and {path}"
        pytest.fail(reason) if ON_CI else pytest.skip(reason)
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
    module._function = _bounded(module._function)
    if DEVICE == "cpu":
        hostshim = _hostshim()
        module.host_compiler = hostshim.RawModule
        hostshim.RawKernel.__init__ = _ordered(hostshim.RawKernel.__init__)
        return SimpleNamespace(xp=np, put=np.asarray, get=np.asarray, kind="hostshim")
    import cupy

    if DEVICE == "fakecuda":
        sys.modules["fakecuda"].set_order(ORDER)
        if CHECK_MEMORY:
            cupy.cuda.set_allocator(None)  # each array a block of its own, with a guard behind it
    from minideconv.backend import to_device

    return SimpleNamespace(
        xp=cupy, put=lambda array: to_device(array, "gpu"), get=cupy.asnumpy, kind=DEVICE
    )


def _ordered(initialize):
    """Give every kernel of the host the session's order."""

    @wraps(initialize)
    def with_order(self, *arguments, **options):
        initialize(self, *arguments, **options)
        self.order = ORDER

    return with_order


def _bounded(find):
    """Let no launch have more threads in a block than the kernel was compiled for.

    Without ``__launch_bounds__`` the compiler may use as many registers as blocks of `module.BLOCK`
    threads can have, and a launch of larger ones would fail on a GPU, and there alone.
    """

    @wraps(find)
    def checking(xp, file, kernel, *rest):
        function, wanted = find(xp, file, kernel, *rest)
        head = module.source(file).partition(f" {kernel}(")[0].rpartition("__global__")[2]

        def call(grid, block, *arguments, **options):
            bounded = "__launch_bounds__" in head  # then CuPy and the compiler agree
            assert bounded or math.prod(block) <= module.BLOCK, f"{kernel}: a block of {block}"
            return function(grid, block, *arguments, **options)

        return call, wanted

    checking.cache_clear = find.cache_clear
    return checking


@pytest.fixture(scope="session")
def cupy_device(gpu):
    """Return the same where there is CuPy."""
    if gpu.kind == "hostshim":
        pytest.skip("needs CuPy: run with MINIDECONV_TEST_DEVICE=fakecuda or gpu")
    return gpu


@pytest.fixture(scope="session")
def tensor_cores(cupy_device):
    """Return the same where there are tensor cores for tf32 and bfloat16, and `mma` for them."""
    if capability() < 80:
        pytest.skip(f"needs a GPU of compute capability 8.0; this one has {capability() / 10}")
    return cupy_device


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Skip a test of a precision that this GPU has not, in the words with which it was refused."""
    try:
        return (yield)
    except UsageError as error:
        if DEVICE == "cpu" or capability() >= 80 or "compute capability" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def schedule(gpu):
    """Return a context: blocks and threads run "forward", in "reverse" or in "shuffle" order.

    A GPU has an order of its own, which cannot be chosen.
    """

    @contextmanager
    def run(order):
        if gpu.kind == "fakecuda":
            sys.modules["fakecuda"].set_order(order)
            try:
                yield
            finally:
                sys.modules["fakecuda"].set_order(ORDER)
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
    """Return a context: a kernel file with one slip in it, `wrong` for what is `right`.

    Whatever spoils a kernel does it by this fixture: by its name the tests are known that a GPU
    leaves out. ``everywhere`` allows several places.
    """

    @contextmanager
    def run(file, right, wrong, everywhere=False):
        source, whole = module.source(file), module.source
        count = source.count(right)
        assert count == 1 or (count and everywhere), f"{right!r} is {count} times in {file}"
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
    """Return ``counts()``: what it yields holds, at the end, what the device was called for."""
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
