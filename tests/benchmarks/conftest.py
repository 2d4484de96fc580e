"""The benchmark switches algorithms and threads for the whole process: put them back."""

from __future__ import annotations

import pytest

from minideconv import parallel
from minideconv.algorithm import compiled, get_algorithm, set_algorithm, use_compiled


@pytest.fixture(autouse=True)
def _settings_as_before():
    before = get_algorithm(), compiled(), parallel.get_num_threads()
    yield
    set_algorithm(before[0])
    use_compiled(before[1])
    parallel.set_num_threads(before[2])
