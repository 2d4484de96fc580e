"""A case as one line of text, and back: ``conv2d size=1x2 kernel=1x2 ... x=0,1 w=0,1``."""

from __future__ import annotations

import re
from dataclasses import fields
from itertools import groupby
from typing import Any

import numpy as np

from minideconv.errors import UsageError
from minideconv.testing.operations import OPERATIONS
from minideconv.testing.operations.operation import Array, Case, Operation

__all__ = ["case_from_text", "case_in", "case_text"]


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
            words.append(f"{role}={_numbers(array)}")
    dtypes = {a.dtype.name for a in case.arrays.values() if a is not None}
    if dtypes == {"float32"}:
        words.append("dtype=float32")
    return " ".join(words)


def case_in(line: str) -> str:
    """Return the case in a message's last line: the text in quotes that begins with an operation.

    >>> case_in(
    ...     "minideconv.testing.replay(f, 'conv2d size=1x2 kernel=1x2 x=0 w=0', arrays='torch')"
    ... )
    'conv2d size=1x2 kernel=1x2 x=0 w=0'
    """
    quoted = re.findall(r"'([^']*)'", line)
    return next((text for text in quoted if text.partition(" ")[0] in OPERATIONS), "")


def _numbers(array: Array) -> str:
    """Return the numbers in row-major order, so that they are read back as they are.

    Runs of more than three equal ones are shortened: ``0*16,1``; if all are equal, to one.
    """
    runs = [
        (f"{number:.{9 if array.dtype == np.float32 else 17}g}", len(list(run)))
        for number, run in groupby(array.ravel().tolist())
    ]
    if len(runs) == 1:
        return runs[0][0]
    return ",".join(f"{word}*{count}" if count > 3 else ",".join([word] * count)
                    for word, count in runs)  # fmt: skip


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
            runs = [word.partition("*") for word in numbers.split(",")]
            each = [float(n) for n, _, times in runs for _ in range(int(times or 1))]
            whole = each * int(np.prod(shapes[role])) if len(each) == 1 else each
            arrays[role] = np.array(whole, dtype).reshape(shapes[role])
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
            if field.type == "str":
                values[field.name] = word
            elif word in ("True", "False"):
                values[field.name] = word == "True"
            else:
                numbers = tuple(_number(n) for n in word.split("x"))
                values[field.name] = numbers if len(numbers) > 1 else numbers[0]
    return operation.geometry(**values)


def _number(word: str) -> float:
    """Return an integer where the word is one."""
    return int(word) if word.lstrip("-").isdigit() else float(word)
