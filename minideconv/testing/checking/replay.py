"""A case as one line of text, and back: ``conv2d size=1x2 kernel=1x2 ... x=0,1 w=0,1``."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from minideconv.errors import UsageError
from minideconv.testing.operations import OPERATIONS
from minideconv.testing.operations.operation import Case, Operation

__all__ = ["case_from_text", "case_text"]


def case_text(operation: Operation, case: Case) -> str:
    """Return a case as one line: geometry, then the numbers of each array in row-major order."""
    words = [operation.name]
    derived = getattr(case.geometry, "derived", ())
    for field in fields(case.geometry):
        value = getattr(case.geometry, field.name)
        if field.name not in derived and value != field.default:
            pair = isinstance(value, tuple)
            words.append(f"{field.name}={'x'.join(map(str, value)) if pair else value}")
    for role, array in case.arrays.items():
        if array is not None:
            numbers = ",".join(f"{n:.17g}" for n in array.ravel().tolist())
            words.append(f"{role}={numbers}")
    dtypes = {a.dtype.name for a in case.arrays.values() if a is not None}
    if dtypes == {"float32"}:
        words.append("dtype=float32")
    return " ".join(words)


def case_from_text(text: str) -> tuple[Operation, Case]:
    """Return the operation and the case of such a line.

    Raises
    ------
    UsageError
        If the text is not one: which word, and what is legal.
    """
    name, *words = text.split()
    if name not in OPERATIONS:
        raise UsageError(f"no operation is called {name!r}; there are {', '.join(OPERATIONS)}")
    operation = OPERATIONS[name]
    given = dict(word.partition("=")[::2] for word in words)
    dtype = given.pop("dtype", "float64")
    try:
        geometry = _geometry(operation, given)
        shapes = operation.shapes(geometry)
        arrays: dict[str, Any] = dict.fromkeys(shapes)
        for role, numbers in given.items():
            flat = np.array([float(n) for n in numbers.split(",")], dtype)
            arrays[role] = flat.reshape(shapes[role])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the case {text!r} cannot be read: {error}") from None
    missing = [r for r, a in arrays.items() if a is None and r not in operation.optional]
    if missing:
        raise UsageError(f"the case {text!r} has no numbers for {', '.join(missing)}")
    return operation, Case(geometry, arrays)


def _geometry(operation: Operation, given: dict[str, str]) -> Any:
    """Build the geometry and take its words out."""
    values: dict[str, Any] = {}
    for field in fields(operation.geometry):
        if field.name in given:
            word = given.pop(field.name)
            if word in ("True", "False"):
                values[field.name] = word == "True"
            else:
                numbers = tuple(_number(n) for n in word.split("x"))
                values[field.name] = numbers if len(numbers) > 1 else numbers[0]
    return operation.geometry(**values)


def _number(word: str) -> float:
    """Return an integer where the word is one."""
    return int(word) if word.lstrip("-").isdigit() else float(word)
