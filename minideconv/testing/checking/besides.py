"""What is told beside a mistake: an argument that is changed, too, and a dtype that is another one.

Both hide behind wrong numbers, since a function is tried for them only once it is right.
"""

from __future__ import annotations

from dataclasses import replace

from minideconv.testing.checking.calls import StudentFault
from minideconv.testing.checking.failure import Failure
from minideconv.testing.checking.promises import in_float32, unchanged
from minideconv.testing.checking.protocol import Checker
from minideconv.testing.checking.result import wrong_dtype
from minideconv.testing.operations.operation import Case

__all__ = ["and_besides"]


def and_besides(checker: Checker, failure: Failure, case: Case) -> Failure:
    """Return the failure with what else is wrong in the case."""
    named = failure.mistakes and failure.kind in ("value", "shape")
    dtype = _other_dtype(checker, case) if named else None
    for broken in (unchanged(checker, case), dtype):
        if broken is not None and broken.title not in failure.title:
            failure = replace(
                failure,
                title=f"{failure.title}; {broken.title}",
                sentence=f"{failure.sentence} {broken.sentence}".strip(),
                mistakes=(*failure.mistakes, *broken.mistakes),
            )
    return failure


def _other_dtype(checker: Checker, case: Case) -> Failure | None:
    """Return which output has not the dtype of the arguments, float64 or float32."""
    operation = checker.operation
    for each in (case, in_float32(case)):
        arrays, settings = operation.call_arguments(each)
        given = next(a.dtype for a in arrays.values() if a is not None and a.dtype.kind == "f")
        try:
            outputs = checker.call(arrays, settings).outputs
        except StudentFault:
            continue
        for output in operation.looks_at(each.geometry):
            value = operation.expected(each)[output].value
            found = wrong_dtype(operation, output, value, outputs[output], given)
            if found is not None:
                return found
    return None
