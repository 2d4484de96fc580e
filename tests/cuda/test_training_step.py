"""A training step on a GPU: what it may not do, counted, and that a recorded one is the same step.

A step makes one copy from the host, its batch, and none back; it waits for nothing; and from the
third on it allocates nothing. The counters are fakecuda's, which counts CuPy's calls of CUDA.
"""

from __future__ import annotations

import gc

import numpy as np
import pytest

from minideconv import functional as F
from minideconv.backend.precisions import precision
from minideconv.engine.cuda import memory
from minideconv.engine.cuda.streams import computing_on
from minideconv.errors import TrainingError
from minideconv.tasks import Segmentation
from minideconv.training.config import TrainConfig
from minideconv.training.gpu import graphs
from minideconv.training.gpu import step as device_step
from minideconv.training.run.progress import Progress
from minideconv.training.trainer import Trainer

TINY = {
    **{"train_images": 48, "val_images": 2, "image_size": 16, "input_size": 16, "width": 2},
    **{"fc": 3, "depth": 2, "batch_size": 2, "stage": "whole", "difficulty": "easy"},
    **{"device": "gpu", "print_freq": 4, "graph": "off", "warmup": 0, "lr": 0.02},
}


@pytest.fixture
def fake(cupy_device):
    """The counters of the fake device."""
    if cupy_device.kind != "fakecuda":
        pytest.skip("only fakecuda counts the calls of CUDA")
    import fakecuda

    return fakecuda


class Lines(Progress):
    def __init__(self):
        super().__init__(quiet=True)
        self.lines = []

    def message(self, text):
        self.lines.append(text)


def run(steps, watch=None, **settings):
    """Take steps; return the losses, the weights, the messages, and the trainer."""
    trainer = Trainer(TrainConfig(**{**TINY, **settings}), progress=Lines())
    with computing_on(trainer.device), precision(trainer.config.precision):
        stage = trainer._enter(0)
        trainer.steps.begin(stage)
        losses = []
        stage.loss.add = losses.append
        try:
            for step in range(steps):
                if watch is not None:
                    watch(step, trainer)
                trainer._step(stage)
            trainer.steps.read(stage)
        finally:
            trainer.steps.end()
        weights = trainer.model.state_dict()
    return losses, weights, trainer.show.lines, trainer


def counts(fake, steps=6, **settings):
    """Return fakecuda's counters of each step; figures are never read in between."""
    gc.collect()  # or what earlier trainers have left goes in the middle of a step
    found = []

    def watch(step, trainer):
        if step:
            found.append({**fake.stats(), "used": memory.used()})
        fake.reset()

    run(steps + 1, watch, **{**settings, "print_freq": 100})
    return found


WAYS = {
    "momentum": {},
    "no momentum": {"momentum": 0.0, "nesterov": False},
    "adamw": {"optimizer": "adamw"},
    "clipping": {"clip_grad": 0.5},
    "accumulation": {"accumulate": 3},
    "recompute": {"recompute": True},
    "smoothing": {"label_smoothing": 0.1},
    "tf32": {"precision": "tf32"},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
}


@pytest.mark.parametrize("graph", ["off", "on"])
@pytest.mark.parametrize("way", WAYS)
def test_a_step_copies_its_batch_and_waits_for_nothing(fake, way, graph):
    settings = {**WAYS[way], "graph": graph}
    found = counts(fake, **settings)
    for number, step in enumerate(found, 1):
        if graph == "on" and number == graphs.WARM_UP + 1:
            continue  # it gives back what the first steps used, and records
        if number > 1:  # the first step of fp16 makes the scale
            assert step["h2d"] == settings.get("accumulate", 1), number
        assert step["d2h"] == 0, number
        assert step["syncs"] == 0, number
        if number > 2:
            assert step["mallocs"] == 0, number
    last = found[-1]
    for name in ("launches", "used"):  # nothing grows
        assert {step[name] for step in found[-3:]} == {last[name]}
    assert last["graph_launches"] == (0 if graph == "off" else 1 + settings.get("accumulate", 1))


