"""The matrix of a student's convolution beside the right one, as a picture.

A convolution is linear in its image, so it is a matrix: an output pixel for each row, an input
pixel for each column, and each entry a weight of the kernel, or 0. With the weights 1, 2, 3, ... an
entry names the tap that stands there, and a picture shows which taps are in wrong places.
"""

from __future__ import annotations

import importlib.util
import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from minideconv.errors import UsageError
from minideconv.testing.checking.calls import Call, StudentFault
from minideconv.testing.operations.operation import Array, Arrays, Case, Operation, Settings

__all__ = ["LINEAR", "MISSING", "TapMatrix", "matplotlib_is_there", "png", "tap_matrix"]

LINEAR = {
    "im2col": (("x", "columns"),),
    "col2im": (("columns", "x"),),
    "conv2d": (("x", "y"), ("w", "y"), ("b", "y")),
    "conv2d_backward": (("dy", "dx"), ("dy", "dw"), ("dy", "db")),
    "conv_transpose2d": (("x", "y"), ("w", "y"), ("b", "y")),
    "conv_transpose2d_backward": (("dy", "dx"), ("dy", "dw"), ("dy", "db")),
}
"""Of each operation: the argument that an output is linear in, and that output."""
MOST = 24
"""Rows and columns of a matrix that is drawn."""
MISSING = "a picture needs matplotlib: python -m pip install 'minideconv[viz]'"


@dataclass(frozen=True)
class TapMatrix:
    """A student's matrix and the right one, of equal numbers of columns.

    Attributes
    ----------
    operation, role, output : str
        Whose, and of which argument and output.
    got, want : ndarray, shape (rows, columns)
    rows, columns : list of tuple of int
        Which entry of the right output, and of the argument, each one is.
    """

    operation: str
    role: str
    output: str
    got: Array
    want: Array
    rows: list[tuple[int, ...]]
    columns: list[tuple[int, ...]]

    @property
    def same(self) -> bool:
        """Whether there is nothing to show."""
        return np.array_equal(self.got, self.want)

    def wrong(self, matrix: Array) -> Array:
        """Return where one of the two differs from the other, or goes beyond it."""
        count = min(len(self.got), len(self.want))
        wrong = np.ones(matrix.shape, bool)
        wrong[:count] = self.got[:count] != self.want[:count]
        return wrong

    @property
    def words(self) -> str:
        """The picture in words, for who cannot see it."""
        wrong = self.wrong(self.want)
        where = ", ".join(
            f"row {r} column {c}: {self.got[r, c]:g}, must be {self.want[r, c]:g}"
            for r, c in np.argwhere(wrong)[:4]
            if r < len(self.got)
        )
        count = f"{int(wrong.sum())} of {wrong.size} entries are wrong"
        return (
            f"The matrix that takes {self.role} to {self.output} in your {self.operation}, beside "
            f"the right one; {count}{f' ({where})' if where else ''}."
        )


def tap_matrix(operation: Operation, call: Call, case: Case) -> TapMatrix | None:
    """Return the first matrix of a case in which a student's function differs from the right one.

    The geometry is that of the case; the arrays are not: weights are 1, 2, 3, ..., and the argument
    is one pixel at a time.

    Returns
    -------
    TapMatrix or None
        None where there is none, it is too large, or the function raises.
    """
    given, settings = operation.call_arguments(case)
    for role, output in LINEAR.get(operation.name, ()):
        array = given[role]
        if array is None or not 0 < array.size <= MOST:
            continue
        numbered = {r: _numbered(a) if r in "xw" else a for r, a in given.items()}
        if role != "b" and "b" in numbered:
            numbered["b"] = None
        found = _matrix(operation, call, numbered, settings, role, output)
        if found is not None and not found.same:
            return found
    return None


def _numbered(array: Array | None) -> Array | None:
    return None if array is None else np.arange(1, array.size + 1.0).reshape(array.shape)


def _matrix(
    operation: Operation, call: Call, given: Arrays, settings: Settings, role: str, output: str
) -> TapMatrix | None:
    array = given[role]
    assert array is not None
    got, want, shape = [], [], ()
    for place in range(array.size):
        unit = np.zeros(array.shape)
        unit.flat[place] = 1
        arrays = {**given, role: unit}
        right = operation.oracle(arrays, settings)[output].value
        try:
            own = call(arrays, settings).outputs[output]
        except StudentFault:
            return None
        got.append(own.ravel())
        want.append(right.ravel())
        shape = right.shape
    if len({len(column) for column in got}) > 1 or not 0 < max(map(len, (*got, *want))) <= MOST:
        return None
    return TapMatrix(
        operation.name, role, output, np.stack(got, 1), np.stack(want, 1),
        list(np.ndindex(*shape)), list(np.ndindex(*array.shape)),
    )  # fmt: skip


