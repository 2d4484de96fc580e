"""Figures in notebooks and pages, each with a text for readers who do not see it.

A figure becomes an ``<img>`` element with its alt text in the cell's HTML output, so the text comes
along to a site that is made of the notebook. At `PAGE_WIDTH` no text is smaller than `LEAST_TEXT`;
on a narrower page a figure shrinks until its smallest text has that height, and is scrolled
sideways from there on.
"""

from __future__ import annotations

import base64
import io
import math
import sys
from typing import Any

import numpy as np

from minideconv.visualize.boards import png_bytes
from minideconv.visualize.figures.alt import checked_alt
from minideconv.visualize.figures.picture import Picture
from minideconv.visualize.figures.style import LEAST_TEXT, PAPER
from minideconv.visualize.figures.svg import svg_text
from minideconv.visualize.html import Html, HtmlTemplate

__all__ = ["figure_html", "show"]

_FIGURE = HtmlTemplate(
    '<div class="figure" style="overflow-x:auto"><img alt="$alt" width="$width" height="$height"'
    ' style="width:100%;max-width:${width}px;min-width:${least}px;height:auto;background:$paper"'
    ' src="data:image/$kind;base64,$data"></div>'
)


def show(figure: Any, *, alt: str) -> None:
    """Show a figure below a notebook's cell, with its alt text.

    Parameters
    ----------
    figure : Picture, matplotlib Figure, or (H, W, 3) uint8 array
        A Figure is closed, so that the notebook does not show it once more. An array is an image
        such as `board` returns.
    alt : str
        What a reader is to see in it, in a sentence.

    Raises
    ------
    ValueError
        If `alt` says nothing: see `checked_alt`.
    TypeError
        If `figure` is none of these.

    Notes
    -----
    In a script, where there is no notebook, nothing is shown.
    """
    html = figure_html(figure, alt=alt)
    if "matplotlib.pyplot" in sys.modules and not isinstance(figure, Picture | np.ndarray):
        sys.modules["matplotlib.pyplot"].close(figure)
    shell = sys.modules.get("IPython")
    if shell is not None and shell.get_ipython() is not None:
        from IPython.display import HTML, display

        display(HTML(html))  # type: ignore[no-untyped-call]


def figure_html(figure: Any, *, alt: str) -> Html:
    """Return a figure as HTML: an ``<img>`` element that holds it. See `show`."""
    alt = checked_alt(alt)
    kind, smallest = "svg+xml", float(LEAST_TEXT)
    if isinstance(figure, Picture):
        data = svg_text(figure, alt).encode()
        width, height, smallest = figure.width, figure.height, figure.smallest_text
    elif hasattr(figure, "savefig") and hasattr(figure, "findobj"):
        data, (width, height), smallest = _matplotlib_svg(figure)
    elif isinstance(figure, np.ndarray) and figure.dtype == np.uint8 and figure.shape[2:] == (3,):
        data, kind = png_bytes(figure), "png"
        height, width = figure.shape[:2]
        smallest = 2.0 * LEAST_TEXT  # it has no text of its own, or that of `boards`
    else:
        raise TypeError(
            f"show: figure is a {type(figure).__name__}; it must be a Picture, a figure of"
            " matplotlib, or an image (H, W, 3) of type uint8"
        )
    values = {
        "alt": alt,
        "width": round(width),
        "height": round(height),
        "least": math.ceil(width * min(1.0, LEAST_TEXT / smallest)),
        "paper": PAPER,
        "kind": kind,
        "data": base64.b64encode(data).decode(),
    }
    return _FIGURE.fill(values)


def _matplotlib_svg(figure: Any) -> tuple[bytes, tuple[float, float], float]:
    """Return a Figure's SVG, its size and the height of its smallest text, in CSS pixels."""
    import matplotlib as mpl
    from matplotlib.text import Text

    memory = io.BytesIO()
    # The same figure gives the same bytes: ids from a fixed salt, no date.
    with mpl.rc_context({"svg.hashsalt": "minideconv"}):
        figure.savefig(memory, format="svg", metadata={"Date": None})
    width, height = (96 * inches for inches in figure.get_size_inches())
    shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    smallest = min([text.get_fontsize() * 96 / 72 for text in shown], default=LEAST_TEXT)
    # A figure smaller than its text asks for is drawn larger, not cut.
    larger = max(1.0, LEAST_TEXT / smallest)
    return memory.getvalue(), (width * larger, height * larger), smallest * larger
