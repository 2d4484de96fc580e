"""The pictures of the course's units, drawn from what the reference solutions compute.

    python docs/_ext/draw_units.py        write them into minideconv/course/units
    python docs/_ext/draw_units.py 03     of one unit

They are package data, because a student reads the handout without the documentation; the tests
compare what each file says that it shows with what this script would draw.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
from sheet import AMBER, BLUE, GREY, WHITE, Sheet

UNITS = Path(__file__).resolve().parents[2] / "minideconv" / "course" / "units"


def solution(unit: str) -> ModuleType:
    """Import the NumPy solution of a unit."""
    path = UNITS / unit / "solution_numpy.py"
    spec = importlib.util.spec_from_file_location(f"unit_{unit[:2]}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def windows() -> Sheet:
    """Draw an image, one of its windows, and the matrix in which that window is a column."""
    unit = solution("01_conv")
    x = np.arange(1.0, 21.0).reshape(4, 5)
    w = np.array([[1.0, 0, 2], [0, 1, 3]])
    cols = unit.im2col(x[None, None], w.shape)[0]
    y = unit.conv2d(x[None, None], w[None, None])[0, 0]

    sheet = Sheet(29.5, 9.4)
    seen = np.full(x.shape, WHITE, dtype="<U7")
    seen[0:2, 1:4] = AMBER
    sheet.grid(0.5, 1.2, x, title="image x, 4 x 5", colours=seen)
    sheet.grid(0.5, 6.9, w, title="kernel w, 2 x 3", colours=np.full(w.shape, BLUE))
    marked = np.full(cols.shape, WHITE, dtype="<U7")
    marked[:, 1] = AMBER
    sheet.grid(10.5, 1.2, cols, title="im2col(x): a column for each window", colours=marked)
    sheet.text(8.8, 0.85, "tap", size=10)
    for row in range(6):
        sheet.text(8.8, 1.7 + row, f"({row // 3}, {row % 3})", size=9)
    for j in range(9):
        sheet.text(11 + j, 7.5, f"{j // 3},{j % 3}", size=8, ha="center", color=GREY)
    sheet.text(10.5, 8.1, "window at row, column", size=8.5, color=GREY)
    sheet.arrow((5.6, 2.2), (8.6, 3.2), bend=-0.2)
    sheet.text(
        4.2, 7.2, "The pixels of the window\nat (0, 1), row by row,\nbecome column 0,1.", size=9
    )
    result = np.full(y.shape, WHITE, dtype="<U7")
    result[0, 1] = AMBER
    sheet.grid(22.5, 1.2, y, title="y = w @ columns", colours=result, cell=1.4)
    sheet.arrow((19.7, 3.2), (22.3, 3.2))
    sheet.text(20.3, 6.4, "w as a row, times the marked column:", size=9)
    row = " + ".join(f"{p:g}*{q:g}" for p, q in zip(cols[:, 1], w.ravel(), strict=True))
    sheet.text(20.3, 7.1, row, size=8.5)
    sheet.text(20.3, 7.8, f"= {y[0, 1]:g}", size=9)
    return sheet


PICTURES: dict[str, Callable[[], Sheet]] = {
    "01_conv/windows.png": windows,
}


def main(units: list[str]) -> None:
    """Write the pictures of the units whose folders begin with these words; of all by default."""
    for name, draw in PICTURES.items():
        if not units or name.startswith(tuple(units)):
            draw().save(UNITS / name)
            print(f"{name}: {(UNITS / name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
