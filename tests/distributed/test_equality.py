"""Several processes compute what one computes with the whole batch; wrong ways do not."""

from __future__ import annotations

import json

import pytest

WRONG = ("Averaged", "ByImages", "Clipped", "Unsynchronised")


@pytest.mark.parametrize("size", [2, 4])
def test_steps_in_float64(worker, size):
    done = worker(size, "steps.py")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    for name in ("sgd", "adam", "DataParallel"):
        assert found[name] < 1e-12, found
    for kind in ("sgd", "adam"):
        assert found[f"{kind}, between ranks"] == 0, found
    for name in WRONG:  # the comparison sees them
        assert found[name] > 1e-6, found
