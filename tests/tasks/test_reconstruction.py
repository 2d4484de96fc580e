"""A task and a network of one's own, both in this file: the network draws its input once more."""

import json

import numpy as np
from device_tier import DEVICE

from minideconv import evaluate, models, nn, predict, report, tasks, train
from minideconv.backend import default_device, to_cpu
from minideconv.data import Shapes
from minideconv.data.pictures import read_image
from minideconv.visualize import boards, html


class Tiny(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))

    def config(self):  # the arguments with which a checkpoint builds it again
        return {}


class SquaredErrors:
    def __init__(self):
        self.counts = np.zeros(2)  # their sum, and how many they are

    def compute(self):
        return {"error": self.counts[0] / self.counts[1] if self.counts[1] else None}


@tasks.register("reconstruction")
class Reconstruction(tasks.Task):
    main_metric = tasks.MainMetric("error", "error", "mean squared error", higher_is_better=False)
    endings = ("_again.png",)
    outputs = 3

    def loss(self, outputs, inputs, targets):
        return ((outputs - inputs) ** 2).mean()

    def metrics(self):
        return SquaredErrors()

    def count(self, counts, outputs, inputs, targets):
        counts[0] += ((outputs - inputs) ** 2).sum()
        counts[1] += outputs.size

    def predict(self, predictor, image):
        again = self.normalize.undo(to_cpu(predictor.scores(image)))
        return [boards.png_bytes(again)], "drawn again"

    def draw_epoch(self, predictor, data, count, epoch, save):
        save("again.png", self.predict(predictor, data[0][0])[0][0])

    @classmethod
    def report(cls, record):
        return tasks.ReportSections(body=html.image(record.pictures / "again.png", "drawn again"))


def test_it_trains_evaluates_predicts_and_reports(own_networks, tmp_path, capsys):
    models.register("again")(Tiny)
    run, device = str(tmp_path / "run"), f"--device={'cpu' if DEVICE == 'cpu' else 'gpu'}"
    new = "--task=reconstruction --model=again --image-size=24 --input-size=16 --train-images=16"
    new += " --val-images=3 -b=4 --epochs=2 --optimizer=adamw --lr=0.02 --lr-schedule=plateau"
    (tmp_path / "picture.png").write_bytes(boards.png_bytes(Shapes("val", size=20)[0][0]))
    with default_device("cpu"):  # as a program begins
        assert train.main([*new.split(), device, f"--output-dir={run}"]) == 0
        assert train.main([f"--resume={run}", "--epochs=4"]) == 0
        assert evaluate.main([run, f"--json={tmp_path / 'found'}", device]) == 0
        assert predict.main([run, str(tmp_path / "picture.png"), f"-o={tmp_path}", device]) == 0
        assert report.main([run]) == 0
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    errors = [line["val"]["error"] for line in lines if line["kind"] == "epoch"]
    assert min(errors) < 0.5 * errors[0]
    assert json.loads((tmp_path / "found").read_text())["error"] == min(errors)  # of best.npz
    out = capsys.readouterr().out
    assert f"best validation error {min(errors):.3f}" in out
    assert ("graph: steps are recorded" in out) == (DEVICE != "cpu")  # so nothing waits in a step
    assert read_image(tmp_path / "picture_again.png").shape == (20, 20, 3)
    assert 'alt="drawn again"' in (tmp_path / "run/report.html").read_text(encoding="utf-8")
