"""A unit of the course: a folder with a sheet, solutions, and what each check is worth."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minideconv.errors import DataError, UsageError
from minideconv.files.reading import read_text

__all__ = ["BACKENDS", "UNITS", "Unit", "find_units", "read_unit", "unit_named"]

UNITS = Path(__file__).resolve().parent / "units"
"""Where the units of this package are."""
BACKENDS = ("numpy", "torch")


@dataclass(frozen=True)
class Unit:
    """One unit.

    Attributes
    ----------
    name : str
        Of its folder: ``"01_conv"``.
    title : str
        For readers.
    file : str
        The student's file: ``"conv.py"``.
    operations : tuple of str
        Names of `OPERATIONS`, which the student's file has to define.
    weights : mapping of str to float
        Points by the name of an outcome, ``"conv2d/dilation"``; ``"conv2d/*"`` is for those of
        conv2d that are not named. An outcome without either is worth 1.
    folder : Path
        Where it lies.
    """

    name: str
    title: str
    file: str
    operations: tuple[str, ...]
    weights: Mapping[str, float]
    folder: Path

    def solution(self, backend: str) -> Path:
        """Return the file of the reference solution."""
        return self.folder / f"solution_{backend}.py"

    @property
    def number(self) -> str:
        """Its number, ``"1"``; "" if it has none."""
        match = re.match(r"0*(\d+)", self.name)
        return match[1] if match else ""


def read_unit(folder: Path) -> Unit:
    """Read a unit's ``unit.toml``.

    Raises
    ------
    DataError
        If it is missing or wrong: which field, and what is legal.
    """
    path = folder / "unit.toml"
    found = read_toml(path)

    def wrong(what: str) -> DataError:
        return DataError(f"{path}: {what}")

    for name in found:
        if name not in ("title", "file", "operations", "weights"):
            raise wrong(f"{name} is no field; there are title, file, operations, weights")
    title, file, operations = (found.get(n) for n in ("title", "file", "operations"))
    if not isinstance(title, str) or not title:
        raise wrong("title must be a text")
    if not isinstance(file, str) or not re.fullmatch(r"[A-Za-z_]\w*\.py", file):
        raise wrong(f"file must be a name like conv.py, not {file!r}")
    if not isinstance(operations, list) or not operations:
        raise wrong("operations must be a list of names")
    if not all(isinstance(name, str) for name in operations):
        raise wrong("operations must be a list of names")
    weights = read_weights(found.get("weights", {}), str(path))
    return Unit(folder.name, title, file, tuple(operations), weights, folder)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        return tomllib.loads(read_text(path))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path} is no TOML file: {error}") from None


def read_weights(found: Any, where: str) -> dict[str, float]:
    """Return a table of points.

    Raises
    ------
    DataError
        If one is no number from 0 to 1000, or all of them are 0.
    """
    if not isinstance(found, dict):
        raise DataError(f"{where}: weights must be a table")
    for name, value in found.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value <= 1000:
            raise DataError(f"{where}: the weight of {name} must be from 0 to 1000, not {value!r}")
        if "/" not in name:
            raise DataError(f"{where}: {name!r} names no outcome; they are like conv2d/dilation")
    return {name: float(value) for name, value in found.items()}


def find_units(root: Path = UNITS) -> dict[str, Unit]:
    """Return the units of a folder by name, in order."""
    folders = sorted(path.parent for path in root.glob("*/unit.toml"))
    return {folder.name: read_unit(folder) for folder in folders}


def unit_named(name: str, units: Mapping[str, Unit]) -> Unit:
    """Return the unit of a name, a number, or a student's file: ``01_conv``, ``1``, ``conv.py``.

    Raises
    ------
    UsageError
        If there is none.
    """
    for unit in units.values():
        if name in (unit.name, unit.number, unit.file) or name == unit.name.partition("_")[2]:
            return unit
    there = ", ".join(units) or "none"
    raise UsageError(f"there is no unit {name!r}; there are {there}")
