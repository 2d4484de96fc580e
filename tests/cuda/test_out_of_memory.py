"""When a GPU's memory is not enough: one sentence that is true, and a budget that is kept."""

from __future__ import annotations

import gc
import re

import numpy as np
import pytest

from minideconv import Tensor, train
from minideconv.backend import Device, to_device
from minideconv.engine.cuda import memory
from minideconv.engine.cuda.streams import computing_on
from minideconv.errors import TrainingError
from minideconv.models import deconvnet
from minideconv.ops.workspace import workspace_limit
from minideconv.training.computing import computing
from minideconv.training.config import TrainConfig
from minideconv.training.gpu.out_of_memory import explain, largest_batch, where
from minideconv.training.run.progress import Progress
from minideconv.training.trainer import Trainer

MIB = 1 << 20
SETTINGS = {
    **{"train_images": 32, "val_images": 2, "image_size": 32, "input_size": 32, "width": 8},
    **{"fc": 8, "depth": 2, "batch_size": 16, "stage": "whole", "difficulty": "easy"},
    **{"device": "gpu", "warmup": 0, "recalibrate": 0, "graph": "off"},
}
NAMES = r"(conv\d_\d|fc6|fc7|fc6_deconv|deconv\d_\d|seg_score)(\.layer|\.bn)?"


@pytest.fixture
def limited(cupy_device):
    """Set the most that the pool may hold beyond what it must hold now."""

    def limit(nbytes):
        gc.collect()
        memory.release()
        memory.set_limit(max(1, memory.held() + nbytes))

    yield limit
    memory.set_limit(0)


def need(images, **settings):
    """Return what a step takes beside what is there before it, and the trainer's sentences."""
    gc.collect()
    memory.release()
    before = memory.used()
    trainer = Trainer(TrainConfig(**{**SETTINGS, **settings, "batch_size": images}))
    stage = trainer._enter(0)
    with computing_on(trainer.device):
        trainer.steps.begin(stage)
        try:
            trainer._step(stage)
        finally:
            trainer.steps.end()
    peak = trainer.memory.arrays_peak - before
    del trainer, stage
    gc.collect()
    memory.release()
    return peak


def test_the_sentence_has_the_place_the_size_and_what_would_fit(limited, tmp_path, capsys):
    need(2)  # the first step of a process makes what stays
    room = int(1.2 * need(8))
    assert need(16) > room
    limited(room)
    folder = tmp_path / "run"
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    assert train.main([*options, "-q", "--output-dir", str(folder)]) == 1
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    found = re.fullmatch(
        r"minideconv\.train: out of the GPU's memory: with --batch-size 16, the (forward|backward)"
        rf" of (\w+ behind )?{NAMES} asked for [\d.]+ (MiB|bytes) more than is left of \d+ MiB; a "
        r"batch of (?P<fits>\d+) would fit(, with --recompute one of (?P<again>\d+))?\n",
        error,
    )
    assert found is not None, error
    assert list((folder / "checkpoints").iterdir()) == []
    fits = int(found["fits"])
    assert 6 <= fits < 16
    # And it is true: the batch it names trains, one that is much larger does not. The small change
    # that makes gaps between arrays is much, beside a step as small as this.
    limited(int(1.15 * room))
    need(fits)
    with pytest.raises(TrainingError, match="out of the GPU's memory"):
        need(min(16, fits + 5))
    if found["again"]:
        assert int(found["again"]) > fits
        need(int(found["again"]), recompute=True)


def test_not_even_the_smallest_batch(limited):
    need(2)
    trainer = Trainer(TrainConfig(**{**SETTINGS, "width": 2, "batch_size": 31}))
    stage = trainer._enter(0)
    with computing_on(trainer.device):
        trainer.steps.begin(stage)
        stage.optimizer.next_numbers()
        limited(0)
        with pytest.raises(TrainingError, match=r"not even the smallest batch would fit$"):
            trainer._step(stage)
        trainer.steps.end()


def test_outside_of_a_step_it_is_a_sentence_too(limited):
    limited(0)
    with (
        pytest.raises(TrainingError, match="asked for 64 MiB more than is left of"),
        computing(Device("gpu"), 1, None),
    ):
        to_device(np.zeros(64 * MIB, np.uint8), "gpu")


class Lines(Progress):
    def __init__(self):
        super().__init__(quiet=True)
        self.lines = []

    def message(self, text):
        self.lines.append(text)


