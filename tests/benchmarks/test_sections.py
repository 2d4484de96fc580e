"""Every section runs, at tiny sizes, and gives rows that the tables, goals and pictures take."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import cpu, steps, store, tables
from benchmarks.convolutions import PASSES, check_equal
from benchmarks.goals import evaluate
from benchmarks.modes import BenchmarkError, available
from minideconv.errors import UsageError

NUMBA = importlib.util.find_spec("numba") is not None


@pytest.fixture(scope="module")
def results(tiny, tmp_path_factory):
    """The file of a run of every section."""
    pytest.importorskip("torch", reason="needs torch: pip install torch==2.13.0")
    pytest.importorskip("threadpoolctl", reason="needs threadpoolctl: the extra fast")
    path = tmp_path_factory.mktemp("benchmarks") / "results.json"
    cpu.run(tiny, [1], list(cpu.SECTIONS), path, quick=True)
    return store.load(path)


def test_every_section_has_rows(results, net):
    for section in cpu.SECTIONS:
        assert store.rows_of(results, section, 1), section
    conv = store.rows_of(results, "conv", 1)
    assert {row["pass"] for row in conv} == set(PASSES)
    assert {"conv1_1", "fc6", "fc6_deconv", "seg_score"} <= {row["name"] for row in conv}
    assert all(row["times"].keys() >= {"nchw", "channels_last", "numpy"} for row in conv)
    (fc6,) = [row for row in conv if row["name"] == "fc6" and row["pass"] == "forward"]
    assert "linear" in fc6["times"]
    assert ("fast" in fc6["times"]) == NUMBA


def test_large_steps_run_in_processes_with_a_peak(results):
    small, big, _ = store.rows_of(results, "steps", 1)
    assert "peak_gib" not in small
    assert big["peak_gib"].keys() == big["times"].keys() == {"numpy", "default_nchw"}
    assert big["parameters"] == small["parameters"]
    # PyTorch in one process and not in the other: so much memory is seen in the peak
    assert big["peak_gib"]["numpy"] < big["peak_gib"]["default_nchw"]


def test_the_largest_step_is_measured_with_the_most_threads_only(tiny, monkeypatch):
    monkeypatch.setattr(steps, "in_this_process", lambda *a: ({}, 1))
    monkeypatch.setattr(steps, "race", lambda *a: ({}, {}, 1))
    assert len(list(steps.rows(replace(tiny, most_threads=2), threads=1))) == 2
    assert len(list(steps.rows(replace(tiny, most_threads=2), threads=2))) == 3


def test_the_page_has_every_section(results):
    page = tables.render(results)
    for title in tables.SECTIONS.values():
        assert f"## {title}" in page
    assert page.count("| --- |") >= len(tables.SECTIONS)
    assert {v.verdict for v in evaluate(results)} >= {"not measured"}


def test_the_file_holds_the_kind_of_machine_and_not_which(results):
    import platform

    text = json.dumps(results)
    assert results["machine"]["cores"] >= 1
    assert results["records"][0]["versions"]["numpy"] == np.__version__
    assert platform.node() not in text or len(platform.node()) < 4
    assert "/home" not in text


def test_pictures(results, tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib: the extra viz")
    from benchmarks import plots

    drawn = {path.name for path in plots.draw_all(results, tmp_path)}
    # ratios per layer are about DeconvNet's own layers, which a tiny run does not have
    assert drawn == {"cpu-steps.png", "cpu-growth.png"}
    deconvnet = json.loads(json.dumps(results))
    for row in store.rows_of(deconvnet, "conv", 1):
        row["group"] = "DeconvNet, 224 px, batch 2"
        row["times"].setdefault("fast", row["times"]["numpy"])
    drawn = {path.name for path in plots.draw_all(deconvnet, tmp_path)}
    assert drawn == {f"cpu-{name}.png" for name in plots.PICTURES}
    with pytest.raises(UsageError, match="nothing to draw"):
        list(plots.draw_all(store.new(results["machine"]), tmp_path))


def test_results_of_another_machine_or_kind_are_not_mixed(results, tiny, tmp_path):
    path = tmp_path / "results.json"
    store.save(path, results | {"machine": {"cpu": "another"}})
    with pytest.raises(UsageError, match="another machine"):
        cpu.run(tiny, [1], ["floors"], path, quick=True)
    store.save(path, results)
    with pytest.raises(UsageError, match="quick and full"):
        cpu.run(tiny, [1], ["floors"], path, quick=False)


def test_only_one_section_is_measured_again(results, tiny, tmp_path, capsys):
    path = tmp_path / "results.json"
    store.save(path, results)
    cpu.run(replace(tiny, floor_size=32), [1], ["floors"], path, quick=True)
    again = store.load(path)
    assert len(again["records"]) == len(results["records"])
    assert store.rows_of(again, "steps", 1) == store.rows_of(results, "steps", 1)
    assert "[floors]" in capsys.readouterr().out
    assert path.with_suffix(".md").exists()


def test_a_wrong_result_stops_the_benchmark():
    right = np.arange(6, dtype=np.float32)
    check_equal("an op", right + 1e-4, right)
    with pytest.raises(BenchmarkError, match=r"an op: differs from PyTorch by"):
        check_equal("an op", right + 1, right)
    with pytest.raises(BenchmarkError, match="differs"):
        check_equal("an op", right * np.nan, right)


def test_compiled_contenders_need_numba(monkeypatch):
    monkeypatch.setattr("benchmarks.modes.find_spec", lambda name: None)
    assert available(("fast", "exact", "numpy", "nchw")) == ["numpy", "nchw"]
