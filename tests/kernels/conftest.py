"""The compiler of NVIDIA's: tests that ask for it are skipped without its wheel, but not on CI."""

from __future__ import annotations

import device_tier
import nvrtc as compiler
import pytest


@pytest.fixture(scope="session")
def nvrtc():
    """Return the module ``nvrtc``, where it finds a compiler for all GPUs."""
    reason = None
    try:
        if not (12, 8) <= compiler.version() < (13, 0):
            reason = f"NVRTC is {compiler.version()}; 12.8 and 12.9 know all of sm_70 to sm_120"
    except (ImportError, RuntimeError) as error:
        reason = f"NVRTC is missing: pip install 'nvidia-cuda-nvrtc-cu12==12.9.*' ({error})"
    if reason is not None:
        pytest.fail(reason) if device_tier.ON_CI else pytest.skip(reason)
    return compiler
