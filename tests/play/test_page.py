"""The page in a browser: click, drag, draw, press keys, on a desktop and on a phone."""

from __future__ import annotations

import json

import play_page
import pytest

pytestmark = pytest.mark.cpu


def text(page, selector):
    return page.locator(selector).inner_text()


def numbers(page, grid):
    return [int(v) for v in page.locator(f"#{grid} .cell[data-index]").all_inner_texts()]


def cell(page, grid, index):
    return page.locator(f"#{grid} .cell[data-index='{index}']")


def box_of(place):
    """Where an element is on the screen, once it is there."""
    place.scroll_into_view_if_needed()
    return place.bounding_box()


def taps(page, grid):
    """Of the cells that are lit: index (None in the border), and number of the tap."""
    script = "cells => cells.map(c => [c.dataset.index ?? null, Number(c.dataset.tap)])"
    found = page.locator(f"#{grid} .cell.lit").evaluate_all(script)
    return [(None if index is None else int(index), tap) for index, tap in found]


def marked(page, matrix):
    mark = page.locator(f"#{matrix} .mark")
    return mark.get_attribute("data-axis"), int(mark.get_attribute("data-index"))


def slide(page, name, value, form="conv-controls"):
    page.locator(f"#{form} [name={name}]").fill(str(value))


def test_an_output_pixel_lights_its_window_and_its_row(page):
    cell(page, "conv-output", 4).hover()  # the middle of 3 x 3
    assert taps(page, "conv-input") == [
        (i, tap) for tap, i in enumerate([6, 7, 8, 11, 12, 13, 16, 17, 18], 1)
    ]
    assert marked(page, "conv-matrix") == ("row", 4)
    assert marked(page, "conv-transpose") == ("column", 4)
    assert f"= {numbers(page, 'conv-output')[4]}." in text(page, "#conv-readout")


def test_an_input_pixel_lights_its_stamp_and_its_column(page):
    cell(page, "conv-input", 12).click()
    # A convolution's stamp runs backwards: the last tap reaches the first output pixel.
    assert taps(page, "conv-output") == [(i, 9 - i) for i in range(9)]
    assert marked(page, "conv-matrix") == ("column", 12)
    assert marked(page, "conv-transpose") == ("row", 12)
    page.check("#conv-controls input[value=transposed]")
    slide(page, "stride", 2)
    cell(page, "conv-input", 0).click()
    assert [tap for _, tap in taps(page, "conv-output")] == list(range(1, 10))


def test_padding_is_drawn_around_the_larger_picture(page):
    slide(page, "padding", 1)
    cell(page, "conv-output", 0).hover()
    lit = taps(page, "conv-input")
    assert [index for index, _ in lit] == [None] * 4 + [0, 1, None, 5, 6]
    assert "5 taps of its window meet padding" in text(page, "#conv-readout")


def test_sizes_are_shown_with_their_formula(page):
    for name, value in (("stride", 2), ("padding", 1), ("dilation", 2), ("kernelWidth", 2)):
        slide(page, name, value)
    formula = text(page, "#conv-formula")
    assert "⌊(5 + 2·1 − 2·(3 − 1) − 1) / 2⌋ + 1 = 2" in formula
    assert "⌊(5 + 2·1 − 2·(2 − 1) − 1) / 2⌋ + 1 = 3" in formula
    page.check("#conv-controls input[value=transposed]")
    slide(page, "outputPadding", 1)
    assert "(4 − 1)·2 − 2·1 + 2·(3 − 1) + 1 + 1 = 10" in text(page, "#conv-formula")


def test_an_impossible_geometry_says_why_and_comes_back(page):
    slide(page, "height", 2)
    assert "kernel spans 3 pixels of height" in text(page, "#conv-problem")
    assert not page.locator("#conv-output").is_visible()
    slide(page, "padding", 1)
    assert not page.locator("#conv-problem").is_visible()
    assert page.locator("#conv-output").is_visible()


