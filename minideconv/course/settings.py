"""``course.toml``: what a teacher decides, in one file."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from minideconv.course.unit import BACKENDS, read_toml, read_weights
from minideconv.course.worker import Limits
from minideconv.errors import DataError, SettingError, UsageError

__all__ = ["DEFAULT", "VISIBILITIES", "CourseSettings", "hidden_seed", "public_text", "read_course"]

DEFAULT = Path(__file__).resolve().parent / "course.toml"
"""The file that is used where no other is named."""
VISIBILITIES = ("hidden", "after_due_date", "after_published", "visible")
VISIBLE_SEED = 0
TORCH_MEMORY = 8 << 30
NUMPY_LOAD, TORCH_LOAD = 20.0, 60.0


@dataclass(frozen=True)
class CourseSettings:
    """What stands in ``course.toml``.

    Attributes
    ----------
    title, term : str
        For readers; the term also goes into the hidden seeds.
    backend : str
        What the students' functions take and return: one of `BACKENDS`.
    examples : int
        Cases for each family of geometry (1 to 1000).
    seconds : float
        After which a unit is ended with what it has earned until then.
    forbid : tuple of str
        Modules that a student's file may not import.
    hidden_share : float
        What part of each check's points its hidden cases give, from 0 to 1.
    hidden_examples : int
        Hidden cases for each family.
    hidden_visibility : str
        When Gradescope shows hidden checks: one of `VISIBILITIES`.
    limits : Limits
        Of a submission's process.
    weights : mapping of str to float
        Points by the name of an outcome; laid over those of the units.
    secret : str
        "" if the file has none. Not shown, and not compared.
    """

    title: str
    term: str
    backend: str
    examples: int
    seconds: float
    forbid: tuple[str, ...]
    hidden_share: float
    hidden_examples: int
    hidden_visibility: str
    limits: Limits
    weights: Mapping[str, float]
    secret: str = field(default="", repr=False, compare=False)


def read_course(path: Path = DEFAULT, *, backend: str | None = None) -> CourseSettings:
    """Read a course's settings; what the file leaves out is as in `DEFAULT`.

    Parameters
    ----------
    path : Path
    backend : str, optional
        In the place of the file's.

    Raises
    ------
    DataError
        If it is wrong: which field, and what is legal.
    """
    usual = read_toml(DEFAULT)
    found = read_toml(path)
    where = str(path)
    _known(found, {*usual, "secret"}, where)
    names = {"hidden": set(usual["hidden"]), "limits": {field.name for field in fields(Limits)}}
    for table, legal in names.items():
        given = found.get(table, {})
        if not isinstance(given, dict):
            raise DataError(f"{where}: {table} must be a table")
        _known(given, legal, f"{where}, table {table}")
        found[table] = {**usual[table], **given}
    values = {**usual, **found}
    hidden = values["hidden"]
    if values["backend"] not in BACKENDS:
        raise DataError(f"{where}: backend must be one of {', '.join(BACKENDS)}")
    backend = backend or values["backend"]
    usual_limits: dict[str, Any] = {"load": NUMPY_LOAD}
    if backend == "torch":
        usual_limits = {"memory": TORCH_MEMORY, "load": TORCH_LOAD}
    try:
        limits = Limits(**usual_limits | values["limits"])
    except SettingError as error:
        raise DataError(f"{where}: {error}") from None
    forbid = values["forbid"]
    if not isinstance(forbid, list) or not all(isinstance(name, str) for name in forbid):
        raise DataError(f"{where}: forbid must be a list of names of modules")
    if hidden["visibility"] not in VISIBILITIES:
        raise DataError(f"{where}: hidden.visibility must be one of {', '.join(VISIBILITIES)}")
    secret = found.get("secret", {})
    if not isinstance(secret, dict) or set(secret) - {"hidden"}:
        raise DataError(f"{where}: secret must be a table with the one field hidden")
    return CourseSettings(
        title=_text(values["title"], f"{where}: title"),
        term=_text(values["term"], f"{where}: term"),
        backend=backend,
        examples=int(_number(values["examples"], 1, 1000, f"{where}: examples")),
        seconds=_number(values["seconds"], 1, 3600, f"{where}: seconds"),
        forbid=tuple(forbid),
        hidden_share=_number(hidden["share"], 0, 1, f"{where}: hidden.share"),
        hidden_examples=int(_number(hidden["examples"], 1, 1000, f"{where}: hidden.examples")),
        hidden_visibility=hidden["visibility"],
        limits=limits,
        weights=read_weights(values["weights"], where),
        secret=_text(secret["hidden"], f"{where}: secret.hidden") if secret else "",
    )


def _known(table: Mapping[str, Any], names: Any, where: str) -> None:
    for name in table:
        if name not in names:
            raise DataError(f"{where}: {name} is no field; there are {', '.join(sorted(names))}")


def _number(value: Any, low: float, high: float, where: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        raise DataError(f"{where} must be a number from {low} to {high}, not {value!r}")
    return float(value)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where} must be a text that is not empty")
    return value


def hidden_seed(settings: CourseSettings, operation: str) -> int:
    """Return the seed of an operation's hidden cases: other ones each term, the same all term.

    Raises
    ------
    UsageError
        If the course has no secret, so that anybody could work the seed out.
    """
    if not settings.secret:
        raise UsageError(
            'hidden checks need a secret: write [secret] and hidden = "..." into a course.toml of'
            " your own, and name it by --course"
        )
    words = json.dumps([settings.secret, settings.term, operation])
    return int.from_bytes(hashlib.sha256(words.encode("utf-8")).digest()[:8], "big") >> 1


def public_text(text: str, name: str) -> str:
    """Return the text of a ``course.toml`` without its secret, for students.

    Raises
    ------
    DataError
        If the secret cannot be taken out.
    """
    kept, inside = [], False
    for line in text.splitlines():
        header = re.match(r"\s*\[+\s*([\w.\"'-]+)\s*\]+", line)
        if header:
            inside = header[1].strip("\"'").split(".")[0] == "secret"
        if not inside and not re.match(r"#\s*(\[secret\]|hidden = )", line):
            kept.append(line)
    public = "\n".join(kept).rstrip() + "\n"
    before, after = tomllib.loads(text), tomllib.loads(public)
    secret = before.pop("secret", {})
    if before != after or any(isinstance(s, str) and s in public for s in secret.values()):
        raise DataError(f"{name}: write the secret as a table of its own, [secret], at the end")
    return public
