"""When a wait ends, and what is said about those who did not come."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from minideconv.distributed import waiting
from minideconv.distributed.ending import _in_words
from minideconv.distributed.peers import Farewell
from minideconv.distributed.waiting import PeerLost, Waiting
from minideconv.errors import AlreadySaid, DataError


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that only waiting moves: a real one also tells how busy the machine is."""
    time = SimpleNamespace(now=0.0)

    def pass_by(seconds=1e-5):
        time.now += seconds
        return time.now

    time.monotonic = time.pass_by = pass_by
    time.sleep = pass_by
    monkeypatch.setattr(waiting, "time", time)
    return time


def quiet(deaths=0, notes=None):
    return SimpleNamespace(deaths=deaths, heard=lambda: notes or {})


def test_what_is_done_is_not_waited_for():
    Waiting(0.001, quiet(1, {0: {}})).until(lambda: True, "nothing")


def test_it_asks_until_it_is_done():
    answers = iter([False] * 50 + [True])
    Waiting(10, quiet()).until(lambda: next(answers), "an answer")


@pytest.mark.parametrize(
    ("limit", "peers", "stopping"),
    [
        (0.05, quiet(), False),
        (60, quiet(deaths=1), False),
        (60, quiet(notes={1: {"error": "x"}}), False),
        (60, quiet(), True),
    ],
)
def test_it_ends_when_nobody_comes(monkeypatch, clock, limit, peers, stopping):
    monkeypatch.setattr(waiting, "AFTER_NEWS", 0.05)
    monkeypatch.setattr(waiting, "AFTER_STOP", 0.05)
    wait = Waiting(limit, peers)
    wait.stopping = lambda: stopping
    with pytest.raises(PeerLost, match=r"waited 0\.1 s for the others"):
        wait.until(lambda: False, "the others")
    assert 0.05 <= clock.now < 0.06


def test_news_leave_time_for_what_is_nearly_done(clock):
    Waiting(10, quiet(deaths=1)).until(lambda: clock.now > waiting.AFTER_NEWS - 0.01, "a sum")
    with pytest.raises(PeerLost):
        Waiting(10, quiet(deaths=1)).until(lambda: clock.now > 2 * waiting.AFTER_NEWS, "a sum")


def error(text, code=1):
    return {"error": text, "code": code}


def waited(text="waited 3.0 s for a sum"):
    return {"waited": text, "code": 1}


@pytest.mark.parametrize(
    ("notes", "died", "said", "code"),
    [
        ({0: waited(), 1: waited()}, True, "rank 2 has ended; rank 0 waited 3.0 s for a sum", 1),
        ({1: waited()}, False, "ranks 0, 2 do not answer; rank 1 waited 3.0 s for a sum", 1),
        ({0: waited(), 1: error("no file", 2), 2: waited()}, False, "rank 1: no file", 2),
        ({0: error("a"), 1: error("b"), 2: error("a")}, False, "ranks 0, 2: a; rank 1: b", 1),
        ({0: error("a", 2), 1: error("a", 2), 2: error("a", 2)}, False, "a", 2),
        ({0: error("a", 130), 1: error("", 130), 2: error("", 130)}, False, "a", 130),
        ({0: waited(), 1: waited(), 2: waited()}, False, "rank 0 waited 3.0 s for a sum", 1),
    ],
)
def test_what_is_said(notes, died, said, code):
    farewell = Farewell(min(notes), 3, notes)
    assert farewell.first
    assert farewell.sentence(died) == said
    assert farewell.code == code
    assert farewell.orderly == (len(notes) == 3 and all("error" in n for n in notes.values()))
    assert not Farewell(2, 3, notes).first


def test_errors_in_words():
    assert _in_words(DataError("a.png is cut off")) == ("a.png is cut off", 1)
    assert _in_words(AlreadySaid(2)) == ("", 2)
    assert _in_words(SystemExit(2)) == ("", 2)
    assert _in_words(SystemExit()) == ("", 0)
    assert _in_words(SystemExit("text")) == ("", 1)
    assert _in_words(KeyboardInterrupt()) == ("stopped at once", 130)
    assert _in_words(ZeroDivisionError("bug")) == ("ZeroDivisionError: bug", 1)
