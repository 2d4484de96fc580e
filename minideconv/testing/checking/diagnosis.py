"""Which mistake it is: the student's outputs beside those of every mistake of the bank.

The function is called on a few dozen fixed cases, the probes; nothing looks at the code. A mistake
is named only if it explains the values, exactly:

* every wrong value on every probe, and the student is right wherever the mistake does no harm;
* or all that is wrong, where the student is right in the other cases and one feature of the case
  tells the two apart ("only where stride > 1");
* or two mistakes together explain every value;
* or every value but where one feature holds, where something else is wrong, too.

Where more than one name would do, none is given. What is not named is described (`behaviour`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from minideconv.testing.checking.behaviour import behaviour
from minideconv.testing.checking.calls import Call
from minideconv.testing.checking.compare import first_difference
from minideconv.testing.checking.features import needed, separating
from minideconv.testing.checking.probing import Probe, Values, tried, usual_probes, value_of
from minideconv.testing.mistakes import Mistake, mistakes
from minideconv.testing.operations.operation import (
    Array,
    Arrays,
    Case,
    Expected,
    Operation,
    Settings,
)

__all__ = [
    "Diagnosis",
    "Named",
    "diagnose",
    "explained",
    "name_mistakes",
    "recognised",
]

LEAST = 3
"""Wrong results that a mistake must explain by their values to be named."""
SCREEN = 12
"""Wrong results that every mistake is held against before any is held against all of them."""
ROUNDED = 1e-9
"""How far a result of a mistake that divides may be off, in units of the largest sum of terms."""
APART = ("b is", "groups", "a group", "there is", "C_in", "C_out")
"""Features that have nothing to do with where a window lies: beside those, its mistakes are known.

