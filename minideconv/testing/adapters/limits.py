"""What a signature can express of an operation, and the operation within these limits.

A signature with one stride for both axes cannot be asked for two. What it cannot be asked for is
not drawn, so that every case of the operation within the limits is one of the operation itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from minideconv.testing.drawing import Integer
from minideconv.testing.operations.operation import Arrays, Case, Expected, Operation, Settings

__all__ = ["Limits", "few_geometries", "within"]


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
    """

    square: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    fits: Callable[[Any], bool] = lambda _geometry: True


def within(operation: Operation, limits: Limits) -> Operation:
    """Return an operation whose cases are those within the limits."""

    def draw(integer: Integer) -> Any:
        while True:
            geometry = narrowed(operation.draw(integer), limits)
            if geometry is not None and limits.fits(geometry):
                return geometry

    def shapes(geometry: Any) -> Mapping[str, tuple[int, ...]]:
        return {r: s for r, s in operation.shapes(geometry).items() if r not in limits.without}

    def call_arguments(case: Case) -> tuple[Arrays, Settings]:
        left_out = dict.fromkeys(r for r in limits.without if r in operation.shapes(case.geometry))
        return operation.call_arguments(Case(case.geometry, {**case.arrays, **left_out}))

    def oracle(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
        found = operation.oracle(arrays, settings)
        return {output: found[output] for output in outputs}

    def telling(geometry: Any) -> bool:
        return _telling(geometry, limits)

    outputs = limits.outputs or operation.outputs
    gone = (*limits.without, *limits.always)
    return replace(
        operation,
        outputs=outputs,
        families=_families(operation, draw),
        draw=draw,
        shapes=shapes,
        call_arguments=call_arguments,
        oracle=oracle,
        optional=tuple(role for role in operation.optional if role not in gone),
        telling=telling,
    )


def narrowed(geometry: Any, limits: Limits) -> Any | None:
    """Return the geometry of this kind within the limits, with as many windows; None if none fits.

    A smaller kernel or padding along an axis is made up for by the size of the image.
    """
    names = {f.name for f in fields(geometry)}
    new: dict[str, Any] = {k: v for k, v in limits.fixed.items() if k in names}
    for name in set(limits.square) & names:
        pair = getattr(geometry, name)
        new[name] = (min(pair), min(pair)) if name == "padding" else (pair[0], pair[0])
    if {"size", "kernel"} <= names:
        old = {n: getattr(geometry, n) for n in ("kernel", "dilation", "padding") if n in names}
        now = {**old, **{n: v for n, v in new.items() if n in old}}
        before, after = _extents(old), _extents(now)
        size = [
            n + 2 * p - b + a
            for n, p, b, a in zip(geometry.size, old["padding"], before, after, strict=True)
        ]  # that of the padded image
        most = min(min(a - 1, (n - 1) // 2) for a, n in zip(after, size, strict=True))
        padding = tuple(min(p, most) if "padding" in new else p for p in now["padding"])
        new["padding"] = padding
        new["size"] = tuple(n - 2 * p for n, p in zip(size, padding, strict=True))
        if min(new["size"]) < 1:
            return None
    new |= dict.fromkeys(getattr(geometry, "derived", ()))
    try:
        return replace(geometry, **new)
    except ValueError:
        return None


def _extents(numbers: Mapping[str, Any]) -> tuple[int, ...]:
    dilation = numbers.get("dilation", (1, 1))
    return tuple(d * (k - 1) + 1 for d, k in zip(dilation, numbers["kernel"], strict=True))


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
