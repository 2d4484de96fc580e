"""The benchmarks of the dense CRF and of proposals, at sizes that take seconds."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import crf, proposals
from benchmarks.crf_picture import picture
from minideconv import train
from minideconv.errors import DataError, UsageError
from minideconv.segmentation import ConfusionMatrix
from minideconv.training.run.evaluation_data import evaluation_data
from minideconv.training.run.trained import load_trained

pytestmark = pytest.mark.cpu


def test_both_crfs_are_timed_and_agree(capsys, monkeypatch):
    pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf2 is not installed")
    pytest.importorskip("numba", reason="numba is not installed (extra fast)")
    _, photograph = picture(30, 50)
    rows = crf.run({"photograph 1": photograph}, 1, (24, 37))
    assert [row["picture"] for row in rows] == ["drawn"] * 3 + ["photograph 1"] * 3
    assert all(row["mean_difference"] < 1e-5 for row in rows)
    assert all(row[who]["ms"] > 0 for row in rows for who in ("ours", "pydensecrf2"))
    assert capsys.readouterr().out.count("\n") == 6
    monkeypatch.setattr(crf, "TOLERANCE", -1.0)
    with pytest.raises(crf.BenchmarkError, match=r"drawn, 20 px.*: the mean difference of Q is"):
        crf.run({}, 1, (24, 37))


def test_stored_results_are_shown(tmp_path, capsys):
    path = crf.RESULTS
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert crf.main(["--table", str(path)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("|---") == 6
    assert stored["date"] in shown
    page = (path.parents[2] / "docs" / "crf.md").read_text(encoding="utf-8")
    assert shown in page, "docs/crf.md shows another table than python -m benchmarks.crf --table"
    for text, kind, message in (
        ("{}", DataError, "holds no results"),
        (None, UsageError, "No such"),
    ):
        other = tmp_path / "other.json"
        if text is not None:
            other.write_text(text)
        with pytest.raises(kind, match=message):
            crf.main(["--table", str(other if text is not None else tmp_path / "none.json")])
    with pytest.raises(UsageError, match="there is no folder"):
        crf.main(["--out", str(tmp_path / "no" / "crf.json")])


TINY = [
    *("--train-images", "4", "--val-images", "3", "--image-size", "32", "--difficulty", "easy"),
    *("--input-size", "16", "--width", "2", "--fc", "4", "--device", "cpu", "-b", "2"),
    *("--stage", "whole", "--epochs", "1", "--recalibrate", "1", "--images", "0", "-q"),
    *("--depth", "2", "--fc-kernel", "0"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("proposals") / "run"
    assert train.main([*TINY, "--output-dir", str(folder)]) == 0
    return folder


def test_the_curve_is_what_evaluate_would_find(run, tmp_path, capsys):
    out = tmp_path / "a.json"
    options = ["--by", "sliding-windows", "--counts", "4", "1", "--limit", "2"]
    assert proposals.main([str(run), *options, "--out", str(out)]) == 0
    assert "on 2 images of shapes val" in capsys.readouterr().out
    result = json.loads(out.read_text())
    [found] = result["curves"]
    assert [row["count"] for row in found["rows"]] == [1, 4]
    for row in found["rows"]:
        for join in ("max", "sum"):
            trained = load_trained(
                run, proposals=row["count"], proposals_by="sliding-windows", proposals_join=join
            )
            data, _ = evaluation_data(trained, "val", {})
            confusion = ConfusionMatrix(len(trained.task.classes))
            for index in (0, 2):
                image, truth = data[index]
                confusion.update(truth, trained.predictor.labels(image))
            assert row[join] == pytest.approx(confusion.mean_iou)
    assert 0 <= found["rows"][0]["recall"] <= found["rows"][1]["recall"] <= 1
    plain = load_trained(run).predictor
    pairs = [data[index] for index in (0, 2)]
    assert result["whole"] == proposals.whole(plain, pairs, len(trained.task.classes))


def test_the_curve_is_drawn(run, tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install minideconv[viz]")
    options = ["--by", "sliding-windows", "--counts", "1", "2", "--limit", "1"]
    assert proposals.main([str(run), *options, "--plot", str(tmp_path / "a.png")]) == 0
    assert (tmp_path / "a.png").stat().st_size > 5000
    with pytest.raises(UsageError, match=r"--plot .*: there is no folder"):
        proposals.main([str(run), *options, "--plot", str(tmp_path / "no" / "a.png")])


def test_more_windows_than_there_are(run):
    segmenter = load_trained(run).predictor
    image = np.full((16, 20, 3), 90, np.uint8)
    truth = np.zeros((16, 20), np.uint8)
    found = proposals.curve(segmenter, [(image, truth)], 5, "edge-boxes", [1, 30])
    assert found["windows"] == 1
    assert found["rows"][0]["max"] == found["rows"][1]["max"]
