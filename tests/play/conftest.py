"""A headless Chromium with the network blocked, and the page to play with opened in it."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path

import play_page
import pytest

PATIENCE = 180_000  # milliseconds: a busy machine is not a failure
NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium():
    """A browser, or a skip that says what is missing."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (group browser)"
    )
    there = filter(None, map(shutil.which, NAMES))
    found = os.environ.get("MINIDECONV_CHROMIUM") or next(there, "")
    if not found:
        pytest.skip(
            "no Chromium on this machine: install the system's package chromium, or name the"
            " program in MINIDECONV_CHROMIUM"
        )
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found,
            args=["--no-sandbox", "--disable-dev-shm-usage"],
            timeout=PATIENCE,
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def one_file(tmp_path_factory) -> Path:
    """The page in one file, away from what it was made of."""
    path = tmp_path_factory.mktemp("play") / "playground.html"
    play_page.build(path)
    return path


@pytest.fixture
def open_page(chromium):
    """Open a file with options of the browser; any error or request for another file fails."""
    contexts, wrong = [], []

    def opened(path: Path, **options):
        context = chromium.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        context.set_offline(True)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda line: line.type == "error" and wrong.append(line.text))
        page.on("request", lambda r: r.url.startswith("file:") or wrong.append(r.url))
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong


@pytest.fixture
def page(open_page, one_file):
    """Open the page in one file, on a desktop."""
    return open_page(one_file, viewport={"width": 1280, "height": 900})


def called(page, function, argument):
    """Call a function of a page's language with one argument, both ways as one text.

    Playwright wraps every single number of an array, which takes minutes here.
    """
    script = f"(text) => JSON.stringify(({function})(JSON.parse(text)))"
    return json.loads(page.evaluate(script, json.dumps(argument)))


@pytest.fixture
def call(page):
    """Call a function in the page."""
    return partial(called, page)


@pytest.fixture
def call_wrong(open_page, tmp_path):
    """Call a function where only arithmetic.js is, one text in it replaced by another."""

    def opened(right, wrong):
        source = (play_page.SOURCE / "arithmetic.js").read_text(encoding="utf-8")
        assert source.count(right) >= 1
        path = tmp_path / "wrong.html"
        path.write_text(f"<script>{source.replace(right, wrong)}</script>", encoding="utf-8")
        return partial(called, open_page(path))

    return opened
