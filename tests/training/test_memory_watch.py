"""A budget: kept, or the log holds what the run did, or it stops with what would fit."""

from __future__ import annotations

import mmap
import re
from types import SimpleNamespace

import numpy as np
import pytest

from minideconv import train
from minideconv.engine.cpu import memory, resident
from minideconv.errors import TrainingError, UsageError
from minideconv.nn import Parameter
from minideconv.settings.sizes import format_size, parse_size
from minideconv.training import memory_watch as module
from minideconv.training.config import TrainConfig
from minideconv.training.memory_watch import MemoryWatch
from minideconv.training.run.checkpoint import load_checkpoint
from minideconv.training.trainer import Trainer

MIB = 1 << 20
TINY = [
    *("--train-images", "12", "--val-images", "2", "--image-size", "32", "--difficulty", "easy"),
    *("--input-size", "16", "--width", "2", "--fc", "4", "--depth", "2", "--device", "cpu"),
    *("-b", "2", "--stage", "whole", "--recalibrate", "0", "--images", "0", "--epochs", "1"),
]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("3GiB", 3 << 30),
        ("800MB", 800_000_000),
        ("1.5 gb", 1_500_000_000),
        ("64kib", 64 << 10),
        (".5G", 500_000_000),
        ("12", 12),
        ("7B", 7),
    ],
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "3 GiBs", "-1GB", "1e9", "3ib", "three", "1.2.3MB"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="is not a size such as 3GiB or 800MB"):
        parse_size(text)
    with pytest.raises(UsageError, match=r"^memory_budget is .*; it must be a size such as 3GiB"):
        TrainConfig(memory_budget=text)


def test_zero_is_no_budget():
    with pytest.raises(UsageError, match=r"^memory_budget is 0GB"):
        TrainConfig(memory_budget="0GB")


