"""Shared by all tests: Hypothesis profiles, and what may be skipped where.

Profiles (environment variable HYPOTHESIS_PROFILE; "ci" if CI is set, else "dev"):

========  ==========================================================================
dev       50 examples, random, failures remembered in .hypothesis/
ci        100 examples, the same ones at every run
fresh     100 examples, random, nothing remembered: repeat it to hunt for flaky tests
hunt      5000 examples, random, failures remembered: a long look for rare failures
========  ==========================================================================

``deadline=None`` in all of them: the first call of an op may import or compile something. Every
setting is given explicitly, because Hypothesis has other defaults where CI is set.

Devices (environment variable MINIDECONV_TEST_DEVICE): the same test files run on each.

========  ==========================================================================
cpu       NumPy; the GPU's kernels are compiled for the CPU, one by one (the default)
fakecuda  all of CuPy on a device that is this CPU; needs the tools and the CuPy wheel
gpu       CuPy on the GPU
========  ==========================================================================

The tools are programs beside the checkout, ``../shared/tools`` or MINIDECONV_TEST_TOOLS.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings

_ON_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

_COMMON = {
    "suppress_health_check": (HealthCheck.too_slow,),  # a busy machine is not a failure
    "deadline": None,
    "report_multiple_bugs": False,
    "print_blob": True,
    "phases": (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
}
settings.register_profile("dev", max_examples=50, derandomize=False, **_COMMON)
settings.register_profile("ci", max_examples=100, derandomize=True, database=None, **_COMMON)
settings.register_profile("fresh", max_examples=100, derandomize=False, database=None, **_COMMON)
settings.register_profile("hunt", max_examples=5000, derandomize=False, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if _ON_CI else "dev"))

TOOLS = Path(
    os.environ.get("MINIDECONV_TEST_TOOLS") or Path(__file__).parents[2] / "shared" / "tools"
)
TEST_DEVICE = os.environ.get("MINIDECONV_TEST_DEVICE") or "cpu"
if TEST_DEVICE not in ("cpu", "fakecuda", "gpu"):
    raise SystemExit(f"MINIDECONV_TEST_DEVICE is {TEST_DEVICE!r}; use cpu, fakecuda or gpu")
if TEST_DEVICE == "fakecuda":  # before anything imports CuPy
    sys.path.insert(0, str(TOOLS / "fakecuda"))
    import fakecuda

    fakecuda.install()
