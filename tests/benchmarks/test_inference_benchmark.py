"""``python -m benchmarks.inference`` on a small network."""

from __future__ import annotations

import json
from functools import partial

import pytest

from benchmarks import inference
from benchmarks.modes import BenchmarkError
from benchmarks.timing import Timed
from minideconv import models

OURS = ["network", "folded", "calls", "plan"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    networks = {"small": (lambda: models.deconvnet(3, 2, 16, fc=4, stages=2), 16)}
    monkeypatch.setattr(inference, "NETWORKS", networks)
    monkeypatch.setattr(inference, "Timed", partial(Timed, least=0.0))


def test_it_prints_and_stores_a_table(tmp_path, capsys):
    out = tmp_path / "found.json"
    arguments = ["--rounds", "2", "--contenders", *OURS, "--out", str(out)]
    assert inference.main(["--networks", "small", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "| small, 16 pixels | ms | plan / this |" in printed
    found = json.loads(out.read_text())
    (row,) = found["networks"]
    assert list(row["contenders"]) == OURS
    assert row["contenders"]["plan"]["plan_ratio"] == 1
    page = inference.tables(found)
    assert row["date"] in page
    assert printed.strip() in page


def test_results_of_other_networks_stay(tmp_path, monkeypatch):
    out = tmp_path / "found.json"
    other = {**inference.NETWORKS, "other": inference.NETWORKS["small"]}
    monkeypatch.setattr(inference, "NETWORKS", other)
    for name in ("other", "small", "other"):
        arguments = ["--rounds", "1", "--contenders", "plan", "--out", str(out)]
        assert inference.main(["--networks", name, *arguments]) == 0
    found = json.loads(out.read_text())["networks"]
    assert [row["network"] for row in found] == ["small", "other"]


def test_calls_is_a_plan_without_kernels_and_the_next_one_has_them(tmp_path):
    network, x = inference.network_of("small")
    found = inference.contenders(network, x, tmp_path, OURS)
    (program,) = found["calls"].func._programs.values()
    assert not any(program.kernels)
    assert found["plan"]().shape == (1, 3, 16, 16)


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_peers_give_the_same_scores(name):
    pytest.importorskip(name)
    found = inference.measure("small", 1, ["plan", name])
    assert set(found["contenders"]) == {"plan", name}


def test_other_scores_are_an_error(monkeypatch):
    monkeypatch.setattr(inference, "_folded", lambda network: inference.network_of("other")[0])
    other = (lambda: models.deconvnet(3, 2, 16, fc=5, stages=2), 16)
    monkeypatch.setitem(inference.NETWORKS, "other", other)
    with pytest.raises(BenchmarkError, match="small: folded gives other scores"):
        inference.measure("small", 1, OURS)
