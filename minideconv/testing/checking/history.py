"""Whether a function remembers earlier calls: a memory whose key leaves out what it depends on.

A function that keeps what it worked out for a key gives the same again for the same arguments, so
two equal calls do not show it. But the first call with a key is right, and the next one, with other
numbers, other settings or another size, is wrong. What the function was given before is known in
part only, so that sizes are tried which no check has otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from minideconv.testing.checking.calls import Call, StudentFault
from minideconv.testing.checking.named import is_equal
from minideconv.testing.checking.probing import usual_probes
from minideconv.testing.operations.operation import Case, Operation

__all__ = ["Remembered", "remembers"]

TRIED = 12
"""Pairs of calls that are tried."""
LEAST = 8
"""Those of them of which the first call must be right."""
PAIRS = 6
"""Pairs of different calls that are tried, each in both orders."""
WRONG = 3
"""Those in which the second call must be wrong, while every first one is right."""

TRIES = 40
"""Draws after which it is given up to find a pair."""

ARRAYS = ("batch", "channels", "c_in", "c_out", "groups", "size")
"""Fields of a geometry that say how large arrays are; the others are settings."""
STEP = 12
"""Sizes differ by multiples of it: strides divide it, and windows fit into all of them alike."""

Pair = tuple[Any, Any]
Partner = Callable[[Operation, Any, Any, int], Pair | None]


class Remembered(NamedTuple):
    """Two calls: after the first one the second one is wrong, which is right by itself."""

    before: Case
    case: Case


def remembers(operation: Operation, call: Call) -> Remembered | None:
    """Return two calls of which the second gives what belongs to the first, if there are any."""
    try:
        return _other_numbers(operation, call) or _other_calls(operation, call)
    except StudentFault:
        return None


def _other_numbers(operation: Operation, call: Call) -> Remembered | None:
    """Whether the first call with a geometry is right, and the next, with other numbers, wrong."""
    source = random.Random(20151214)
    seen = [probe.case.geometry for probe in usual_probes(operation)]
    tried: list[tuple[bool, bool]] = []
    found = None
    for _ in range(50 * TRIED):  # some operations have few geometries
        geometry = operation.draw(source.randint)
        if geometry in seen or not operation.telling(geometry):
            continue
        seen.append(geometry)
        kind = operation.kind_for(geometry, 0)
        before, case = (operation.case(geometry, seed, kind) for seed in (1, 2))
        tried.append((_right(operation, call, before), _right(operation, call, case)))
        found = found or (Remembered(before, case) if tried[-1] == (True, False) else None)
        if len(tried) == TRIED:
            break
    fresh = [second for first, second in tried if first]
    return found if len(fresh) >= LEAST and not any(fresh) else None


def _other_calls(operation: Operation, call: Call) -> Remembered | None:
    """Whether of two different calls that comes first is right, and often the other one is wrong.

    Each pair is tried in both orders, with sizes or kernels that the check uses nowhere else and
    that windows fit into alike: whether a call is wrong as the second one, and right as the first,
    is then no matter of its settings.
    """
    source, numbers = random.Random(20151215), count()
    settings = _settings(operation.draw(source.randint))
    taken = [settings, *([name] for name in settings)]
    partners: list[Partner] = [partial(_other_settings, names) for names in taken]
    for partner in (*partners, _next_size, _other_size):
        found: list[Remembered] = []
        first: list[bool] = []
        for _ in range(PAIRS):
            pairs = _pairs(operation, partner, source, numbers)
            for geometries in pairs:
                before, case = (
                    operation.case(geometry, seed, operation.kind_for(geometry, 0))
                    for seed, geometry in enumerate(geometries, 1)
                )
                first.append(_right(operation, call, before))
                if not _right(operation, call, case):
                    found.append(Remembered(before, case))
            if not (pairs and all(first)):
                break
        if all(first) and len(found) >= WRONG:
            return min(found, key=lambda pair: pair.before.numbers + pair.case.numbers)
    return None


def _pairs(
    operation: Operation, partner: Partner, source: random.Random, numbers: Iterator[int]
) -> list[Pair]:
    """Return a pair of geometries, and the like in the opposite order; nothing if none is found."""
    first, second = next(numbers), next(numbers)
    for _ in range(TRIES):
        one, other = operation.draw(source.randint), operation.draw(source.randint)
        pair = partner(operation, one, other, first)
        turned = partner(operation, one, other, second)
        if pair is not None and turned is not None:
            return [pair, (turned[1], turned[0])]
    return []


def _settings(geometry: Any) -> list[str]:
    """Return the names of what a geometry says beside the sizes of arrays."""
    left_out = {*ARRAYS, *getattr(geometry, "derived", ())}
    return [field.name for field in fields(geometry) if field.name not in left_out]


def _changed(operation: Operation, geometry: Any, **changes: Any) -> Any | None:
    """Return a geometry with other numbers, or None if it is not allowed."""
    derived: dict[str, Any] = dict.fromkeys(getattr(geometry, "derived", ()))
    try:
        made = replace(geometry, **{**derived, **changes})
    except (TypeError, ValueError):
        return None
    return made if operation.narrow(made) == made else None


def _unusual(operation: Operation, geometry: Any, number: int) -> Any | None:
    """Return a geometry of one image, of a size that has this number, which no other check uses."""
    if not hasattr(geometry, "size"):
        return None
    rows, columns = geometry.size
    return _changed(operation, geometry, batch=1, size=(rows, columns + STEP * (number + 2)))


def _of_one_shape(operation: Operation, one: Any, other: Any | None) -> Pair | None:
    """Return two geometries if their first arrays have one shape, and they are not the same."""
    if one is None or other is None or one == other:
        return None
    role = next(iter(operation.shapes(one)))
    return (one, other) if operation.shapes(one)[role] == operation.shapes(other)[role] else None


def _other_settings(
    names: Sequence[str], operation: Operation, one: Any, other: Any, number: int
) -> Pair | None:
    """Return an unusual size with some settings of two geometries."""
    one = _unusual(operation, one, number)
    changes = {name: getattr(other, name) for name in names}
    return _of_one_shape(operation, one, one and _changed(operation, one, **changes))


def _next_size(operation: Operation, one: Any, other: Any, number: int) -> Pair | None:
    """Return an unusual size and one of a column more, for which a result is as large."""
    one = _unusual(operation, one, number)
    if one is None:
        return None
    wider = _changed(operation, one, size=(one.size[0], one.size[1] + 1))
    return _of_one_shape(operation, one, wider)


def _other_size(operation: Operation, one: Any, other: Any, number: int) -> Pair | None:
    """Return two sizes with a kernel of unusual size and the same settings."""
    if not hasattr(one, "kernel"):
        return None
    rows, columns = one.kernel
    kernel = (rows + 4, columns + 5 + 2 * number)
    size = (one.size[0] + STEP, one.size[1] + STEP + 2 * number)
    wide = _changed(operation, one, kernel=kernel, size=size)
    wider = wide and _changed(operation, wide, size=(size[0] + STEP, size[1] + 1))
    return (wide, wider) if wide is not None and wider is not None else None


def _right(operation: Operation, call: Call, case: Case) -> bool:
    try:
        got = call(*operation.call_arguments(case)).outputs
    except StudentFault as fault:
        if fault.kind == "raised":
            return False
        raise
    want = operation.expected(case)
    return all(
        is_equal(got[o], want[o], operation.exact) for o in operation.looks_at(case.geometry)
    )