def test_a_tap_is_typed_and_dragged(page):
    first = page.locator("#conv-kernel input").first
    slide(page, "kernelHeight", 1)
    slide(page, "kernelWidth", 1)
    first.fill("3")
    assert numbers(page, "conv-output") == [3 * v for v in numbers(page, "conv-input")]
    box = box_of(first)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 40, steps=8)
    page.mouse.up()
    assert first.input_value() == "-2"
    assert numbers(page, "conv-output") == [-2 * v for v in numbers(page, "conv-input")]
    first.press("ArrowUp")
    assert numbers(page, "conv-output") == [-v for v in numbers(page, "conv-input")]


def test_arrow_keys_walk_and_tab_leaves(page):
    cell(page, "conv-output", 0).focus()
    for key, index in (("ArrowRight", 1), ("ArrowDown", 4), ("End", 5), ("ArrowDown", 8)):
        page.keyboard.press(key)
        assert marked(page, "conv-matrix") == ("row", index)
    page.keyboard.press("ArrowDown")  # there is nothing below
    assert marked(page, "conv-matrix") == ("row", 8)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('[role=grid]').id") == "conv-overlaps"
    assert page.locator("#conv-output [tabindex='0']").count() == 1


def test_a_matrix_row_is_reached_through_the_matrix(page):
    box = box_of(page.locator("#conv-matrix svg"))
    page.mouse.move(box["x"] + 40, box["y"] + box["height"] * 7.5 / 9)
    assert marked(page, "conv-matrix") == ("row", 7)
    assert "Output pixel (row 2, column 1)" in text(page, "#conv-readout")


def test_overlap_counts_show_the_checkerboard(page):
    page.check("#conv-controls input[value=transposed]")
    slide(page, "stride", 2)
    assert set(numbers(page, "conv-overlaps")) == {1, 2, 4}
    assert "checkerboard" in text(page, "#conv-evenness")
    for name in ("kernelHeight", "kernelWidth"):
        slide(page, name, 2)
    assert set(numbers(page, "conv-overlaps")) == {1}
    assert "checkerboard" not in text(page, "#conv-evenness")


def test_a_dragged_pixel_makes_the_switch_jump(page):
    before = numbers(page, "pool-picture")
    assert before[:2] == [3, 7]
    box = box_of(cell(page, "pool-picture", 0))
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 40, steps=5)  # 3 + 5
    page.mouse.up()
    assert numbers(page, "pool-picture")[0] == 8
    assert "window (0, 0) jumped from (0, 1) to (0, 0)" in text(page, "#pool-jump")
    assert numbers(page, "pool-unpooled")[:2] == [8, 0]


def test_keys_make_a_tie_which_the_first_wins(page):
    cell(page, "pool-picture", 0).focus()
    for _ in range(4):
        page.keyboard.press("+")  # 7, as its neighbour
    assert numbers(page, "pool-pooled")[0] == 7
    assert numbers(page, "pool-unpooled")[:2] == [7, 0]
    cell(page, "pool-pooled", 0).hover()
    assert "a tie of 2 pixels, of which the first" in text(page, "#pool-readout")
    page.locator("#pool-less").click()
    assert numbers(page, "pool-unpooled")[:2] == [0, 7]


def test_two_windows_that_chose_one_pixel(page):
    slide(page, "stride", 1, "pool-controls")
    twice = page.locator("#pool-unpooled .twice")
    assert twice.count() > 0
    assigned = numbers(page, "pool-unpooled")
    page.check("#pool-controls input[value=add]")
    added = numbers(page, "pool-unpooled")
    assert all(a <= b for a, b in zip(assigned, added, strict=True))
    assert sum(added) > sum(assigned)


def test_unpooling_by_another_pictures_switches(page):
    own = numbers(page, "pool-unpooled")
    page.check("#pool-controls input[value=other]")
    assert page.locator("#pool-other").is_visible()
    there = numbers(page, "pool-unpooled")
    assert sorted(there) == sorted(own)
    assert there != own


def drawn(page):
    """Wait until what is drawn has been computed."""
    frame = "await new Promise(requestAnimationFrame);"
    page.evaluate(f"async () => {{ {frame} {frame} }}")
    found = text(page, "#net-readout").removeprefix("Pixels: ").removesuffix(".")
    return {name: int(count) for name, count in (part.split() for part in found.split(", "))}


