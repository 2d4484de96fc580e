"""The benchmark of the hierarchical model, at a size that takes seconds, and what is stored."""

from __future__ import annotations

import json

import pytest

from benchmarks import hierarchy
from minideconv.backend import as_device
from minideconv.errors import DataError, UsageError
from minideconv.sparse_coding.hierarchy.drawings import drawings
from minideconv.sparse_coding.hierarchy.file import load_hierarchy
from minideconv.sparse_coding.hierarchy.junctions import measure_layers


def stored():
    return json.loads(hierarchy.RESULTS.read_text(encoding="utf-8"))


def test_a_small_run(tmp_path, capsys, monkeypatch):
    quick = {"maps": "3,4", "epochs": "1,1", "drawings": 2, "side": 32, "filter_size": 5}
    monkeypatch.setattr(hierarchy, "VARIANTS", dict(list(hierarchy.VARIANTS.items())[:2]))
    found = hierarchy.run(tmp_path / "layers.npz", quick, held_out=2)
    results = {"date": "2026-01-01", "machine": {"cpu": "x"}, **found}
    lines = hierarchy.table(results).splitlines()
    assert len(lines) == 4 + 3 + 2
    assert lines[4].startswith("| layer 1 | 3 of 3 |")
    layers, settings, _ = load_hierarchy(tmp_path / "layers.npz", as_device("cpu"))
    assert (len(layers), settings.side) == (2, 32)
    capsys.readouterr()


def test_what_is_stored_says_what_the_page_says():
    """The claims of the page's text: they must hold for the numbers beside them."""
    variants = stored()["variants"]
    first, second = variants[hierarchy.DEFAULTS]["layers"]
    assert first["selective"] == 0
    assert second["selective"] >= 5
    assert second["highest"] > 1.5
    assert second["mean"][2] < 1
    assert variants[hierarchy.DEFAULTS]["untaught"]["selective"] <= 2
    _, theirs = variants["the authors' weights and continuation"]["layers"]
    assert theirs["fire"] == 0


def test_the_stored_layers_are_those_that_were_measured():
    """A few drawings, measured again: units called selective prefer corners there, too."""
    layers, settings, _ = load_hierarchy(hierarchy.LAYERS, as_device("cpu"))
    assert [len(layer.filters) for layer in layers] == [9, 45]
    drawn = drawings(8, settings.side, settings.seed, first=settings.drawings)
    found, _ = measure_layers(layers, drawn, settings.schedule)
    _, second = stored()["variants"][hierarchy.DEFAULTS]["layers"]
    chosen = [k for k, low in enumerate(second["low"]) if low is not None and low > 1]
    assert len(chosen) == second["selective"]
    lifts = found[1].lift[chosen]
    assert (lifts > 1).sum() >= 0.8 * len(chosen)


def test_files_that_are_no_results(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        hierarchy.main(["--table", str(tmp_path / "none.json")])
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError, match="holds no results of this program"):
        hierarchy.main(["--table", str(tmp_path / "a.json")])
    with pytest.raises(UsageError, match="there is no folder"):
        hierarchy.main(["--out", str(tmp_path / "a" / "b.json")])
