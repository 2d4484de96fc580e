"""The paper's network itself: one step at 224 x 224, batch 2, within 12 GB.

In a process of its own, so that the peak is the step's. The time is printed by the benchmark and
asserted nowhere.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.cpu  # measures the host's memory
def test_forward_backward_and_update_fit_into_12_gigabytes():
    if not (_ROOT / "benchmarks" / "full_step.py").exists():
        pytest.skip("needs the repository's benchmarks folder")
    command = [sys.executable, "-m", "benchmarks.full_step", "--batch", "2", "--steps", "2"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["parameters"] == 251_805_653
    assert result["peak_gib"] < 12e9 / 2**30
    first, second = result["losses"]
    assert math.isfinite(first)
    assert second < first  # the same batch twice: the update went the right way
