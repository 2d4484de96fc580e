"""The convolutions of section `strided`: their shapes, what is counted, and that all agree."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks import store, strided, tables
from benchmarks.columns import floor_ms
from benchmarks.geometries import GEOMETRIES, QUICK_GEOMETRIES, Geometry
from benchmarks.modes import BenchmarkError, available
from benchmarks.plans import FULL
from minideconv import ops

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "strided.json"
SMALL = [
    Geometry("conv", False, 6, 4, 9, 5, 0.9, stride=2, padding=1, dilation=2, groups=2, batch=2),
    Geometry("transposed", True, 6, 4, 5, 3, 0.8, stride=2, padding=1, output_padding=1, batch=2),
    Geometry("depthwise", False, 5, 5, 8, 3, 1.0, padding=1, groups=5, batch=1),
    Geometry("plain", False, 3, 4, 8, 3, 1.0, padding=1, batch=2, plain=True),
]


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="needs torch: pip install torch==2.13.0")


@pytest.mark.parametrize("geometry", [*SMALL, *QUICK_GEOMETRIES], ids=str)
def test_shapes_are_those_of_the_operation(geometry):
    x, w = np.zeros(geometry.x_shape, np.float32), np.zeros(geometry.w_shape, np.float32)
    options = {n: getattr(geometry, n) for n in ("stride", "padding", "dilation", "groups")}
    if geometry.transposed:
        y = ops.conv_transpose2d(x, w, output_padding=geometry.output_padding, **options)
    else:
        y = ops.conv2d(x, w, **options)
    assert y.shape == geometry.y_shape


def test_operations_are_counted_as_the_sum_is_written():
    conv, transposed, depthwise, _ = SMALL
    assert conv.out_size == 2
    assert conv.flop == 2 * 2 * 4 * 2**2 * (6 // 2) * 25  # per output pixel: C/g k k
    assert transposed.flop == 2 * 2 * 6 * 5**2 * 4 * 9  # per input pixel: C k k
    assert depthwise.flop == 2 * 5 * 8**2 * 9


def test_the_rows_are_those_that_were_asked_for():
    rows = {str(g): g.goal for g in GEOMETRIES}
    assert rows == {
        "64 -> 64, 4x4 s2 p1, 56x56, N=4": 0.8,
        "128 -> 64, 3x3 s2 p1 op1, 28x28, N=4": 0.8,
        "256 -> 128, 2x2 s2, 28x28, N=4": 0.8,
        "21 -> 21, 16x16 s8 p4, 28x28, N=4": 0.7,
        "21 -> 21, 64x64 s32 p16, 7x7, N=4": 0.7,
        "64 -> 128, 3x3 s2 p1, 56x56, N=4": 0.9,
        "3 -> 64, 7x7 s2 p3, 224x224, N=4": 0.8,
        "256 -> 256, 3x3 p2 d2, 28x28, N=4": 0.8,
        "32 -> 64, 5x5 p2, 56x56, N=4": 0.9,
        "128 -> 128, 3x3 p1 g128, 56x56, N=4": 1.0,
        "128 -> 128, 3x3 p1 g4, 28x28, N=4": 1.0,
        "512 -> 512, 3x3 p1, 28x28, N=2": 0.5,
        "16 -> 16, 3x3 p1, 64x64, N=16": 1.0,
    }
    assert sum(g.transposed for g in GEOMETRIES) == 5
    assert len({g.name for g in GEOMETRIES}) == len(GEOMETRIES)


@pytest.mark.usefixtures("torch")
def test_every_row_has_times_floors_and_errors(tiny):
    rows = list(strided.rows(tiny, 1))
    assert [(row["name"], row["pass"]) for row in rows] == [
        ("transposed", "forward"),
        ("transposed", "forward + backward"),
        ("grouped", "forward"),
        ("grouped", "forward + backward"),
        ("plain", "forward + backward"),
        ("max-pool 2x2 with switches", "forward + backward"),
    ]
    contenders = {*available(("fast", "numpy")), "nchw", "channels_last"}
    for row in rows:
        assert row["times"].keys() == row["errors"].keys() == contenders
        assert all(0 <= error < 1e-5 for error in row["errors"].values()), row["errors"]
        assert floor_ms(row, {"multiply-add": 1.0, "read": 1.0}) > 0
    forward, both = rows[:2]
    assert both["flop"] == 3 * forward["flop"]
    assert forward["read"] == 4 * (2 * 6 * 25 + 6 * 4 * 16)
    assert forward["written"] == 4 * 2 * 4 * 100
    # x and w twice, dy; and y, dx and dW
    assert both["read"] == 2 * forward["read"] + forward["written"]
    assert both["written"] == forward["read"] + forward["written"]


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("geometry", SMALL, ids=lambda g: g.name)
def test_all_contenders_compute_the_same(geometry):
    reference = strided._reference(geometry)
    for name, calls in strided._calls(geometry).items():
        for which, call in calls.items():
            found = [strided._array(array) for array in call()]
            assert len(found) == len(reference[which]) == (1 if which == "forward" else 3)
            for array, exact in zip(found, reference[which], strict=True):
                assert array.shape == exact.shape, name
                np.testing.assert_allclose(array, exact, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("wrong", ["conv_transpose2d", "conv_transpose2d_backward"])
def test_a_wrong_result_is_not_timed(tiny, monkeypatch, wrong):
    right = getattr(ops, wrong)

    def broken(*arguments, **options):
        found = right(*arguments, **options)
        return 1.01 * found if wrong == "conv_transpose2d" else (found[0], 1.01 * found[1], None)

    monkeypatch.setattr(ops, wrong, broken)
    with pytest.raises(BenchmarkError, match=r"transposed, forward.*: differs from PyTorch"):
        list(strided.rows(tiny, 1))


def test_errors_are_the_largest_difference_over_the_root_mean_square():
    exact = [np.array([3.0, -4.0]), np.array([1.0, 1.0])]
    assert strided.errors((np.array([3.0, -4.0]), np.array([1.0, 1.0])), exact) == 0
    found = strided.errors((np.array([3.5, -4.0]), np.array([1.0, 1.1])), exact)
    assert found == pytest.approx(0.5 / math.sqrt(12.5), rel=0.05)
    assert math.isnan(strided.errors((np.array([3.0, np.nan]), exact[1]), exact))


def test_the_stored_results_have_every_row():
    if not RESULTS.exists():
        pytest.skip(f"{RESULTS.name} has not been measured yet")
    results = store.load(RESULTS)
    assert not any(record["quick"] for record in results["records"])
    assert store.threads_of(results, "strided") == store.threads_of(results, "networks") == [1, 2]
    passes = {(g.name, p) for g in GEOMETRIES for p in strided.PASSES if not g.plain or "+" in p}
    for threads in (1, 2):
        found = {(row["name"], row["pass"]) for row in store.rows_of(results, "strided", threads)}
        assert passes < found
        networks = store.rows_of(results, "networks", threads)
        assert {(w.name, w.what) for w in FULL.wholes} <= {(r["name"], r["pass"]) for r in networks}
        assert store.floors(results, threads)
    peers = {row["peer"] for row in store.rows_of(results, "systems", 1)}
    assert peers == {"pydensecrf2", "sporco", "OpenCV", "Pillow"}
    assert "NumPy alone" in tables.body(results)
