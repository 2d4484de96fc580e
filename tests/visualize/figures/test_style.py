"""Contrasts by numbers, and the settings of matplotlib."""

from __future__ import annotations

import itertools

import pytest

from minideconv.visualize.figures import style
from minideconv.visualize.figures.style import contrast, ink_on, mixed, tap_colour

COLOURS = [*style.HUES, *style.FILLS.values(), style.PAPER, style.INK, "#767676"]


def test_contrast_is_that_of_the_guidelines():
    # Known pairs: black on white, and the greys on either side of 4.5:1 on white.
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676") == pytest.approx(4.54, abs=0.01)
    assert contrast("#777777") == pytest.approx(4.48, abs=0.01)
    assert contrast("#ff0000") == pytest.approx(4.0, abs=0.01)
    assert contrast("#123456", "#fedcba") == contrast("#fedcba", "#123456")


def test_text_and_lines_can_be_seen():
    for ink in (style.INK, style.MUTED, style.ACCENT):
        assert contrast(ink, style.PAPER) >= 4.5
    for fill in style.FILLS.values():
        assert contrast(style.INK, fill) >= 4.5
    for line in (style.LINE, style.ACCENT):
        assert contrast(line, style.PAPER) >= 3.0


@pytest.mark.parametrize("colour", COLOURS)
def test_ink_on_a_colour_can_be_read(colour):
    assert contrast(ink_on(colour), colour) >= 4.5


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_taps_have_colours_of_their_own(width):
    colours = [tap_colour(tap, width) for tap in range(1, 3 * width + 1)]
    assert len(set(colours)) == len(colours)
    for colour in colours:
        assert contrast(ink_on(colour), colour) >= 4.5
    rows = [tap_colour(1 + row * width, width) for row in range(3)]
    assert rows == list(style.HUES[:3])


def test_the_shades_of_a_row_are_told_apart_by_lightness():
    shades = [contrast(tap_colour(tap, 3)) for tap in (1, 2, 3)]
    for one, other in itertools.pairwise(shades):
        assert one / other >= 1.3


def test_mixed():
    assert mixed("#000000", "#ffffff", 1) == "#000000"
    assert mixed("#204060", "#000000", 0.5) == "#102030"


def test_matplotlib_text_is_large_enough():
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra viz)")
    settings = style.matplotlib_style()
    assert settings["figure.figsize"][0] * 96 <= style.PAGE_WIDTH
    sizes = [value for name, value in settings.items() if name.endswith("size")]
    sizes = [size for size in sizes if isinstance(size, float)]
    assert len(sizes) >= 6
    assert all(size * 96 / 72 >= style.LEAST_TEXT for size in sizes)
    import matplotlib as mpl

    with mpl.rc_context():
        style.use_style()
        for entry in mpl.rcParams["axes.prop_cycle"]:
            assert contrast(entry["color"]) >= 3.0
        assert mpl.rcParams["font.size"] == settings["font.size"]


def test_without_matplotlib_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install minideconv\[viz\]"):
        style.use_style()
