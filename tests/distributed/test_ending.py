"""What is printed about processes that cannot go on, and with which exit code they end."""

from __future__ import annotations

import pytest

from minideconv.distributed.shutdown import Note, all_came, exit_code, note_of, sentence
from minideconv.distributed.waiting import PeerLost
from minideconv.errors import AlreadyReported, DataError


def error(text, code=1):
    return Note(text, code)


def waited(text="waited 3.0 s for a sum"):
    return Note(text, 1, waited=True)


@pytest.mark.parametrize(
    ("notes", "text", "code"),
    [
        ({0: waited(), 1: waited()}, "rank 2 does not answer; rank 0 waited 3.0 s for a sum", 1),
        ({1: waited()}, "ranks 0, 2 do not answer; rank 1 waited 3.0 s for a sum", 1),
        ({0: waited(), 1: error("no file", 2), 2: waited()}, "rank 1: no file", 2),
        ({1: error("no file", 2)}, "rank 1: no file", 2),
        ({0: error("a"), 1: error("b"), 2: error("a")}, "ranks 0, 2: a; rank 1: b", 1),
        ({0: error("a", 2), 1: error("a", 2), 2: error("a", 2)}, "a", 2),
        ({0: error("a", 130), 1: error("", 130), 2: error("", 130)}, "a", 130),
        ({0: error("", 2), 1: error("", 2), 2: error("", 2)}, "", 2),
        ({0: waited(), 1: waited(), 2: waited()}, "rank 0 waited 3.0 s for a sum", 1),
    ],
)
def test_what_is_printed(notes, text, code):
    assert sentence(notes, 3) == text
    assert exit_code(notes) == code
    assert all_came(notes, 3) == (len(notes) == 3 and waited() not in notes.values())


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (DataError("a.png is cut off"), Note("a.png is cut off", 1)),
        (PeerLost("waited 3.0 s for a sum"), Note("waited 3.0 s for a sum", 1, waited=True)),
        (AlreadyReported(2), Note("", 2)),
        (SystemExit(2), Note("", 2)),
        (SystemExit(), Note("", 0)),
        (SystemExit("text"), Note("", 1)),
        (KeyboardInterrupt(), Note("stopped at once", 130)),
    ],
)
def test_errors_as_notes(error, wanted):
    assert note_of(error) == wanted


def test_a_bug_brings_its_traceback():
    try:
        raise ZeroDivisionError("bug")
    except ZeroDivisionError as error:
        note = note_of(error)
    assert note[:3] == ("ZeroDivisionError: bug", 1, False)
    assert "test_a_bug_brings_its_traceback" in note.trace
