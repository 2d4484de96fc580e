"""Section `systems`: each loop does what the other program does, and a difference is noticed."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np
import pytest

from benchmarks import cpu, systems
from benchmarks.modes import BenchmarkError, available
from benchmarks.systems import check_equal, check_fit, check_near, pairs

OPENCV = importlib.util.find_spec("cv2") is not None


def test_every_pair_does_the_same(tmp_path):
    names = []
    for pair in pairs((90, 120), tmp_path):
        pair.check(pair.name, pair.ours(), pair.theirs())
        names.append((pair.name, pair.peer))
    assert {
        ("crop and resize", "Pillow"),
        ("resize", "Pillow"),
        ("read a photograph (JPEG)", "Pillow"),
        ("read labels (palette PNG)", "Pillow"),
    } <= set(names)
    assert ("resize labels", "OpenCV") in names or not OPENCV
    assert len(set(names)) == len(names)


def test_a_row_for_every_program_that_is_there(tiny):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sporco's
        rows = list(systems.rows(tiny, 1))
    peers = {row["peer"] for row in rows}
    modules = {"pydensecrf": "pydensecrf2", "sporco": "sporco"}
    compiled = bool(available(("fast",)))
    for module, peer in modules.items():
        assert (peer in peers) == (compiled and importlib.util.find_spec(module) is not None)
    assert ("OpenCV" in peers) == OPENCV
    assert "Pillow" in peers
    for row in rows:
        assert row["times"].keys() == {"fast", "peer"}
        assert all(time["ms"] > 0 for time in row["times"].values())


def test_it_is_measured_with_one_thread_only(tiny, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setitem(cpu.SECTIONS, "systems", lambda plan, threads: asked.append(threads) or [])
    monkeypatch.setattr(cpu, "set_threads", lambda threads: None)
    cpu.run(tiny, [1, 2], ["systems"], tmp_path / "a.json", quick=True)
    cpu.run(tiny, [2], ["systems"], tmp_path / "b.json", quick=True)
    assert asked == [1]


def test_other_pixels_are_noticed():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    check_equal("a", pixels, pixels.copy())
    check_near("a", pixels, pixels + np.uint8(1))
    for check, other in (
        (check_equal, pixels + np.uint8(1)),
        (check_near, pixels + np.uint8(2)),
        (check_near, pixels.T),
    ):
        with pytest.raises(BenchmarkError, match="a makes other pixels"):
            check("a", pixels, other)


def test_other_boxes_are_noticed():
    boxes = np.array([[0, 0, 9, 9], [20, 20, 39, 29]])
    check_fit("a", boxes, boxes + 1)
    with pytest.raises(BenchmarkError, match=r"a finds other boxes: 0.00 of its best"):
        check_fit("a", boxes, boxes + 60)