A kernel that is read the wrong way round looks as if the padding were, too, where that is even."""
SURE = 6
"""The same, where a mistake is named beside something else, or with another one."""


@dataclass(frozen=True)
class Named:
    """The mistakes that explain one output, none if none does.

    Attributes
    ----------
    output : str
        Which one.
    mistakes : tuple of Mistake
        Together they explain it.
    when : str
        Where they show: ``"only where stride > 1"``; empty if wherever they can.
    does : str
        What the output does, where nothing explains it.
    raises : bool
        Whether the function raises in some cases where the mistakes show, and in no other.
    """

    output: str
    mistakes: tuple[Mistake, ...]
    when: str = ""
    does: str = ""
    raises: bool = False
    values: tuple[Values, ...] = field(default=(), repr=False, compare=False)

    @property
    def title(self) -> str:
        """The names, joined."""
        names = " and ".join(dict.fromkeys(m.name for m in self.mistakes))
        return f"{names} ({self.when})" if self.when else names

    def explains(self, operation: Operation, case: Case, got: Array) -> bool:
        """Return whether this output is wrong in a case, just as the mistakes have it."""
        if not self.values:
            return True  # they were recognised in another way
        right = operation.expected(case)[self.output]
        arguments = operation.call_arguments(case)
        return not _equal(got, right, operation.exact) and any(
            value is not None and _equal(got, Expected(value, right.terms), operation.exact)
            for value in (value_of(values, arguments) for values in self.values)
        )


@dataclass(frozen=True)
class Diagnosis:
    """What is known of an implementation: each output that is wrong, and where it fails."""

    named: tuple[Named, ...] = ()
    raises: str = ""


def name_mistakes(operation: Operation, call: Call) -> list[Named]:
    """Return for each output that is wrong on some probe which mistakes explain it."""
    return list(diagnose(operation, call).named)


def diagnose(operation: Operation, call: Call) -> Diagnosis:
    """Call an implementation on the probes and say what is known of it."""
    seen = tried(operation, call, usual_probes(operation))
    return Diagnosis(tuple(explained(operation, seen)), raising(seen))


def raising(seen: Sequence[Probe]) -> str:
    """Say where the function raises, if one feature of the case tells."""
    raised = [p.features for p in seen if p.got is None]
    where = separating(raised, [p.features for p in seen if p.got is not None])
    return f"only where {where[0]}" if where else ""


def explained(operation: Operation, seen: Sequence[Probe]) -> list[Named]:
    """Return for each output that is wrong on some probe which mistakes explain it."""
    fine = [p for p in seen if p.got is not None]
    if not fine:
        return []
    interchanged = _interchanged(operation, fine)
    named = [interchanged] if interchanged else []
    for output in operation.outputs:
        if interchanged and output in interchanged.does.split():
            continue
        if any(not _equal(_got(p, output), p.right[output], operation.exact) for p in fine):
            named.append(_Question(operation, output, seen).answer())
    return named or _by_failures(operation, seen)


def _by_failures(operation: Operation, seen: Sequence[Probe]) -> list[Named]:
    """Return the mistake that fails just where the function does, which is right elsewhere."""
    raised = [p for p in seen if p.got is None]
    if len(raised) < LEAST:
        return []
    found: dict[str, Named] = {}
    for mistake in mistakes(operation.name):
        if any(p.value(mistake) is not None for p in raised):
            continue
        question = _Question(operation, mistake.output, seen)
        if not any(question.harms(p, p.value(mistake)) for p in question.right):
            found[mistake.name] = Named(
                mistake.output, (mistake,), raises=True, values=(mistake.values,)
            )
    return list(found.values()) if len(found) == 1 else []


@dataclass
class _Fit:
    """How the mistakes of one name fit: by the numbers of probes."""

    mistakes: tuple[Mistake, ...]
    values: tuple[Values, ...]
    matched: list[Probe]  # wrong as the mistake has it
    harmless: list[Probe]  # right, and the mistake does no harm there
    missed: list[Probe]  # wrong, but not so
    spared: list[Probe]  # right, but the mistake would show
    failed: list[Probe]  # raised where the mistake would show
    alone: list[Probe]  # raised where the mistake does no harm

    @property
    def evidence(self) -> int:
        """How many results with any numbers in them are wrong just as the mistake has it.

        That both fail in the same cases, and the student in no other, counts as one more.
        """
        count = sum(1 for p in self.matched if _size(p, self) > 0)
        together = [p for p in self.failed if any(p.value(m) is None for m in self.mistakes)]
        return count + (len(together) >= SURE and not self.alone)


def _size(probe: Probe, fit: _Fit) -> int:
    assert probe.got is not None
    return probe.got[fit.mistakes[0].output].size


class _Question:
    """Which mistake explains one output on the probes."""

    def __init__(self, operation: Operation, output: str, seen: Sequence[Probe]) -> None:
        self.operation, self.output = operation, output
        self.bank = mistakes(operation.name, output)
        self.place = {id(m): i for i, m in enumerate(self.bank)}
        self.raised = [p for p in seen if p.got is None]
        fine = [p for p in seen if p.got is not None]
        self.wrong = [p for p in fine if not self.equal(p, p.right[output].value)]
        self.right = [p for p in fine if self.equal(p, p.right[output].value)]
        self.wrong.sort(key=lambda p: p.case.numbers)

    def equal(self, probe: Probe, value: Array | None) -> bool:
        """Return whether a value is the student's."""
        if value is None or value.shape != (got := _got(probe, self.output)).shape:
            return False
        terms = probe.right[self.output].terms
        if not self.operation.exact:  # what a mistake makes larger is rounded more
            terms = np.maximum(terms, np.max(np.abs(value[np.isfinite(value)]), initial=0))
        return _equal(got, Expected(value, terms), self.operation.exact)

    def harms(self, probe: Probe, value: Array | None) -> bool:
        """Return whether a mistake's value is wrong."""
        right = probe.right[self.output]
        return value is None or not _equal(value, right, self.operation.exact)

    def answer(self) -> Named:
        """Return the mistakes that explain the output, or what it does."""
        self.screened = _spread(self.wrong, self.operation.families, SCREEN)
        self.hits = np.array(
            [[self.equal(p, p.value(m)) for p in self.screened] for m in self.bank], bool
        ).reshape(len(self.bank), len(self.screened))
        fits = [self.fit(group) for group in _by_name(self.bank) if self.may_fit(group)]
        # Within the limits of a signature, two mistakes may look alike.
        if all_of_it := self.everywhere(fits):
            return all_of_it[0] if len(all_of_it) == 1 else self.unknown()
        named = self.somewhere(fits) or self.together() or self.besides(fits)
        return named or self.unknown()

    def unknown(self) -> Named:
        """Return what the output does."""
        return Named(self.output, (), does=self.does())

    def may_fit(self, group: Sequence[Mistake]) -> bool:
        """Return whether the mistakes of one name explain enough of a part of the probes."""
        rows = [self.place[id(m)] for m in group]
        return bool(3 * self.hits[rows].any(0).sum() >= len(self.screened))

    def fit(self, group: Sequence[Mistake]) -> _Fit:
        """Compare the mistakes of one name with what the student has on every probe."""
        matched: list[Probe] = []
        missed: list[Probe] = []
        used: set[int] = set()
        for probe in self.wrong:
            hits = [k for k, m in enumerate(group) if self.equal(probe, probe.value(m))]
            (matched if hits else missed).append(probe)
            used.update(hits)
        # Ways to make the mistake that are not the student's say nothing of the other probes.
        ways = [m for k, m in enumerate(group) if k in used]
        fit = _Fit(tuple(ways), tuple(m.values for m in ways), matched, [], missed, [], [], [])
        if not ways:
            return fit
        for probe in self.right:
            harm = all(self.harms(probe, probe.value(m)) for m in ways)
            (fit.spared if harm else fit.harmless).append(probe)
        for probe in self.raised:
            harm = any(self.harms(probe, probe.value(m)) for m in ways)
            (fit.failed if harm else fit.alone).append(probe)
        return fit

    def everywhere(self, fits: Sequence[_Fit]) -> list[Named]:
        """Return the mistakes each of which explains all."""
        found: dict[str, Named] = {}
        for fit in fits:
            if fit.missed or fit.spared or not fit.mistakes:
                continue
            # A result without numbers is evidence only beside results that are right.
            if fit.evidence >= LEAST or (
                len(fit.matched) >= LEAST and len(fit.harmless) >= LEAST and not self.raised
            ):
                named = self.named(fit)
                found[named.mistakes[0].name] = named
        return list(found.values())

    def somewhere(self, fits: Sequence[_Fit]) -> Named | None:
        """Return the mistake that explains all that is wrong, in the cases of one feature."""
        found: dict[str, Named] = {}
        for fit in fits:
            if fit.missed or not fit.spared or fit.evidence < LEAST:
                continue
            where = separating([p.features for p in fit.matched], [p.features for p in fit.spared])
            if where is not None:
                named = self.named(fit, f"only where {where[0]}")
                found[named.mistakes[0].name] = named
        return next(iter(found.values())) if len(found) == 1 else None

    def together(self) -> Named | None:
        """Return the two mistakes that explain all."""
        if len(self.wrong) < SURE:
            return None
        found: dict[frozenset[str], Named] = {}
        for pair, values in self.pairs():
            if all(
                self.equal(p, value_of(values, p.arguments)) for p in (*self.screened, *self.wrong)
            ) and not any(self.harms(p, value_of(values, p.arguments)) for p in self.right):
                names = frozenset(m.name for m in pair)
                found.setdefault(names, Named(self.output, pair, values=(values,)))
        return next(iter(found.values())) if len(found) == 1 else None

    def pairs(self) -> Iterator[tuple[tuple[Mistake, Mistake], Values]]:
        """Yield the pairs that may explain all.

        Where one of the two does no harm, the other one must explain the result by itself.
        """
        harmless = np.array(
            [[not self.harms(p, p.value(m)) for p in self.screened] for m in self.bank], bool
        )
        ways = list(_pairs(self.bank))
        first = np.array([i for i, _, _ in ways])
        second = np.array([j for _, j, _ in ways])
        if not ways:
            return
        possible = (
            (~harmless[first] & ~harmless[second])
            | (harmless[first] & self.hits[second])
            | (harmless[second] & self.hits[first])
        ).all(1)
        for k in np.flatnonzero(possible):
            i, j, values = ways[k]
            yield (self.bank[min(i, j)], self.bank[max(i, j)]), values

    def besides(self, fits: Sequence[_Fit]) -> Named | None:
        """Return the mistake that explains all but the cases of a feature, where more is wrong."""
        found: dict[str, Named] = {}
        for fit in fits:
            if (
                not fit.missed
                or fit.spared
                or not fit.mistakes
                or len(fit.matched) < max(SURE, len(fit.missed))
            ):
                continue
            where = separating(
                [p.features for p in fit.missed], [p.features for p in fit.matched], pairs=False
            )
            if where is not None and where[0].startswith(APART):
                named = self.named(fit, f"and something else where {where[0]}")
                found[named.mistakes[0].name] = named
        return next(iter(found.values())) if len(found) == 1 else None

    def named(self, fit: _Fit, when: str = "") -> Named:
        """Name the mistake by that of its ways that explains most."""
        best = max(
            fit.mistakes,
            key=lambda m: sum(self.equal(p, p.value(m)) for p in fit.matched),
        )
        raises = bool(fit.failed) and not fit.alone
        return Named(self.output, (best,), when, raises=raises, values=fit.values)

    def does(self) -> str:
        """Say where the output is wrong, and what is the same about it wherever it is."""
        where = separating([p.features for p in self.wrong], [p.features for p in self.right])
        words = [f"right where {where[1]}, wrong where {where[0]}"] if where else []
        if not where:
            safe = needed([p.features for p in self.wrong], [p.features for p in self.right])
            words += [f"right wherever {safe}"] if safe else []
        pairs = [(_got(p, self.output), p.right[self.output].value) for p in self.wrong]
        words += behaviour(pairs)
        count = len(self.wrong) + len(self.right)
        return "; ".join(words) or f"in {len(self.wrong)} of {count} cases tried"


