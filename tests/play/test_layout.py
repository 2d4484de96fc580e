"""From a phone to a wide screen, in light and dark: nothing is clipped, and all can be read."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.cpu

# Every text with its size, and its contrast with what is behind it (WCAG 2.2, success criterion 1.4.3).
TEXTS = """() => {
  const rgba = (colour) => {
    const parts = colour.match(/[\\d.]+/g).map(Number);
    const scale = colour.startsWith("color(") ? 255 : 1;
    return [...parts.slice(0, 3).map((v) => v * scale), parts[3] ?? 1];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0.99) return colour;
    }
    return [255, 255, 255, 1];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility() || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const svg = element.namespaceURI.endsWith("svg");
    const [a, b] = [light(rgba(svg ? style.fill : style.color)), light(behind(element))];
    const contrast = svg ? 21 : (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push([node.data.trim().slice(0, 40), parseFloat(style.fontSize), contrast]);
  }
  return found;
}"""

# Elements whose content does not fit; boxes that scroll may hold more.
CLIPPED = """() => [...document.querySelectorAll("body *")].filter((e) => {
  if (!e.checkVisibility() || e.closest("svg") || e.closest(".room, .scroll")) return false;
  const box = e.getBoundingClientRect();
  return box.right > document.documentElement.clientWidth + 1 || box.left < -1;
}).map((e) => e.tagName + "#" + e.id + "." + e.className)"""

STATES = {
    "convolution": [],
    "transposed": ["#conv-controls [value=transposed]"],
    "pooling by another picture": ["#pool-controls [value=other]", "#net-controls [value=mean]"],
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 768, 1280, 1920])
def test_nothing_is_clipped_and_all_can_be_read(open_page, one_file, width, scheme):
    page = open_page(one_file, viewport={"width": width, "height": 900}, color_scheme=scheme)
    for name, clicks in STATES.items():
        for selector in clicks:
            page.check(selector)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.evaluate(CLIPPED) == [], name
        texts = page.evaluate(TEXTS)
        assert len(texts) > 200
        small = [found for found in texts if found[1] < 10]
        pale = [found for found in texts if found[2] < 4.5]
        assert not small, name
        assert not pale, name


@pytest.mark.parametrize("width", [390, 1920])
def test_the_largest_geometry_fits(open_page, one_file, width):
    page = open_page(one_file, viewport={"width": width, "height": 900})
    for kind in ("conv", "transposed"):
        page.check(f"#conv-controls [value={kind}]")
        for slider in page.locator("#conv-controls input[type=range]").all():
            if slider.is_enabled() and slider.get_attribute("name") != "stride":
                slider.fill(slider.get_attribute("max"))
        assert page.locator("#conv-output").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CLIPPED) == []


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
