"""The benchmark of the hierarchical model, at a size that takes seconds, and what is stored."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import hierarchy
from minideconv.backend import as_device
from minideconv.errors import DataError, UsageError
from minideconv.sparse_coding.hierarchy import looks, measure, stamps, strongest
from minideconv.sparse_coding.hierarchy.command import held_out
from minideconv.sparse_coding.hierarchy.drawings import KINDS
from minideconv.sparse_coding.hierarchy.file import load_hierarchy
from minideconv.sparse_coding.hierarchy.junctions import drawing_maps
from minideconv.sparse_coding.hierarchy.single import spots


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


def test_what_is_stored_says_what_the_page_says():
    """The claims of the page's text: they must hold for the numbers beside them."""
    first = stored()["variants"][hierarchy.DEFAULTS]
    layers = first["layers"]

    def selective(layer, kinds):
        row = layers[layer]
        return [low > 1 for low, kind in zip(row["vertex"]["low"], row["looks"], strict=True)
                if kind in kinds and low is not None]  # fmt: skip

    # Most units that look like corners fire there; lines and the controls do not.
    assert sum(selective(hierarchy.LAYER_2, KINDS)) == 8
    assert len(selective(hierarchy.LAYER_2, KINDS)) == 9
    assert sum(selective(hierarchy.LAYER_2, ["line"])) == 1
    assert sum(selective(hierarchy.LAYER_1, KINDS)) == 0
    assert len(selective(hierarchy.UNTAUGHT, KINDS)) == 3
    assert layers[hierarchy.LAYER_2]["fitted"]["fire"] == 21
    # At the middle few are selective; at fitted points nearly all, but also most of the unlearnt.
    rows = [layers[name] for name in (hierarchy.LAYER_1, hierarchy.LAYER_2, hierarchy.UNTAUGHT)]
    assert [row["middle"]["selective"] for row in rows] == [0, 2, 3]
    assert [row["fitted"]["selective"] for row in rows] == [3, 20, 24]
    assert layers[hierarchy.LAYER_2]["fitted"]["kinds"] == {"corner": 20, "T": 0, "X": 5}
    # One number shows more of a corner than the first layer's, and yet more of a straight piece.
    for window in first["single"].values():
        assert window["corner"]["lead"][1] > 0
        assert window["straight"]["lead"][0] > window["corner"]["lead"][0]
    theirs = stored()["variants"]["the authors' settings"]["layers"][hierarchy.LAYER_2]
    assert theirs["middle"]["fire"] == 0


def test_the_stored_layers_are_those_that_were_measured():
    """A few drawings, measured again; and the sixteen corners of the page's picture."""
    layers, settings, _ = load_hierarchy(hierarchy.LAYERS, as_device("cpu"))
    assert [len(layer.filters) for layer in layers] == [9, 45]
    projections = stamps(layers)
    seen = looks(projections)
    row = stored()["variants"][hierarchy.DEFAULTS]["layers"][hierarchy.LAYER_2]
    assert list(seen.kinds) == row["looks"]
    drawn = held_out(settings, 16)
    _, maps = drawing_maps(layers, drawn, settings.schedule)
    chosen = [k for k, low in enumerate(row["vertex"]["low"])
              if low is not None and low > 1 and seen.junctions[k]]  # fmt: skip
    found = measure(list(maps), projections, drawn, seen.vertices)
    assert (found.lift[chosen] > 1).mean() >= 0.8
    rng = np.random.default_rng(0)
    places = [spots(one, rng)[0] for one in drawn]
    assert {kind for kind, _ in places} == {"corner"}
    units = [strongest(m, projections, at, 5).unit for m, (_, at) in zip(maps, places, strict=True)]
    assert "corner" not in {seen.kinds[unit] for unit in units}


def test_files_that_are_no_results(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        hierarchy.main(["--table", str(tmp_path / "none.json")])
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError, match="holds no results of this program"):
        hierarchy.main(["--table", str(tmp_path / "a.json")])
    with pytest.raises(UsageError, match="there is no folder"):
        hierarchy.main(["--out", str(tmp_path / "a" / "b.json")])
