"""Which mistakes of the bank explain one output of a function on the probes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np

from minideconv.testing.checking.behaviour import behaviour
from minideconv.testing.checking.features import Condition, Stated, needed, separating
from minideconv.testing.checking.fresh import Fresh
from minideconv.testing.checking.named import Named, got_of, is_equal
from minideconv.testing.checking.pairs import pairs_of
from minideconv.testing.checking.probing import Probe, Values, value_of
from minideconv.testing.checking.stacks import harmless, near
from minideconv.testing.mistakes import Mistake, ways
from minideconv.testing.operations.operation import Array, Expected, Operation

__all__ = ["LEAST", "SURE", "Question"]

LEAST = 3
"""Wrong results that a mistake must explain by their values to be named."""
SURE = 6
"""The same, where a mistake is named beside something else, or with another one."""
MOST = 10000
"""Pairs of mistakes that are held against the results: about a second's work."""
FIRST, SCREEN = 2, 12
"""Wrong results that every mistake is held against before any is held against all of them.

A mistake that explains everything explains the first few; the rest is asked for if none does."""
APART = ("b is", "groups", "a group", "there is", "C_in", "C_out")
"""Features that have nothing to do with where a window lies: beside those, its mistakes are known.

A kernel that is read the wrong way round looks as if the padding were, too, where that is even."""


