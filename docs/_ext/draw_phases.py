"""The pictures and the table of the page about phases: its functions are run, and used to draw."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pages import DOCS, write

from benchmarks.geometries import GEOMETRIES

__all__ = ["page_functions", "write_all"]

PAGE = DOCS / "engine" / "phases.md"
COLOURS = (("#0b6e4f", "#3d7ea6"), ("#d08c29", "#b5442e"))
"""Of a phase (r, s) for a stride of 2."""
SIZE, K, STRIDE, PADDING = 3, 4, 2, 1
PIXEL = (3, 2)
"""The output pixel whose sum is shown with zeros and without."""
GREY, PALE = "#555555", "#eeeeee"
LIGHT = {"white", PALE, COLOURS[1][0]}
"""Colours on which letters are black."""


def page_functions() -> dict[str, Any]:
    """Run the page's Python, which checks itself, and return its names."""
    namespace: dict[str, Any] = {"__name__": "phases"}
    for source in re.findall(
        r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        exec(compile(source, str(PAGE), "exec", dont_inherit=True), namespace)
    return namespace


def write_all() -> None:
    """Write the pictures and the table."""
    functions = page_functions()
    write(DOCS / "generated" / "phases-table.md", table(functions["products"]))
    pictures = {
        "phases.png": draw_phases(functions["by_phases"]),
        "phases-zeros.png": draw_zeros(functions["products"]),
    }
    for name, figure in pictures.items():
        memory = io.BytesIO()
        figure.savefig(memory, dpi=160, metadata={"Software": None})
        path = DOCS / "generated" / name
        if not path.exists() or path.read_bytes() != memory.getvalue():
            path.write_bytes(memory.getvalue())


def table(products: Any) -> str:
    """Count the products of the benchmark's transposed convolutions."""
    lines = [
        "| layer | with zeros | by phases | with a zero |",
        "|---|---:|---:|---:|",
    ]
    for g in GEOMETRIES:
        if g.transposed:
            stuffed, phases = products(g.size, g.kernel, g.stride, g.padding, g.output_padding)
            share = f"{100 * (1 - phases / stuffed):.1f} %"
            lines.append(f"| {g.name}, {g.size}x{g.size} | {stuffed:,} | {phases:,} | {share} |")
    return "\n".join(lines) + "\n"


def phase_map(by_phases: Any) -> np.ndarray:
    """Return which tap positions each output pixel meets, found by trying every tap alone.

    (H', W', k, k) of True where the output changes with the tap; the image is all ones.
    """
    out = (SIZE - 1) * STRIDE - 2 * PADDING + K
    met = np.zeros((out, out, K, K), bool)
    image = np.ones((1, 1, SIZE, SIZE))
    for i in range(K):
        for j in range(K):
            w = np.zeros((1, 1, K, K))
            w[0, 0, i, j] = 1
            met[:, :, i, j] = by_phases(image, w, STRIDE, PADDING)[0, 0] > 0
    return met


def draw_phases(by_phases: Any) -> Figure:
    """Kernel, its four parts, the image, the interleaved output."""
    met = phase_map(by_phases)
    figure = Figure(figsize=(5.2, 5.4), layout="constrained")
    (kernel, parts), (image, output) = figure.subplots(2, 2)
    panel(kernel, f"kernel {K} x {K}, by phase", K)
    for i in range(K):
        for j in range(K):
            box(kernel, i, j, COLOURS[i % STRIDE][j % STRIDE], f"{i}{j}")
    panel(parts, "its four parts, turned", K + 0.6)
    for r in range(STRIDE):
        for s in range(STRIDE):
            part = [(i, j) for i in range(r, K, STRIDE) for j in range(s, K, STRIDE)]
            for place, (i, j) in enumerate(reversed(part)):
                row, column = divmod(place, K // STRIDE)
                top, left = r * (K // STRIDE + 0.6), s * (K // STRIDE + 0.6)
                box(parts, top + row, left + column, COLOURS[r][s], f"{i}{j}")
    panel(image, f"image {SIZE} x {SIZE}", len(met), (len(met) - SIZE) / 2)
    for i in range(SIZE):
        for j in range(SIZE):
            box(image, i, j, PALE, f"$x_{{{i}{j}}}$")
    panel(output, f"output {len(met)} x {len(met)}, interleaved", len(met))
    for u, v in np.ndindex(met.shape[:2]):
        rows, columns = np.nonzero(met[u, v])
        (r,), (s,) = set(rows % STRIDE), set(columns % STRIDE)  # of one phase, or this fails
        box(output, u, v, COLOURS[r][s], f"{r}{s}")
    return figure


def draw_zeros(products: Any) -> Figure:
    """One output pixel's window: over the image with zeros between, and over the image itself."""
    figure = Figure(figsize=(5.2, 3.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    border = K - 1 - PADDING
    wide = (SIZE - 1) * STRIDE + 1 + 2 * border
    (u, v), pixels = PIXEL, 0
    r, s = (u + PADDING) % STRIDE, (v + PADDING) % STRIDE
    for i, j in np.ndindex(wide, wide):
        at = [(n - border) / STRIDE for n in (i, j)]
        is_pixel = all(n.is_integer() and 0 <= n < SIZE for n in at)
        inside = u <= i < u + K and v <= j < v + K
        pixels += is_pixel and inside
        colour = COLOURS[r][s] if is_pixel and inside else PALE if is_pixel else "white"
        name = f"$x_{{{int(at[0])}{int(at[1])}}}$" if is_pixel else "0"
        box(left, i, j, colour, name, 8.5)
    outline(left, u, v, K)
    panel(left, f"zeros between: {K * K} products,\n{K * K - pixels} of them with 0", wide)

    taps = K // STRIDE
    top, start = ((n + PADDING) // STRIDE - taps + 1 for n in PIXEL)
    for i, j in np.ndindex(SIZE, SIZE):
        inside = top <= i < top + taps and start <= j < start + taps
        colour = COLOURS[r][s] if inside else PALE
        box(right, i, j, colour, f"$x_{{{i}{j}}}$", 8.5)
    outline(right, top, start, taps)
    stuffed, phases = products(SIZE, K, STRIDE, PADDING)
    panel(right, f"by its phase: {taps * taps} products", wide, (wide - SIZE) / 2)
    figure.supxlabel(
        f"All {((SIZE - 1) * STRIDE - 2 * PADDING + K) ** 2} output pixels: {stuffed} products"
        f" with zeros between, {phases} by phases",
        fontsize=9,
    )
    return figure


def panel(axes: Any, title: str, side: float, shift: float = 0) -> None:
    """Set a title and limits: `side` cells, of which `shift` are free around what is drawn."""
    axes.set_title(title, fontsize=10)
    axes.set_xlim(-shift - 0.1, side - shift + 0.1)
    axes.set_ylim(side - shift + 0.1, -shift - 0.1)
    axes.set_aspect("equal")
    axes.axis("off")


def box(axes: Any, row: float, column: float, colour: str, text: str, size: float = 10) -> None:
    """Draw a cell."""
    axes.add_patch(
        Rectangle((column, row), 1, 1, facecolor=colour, edgecolor="#bbbbbb", linewidth=0.8)
    )
    style = {"color": "black" if colour in LIGHT else "white", "ha": "center", "va": "center"}
    axes.text(column + 0.5, row + 0.52, text, fontsize=size, **style)


def outline(axes: Any, row: int, column: int, side: int) -> None:
    """Draw the frame of a window."""
    axes.add_patch(
        Rectangle((column, row), side, side, facecolor="none", edgecolor=GREY, linewidth=2.4)
    )


if __name__ == "__main__":
    write_all()
