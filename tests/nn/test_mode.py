"""Evaluation mode for a block: in its thread alone, and without touching a module."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from minideconv import nn
from minideconv.autograd import Tensor
from minideconv.nn.costs import activation_bytes
from minideconv.nn.mode import evaluating, in_mode
from minideconv.nn.traced_run import traced_run
from minideconv.segmentation import Segmenter
from minideconv.segmentation.agreement import train_eval_agreement
from minideconv.training.recalibrate import recalibrate_batch_norm
from minideconv.visualize.projection import _looking


class Net(nn.Sequential):
    """Notes in which mode its layers are when they are used."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.seen: list[list[bool]] = []

    def forward(self, x):
        self.seen.append([module.training for module in self.modules()])
        return super().forward(x)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_a_block_s_mode_is_that_of_all_modules(own, wanted):
    net = Net().train(own)
    net[1].train(not own)
    with in_mode(wanted):
        assert [module.training for module in net.modules()] == [wanted] * 4
        with in_mode(not wanted):
            assert net.training is (not wanted)
        assert net[1].uses_batch_statistics is wanted
        net[2].train(not own)  # its own, which holds afterwards
        assert net[2].training is wanted
    assert [module.training for module in net.modules()] == [own, own, not own, not own]


def test_a_module_that_is_not_initialised_says_so():
    class Forgotten(nn.Module):
        def __init__(self):
            pass

    with pytest.raises(AttributeError, match=r"call super\(\).__init__\(\) first"):
        Forgotten().training  # noqa: B018


def images():
    return np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)


def look(net):
    with _looking(net):
        net(Tensor(images()))


USERS = {
    "Segmenter": lambda net: Segmenter(net, 8).labels(np.zeros((5, 6, 3), np.uint8)),
    "agreement": lambda net: train_eval_agreement(net, images()),
    "recalibrate": lambda net: recalibrate_batch_norm(net, [images()]),
    "costs": lambda net: activation_bytes(net, Tensor(images())),
    "trace": lambda net: traced_run(net, images()),
    "projection": look,
}


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("own", [True, False])
def test_who_needs_a_mode_leaves_the_modules_own(user, own):
    """Also those of modules inside, such as a batch norm that a user has frozen by its mode."""
    net = Net().train(own)
    net[1].train(not own)
    USERS[user](net)
    assert [module.training for module in net.modules()] == [own, own, not own, own]
    assert net.seen
    assert all(len(set(modes)) == 1 for modes in net.seen)


class Meeting(Net):
    """Two calls, of two threads, are in the network at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.barriers = [threading.Barrier(2, timeout=20) for _ in range(4)]

    def forward(self, x):
        call = len(self.seen)
        self.barriers[call // 2].wait()
        out = super().forward(x)
        self.barriers[call // 2].wait()
        return out


def test_threads_that_use_a_network_in_training_mode():
    """One leaves while the other is inside: set and put back, its mode would be the wrong one."""
    net, found, rounds = Meeting().train(), [], 4
    image = np.random.default_rng(1).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    started = threading.Barrier(3, timeout=20)

    def use() -> None:
        started.wait()
        for _ in range(rounds):
            found.append(Segmenter(net, 8).labels(image))

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    started.wait()
    for thread in threads:
        thread.join()
    assert len(found) == 2 * rounds
    assert not np.any(net.seen)
    assert all(np.array_equal(each, found[0]) for each in found)
    assert net.training


def test_a_thread_trains_while_another_evaluates():
    net, inside, seen = Net().train(), threading.Event(), []

    def evaluate() -> None:
        with evaluating():
            inside.set()
            leave.wait(20)
            seen.append(net.training)

    leave = threading.Event()
    thread = threading.Thread(target=evaluate)
    thread.start()
    inside.wait(20)
    seen.append(net.training)
    leave.set()
    thread.join()
    assert seen == [True, False]
