"""Pictures of small arrays and boxes, as a list of things to draw.

The list is what a picture says; its hash goes into the PNG, so that a test can tell whether a
committed file is that of the present code, whatever version of matplotlib drew it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

__all__ = ["AMBER", "BLUE", "GREEN", "GREY", "PALE", "RED", "WHITE", "Sheet", "stored_hash"]

# Colours that stay apart for colour-blind readers (Okabe and Ito), lightened under dark digits.
BLUE, AMBER, GREEN, RED = "#9fd0f0", "#f7d488", "#9fdcc3", "#f2b09a"
WHITE, PALE, GREY = "#ffffff", "#eef2f6", "#5b6878"
_INK = "#1d2733"


class Sheet:
    """A drawing of `width` x `height` cells; (0, 0) is the top left corner.

    Examples
    --------
    >>> sheet = Sheet(4, 2)
    >>> sheet.grid(0, 0, np.eye(2), title="an array")
    >>> len(sheet.things)
    5
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.things: list[tuple[Any, ...]] = []

    def text(self, x: float, y: float, words: str, *, size: float = 10, **look: Any) -> None:
        """Write words; (x, y) is their left end, or their middle with ``ha="center"``."""
        self.things.append(("text", x, y, words, size, look))

    def cell(self, x: float, y: float, label: str, colour: str = WHITE, **look: Any) -> None:
        """Draw one square with a label; `look` may hold ``width``, ``height``, ``size``."""
        self.things.append(("cell", x, y, label, colour, look))

    def arrow(
        self, start: tuple[float, float], end: tuple[float, float], *, bend: float = 0, **look: Any
    ) -> None:
        """Draw an arrow, bent to one side by a share of its length."""
        self.things.append(("arrow", *start, *end, bend, look))

    def grid(
        self, x: float, y: float, array: Any, *, title: str = "", colours: Any = None,
        names: Any = None, cell: float = 1, size: float = 10,
    ) -> None:  # fmt: skip
        """Draw a matrix with its numbers, and a title above; `colours` has a colour for each."""
        if title:
            self.text(x, y - 0.35, title, size=10.5)
        for (i, j), number in np.ndenumerate(np.asarray(array)):
            label = f"{number:g}" if names is None else names[i][j]
            colour = WHITE if colours is None else colours[i][j]
            look = {"width": cell, "height": cell, "size": size}
            self.cell(x + j * cell, y + i * cell, label, str(colour), **look)

    @property
    def hash(self) -> str:
        """Of everything that is drawn."""
        said = json.dumps([self.width, self.height, self.things], default=float)
        return hashlib.sha256(said.encode()).hexdigest()

    def save(self, path: Path, *, scale: float = 0.34, dpi: int = 130) -> None:
        """Write a PNG of 64 colours with the hash in it."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure = pyplot.figure(figsize=(self.width * scale, self.height * scale), facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, self.width), ylim=(self.height, 0))
        axes.set_axis_off()
        for kind, *thing in self.things:
            getattr(self, f"_draw_{kind}")(axes, *thing)
        figure.savefig(path, dpi=dpi)
        pyplot.close(figure)
        about = PngInfo()
        about.add_text("drawing", self.hash)
        with Image.open(path) as drawn:
            small = drawn.convert("RGB").quantize(64)
        small.save(path, pnginfo=about, optimize=True)

    @staticmethod
    def _draw_text(axes: Any, x: float, y: float, words: str, size: float, look: Any) -> None:
        axes.text(x, y, words, fontsize=size, **{"va": "center", "color": _INK, **look})

    @staticmethod
    def _draw_cell(axes: Any, x: float, y: float, label: str, colour: str, look: Any) -> None:
        from matplotlib.patches import Rectangle

        wide, high = look.get("width", 1), look.get("height", 1)
        axes.add_patch(Rectangle((x, y), wide, high, facecolor=colour, edgecolor=GREY, lw=0.7))
        place = {"ha": "center", "va": "center", "color": _INK}
        axes.text(x + wide / 2, y + high / 2, label, fontsize=look.get("size", 10), **place)

    @staticmethod
    def _draw_arrow(
        axes: Any, x0: float, y0: float, x1: float, y1: float, bend: float, look: Any
    ) -> None:
        style = {"arrowstyle": "-|>", "color": _INK, "lw": 1.2, "shrinkA": 1, "shrinkB": 1}
        axes.annotate(
            "", (x1, y1), (x0, y0),
            arrowprops={**style, "connectionstyle": f"arc3,rad={bend}", **look},
        )  # fmt: skip


def stored_hash(path: Path) -> str:
    """Return the hash in a PNG that `Sheet.save` wrote."""
    with Image.open(path) as picture:
        return str(picture.info["drawing"])
