"""Threads and algorithm: choices of the machine, which a run may change when it goes on."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest

from minideconv import evaluate, predict, train
from minideconv.backend import Device, parallel, to_cpu
from minideconv.backend.algorithms import ALGORITHMS, get_algorithm
from minideconv.nn import Module, Parameter
from minideconv.optim import SGD
from minideconv.training.computing import computing, loader_workers
from minideconv.training.config import TrainConfig
from minideconv.training.run.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from minideconv.training.trainer import Trainer

TINY = [
    *("--train-images", "6", "--val-images", "3", "--image-size", "32", "--difficulty", "easy"),
    *("--input-size", "16", "--width", "2", "--fc", "4", "--depth", "2", "--device", "cpu"),
    *("-b", "2", "--stage", "whole", "--recalibrate", "2", "--images", "0", "-q", "--warmup", "0"),
]


def test_a_run_logs_how_it_computes_and_may_go_on_in_another_way(tmp_path):
    before = (get_algorithm(), parallel.get_num_threads())
    folder = str(tmp_path / "run")
    assert train.main([*TINY, "--epochs", "1", "--algorithm", "exact", "--output-dir", folder]) == 0
    more = [
        "--resume",
        folder,
        "--reschedule",
        "--epochs",
        "2",
        "--algorithm",
        "reference",
        "--threads",
        "2",
    ]
    assert train.main(more) == 0
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "on cpu (exact" in log
    assert "on cpu (reference, 2 threads)" in log or "on cpu (reference, 1 thread)" in log
    assert json.loads((tmp_path / "run" / "config.json").read_text())["algorithm"] == "reference"
    assert (get_algorithm(), parallel.get_num_threads()) == before
    metrics = {}
    for name in ALGORITHMS:
        out = tmp_path / f"{name}.json"
        arguments = [folder, "--algorithm", name, "--threads", "1", "--json", str(out), "-q"]
        assert evaluate.main(arguments) == 0
        metrics[name] = json.loads(out.read_text())["pixel_accuracy"]
    assert metrics["reference"] == pytest.approx(metrics["exact"], abs=0.01)
    assert metrics["reference"] == pytest.approx(metrics["fast"], abs=0.01)


@pytest.mark.parametrize("program", [train, evaluate, predict])
@pytest.mark.parametrize(
    "wrong", [("--algorithm", "quick"), ("--threads", "-1"), ("--threads", "x")]
)
def test_wrong_choices_are_refused(program, wrong, capsys):
    try:
        code = program.main([*wrong, *([] if program is train else ["run", "picture.jpg"])])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert wrong[0] in capsys.readouterr().err


def test_computing_puts_both_back_even_after_an_error():
    before = (get_algorithm(), parallel.get_num_threads())

    def work():
        with computing(Device(), 1, "exact"):
            assert get_algorithm() == "exact"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert (get_algorithm(), parallel.get_num_threads()) == before


@pytest.mark.parametrize(
    ("asked", "device", "cores", "workers"),
    [
        (None, "cpu", 16, 1),
        (None, "gpu", 16, 8),
        (None, "gpu", 3, 3),
        (None, "gpu", 1, 1),
        (5, "cpu", 1, 5),
        (5, "gpu", 1, 5),
        (12, "gpu", 16, 12),
        (0, "gpu", 16, 0),
    ],
)
def test_how_many_threads_prepare_batches(asked, device, cores, workers):
    assert loader_workers(asked, Device(device, 0), cores) == workers


@pytest.mark.cpu
@pytest.mark.parametrize(("asked", "workers"), [(None, 1), (1, 1), (4, 4), (0, 0)])
def test_on_the_cpu_no_process_makes_items(asked, workers):
    trainer = Trainer(TrainConfig(workers=asked, device="cpu", train_images=600))
    loader = trainer.plan.stages[0].loader
    assert loader.workers == workers
    batches = iter(loader)
    next(batches)
    assert loader._processes.running == []
    batches.close()


class Layers(Module):
    """Six weights of 4 MiB each, stored taps first as the engine's do."""

    def __init__(self):
        super().__init__()
        for number in range(6):
            weight = np.ones((3, 3, 256, 455), np.float32).transpose(3, 2, 0, 1)
            setattr(self, f"weight{number}", Parameter(weight))


@pytest.mark.cpu  # counts the host's memory, where a GPU's state arrives whole
def test_saving_copies_at_most_one_array_at_a_time(tmp_path):
    net = Layers()
    sgd = SGD(net.parameters(), lr=0.1, momentum=0.9)
    for parameter in net.parameters():
        parameter.grad = parameter.detach()
    sgd.step()
    tracemalloc.start()
    try:
        state = {"optimizer": sgd.state_dict(copy=False)}
        save_checkpoint(tmp_path / "x.npz", Checkpoint(net.arrays(), {}, state))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    one = next(net.parameters()).data.nbytes
    assert peak < 2.5 * one
    loaded = load_checkpoint(tmp_path / "x.npz")
    for name, array in net.arrays().items():
        np.testing.assert_array_equal(loaded.model_state[name], to_cpu(array))
        assert loaded.model_state[name].flags.c_contiguous


@pytest.mark.cpu  # shared memory
def test_a_state_dict_is_a_copy_by_default():
    net = Layers()
    sgd = SGD(net.parameters(), lr=0.1, momentum=0.9)
    for parameter in net.parameters():
        parameter.grad = parameter.detach()
    sgd.step()
    mine = sgd.state[0]["momentum_buffer"]
    name = "state.0.momentum_buffer"
    assert not np.shares_memory(sgd.state_dict()[name], mine)
    assert np.shares_memory(sgd.state_dict(copy=False)[name], mine)
    assert not np.shares_memory(net.state_dict()["weight0"], net.weight0.data)
    assert np.shares_memory(net.arrays()["weight0"], net.weight0.data)
