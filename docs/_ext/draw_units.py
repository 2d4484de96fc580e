"""The pictures of the course's units, drawn from what the reference solutions compute.

    python docs/_ext/draw_units.py        write them into minideconv/course/units
    python docs/_ext/draw_units.py 03     of one unit

They are package data, because a student reads the handout without the documentation; the tests
compare what each file says that it shows with what this script would draw.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import itertools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from sheet import AMBER, BLUE, GREEN, GREY, PALE, RED, WHITE, Sheet

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


def matrix() -> Sheet:
    """Draw the matrix of a convolution beside its transpose, coloured by tap."""
    unit = solution("02_conv_transpose")
    w = np.array([1.0, 2, 3])
    A = unit.conv_matrix(w.reshape(1, 1, 1, 3), (1, 6), (1, 2), (0, 1))
    small = np.array([10.0, 100, 1000])
    taps = np.array([WHITE, BLUE, AMBER, GREEN])

    def tapped(array: np.ndarray) -> tuple[np.ndarray, list[list[str]]]:
        names = [[f"{n:g}" if n else "" for n in row] for row in array]
        return taps[array.astype(int)], names

    sheet = Sheet(27.5, 9.2)
    colours, names = tapped(w[None])
    sheet.grid(0.6, 1.2, w[None], title="kernel: taps 0, 1, 2", colours=colours, names=names)
    colours, names = tapped(A)
    sheet.grid(0.6, 4.4, A, title="A: 6 pixels in, 3 out", colours=colours, names=names)
    words = ("window at -1: tap 0 is on the padding", "window at 1", "window at 3")
    for row, said in enumerate(words):
        sheet.text(6.9, 4.9 + row, said, size=8.5)
    sheet.text(0.6, 8.2, "Each row holds the kernel, 2 pixels (the stride) further.", size=8.5)
    colours, names = tapped(A.T)
    sheet.grid(16.2, 1.8, A.T, title="A.T: 3 pixels in, 6 out", colours=colours, names=names)
    sheet.text(19.6, 4.8, "times", size=9)
    sheet.grid(21.3, 3.3, small[:, None], cell=1, size=8, title="small")
    sheet.text(22.7, 4.8, "=", size=11)
    sheet.grid(23.7, 1.8, (A.T @ small)[:, None], cell=1, size=8, title="large")
    sheet.text(24.9, 3.3, "10*3 + 100*1", size=8)
    sheet.text(16.2, 8.4, "Each column paints the kernel where the window stood;", size=8.5)
    sheet.text(16.2, 8.95, "where two paint, they add.", size=8.5)
    return sheet


def switches() -> Sheet:
    """Draw max pooling of a tiled image, its switches, and unpooling."""
    unit = solution("03_pooling")
    x = np.array([[1.0, 5, 2, 0], [3, 4, 9, 7], [8, 6, 1, 3], [2, 0, 4, 5]])
    y, at = unit.max_pool2d(x[None, None], (2, 2))
    up = unit.max_unpool2d(y, at, (4, 4))[0, 0]
    windows = np.array([[BLUE, BLUE, AMBER, AMBER]] * 2 + [[GREEN, GREEN, RED, RED]] * 2)
    pooled = np.array([[BLUE, AMBER], [GREEN, RED]])

    sheet = Sheet(26, 6.6)
    sheet.grid(0.5, 1.2, x, title="x, windows of 2 x 2", colours=windows)
    sheet.arrow((4.7, 3.2), (7.3, 3.2))
    sheet.text(6.0, 2.7, "max_pool2d", size=8.5, ha="center")
    sheet.grid(7.6, 1.2, y[0, 0], title="y: the largest", colours=pooled)
    sheet.grid(7.6, 4.4, at[0, 0], title="switches: where", colours=pooled)
    sheet.text(11.9, 4.7, "row * 4 + column", size=8.5, color=GREY)
    sheet.arrow((9.9, 2.2), (17.2, 3.0))
    sheet.text(13.6, 2.0, "max_unpool2d", size=8.5, ha="center")
    won = np.where(up == 0, WHITE, windows)
    sheet.grid(17.6, 1.2, up, title="each value at its switch, 0 elsewhere", colours=won)
    sheet.text(17.6, 5.8, "9 is back at row 1, column 2: 1*4 + 2 = 6.", size=8.5)
    return sheet


def overlap() -> Sheet:
    """Draw one pixel that wins two windows: gradients add, values are assigned."""
    unit = solution("03_pooling")
    row = np.array([1.0, 2, 9, 3, 0]).reshape(1, 1, 1, 5)
    y, at = unit.max_pool2d(row, (1, 3), (1, 2))
    given = np.array([3.0, 4]).reshape(y.shape)
    added = unit.max_pool2d_backward(given, at, (1, 5))
    assigned = unit.max_unpool2d(given, at, (1, 5))
    both = [[WHITE, WHITE, AMBER, WHITE, WHITE]]

    sheet = Sheet(29, 6.8)
    sheet.grid(0.5, 1.2, row[0, 0], title="x: two windows of 3, stride 2", colours=both)
    sheet.things.append(
        ("cell", 0.5, 2.35, "window 0", PALE, {"width": 3, "height": 0.6, "size": 8})
    )
    sheet.things.append(
        ("cell", 2.5, 3.0, "window 1", PALE, {"width": 3, "height": 0.6, "size": 8})
    )
    sheet.grid(0.5, 4.9, y[0, 0], title="y", colours=[[AMBER, AMBER]])
    sheet.grid(3.5, 4.9, at[0, 0], title="switches", colours=[[AMBER, AMBER]])
    sheet.text(0.5, 6.4, "Pixel 2 wins both windows.", size=8.5)
    for left, title, result, words in (
        (10.5, "pooling's backward, dy = 3, 4", added,
         "adds: if pixel 2 grows by 1, both\noutputs do, so it gets 3 + 4"),
        (20.5, "unpooling, y = 3, 4", assigned,
         "assigns: the two are copies of one\npixel, so the last one stays"),
    ):  # fmt: skip
        sheet.grid(left + 1.5, 1.2, given[0, 0], title=title, colours=[[AMBER, AMBER]])
        sheet.arrow((left + 2.0, 2.3), (left + 2.4, 3.7))
        sheet.arrow((left + 3.0, 2.3), (left + 2.6, 3.7))
        sheet.grid(left, 3.8, result[0, 0], colours=both)
        sheet.text(left, 5.8, words, size=8.5)
    return sheet


def chain() -> Sheet:
    """Draw batch norm's forward as a chain of boxes, and what flows back through each."""
    sheet = Sheet(33, 8.4)
    boxes = (
        (0.4, "x", 1.6), (3.6, "mean", 2.8), (8.0, "c = x - mean", 4.2),
        (13.8, "var = mean(c**2)", 5.2), (20.4, "s = (var + eps)**-1/2", 6.2),
        (28.2, "xh = c * s", 4),
    )  # fmt: skip
    for left, label, wide in boxes:
        look = {"width": wide, "height": 1.1, "size": 9}
        sheet.cell(left, 2.4, label, BLUE, **look)
    for (left, _, wide), (right, *_) in itertools.pairwise(boxes):
        sheet.arrow((left + wide, 2.95), (right, 2.95))
    sheet.arrow((1.2, 2.3), (9.5, 2.3), bend=-0.25)
    sheet.arrow((10.5, 2.3), (29.5, 2.3), bend=-0.12)
    sheet.text(0.4, 0.5, "forward", size=10.5)
    sheet.text(28.2, 4.2, "y = weight * xh + bias", size=9)
    sheet.text(0.4, 5.1, "backward, from right to left", size=10.5)
    back = (
        (0.4, "dx = dc\n+ dmean / M"), (4.3, "dmean =\n-sum(dc)"),
        (8.0, "dc is complete:\ntwo parts add"), (13.8, "dc += dvar * 2c / M"),
        (20.4, "dvar = ds * -1/2 s**3"),
        (28.2, "dxh = dy * weight\nds = sum(dxh * c)\ndc = dxh * s"),
    )  # fmt: skip
    for left, label in back:
        sheet.text(left, 6.2, label, size=8.5, va="top")
    return sheet