@pytest.mark.parametrize("shape", ["circle", "triangle", "rectangle"])
def test_the_network_knows_the_examples(page, shape):
    page.click(f"[data-example={shape}]")
    counts = drawn(page)
    assert counts[shape] > 0.7 * sum(counts.values())
    page.click("#net-clear")
    assert sum(drawn(page).values()) < 60


def test_a_drawn_rectangle_is_filled_in(page):
    page.click("#net-clear")
    box = box_of(page.locator("#net-ink"))
    corners = [(0.25, 0.3), (0.75, 0.3), (0.75, 0.7), (0.25, 0.7), (0.25, 0.3)]
    points = [(box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in corners]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=10)
    page.mouse.up()
    counts = drawn(page)
    assert counts["rectangle"] > 0.6 * 24 * 19
    page.mouse.move(box["x"] + 10, box["y"] + 10)  # the pen is up
    assert drawn(page) == counts


def test_keys_draw(page):
    page.click("#net-clear")
    page.locator("#net-ink").focus()
    page.keyboard.press(" ")
    for key, times in (("ArrowRight", 20), ("ArrowUp", 20), ("ArrowLeft", 20), ("ArrowDown", 20)):
        for _ in range(times):
            page.keyboard.press(key)
    page.keyboard.press(" ")
    counts = drawn(page)
    assert counts["rectangle"] > 150


def test_fc7_and_switches_are_switched_off(page):
    shown = [drawn(page)]
    for name, value in (
        ("fc7", "mean"),
        ("fc7", "own"),
        ("switches", "corner"),
        ("switches", "other"),
    ):
        page.check(f"#net-controls [name={name}][value={value}]")
        shown.append(drawn(page))
    assert shown[0] == shown[2]
    assert len({json.dumps(counts) for counts in shown}) == 4


def test_with_fc7_off_its_values_are_the_same_for_every_drawing(page):
    pixels = "() => document.querySelector('#layer-fc7 canvas').toDataURL()"
    page.check("#net-controls [name=fc7][value=mean]")
    seen = set()
    for shape in ("circle", "rectangle"):
        page.click(f"[data-example={shape}]")
        drawn(page)
        seen.add(page.evaluate(pixels))
    assert len(seen) == 1


def test_every_layer_is_shown(page):
    drawn(page)
    names = page.evaluate("NETWORK.steps.map((step) => step.name)")
    assert len(names) > 20
    for name in names:
        box = box_of(page.locator(f"#layer-{name} canvas"))
        assert box["width"] > 10
        assert box["height"] > 10


def test_fingers_do_what_the_mouse_does(open_page, one_file):
    phone = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}
    page = open_page(one_file, **phone)
    cell(page, "conv-output", 4).tap()
    assert marked(page, "conv-matrix") == ("row", 4)
    cell(page, "pool-picture", 0).tap()
    page.locator("#pool-more").tap()
    assert numbers(page, "pool-picture")[0] == 4
    finger = page.context.new_cdp_session(page)

    def touch(kind, *points):
        touches = [{"x": x, "y": y} for x, y in points]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    def stroke(*points):
        touch("touchStart", points[0])
        for point in points[1:]:
            touch("touchMove", point)
        touch("touchEnd")

    box = box_of(cell(page, "pool-picture", 0))
    x, y = box["x"] + 10, box["y"] + 10
    stroke((x, y), (x, y - 16), (x, y - 32))
    assert numbers(page, "pool-picture")[0] == 8
    page.locator("#net-clear").tap()
    box = box_of(page.locator("#net-ink"))
    empty = page.evaluate("() => document.querySelector('#net-ink').toDataURL()")
    stroke((box["x"] + 50, box["y"] + 50), (box["x"] + 150, box["y"] + 150))
    drawn(page)
    assert page.evaluate("() => document.querySelector('#net-ink').toDataURL()") != empty


def test_the_page_works_from_the_checkout_too(open_page):
    page = open_page(play_page.SOURCE / "index.html")
    assert marked(page, "conv-matrix") == ("row", 0)
    assert sum(drawn(page).values()) > 100


def test_one_file_needs_no_other_and_links_to_the_site(one_file):
    written = one_file.read_text(encoding="utf-8")
    assert "src=" not in written
    assert "<link" not in written
    assert 'href="ablations.html"' in written
    for name in ("ablations", "index"):
        assert (play_page.DOCS / f"{name}.md").exists()
