"""What a student's folder holds: skeletons, sheets, and how to check oneself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from minideconv.course.markers import strip_solution
from minideconv.course.settings import public_text
from minideconv.course.unit import Unit
from minideconv.errors import DataError, UsageError, some
from minideconv.files.atomic import replace_file, write_problem
from minideconv.files.reading import read_bytes, read_text

__all__ = ["public_course", "skeleton", "student_files", "write_new"]

_GITIGNORE = """\
__pycache__/
*.py[cod]
.venv/
.hypothesis/
.ipynb_checkpoints/
pictures/
"""

_WORKFLOW = """\
name: check
on: [push, workflow_dispatch]
permissions:
  contents: read
jobs:
  check:
    runs-on: ubuntu-latest
    timeout-minutes: 10
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: python -m pip install minideconv{torch}
      - run: python -m minideconv.course check
"""

_README = """\
# {title}

{table}

Each sheet says what to write; what to write stands in the file, as functions that raise
`NotImplementedError`. Write them from the top to the bottom, and check after each; all commands are
for a terminal in this folder:

```sh
python -m minideconv.course check {file}
python -m minideconv.course check         # all files
```

A failed check names the likely mistake, and shows the smallest call that goes wrong. Its last line,
`Again: ...`, is a command: it shows this call with your result beside the right one.
`check {file} --picture pictures` draws them, too. Mend from the top: what is below may be right
then. Points are given for each kind of geometry: what is right at stride 1 alone earns its part.

The sheets have short programs in Python. Paste them into `python`, in this folder, in their order;
an `assert` that says nothing was right.{note}
"""

_TORCH_NOTE = """
They are written for NumPy: give your functions `torch.from_numpy(x)` in the place of an array `x`.
A new tensor of the type of `x` is `x.new_zeros(shape)`; `torch.zeros(shape)` is float32.
"""


def skeleton(unit: Unit, backend: str) -> str:
    """Return the student's file of a unit, without its solution.

    Raises
    ------
    DataError
        If the unit has no solution for that backend, or its markers are wrong.
    """
    path = unit.solution(backend)
    try:
        source = read_text(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    return strip_solution(source, str(path))


def student_files(units: Sequence[Unit], backend: str, course: Path) -> dict[str, bytes]:
    """Return every file of a student's folder by its relative path.

    Parameters
    ----------
    units : sequence of Unit
    backend : str
        Whose skeletons.
    course : Path
        ``course.toml``, of which all but the secret is given away.
    """
    files: dict[str, bytes] = {}
    rows = ["| unit | sheet | your file |", "|---|---|---|"]
    for unit in units:
        files[unit.file] = skeleton(unit, backend).encode()
        for path in sorted(unit.folder.iterdir()):
            if path.is_file() and path.suffix != ".py" and path.name != "unit.toml":
                files[f"handouts/{unit.name}/{path.name}"] = read_bytes(path)
        rows.append(
            f"| {unit.title} | [handout](handouts/{unit.name}/handout.md) | `{unit.file}` |"
        )
    public = public_course(course, backend)
    title = re.search(r'(?m)^title = "(.*)"', public)
    files["course.toml"] = public.encode()
    files[".gitignore"] = _GITIGNORE.encode()
    torch = " torch" if backend == "torch" else ""
    note = _TORCH_NOTE if torch else ""
    files[".github/workflows/check.yml"] = _WORKFLOW.format(torch=torch).encode()
    files["README.md"] = _README.format(
        title=title[1] if title else "Course", table="\n".join(rows), file=units[0].file, note=note
    ).encode()
    return files


def public_course(course: Path, backend: str) -> str:
    """Return ``course.toml`` without its secret, for a backend."""
    public = public_text(read_text(course), str(course))
    return f'backend = "{backend}"\n' + re.sub(r"(?m)^backend *=.*\n", "", public)


def write_new(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files of which none is there yet.

    Raises
    ------
    UsageError
        If one is there, or the folder cannot be written to.
    """
    there = [name for name in files if (folder / name).exists() or (folder / name).is_symlink()]
    if there:
        raise UsageError(
            f"{folder} holds {some(there)} already, and nothing is ever overwritten;"
            " name another folder"
        )
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, content)
    except OSError as error:
        raise UsageError(f"{folder}: {write_problem(error)}") from error
