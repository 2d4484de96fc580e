"""The benchmark of the hierarchical model, at a size that takes seconds, and what is stored."""

from __future__ import annotations

import json

import pytest

from benchmarks import hierarchy
from minideconv.backend import as_device
from minideconv.errors import DataError, UsageError
from minideconv.sparse_coding.hierarchy.file import load_hierarchy


def stored():
    return json.loads(hierarchy.RESULTS.read_text(encoding="utf-8"))


def test_a_small_run(tmp_path):
    quick = {"maps": "3,4", "epochs": "1,1", "drawings": 2, "side": 32, "filter_size": 5}
    found = hierarchy.run(tmp_path / "layers.npz", quick, count=2)
    results = {"date": "2026-01-01", "machine": {"cpu": "x"}, **found}
    text = hierarchy.table(results)
    assert "\n| layer 1 | " in text
    assert text.count("\n| layer 2") == 3
    assert "\n| 11x11 | corner | " in text
    layers, settings, _ = load_hierarchy(tmp_path / "layers.npz", as_device("cpu"))
    assert (len(layers), settings.side) == (2, 32)
    assert json.loads(json.dumps(found)) == found


def test_intervals_of_shares():
    """Against Wilson's formula as tables give it: 7 of 44 and 0 of 9."""
    assert hierarchy.share(7, 44) == "7 of 44 (8 to 29 %)"
    assert hierarchy.share(0, 9) == "0 of 9 (0 to 30 %)"
    assert hierarchy.share(9, 9) == "9 of 9 (70 to 100 %)"
    assert hierarchy.share(0, 0) == "0 of 0"
    row = {"vertex": {"low": [1.2, 0.9, None, 1.5]}, "looks": ["corner", "X", "T", "line"]}
    assert hierarchy.shaped(row, ["corner", "T", "X"]).startswith("1 of 2 (")
    assert hierarchy.shaped(row, ["line"]).startswith("1 of 1 (")


def test_files_that_are_no_results(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        hierarchy.main(["--table", str(tmp_path / "none.json")])
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError, match="holds no results of this program"):
        hierarchy.main(["--table", str(tmp_path / "a.json")])
    with pytest.raises(UsageError, match="there is no folder"):
        hierarchy.main(["--out", str(tmp_path / "a" / "b.json")])
