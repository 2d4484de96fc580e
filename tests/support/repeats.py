"""A bound on the examples of Hypothesis, for sessions that repeat the tests of another one.

A test may ask for more examples than its profile has (``@settings(max_examples=200)``), where few
would miss what it looks for. Once some session has tried so many, the same test under another
algorithm only tests whether that matters, and needs no more than its profile has.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from device_tier import few_examples
from hypothesis import settings

REPEATS = "again"
"""The profile of such sessions; see tests/conftest.py."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Keep a session that repeats another one to its profile."""
    if os.environ.get("HYPOTHESIS_PROFILE") == REPEATS:
        for item in items:
            few_examples(item, settings.get_profile(REPEATS).max_examples)
