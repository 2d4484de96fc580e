"""Goals judged from made-up results: what is met, missed, beyond or absent, and wrong files."""

from __future__ import annotations

import json

import pytest

from benchmarks import store, tables
from benchmarks.columns import floor_ms
from benchmarks.goals import GOALS, evaluate
from minideconv.errors import UsageError

MACHINE = {
    "cpu": "Made-up processor",
    "family": "1 2 3",
    "cores": 2,
    "vectors": ["avx2"],
    "caches": {"L1d": "32K"},
    "memory_gib": 8,
    "system": "Linux x86_64",
}


def times(**milliseconds):
    return {
        name: {"ms": ms, "cpu_ms": ms, "wall_ms": ms, "quiet": 7, "samples": 7, "trusted": True}
        for name, ms in milliseconds.items()
    }


def record(section, rows, threads=1, quick=False):
    return {
        "section": section,
        "threads": threads,
        "date": "2026-01-02T03:04+00:00",
        "seconds": 1.0,
        "rounds": 7,
        "quick": quick,
        "commit": "abc",
        "versions": {"numpy": "2.0"},
        "rows": rows,
    }


def conv(name, which, ours, nchw, channels_last, channels=256, size=56):
    return {
        "group": "DeconvNet, 224 px, batch 2",
        "name": name,
        "pass": which,
        "shape": "made up",
        "kernel": 3,
        "channels": channels,
        "map": size,
        "flop": 4_000_000,
        "read": 1_000_000,
        "written": 1_000_000,
        "algorithms": {"fast": "winograd 4x4"},
        "times": times(fast=ours, nchw=nchw, channels_last=channels_last),
    }


def step(batch=2, peak=None, **milliseconds):
    row = {
        "name": "DeconvNet",
        "batch": batch,
        "input_size": 224,
        "width": 64,
        "parameters": 1,
        "times": times(**milliseconds),
    }
    return row | ({"peak_gib": peak} if peak else {})


def results(*records):
    made = store.new(MACHINE)
    for one in records:
        store.merge(made, one)
    return made


def verdict(made, name, threads=1):
    (found,) = [v for v in evaluate(made) if v.goal.name == name and v.threads == threads]
    return found


def test_every_row_of_the_projects_table_is_a_goal():
    limits = {goal.name: (goal.goal, goal.beyond) for goal in GOALS}
    assert len(limits) == len(GOALS)
    assert limits["DeconvNet's step, batch 8, compiled / PyTorch tuned"] == (0.62, 0.52)
    assert limits["DeconvNet's step, batch 2, NumPy only / PyTorch default"] == (0.58, 0.5)
    assert limits["3x3, 64 channels at 224: weight gradient"] == (0.75, 0.6)
    assert limits["BN + ReLU backward"] == (0.8, None)
    assert all(beyond is None or beyond < goal for goal, beyond in limits.values())


def test_the_step_is_compared_with_default_nchw_and_the_better_tuned_one():
    row = step(
        fast=20.0,
        default_nchw=100.0,
        default_channels_last=50.0,
        tuned_nchw=60.0,
        tuned_channels_last=40.0,
    )
    made = results(record("steps", [row, step(batch=8, fast=30.0, default_nchw=100.0)]))
    default = verdict(made, "DeconvNet's step, batch 2, compiled / PyTorch default")
    assert (default.measured, default.verdict) == (0.2, "beyond")
    tuned = verdict(made, "DeconvNet's step, batch 2, compiled / PyTorch tuned")
    assert (tuned.measured, tuned.verdict) == (0.5, "beyond")
    eight = verdict(made, "DeconvNet's step, batch 8, compiled / PyTorch default")
    assert (eight.measured, eight.verdict) == (0.3, "missed")
    eight_tuned = verdict(made, "DeconvNet's step, batch 8, compiled / PyTorch tuned")
    assert (eight_tuned.measured, eight_tuned.verdict) == (None, "not measured")
    without_numba = verdict(made, "DeconvNet's step, batch 2, NumPy only / PyTorch default")
    assert without_numba.verdict == "not measured"


def test_the_worst_layer_decides_against_the_better_layout():
    rows = [
        conv("conv3_2", "forward", 5.0, 10.0, 40.0),  # 0.5
        conv("conv4_2", "forward", 5.0, 20.0, 8.0, size=28),  # 0.625
        conv("conv5_1", "forward", 90.0, 1.0, 1.0, size=14),  # too small a map to count
        conv("conv2_1", "forward", 90.0, 1.0, 1.0, channels=64, size=112),  # too few channels
        conv("conv3_2", "input gradient", 4.0, 10.0, 10.0),
    ]
    made = results(record("conv", rows))
    forward = verdict(made, "3x3, >= 256 channels, map >= 28: forward")
    assert (forward.measured, forward.worst) == (0.625, "conv4_2")
    assert forward.verdict == "missed (1 of 2 meet it)"
    assert verdict(made, "3x3, >= 256 channels, map >= 28: input gradient").verdict == "beyond"
    assert verdict(made, "3x3, 64 channels at 224: forward").verdict == "not measured"


