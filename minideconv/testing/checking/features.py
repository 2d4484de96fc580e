"""Features of a case in words, and the one that tells two lots of cases apart.

A mistake often shows only where the stride is more than 1, or where the kernel is not square. Both
words of a feature are sayable, so that either side of it can be named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import combinations

from minideconv.testing.expression_traits import traits
from minideconv.testing.operations.operation import Case

__all__ = ["Feature", "features", "needed", "separating"]

Feature = tuple[str, str, bool]
"""(words where it holds, words where it does not, whether it holds)."""

ENOUGH = 4
"""Cases with the one feature but not the other that it takes to say that both are needed."""

_LABELS = {
    "batch": ("there is more than one image", "there is one image"),
    "c_in": ("C_in > 1", "C_in = 1"),
    "c_out": ("C_out > 1", "C_out = 1"),
    "channels": ("there is more than one channel", "there is one channel"),
    "groups": ("groups > 1", "groups = 1"),
    "default_stride": ("stride=None", "a stride is given"),
    "affine": ("weight and bias are given", "weight is 1 and bias 0"),
    "evaluation": ("training=False", "training=True"),
    "running": ("running statistics are given", "running statistics begin with 0 and 1"),
    "between": ("another forward comes in between", "no other forward comes in between"),
}


def features(case: Case) -> list[Feature]:
    """Return the features of a case; cases of one operation have the same ones in one order."""
    return list(_features(case))


def _features(case: Case) -> Iterator[Feature]:
    g = case.geometry
    names = [field.name for field in fields(g)]
    derived = getattr(g, "derived", ())
    if hasattr(g, "parts"):  # an expression
        yield from traits(g)
        return
    for name in names:
        value = getattr(g, name)
        if isinstance(value, bool):
            yes, no = _LABELS.get(name, (f"{name}=True", f"{name}=False"))
            yield yes, no, value
        elif isinstance(value, int):
            yes, no = _LABELS.get(name, (f"{name} > 1", f"{name} = 1"))
            yield yes, no, value > 1
        elif isinstance(value, tuple) and name in derived:
            yield "the stride leaves a remainder", "the stride leaves no remainder", any(value)
        elif isinstance(value, tuple) and len(value) == 2:
            yield from _pair(name, value)
    # Where a geometry says which arrays there are, that is a feature already.
    for role, array in case.arrays.items() if "affine" not in names else ():
        yield f"{role} is None", f"{role} is given", array is None
    if "c_in" in names:
        yield "C_in ≠ C_out", "C_in = C_out", g.c_in != g.c_out
        inner, outer = g.c_in // g.groups, g.c_out // g.groups
        yield "a group has several input channels", "a group has one input channel", inner > 1
        yield "a group has several output channels", "a group has one output channel", outer > 1
    if "stride" in names and "kernel" in names:
        extents = [d * (k - 1) + 1 for k, d in zip(g.kernel, g.dilation, strict=True)]
        overlap = any(e > s for e, s in zip(extents, g.stride, strict=True))
        yield "windows overlap", "windows do not overlap", overlap


def _pair(name: str, value: tuple[int, int]) -> Iterator[Feature]:
    first, second = value
    if name in ("size", "kernel"):
        what = "image" if name == "size" else "kernel"
        yield f"the {what} is not square", f"the {what} is square", first != second
        if name == "kernel":
            yield "the kernel has several taps", "the kernel is 1x1", max(value) > 1
            yield "the kernel has several rows", "the kernel has one row", first > 1
            yield "the kernel has several columns", "the kernel has one column", second > 1
        return
    least = 0 if "padding" in name else 1
    yield f"{name} > {least}", f"{name} = {least}", max(value) > least
    yield f"{name}[0] > {least}", f"{name}[0] = {least}", first > least
    yield f"{name}[1] > {least}", f"{name}[1] = {least}", second > least
    yield f"{name}[0] ≠ {name}[1]", f"{name}[0] = {name}[1]", first != second
    yield (
        f"{name} > {least} along both axes",
        f"{name} = {least} along an axis",
        min(value) > least,
    )


def needed(yes: Sequence[Sequence[Feature]], no: Sequence[Sequence[Feature]]) -> str:
    """Return in words what holds in none of `yes` and in most of `no`, if it does in many."""
    most, words = 2 * ENOUGH - 1, ""
    for i in range(len(yes[0])):
        for side in (True, False):
            if all(f[i][2] is side for f in yes):
                spared = sum(f[i][2] is not side for f in no)
                if spared > most:
                    held, fails, _ = yes[0][i]
                    most, words = spared, fails if side else held
    return words


def separating(
    yes: Sequence[Sequence[Feature]], no: Sequence[Sequence[Feature]], *, pairs: bool = True
) -> tuple[str, str] | None:
    """Return in words what holds in every one of `yes` and in none of `no`, and its contrary.

    Features by themselves come first; of two features together only such as hold, and only where
    there are enough cases on both sides that chance would not find one.
    """
    if not yes or not no:
        return None
    count = len(yes[0])
    for i in range(count):
        for side in (True, False):
            if all(f[i][2] is side for f in yes) and all(f[i][2] is not side for f in no):
                held, fails, _ = yes[0][i]
                return (held, fails) if side else (fails, held)
    common = [i for i in range(count) if all(f[i][2] for f in yes)] if pairs else []
    for i, j in combinations(common, 2):
        if any(f[i][2] and f[j][2] for f in no):
            continue
        # Each of the two must be seen to be needed, often enough that it is no chance.
        if min(sum(f[i][2] for f in no), sum(f[j][2] for f in no), len(yes)) >= ENOUGH:
            return (
                f"{yes[0][i][0]} and {yes[0][j][0]}",
                f"{yes[0][i][1]} or {yes[0][j][1]}",
            )
    return None
