"""From a phone to a wide screen, in light and dark: nothing is clipped, and all can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.cpu

LOOK = (Path(__file__).parent / "look.js").read_text(encoding="utf-8")

STATES = {
    "convolution": [],
    "transposed": ["#conv-controls [value=transposed]"],
    "pooling by another picture": ["#pool-controls [value=other]", "#net-controls [value=mean]"],
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 768, 1280, 1920])
def test_nothing_is_clipped_and_all_can_be_read(open_page, one_file, width, scheme):
    page = open_page(one_file, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.evaluate(LOOK)
    for name, clicks in STATES.items():
        for selector in clicks:
            page.check(selector)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.evaluate("look.clipped()") == [], name
        texts = page.evaluate("look.texts()")
        assert len(texts) > 200
        small = [found for found in texts if found[1] < 10]
        pale = [found for found in texts if found[2] < 4.5]
        assert not small, name
        assert not pale, name
    assert min(page.evaluate("look.taps()")) > 7


@pytest.mark.parametrize("width", [390, 1920])
def test_the_largest_geometry_fits(open_page, one_file, width):
    page = open_page(one_file, viewport={"width": width, "height": 900})
    page.evaluate(LOOK)
    for kind in ("conv", "transposed"):
        page.check(f"#conv-controls [value={kind}]")
        for slider in page.locator("#conv-controls input[type=range]").all():
            if slider.is_enabled() and slider.get_attribute("name") != "stride":
                slider.fill(slider.get_attribute("max"))
        assert page.locator("#conv-output").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("look.clipped()") == []


def test_everything_that_is_operated_has_a_name(page):
    script = """() => [...document.querySelectorAll(
        "input, button, canvas, [role=grid], [role=gridcell], [role=region], svg")]
      .filter((e) => e.checkVisibility())
      .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() ||
                       e.closest("label")?.textContent.trim()))
      .map((e) => e.outerHTML.slice(0, 80))"""
    assert page.evaluate(script) == []


def test_what_has_the_focus_is_framed(page):
    page.locator("#conv-output [tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    outline = "getComputedStyle(document.activeElement).outlineWidth"
    assert page.evaluate(outline) == "3px"
