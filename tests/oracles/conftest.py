"""Oracle tests compare with other libraries, which are optional: skipped without, but never on CI.

A test takes a library by the fixture of its name (``def test_conv2d(torch, geometry): ...``),
or with ``pytest.importorskip`` at the top of its file. Where CI is set, a skip of either kind is a
failure: CI installs the libraries, so nothing that could run there may go unnoticed.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Generator
from types import ModuleType
from typing import Any, NamedTuple

import pytest

_ON_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")
_NEEDS = {
    "torch": "needs torch: pip install torch==2.13.0",
    "captum": "needs captum: pip install captum==0.9.0",
    "onnx": "needs onnx: pip install onnx==1.23.2",
    "onnxruntime": "needs onnxruntime: pip install onnxruntime==1.32.0",
    "scipy": "needs scipy: pip install scipy",
    "cv2.ximgproc": "needs OpenCV's extra modules: "
    "pip install opencv-contrib-python-headless==4.14.0.94",
}


class OnnxCase(NamedTuple):
    """One node test: the operator's attributes, and what goes in and comes out."""

    attributes: dict[str, Any]
    inputs: list[Any]
    outputs: list[Any]


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
def captum(torch: ModuleType) -> ModuleType:
    _library("captum")
    return _library("captum.attr")


@pytest.fixture(scope="session")
def onnx() -> ModuleType:
    return _library("onnx")


@pytest.fixture(scope="session")
def onnxruntime() -> ModuleType:
    return _library("onnxruntime")


@pytest.fixture(scope="session")
def scipy() -> ModuleType:
    return _library("scipy")


@pytest.fixture(scope="session")
def ximgproc() -> ModuleType:
    return _library("cv2.ximgproc")


@pytest.fixture(scope="session")
def onnx_cases(onnx: ModuleType) -> Callable[[str, str], dict[str, OnnxCase]]:
    """``onnx_cases("conv", "Conv")``: the node tests of one operator that one generator makes.

    The cases are built in memory; newer wheels ship no files. Collecting all 1900 takes seconds,
    so only the wanted generator is imported (importing it registers its cases).
    """

    def cases(generator: str, operator: str) -> dict[str, OnnxCase]:
        node_tests = importlib.import_module("onnx.backend.test.case.node")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(f"onnx.backend.test.case.node.{generator}")
        found = {}
        for case in node_tests._NodeTestCases:
            nodes = case.model.graph.node if case.model is not None else []
            if len(nodes) == 1 and nodes[0].op_type == operator:
                attributes = {
                    a.name: onnx.helper.get_attribute_value(a) for a in nodes[0].attribute
                }
                inputs, outputs = case.data_sets[0]
                found[case.name] = OnnxCase(attributes, inputs, outputs)
        return found

    return cases


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
