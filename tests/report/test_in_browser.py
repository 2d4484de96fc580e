"""The report in a browser, opened as a file: it follows a run, and is used by pointer and keys."""

from __future__ import annotations

import asyncio

import pytest
from browser import opened
from written_run import epoch_line, write_run

from minideconv.report import main
from minideconv.training.run.lock import run_lock
from minideconv.training.run.report import write_report

pytestmark = pytest.mark.cpu
CLASSES = ["background", "cat", "dog"]


@pytest.fixture
def run(tmp_path):
    run = write_run(tmp_path / "run", CLASSES)
    write_report(run)
    return run


def test_the_slider_goes_through_the_layers_of_each_image(run):
    with opened(run.report) as page:
        box = page.locator("[data-layers]")
        slider, said = box.locator("input[type=range]"), box.locator("output")
        assert said.text_content() == "deconv0: 3 × 3"
        slider.focus()
        page.keyboard.press("ArrowRight")
        assert said.text_content() == "deconv1: 6 × 6"
        box.get_by_label("the next layer").click()
        assert said.text_content() == "deconv2: 12 × 12"
        shown = box.locator(".layer:visible")
        assert shown.count() == 1
        first = shown.locator("img").get_attribute("src")
        box.get_by_label("image 1").check()
        assert box.locator(".layer:visible").count() == 1
        assert box.locator(".layer:visible img").get_attribute("src") != first
        assert said.text_content() == "deconv2: 12 × 12"


def test_a_chart_is_read_by_keys_and_by_the_pointer(run):
    with opened(run.report) as page:
        chart = page.locator("svg.chart").first
        readout = chart.locator("xpath=following-sibling::p[1]")
        chart.focus()
        page.keyboard.press("End")
        assert readout.text_content() == (
            "step 30 · training steps 0.12 (at 25) · training epochs 2 · validation 0.3333"
        )
        page.keyboard.press("ArrowLeft")
        assert "step 25 " in readout.text_content()
        page.keyboard.press("Escape")
        assert readout.text_content() == ""
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        page.mouse.move(box["x"] + box["width"] * 0.95, box["y"] + box["height"] / 2)
        assert "step 30 " in readout.text_content()


def test_an_open_page_follows_the_run_and_stops_looking_at_its_end(tmp_path):
    run = write_run(tmp_path / "run", CLASSES, epochs=1, planned=3, finished=False)
    with run_lock(run.path):
        write_report(run)
        run.live.tell(lambda: {"text": "epoch 1/3 <b>loss</b>", "share": 0.33}, at_once=True)
        with opened(run.report) as page:
            bar = page.locator(".live")
            bar.get_by_text("running: epoch 1/3 <b>loss</b>").wait_for()
            assert page.locator(".facts").text_content().endswith("still running: 1 of 3 epochs")
            run.add_metrics(epoch_line(2, [0.2, 0.4, 0.6]))
            write_report(run)
            page.get_by_text("still running: 2 of 3 epochs").wait_for()
            assert page.locator(".history thead").text_content().endswith("12")
            run.live.end("stopped")
            bar.get_by_text("stopped: epoch 1/3").wait_for()
            run.live.path.unlink()  # nobody looks any more: no error
            page.wait_for_timeout(2500)
            assert "stopped" in bar.text_content()


def test_the_page_of_a_finished_run_looks_at_no_file(run):
    run.live.path.write_text("throw new Error('planted')")
    with opened(run.report) as page:
        page.wait_for_timeout(2500)
        assert page.locator(".live").is_hidden()


def test_nothing_is_cut_off_and_digits_can_be_read(tmp_path):
    many = [f"class number {number}" for number in range(21)]
    runs = [write_run(tmp_path / name, many, lr=lr) for name, lr in (("a", 0.1), ("b", 0.2))]
    write_report(runs[0])
    both = tmp_path / "both.html"
    assert main(["--compare", *(str(run.path) for run in runs), "-o", str(both)]) == 0
    for path in (runs[0].report, both):
        with opened(path) as page:
            for width in (390, 1280, 1920):
                page.set_viewport_size({"width": width, "height": 900})
                # A page scrolls downwards alone; what is wider has a box that scrolls.
                assert page.evaluate("document.documentElement.scrollWidth") == width
                assert page.evaluate(_OUTSIDE) == []
                assert page.evaluate(_SMALLEST) >= 10


_OUTSIDE = """[...document.querySelectorAll("body *")].filter((one) => !one.closest(".scroll") &&
  one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML)"""
_SMALLEST = """Math.min(...[...document.querySelectorAll("body *")].map((one) => {
  const svg = one.ownerSVGElement, size = parseFloat(getComputedStyle(one).fontSize);
  return svg ? size * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : size;
}))"""


def test_nothing_of_a_closed_browser_keeps_running(run):
    with opened(run.report):
        pass
    assert asyncio.run(asyncio.sleep(0, "an event loop of our own")) == "an event loop of our own"