def test_memory_ops_count_at_the_papers_shapes_only():
    rows = [
        {"name": "pool", "shape": shape, "times": times(fast=ours, nchw=9.0, channels_last=10.0)}
        for shape, ours in (("2x64x224x224", 4.0), ("8x16x48x48", 9.0))
    ]
    pool = verdict(results(record("memory", rows)), "pool")
    assert pool.measured == pytest.approx(4 / 9)
    assert pool.verdict == "met"


def test_optimisers_and_peak_memory():
    sgd = {"name": "SGD", "what": "large arrays", "times": times(fast=3.0, torch_fused=2.0)}
    peaks = step(fast=1.0, default_nchw=1.0, peak={"fast": 3.0, "default_nchw": 4.0})
    made = results(record("optim", [sgd]), record("steps", [peaks]))
    assert verdict(made, "SGD / PyTorch fused").verdict == "missed"
    peak = verdict(made, "peak memory of DeconvNet's step, batch 2 / PyTorch default")
    assert (peak.measured, peak.verdict) == (0.75, "beyond")


def strided(name, which, ours, nchw, channels_last, numpy=None):
    found = times(fast=ours, nchw=nchw, channels_last=channels_last)
    return {
        "name": name,
        "pass": which,
        "shape": "made up",
        "goal": 0.8,
        "flop": 4_000_000,
        "read": 1_000_000,
        "written": 1_000_000,
        "algorithms": {"fast": "phases", "numpy": "subpixel"},
        "errors": {"fast": 2e-6, "numpy": 1e-6, "nchw": 3e-6},
        "times": found | (times(numpy=numpy) if numpy else {}),
    }


def test_every_strided_convolution_is_judged_in_both_passes():
    rows = [
        strided("transposed 4x4 s2", "forward", 7.0, 10.0, 20.0),
        strided("transposed 4x4 s2", "forward + backward", 9.0, 20.0, 10.0),
        strided("5x5", "forward", 8.0, 10.0, 20.0),
    ]
    made = results(record("strided", rows))
    transposed = verdict(made, "transposed 4x4 s2 / PyTorch's better layout")
    assert (transposed.measured, transposed.worst) == (0.9, "forward + backward")
    assert transposed.verdict == "missed (1 of 2 meet it)"
    assert verdict(made, "5x5 / PyTorch's better layout").verdict == "met"
    assert verdict(made, "7x7 s2 / PyTorch's better layout").verdict == "not measured"


def test_the_page_has_numpy_alone_with_its_worst_row_first():
    rows = [
        strided("transposed 4x4 s2", "forward", 7.0, 10.0, 20.0, numpy=11.0),
        strided("5x5", "forward", 8.0, 10.0, 20.0, numpy=30.0),
        strided("7x7 s2", "forward", 8.0, 10.0, 20.0),
    ]
    page = tables.render(results(record("strided", rows)))
    ours, numpy = page.split("NumPy alone")
    assert [line.split(" | ")[0] for line in numpy.splitlines() if " forward " in line] == [
        "| 5x5", "| transposed 4x4 s2",
    ]  # fmt: skip
    assert "subpixel" in numpy
    assert "phases" in ours
    assert "| 3.00 | 0.80 |" in numpy  # its ratio to the better layout, and the goal
    assert "| 0.80 | 0.80 |" in ours
    assert "2e-06 | 3e-06" in ours
    assert "1e-06 | 3e-06" in numpy


def network(which, name="default network", **milliseconds):
    return {
        "name": name,
        "pass": which,
        "batch": 1,
        "input_size": 48,
        "parameters": 1,
        "times": times(**milliseconds),
    }


def test_the_default_network_is_judged_by_its_plan_where_there_is_one():
    peers = {"onnxruntime": 1.0, "compile": 2.0}
    other = network("inference", "FCN-8s", fast=9.0, **peers)
    planned = network("inference", plan=0.9, fast=3.0, **peers)
    made = results(record("networks", [network("inference", fast=3.0, **peers), other]))
    assert verdict(made, "default network, one image / ONNX Runtime").measured == 3.0
    assert verdict(made, "default network, one image / torch.compile").measured == 1.5
    made = results(record("networks", [other, planned]))
    assert verdict(made, "default network, one image / ONNX Runtime").verdict == "met"
    assert verdict(made, "default network, one image / torch.compile").measured == 0.45


