"""The benchmark for a GPU runs from end to end, at sizes that mean nothing, and stores its page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from minideconv.settings.command_line import run_program

ROOT = Path(__file__).parents[2]


@pytest.fixture
def gpu_benchmark(cupy_device, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    import benchmarks.gpu

    return benchmarks.gpu


def test_every_section_is_measured_and_stored(gpu_benchmark, tmp_path):
    out = tmp_path / "gpu.json"
    assert gpu_benchmark.main(["--tiny", "--out", str(out)]) == 0
    results = json.loads(out.read_text())
    assert list(results["sections"]) == list(gpu_benchmark.SECTIONS)
    assert all(results["sections"].values())
    layers = results["sections"]["layers"]
    assert {row["precision"] for row in layers} == set(gpu_benchmark.PRECISIONS)
    assert any(name.startswith("implicit_gemm") for row in layers for name in row["ms"])
    assert all(row["ms"]["ours"] > 0 for row in layers)
    (agreement,) = results["sections"]["agreement"]
    assert agreement["losses"] > 1
    assert agreement["first_apart"] < 1e-5
    page = out.with_suffix(".md").read_text()
    assert "## Convolutions" in page
    assert "| conv1_1, conv1_2 |" in page or "| conv1_1 |" in page


def test_a_step_is_profiled(gpu_benchmark, capsys):
    from benchmarks import gpu_profile

    assert gpu_profile.main(["--tiny"]) == 0
    printed = capsys.readouterr().out
    assert "a step: the host launches it in " in printed
    assert "kernels" in printed


def test_a_section_that_is_not_there(gpu_benchmark, capsys):
    assert run_program("benchmarks.gpu", gpu_benchmark.main, ["--only", "lyers"]) == 2
    assert "there is no such section; use rates, training" in capsys.readouterr().err


def test_without_a_gpu_it_is_an_error(gpu):
    if gpu.kind != "hostshim":
        pytest.skip("there is a GPU, or something that looks like one")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "this measures a GPU: " in done.stderr
    assert "Traceback" not in done.stderr
