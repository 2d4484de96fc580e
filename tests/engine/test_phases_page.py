"""The page about phases: what it counts, and that its picture is drawn from what the code does."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs matplotlib: pip install minideconv[viz]")

pytestmark = pytest.mark.cpu
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def drawing():
    """The program that draws the page's pictures, found as the docs build finds it."""
    folders = [str(ROOT), str(ROOT / "docs" / "_ext")]
    sys.path[:0] = folders
    try:
        import draw_phases
    finally:
        del sys.path[: len(folders)]
    return draw_phases


@pytest.fixture(scope="module")
def page(drawing):
    return drawing.page_functions()


@pytest.mark.parametrize(
    ("size", "k", "stride", "padding", "extra"),
    [(3, 4, 2, 1, 0), (4, 3, 2, 1, 1), (2, 5, 3, 0, 2), (3, 1, 2, 0, 1), (1, 7, 3, 2, 0)],
)
def test_products_are_counted_with_and_without_zeros(page, size, k, stride, padding, extra):
    out = (size - 1) * stride - 2 * padding + k + extra
    # A tap i meets output u where u + padding - i is a whole number of strides.
    met = np.array([[(u + padding - i) % stride == 0 for i in range(k)] for u in range(out)])
    both = met[:, None, :, None] & met[None, :, None, :]
    assert page["products"](size, k, stride, padding, extra) == (both.size, both.sum())


def test_the_table_has_the_benchmarks_transposed_convolutions(drawing, page):
    lines = drawing.table(page["products"]).splitlines()
    assert len(lines) == 2 + 5
    assert "| transposed 64x64 s32 (FCN-32s), 7x7 | 205,520,896 | 200,704 | 99.9 % |" in lines


def test_the_picture_shows_which_taps_meet_which_pixel(drawing, page):
    met = drawing.phase_map(page["by_phases"])
    assert met.shape == (6, 6, 4, 4)
    assert np.argwhere(met[2, 2]).tolist() == [[1, 1], [1, 3], [3, 1], [3, 3]]
    assert np.argwhere(met[0, 0]).tolist() == [[1, 1]]  # the others are outside of the image
    assert met[2:4, 2:4].sum() == 4 * 4  # four pixels of four phases, with four taps each
    drawing.draw_phases(page["by_phases"])


def test_a_convolution_that_mixes_phases_is_not_drawn(drawing, page):
    def mixed(x, w, stride, padding):
        y = page["by_phases"](x, w, stride, padding)
        return y + np.roll(y, 1, axis=3)

    with pytest.raises(ValueError, match="unpack"):
        drawing.draw_phases(mixed)


def test_the_two_pictures_of_one_pixel_have_the_same_factors(drawing, page):
    """What the right half marks is what the left half's window meets."""
    figure = drawing.draw_zeros(page["products"])
    u, v = drawing.PIXEL
    (r, s), colours = ((u + 1) % 2, (v + 1) % 2), []
    for axes in figure.axes:
        marked = {
            text.get_text()
            for text, patch in zip(axes.texts, axes.patches, strict=False)
            if patch.get_facecolor()[:3] == pytest.approx(_rgb(drawing.COLOURS[r][s]))
        }
        colours.append(marked)
    assert colours[0] == colours[1]
    assert len(colours[0]) == 4


def _rgb(colour):
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
