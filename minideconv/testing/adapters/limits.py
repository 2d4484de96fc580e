"""What a signature can express of an operation, and the operation within these limits.

A signature with one stride for both axes cannot be asked for two. What it cannot be asked for is
not drawn, so that every case of the operation within the limits is one of the operation itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from minideconv.errors import UsageError
from minideconv.testing.drawing import Integer
from minideconv.testing.operations.operation import (
    Arrays,
    Case,
    Expected,
    Functions,
    Operation,
    Settings,
)

__all__ = ["Limits", "few_geometries", "within"]

PAIRS = {"kernel", "stride", "padding", "dilation", "output_padding"}
"""Settings that a geometry has for each axis."""


@dataclass(frozen=True)
class Limits:
    """Which geometries, arguments and results a signature has.

    Attributes
    ----------
    square : tuple of str
        Settings that are one number for both axes: ``("stride", "padding")``.
    fixed : mapping
        Settings that the signature does not have, with their only value: ``{"groups": 1}``.
    without : tuple of str
        Optional arrays that it does not have.
    always : tuple of str
        Optional arrays that it must be given.
    outputs : tuple of str
        Results that it has; empty: all.
    fits : callable
        What else must hold of a geometry.

    Raises
    ------
    UsageError
        If a setting of both axes is fixed to what is no pair of integers.
    """

    square: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    fits: Callable[[Any], bool] = lambda _geometry: True

    def __post_init__(self) -> None:
        for name in PAIRS & {*self.fixed}:
            value = self.fixed[name]
            if not isinstance(value, tuple) or [type(n) for n in value] != [int, int]:
                raise UsageError(
                    f"Limits: {name} is fixed to {value!r}, must be a pair of integers, one for "
                    f"each axis: fixed={{{name!r}: (1, 1)}}"
                )


def within(operation: Operation, limits: Limits) -> Operation:
    """Return an operation whose cases are those within the limits."""
    outputs = limits.outputs or operation.outputs
    gone = (*limits.without, *limits.always)

    def narrow(geometry: Any) -> Any | None:
        narrower = narrowed(geometry, limits)
        return narrower if narrower is not None and limits.fits(narrower) else None

    def draw(integer: Integer) -> Any:
        while True:
            geometry = narrow(operation.draw(integer))
            if geometry is not None:
                return geometry

    def shapes(geometry: Any) -> Mapping[str, tuple[int, ...]]:
        return {r: s for r, s in operation.shapes(geometry).items() if r not in limits.without}

    def call_arguments(case: Case) -> tuple[Arrays, Settings]:
        left_out = dict.fromkeys(r for r in limits.without if r in operation.shapes(case.geometry))
        return operation.call_arguments(Case(case.geometry, {**case.arrays, **left_out}))

    def oracle(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
        found = operation.oracle(arrays, settings)
        return {output: found[output] for output in outputs}

    def run(functions: Functions, arrays: Arrays, settings: Settings) -> Sequence[Any]:
        assert operation.run is not None
        results = operation.run(functions, arrays, settings)
        if not isinstance(results, (tuple, list)) or len(results) != len(operation.outputs):
            return results
        pairs = zip(operation.outputs, results, strict=True)
        return [result for output, result in pairs if output in outputs]

    def watched(geometry: Any) -> Sequence[str]:
        return [output for output in operation.looks_at(geometry) if output in outputs]

    def telling(geometry: Any) -> bool:
        return _telling(geometry, limits)

    def fits(case: Case) -> bool:
        return bool(narrow(case.geometry) == case.geometry)

    return replace(
        operation,
        outputs=outputs,
        families=_families(operation, draw),
        draw=draw,
        narrow=narrow,
        shapes=shapes,
        call_arguments=call_arguments,
        oracle=oracle,
        run=None if operation.run is None else run,
        watched=watched,
        optional=tuple(role for role in operation.optional if role not in gone),
        telling=telling,
        long={name: make for name, make in operation.long.items() if fits(make())},
    )


def narrowed(geometry: Any, limits: Limits) -> Any | None:
    """Return the geometry of this kind within the limits, with as many windows; None if none fits.

    A smaller kernel or padding along an axis is made up for by the size of the image.
    """
    names = {f.name for f in fields(geometry)}
    derived = getattr(geometry, "derived", ())
    new: dict[str, Any] = {k: v for k, v in limits.fixed.items() if k in names}
    for name in set(limits.square) & names:
        pair = getattr(geometry, name)
        new[name] = (min(pair), min(pair)) if "padding" in name else (pair[0], pair[0])
    if "output_padding" in names - {*derived}:
        now = {n: new.get(n, getattr(geometry, n)) for n in ("stride", "dilation")}
        most = [max(s, d) - 1 for s, d in zip(*now.values(), strict=True)]
        if "output_padding" in limits.square:
            most = [min(most)] * 2
        extra = new.get("output_padding", geometry.output_padding)
        new["output_padding"] = tuple(map(min, extra, most))
    elif {"size", "kernel"} <= names:
        new |= _same_windows(geometry, new, square="padding" in limits.square)
    try:
        return replace(geometry, **{**dict.fromkeys(derived), **new})
    except ValueError:
        return None


def _same_windows(geometry: Any, new: Mapping[str, Any], *, square: bool) -> dict[str, Any]:
    """Return size and padding with which the new numbers give as many windows as the old."""
    old = {n: getattr(geometry, n) for n in ("kernel", "dilation", "padding")}
    now = {n: new.get(n, value) for n, value in old.items()}
    extents = _extents(now)
    padded = [
        n + 2 * p - before + after
        for n, p, before, after in zip(
            geometry.size, old["padding"], _extents(old), extents, strict=True
        )
    ]
    most = [min(e - 1, (n - 1) // 2) for e, n in zip(extents, padded, strict=True)]
    if square:
        most = [min(most)] * 2
    padding = tuple(map(min, now["padding"], most))
    return {
        "padding": padding,
        "size": tuple(n - 2 * p for n, p in zip(padded, padding, strict=True)),
    }


def _extents(numbers: Mapping[str, Any]) -> list[int]:
    return [d * (k - 1) + 1 for d, k in zip(numbers["dilation"], numbers["kernel"], strict=True)]


def _telling(geometry: Any, limits: Limits) -> bool:
    """Return whether no two numbers that could be mistaken for each other are equal."""
    for f in fields(geometry):
        value = getattr(geometry, f.name)
        if f.name in (*limits.square, *limits.fixed, *getattr(geometry, "derived", ())):
            continue
        if isinstance(value, tuple):
            least = 0 if f.name == "padding" else 1
            if value[0] == value[1] and (f.name in ("size", "kernel") or value[0] > least):
                return False
        elif f.name in ("batch", "channels", "c_in", "c_out") and value < 2:
            return False
    return min(getattr(geometry, "out_size", (2, 2))) > 1


def _families(operation: Operation, draw: Callable[[Integer], Any]) -> tuple[str, ...]:
    """Return the families that are drawn."""
    rng = np.random.default_rng(0)
    found = {operation.family(draw(_integers(rng))) for _ in range(400)}
    return tuple(family for family in operation.families if family in found)


def few_geometries(operation: Operation, each: int = 3) -> Operation:
    """Return the operation with a fixed set of geometries, `each` in a family.

    For functions that are compiled for each new shape.
    """
    rng = np.random.default_rng(20151213)
    found: dict[str, list[Any]] = {family: [] for family in operation.families}
    for attempt in range(4000):
        geometry = operation.draw(_integers(rng))
        here = found[operation.family(geometry)]
        # The first as it comes, the others such that mistakes show.
        wanted = len(here) < 1 or attempt > 3000 or operation.telling(geometry)
        if len(here) < each and wanted and geometry not in here:
            here.append(geometry)
        if all(len(geometries) == each for geometries in found.values()):
            break
    pool = [geometry for geometries in found.values() for geometry in geometries]

    def draw(integer: Integer) -> Any:
        return pool[integer(0, len(pool) - 1)]

    return replace(operation, draw=draw)


def _integers(rng: np.random.Generator) -> Integer:
    return lambda low, high: int(rng.integers(low, high + 1))
