"""Blocks arrive whole and in order on a device that is as late and as unfair as it may be.

The device here is a model of one: every stream is a queue, and which queue goes on next is drawn. A
copy takes two turns, so that what overtakes it is seen. Nothing is done before it must be: only a
host that waits makes the device work to the end.
"""

from __future__ import annotations

import random
import threading
from collections import deque

import numpy as np
import pytest

from minideconv.engine.cuda.pinned import DoubleBuffer, Machine
from minideconv.training.gpu.prefetcher import Layout, Prefetcher

BATCHES = 10
SEEDS = range(12)


class Stream:
    def __init__(self, machine):
        self.machine, self.queue = machine, deque()

    def add(self, work):
        with self.machine.lock:
            self.queue.append(("work", work))
            self.machine.turns(self.machine.rng.randrange(3))

    def wait_event(self, event):
        with self.machine.lock:
            self.queue.append(("wait", event, event.asked))


class Event:
    def __init__(self, machine):
        self.machine, self.asked, self.reached = machine, 0, 0

    def record(self, stream):
        with self.machine.lock:
            self.asked += 1
            stream.queue.append(("mark", self, self.asked))

    def synchronize(self):
        with self.machine.lock:
            self.machine.threads.append((threading.current_thread().name, "wait"))
            wanted = self.asked
            while self.reached < wanted:
                assert self.machine.turns(1), "the streams wait for each other"


class LateMachine(Machine):
    """Streams that go on in an order drawn from a seed, and memory that shows who was too early."""

    def __init__(self, seed):
        self.rng, self.lock = random.Random(seed), threading.RLock()
        self.streams = []
        self.threads = []
        self._computing = self.stream()

    def device(self):
        return 1

    def use(self, device):
        self.threads.append((threading.current_thread().name, device))

    def pinned(self, nbytes):
        return np.full(nbytes, 255, np.uint8)

    block = pinned

    def stream(self):
        self.streams.append(Stream(self))
        return self.streams[-1]

    def computing(self):
        return self._computing

    def event(self):
        return Event(self)

    def upload(self, source, target, nbytes, stream):
        half = nbytes // 2
        for part in (slice(0, half), slice(half, nbytes)):
            stream.add(lambda part=part: target.__setitem__(part, source[part]))

    move = upload

    def turns(self, count):
        """Take so many turns; return whether any stream could go on."""
        went_on = False
        for _ in range(count):
            able = [stream for stream in self.streams if stream.queue and self._may(stream)]
            if not able:
                break
            kind, *item = self.rng.choice(able).queue.popleft()
            if kind == "work":
                item[0]()
            elif kind == "mark":
                item[0].reached = max(item[0].reached, item[1])
            went_on = True
        return went_on

    def _may(self, stream):
        kind, *item = stream.queue[0]
        return kind != "wait" or item[0].reached >= item[1]


class Loader:
    """Batch k is full of the number k."""

    def __init__(self, error_at=None, batches=BATCHES):
        self.position, self.error_at, self.batches = 0, error_at, batches
        self.closed = False

    def __iter__(self):
        try:
            for k in range(self.batches):
                if k == self.error_at:
                    raise OSError(f"batch {k} is damaged")
                self.position += 1
                yield np.full((2, 4, 6, 3), k, np.uint8), np.full((2, 4, 6), k, np.uint8)
        finally:
            self.closed = True

    def state_dict(self):
        return {"position": self.position}


LAYOUT = Layout(2, 4, 6, 3)


def train(buffer_type, seed, loader=None, check=lambda labels: None):
    """Send all batches and return what a step that takes four turns has seen of each."""
    machine = LateMachine(seed)
    double_buffer = buffer_type(LAYOUT.nbytes, machine)
    prefetcher = Prefetcher(
        double_buffer, Loader() if loader is None else loader, LAYOUT.numbers, check
    )
    seen = []
    try:
        for k, block in enumerate(prefetcher):
            assert block.loader_state == {"position": k + 1}
            assert block.layout == LAYOUT
            prefetcher.send(block, np.full(LAYOUT.numbers, k, np.float32))
            for part in range(3):
                machine.computing().add(
                    lambda part=part: seen.append(LAYOUT.view(double_buffer.current)[part].copy())
                )
        while machine.turns(1):
            pass
    finally:
        prefetcher.close()
    return seen