def _by_name(bank: Sequence[Mistake]) -> list[list[Mistake]]:
    groups: dict[str, list[Mistake]] = {}
    for mistake in bank:
        groups.setdefault(mistake.name, []).append(mistake)
    return list(groups.values())


def _spread(wrong: Sequence[Probe], families: Sequence[str], count: int) -> list[Probe]:
    """Return a few probes of every family in turn, the smallest first."""
    lots = [[p for p in wrong if p.family == family] for family in families]
    turns = [lot[k] for k in range(max(map(len, lots))) for lot in lots if k < len(lot)]
    return turns[:count]


def _pairs(bank: Sequence[Mistake]) -> Iterator[tuple[int, int, Values]]:
    """Yield two mistakes and what they do together: one in the arguments or with the result."""
    for i, first in enumerate(bank):
        for j, second in enumerate(bank):
            if first.name == second.name:
                continue
            if second.change is not None and (first.change is None or i < j):
                yield i, j, _changed(first, second)
            elif first.after is not None and (second.after is not None or second.change is None):
                yield i, j, _turned(first, second)


def _changed(mistake: Mistake, slip: Mistake) -> Values:
    def values(arrays: Arrays, settings: Settings) -> Array:
        assert slip.change is not None
        return mistake.values(*slip.change(arrays, settings))

    return values


