"""Run the checks of an operation on an implementation: an outcome for each, with its cause.

Each family of geometry is checked by itself, on integers, against the kit's naive loop; then what
every function promises: its dtype, its arguments left alone, no state, arrays of any strides.
A failing case is made small, and named by the bank of mistakes where one explains it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from minideconv.testing.checking.behaviour import relation
from minideconv.testing.checking.calls import Call, StudentFault
from minideconv.testing.checking.compare import first_difference
from minideconv.testing.checking.diagnosis import Named
from minideconv.testing.checking.failure import Failure, shown
from minideconv.testing.checking.replay import case_text
from minideconv.testing.checking.shrink import shrink
from minideconv.testing.checking.sizes import name_all
from minideconv.testing.operations.operation import Array, Case, Expected, Operation

__all__ = ["Checker", "Outcome"]


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
    """

    name: str
    tried: int
    failure: Failure | None = None

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
    ) -> None:
        self.operation, self.call = operation, call
        self.examples, self.seed = examples, seed
        self.names, self.replay = names, replay
        self._named: list[Named] | None = None

    def run(self) -> Iterator[Outcome]:
        """Yield an outcome for each family, then for each promise; promises only of right code."""
        right = True
        for family, cases in self.cases().items():
            outcome = self.family(family, cases)
            right = right and outcome.passed
            yield outcome
        if right:
            yield from self.promises()

    def cases(self) -> dict[str, list[Case]]:
        """Return cases for each family, the smallest first."""
        rng = np.random.default_rng([self.seed, len(self.operation.name)])

        def integer(low: int, high: int) -> int:
            return int(rng.integers(low, high + 1))

        found: dict[str, list[Case]] = {family: [] for family in self.operation.families}
        for attempt in range(60 * self.examples * len(found)):
            geometry = self.operation.draw(integer)
            cases = found[self.operation.family(geometry)]
            if len(cases) < self.examples:
                kind = self.operation.kind_for(geometry, attempt)
                cases.append(self.operation.case(geometry, int(rng.integers(2**16)), kind))
            if all(len(cases) == self.examples for cases in found.values()):
                break
        return {f: sorted(cases, key=lambda case: case.numbers) for f, cases in found.items()}

    def family(self, family: str, cases: Sequence[Case]) -> Outcome:
        """Compare with the naive loop on every case."""
        name = f"{self.operation.name}/{family}"
        for number, case in enumerate(cases):
            failure = self.wrong(case)
            if failure is not None:
                if failure.kind == "raised" and any(n.mistakes for n in self.named()):
                    case = self._with_result(cases[number:]) or case
                return Outcome(name, number + 1, self.explain(case, family))
        return Outcome(name, len(cases))

    def _with_result(self, cases: Sequence[Case]) -> Case | None:
        """Return the first case with a wrong result: it shows a mistake better than an error."""
        for case in cases:
            failure = self.wrong(case)
            if failure is not None and failure.kind != "raised":
                return case
        return None

    # One case -------------------------------------------------------------------------------

    def wrong(self, case: Case) -> Failure | None:
        """Return what is wrong with the result of one case, in raw form; None if nothing is."""
        arrays, settings = self.operation.call_arguments(case)
        family = self.operation.family(case.geometry)
        try:
            returned = self.call(arrays, settings)
        except StudentFault as fault:
            return Failure(self.operation.name, family, fault.kind, str(fault))
        want = self.operation.expected(case)
        dtype = next(a.dtype for a in arrays.values() if a is not None and a.dtype.kind == "f")
        for output in self.operation.looks_at(case.geometry):
            failure = self._output(output, want[output], returned.outputs[output], dtype)
            if failure is not None:
                return replace(failure, family=family)
        return None

    def _output(
        self, output: str, want: Expected, got: Any, dtype: np.dtype[Any]
    ) -> Failure | None:
        name, value = self.operation.name, want.value
        if got.shape != value.shape:
            entry = f"{output} has shape {got.shape}, must be {value.shape}"
            return Failure(name, "", "shape", f"{output} has the wrong shape", entry=entry)
        exact = self.operation.exact and dtype == np.float64
        index = first_difference(want, got, exact=exact)
        if index is not None:
            place = ", ".join(map(str, index))
            right = shown(value[index] if value[index].ndim == 0 else value)
            entry = f"{output}[{place}] is {shown(np.asarray(got[index]))}, must be {right}"
            return Failure(
                name, "", "value", f"{output} is wrong", entry=entry,
                rule=self.operation.rules[output], arrays={"got": got, "want": value},
            )  # fmt: skip
        if value.dtype.kind == "f" and got.dtype != dtype:
            entry = f"{output} is {got.dtype} for {dtype} arguments, must be {dtype}"
            return Failure(name, "", "dtype", f"{output} has the wrong dtype", entry=entry)
        if value.dtype.kind in "iu" and got.dtype.kind not in "iu":
            entry = f"{output} is {got.dtype}, must be integers"
            return Failure(name, "", "dtype", f"{output} has the wrong dtype", entry=entry)
        return None

    # Why ------------------------------------------------------------------------------------

    def explain(self, case: Case, family: str) -> Failure:
        """Make a failing case small, and say which mistake it is."""
        first = self.wrong(case)
        assert first is not None

        def fails(other: Case) -> bool:
            failure = self.wrong(other)
            return failure is not None and self._same(failure, first)

        small = shrink(self.operation, case, fails)
        failure = self.wrong(small) or first
        named = [n for n in self.named() if n.mistakes]
        mistakes = tuple(m.name for n in named for m in n.mistakes)
        sentence = " ".join(dict.fromkeys(m.sentence for n in named for m in n.mistakes))
        if named:
            title = "; ".join(dict.fromkeys(n.title for n in named))
        else:
            title = self._title(failure, case)
        return replace(
            failure,
            family=family,
            title=title,
            sentence=sentence,
            mistakes=mistakes,
            call=self.written(small),
            replay=self.replay.format(case=case_text(self.operation, small)),
        )

    @staticmethod
    def _same(failure: Failure, first: Failure) -> bool:
        """Whether both are of one kind and about one output: the same, as far as a student sees."""

        def mark(f: Failure) -> tuple[str, str]:
            return f.kind, f.entry.split("[")[0].split(" ")[0]

        return mark(failure) == mark(first)

    def _title(self, failure: Failure, case: Case) -> str:
        """Say what a wrong output does where no mistake of the bank explains it."""
        if failure.kind != "value":
            return failure.title
        arrays = self.wrong(case)
        assert arrays is not None
        does = relation(**arrays.arrays) if arrays.arrays else None
        return f"{failure.title}: {does}" if does else failure.title

    def named(self) -> list[Named]:
        """Return what the bank explains; worked out once."""
        if self._named is None:
            self._named = name_all(self.operation, self.call)
        return self._named

    def written(self, case: Case) -> str:
        """Return the call as a student would write it, without what has its usual value."""
        arrays, settings = self.operation.call_arguments(case)
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

    # Promises -------------------------------------------------------------------------------

    def promises(self) -> Iterator[Outcome]:
        """Yield an outcome for each promise of every function."""
        cases = [
            case for cases in self.cases().values() for case in cases[:: max(1, len(cases) // 3)]
        ]
        sized = self._sized_cases(cases)
        failure = next((f for case in sized if (f := self._any_size(case)) is not None), None)
        yield Outcome(f"{self.operation.name}/numbers of any size", len(sized), failure)
        for name, check in (
            ("float32", self._float32),
            ("arguments unchanged", self._unchanged),
            ("no state", self._no_state),
            ("any strides", self._any_strides),
        ):
            failure = next((f for case in cases if (f := check(case)) is not None), None)
            yield Outcome(f"{self.operation.name}/{name}", len(cases), failure)

    def _sized_cases(self, cases: Sequence[Case]) -> list[Case]:
        """Return cases of the same geometries with numbers of unusual size."""
        return [
            self.operation.sized_case(case.geometry, number, size)
            for number, case in enumerate(cases)
            for size in self.operation.sizes
        ]

    def _any_size(self, case: Case) -> Failure | None:
        failure = self.wrong(case)
        if failure is None:
            return None
        return self.explain(case, self.operation.family(case.geometry))

    def _float32(self, case: Case) -> Failure | None:
        case = Case(case.geometry, {
            role: None if a is None else a.astype(np.float32) for role, a in case.arrays.items()
        })  # fmt: skip
        failure = self.wrong(case)
        return None if failure is None else replace(
            failure, title=f"{failure.title} in float32", call=self.written(case),
            replay=self.replay.format(case=case_text(self.operation, case)),
        )  # fmt: skip

    def _unchanged(self, case: Case) -> Failure | None:
        returned = self.call(*self.operation.call_arguments(case))
        if not returned.changed:
            return None
        role = self.names(returned.changed[0])
        return self._promise(
            case,
            "changed",
            f"it changes its argument {role}",
            "Arrays are lent to a function: it must make its own copy to write to.",
        )

    def _no_state(self, case: Case) -> Failure | None:
        arguments = self.operation.call_arguments(case)
        first, second = self.call(*arguments), self.call(*arguments)
        if self._same_outputs(case, first.outputs, second.outputs):
            return None
        return self._promise(case, "state", "two calls with equal arguments differ",
                             "Something is kept between calls, or drawn at random.")  # fmt: skip

    def _any_strides(self, case: Case) -> Failure | None:
        arguments = self.operation.call_arguments(case)
        plain = self.call(*arguments).outputs
        try:
            other = self.call(*arguments, strided=True).outputs
            if self._same_outputs(case, plain, other):
                return None
        except StudentFault:
            pass
        return self._promise(
            case,
            "strides",
            "the memory layout of an argument changes the result",
            "A sliced or transposed array holds the same numbers as a copy of it.",
        )

    def _same_outputs(self, case: Case, a: Mapping[str, Array], b: Mapping[str, Array]) -> bool:
        """Whether two results agree: to the last bit, or where sums are rounded, but for that."""
        if self.operation.exact:
            return all(np.array_equal(a[o], b[o]) for o in self.operation.outputs)
        want = self.operation.expected(case)
        return all(
            a[o].shape == b[o].shape == want[o].terms.shape
            and first_difference(Expected(a[o], want[o].terms), b[o], exact=False) is None
            for o in self.operation.outputs
        )

    def _promise(self, case: Case, kind: str, title: str, sentence: str) -> Failure:
        return Failure(
            self.operation.name,
            self.operation.family(case.geometry),
            kind,
            title,
            sentence,
            call=self.written(case),
            replay=self.replay.format(case=case_text(self.operation, case)),
        )
