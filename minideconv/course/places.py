"""Where a command finds the course and its units."""

from __future__ import annotations

from pathlib import Path

from minideconv.course.settings import DEFAULT
from minideconv.course.unit import UNITS, Unit, find_units, unit_named
from minideconv.errors import UsageError

__all__ = ["chosen_units", "course_file", "units_of"]


def course_file(given: str | None, here: Path | None = None) -> Path:
    """Return the file of the course: the one that is named, that of a folder, or the package's.

    Parameters
    ----------
    given : str, optional
        What ``--course`` names.
    here : Path, optional
        A folder whose ``course.toml`` is taken, if it has one and none is named. Never that of a
        submission: a student could give himself points.
    """
    if given is not None:
        if not Path(given).is_file():
            raise UsageError(f"--course {given}: no such file")
        return Path(given)
    if here is not None and (here / "course.toml").is_file():
        return here / "course.toml"
    return DEFAULT


def units_of(course: Path) -> dict[str, Unit]:
    """Return the units of a course by name: the package's, and those of ``units`` beside the file.

    A teacher's unit takes the place of the package's of that name.
    """
    own = course.resolve().parent / "units"
    units = find_units(UNITS)
    if own.is_dir() and own != UNITS:
        units |= find_units(own)
    return dict(sorted(units.items()))


def chosen_units(words: str | None, units: dict[str, Unit]) -> list[Unit]:
    """Return the units that ``--units`` names, ``1-4`` or ``1,03_pooling``; all if it is left out.

    Raises
    ------
    UsageError
        If one is not there.
    """
    if words is None:
        return list(units.values())
    chosen: list[Unit] = []
    for word in words.split(","):
        first, dash, last = word.strip().partition("-")
        if dash and first.isdecimal() and last.isdecimal():
            names = [str(n) for n in range(int(first), int(last) + 1)][:1000]
        else:
            names = [word.strip()]
        for name in names:
            unit = unit_named(name, units)
            if unit not in chosen:
                chosen.append(unit)
    if not chosen:
        raise UsageError(f"--units {words} names no unit; write 1-4 or 1,3")
    return chosen