def _turned(twist: Mistake, mistake: Mistake) -> Values:
    def values(arrays: Arrays, settings: Settings) -> Array:
        assert twist.after is not None
        return twist.after(mistake.values(arrays, settings), arrays, settings)

    return values


def _interchanged(operation: Operation, fine: Sequence[Probe]) -> Named | None:
    """Return that outputs are returned in another order, if they are."""
    order = []
    for output in operation.outputs:
        holds = [
            other
            for other in operation.outputs
            if all(_equal(_got(p, output), p.right[other], operation.exact) for p in fine)
        ]
        order.append(output if output in holds or not holds else holds[0])
    moved = [o for o, held in zip(operation.outputs, order, strict=True) if o != held]
    if not moved or len(set(order)) < len(order) or len(fine) < LEAST:
        return None
    name = (
        f"{moved[0]} and {moved[1]} interchanged"
        if len(moved) == 2
        else f"results returned in the order ({', '.join(order)})"
    )
    sentence = f"{operation.name} returns ({', '.join(operation.outputs)}), in this order."
    held = order[operation.outputs.index(moved[0])]

    def values(arrays: Arrays, settings: Settings) -> Array:
        return operation.oracle(arrays, settings)[held].value

    mistake = Mistake(operation.name, moved[0], name, sentence, values)
    return Named(moved[0], (mistake,), does=" ".join(moved), values=(values,))


def _got(probe: Probe, output: str) -> Array:
    assert probe.got is not None
    return probe.got[output]


def _equal(got: Array, want: Expected, exact: bool) -> bool:
    value, terms = want
    if got.shape != value.shape:
        return False
    if (got == value).all():
        return True
    if exact:
        # Only a mistake that divides gives what is no integer, and may be rounded.
        finite = value[np.isfinite(value)]
        if (finite == np.rint(finite)).all():
            return bool(((got == value) | (np.isnan(got) & np.isnan(value))).all())
        size = float(np.max(terms, initial=1))
        return np.allclose(got, value, rtol=0, atol=ROUNDED * size, equal_nan=True)
    if terms.shape != value.shape:
        terms = np.full(value.shape, float(np.max(terms, initial=0)))
    return first_difference(Expected(value, terms), got, exact=False) is None


def recognised(mistake: Mistake, operation: Operation) -> list[Named]:
    """Return what the bank makes of an implementation that makes one of its own mistakes."""
    seen = []
    for probe in usual_probes(operation):
        value = probe.value(mistake)
        right = {name: expected.value for name, expected in probe.right.items()}
        got = None if value is None else {**right, mistake.output: value}
        seen.append(replace(probe, got=got))
    return explained(operation, seen)
