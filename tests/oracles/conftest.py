"""Oracle tests compare with other libraries, which are optional: skipped without, but never on CI.

A test asks for a library by the fixture of its name (``def test_conv2d(torch, geometry): ...``), or
with ``pytest.importorskip`` at the top of its file. Where CI is set, a skip of either kind counts as
a failure: CI installs the libraries, so nothing that could run there may go unnoticed.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Generator
from types import ModuleType
from typing import Any

import pytest

_ON_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")
_NEEDS = {
    "torch": "needs torch: pip install torch==2.13.0",
    "onnx": "needs onnx: pip install onnx==1.23.2",
    "scipy": "needs scipy: pip install scipy",
}


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if _ON_CI:
            pytest.fail(f"{_NEEDS[name]} (on CI oracle tests must run): {error}", pytrace=False)
        pytest.skip(_NEEDS[name])


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    module = _library("torch")
    module.set_num_threads(1)  # small arrays: threads only cost
    return module


@pytest.fixture(scope="session")
def onnx() -> ModuleType:
    return _library("onnx")


@pytest.fixture(scope="session")
def scipy() -> ModuleType:
    return _library("scipy")


def _forbid_skip(report: Any) -> Any:
    if _ON_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        if "gpu" not in str(reason).lower():  # CI machines have none
            report.outcome = "failed"
            report.longrepr = f"skipped on CI, where oracle tests must run: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Generator[None, Any, Any]:
    return _forbid_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: Any) -> Generator[None, Any, Any]:
    return _forbid_skip((yield))
