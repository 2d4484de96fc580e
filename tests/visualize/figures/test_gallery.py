"""The gallery's page is that of the present code, and every picture in it can be read."""

from __future__ import annotations

import gallery
import pytest

from minideconv.visualize.figures.alt import alt_fault
from minideconv.visualize.figures.style import LEAST_TEXT, PAGE_WIDTH


def test_the_page_is_what_the_script_writes():
    page = (gallery.DOCS / "gallery.md").read_text(encoding="utf-8")
    assert page == gallery.page(), "build the docs, which write docs/gallery.md"


@pytest.mark.parametrize("entry", gallery.ENTRIES, ids=lambda entry: entry.name)
def test_every_picture_fits_a_page(entry):
    picture = gallery.draw(entry)
    assert picture.width <= PAGE_WIDTH
    assert picture.smallest_text >= LEAST_TEXT
    assert not alt_fault(entry.alt)
