"""Calling a student's function, here or elsewhere: what it returned, or how it failed."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from minideconv.testing.arrays import as_numpy
from minideconv.testing.checking.memory import MOST, spoil_free_memory
from minideconv.testing.faults import StudentFault
from minideconv.testing.operations.operation import Array, Arrays, Functions, Operation, Settings

__all__ = ["SHAPE", "Call", "Returned", "StudentFault", "local_call"]

KIT = str(Path(__file__).parents[1])
SHAPE = ".shape"


@dataclass(frozen=True)
class Returned:
    """What a call gave.

    Attributes
    ----------
    outputs : mapping of str to ndarray
        By the operation's names.
    changed : tuple of str
        Roles of the arrays that the function changed although they were only lent to it; with
        `SHAPE` at the end where that was done to the shape.
    """

    outputs: Mapping[str, Array]
    changed: tuple[str, ...] = ()


class Call(Protocol):
    """Call an implementation with arguments as `Operation.call_arguments` gives them."""

    def __call__(self, arrays: Arrays, settings: Settings, *, strided: bool = False) -> Returned:
        """Return the outputs; with `strided`, the arrays are lent as views with wide strides."""
        ...


def local_call(operation: Operation, functions: Functions) -> Call:
    """Return a call of functions in this process.

    Raises (when called)
    --------------------
    StudentFault
        If the function is missing, raises, or does not return the arrays that it should.
    """
    sizes: set[int] = set()  # of the last results, in bytes

    def call(arrays: Arrays, settings: Settings, *, strided: bool = False) -> Returned:
        spoil_free_memory(sizes)
        missing = [n for n in operation.calls if n not in functions]
        if missing:
            raise StudentFault("missing", f"there is no function {missing[0]}")
        lend = wide_view if strided else np.copy
        lent = {role: None if a is None else lend(a) for role, a in arrays.items()}
        try:
            if operation.run is not None:
                result: Any = operation.run(functions, lent, settings)
            else:
                given = [lent[role] for role in operation.arguments]
                result = functions[operation.name](*given, **settings)
        except StudentFault:
            raise
        except Exception as error:
            raise StudentFault("raised", _said(operation.name, error)) from error
        outputs = named_outputs(operation, result)
        sizes.clear()
        sizes.update(array.nbytes for array in outputs.values() if array.nbytes < MOST)
        changed = []
        for role, a in arrays.items():
            if a is not None and (now := as_numpy(lent[role])).shape != a.shape:
                changed.append(role + SHAPE)
            elif a is not None and not _same(a, now):
                changed.append(role)
        return Returned(outputs, tuple(changed))

    return call


def _same(a: Array, b: Array) -> bool:
    """Return whether two arrays of one shape hold the same numbers; the bytes mostly tell."""
    return a.tobytes() == b.tobytes() or np.array_equal(a, b, equal_nan=True)


def wide_view(array: Array) -> Array:
    """Return a copy that is a view: every second number of a larger array, in column order."""
    wide = np.zeros(tuple(2 * n for n in array.shape), array.dtype, order="F")
    every_second: tuple[Any, ...] = (slice(None, None, 2),) * array.ndim
    view = wide[(..., *every_second)]
    view[...] = array
    return view


def named_outputs(operation: Operation, result: Any) -> dict[str, Array]:
    """Return the arrays of a result by their names.

    Raises
    ------
    StudentFault
        If it is not what the operation returns.
    """
    names, count = operation.outputs, len(operation.outputs)
    if count == 1 and not isinstance(result, (tuple, list)):
        result = (result,)
    wanted = names[0] if count == 1 else f"({', '.join(names)})"
    if not isinstance(result, (tuple, list)):
        what = "None (is a return missing?)" if result is None else type(result).__name__
        raise StudentFault("returned", f"{operation.name} returned {what}; it must return {wanted}")
    if len(result) != count:
        raise StudentFault(
            "returned", f"{operation.name} returned {len(result)} values; it must return {wanted}"
        )
    outputs = {}
    for name, value in zip(names, result, strict=True):
        if value is None or not hasattr(value, "shape"):
            what = "None (is a return missing?)" if value is None else type(value).__name__
            raise StudentFault(
                "returned", f"{operation.name} returned {what} for {name}; it must be an array"
            )
        array = as_numpy(value)
        if array.dtype.kind not in "fiub":
            raise StudentFault(
                "returned", f"{operation.name} returned an array of {array.dtype} for {name}"
            )
        outputs[name] = np.array(array)
    return outputs


def _said(name: str, error: Exception) -> str:
    """Return what was raised and in which line of the student's file."""
    every = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in every if not frame.filename.startswith(KIT)]
    where = f" in line {frames[0].lineno} of {frames[0].name}" if frames else ""
    return f"{name} raised {type(error).__name__}: {str(error)[:200]}{where}"