@pytest.mark.long_on_fakecuda
def test_a_budget_is_kept_and_recomputation_turned_on(cupy_device):
    """Both change no number."""
    with workspace_limit(1 << 17):  # patch matrices shall not be what takes the memory
        need(2)
        plain, again = need(16), need(16, recompute=True)
        assert again < 0.65 * plain
        budget = memory.held() + int(0.8 * plain)
        weights, messages = [], []
        for settings in ({}, {"memory_budget": f"{budget}B"}):
            config = TrainConfig(**{**SETTINGS, **settings, "epochs": 1})
            trainer = Trainer(config, progress=Lines())
            trainer.fit()
            weights.append(trainer.model.state_dict())
            messages.append(trainer.show.lines)
            assert memory.limit() == 0  # and the next run is not bound by it
            assert trainer.model.recompute is bool(settings)
            del trainer
            gc.collect()
            memory.release()
    assert any("from now on activations are computed twice" in line for line in messages[1])
    assert not any("computed twice" in line for line in messages[0])
    for name in weights[0]:
        assert weights[0][name].tobytes() == weights[1][name].tobytes(), name


def test_an_impossible_budget_is_one_sentence(cupy_device):
    need(2)
    memory.release()
    budget = f"{memory.held() + int(0.6 * need(16, recompute=True))}B"
    trainer = Trainer(TrainConfig(**{**SETTINGS, "memory_budget": budget}), progress=Lines())
    with pytest.raises(TrainingError, match=r"a batch of \d+ would fit$"):
        trainer.fit()
    assert memory.limit() == 0


# ---- where, and what fits: without a device ------------------------------------------------------


class Full(Exception):
    pass


@pytest.mark.parametrize("layer", ["conv1_2.layer", "conv2_1.bn", "fc6.layer", "seg_score"])
def test_where_names_the_layer_that_went_forward(layer, monkeypatch):
    model = deconvnet(num_classes=3, width=2, input_size=16, fc=3, stages=2)
    module = dict(model.named_modules())[layer]

    def forward(*arguments, **options):
        self = module  # noqa: F841  (a method has one)
        raise Full

    monkeypatch.setattr(module, "forward", forward)
    with pytest.raises(Full) as stopped:
        model(Tensor(np.zeros((2, 3, 16, 16), np.float32)))
    assert where(stopped.value, model) == f"the forward of {layer}"


@pytest.mark.parametrize(
    ("op", "place"),
    [
        ("conv2d", "seg_score"),
        ("conv_transpose2d", "deconv1_2.layer"),
        ("max_unpool2d", "max_unpool2d behind deconv2_2.bn"),
    ],
)
def test_where_names_the_layer_that_went_backward(op, place):
    model = deconvnet(num_classes=3, width=2, input_size=16, fc=3, stages=2)
    loss = model(Tensor(np.random.default_rng(0).standard_normal((2, 3, 16, 16), np.float32))).sum()

    def fail(node):
        while not node.name.startswith(op):
            node = next(edge for edge in node.edges if hasattr(edge, "edges"))

        def backward(*arguments):
            raise Full

        node.backward = backward

    fail(loss._node)
    with pytest.raises(Full) as stopped:
        loss.backward()
    assert where(stopped.value, model) == f"the backward of {place}"


def test_the_largest_batch_is_found_by_trying(cupy_device):
    """A step that takes 1000 bytes and 100 an image, and from 20 images on 300 more an image."""
    error = type(cupy_device.xp.cuda.memory.OutOfMemoryError(1, 2, 3))

    def trial_of(room):
        tried = []

        def trial(count):
            tried.append(count)
            nbytes = 1000 + 100 * count + 300 * max(0, count - 20)
            if nbytes > room:
                raise error(nbytes, 0, room)
            return nbytes

        return trial, tried

    for room, images, right in ((2110, 64, 10), (3160, 64, 20), (1100, 64, 0), (1290, 64, 2)):
        trial, tried = trial_of(room)
        assert largest_batch(trial, images, room) == right
        assert max(tried) < images
    trial, tried = trial_of(20000)  # the line bends: what it promises is tried, and laid anew
    found = largest_batch(trial, 190, 20000)
    assert 50 <= found <= 60
    assert found in tried

    def bug(count):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        largest_batch(bug, 8, 100)


def test_the_sentence():
    error = explain("the forward of fc6", 5 << 20, 3 << 30, 64, 48, 64)
    assert isinstance(error, TrainingError)
    assert error.as_options == (
        "out of the GPU's memory: with --batch-size 64, the forward of fc6 asked for 5 MiB more "
        "than is left of 3.00 GiB; a batch of 48 would fit, with --recompute one of 64"
    )
    assert str(error) == error.as_options.replace("--batch-size", "batch_size").replace("--", "")
    nothing = str(explain("a step", 0, 3 << 30, 2, 0, 0))
    assert nothing.endswith("not even the smallest batch would fit")
