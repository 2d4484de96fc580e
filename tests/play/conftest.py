"""A headless Chromium with the network blocked, and the page to play with opened in it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import play_page
import pytest
from browser import PATIENCE, started


@pytest.fixture(scope="module")
def chromium():
    """Start a browser, or skip."""
    with started() as browser:
        yield browser


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