def tape() -> Sheet:
    """Draw d = a * b + a as a graph, with the gradients that flow back."""
    unit = solution("05_tape")
    a, b = unit.Tensor(3.0, requires_grad=True), unit.Tensor(4.0, requires_grad=True)
    d = a * b + a
    d.backward()
    sheet = Sheet(24, 7.6)
    look = {"width": 3.4, "height": 1.1, "size": 10}
    sheet.cell(1, 1.2, f"a = {a.data:g}", AMBER, **look)
    sheet.cell(1, 5.0, f"b = {b.data:g}", BLUE, **look)
    sheet.cell(9.5, 3.4, f"c = a * b = {a.data * b.data:g}", WHITE, **{**look, "width": 4.6})
    sheet.cell(18.6, 2.0, f"d = c + a = {d.data:g}", WHITE, **{**look, "width": 4.6})
    sheet.arrow((4.5, 2.0), (9.4, 3.7))
    sheet.arrow((4.5, 5.5), (9.4, 4.2))
    sheet.arrow((14.2, 3.7), (18.5, 2.8))
    sheet.arrow((4.5, 1.5), (18.5, 2.3), bend=-0.12)
    sheet.text(19.4, 3.6, "starts with 1", size=8.5, color=GREY)
    sheet.text(11.0, 0.6, "1 to a", size=9)
    sheet.text(15.5, 3.9, "1 to c", size=9)
    sheet.text(4.9, 3.6, f"1 * b = {b.data:g} to a", size=9)
    sheet.text(6.6, 5.6, f"1 * a = {a.data:g} to b", size=9)
    sheet.text(1, 2.8, f"1 + 4 = {a.grad:g}", size=9.5)
    sheet.text(1, 6.6, f"{b.grad:g}", size=9.5)
    sheet.text(9.5, 7.0, "Gradients run against the arrows; where two meet, they add.", size=8.5)
    return sheet


