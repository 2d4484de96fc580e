"""A wrong result beside the right one, as an SVG: numbers in cells, the differences outlined."""

from __future__ import annotations

from html import escape

import numpy as np

from minideconv.testing.checking.failure import shown
from minideconv.testing.operations.operation import Array

__all__ = ["svg"]

CELL, GAP = 48, 28
SMALL = ' class="small"'
MOST = 256
"""Numbers that are drawn at most."""


def svg(got: Array | None, want: Array | None) -> str:
    """Return the picture; "" where there is nothing to draw, or too much.

    Parameters
    ----------
    got, want : ndarray, optional
        Of one shape. The last two axes are drawn as rows and columns, planes below each other.
    """
    if got is None or want is None or got.shape != want.shape or not 0 < got.size <= MOST:
        return ""
    if got.dtype.kind not in "fiub" or want.dtype.kind not in "fiub":
        return ""
    columns = got.shape[-1] if got.ndim else 1
    rows = got.shape[-2] if got.ndim > 1 else 1
    planes = [a.astype(float).reshape(-1, rows, columns) for a in (got, want)]
    with np.errstate(invalid="ignore"):
        planes.append(planes[0] - planes[1])
    wrong = ~((planes[0] == planes[1]) | (np.isnan(planes[0]) & np.isnan(planes[1])))
    width, height = columns * CELL, rows * CELL
    parts = []
    for place, (name, stack) in enumerate(
        zip(("yours", "what must be", "difference"), planes, strict=True)
    ):
        left = place * (width + GAP) + 8
        parts.append(f'<text class="name" x="{left}" y="18">{name}</text>')
        for plane, numbers in enumerate(stack):
            top = 26 + plane * (height + GAP // 2)
            parts += _plane(numbers, wrong[plane], left, top)
    total = 3 * width + 2 * GAP + 16
    tall = 26 + len(wrong) * (height + GAP // 2)
    where = ", ".join(str(int(i)) for i in np.argwhere(wrong.reshape(got.shape))[0]) if (
        wrong.any()) else "nowhere"  # fmt: skip
    title = f"Your result, the right one and their difference; they first differ at [{where}]"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {max(total, 300)} {tall}"'
        f' width="{max(total, 300)}" height="{tall}"><title>{escape(title)}</title><style>'
        "svg{background:#fff}text{font:13px sans-serif;fill:#222;text-anchor:middle}"
        ".small{font-size:10px}.name{text-anchor:start;font-weight:bold}rect{fill:#f4f6f8;stroke:#9aa5b1}"
        ".wrong{fill:#fde3cf;stroke:#b3400a;stroke-width:3}</style>" + "".join(parts) + "</svg>\n"
    )


def _plane(numbers: Array, wrong: Array, left: int, top: int) -> list[str]:
    cells = []
    # The outlined cells last, so that no neighbour covers their borders.
    for row, column in sorted(np.ndindex(numbers.shape), key=lambda place: bool(wrong[place])):
        x, y = left + column * CELL, top + row * CELL
        kind = ' class="wrong"' if wrong[row, column] else ""
        text = shown(np.asarray(numbers[row, column]))
        small = len(text) > 5
        if len(text) > 7:
            text = f"{numbers[row, column]:.2g}"
        cells.append(
            f'<rect{kind} x="{x}" y="{y}" width="{CELL}" height="{CELL}"/>'
            f'<text{SMALL if small else ""} x="{x + CELL // 2}" y="{y + CELL // 2 + 5}">'
            f"{escape(text)}</text>"
        )
    return cells
