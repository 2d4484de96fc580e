"""Files with a few bytes changed: each is read or refused in one sentence, within bounds.

Some hundreds of each format by default; MINIDECONV_TEST_MUTATIONS says how many.
"""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
import pytest
from hostile import mutate, read_in_bounds
from weight_files import small_files

COUNT = int(os.environ.get("MINIDECONV_TEST_MUTATIONS") or 200)


@pytest.mark.parametrize("name", small_files())
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning:zipfile")
def test_a_mutated_file_is_read_or_refused(tmp_path, name):
    content = small_files()[name]
    path = tmp_path / "weights"
    seen: Counter[str] = Counter()
    for seed in range(COUNT):
        path.write_bytes(mutate(content, np.random.default_rng([seed, len(name)])))
        try:
            seen[read_in_bounds(path)] += 1
        except BaseException as error:
            error.add_note(f"format {name}, seed {seed}, {path}")
            raise
    # A test in which every file is refused at its first byte would have looked at nothing.
    assert seen["refused"] > COUNT / 20
    assert seen["refused"] < COUNT
    print(name, dict(seen))
