"""Shared by all tests: Hypothesis profiles, devices, and what may be skipped where.

Profiles (environment variable HYPOTHESIS_PROFILE; "ci" if CI is set, else "dev"):

========  ==========================================================================
dev       50 examples, random, failures remembered in .hypothesis/
ci        100 examples, the same ones at every run
again     15 examples at most, the same ones: for suites that run once more, with other settings
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

Off the CPU, tensors are made on the GPU and array functions are called there, see
``support/on_device.py``; tests about the CPU alone are deselected, see ``support/device_tier.py``;
on fakecuda so are those marked slow or long_on_fakecuda, no test runs more than a few examples,
and a session that launched no kernel fails. Every second file runs with MINIDECONV_TEST_PART=0/2,
the others with 1/2.

The tools are programs beside the checkout, ``../shared/tools`` or MINIDECONV_TEST_TOOLS.
"""

from __future__ import annotations

import os
import sys

import device_tier
import pytest
from hypothesis import HealthCheck, Phase, settings

_COMMON = {
    "suppress_health_check": (HealthCheck.too_slow,),  # a busy machine is not a failure
    "deadline": None,
    "report_multiple_bugs": False,
    "print_blob": True,
    "phases": (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
}
settings.register_profile("dev", max_examples=50, derandomize=False, **_COMMON)
settings.register_profile("ci", max_examples=40, derandomize=True, database=None, **_COMMON)
settings.register_profile("again", max_examples=10, derandomize=True, database=None, **_COMMON)
settings.register_profile("fresh", max_examples=100, derandomize=False, database=None, **_COMMON)
settings.register_profile("hunt", max_examples=5000, derandomize=False, **_COMMON)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if device_tier.ON_CI else "dev")
)

pytest_plugins = ["isolation", "named_options", "repeats"]

DEVICE = device_tier.DEVICE
LAUNCHES = None
if DEVICE == "fakecuda":
    LAUNCHES = device_tier.Launches(device_tier.install_fakecuda())

if DEVICE != "cpu":
    import on_device

    from minideconv.backend import default_device, set_default_device

    @pytest.fixture(autouse=True)
    def _tensors_on_the_device():
        set_default_device("gpu")  # the program's, also in threads that a test starts
        yield
        set_default_device("cpu")

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(session):
        with on_device.Bound(), default_device("gpu"):
            return (yield)

    def pytest_collection_modifyitems(config, items):
        """Leave out what is about the CPU alone; run few examples where they are slow."""
        out = {item for item in items if device_tier.about_the_cpu(item)}
        if DEVICE == "fakecuda":
            out |= set(filter(device_tier.too_long, items))
        out |= set(filter(device_tier.tried_elsewhere, items))
        out |= device_tier.in_another_part([item for item in items if item not in out])
        for item in items:
            if item not in out and DEVICE == "fakecuda":
                device_tier.few_examples(item)
        for module in {item.module for item in items if not device_tier.by_itself(item.path)}:
            on_device.show_wrapped(module)
        _leave_out(config, items, out)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(item):
        """Skip what the fake device cannot do, and say so."""
        try:
            return (yield)
        except RuntimeError as error:
            reason = device_tier.limit_behind(error) if DEVICE == "fakecuda" else None
            if reason is None:
                raise
            pytest.skip(reason)


else:

    def pytest_collection_modifyitems(config, items):
        """Leave out what needs CuPy, and minutes of checks: they have tiers of their own."""
        out = set(filter(device_tier.needs_cupy, items))
        out |= set(filter(device_tier.tried_elsewhere, items))
        if not os.environ.get("MINIDECONV_TEST_LADDER"):
            out |= {item for item in items if item.get_closest_marker("ladder")}
        _leave_out(config, items, out)


def _leave_out(config, items, out):
    if out:
        config.hook.pytest_deselected(items=[item for item in items if item in out])
        items[:] = [item for item in items if item not in out]


def pytest_sessionfinish(session, exitstatus):
    """Fail a session on the fake device that did not use it."""
    passed = LAUNCHES is not None and exitstatus == 0 and session.testscollected
    if passed and LAUNCHES.total() == 0:
        print("\nno kernel was launched: CuPy's fake device was not used", file=sys.stderr)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
