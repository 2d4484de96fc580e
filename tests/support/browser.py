"""Headless Chromium with the network blocked, for tests of what pages do.

Playwright keeps an event loop running in the thread that started it, in which ``asyncio.run``,
notebooks and a second Playwright are refused: a browser is closed before another module's tests.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 180_000  # milliseconds: a busy machine is not a failure
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextlib.contextmanager
def started() -> Iterator[Any]:
    """Start a browser; skip, saying what is missing, where there is none."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (group browser)"
    )
    found = os.environ.get("MINIDECONV_CHROMIUM") or next(
        filter(None, map(shutil.which, _NAMES)), None
    )
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


@contextlib.contextmanager
def opened(path: Path, width: int = 1280, scheme: str = "light") -> Iterator[Any]:
    """Open a file as Playwright's page; any error of a script, or a look at the network, fails."""
    wrong: list[str] = []
    with started() as browser:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda one: wrong.extend([one.url] * one.url.startswith("http")))
        page.goto(path.resolve().as_uri())
        yield page
    assert not wrong, wrong
