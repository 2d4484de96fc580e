"""Features of a case in words, and the one that tells two lots of cases apart.

A mistake often shows only where the stride is more than 1, or where the kernel is not square. Both
words of a feature are sayable, so that either side of it can be named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import combinations, islice

from minideconv.testing.expression_traits import traits
from minideconv.testing.geometry import Pair, PatchGeometry, TransposedGeometry
from minideconv.testing.operations.operation import Case

__all__ = [
    "Condition",
    "Feature",
    "Stated",
    "described",
    "features",
    "needed",
    "separating",
]

Feature = tuple[str, str, bool]
"""(words where it holds, words where it does not, whether it holds)."""

TRIED = 24
"""Conditions of which it is asked whether they hold elsewhere, too."""
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
    "ties": ("some numbers are equal", "no two numbers are equal"),
    "between": ("another forward comes in between", "no other forward comes in between"),
}


@dataclass(frozen=True)
class Condition:
    """Features that hold together; or, if `negated`, that at least one of them does not.

    Attributes
    ----------
    held, fails : str
        In words: where it holds, and where it does not.
    sides : tuple of (int, bool)
        Numbers of the features, and whether each must hold or must not.
    """

    held: str
    fails: str
    sides: tuple[tuple[int, bool], ...]
    negated: bool = False

    def holds(self, marks: Sequence[Feature]) -> bool:
        """Return whether it holds of a case with these features."""
        return all(marks[i][2] is side for i, side in self.sides) is not self.negated

    def contrary(self) -> Condition:
        """Return the condition that holds where this one does not."""
        return Condition(self.fails, self.held, self.sides, not self.negated)


Confirm = Callable[[Condition], bool]
"""Whether a condition holds on other cases, too."""


@dataclass(frozen=True)
class Stated:
    """What is said of a function, and where it would be false: of a failing case where `safe`."""

    text: str
    safe: Condition

    def of(self, case: Case) -> str:
        """Return the words, or none if this failing case contradicts them."""
        return "" if self.safe.holds(described(case)) else self.text


def described(case: Case) -> list[Feature]:
    """Return the features, and after them those that describe a mistake but do not name one."""
    return [*_features(case), *_more(case)]


def _more(case: Case) -> Iterator[Feature]:
    g = case.geometry
    out: Pair | None = getattr(g, "out_size", None)
    if isinstance(g, PatchGeometry):
        yield (
            "there are not as many windows down as across",
            "there are as many windows down as across",
            g.out_size[0] != g.out_size[1],
        )
        for line, count in zip(("row", "column"), g.out_size, strict=True):
            several, one = (
                f"there are several {line}s of windows",
                f"there is one {line} of windows",
            )
            yield several, one, count > 1
    elif out is not None:
        what = "dy" if "dy" in case.arrays else "the output"
        yield f"{what} is not square", f"{what} is square", out[0] != out[1]
        for line, count in zip(("row", "column"), out, strict=True):
            yield f"{what} has several {line}s", f"{what} has one {line}", count > 1
    if (size := getattr(g, "size", None)) is not None:
        yield "the image has several rows", "the image has one row", size[0] > 1
        yield "the image has several columns", "the image has one column", size[1] > 1
    padding = getattr(g, "padding", None)
    if isinstance(padding, tuple):
        one_of_two = (padding[0] == 0) != (padding[1] == 0)
        yield "exactly one padding is 0", "both paddings are 0 or neither is", one_of_two
    if isinstance(g, TransposedGeometry):
        large = any(r >= s for r, s in zip(g.output_padding, g.stride, strict=True))
        yield "output_padding ≥ stride along an axis", "output_padding < stride", large


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


def needed(
    yes: Sequence[Sequence[Feature]], no: Sequence[Sequence[Feature]], confirm: Confirm
) -> Condition | None:
    """Return what holds in none of `yes` and in most of `no`, if it does in many.

    Of several such conditions, the first that `confirm` finds to hold.
    """
    found = []
    for i in range(len(yes[0]) if yes and no else 0):
        for side in (True, False):
            if all(f[i][2] is side for f in yes):
                spared = sum(f[i][2] is not side for f in no)
                if spared >= 2 * ENOUGH:
                    found.append((-spared, i, side))
    conditions = (_single(yes[0][i], i, side).contrary() for _, i, side in sorted(found)[:TRIED])
    return next((c for c in conditions if confirm(c)), None)


def separating(
    yes: Sequence[Sequence[Feature]],
    no: Sequence[Sequence[Feature]],
    confirm: Confirm,
    *,
    pairs: bool = True,
) -> Condition | None:
    """Return what holds in every one of `yes` and in none of `no`, if `confirm` finds that it does.

    Features by themselves come first; of two features together only such as hold, and only where
    there are enough cases on both sides that chance would not find one.
    """
    found = islice(_separations(yes, no, pairs=pairs), TRIED)
    return next((c for c in found if confirm(c)), None)


def _single(feature: Feature, number: int, side: bool) -> Condition:
    held, fails, _ = feature
    return Condition(*((held, fails) if side else (fails, held)), ((number, side),))


def _separations(
    yes: Sequence[Sequence[Feature]], no: Sequence[Sequence[Feature]], *, pairs: bool
) -> Iterator[Condition]:
    if not yes or not no:
        return
    count = len(yes[0])
    for i in range(count):
        for side in (True, False):
            if all(f[i][2] is side for f in yes) and all(f[i][2] is not side for f in no):
                yield _single(yes[0][i], i, side)
    common = [i for i in range(count) if all(f[i][2] for f in yes)] if pairs else []
    for i, j in combinations(common, 2):
        if any(f[i][2] and f[j][2] for f in no):
            continue
        # Each of the two must be seen to be needed, often enough that it is no chance.
        if min(sum(f[i][2] for f in no), sum(f[j][2] for f in no), len(yes)) >= ENOUGH:
            first, second = yes[0][i], yes[0][j]
            yield Condition(
                f"{first[0]} and {second[0]}",
                f"{first[1]} or {second[1]}",
                ((i, True), (j, True)),
            )
