"""The look of every figure: colours that stay apart for colour-blind readers, and sizes of text.

All figures are drawn on white, which they bring along, so that they read the same on a dark page
and on paper. Text reaches a contrast of 4.5:1 with what is behind it and lines that mean something
3:1 (`contrast`; Web Content Accessibility Guidelines 2.2, criteria 1.4.3 and 1.4.11).
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "ACCENT",
    "FILLS",
    "HUES",
    "INK",
    "LEAST_TEXT",
    "LINE",
    "MUTED",
    "PAGE_WIDTH",
    "PAPER",
    "TEXT",
    "contrast",
    "ink_on",
    "matplotlib_style",
    "mixed",
    "tap_colour",
    "use_style",
]

PAGE_WIDTH = 720
"""Width of a page's column of text, in CSS pixels: figures are drawn for it."""
LEAST_TEXT = 10
"""Least height of text in a figure at that width, in CSS pixels."""
TEXT = 13
"""The usual height of text in a figure, in CSS pixels."""

PAPER, INK, MUTED, LINE, ACCENT = "#ffffff", "#1b2733", "#51606f", "#7a8794", "#b3261e"
"""What is behind a figure, its text, less important text, outlines, and what is pointed at."""

# Okabe and Ito, "Color universal design" (2008): blue, vermilion, green, purple, sky, orange.
HUES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
FILLS = {
    "blue": "#9fd0f0",
    "amber": "#f7d488",
    "green": "#9fdcc3",
    "red": "#f2b09a",
    "pale": "#eef2f6",
}
"""Light fills under dark digits. They are told apart by an outline too, never by colour alone."""


def _channels(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def mixed(colour: str, other: str, share: float) -> str:
    """Mix two colours ``#rrggbb``: `share` of the first, the rest of the second.

    >>> mixed("#000000", "#ffffff", 0.2)
    '#cccccc'
    """
    parts = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round(255 * (share * a + (1 - share) * b)):02x}" for a, b in parts)


def contrast(colour: str, other: str = PAPER) -> float:
    """Return the contrast of two colours ``#rrggbb``, from 1 to 21.

    ``(L1 + 0.05) / (L2 + 0.05)`` with the relative luminances L of the lighter and of the darker
    one (Web Content Accessibility Guidelines 2.2, definition of contrast ratio).

    Examples
    --------
    >>> contrast("#000000"), round(contrast("#767676"), 2)
    (21.0, 4.54)
    """

    def luminance(each: str) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
                  for c in _channels(each)]  # fmt: skip
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(colour), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def ink_on(colour: str) -> str:
    """Return black or white, whichever can be read on a colour: one of the two reaches 4.5:1."""
    return max(("#000000", "#ffffff"), key=lambda ink: contrast(ink, colour))


def tap_colour(tap: int, width: int = 3) -> str:
    """Return the colour of tap 1, 2, 3, ... of a kernel of `width` columns, row by row.

    The hue is the row of the kernel, the shade its column: the darkest is the first.

    Examples
    --------
    >>> tap_colour(1), tap_colour(3), tap_colour(4)
    ('#0072b2', '#9ec9e2', '#d55e00')
    """
    row, column = divmod(tap - 1, width)
    share = 1.0 - 0.62 * column / max(1, width - 1)
    return mixed(HUES[row % len(HUES)], PAPER, share)


def matplotlib_style() -> dict[str, Any]:
    """Return the same style as settings of matplotlib (``rcParams``).

    A figure of 7.5 inches is as wide as a page (`PAGE_WIDTH`); text is 13 CSS pixels high, labels
    of ticks 11.
    """
    points = 72 / 96  # of a CSS pixel
    return {
        "figure.figsize": (7.5, 3.0),
        "figure.dpi": 96,
        "figure.facecolor": PAPER,
        "savefig.facecolor": PAPER,
        "font.size": TEXT * points,
        "axes.titlesize": TEXT * points,
        "axes.labelsize": TEXT * points,
        "legend.fontsize": 12 * points,
        "xtick.labelsize": 11 * points,
        "ytick.labelsize": 11 * points,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.edgecolor": LINE,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "lines.linewidth": 2.0,
        "image.cmap": "viridis",
        "legend.frameon": False,
    }


def use_style() -> None:
    """Set the style for all figures of matplotlib that are made from here on.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from cycler import cycler
    except ImportError:
        raise ImportError(
            "use_style: it sets the look of matplotlib, which is not installed; pip install"
            " minideconv[viz]"
        ) from None
    # The two light hues are left out: as lines on white they are below 3:1.
    lines = [hue for hue in HUES if contrast(hue) >= 3.0]
    style: Any = {**matplotlib_style(), "axes.prop_cycle": cycler(color=lines)}
    mpl.rcParams.update(style)
