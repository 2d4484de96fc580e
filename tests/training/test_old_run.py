"""A run folder written before there were tasks: everything that takes a run takes it still.

`old_run` was stopped after step 3 of 4, by the commit before `minideconv.tasks` was made.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from minideconv import data, evaluate, predict, report, train
from minideconv.training import load_checkpoint, save_checkpoint
from minideconv.visualize.boards import png_bytes

pytestmark = pytest.mark.cpu

# The epoch that it was stopped in, as that commit ended it without a stop.
TRAIN = {"loss": 1.6942527294158936, "pixel_accuracy": 0.61784, "mean_iou": 0.130638}
VAL = {"loss": 1.394124043615241, "pixel_accuracy": 0.690526, "mean_iou": 0.260396}


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(Path(__file__).parent / "old_run", folder)
    (folder / "pictures").mkdir()
    return folder


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_it_goes_on_where_it_stopped(run):
    assert load_checkpoint(run / "checkpoints" / "last.npz").header["progress"]["step"] == 3
    assert train.main(["--resume", str(run)]) == 0
    last = lines(run)[-1]
    assert last["step"] == 4
    # Half of the training figures are of the batch before the stop.
    assert {name: last["train"][name] for name in TRAIN} == pytest.approx(TRAIN, rel=1e-3)
    assert {name: last["val"][name] for name in VAL} == pytest.approx(VAL, rel=1e-3)
    progress = load_checkpoint(run / "checkpoints" / "last.npz").header["progress"]
    assert progress["best"] == last["val"]["mean_iou"]
    assert "best_mean_iou" not in progress


def test_a_worse_epoch_is_not_the_best(run):
    last = run / "checkpoints" / "last.npz"
    checkpoint = load_checkpoint(last)
    checkpoint.header["progress"]["best_mean_iou"] = 0.9
    save_checkpoint(last, checkpoint)
    best = run / "checkpoints" / "best.npz"
    save_checkpoint(best, checkpoint)
    before = best.read_bytes()
    assert train.main(["--resume", str(run)]) == 0
    progress = load_checkpoint(last).header["progress"]
    assert (progress["best"], progress["best_epoch"]) == (0.9, 1)
    assert best.read_bytes() == before


def test_a_best_epoch_that_is_not_there_is_not_the_best(run):
    last = run / "checkpoints" / "last.npz"
    checkpoint = load_checkpoint(last)
    checkpoint.header["progress"]["best_mean_iou"] = 0.9
    save_checkpoint(last, checkpoint)
    assert train.main(["--resume", str(run)]) == 0
    progress = load_checkpoint(run / "checkpoints" / "best.npz").header["progress"]
    assert progress["best_epoch"] == progress["epoch"] == 2
    log = (run / "log.txt").read_text(encoding="utf-8")
    assert "the best epoch, 1, is not there any more" in log
    assert "does not say on which images it was trained" in log


def test_its_network_is_evaluated_and_used(run, tmp_path, capsys):
    assert evaluate.main([str(run), "--json", str(tmp_path / "found")]) == 0
    assert json.loads((tmp_path / "found").read_text())["classes"][0] == "background"
    assert "mean IoU" in capsys.readouterr().out
    (tmp_path / "a.png").write_bytes(png_bytes(data.Shapes("val", size=20)[0][0]))
    out = tmp_path / "out"
    assert predict.main([str(run), str(tmp_path / "a.png"), "-o", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "a_overlay.png"]


def test_its_report_is_written_again(run):
    assert report.main([str(run)]) == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "stopped: 1 of 2 epochs" in page
    assert "The best validation IoU" not in page  # its file is not there
    (run / "checkpoints" / "last.npz").rename(run / "checkpoints" / "best.npz")
    assert report.main([str(run)]) == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "The best validation IoU of the run was 25.2 % after epoch 1" in page
    assert "<tr><td>task</td><td>segmentation</td></tr>" in page
