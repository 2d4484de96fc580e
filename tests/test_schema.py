"""Kinds of JSON: what each takes, and the sentence about what it does not take."""

from __future__ import annotations

import pytest

from minideconv.files.schema import (
    Mismatch,
    anything,
    choice,
    flag,
    list_of,
    mapping_of,
    number,
    optional,
    scalar,
    shown,
    shown_name,
    table,
    text,
    whole,
)

pytestmark = pytest.mark.cpu

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (text, ["", "é", "😀"], [None, 1, True, ["a"], "\ud800"]),
        (flag, [True, False], [0, 1, None, "true"]),
        (scalar, [None, True, 1, 0.5, "x"], [NAN, INF, [], {}, "\udfff"]),
        (whole(), [0, 2**53], [-1, 2**53 + 1, 1.0, True, "1", None, NAN]),
        (whole(1, 3), [1, 3], [0, 4]),
        (number(), [0, -1.5, 1e300], [NAN, INF, -INF, True, "1", None, 10**400]),
        (number(0, 1), [0, 1, 0.5], [-0.1, 1.1, 2]),
        (number(finite=False), [NAN, INF, 1], [10**400, "nan"]),
        (choice("a", "b"), ["a"], ["c", None, ["a"], {}]),
        (optional(flag), [None, True], [1]),
        (list_of(flag, 1, 2), [[True], [True, False]], [[], [True] * 3, [1], (True,), "a"]),
        (mapping_of(flag), [{}, {"a": True}], [[], {"a": 1}, None]),
        (mapping_of(flag, {"n": text}), [{"n": "x", "a": True}], [{"n": True}]),
        (table({"a": flag}, {"b": text}), [{"a": True}, {"a": True, "b": "", "c": 1}],
         [{}, {"b": ""}, {"a": True, "b": 1}, [], None]),
        (table({"a": flag}, only=("z",)), [{"a": True, "z": 1}], [{"a": True, "b": 1}]),
        (anything, [None, [NAN]], []),
    ],
)  # fmt: skip
def test_what_a_kind_takes(kind, good, bad):
    for value in good:
        kind(value, "it")
    for value in bad:
        with pytest.raises(Mismatch, match=r"^(a name in )?it[\[. ]"):
            kind(value, "it")


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (whole(1), 0, "it is 0; it must be a whole number from 1 to 9007199254740992"),
        (number(0), -1, "it is -1; it must be a number from 0"),
        (list_of(flag, 3, 3), [], "it is a list of 0; it must be a list of 3"),
        (list_of(flag), [1], "it[0] is 1; it must be true or false"),
        (
            table({"a": table({"b": flag})}),
            {"a": {"b": 2}},
            "it.a.b is 2; it must be true or false",
        ),
        (table({"a": flag}), {}, "it has no 'a'"),
        (table({}, only=()), {"\x1b": 1}, "it has '\\x1b', which does not belong there"),
        (mapping_of(flag), {"a\nb": 1}, "it.'a\\nb' is 1; it must be true or false"),
        (text, 10**100, "it is a number of more than 60 digits; it must be a text"),
    ],
)
def test_the_sentence(kind, value, said):
    with pytest.raises(Mismatch) as caught:
        kind(value, "it")
    assert str(caught.value) == said


def test_values_are_shown_short_and_plain():
    assert shown("x" * 1000) == "'" + "x" * 59 + "..."
    assert shown("\x1b[31mé\ud800").isascii()
    assert shown({"a": 1}) == "an object of 1"
    assert shown_name("conv1.weight") == "conv1.weight"
    assert shown_name("") == "''"
