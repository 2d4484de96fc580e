"""The pictures and outputs of the page about one's own data: its commands are run as they stand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from own_scenes import labelme, scenes
from pages import DOCS, ROOT, write
from PIL import Image

__all__ = ["page_commands", "write_all"]

_SCALE, _CELL, _GAP = 2.0, 220, 6


def page_commands() -> dict[str, list[str]]:
    """Return the arguments of the page's commands by name, as `convert`, in their order."""
    page = (DOCS / "your_own_data.md").read_text(encoding="utf-8")
    lines = re.findall(r"^```sh\npython -m minideconv\.(.+)\n```$", page, re.MULTILINE)
    words = [shlex.split(line) for line in lines]
    return {each[1] if each[0] == "data" else each[0]: each for each in words}


def write_all(folder: Path = DOCS / "generated") -> None:
    """Run the commands on twelve drawn photographs; write what they print, and two pictures."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        labelme(place / "labelled", scenes(scale=_SCALE))
        commands = page_commands()
        for name, (program, *arguments) in commands.items():
            done = subprocess.run(
                [sys.executable, "-m", f"minideconv.{program}", *arguments],
                cwd=place,
                env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "NO_COLOR": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise RuntimeError(f"{name} of docs/your_own_data.md failed:\n{done.stderr}")
            if name != "train":  # a line an epoch, with times that differ at every build
                write(folder / f"own-data-{name}.txt", done.stdout)
        photographs = [place / each for each in commands["predict"] if each.endswith(".jpg")]
        _rows(place, photographs).save(folder / "own-data-predicted.png")
        (folder / "own-data-sheet.png").write_bytes((place / "sheet.png").read_bytes())


def _rows(place: Path, photographs: list[Path]) -> Image.Image:
    """Lay out photograph, true mask, predicted mask and overlay of each beside each other."""
    rows = [
        [
            path,
            place / "data" / "SegmentationClass" / f"{path.stem}.png",
            place / "predicted" / f"{path.stem}.png",
            place / "predicted" / f"{path.stem}_overlay.png",
        ]
        for path in photographs
    ]
    shown = [[_scaled(path) for path in files] for files in rows]
    heights = [max(picture.height for picture in row) + _GAP for row in shown]
    sheet = Image.new("RGB", (4 * (_CELL + _GAP) - _GAP, sum(heights) - _GAP), "white")
    for number, row in enumerate(shown):
        for column, picture in enumerate(row):
            sheet.paste(picture, (column * (_CELL + _GAP), sum(heights[:number])))
    return sheet


def _scaled(path: Path) -> Image.Image:
    with Image.open(path) as file:
        picture = file.convert("RGB")
    height = round(picture.height * _CELL / picture.width)
    return picture.resize((_CELL, height), Image.Resampling.NEAREST)
