"""The interface's own behaviour: names, what is better, and an evaluation image by image."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minideconv import Tensor, tasks, train
from minideconv.data.transforms import Normalize
from minideconv.errors import UsageError
from minideconv.segmentation import ConfusionMatrix
from minideconv.settings.run import TASKS
from minideconv.tasks import MainMetric, Segmentation, Task
from minideconv.training import Trainer
from minideconv.training.config import TrainConfig
from minideconv.visualize.html import read_templates

pytestmark = pytest.mark.cpu


class Sums:
    def __init__(self):
        self.counts = np.zeros(2)

    def compute(self):
        return {"mean": self.counts[0] / self.counts[1] if self.counts[1] else None}


class Brightness(Task):
    """The mean of the outputs, with a weight of one for each row of the target."""

    name = "brightness"
    main_metric = MainMetric("mean", "brightness", "mean brightness", higher_is_better=False)
    outputs = 1

    def weight(self, targets):
        return targets.shape[1]

    def loss(self, outputs, inputs, targets):
        return (outputs - Tensor(inputs[:, :1])).mean()

    def metrics(self):
        return Sums()

    def count(self, counts, outputs, inputs, targets):
        counts += outputs.sum(), outputs.size

    def predict(self, predictor, image):
        return [b""], ""


def test_a_task_is_found_by_its_name(monkeypatch):
    monkeypatch.setattr("minideconv.tasks.registry._TASKS", {"segmentation": Segmentation})
    monkeypatch.setattr("minideconv.tasks.registry.TASKS", names := ["segmentation"])
    assert tasks.of_config({}) is tasks.get("segmentation") is Segmentation
    kind = tasks.register("brighter")(type("Brighter", (Brightness,), {}))
    assert kind.name == "brighter"
    assert tasks.of_config({"task": "brighter"}) is kind
    tasks.register("brighter")(kind)  # a notebook's cell that runs again
    assert names == ["segmentation", "brighter"]
    with pytest.raises(ValueError, match=r"'segmentation' is already minideconv\.tasks"):
        tasks.register("segmentation")(kind)
    assert tasks.get("segmentation") is Segmentation
    assert kind.name == "brighter"
    with pytest.raises(
        UsageError, match=r"no task is called 'x'; there are brighter, segmentation"
    ):
        tasks.get("x")


def test_a_name_that_is_no_task_is_one_sentence(tmp_path, capsys):
    assert train.main(["--task", "sleep", f"--output-dir={tmp_path / 'run'}"]) == 2
    error = capsys.readouterr().err
    assert "--task is 'sleep'; it must be one of segmentation" in error
    assert len(error.splitlines()) == 1
    TASKS.append("sleep")
    try:
        assert TrainConfig(task="sleep").task == "sleep"
        with pytest.raises(SystemExit):
            train.main(["--help"])
        assert "|sleep" in capsys.readouterr().out
    finally:
        TASKS.remove("sleep")


@pytest.mark.parametrize(
    ("task", "found", "best", "better"),
    [
        (Brightness(), 0.5, None, True),
        (Brightness(), 0.5, 0.6, True),
        (Brightness(), 0.6, 0.5, False),
        (Brightness(), 0.5, 0.5, False),  # the first of equals stays
        (Brightness(), None, None, False),
        (Brightness(), None, 0.5, False),
        (Segmentation("ab"), 0.6, 0.5, True),
        (Segmentation("ab"), 0.5, 0.6, False),
        (Segmentation("ab"), 0.5, 0.5, False),
        (Segmentation("ab"), 0.0, None, True),
        (Segmentation("ab"), None, -1.0, False),
    ],
)
def test_which_result_is_better(task, found, best, better):
    assert task.is_better({task.main_metric.key: found}, best) is better


def test_how_results_are_shown():
    assert Brightness().format_metric({"mean": 0.12345}) == "brightness 0.123"
    assert Brightness().format_metric({"mean": None}) == "brightness -"
    found = {"mean_iou": 0.5, "classes_in_truth": 1}
    assert Segmentation("ab").format_metric(found) == "IoU 0.500 (of one class)"
    assert Segmentation("ab").format_metric({**found, "classes_in_truth": 2}) == "IoU 0.500"
    sums = Sums()
    sums.counts[:] = 1.0, 4.0
    table = Brightness().table({"val": sums, "train": Sums()})
    assert [line.split() for line in table.splitlines()] == [
        ["val", "train"],
        ["mean", "0.250", "-"],
    ]


def test_a_stage_that_a_task_has_not():
    with pytest.raises(UsageError, match="stage is '1'; with the task brightness it must be whole"):
        Brightness().samples(TrainConfig(stage="1"), [], "1")
    assert Brightness().samples(TrainConfig(), [1], "whole") == [1]


class Images(list):
    """Images of several sizes, of one brightness each, with their labels."""

    classes = ("a", "b")


DATA = Images(
    (np.full((height, width, 3), 10 * height, np.uint8), np.full((height, width), label, np.uint8))
    for height, width, label in ((2, 3, 0), (4, 1, 1), (5, 6, 255))
)


class Maps:
    """A predictor whose maps are chosen by the test."""

    def __init__(self, channels):
        self.channels = channels

    def scores_of(self, images):
        for image in images:
            shape = (len(self.channels), *image.shape[:2])
            yield np.broadcast_to(np.array(self.channels, np.float32)[:, None, None], shape)


def test_an_evaluation_adds_up_images_of_all_sizes():
    task, seen = Brightness(Normalize((0.0, 0.0, 0.0), 10.0)), []
    metrics, loss, weight = task.evaluate(
        Maps([7.0]), DATA, [0, 2], lambda done, total: seen.append((done, total))
    )
    assert seen == [(0, 2), (1, 2)]
    assert metrics.counts.tolist() == [7.0 * 36, 36]
    assert weight == 2 + 5
    assert loss == pytest.approx((7 - 2) * 2 + (7 - 5) * 5)
    assert task.evaluate(Maps([7.0]), DATA, [])[1:] == (0.0, 0)


def test_an_evaluation_of_a_segmentation_leaves_out_void_pixels():
    metrics, loss, pixels = Segmentation("ab", label_smoothing=0.5).evaluate(
        Maps([0.0, 1.0]), DATA, [0, 1, 2]
    )
    assert isinstance(metrics, ConfusionMatrix)
    assert metrics.counts.tolist() == [[0, 6], [0, 4]]
    assert pixels == 10
    log_sum = math.log(1 + math.e)  # the loss of a validation is not smoothed
    assert loss == pytest.approx(6 * log_sum + 4 * (log_sum - 1), rel=1e-6)


def test_a_segmentation_weighs_pixels_that_count_and_refuses_wrong_labels():
    task = Segmentation("abc")
    labels = np.array([[[0, 1, 2], [255, 255, 0]]], np.uint8)
    assert task.weight(labels) == 4
    task.check(labels)
    with pytest.raises(ValueError, match=r"target has 1 labels? outside 0\.\.2"):
        task.check(labels + np.array([0, 0, 1], np.uint8))
    assert task.data_mismatch(DATA) == (
        "has 3 classes (a, b, c) but the data has 2 (a, b); they must be the same"
    )
    assert Segmentation("ab").data_mismatch(DATA) == ""


def test_templates_are_found_by_their_names(tmp_path):
    (tmp_path / "page.html").write_text("about it\n<!-- one -->\n<b>$x</b>\n<!-- two -->\n$x\n$y\n")
    found = read_templates(tmp_path / "page.html")
    assert found.keys() == {"one", "two"}
    assert found["one"].substitute(x=1) == "<b>1</b>"
    assert found["two"].substitute(x="$y", y=2) == "$y\n2"


def test_a_trainer_offers_what_its_task_calls_by_names_of_its_own():
    trainer = Trainer(TrainConfig(width=2, fc=4, train_images=8, device="cpu"))
    assert trainer.classes == trainer.task.classes
    assert trainer.segmenter().labels(np.zeros((20, 30, 3), np.uint8)).shape == (20, 30)
    with pytest.raises(AttributeError, match="Trainer has no attribute 'colours'"):
        trainer.colours  # noqa: B018 (reading it raises)