class Machine:
    """A process whose memory is `base` and what a network of one parameter takes for its images.

    Forward makes `activations` MiB per image; backward drops half of them before the gradients are
    there. Computing twice leaves a quarter of the activations.
    """

    def __init__(self, monkeypatch, base=100, activations=8, grads=16):
        self.base, self.activations, self.grads, self.optional = base, activations, grads, 0
        self.model = SimpleNamespace(recompute=False)
        weight = Parameter(np.zeros(grads * MIB // 4, np.float32))
        self.model.parameters = lambda: [weight]
        self.allocated = self.peak = self.reserved = 0
        monkeypatch.setattr(
            module,
            "memory",
            SimpleNamespace(
                use=lambda: memory.MemoryUse(self.allocated * MIB, self.peak * MIB, 0),
                allow=self.allow,
                reset_peak=lambda: None,
                trim=lambda: None,
            ),
        )
        monkeypatch.setattr(
            module,
            "resident",
            SimpleNamespace(
                peak=lambda: (self.base + self.peak) * MIB,
                now=lambda: self.base * MIB,
                reset_peak=lambda: True,
            ),
        )
        self.allowed = []
        self.messages = []

    def allow(self, nbytes):
        self.allowed.append(nbytes)

    def step(self, watch, images):
        share = 0.25 if self.model.recompute else 1.0
        forward = self.activations * images * share
        watch.begin_step()
        self.allocated = forward
        watch.forward_done()
        extra = self.optional if self.allowed[-1] else 0
        self.peak = max(forward, forward / 2 + self.grads) + extra
        self.allocated = 0
        watch.end_step(images)

    def watch(self, budget):
        return MemoryWatch(self.model, budget, self.messages.append)


def test_without_a_budget_it_only_reports(monkeypatch):
    machine = Machine(monkeypatch)
    watch = machine.watch(None)
    for _ in range(4):
        machine.step(watch, 8)
    assert machine.messages == [
        "memory: a step takes at most 164 MiB, of which 64 MiB in its arrays"
    ]
    assert machine.allowed == [None] * 4
    assert not machine.model.recompute


def test_what_is_left_below_the_budget_goes_to_what_is_optional(monkeypatch):
    machine = Machine(monkeypatch)
    watch = machine.watch("200MiB")
    for _ in range(5):
        machine.step(watch, 8)
    assert machine.allowed == [0, 0, 0, 36 * MIB, 36 * MIB]
    machine.optional = 50  # more than was promised
    machine.step(watch, 8)
    machine.step(watch, 8)
    assert machine.allowed[-1] == 22 * MIB
    watch.end()
    assert machine.allowed[-1] is None
    assert not machine.model.recompute


def test_a_step_above_the_budget_turns_recomputation_on(monkeypatch):
    machine = Machine(monkeypatch)
    watch = machine.watch("150MiB")
    for _ in range(5):
        machine.step(watch, 8)
    assert machine.model.recompute
    assert machine.messages[0] == (
        "memory: a step took 164 MiB, more than the memory budget of 150 MiB; from now on "
        "activations are computed twice instead of kept (recompute)"
    )
    assert machine.allowed[-1] == (150 - 100 - 24) * MIB
    assert machine.messages[1:] == [
        "memory: a step takes at most 124 MiB, of which 24 MiB in its arrays"
    ]


@pytest.mark.parametrize(("budget", "batch"), [(121, 5), (118, 2), (117, 1), (116.5, 0), (90, 0)])
def test_when_that_is_not_enough_the_error_has_what_would_fit(monkeypatch, budget, batch):
    machine = Machine(monkeypatch)
    watch = machine.watch(f"{budget}MiB")
    machine.step(watch, 8)
    with pytest.raises(TrainingError) as stopped:
        machine.step(watch, 8)
    text = str(stopped.value)
    assert "a step with batch_size 8 needs about 124 MiB though" in text
    assert f"memory_budget is {format_size(parse_size(f'{budget}MiB'))}" in text
    fits = f"a batch of {batch} would fit" if batch else "not even a batch of 1 would fit"
    assert text.endswith(fits)
    # And it is true: the machine agrees.
    if batch:
        machine = Machine(monkeypatch)
        watch = machine.watch(f"{budget}MiB")
        for _ in range(4):
            machine.step(watch, batch)


def test_a_step_that_grows_later_does_not_stop_the_run(monkeypatch):
    machine = Machine(monkeypatch)
    machine.model.recompute = True
    watch = machine.watch("130MiB")
    for _ in range(4):
        machine.step(watch, 8)
    machine.base = 140
    machine.step(watch, 8)
    machine.step(watch, 8)
    assert machine.allowed[-1] == 0


# ---- whole runs ----------------------------------------------------------------------------------


def test_room_is_counted():
    try:
        memory.allow(100)
        assert [memory.room(60), memory.room(60), memory.room(40), memory.room(1)] == [
            *(True, False, True, False)
        ]
        memory.allow(50)
        assert memory.room(50)
        memory.allow(0)
        assert not memory.room(1)
    finally:
        memory.allow(None)
    assert memory.room(1)
    assert not memory.room(1 << 60) or resident.machine_memory() == 0


def test_the_peak_of_the_system():
    if not resident.reset_peak():
        pytest.skip("this system cannot make the peak start anew")
    before = resident.peak()
    # Pages of their own: an array may take the place of freed ones, on pages that are still there.
    with mmap.mmap(-1, 64 * MIB) as pages:
        np.frombuffer(pages, np.uint8)[:] = 1
    assert resident.peak() >= before + 60 * MIB
    resident.reset_peak()
    assert resident.peak() < before + 30 * MIB
    assert abs(resident.now() - resident.peak()) < 8 * MIB
    assert resident.machine_memory() > resident.now()


def test_an_impossible_budget_is_one_sentence_and_leaves_no_checkpoint(tmp_path, capsys):
    folder = tmp_path / "run"
    arguments = [*TINY, "--memory-budget", "1MB", "--output-dir", str(folder)]
    assert train.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("minideconv.train: a step with --batch-size 2 needs about ")
    assert error.strip().endswith("--memory-budget is 1 MiB; not even a batch of 1 would fit")
    assert len(error.strip().splitlines()) == 1
    assert list((folder / "checkpoints").iterdir()) == []
    assert memory.room(1)  # the next run in this process is not bound by it
    assert "computed twice instead of kept" in (folder / "log.txt").read_text()


def test_budget_and_recomputation_change_no_number(tmp_path, capsys):
    states = []
    choices = [[], ["--recompute"], ["--memory-budget", "20GiB"]]
    for number, choice in enumerate(choices):
        folder = tmp_path / str(number)
        assert train.main([*TINY, *choice, "--output-dir", str(folder)]) == 0
        state = load_checkpoint(folder / "checkpoints" / "last.npz").model_state
        states.append({name: array.tobytes() for name, array in state.items()})
        log = (folder / "log.txt").read_text()
        size = r"[\d.]+ [MG]iB"  # of the whole process, hence of all tests before this one
        line = rf"memory: a step takes at most {size}, of which {size} in its"
        assert re.search(line, log)
        assert len(re.findall("a step takes at most", log)) == 2  # first steps, and the end
    assert states[0] == states[1] == states[2]
    assert capsys.readouterr().err == ""


def test_a_run_may_go_on_with_another_budget(tmp_path):
    folder = str(tmp_path / "run")
    assert train.main([*TINY, "-q", "--warmup", "0", "--output-dir", folder]) == 0
    more = ["--resume", folder, "--epochs", "2", "--reschedule", "--memory-budget", "20GiB"]
    assert train.main([*more, "--recompute"]) == 0


@pytest.mark.cpu  # measures the host's memory
@pytest.mark.usefixtures("no_old_garbage")
def test_the_trainer_sees_the_activations_before_backward(tiny):
    trainer = Trainer(TrainConfig(**{**tiny, "width": 16, "input_size": 64, "image_size": 64}))
    seen = []
    trainer.memory.forward_done = lambda: seen.append(memory.use().allocated)
    trainer.memory.end_step = lambda images: seen.append(memory.use().allocated)
    stage = trainer._enter(0)
    trainer.steps.begin(stage)
    trainer.steps.take(stage, 1)
    assert seen[0] > seen[1]
