"""What is wrong with one result of a function, beside the right one."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.testing.checking.compare import first_difference, narrowed
from minideconv.testing.checking.failure import Failure, shown
from minideconv.testing.operations.operation import Array, Expected, Operation

__all__ = ["is_clear", "verbs", "wrong_dtype", "wrong_result"]

PLURALS = ("columns", "parameters", "switches")
CLEAR = 0.01
"""How far off a number must be, in units of the largest, to be seen as wrong."""
OWN_DTYPE = "A new array is given the dtype of the arguments; without one it has the library's own."


def wrong_result(
    operation: Operation,
    output: str,
    want: Expected,
    got: Any,
    dtype: np.dtype[Any],
    geometry: Any,
    *,
    exact: bool,
) -> Failure | None:
    """Return what is wrong with one output for arguments of `dtype`; None if nothing is.

    With `exact` its entries are compared by ``==``, else relative to their terms.
    """
    name, rule = operation.name, operation.rules[output]
    if operation.part is not None and want.value.ndim:
        output, got, want = operation.part(output, geometry, got, want, _right)
    value = want.value
    if got is None:
        entry = f"{output} is None, must be {shown(value)}"
        return Failure(name, "", "value", f"{output} is None", entry=entry, rule=rule)
    be, have = verbs(output)
    if got.shape != value.shape:
        entry = f"{output} has shape {got.shape}, must be {value.shape}"
        return Failure(name, "", "shape", f"{output} {have} the wrong shape", entry=entry)
    index = first_difference(want, narrowed(got, dtype), exact=exact)
    if index is not None:
        place = f"[{', '.join(map(str, index))}]" if index else ""
        right = shown(value[index] if value[index].ndim == 0 else value)
        entry = f"{output}{place} is {shown(np.asarray(got[index]))}, must be {right}"
        return Failure(
            name, "", "value", f"{output} {be} wrong", entry=entry,
            rule=rule, arrays={"got": got, "want": value},
        )  # fmt: skip
    return wrong_dtype(operation, output, value, got, dtype)


def wrong_dtype(
    operation: Operation, output: str, value: Array, got: Array, dtype: np.dtype[Any]
) -> Failure | None:
    """Return that an output has another dtype than `value`, in numbers of `dtype`, if it has."""
    name, wanted = operation.name, dtype if value.dtype.kind == "f" else value.dtype
    if value.dtype.kind == "f" and got.dtype != dtype and operation.keeps_dtype:
        entry = f"{output} {verbs(output)[0]} {got.dtype} for {dtype} arguments, must be {dtype}"
        return _of_other_type(name, output, entry, f"{got.dtype} in place of {wanted}")
    if value.dtype.kind in "iu" and got.dtype.kind not in "iu":
        entry = f"{output} {verbs(output)[0]} {got.dtype}, must be integers"
        return _of_other_type(name, output, entry, f"{got.dtype} in place of integers")
    return None


def is_clear(failure: Failure) -> bool:
    """Return whether a student sees that a result is wrong: by more than its last digits."""
    if failure.kind != "value" or "got" not in failure.arrays:
        return True
    got, want = failure.arrays["got"], failure.arrays["want"]
    off = np.abs(got - want)
    return not (off <= CLEAR * np.max(np.abs(want), initial=0)).all()


def verbs(output: str) -> tuple[str, str]:
    """Return "is" and "has", or their plurals for an output that is called by a plural."""
    return ("are", "have") if output in PLURALS else ("is", "has")


def _of_other_type(name: str, output: str, entry: str, mistake: str) -> Failure:
    title = f"{output} {verbs(output)[1]} the wrong dtype, {mistake}"
    sentence = "" if mistake.endswith("integers") else OWN_DTYPE
    return Failure(name, "", "dtype", title, sentence, entry=entry, mistakes=(mistake,))


def _right(want: Expected, got: Array) -> bool:
    return first_difference(want, got, exact=False) is None
