"""What a run prints of its metrics, and which validation is the best."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from minideconv.tasks import Segmentation
from minideconv.training.meters import LossMeter
from minideconv.training.run.journal import Journal, RunProgress
from minideconv.training.run.progress import Progress

pytestmark = pytest.mark.cpu


@pytest.fixture
def shown():
    return []


@pytest.fixture
def journal(shown):
    show = Progress(quiet=True)
    show.step = show.message = shown.append
    return Journal(SimpleNamespace(epochs=4, steps=20), Segmentation("ab"), 10, None, show)


def stage():
    metrics = Segmentation("ab").metrics()
    metrics.counts[0, 0] = 3
    planned = SimpleNamespace(steps_per_epoch=5)
    return SimpleNamespace(name="whole", planned=planned, loss=LossMeter(), metrics=metrics, lr=0.1)


def test_a_step_shows_the_metric_without_the_remark_of_a_validation(journal, shown):
    journal.progress.step = 1
    journal.step(stage(), 4)
    assert shown[0].metric() == "IoU 1.000"


def test_an_epoch_keeps_some_of_the_metrics(journal):
    line = journal.epoch_line(stage(), {})
    assert line["train"] == {"loss": None, "pixel_accuracy": 1.0, "mean_iou": 1.0}


def test_the_best_is_the_first_of_equals(journal, shown):
    found = []
    for iou in (0.5, 0.4, 0.5, 0.6):
        line = journal.epoch_line(stage(), {})
        line["val"] = {"loss": 1.0, "mean_iou": iou, "classes_in_truth": 1 + (iou > 0.4)}
        found.append(journal.finish_epoch(stage(), line))
    assert found == [True, False, False, True]
    assert (journal.progress.best, journal.progress.best_epoch) == (0.6, 4)
    assert shown[0].startswith(
        "epoch 1/4 (stage whole)  loss -  train IoU 1.000  val loss 1.0000  val IoU 0.500  "
        "best so far  (waited "
    )
    assert "val IoU 0.400 (of one class)  (waited" in shown[1]
    assert "best so far" not in shown[2]


def test_the_epoch_of_a_step_that_is_not_finite(journal):
    """Its epoch is over when its weights are saved: the next one may not exist."""
    journal.progress.step = journal.progress.epoch_step = 4
    assert "at step 4 (epoch 1) with" in str(journal.not_finite("a value", 4, 0.1))
    assert "at step 5 (epoch 1) with" in str(journal.not_finite("the loss", 5, 0.1))
    journal.progress.step = 5
    journal.finish_epoch(stage(), journal.epoch_line(stage(), {}))
    assert "at step 5 (epoch 1) with" in str(journal.not_finite("a value", 5, 0.1))
    assert "at step 6 (epoch 2) with" in str(journal.not_finite("the loss", 6, 0.1))


@pytest.mark.parametrize(("before", "best"), [(-1.0, None), (0.0, 0.0), (0.7, 0.7)])
def test_the_progress_of_an_old_checkpoint(before, best):
    values = {"epoch": 2, "step": 9, "best_mean_iou": before, "best_epoch": 1}
    assert RunProgress.from_dict(values) == RunProgress(epoch=2, step=9, best=best, best_epoch=1)
    assert values["best_mean_iou"] == before