def all_right(seen):
    return len(seen) == 3 * BATCHES and all(
        (part == number // 3).all() for number, part in enumerate(seen)
    )


class NoWaitBeforeFilling(DoubleBuffer):
    def wait_until_empty(self, slot):
        pass


class NoWaitBeforeUpload(DoubleBuffer):
    def send(self, slot, nbytes):
        self._left = self._machine.event()  # one that counts as reached
        super().send(slot, nbytes)


class NoWaitBeforeMove(DoubleBuffer):
    def send(self, slot, nbytes):
        stream, wait = self._machine.computing(), Stream.wait_event
        stream.wait_event = lambda event: None
        try:
            super().send(slot, nbytes)
        finally:
            stream.wait_event = wait.__get__(stream)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_block_arrives_whole_and_in_order(seed):
    assert all_right(train(DoubleBuffer, seed))


def test_the_thread_is_on_the_buffers_device_before_it_does_anything_there():
    """On device 0, where a thread begins, it would take memory of another run's."""
    double_buffer = DoubleBuffer(LAYOUT.nbytes, LateMachine(0))
    prefetcher = Prefetcher(double_buffer, Loader(), LAYOUT.numbers, lambda labels: None)
    next(prefetcher)
    prefetcher.close()
    assert double_buffer._machine.threads[:2] == [
        ("minideconv-prefetcher", 1),
        ("minideconv-prefetcher", "wait"),
    ]


@pytest.mark.parametrize("wrong", [NoWaitBeforeFilling, NoWaitBeforeUpload, NoWaitBeforeMove])
def test_a_missing_wait_is_seen(wrong):
    assert not all(all_right(train(wrong, seed)) for seed in SEEDS)


def test_an_error_is_raised_in_its_place():
    machine = LateMachine(0)
    loader = Loader(error_at=4)
    prefetcher = Prefetcher(
        DoubleBuffer(LAYOUT.nbytes, machine), loader, LAYOUT.numbers, lambda labels: None
    )
    try:
        for _ in range(4):
            prefetcher.send(next(prefetcher), np.zeros(3, np.float32))
        for _ in range(2):  # and again at the next call
            with pytest.raises(OSError, match="batch 4 is damaged"):
                next(prefetcher)
    finally:
        prefetcher.close()
    assert not prefetcher._thread.is_alive()
    assert loader.closed


def test_labels_are_checked_before_they_travel():
    def check(labels):
        if (labels == 3).any():
            raise ValueError("label 3")

    with pytest.raises(ValueError, match="label 3"):
        train(DoubleBuffer, 0, check=check)


@pytest.mark.parametrize("sent", [0, 1, 3])
def test_leaving_early_ends_the_thread(sent):
    loader = Loader(batches=1000)
    double_buffer = DoubleBuffer(LAYOUT.nbytes, LateMachine(0))
    prefetcher = Prefetcher(double_buffer, loader, LAYOUT.numbers, lambda labels: None)
    for _ in range(sent):
        prefetcher.send(next(prefetcher), np.zeros(3, np.float32))
    prefetcher.close()
    assert not prefetcher._thread.is_alive()
    assert loader.closed
    assert loader.position <= sent + 3  # two slots, and one batch in the hand


def test_the_end_is_raised_at_every_call():
    prefetcher = Prefetcher(
        DoubleBuffer(LAYOUT.nbytes, LateMachine(0)), Loader(batches=0), 3, lambda labels: None
    )
    assert list(prefetcher) == []
    assert list(prefetcher) == []
    prefetcher.close()


def test_the_parts_of_a_block_do_not_overlap():
    layout = Layout(count=3, height=5, width=7, numbers=9)
    block = np.zeros(layout.nbytes, np.uint8)
    numbers, images, labels = layout.view(block)
    assert (numbers.shape, images.shape, labels.shape) == ((9,), (3, 5, 7, 3), (3, 5, 7))
    numbers[:], images[:], labels[:] = 1.5, 2, 3
    assert (numbers == 1.5).all()
    assert (images == 2).all()
    assert (labels == 3).all()
    assert np.count_nonzero(block) <= layout.nbytes
    for part in (images, labels):  # where the copy engines like them
        assert (part.ctypes.data - block.ctypes.data) % 256 == 0