# The picture ------------------------------------------------------------------------------------

PAPER, TINT, INK, MARK = "#ffffff", "#cfe3f3", "#1a1a1a", "#b3400a"


def matplotlib_is_there() -> bool:
    """Return whether pictures can be drawn."""
    return importlib.util.find_spec("matplotlib") is not None


def png(matrix: TapMatrix) -> bytes:
    """Return the picture: both matrices with their numbers, wrong entries framed and hatched.

    Raises
    ------
    UsageError
        If matplotlib is not installed.
    """
    if not matplotlib_is_there():
        raise UsageError(MISSING)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = (("yours", matrix.got), ("what must be", matrix.want))
    rows, columns = max(len(m) for _, m in panels), matrix.want.shape[1]
    cell = 0.42  # inches
    weights = "" if matrix.role in ("w", "columns") else "The weights are 1, 2, 3, ... "
    weights = weights if matrix.output in ("y", "dx") and matrix.role != "b" else ""
    width = max(2 * (columns * cell + 1.3), 6.0)
    tall = rows * cell + 1.25
    figure = Figure(figsize=(width, tall), facecolor=PAPER)
    FigureCanvasAgg(figure)
    for place, (name, numbers) in enumerate(panels):
        left = (0.9 + place * (width - 0.4) / 2) / width
        axes = figure.add_axes((
            left, 0.75 / (tall),
            columns * cell / width, rows * cell / (tall),
        ))  # fmt: skip
        _panel(axes, numbers, matrix, rows)
        axes.set_title(name, fontsize=11, fontweight="bold", color=INK, loc="left", pad=6)
    figure.text(
        0.02, 0.02,
        f"{matrix.operation}: the matrix from {matrix.role} (columns) to {matrix.output} (rows). "
        f"{weights}Framed: the two differ.",
        fontsize=9, color=INK,
    )  # fmt: skip
    stored = io.BytesIO()
    figure.savefig(stored, format="png", dpi=110, metadata={"Description": matrix.words,
                                                            "Software": None})  # fmt: skip
    return stored.getvalue()


def _panel(axes: Any, numbers: Array, matrix: TapMatrix, rows: int) -> None:
    from matplotlib.patches import Rectangle

    wrong = matrix.wrong(numbers)
    count, columns = numbers.shape
    for r, c in sorted(np.ndindex(count, columns), key=lambda place: bool(wrong[place])):
        number = numbers[r, c]
        look: dict[str, Any] = {"facecolor": TINT if number else PAPER, "edgecolor": "#9aa5b1",
                                "linewidth": 0.6}  # fmt: skip
        if wrong[r, c]:
            look |= {"edgecolor": MARK, "linewidth": 2.4, "zorder": 2}
        axes.add_patch(Rectangle((c, r), 1, 1, **look))
        if wrong[r, c]:  # a corner that is filled tells it without any colour
            axes.add_patch(Rectangle((c, r), 0.26, 0.26, facecolor=MARK, linewidth=0, zorder=3))
        text = f"{number:g}" if np.isfinite(number) and abs(number) < 1e4 else f"{number:.1e}"
        axes.text(c + 0.5, r + 0.5, text, ha="center", va="center", zorder=4, color=INK,
                  fontsize=11 if len(text) < 4 else 7,
                  fontweight="bold" if wrong[r, c] else "normal")  # fmt: skip
    axes.set_xlim(-0.1, columns + 0.1)
    axes.set_ylim(rows + 0.1, -0.1)
    known = matrix.rows[:count] + [()] * (count - len(matrix.rows))
    axes.set_yticks([r + 0.5 for r in range(count)], [_place(p) for p in known], fontsize=7)
    axes.set_xticks([c + 0.5 for c in range(columns)], [_place(p) for p in matrix.columns],
                    fontsize=7, rotation=90)  # fmt: skip
    axes.tick_params(length=0, colors=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _place(index: tuple[int, ...]) -> str:
    return ",".join(map(str, index)) if index else "more"