def test_a_second_thread_is_judged_where_it_was_used():
    row = network("training step, 2 threads and one", fast=7.0, fast_one=10.0)
    made = results(record("networks", [], 1), record("networks", [row], 2))
    name = "default network's step, all threads / one"
    assert verdict(made, name, 1).verdict == "not measured"
    assert (verdict(made, name, 2).measured, verdict(made, name, 2).verdict) == (0.7, "missed")


def test_the_page_has_the_goals_of_its_sections_alone():
    made = results(record("networks", [network("inference", fast=3.0, onnxruntime=1.0)]))
    page = tables.render(made)
    assert "| default network, one image / ONNX Runtime | 1.00 | - | 1 | 3.00 |" in page
    assert "| default network, one image / torch.compile | 0.80 | - | - | - |" in page
    assert "BN + ReLU" not in page
    assert page == f"# CPU results\n\n{tables.body(made)}"


def test_each_number_of_threads_is_judged_by_itself():
    slow, fast = step(fast=50.0, default_nchw=100.0), step(fast=10.0, default_nchw=100.0)
    made = results(record("steps", [slow], 1), record("steps", [fast], 2))
    name = "DeconvNet's step, batch 2, compiled / PyTorch default"
    assert verdict(made, name, 1).verdict == "missed"
    assert verdict(made, name, 2).verdict == "beyond"


def test_what_others_disturbed_meets_no_goal():
    row = step(fast=10.0, default_nchw=100.0, tuned_nchw=100.0, exact=1.0)
    for name in ("default_nchw", "exact"):  # no goal is about exact
        row["times"][name]["trusted"] = False
    made = results(record("steps", [row], 2))
    found = verdict(made, "DeconvNet's step, batch 2, compiled / PyTorch default", 2)
    assert (found.measured, found.verdict) == (0.1, "disturbed")
    tuned = verdict(made, "DeconvNet's step, batch 2, compiled / PyTorch tuned", 2)
    assert tuned.verdict == "beyond"
    page = tables.render(made)
    assert "| 100 ? |" in page
    assert "**disturbed**" in page


def test_no_results_meet_no_goal():
    assert {v.verdict for v in evaluate(results())} == {"not measured"}


# ---------------------------------------------------------------------------------------------
# The file and the page


def test_a_section_measured_again_replaces_only_itself(tmp_path):
    made = results(record("steps", [step(fast=1.0)]), record("conv", []), record("steps", [], 2))
    store.merge(made, record("steps", [step(fast=2.0)]))
    path = tmp_path / "results.json"
    store.save(path, made)
    again = store.load(path)
    assert again == json.loads(json.dumps(made))
    assert [row["times"]["fast"]["ms"] for row in store.rows_of(again, "steps", 1)] == [2.0]
    assert store.threads_of(again, "steps") == [1, 2]
    assert store.record_of(again, "conv", 1) is not None


def test_the_page_shows_goals_floors_and_a_missed_goal_in_bold(tmp_path):
    rates = [
        {"name": "multiply-add", "rate": 2.0, "unit": "GF/s"},
        {"name": "copy (read + write)", "rate": 8.0, "unit": "GB/s"},
    ]
    row = conv("conv3_2", "forward", 4.0, 8.0, 6.0)
    made = results(record("floors", rates), record("conv", [row]))
    page = tables.render(made)
    line = next(line for line in page.splitlines() if line.startswith("| 3x3, >= 256"))
    assert "0.67" in line
    assert "**missed**" in line
    # 4 million operations at 2 billion a second: 2 ms; 2 MB at 8 GB/s take 0.25 ms
    assert floor_ms(row, store.floors(made, 1)) == pytest.approx(2.0)
    layer = next(line for line in page.splitlines() if line.startswith("| conv3_2"))
    assert [cell.strip() for cell in layer.split("|")][-4:-1] == ["2", "2.00", "21/21"]
    assert "quick run" not in page
    assert "quick run" in tables.render(results(record("conv", [row], quick=True)))


def test_a_floor_needs_both_rates():
    assert floor_ms(conv("a", "forward", 1.0, 1.0, 1.0), {"multiply-add": 1.0}) is None


@pytest.mark.parametrize("number", [0, -1.0, None, "3", float("nan")])
def test_times_that_cannot_be_are_refused(tmp_path, number):
    made = results(record("steps", [step(fast=1.0)]))
    made["records"][0]["rows"][0]["times"]["fast"]["ms"] = number
    path = tmp_path / "results.json"
    path.write_text(json.dumps(made))
    with pytest.raises(UsageError, match=r"rows\[0\].times.fast.ms is .*; it must be"):
        store.load(path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("{", "is no JSON"), ("[]", "is no results file"), ('{"format": 99}', "is no results file")],
)
def test_other_files_are_refused(tmp_path, text, complaint):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=complaint):
        store.load(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        store.load(tmp_path / "none.json")
