"""When a wait ends."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from minideconv.distributed import waiting
from minideconv.distributed.waiting import PeerLost, wait_until


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that only waiting moves: a real one depends on how busy the machine is."""
    time = SimpleNamespace(now=0.0)

    def pass_by(seconds=1e-5):
        time.now += seconds
        return time.now

    time.monotonic = time.pass_by = pass_by
    time.sleep = pass_by
    monkeypatch.setattr(waiting, "time", time)
    return time


def test_what_is_done_is_not_waited_for(clock):
    wait_until(lambda: True, "nothing", 0.0)


def test_it_polls_until_it_is_done(clock):
    answers = iter([False] * 50 + [True])
    wait_until(lambda: next(answers), "an answer", 10)


def test_it_ends_when_the_others_do_not_come(clock):
    with pytest.raises(PeerLost, match=r"^waited 0\.1 s for the others$"):
        wait_until(lambda: False, "the others", 0.05)
    assert 0.05 <= clock.now < 0.06


def test_what_comes_just_in_time_is_no_error(clock):
    wait_until(lambda: clock.now > 9.99, "a sum", 10)


def test_it_leaves_the_core_to_others_after_a_while(clock):
    asked = []
    with pytest.raises(PeerLost):
        wait_until(lambda: asked.append(clock.now), "a sum", 1.0)
    late = [time for time in asked if time > waiting.YIELD]
    assert len(late) < 1.1 * 1.0 / waiting.POLL
