"""Files of pictures: a wrong result beside the right one, and a convolution's matrix beside its."""

from __future__ import annotations

from pathlib import Path

from minideconv.course.picture import svg
from minideconv.errors import UsageError
from minideconv.files.atomic import replace_file, write_problem
from minideconv.testing.checking.calls import Call
from minideconv.testing.operations.operation import Array, Case, Operation
from minideconv.testing.tap_matrix import MISSING, matplotlib_is_there, png, tap_matrix

__all__ = ["Pictures"]


class Pictures:
    """Draws into one folder and prints what was drawn.

    Parameters
    ----------
    folder : str
        Made where there is none.

    Raises (each method)
    --------------------
    UsageError
        If the folder cannot be written to.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self._said = False

    def result(self, name: str, got: Array | None, want: Array | None) -> None:
        """Draw a wrong result, the right one and their difference, as SVG, if there is room."""
        drawing = svg(got, want)
        if drawing:
            path = self._stored(f"{name}.svg", drawing.encode())
            print(f"{path}: yours, what must be, the difference")

    def matrix(self, name: str, operation: Operation, call: Call, case: Case) -> None:
        """Draw the matrix of a convolution beside the right one, as PNG, if they differ.

        Without matplotlib that is said, once.
        """
        found = tap_matrix(operation, call, case)
        if found is None:
            return
        if not matplotlib_is_there():
            if not self._said:
                print(MISSING)
            self._said = True
            return
        print(f"{self._stored(f'{name}-matrix.png', png(found))}: {found.words}")

    def _stored(self, name: str, content: bytes) -> Path:
        path = self.folder / name.replace("/", "-").replace(" ", "-")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(path, content)
        except OSError as error:
            raise UsageError(f"--picture {self.folder}: {write_problem(error)}") from error
        return path
