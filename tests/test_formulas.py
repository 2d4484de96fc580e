"""Formulas of the site: MathML that browsers draw as it is meant."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

mathml = pytest.importorskip(
    "mathml", reason="latex2mathml is not installed (group docs)", exc_type=ImportError
).mathml


def words(formula, **options):
    """The texts of a formula's elements, in order."""
    return [e.text for e in ElementTree.fromstring(mathml(formula, **options)).iter() if e.text]


def test_a_word_is_one_word():
    made = mathml(r"\mathtt{conv\_transpose2d}(x, \mathrm{vec}(W))")
    assert "mathvariant" not in made
    assert words(r"\mathtt{conv\_transpose2d}(x)") == ["conv_transpose2d", "(", "x", ")"]
    assert '<mtext class="sans-serif">T</mtext>' in mathml(r"J^{\mathsf T}")


def test_primes_are_not_raised_twice():
    assert "msup" not in mathml("f'(x)")
    assert words("n'_i") == ["n", "i", "\N{PRIME}"]
    assert "msup" in mathml("x^2")


def test_lines_and_columns_are_a_table():
    lines = r"a &= b \\ c &= d"
    for formula in (lines, rf"\begin{{aligned}}{lines}\end{{aligned}}"):
        made = mathml(formula, display=True)
        assert made.count("<mtr") == 2
        assert ">&<" not in made
        assert 'display="block"' in made
    assert 'display="inline"' in mathml("a")


@pytest.mark.parametrize(
    "formula",
    [
        r"\big( \Big( \dots \lfloor x \rfloor",
        r"\operatorname{conv}",
        r"\begin{cases} a \\ b \end{cases}",
    ],
)
def test_no_command_is_left_over(formula):
    assert not re.search(r"\\\w", mathml(formula))


@pytest.mark.parametrize("formula", [r"\big\| x \big\|", r"\arg\min_x f(x)", r"\nothing x"])
def test_a_command_that_would_stand_on_the_page_as_it_is_written_is_refused(formula):
    with pytest.raises(ValueError, match="is no command that is known"):
        mathml(formula)
    assert r"\left" not in mathml(r"\left\| x \right\|")
