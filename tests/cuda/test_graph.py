"""Recorded work: replayed it does the same again, with whatever its arrays hold by then."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import random
from minideconv.backend import Device
from minideconv.backend.precisions import precision
from minideconv.engine.cuda import memory
from minideconv.engine.cuda.blas import gemm
from minideconv.engine.cuda.graph import Recorder
from minideconv.engine.cuda.streams import computing_on, put_behind
from minideconv.errors import TrainingError
from minideconv.training.gpu.graphs import WARM_UP, GraphCache


@pytest.fixture
def xp(cupy_device):
    with computing_on(Device("gpu")):
        yield cupy_device.xp


def work_on(xp):
    """Return work with temporaries and a product, its input and its output."""
    x, w, y = xp.ones((4, 6), np.float32), xp.ones((6, 5), np.float32), xp.zeros((4, 5), np.float32)

    def work():
        product = xp.empty((4, 5), np.float32)
        gemm(x * 2, w, product)
        y[...] = product + 1

    work()
    return work, x, y


def test_recording_does_nothing_and_replaying_does_it_all(xp):
    work, x, y = work_on(xp)
    y.fill(0)
    replay = Recorder().record(work)
    assert not y.any()
    for value in (1, 3):
        x.fill(value)
        replay()
        assert (y == 12 * value + 1).all()


def test_the_memory_of_recorded_work_is_not_given_away(xp):
    """Arrays made between replays take as much as all pools have free; their numbers stay."""
    work, x, y = work_on(xp)
    recorder = Recorder()
    replay = recorder.record(work)
    assert recorder.nbytes > 0
    others = [xp.full((4, 6), k, np.float32) for k in range(200)]
    for value in (2, 5):
        x.fill(value)
        replay()
        assert (y == 12 * value + 1).all()
    for k, other in enumerate(others):
        assert (other == k).all()


def test_recorded_work_keeps_to_the_limit_of_the_common_pool(xp):
    work, _, y = work_on(xp)
    try:
        memory.set_limit(memory.held() + 512)
        with pytest.raises(MemoryError):
            Recorder().record(work)
        memory.set_limit(memory.held() + (1 << 20))
        Recorder().record(work)()
        assert (y == 13).all()
    finally:
        memory.set_limit(0)


def test_what_cannot_be_recorded_is_an_error_and_leaves_the_stream_usable(xp):
    work, x, y = work_on(xp)
    recorder = Recorder()
    with pytest.raises(RuntimeError, match="captur"):
        recorder.record(lambda: x.sum().item())
    with pytest.raises(ZeroDivisionError):
        recorder.record(lambda: 1 / 0)
    x.fill(4)
    work()
    assert (y == 49).all()
    recorder.record(work)()
    assert (y == 49).all()


def test_a_run_computes_on_a_stream_of_its_own(cupy_device):
    xp = cupy_device.xp
    before = xp.cuda.get_current_stream()
    with computing_on(Device("gpu")):
        inside = xp.cuda.get_current_stream()
        assert inside != before
        with computing_on(Device("gpu")):
            assert xp.cuda.get_current_stream() == inside
    assert xp.cuda.get_current_stream() == before
    with computing_on(Device("cpu")):
        assert xp.cuda.get_current_stream() == before
    with pytest.raises(ZeroDivisionError), computing_on(Device("gpu")):
        raise ZeroDivisionError
    assert xp.cuda.get_current_stream() == before


def test_put_behind_marks_the_one_and_makes_the_other_wait(cupy_device):
    calls = []

    class Stream:
        def __init__(self, ptr):
            self.ptr = ptr

        def wait_event(self, event):
            calls.append((self.ptr, event))

    cuda = cupy_device.xp.cuda
    real = cuda.Event

    class Event:
        def __init__(self, **options):
            pass

        def record(self, stream):
            calls.append((stream.ptr, self))

    cuda.Event = Event
    try:
        put_behind(Stream(1), Stream(2))
        assert [ptr for ptr, _ in calls] == [2, 1]
        assert calls[0][1] is calls[1][1]
        put_behind(Stream(1), Stream(1))
        assert len(calls) == 2
    finally:
        cuda.Event = real


def test_the_peak_is_of_all_that_was_there_at_once(xp):
    memory.release()
    with memory.measured() as outer:
        kept = xp.zeros(1000 << 10, np.uint8)
        with memory.measured() as inner:
            for _ in range(3):
                dropped = xp.zeros(3000 << 10, np.uint8)
                del dropped
        del kept
        base = memory.used()
    assert inner.nbytes - base == 4000 << 10
    assert outer.nbytes == inner.nbytes


# ---- whether to record ---------------------------------------------------------------------------


def times(graph_cache, work, runs=6, piece="piece", state=None):
    for _ in range(runs):
        graph_cache.run(piece, state, work)


def test_a_piece_is_done_before_it_is_recorded(xp):
    work, x, y = work_on(xp)
    calls, messages = [], []

    def counted():
        calls.append(1)
        work()

    graph_cache = GraphCache("auto", lambda: 0, messages.append)
    for run in range(6):
        x.fill(run)
        graph_cache.run("a", None, counted)
        assert (y == 12 * run + 1).all()
    assert len(calls) == WARM_UP + 1
    assert messages == ["graph: steps are recorded"]
    times(graph_cache, counted, 1, state="another")  # all is forgotten
    assert len(calls) == WARM_UP + 2
    assert graph_cache.nbytes == 0
    times(graph_cache, counted, 4, state="another")
    assert len(calls) == 2 * (WARM_UP + 1)
    with precision("tf32"):
        times(graph_cache, counted, 1, state="another")
    assert len(calls) == 2 * (WARM_UP + 1) + 1


def test_random_numbers_of_the_host_are_not_recorded(xp):
    def work():
        random.default_rng().random()

    messages = []
    times(GraphCache("auto", lambda: 0, messages.append), work)
    reason = "the network draws random numbers on the host"
    assert messages == [f"graph: steps are not recorded: {reason}"]
    sentence = f"graph on: a step cannot be recorded: {reason}"
    with pytest.raises(TrainingError, match=f"^{sentence}") as caught:
        times(GraphCache("on", lambda: 0, messages.append), work)
    assert caught.value.as_options == f"--{sentence}"