@pytest.mark.parametrize("planted", ["item", "new array"])
def test_what_does_not_belong_into_a_step_is_seen(fake, monkeypatch, planted):
    real, kept = F.cross_entropy, []

    def cross_entropy(scores, *arguments, **options):
        loss = real(scores, *arguments, **options)
        if planted == "item":
            loss.item()
        else:
            kept.append(scores.data.copy())
        return loss

    monkeypatch.setattr(F, "cross_entropy", cross_entropy)
    with pytest.raises(AssertionError):
        test_a_step_copies_its_batch_and_waits_for_nothing(fake, "momentum", "off")


def assert_same(one, two):
    for name in one:
        assert one[name].tobytes() == two[name].tobytes(), name


@pytest.mark.parametrize("way", WAYS)
def test_a_recorded_step_is_the_same_step(cupy_device, way):
    plain, recorded = (run(7, **WAYS[way], graph=graph) for graph in ("off", "on"))
    assert len(plain[0]) == 7
    assert plain[0] == recorded[0]
    assert_same(plain[1], recorded[1])
    assert "graph: steps are recorded" in recorded[2]
    assert not any("graph" in line for line in plain[2])
    assert recorded[3].steps._graph_cache.nbytes > 0


@pytest.mark.parametrize("images", [pytest.param(14, marks=pytest.mark.long_on_fakecuda), 16])
def test_the_last_step_of_an_epoch_has_what_is_left(cupy_device, images):
    """Seven or eight batches by three: the last step has 1 or 2, of another weight each.

    It is recorded later than the others: in between, one piece of a step is replayed and one done.
    """
    settings = {"train_images": images, "accumulate": 3, "epochs": 4}
    results = []
    for graph in ("off", "on"):
        config = TrainConfig(**{**TINY, **settings, "graph": graph, "recalibrate": 0})
        trainer = Trainer(config, progress=Lines())
        trainer.fit()
        results.append(trainer.model.state_dict())
    assert_same(*results)


def test_another_way_to_compute_is_recorded_anew(cupy_device):
    kept = []

    def watch(step, trainer):
        kept.append(trainer.steps._graph_cache.nbytes > 0)
        trainer.model.recompute = 4 <= step < 8

    plain, recorded = (run(12, watch, graph=graph) for graph in ("off", "on"))
    assert plain[0] == recorded[0]
    assert_same(plain[1], recorded[1])
    assert not any(kept[:12])
    assert "".join("-r"[kept] for kept in kept[12:]) == "---rr--rr--r"


def test_a_step_that_cannot_be_recorded(cupy_device, monkeypatch):
    """A message, and the steps go on; with graph="on" it is an error."""
    real = F.cross_entropy

    def cross_entropy(scores, *arguments, **options):
        loss = real(scores, *arguments, **options)
        loss.item()
        return loss

    wanted = run(5)
    monkeypatch.setattr(F, "cross_entropy", cross_entropy)
    losses, weights, lines, _ = run(5, graph="auto")
    assert losses == wanted[0]
    assert_same(weights, wanted[1])
    messages = [line for line in lines if "graph" in line]
    assert len(messages) == 1
    assert messages[0].startswith("graph: steps are not recorded: RuntimeError: the current stream")
    with pytest.raises(TrainingError, match=r"^graph on: a step cannot be recorded: RuntimeError"):
        run(5, graph="on")


def test_auto_records_small_networks_only(cupy_device, monkeypatch):
    assert "graph: steps are recorded" in run(3, graph="auto")[2]
    monkeypatch.setattr(graphs, "PAYS_BELOW", 1000)
    _, _, lines, trainer = run(4, graph="auto")
    assert any("its arrays take" in line and "the host keeps up" in line for line in lines)
    assert trainer.steps._graph_cache.nbytes == 0


