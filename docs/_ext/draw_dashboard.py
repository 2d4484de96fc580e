"""Draw the picture of a report in docs/images/dashboard.png, with Chromium (group ``browser``).

python docs/_ext/draw_dashboard.py RUN
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from minideconv.files.atomic import replace_file

PICTURE = Path(__file__).resolve().parents[1] / "images" / "dashboard.png"


def main(run: str) -> None:
    """Open the run's page, 1280 pixels wide, and keep its upper part."""
    page_file = Path(run, "report.html").resolve()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 1080}, color_scheme="light")
        page.goto(page_file.as_uri())
        shot = page.screenshot()
        browser.close()
    small, content = Image.open(io.BytesIO(shot)).convert("P", palette=1, colors=64), io.BytesIO()
    small.save(content, "PNG", optimize=True)
    replace_file(PICTURE, content.getvalue())
    print(f"{PICTURE}: {len(content.getvalue()):,} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
