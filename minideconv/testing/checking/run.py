"""Run the checks of an operation on an implementation: an outcome for each, with its cause.

Each family of geometry is checked by itself, on integers, against the kit's naive loop; then what
every function promises: its dtype, its arguments left alone, no state, arrays of any strides.
A failing case is made small, and named by the bank of mistakes where one explains it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np

from minideconv.testing.arrays import integer_valued
from minideconv.testing.checking.besides import and_besides
from minideconv.testing.checking.calls import Call, StudentFault
from minideconv.testing.checking.diagnosis import Diagnosis, Named
from minideconv.testing.checking.drawn import drawn_cases
from minideconv.testing.checking.failure import MOST, Failure, shown
from minideconv.testing.checking.features import features
from minideconv.testing.checking.memory import NEVER_WRITTEN, never_written, spoil_free_memory
from minideconv.testing.checking.named import titles
from minideconv.testing.checking.promises import (
    broken_promise,
    promised,
    promises,
)
from minideconv.testing.checking.replay import case_text
from minideconv.testing.checking.result import is_clear, verbs, wrong_result
from minideconv.testing.checking.shrink import shrink
from minideconv.testing.checking.sizes import diagnose_all
from minideconv.testing.checking.state import keeps_state, remembering, stateful
from minideconv.testing.operations.operation import Array, Case, Operation

__all__ = ["Checker", "Outcome"]

LONGEST_CALL = 140
"""Characters of a call that is shown, if leaving arrays out makes it so short."""

FEW = 4
"""Numbers of an array that is shown in any case."""

FAULTS = ("raised", "returned")
"""Kinds of failure after which the function can be called again."""


@dataclass(frozen=True)
class Outcome:
    """One check: passed, or why not.

    Attributes
    ----------
    name : str
        ``"conv2d/stride-exact"``: the operation and the family or promise.
    tried : int
        Number of cases.
    failure : Failure, optional
        None if it passed.
    absent : str
        Where no case could be tried: what they all need, and the implementation lacks.
    """

    name: str
    tried: int
    failure: Failure | None = None
    absent: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return self.failure is None


class Checker:
    """The checks of one operation on one implementation.

    Parameters
    ----------
    operation : Operation
        What is checked.
    call : Call
        Calls the implementation.
    examples : int
        Cases for each family.
    seed : int
        Of the cases.
    names : callable, optional
        ``names(role)`` gives the student's own name for an argument.
    replay : str
        How to show a case again, with ``{case}`` in it.
    spell : callable, optional
        ``spell(arrays, settings, shown)`` writes a call in another signature than the contract's.
    """

    def __init__(
        self,
        operation: Operation,
        call: Call,
        *,
        examples: int = 25,
        seed: int = 0,
        names: Callable[[str], str] = str,
        replay: str = "{case}",
        spell: Callable[..., str | None] | None = None,
    ) -> None:
        self.operation, self.call = operation, call
        self.examples, self.seed = examples, seed
        self.names, self.replay, self.spell = names, replay, spell
        self._diagnosis: Diagnosis | None = None
        self._latest: tuple[Case, Mapping[str, Array] | StudentFault] | None = None
        self.absent = 0  # cases passed over: they need what is optional and not there
        self.lacking = ""  # what the last of them needed

    def run(self) -> Iterator[Outcome]:
        """Yield an outcome for each family, then for each promise; promises only of right code."""
        right = True
        for family, cases in self.cases().items():
            outcome = self.family(family, cases)
            right = right and outcome.passed
            yield outcome
        if right:
            for promise, tried, failure in promises(self):
                yield Outcome(f"{self.operation.name}/{promise}", tried, failure)
            yield from self.long()

    def outcome_names(self) -> list[str]:
        """Return the names of what `run` yields for right code."""
        names = (*self.operation.families, *promised(self), *self.operation.long)
        return [f"{self.operation.name}/{name}" for name in names]

    def cases(self) -> dict[str, list[Case]]:
        """Return cases for each family, the smallest first."""
        return drawn_cases(self.operation, self.examples, self.seed)

    def family(self, family: str, cases: Sequence[Case]) -> Outcome:
        """Compare with the naive loop on every case."""
        name = f"{self.operation.name}/{family}"
        self.absent = 0
        for number, case in enumerate(cases):
            failure = self.wrong(case)
            if failure is not None and not self._promised(failure):
                if failure.kind == "raised" and any(n.mistakes for n in self.named()):
                    case = self._with_result(cases[number:]) or case
                return Outcome(name, number + 1, self.explain(case, family))
        tried = len(cases) - self.absent
        lacking = self.lacking or "there is no such case within its limits"
        return Outcome(name, tried, absent="" if tried else lacking)

    def _promised(self, failure: Failure) -> bool:
        """Whether only the precision of right numbers is wrong: the promise float64 is of that."""
        return failure.kind == "dtype" and self.operation.double and "integers" not in failure.entry

    def _with_result(self, cases: Sequence[Case]) -> Case | None:
        """Return the first case with a wrong result: it shows a mistake better than an error."""
        for case in cases:
            failure = self.wrong(case)
            if failure is not None and failure.kind != "raised":
                return case
        return None

    # One case -------------------------------------------------------------------------------

    def wrong(self, case: Case, only: str = "") -> Failure | None:
        """Return what is wrong with the result of one case, in raw form; None if nothing is.

        `only` is the one output that is looked at; "": all that the family looks at.
        """
        arrays, settings = self.operation.call_arguments(case)
        family = self.operation.family(case.geometry)
        want = self.operation.expected(case)
        given = [a for a in arrays.values() if a is not None]
        dtype = next(a.dtype for a in given if a.dtype.kind == "f")
        spoil_free_memory(
            {e.value.size * size for e in want.values() for size in (8, dtype.itemsize)}
        )
        try:
            returned = self.call(arrays, settings)
            self._latest = case, returned.outputs
        except StudentFault as fault:
            self._latest = case, fault
            if fault.kind == "absent":  # optional, and not there
                self.absent += 1
                self.lacking = str(fault)
                return None
            return Failure(self.operation.name, family, fault.kind, str(fault))
        exact = self.operation.exact and dtype == np.float64 and integer_valued(*given)
        for output in [only] if only else self.operation.looks_at(case.geometry):
            failure = wrong_result(
                self.operation, output, want[output], returned.outputs[output], dtype,
                case.geometry, exact=exact,
            )  # fmt: skip
            if failure is not None:
                return replace(failure, family=family)
        return None

    # Why ------------------------------------------------------------------------------------

    def explain(self, case: Case, family: str) -> Failure:
        """Make a failing case small, and say which mistake it is."""
        first = self.wrong(case)
        if first is None or keeps_state(self, case):
            return stateful(self, case)
        named = self._explaining(case)
        if named and not is_clear(first):
            case, first = self._clearer(case, first, named)
        if (calls := self.diagnosis().remembers) is not None:
            return replace(remembering(self, calls), family=family)

        shown = _shows(named, case)

        def fails(other: Case) -> bool:
            """Whether it fails alike, and for the same reason."""
            failure = self.wrong(other)
            if failure is None or not self._same(failure, first):
                return False
            if (is_clear(first) and not is_clear(failure)) or (shown and not _shows(named, other)):
                return False
            return not named or self._explaining(other) == named

        small = shrink(self.operation, case, fails)
        failure = self._of_output(small, named) or self.wrong(small)
        if failure is None:  # it has failed on this case, and is right now
            return stateful(self, case)
        return replace(
            and_besides(self, self._with_names(failure, named, small), case),
            family=family,
            call=self.written(small),
            replay=self.replay.format(case=case_text(self.operation, small)),
        )

    def _clearer(self, case: Case, first: Failure, named: Sequence[Named]) -> tuple[Case, Failure]:
        """Return a case of any family in which the same mistakes show in more than rounding."""
        for other in (c for cases in self.cases().values() for c in cases):
            failure = self.wrong(other)
            if (
                failure is not None
                and self._same(failure, first)
                and is_clear(failure)
                and self._explaining(other) == named
            ):
                return other, failure
        return case, first

    def _of_output(self, case: Case, named: Sequence[Named]) -> Failure | None:
        """Return what is wrong with the output that is named first."""
        for output in [n.output for n in named[:1] if n.output in self.operation.outputs]:
            return self.wrong(case, only=output)
        return None

    def _with_names(self, failure: Failure, named: Sequence[Named], case: Case) -> Failure:
        """Return the failure with the names of what explains it, or with what the output does."""
        if not named:
            if failure.kind == "returned":
                none = "None returned" if " None " in failure.title else "no array returned"
                return replace(failure, mistakes=(none,))
            if "got" in failure.arrays and never_written(failure.arrays["got"]):
                title, sentence = NEVER_WRITTEN
                return replace(failure, title=title, sentence=sentence, mistakes=(title,))
            sentence = failure.sentence or " ".join(self._elsewhere(failure))
            return replace(failure, title=self._title(failure, case), sentence=sentence)
        if failure.kind in FAULTS:
            failure = replace(failure, entry=failure.title)
        return replace(
            failure,
            title="; ".join([*titles(named, self.operation), *self._wrong_too()]),
            sentence=" ".join(dict.fromkeys(m.sentence for n in named for m in n.mistakes)),
            mistakes=tuple(dict.fromkeys(m.name for n in named for m in n.mistakes)),
        )

    def _wrong_too(self) -> list[str]:
        """Say which outputs are wrong for another reason, which is not known."""
        unknown = [n.output for n in self.named() if not n.mistakes]
        return [f"{output} {verbs(output)[0]} wrong, too" for output in unknown]

    @staticmethod
    def _same(failure: Failure, first: Failure) -> bool:
        """Whether both are of one kind and about one output: the same, as far as a student sees."""

        def mark(f: Failure) -> tuple[str, str]:
            return f.kind, f.entry.split("[")[0].split(" ")[0].split(".")[-1]

        return mark(failure) == mark(first)

    def _explaining(self, case: Case) -> list[Named]:
        """Return the mistakes that explain what is wrong in this case."""
        known = [n for n in self.named() if n.mistakes]
        if not known:
            return []
        if self._latest is None or self._latest[0] is not case:
            self.wrong(case)
        assert self._latest is not None
        got = self._latest[1]
        if isinstance(got, StudentFault):
            return [n for n in known if n.raises and got.kind in FAULTS]
        return [n for n in known if n.explains(self.operation, case, got)]

    def _elsewhere(self, failure: Failure) -> list[str]:
        """Return what is said of mistakes that explain this output in other cases."""
        output = failure.title.split(" ")[0]
        return [m.sentence for n in self.named() if n.output == output for m in n.mistakes]

    def _title(self, failure: Failure, case: Case) -> str:
        """Say what a wrong output does where no mistake of the bank explains it."""
        if failure.kind in FAULTS:
            raises = self.diagnosis().raises
            return "; ".join(filter(None, (failure.title, raises.of(case) if raises else "")))
        if failure.kind not in ("value", "shape"):
            return failure.title  # a wrong dtype, say, which is its own name
        output = failure.title.split(" ")[0]
        found = next((n for n in self.named() if n.output == output), None)
        if found is not None and found.mistakes:
            return f"{failure.title}; elsewhere the mistake is: {found.title}"
        words = [] if found is None else _words(found, case)
        if self.operation.part is not None:  # of an output of several parts, where it is wrong
            unknown = next((n for n in self.named() if not n.mistakes), None)
            does = "" if unknown is None else "; ".join(_words(unknown, case)).split("; ")[0]
            holds = tuple(word for f in features(case) if f[2] for word in f[:2])
            words = [does] if does.endswith(holds) else []
        does = "; ".join(words)
        if failure.kind == "shape":
            does = does.replace("where its shape is wrong, ", "")
        return f"{failure.title}: {does}" if does else failure.title

    def named(self) -> list[Named]:
        """Return what the bank explains, and what it does not."""
        return list(self.diagnosis().named)

    def diagnosis(self) -> Diagnosis:
        """Return what is known of the function; worked out once."""
        if self._diagnosis is None:
            self._diagnosis = diagnose_all(self.operation, self.call)
        return self._diagnosis

    def written(self, case: Case) -> str:
        """Return the call as a student would write it, without what has its usual value.

        Of a long one the largest arrays are left out: the line that shows it again has all.
        """
        text = self._written(case, shown)
        sizes = {a.size for a in case.arrays.values() if a is not None and a.size > FEW}
        for most in (MOST, *sorted(sizes, reverse=True)):
            if len(text) <= LONGEST_CALL:
                break
            text = self._written(case, partial(shown, most=most - 1))
        return text

    def _written(self, case: Case, shown: Callable[[Array | None], str]) -> str:
        arrays, settings = self.operation.call_arguments(case)
        if self.spell is not None and (text := self.spell(arrays, settings, shown)) is not None:
            return text
        words = {r: f"{self.names(r)}={shown(a)}" for r, a in arrays.items() if a is not None}
        usual = {field.name: field.default for field in fields(case.geometry)}
        words |= {
            name: f"{self.names(name)}={value}"
            for name, value in settings.items()
            if name not in usual or value != usual[name]
        }
        if self.operation.written is not None:
            return self.operation.written(words)
        return f"{self.operation.name}({', '.join(words.values())})"

    # Large cases ----------------------------------------------------------------------------

    def long(self) -> Iterator[Outcome]:
        """Yield an outcome for each of the operation's large cases."""
        for name, make in self.operation.long.items():
            case, before = make(), self.absent
            failure = self.wrong(case)
            if failure is not None:
                kind = failure.kind

                def fails(other: Case, kind: str = kind) -> bool:
                    failure = self.wrong(other)
                    return failure is not None and failure.kind == kind

                small = shrink(self.operation, case, fails)
                failure = self.wrong(small) or failure
                if kind == "value":
                    failure = self._with_names(failure, self._explaining(small), small)
                failure = replace(
                    failure,
                    family=name,
                    call=self.written(small),
                    replay=self.replay.format(case=case_text(self.operation, small)),
                )
            tried, lacking = (0, self.lacking) if self.absent > before else (1, "")
            yield Outcome(f"{self.operation.name}/{name}", tried, failure, lacking)

    def broken_promise(self, case: Case) -> Failure | None:
        """Return which promise a call whose result is right does not keep."""
        return broken_promise(self, case)


def _shows(named: Sequence[Named], case: Case) -> bool:
    """Return whether a case has the numbers that its mistakes are about."""
    arrays = dict(case.arrays)
    return all(m.shows(arrays) for n in named for m in n.mistakes if m.shows is not None)


def _words(named: Named, case: Case) -> list[str]:
    """Return where an output is wrong and what it does, as far as a failing case bears it out."""
    where = "" if named.where is None else named.where.of(case)
    return [word for word in (where, named.does) if word]