def test_auto_leaves_half_of_the_memory_to_others(cupy_device, monkeypatch):
    takes = []
    real = graphs.GraphCache._reason_against

    def reason_against(self):
        takes.append(self._arrays())
        return real(self)

    monkeypatch.setattr(graphs.GraphCache, "_reason_against", reason_against)
    for spare, is_recorded in ((0, True), (-1, False)):
        monkeypatch.setattr(memory, "room_on_device", lambda: 2 * takes[-1] + spare)  # noqa: B023 (called in this turn)
        _, _, lines, _ = run(4, graph="auto")
        assert any("graph: steps are recorded" in line for line in lines) == is_recorded
        assert any(" of the " in line and "there is" in line for line in lines) != is_recorded


def test_figures_are_read_when_a_line_is_due(fake):
    """Between two lines nothing is read; then all losses are there, each in its place."""
    reads = []

    def watch(step, trainer):
        reads.append(fake.stats()["d2h"])

    losses, *_ = run(9, watch, print_freq=3)
    per_step = np.diff(reads)
    assert [bool(count) for count in per_step] == [False, False, True] * 2 + [False, False]
    assert losses == run(9, print_freq=1)[0]
    assert len(set(losses)) == 9


def test_a_loss_that_is_not_finite_is_found_at_the_next_reading(cupy_device):
    def watch(step, trainer):
        if step == 5:
            trainer.model.seg_score.bias.data[...] = np.inf

    with pytest.raises(TrainingError) as stopped:
        run(8, watch)
    assert "stopped being finite at step 6 (epoch 1)" in str(stopped.value)


def test_a_wrong_label_is_refused(cupy_device):
    """On the host, before it travels: by the worker's check, in the sentence of the operation."""

    def watch(step, trainer):
        trainer.task.classes = trainer.task.classes[:1]

    with pytest.raises(ValueError, match=r"target has \d+ labels outside 0\.\.0"):
        run(4, watch)


def test_an_unchecked_wrong_label_is_found_at_the_next_reading(cupy_device, monkeypatch):
    real = device_step.DeviceStep._add_gradient

    def poisoned(self, layout, first, last):
        layout.view(self._double_buffer.current)[2][0, 0, :3] = 77
        real(self, layout, first, last)

    monkeypatch.setattr(Segmentation, "check", lambda self, targets: None)
    monkeypatch.setattr(device_step.DeviceStep, "_add_gradient", poisoned)
    with pytest.raises(ValueError, match=r"labels outside 0\.\.4 .*: 77 \(12 times\)"):
        run(4)


def test_another_schedule_of_threads_gives_the_same_bits(fake):
    results = []
    try:
        for order in ("forward", "reverse", "shuffle"):
            fake.set_order(order, 7)
            results.append(run(3, clip_grad=1.0))
    finally:
        fake.set_order("forward")
    for other in results[1:]:
        assert other[0] == results[0][0]
        assert_same(results[0][1], other[1])


def test_a_validation_waits_for_its_result_only(fake):
    """Whatever the number of images, which all are of other sizes."""
    trainer = Trainer(TrainConfig(**TINY))
    rng = np.random.default_rng(0)
    pictures = [
        (rng.integers(0, 256, (h, w, 3), np.uint8), rng.integers(0, 5, (h, w)).astype(np.uint8))
        for h, w in ((16, 20), (31, 17), (8, 8), (15, 40), (20, 20), (9, 33))
    ]

    class Data(list):
        classes = trainer.task.classes

    found, results = [], []
    for count in (2, 2, 6):  # the first time, kernels are compiled
        fake.reset()
        with computing_on(trainer.device):
            results.append(trainer.evaluate(Data(pictures), count))
        found.append(fake.stats())
    for name in ("d2h", "syncs"):
        assert found[1][name] == found[2][name], name
    assert found[2]["h2d"] <= 1 + len(pictures)
    on_cpu = Trainer(TrainConfig(**{**TINY, "device": "cpu"}))
    confusion, loss = on_cpu.evaluate(Data(pictures))
    np.testing.assert_array_equal(results[2][0].counts, confusion.counts)
    assert results[2][1] == pytest.approx(loss, rel=1e-5)
