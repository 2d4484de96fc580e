"""The compiler of NVIDIA's: tests that ask for it are skipped without its wheel, but not on CI."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

_ON_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")


@pytest.fixture(scope="session")
def nvrtc():
    """Return the module ``nvrtc`` beside this file, where it finds the compiler."""
    path = Path(__file__).with_name("nvrtc.py")
    spec = importlib.util.spec_from_file_location("kernels_nvrtc", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["kernels_nvrtc"] = module
    spec.loader.exec_module(module)
    try:
        major, minor = module.version()
    except (ImportError, RuntimeError) as error:
        reason = f"NVRTC is missing: pip install 'nvidia-cuda-nvrtc-cu12==12.9.*' ({error})"
        pytest.fail(reason) if _ON_CI else pytest.skip(reason)
    if (major, minor) < (12, 8) or major > 12:
        reason = f"NVRTC is {major}.{minor}; 12.8 and 12.9 know all of sm_70 to sm_120"
        pytest.fail(reason) if _ON_CI else pytest.skip(reason)
    return module
