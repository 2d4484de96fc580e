"""Draws the picture of the page gpu_implicit_gemm: ``python docs/_ext/draw_implicit_gemm.py``.

Three panels: which piece of the product a block makes, what its buffers hold while time passes, and
in which banks of shared memory the vectors of a tile are, plainly and as the kernel puts them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

PICTURE = Path(__file__).resolve().parents[1] / "images" / "gpu-implicit-gemm.png"

GREEN, BLUE, ORANGE, GREY = "#0b6e4f", "#3d7ea6", "#d08c29", "#dddddd"
STAGES, STEPS = 4, 9


def main() -> None:
    figure = Figure(figsize=(10, 7.2), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(1.25, 1), height_ratios=(1.1, 1))
    draw_product(figure.add_subplot(grid[0, :]))
    draw_buffers(figure.add_subplot(grid[1, 0]))
    draw_banks(figure.add_subplot(grid[1, 1]))
    figure.savefig(PICTURE, dpi=130, metadata={"Software": None})


def box(axes: Any, x: float, y: float, width: float, height: float, **style: Any) -> None:
    style = {"facecolor": "none", "edgecolor": "black", "linewidth": 0.8, **style}
    axes.add_patch(Rectangle((x, y), width, height, **style))


def text(axes: Any, x: float, y: float, words: str, **style: Any) -> None:
    axes.text(x, y, words, **{"ha": "center", "va": "center", "fontsize": 8.5, **style})


def draw_product(axes: Any) -> None:
    """The image, the patch matrix that is not there, the weights, the result."""
    axes.set_title("One step of one block", fontsize=10)
    # the image: rows of pixels, one tap's pixels filled
    for row in range(6):
        for column in range(9):
            is_read = 2 <= row <= 3 and 1 <= column <= 6
            box(
                axes, column, row, 1, 1, facecolor=GREEN if is_read else "none", edgecolor="#999999"
            )
    text(axes, 4.5, 6.5, "image: pixels moved by one tap,\n64 bytes of their channels")
    axes.annotate("", (13.4, 3), (9.4, 3), arrowprops={"arrowstyle": "->"})
    text(axes, 11.4, 3.8, "cp.async,\nzeros outside")
    # the patch matrix: dashed, one piece of it filled
    box(axes, 14, -1, 9, 7, linestyle="--", edgecolor="#777777")
    box(axes, 14, 2, 9, 2, facecolor=GREY, edgecolor="none")
    box(axes, 17, 2, 1, 2, facecolor=GREEN)
    text(axes, 18.5, 6.6, "patch matrix: never in memory\ntaps x channels")
    text(axes, 13.55, 1, "pixels", rotation=90)
    text(axes, 23.6, 2.5, "x", fontsize=12)
    # weights
    box(axes, 24.4, -2, 4.5, 9)
    box(axes, 26, -2, 2, 9, facecolor=GREY, edgecolor="none")
    box(axes, 26, 3, 2, 1, facecolor=BLUE)
    text(axes, 26.6, 7.6, "weights")
    text(axes, 29.5, 2.5, "=", fontsize=12)
    # result
    box(axes, 30.2, -1, 4.5, 7)
    box(axes, 31.8, 2, 2, 2, facecolor=ORANGE)
    text(axes, 32.4, 6.6, "result\noutput channels")
    text(axes, 32.8, 3, "BLOCK_M\nx BLOCK_N", fontsize=6.5)
    axes.set_xlim(-0.5, 35.5)
    axes.set_ylim(-2.6, 8.4)
    axes.set_aspect("equal")
    axes.axis("off")


def draw_buffers(axes: Any) -> None:
    """Four buffers in time: copies under way, then one multiplication."""
    axes.set_title("Four buffers: three steps under way, one multiplied", fontsize=10)
    for step in range(STEPS):
        row = STAGES - 1 - step % STAGES
        start = max(step - STAGES + 1, -0.6)
        box(axes, start, row + 0.1, step - start, 0.8, facecolor=GREY, edgecolor="none")
        box(axes, step, row + 0.1, 1, 0.8, facecolor=ORANGE)
        text(axes, step + 0.5, row + 0.5, str(step))
    for step in range(STEPS):
        axes.plot([step, step], [0, STAGES], color=BLUE, linewidth=1, linestyle=":")
    text(
        axes, 4.5, -0.45, "time, in steps; dotted: barriers; grey: copies on their way", fontsize=8
    )
    axes.set_yticks([i + 0.5 for i in range(STAGES)], [f"buffer {3 - i}" for i in range(STAGES)])
    axes.set_xticks([])
    axes.tick_params(length=0, labelsize=8)
    axes.set_xlim(-0.7, STEPS + 0.1)
    axes.set_ylim(-0.8, STAGES)
    for side in axes.spines.values():
        side.set_visible(False)


def draw_banks(axes: Any) -> None:
    """Eight rows of a tile, four vectors each; a number and a colour for the group of banks."""
    axes.set_title("Groups of banks: eight rows, one column", fontsize=10)
    for left, title, is_moved in ((0, "as it comes", False), (6, "v ^ (r / 2 % 4)", True)):
        for row in range(8):
            for vector in range(4):
                place = vector ^ (row // 2 % 4) if is_moved else vector
                group = (row * 4 + place) % 8
                is_read = vector == 0
                box(
                    *(axes, left + vector, 7 - row, 1, 1),
                    facecolor=GREEN if is_read else "none",
                    edgecolor="#999999",
                )
                text(
                    *(axes, left + vector + 0.5, 7.5 - row, str(group)),
                    color="white" if is_read else "#555555",
                )
        text(axes, left + 2, 8.6, title)
    text(axes, 2, -0.7, "read at once: two groups,\nfour rounds", fontsize=8)
    text(axes, 8, -0.7, "read at once: eight groups,\none round", fontsize=8)
    axes.set_xlim(-0.5, 10.5)
    axes.set_ylim(-1.6, 9.2)
    axes.set_aspect("equal")
    axes.axis("off")


if __name__ == "__main__":
    main()
