"""Each test by itself: seeds begin with the test's name, and settings stay as they were found.

A test must give the same result alone, after any other test, and in every run. So before each test
every global generator is set to a number that is made of the test's name, and before each example
of Hypothesis to 0; fixtures that several tests share are set up with numbers of their own. A test
that leaves a setting of the library or of the process changed fails when it ends, and the setting
is put back for the next one.

What these hooks cannot reach is a generator that a test makes for itself: `unseeded` finds those
without a seed.
"""

from __future__ import annotations

import gc
import os
import random as python
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import pytest
from hypothesis import register_random

from minideconv import backend, random
from minideconv.autograd import grad_mode
from minideconv.backend import algorithms, parallel, precisions
from minideconv.engine.cuda import benchmark
from minideconv.models import MODELS
from minideconv.ops import workspace

# Generators


class _NumPys:
    """The generator behind ``np.random.normal`` and the like."""

    seed = staticmethod(np.random.seed)
    getstate = staticmethod(np.random.get_state)
    setstate = staticmethod(np.random.set_state)


class _Ours:
    """The library's, which weights and dropout are drawn from."""

    seed = staticmethod(random.manual_seed)
    getstate = staticmethod(random.get_state)
    setstate = staticmethod(random.set_state)


class _PyTorchs:
    """PyTorch's for the CPU, if imported. If it comes later, it gets the seed that it missed.

    ``torch.manual_seed`` would also store calls that seed GPUs which are not there.
    """

    number = 0

    def seed(self, number: int) -> None:
        self.number = number
        if (generator := self._generator()) is not None:
            generator.manual_seed(number)

    def getstate(self) -> Any:
        generator = self._generator()
        return self.number, None if generator is None else generator.get_state()

    def setstate(self, state: Any) -> None:
        number, words = state
        if words is None:
            self.seed(number)
        else:
            self._generator().set_state(words)

    def _generator(self) -> Any:
        return getattr(sys.modules.get("torch"), "default_generator", None)


OURS, NUMPYS, PYTORCHS = _Ours(), _NumPys(), _PyTorchs()
GENERATORS = (python, NUMPYS, OURS, PYTORCHS)
for generator in (OURS, PYTORCHS):  # Hypothesis seeds the two others
    register_random(generator)


def seed_by_name(name: str) -> None:
    """Set every global generator to a number made of `name`, the same in every process."""
    number = crc32(name.encode())
    for generator in GENERATORS:
        generator.seed(number)


# Settings


class Setting(NamedTuple):
    """Something that holds for the whole process, and how to put it back."""

    get: Callable[[], Any]
    set: Callable[[Any], object]


WATCHED = ("CUDA_", "CUPY_", "MINIDECONV_", "PYTHON")
"""Beginnings of variables that decide what is tested; libraries set others when first imported."""


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(WATCHED)}


def _set_environment(wanted: dict[str, str]) -> None:
    for name in _environment().keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)


def _set_models(wanted: dict[str, Any]) -> None:
    MODELS.clear()
    MODELS.update(wanted)


SETTINGS = {
    "get_algorithm()": Setting(algorithms.get_algorithm, algorithms.set_algorithm),
    "compiled()": Setting(algorithms.compiled, algorithms.use_compiled),
    "get_precision()": Setting(precisions.get_precision, precisions.set_precision),
    "get_default_device()": Setting(backend.get_default_device, backend.set_default_device),
    "get_num_threads()": Setting(parallel.get_num_threads, parallel.set_num_threads),
    "get_workspace_limit()": Setting(lambda: workspace._limit.get(), workspace.set_workspace_limit),
    "is_grad_enabled()": Setting(
        grad_mode.is_grad_enabled, lambda wanted: setattr(grad_mode.mode, "recording", wanted)
    ),
    "get_benchmark()": Setting(benchmark.get_benchmark, benchmark.set_benchmark),
    "models.MODELS": Setting(lambda: dict(MODELS), _set_models),
    "np.geterr()": Setting(np.geterr, lambda wanted: np.seterr(**wanted)),
    "the working directory": Setting(os.getcwd, os.chdir),
    "the environment": Setting(_environment, _set_environment),
    **{
        f"the handler of {which.name}": Setting(
            lambda which=which: signal.getsignal(which),
            lambda wanted, which=which: signal.signal(which, wanted),
        )
        for which in (signal.SIGINT, signal.SIGTERM)
    },
}


def found() -> dict[str, Any]:
    """Return every setting."""
    return {name: setting.get() for name, setting in SETTINGS.items()}


def put_back(before: dict[str, Any]) -> list[str]:
    """Put every setting back that is not as before; return a line for each."""
    changed = []
    for name, now in found().items():
        was = before[name]
        if now != was:
            SETTINGS[name].set(was)
            if isinstance(was, dict):  # of many entries; only those that differ are worth reading
                was, now = dict(was.items() - now.items()), dict(now.items() - was.items())
            changed.append(f"{name} was {was!r} and is {now!r}")
    return changed


@pytest.fixture
def no_old_garbage() -> None:
    """Free what earlier tests have left in cycles, before a test counts what is in use."""
    gc.collect()


@pytest.fixture
def own_networks() -> Iterator[None]:
    """Let a test register networks, and forget them after it."""
    before = dict(MODELS)
    yield
    _set_models(before)


def freeze() -> None:
    """Let collections of garbage look only at what will be made from now on."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def quick_collections() -> None:
    """For a file that collects garbage in most tests, and whatever was imported before it."""
    freeze()


# Hooks


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Spare the garbage collector all test files and what they have imported: they stay."""
    freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Seed, and remember the settings."""
    seed_by_name(item.nodeid)
    item.stash[_BEFORE] = found()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Any:
    """Let a shared fixture draw the same, whichever test uses it first."""
    if fixturedef.scope == "function":
        return (yield)
    states = [generator.getstate() for generator in GENERATORS]
    seed_by_name(f"{fixturedef.baseid}::{fixturedef.argname}")
    try:
        return (yield)
    finally:
        for generator, state in zip(GENERATORS, states, strict=True):
            generator.setstate(state)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Any:
    """Fail a test that has changed a setting."""
    result = yield
    changed = put_back(item.stash[_BEFORE])
    assert not changed, f"{item.nodeid} leaves behind: {'; '.join(changed)}"
    return result


_BEFORE = pytest.StashKey[dict[str, Any]]()
