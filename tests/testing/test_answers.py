"""Answers of learners: right ones are seen, wrong ones get a hint and never the right value."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.testing import check_answer

pytestmark = pytest.mark.cpu
RIGHT = [
    (6, 6),
    (6, 6.0),
    ((5, 7), (5, 7)),
    ([1, 2, 3], np.array([1, 2, 3])),
    (0.1 + 0.2, 0.3),
    (np.array([1e8, 0.1]), np.array([1e8, 0.0])),
    (1e-17, 0.0),
    ([1e-16, -1e-17], [0.0, 0.0]),
    ("scatter", "scatter"),
    (True, True),
    (np.zeros((0, 3)), np.zeros((0, 3))),
]
WRONG = [
    (5, 6, "x: ✗ not yet. think"),
    (0.3001, 0.3, "x: ✗ not yet. think"),
    (1e-9, 0.0, "x: ✗ not yet. think"),
    ("gather", "scatter", "x: ✗ not yet. think"),
    (4, "scatter", "x: ✗ not yet. think"),
    ("6", 6, "x: ✗ not yet. think"),
    ("scatter", [1, 2], "x: ✗ not yet. think"),
    ([1, 2], "scatter", "x: ✗ not yet. think"),
    (float("nan"), 0.5, "x: ✗ not yet. think"),
    ([1, 2], [1, 2, 3], "x: ✗ not yet: its shape (2,) is not the one asked for. think"),
    (7, [1, 2, 3], "x: ✗ not yet: its shape of a single number is not the one asked for. think"),
    ([[1, 2], [3]], [1], "x: ✗ not yet: it should be numbers, and is list. think"),
    (len, 3, "x: ✗ not yet: it should be numbers, and is builtin_function_or_method. think"),
]


@pytest.mark.parametrize(("answer", "expected"), RIGHT)
def test_a_right_answer(answer, expected, capsys):
    check_answer("x", answer, expected, hint="think")
    assert capsys.readouterr().out == "x: ✓\n"


@pytest.mark.parametrize(("answer", "expected", "said"), WRONG)
def test_a_wrong_answer_gets_the_hint(answer, expected, said, capsys):
    check_answer("x", answer, expected, hint="think")
    assert capsys.readouterr().out == said + "\n"


def test_entries_are_counted_and_the_right_value_is_not_told(capsys):
    check_answer("x", np.array([[1, 2], [9, 4]]), np.array([[1, 2], [31, 4]]))
    said = capsys.readouterr().out
    assert said == (
        "x: ✗ not yet: 3 of 4 entries are right, the first wrong one is at (1, 0),"
        " where you have 9.\n"
    )


def test_the_first_hint_that_holds_is_given_and_one_that_raises_is_passed_over(capsys):
    hints = [
        (lambda a: a[5] == 1, "five"),
        (lambda a: np.equal(a, 3), "all threes"),
        (lambda a: True, "any"),
    ]
    check_answer("x", [3, 3], [1, 2], hints=hints, hint="else")
    check_answer("x", [3, 4], [1, 2], hints=hints, hint="else")
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(". all threes")
    assert second.endswith(". any")


def test_nothing_written_yet(capsys):
    check_answer("x", None, 3, hint="think")
    assert capsys.readouterr().out == "x: nothing written yet\n"
