"""Fixtures of the tests of inference plans."""

from __future__ import annotations

import pytest

from minideconv.backend.algorithms import compiled, use_compiled


@pytest.fixture
def kernels():
    """Compiled kernels for a test, whatever the process has chosen; skips without numba."""
    pytest.importorskip("numba", reason="compiled kernels need numba")
    before = compiled()
    use_compiled(True)
    yield
    use_compiled(before)