def network() -> Sheet:
    """Draw the tiny DeconvNet with its switches."""
    sheet = Sheet(30, 11.6)
    down, up = 1.0, 21.4
    layers = (
        (down, 0.8, "image x\nN, C, H, W", PALE), (down, 3.2, "convolve, ReLU\nN, A, H, W", BLUE),
        (down + 1.4, 5.6, "pool\nN, A, H/2, W/2", AMBER),
        (down + 1.4, 8.0, "convolve, ReLU\nN, B, H/2, W/2", BLUE),
        (11.4, 9.6, "pool\nN, B, H/4, W/4", AMBER),
        (up - 1.4, 8.0, "unpool\nN, B, H/2, W/2", AMBER),
        (up - 1.4, 5.6, "convolve transp., ReLU\nN, A, H/2, W/2", GREEN),
        (up, 3.2, "unpool\nN, A, H, W", AMBER),
        (up, 0.8, "convolve transp.\nscores N, K, H, W", GREEN),
    )  # fmt: skip
    for left, top, label, colour in layers:
        sheet.cell(left, top, label, colour, width=7.2, height=1.6, size=9)
    for x, top in ((down, 0.8), (down + 0.7, 3.2), (down + 1.4, 5.6)):
        sheet.arrow((x + 3.6, top + 1.65), (x + 3.9, top + 2.35))
    sheet.arrow((down + 8.7, 9.0), (11.3, 10.2))
    sheet.arrow((18.7, 10.2), (up - 0.2, 9.7))
    for x, top in ((up + 2.2, 8.0), (up + 2.4, 5.6), (up + 3.4, 3.2)):
        sheet.arrow((x, top - 0.05), (x + 0.3, top - 0.75))
    dashes = {"linestyle": "--", "color": "#b5532a"}
    sheet.arrow((down + 8.7, 6.2), (up - 0.1, 4.2), bend=0.05, **dashes)
    sheet.text(14.8, 4.6, "switches 1, and the size", size=9, ha="center")
    sheet.arrow((15.0, 9.5), (up - 1.5, 8.6), bend=-0.15, **dashes)
    sheet.text(14.6, 8.0, "switches 2,\nand the size", size=9, ha="center")
    return sheet


def overfit() -> Sheet:
    """Draw four images, their classes, and what the network of the handout says after training."""
    parameters, x, labels = _overfitted()
    said = parameters["scores"].argmax(axis=1)
    classes = np.array([WHITE, BLUE, AMBER, GREEN, RED, GREY])
    sheet = Sheet(30.6, 22)
    pixel = 0.42
    for row, name in enumerate(("image", "classes", "network")):
        top = 0.8 + row * 7.1
        sheet.text(0.2, top + 3.4, name, size=11)
        for number in range(len(x)):
            left = 3.2 + number * 6.8
            for i, j in np.ndindex(*labels.shape[1:]):
                red, green, blue = (int(v) for v in np.rint((x[number, :, i, j] + 1) * 127.5))
                shown = (
                    f"#{red:02x}{green:02x}{blue:02x}",
                    str(classes[labels[number, i, j]]),
                    str(classes[said[number, i, j]]),
                )[row]
                place = (left + j * pixel, top + i * pixel)
                sheet.cell(*place, "", shown, width=pixel, height=pixel)
    return sheet


def _overfitted() -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Run the handout's own code, and return what it found."""
    for unit in ("01_conv", "02_conv_transpose", "03_pooling", "05_tape", "06_deconvnet"):
        sys.modules[unit[3:]] = solution(unit)
    text = (UNITS / "06_deconvnet" / "handout.md").read_text(encoding="utf-8")
    block = next(
        b for b in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S) if "Shapes(" in b
    )
    space: dict[str, Any] = {"np": np, "cross_entropy": sys.modules["deconvnet"].cross_entropy}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(block, space)
    return {"scores": space["scores"]}, space["x"], space["labels"]


PICTURES: dict[str, Callable[[], Sheet]] = {
    "01_conv/windows.png": windows,
    "02_conv_transpose/matrix.png": matrix,
    "03_pooling/switches.png": switches,
    "03_pooling/overlap.png": overlap,
    "04_batch_norm/graph.png": chain,
    "05_tape/graph.png": tape,
    "06_deconvnet/network.png": network,
    "06_deconvnet/overfit.png": overfit,
}


def main(units: list[str]) -> None:
    """Write the pictures of the units whose folders begin with these words; of all by default."""
    for name, draw in PICTURES.items():
        if not units or name.startswith(tuple(units)):
            draw().save(UNITS / name)
            print(f"{name}: {(UNITS / name).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
