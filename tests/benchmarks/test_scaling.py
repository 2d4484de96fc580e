"""``python -m benchmarks.scaling``: the arithmetic of the model, and the program."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import scaling
from benchmarks.scaling_model import SIZES, Cluster
from benchmarks.scaling_model import scaling as rows_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "engine" / "scaling_results.md"


def test_a_sum_takes_as_long_as_its_bytes_need():
    cluster = Cluster(gpus=4, nvlink=100.0, network=10.0, nvlink_latency=0, network_latency=0)
    assert cluster.all_reduce(400, 1) == 0
    assert cluster.all_reduce(400, 2) == pytest.approx(2 * 200 / 100)
    assert cluster.all_reduce(400, 4) == pytest.approx(2 * 3 * 100 / 100)
    # Two nodes: inside as before; then 100 bytes of each GPU, half of them sent twice.
    assert cluster.all_reduce(400, 8) == pytest.approx(6 + 2 * 50 / 10)
    assert cluster.all_gather(30, 4) == pytest.approx(3 * 30 / 100)
    assert cluster.all_gather(30, 8) == pytest.approx(7 * 30 / 40)


def test_latencies_count_hops():
    cluster = Cluster(nvlink_latency=1, network_latency=100)
    assert cluster.all_reduce(0, 8) == 14
    assert cluster.all_reduce(0, 64) == 14 + 6 * 100  # a tree of eight nodes
    assert cluster.all_gather(0, 64) == 56 + 7 * 100


def test_efficiency_falls_with_the_number_of_gpus():
    for precision in ("fp32", "tf32", "bf16"):
        rows = rows_of(precision)
        assert rows[0].efficiency() == 1
        for hidden in (False, True):
            values = [row.efficiency(hidden) for row in rows]
            assert values == sorted(values, reverse=True)
        assert all(row.efficiency(True) >= row.efficiency() for row in rows)
    assert tuple(row.n for row in rows) == SIZES


def test_the_page_is_made_from_the_stored_file(tmp_path, capsys):
    assert scaling.main(["table", "--page", str(tmp_path / "page.md")]) == 0
    made = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert made == PAGE.read_text(encoding="utf-8"), "python -m benchmarks.scaling table --page ..."
    assert scaling.main(["table"]) == 0
    assert capsys.readouterr().out == made
    with pytest.raises(scaling.UsageError, match="cannot be read"):
        scaling.main(["table", "--out", str(tmp_path / "none.json")])


@pytest.mark.slow
def test_one_process_measures(capsys, monkeypatch, net):
    monkeypatch.setattr(scaling, "SMALL", replace(net, num_classes=21))
    monkeypatch.setattr(scaling, "BYTES", scaling.BYTES[:3])
    assert scaling.main(["work", "--steps", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["processes"] == 1
    assert len(found["step_seconds"]) == len(found["communication_seconds"]) == 1


def test_the_picture_is_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install minideconv[viz]")
    assert scaling.main(["model", "--plot", str(tmp_path / "a.png")]) == 0
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_without_mpiexec_the_error_names_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(scaling.shutil, "which", lambda *arguments, **keywords: None)
    with pytest.raises(scaling.UsageError, match="pip install mpi4py mpich"):
        scaling.main(["measure", "--out", str(tmp_path / "a.json")])
