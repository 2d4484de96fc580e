"""Results on disk: one JSON file, a record for each section and number of threads.

    {"format": 1, "machine": {...}, "records": [{"section": "conv", "threads": 1, "rows": [...]}]}

A section that is measured again replaces its record and leaves the others, so that a long run can
be made in parts. Everything that is shown (tables, goals, plots) is worked out from this file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from minideconv.errors import DataError, UsageError

__all__ = [
    "floors",
    "load",
    "load_shown",
    "merge",
    "new",
    "record_of",
    "rows_of",
    "save",
    "threads_of",
]

FORMAT = 1
Results = dict[str, Any]


def new(machine: dict[str, Any]) -> Results:
    """Return results without a record."""
    return {"format": FORMAT, "machine": machine, "records": []}


def load(path: Path) -> Results:
    """Read and check a results file.

    Raises
    ------
    UsageError
        If it is missing, is no results file, or holds times that cannot be.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UsageError(f"{path}: is no JSON ({error})") from error
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        raise UsageError(f"{path}: is no results file of this program (format {FORMAT})")
    for what, number in _numbers(results.get("records"), "records"):
        if not (isinstance(number, int | float) and math.isfinite(number) and number > 0):
            raise UsageError(f"{path}: {what} is {number!r}; it must be a number above 0")
    return results


def _numbers(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Yield every time, peak and rate in the records, with the way to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("ms", "rate"):
                yield f"{where}.{key}", inner
            elif key == "peak_gib" and isinstance(inner, dict):
                yield from ((f"{where}.{key}.{name}", peak) for name, peak in inner.items())
            else:
                yield from _numbers(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _numbers(inner, f"{where}[{number}]")


def save(path: Path, results: Results) -> None:
    """Write the results, a row a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records = []
    for record in results["records"]:
        head = {key: value for key, value in record.items() if key != "rows"}
        rows = ",\n    ".join(json.dumps(row) for row in record["rows"])
        records.append(f'  {json.dumps(head)[:-1]}, "rows": [\n    {rows}\n  ]}}')
    text = (
        f'{{"format": {FORMAT},\n "machine": {json.dumps(results["machine"])},\n "records": [\n'
        + ",\n".join(records)
        + "\n]}\n"
    )
    path.write_text(text, encoding="utf-8")


def merge(results: Results, record: dict[str, Any]) -> None:
    """Put a record in the place of the older one of its section and number of threads."""
    key = (record["section"], record["threads"])
    others = [r for r in results["records"] if (r["section"], r["threads"]) != key]
    results["records"] = [*others, record]


def record_of(results: Results, section: str, threads: int) -> dict[str, Any] | None:
    """Return the record of a section, or None."""
    for record in results["records"]:
        if (record["section"], record["threads"]) == (section, threads):
            return dict(record)
    return None


def rows_of(results: Results, section: str, threads: int) -> list[dict[str, Any]]:
    """Return the rows of a section; none if it was not measured."""
    record = record_of(results, section, threads)
    return [] if record is None else list(record["rows"])


def threads_of(results: Results, section: str | None = None) -> list[int]:
    """Return the numbers of threads that were measured."""
    records = results["records"]
    return sorted({r["threads"] for r in records if section in (None, r["section"])})


def floors(results: Results, threads: int) -> dict[str, float]:
    """Return the machine's rates by name; empty where section `floors` was not measured."""
    return {row["name"]: row["rate"] for row in rows_of(results, "floors", threads)}


def load_shown(path: Path, table: Callable[[Results], str]) -> Results:
    """Read the results of a program that has a file of its own, which its `table` can show.

    Raises
    ------
    UsageError, DataError
        If the file cannot be read, or holds something else.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        table(results)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no results of this program ({error})") from error
    return dict(results)
