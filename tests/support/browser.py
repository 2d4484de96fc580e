"""A page in headless Chromium with the network blocked, for tests of what pages do."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextlib.contextmanager
def opened(path: Path, width: int = 1280, scheme: str = "light") -> Iterator[Any]:
    """Open a file as Playwright's page; any error of a script, or a look at the network, fails.

    Skips where there is no browser, or no Playwright.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the group browser")
    executable = next(filter(None, map(shutil.which, _NAMES)), None)
    if executable is None:
        pytest.skip("needs Chromium: none of its names is on the path")
    wrong: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
            )
            page = context.new_page()
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("request", lambda one: wrong.extend([one.url] * one.url.startswith("http")))
            page.goto(path.resolve().as_uri())
            yield page
        finally:
            browser.close()
    assert not wrong, wrong