@dataclass
class Fit:
    """How the mistakes of one name fit: by the numbers of probes."""

    mistakes: tuple[Mistake, ...]
    values: tuple[Values, ...]
    matched: list[Probe]  # wrong as the mistake has it
    harmless: list[Probe]  # right, and the mistake does no harm there
    missed: list[Probe]  # wrong, but not so
    spared: list[Probe]  # right, but the mistake would show
    failed: list[Probe]  # raised where the mistake would show
    alone: list[Probe]  # raised where the mistake does no harm
    telling: int = 0  # of those that are matched, those with any numbers in them; `SURE` at most

    @property
    def evidence(self) -> int:
        """How many results with any numbers in them are wrong just as the mistake has it.

        That both fail in the same cases, and the student in no other, counts as one more, and in
        many cases as two.
        """
        count = self.telling
        together = [p for p in self.failed if any(p.value(m) is None for m in self.mistakes)]
        return count + (min(len(together) // SURE, 2) if count and not self.alone else 0)


class Question:
    """Which mistake explains one output on the probes."""

    def __init__(
        self, operation: Operation, output: str, seen: Sequence[Probe], fresh: Fresh
    ) -> None:
        self.operation, self.output, self.fresh = operation, output, fresh
        self.bank = ways(operation.name, output)
        self.place = {id(m): i for i, m in enumerate(self.bank)}
        self.raised = [p for p in seen if p.got is None]
        fine = [p for p in seen if p.got is not None]
        self.wrong = [p for p in fine if not self.equal(p, p.right[output].value)]
        self.right = [p for p in fine if self.equal(p, p.right[output].value)]
        self.wrong.sort(key=lambda p: p.case.numbers)

    def equal(self, probe: Probe, value: Array | None) -> bool:
        """Return whether a value is the student's."""
        if value is None or value.shape != (got := got_of(probe, self.output)).shape:
            return False
        terms = probe.right[self.output].terms
        if not self.operation.exact:
            # What a mistake makes larger is rounded more; where it divides by 0, code may have
            # taken care of that in any way.
            largest = np.abs(value).max(initial=0)
            if np.isfinite(largest):
                terms = np.maximum(terms, largest)
            else:
                finite = np.isfinite(value)
                terms = np.maximum(terms, np.max(np.abs(value[finite]), initial=0))
                if terms.shape == value.shape:
                    got, value, terms = got[finite], value[finite], terms[finite]
        return is_equal(got, Expected(value, terms), self.operation.exact)

    def tells(self, probe: Probe, value: Array | None) -> bool:
        """Return whether a value has numbers, other than the right ones, that are the student's.

        What is not finite tells where the student's is not, either.
        """
        if value is None or value.size == 0 or not self.equal(probe, value):
            return False
        infinite = ~np.isfinite(value)
        same = np.array_equal(~np.isfinite(got_of(probe, self.output)), infinite)
        return self.harms(probe, value) or bool(infinite.any() and same)

    def harms(self, probe: Probe, value: Array | None) -> bool:
        """Return whether a mistake's value is wrong: by its numbers, where it divides by 0, too."""
        right = probe.right[self.output]
        if value is None or is_equal(value, right, self.operation.exact):
            return value is None
        finite = np.isfinite(value)
        if self.operation.exact or finite.all() or right.terms.shape != value.shape:
            return True
        kept = Expected(right.value[finite], right.terms[finite])
        return not is_equal(value[finite], kept, exact=False)

    def answer(self) -> Named:
        """Return the mistakes that explain the output, or what it does."""
        self.screened = _spread(self.wrong, self.operation.families, SCREEN)
        self.hits = first = self.hits_on(self.screened[:FIRST])
        groups = _by_name(self.bank)
        whole = [self.fit(g, 0) for g in groups if first[self.rows(g)].any(0).all()]
        fits = [fit for fit in whole if fit is not None]
        # Within the limits of a signature, two mistakes may look alike.
        if self.raised and len(exact := self.exact(LEAST)) == 1:
            return exact[0]
        if all_of_it := self.everywhere(fits):
            return all_of_it[0] if len(all_of_it) == 1 else self.unknown()
        if (named := self.somewhere(fits)) is not None:
            return named
        self.hits = np.concatenate([first, self.hits_on(self.screened[FIRST:])], 1)
        return self.together() or self.besides(groups) or self.unknown()

    def rows(self, group: Sequence[Mistake]) -> list[int]:
        """Return the places of mistakes in the bank."""
        return [self.place[id(m)] for m in group]

    def hits_on(self, chosen: Sequence[Probe]) -> Array:
        """Return of each mistake whether it gives the student's result on each of some probes."""
        hits = np.zeros((len(self.bank), len(chosen)), bool)
        for k, p in enumerate(chosen):
            size = float(np.max(p.right[self.output].terms, initial=0))
            for place in near(p, self.bank, got_of(p, self.output), size):
                hits[place, k] = self.equal(p, p.value(self.bank[place]))
        return hits

    def unknown(self) -> Named:
        """Return what the output does."""
        where, does = self.where(), self.does()
        if where is None and not does:
            count = len(self.wrong) + len(self.right)
            does = f"in {len(self.wrong)} of {count} cases tried"
        return Named(self.output, (), does=does, where=where)

    def may_fit(self, group: Sequence[Mistake]) -> bool:
        """Return whether the mistakes of one name explain enough of a part of the probes."""
        return bool(3 * self.hits[self.rows(group)].any(0).sum() >= len(self.screened))

    def fit(self, group: Sequence[Mistake], most: int) -> Fit | None:
        """Compare the mistakes of one name with what the student has on every probe.

        None if they miss more than `most` of the wrong results.
        """
        matched: list[Probe] = []
        missed: list[Probe] = []
        used: dict[int, Mistake] = {}
        for probe in self.wrong:
            for way in (*used.values(), *(m for m in group if id(m) not in used)):
                if self.equal(probe, probe.value(way)):
                    used[id(way)] = way
                    matched.append(probe)
                    break
            else:
                missed.append(probe)
                if len(missed) > most:
                    return None
        # Ways that are not the student's say nothing of the other probes. As few as explain what is
        # wrong are enough, with those that explain the first results as well: one is the student's.
        like = [m for m in group if id(m) in used or self.hits[self.place[id(m)]].all()]
        fit = self._of_ways(like, matched, missed)
        if not fit.spared and not fit.alone:
            return fit
        every = [m for m in group if any(self.equal(p, p.value(m)) for p in matched)]
        return self._of_ways(every, matched, missed)

    def _of_ways(self, ways: Sequence[Mistake], matched: list[Probe], missed: list[Probe]) -> Fit:
        """Compare ways to make a mistake with what is right, and with what raised."""
        fit = Fit(tuple(ways), tuple(m.values for m in ways), matched, [], missed, [], [], [])
        tell = (p for p in matched if any(self.tells(p, p.value(m)) for m in ways))
        fit.telling = sum(1 for _ in islice(tell, SURE))
        if not ways:
            return fit
        for probe in self.right:
            harm = all(self.harms(probe, probe.value(m)) for m in ways)
            (fit.spared if harm else fit.harmless).append(probe)
        for probe in self.raised:
            harm = any(self.harms(probe, probe.value(m)) for m in ways)
            (fit.failed if harm else fit.alone).append(probe)
        return fit

    def exact(self, least: int) -> list[Named]:
        """Return the mistakes of which one way explains all: what is wrong, right, and raised.

        An error is explained where such code fails with one of the same kind.
        """
        found: dict[str, list[Mistake]] = {}
        hits = self.hits_on(_spread(self.wrong, self.operation.families, FIRST)).all(1)
        for place in np.flatnonzero(hits):
            way = self.bank[place]
            if self.accounts_for(way) >= least:
                found.setdefault(way.name, []).append(way)
        return [
            Named(self.output, (ways[0],), raises=bool(self.raised),
                  values=tuple(way.values for way in ways),
                  placed=len({way.place for way in ways}) == 1)
            for ways in found.values()
        ]  # fmt: skip

    def accounts_for(self, way: Mistake) -> int:
        """Return how many results a way explains, if all of them; 0 if not."""
        if not all(self.equal(p, p.value(way)) for p in self.wrong):
            return 0
        if not all(p.error in p.fault(way) for p in self.raised):
            return 0
        if any(self.harms(p, p.value(way)) for p in self.right):
            return 0
        return sum(self.tells(p, p.value(way)) for p in self.wrong) + len(self.raised)

    def everywhere(self, fits: Sequence[Fit]) -> list[Named]:
        """Return the mistakes each of which explains all."""
        found: dict[str, Named] = {}
        for fit in fits:
            if fit.missed or fit.spared or not fit.mistakes:
                continue
            # A result without numbers is evidence only beside results that are right.
            empty = sum(got_of(p, self.output).size == 0 for p in fit.matched)
            if fit.evidence >= LEAST or (
                fit.evidence + empty >= LEAST and len(fit.harmless) >= LEAST and not self.raised
            ):
                named = self.named(fit)
                found[named.mistakes[0].name] = named
        return list(found.values())

    def somewhere(self, fits: Sequence[Fit]) -> Named | None:
        """Return the mistake that explains all that is wrong, in the cases of one feature."""
        found: dict[str, Named] = {}
        for fit in fits:
            if fit.missed or not fit.spared or fit.evidence < LEAST:
                continue
            where = separating(
                [p.features for p in fit.matched],
                [p.features for p in fit.spared],
                partial(self.only_where, fit),
            )
            if where is not None:
                named = self.named(fit, f"only where {where.held}")
                found[named.mistakes[0].name] = named
        return next(iter(found.values())) if len(found) == 1 else None

    def together(self) -> Named | None:
        """Return the two mistakes that explain all."""
        if len(self.wrong) < SURE:
            return None
        found: dict[frozenset[str], Named] = {}
        for pair, values in islice(self.pairs(), MOST):
            if (
                all(self.equal(p, value_of(values, p.arguments)) for p in self.screened)
                and sum(self.tells(p, value_of(values, p.arguments)) for p in self.wrong) >= SURE
                and all(self.equal(p, value_of(values, p.arguments)) for p in self.wrong)
                and not any(self.harms(p, value_of(values, p.arguments)) for p in self.right)
            ):
                names = frozenset(m.name for m in pair)
                found.setdefault(names, Named(self.output, pair, values=(values,)))
        return next(iter(found.values())) if len(found) == 1 else None

    def pairs(self) -> Iterator[tuple[tuple[Mistake, Mistake], Values]]:
        """Yield the pairs that may explain all.

        Where one of the two does no harm, the other one must explain the result by itself: in most
        results, for one may do no harm to zeros and yet change what the other makes of them. Those
        come first of which that is seen most often.
        """
        does_none = np.stack(
            [harmless(p, self.bank, self.output, self.operation.exact) for p in self.screened], 1
        )
        first, second, both = pairs_of(self.bank)
        alone = (does_none[first] & self.hits[second]) | (does_none[second] & self.hits[first])
        together = ~does_none[first] & ~does_none[second]
        possible = np.flatnonzero((together | alone).sum(1) >= 0.75 * len(self.screened))
        for k in possible[np.argsort(-alone[possible].sum(1), kind="stable")]:
            i, j, values = first[k], second[k], both[k]
            yield (self.bank[min(i, j)], self.bank[max(i, j)]), values

    def besides(self, groups: Sequence[Sequence[Mistake]]) -> Named | None:
        """Return the mistake that explains all but the cases of a feature, where more is wrong."""
        found: dict[str, Named] = {}
        for fit in (self.fit(g, len(self.wrong) // 2) for g in groups if self.may_fit(g)):
            if (
                fit is None
                or not fit.missed
                or fit.spared
                or not fit.mistakes
                or len(fit.missed) < LEAST
                or len(fit.matched) < max(SURE, len(fit.missed))
            ):
                continue
            where = separating(
                [p.features for p in fit.missed],
                [p.features for p in fit.matched],
                partial(self.but_where, fit),
                pairs=False,
            )
            if where is not None:
                named = self.named(fit, f"and something else where {where.held}")
                found[named.mistakes[0].name] = named
        return next(iter(found.values())) if len(found) == 1 else None

    def named(self, fit: Fit, when: str = "") -> Named:
        """Name the mistake by that of its ways that explains most."""
        counts = [sum(self.equal(p, p.value(m)) for p in fit.matched) for m in fit.mistakes]
        top = tuple(m for m, n in zip(fit.mistakes, counts, strict=True) if n == max(counts))
        raises = bool(fit.failed) and not fit.alone
        one = len({m.place for m in top}) == 1
        return Named(self.output, top[:1], when, raises=raises, values=fit.values, placed=one)

    def as_it_must_be(self, probe: Probe) -> bool:
        """Return whether the output is right in a case."""
        return probe.got is not None and self.equal(probe, probe.right[self.output].value)

    def only_where(self, fit: Fit, where: Condition) -> bool:
        """Return whether other cases are wrong by a mistake where a condition holds, else right."""
        wrong, right = ([p.features for p in lot] for lot in (fit.matched, fit.spared))
        return self.fresh.holds(
            where.contrary(), wrong, lambda p: self.fails(p) or self.as_it_must_be(p)
        ) and self.fresh.holds(where, right, partial(self.as_a_way, fit))

    def but_where(self, fit: Fit, where: Condition) -> bool:
        """Return whether a mistake explains other cases, too, where a condition does not hold."""
        return where.held.startswith(APART) and self.fresh.holds(
            where.contrary(), [p.features for p in fit.missed], partial(self.as_a_way, fit)
        )

    def as_a_way(self, fit: Fit, probe: Probe) -> bool:
        """Return whether the output is what one of the ways gives."""
        return self.fails(probe) or any(self.equal(probe, probe.value(m)) for m in fit.mistakes)

    def fails(self, probe: Probe) -> bool:
        """Return whether a case fails with an error, as some probe does, too."""
        return probe.got is None and bool(self.raised)

    def where(self) -> Stated | None:
        """Say where the output is wrong, if features of the cases tell; an error is wrong, too."""
        wrong = [p.described for p in (*self.wrong, *self.raised)]
        right = [p.described for p in self.right]

        def harmless(where: Condition) -> bool:
            return self.fresh.holds(where, wrong, self.as_it_must_be)

        def parted(where: Condition) -> bool:
            return harmless(where.contrary()) and self.fresh.holds(
                where, right, lambda p: not self.as_it_must_be(p)
            )

        if (where := separating(wrong, right, parted)) is not None:
            fails = "wrong or an error" if self.raised else "wrong"
            return Stated(
                f"right where {where.fails}, {fails} where {where.held}", where.contrary()
            )
        safe = needed(wrong, right, harmless)
        return None if safe is None else Stated(f"right wherever {safe.held}", safe)

    def does(self) -> str:
        """Say what is the same about the output wherever it is wrong."""
        pairs = [(got_of(p, self.output), p.right[self.output].value) for p in self.wrong]
        return "; ".join(behaviour(pairs))


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
