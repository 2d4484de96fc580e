"""Run the checks of an operation on an implementation: an outcome for each, with its cause.

Each family of geometry is checked by itself, on integers, against the kit's naive loop; then what
every function promises: its dtype, its arguments left alone, no state, arrays of any strides.
A failing case is made small, and named by the bank of mistakes where one explains it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from minideconv.testing.arrays import integer_valued
from minideconv.testing.checking.calls import Call, StudentFault
from minideconv.testing.checking.compare import first_difference, narrowed
from minideconv.testing.checking.diagnosis import Diagnosis, Named
from minideconv.testing.checking.failure import Failure, shown
from minideconv.testing.checking.history import remembers
from minideconv.testing.checking.replay import case_text
from minideconv.testing.checking.shrink import shrink
from minideconv.testing.checking.sizes import diagnose_all
from minideconv.testing.operations.operation import Array, Case, Expected, Operation

__all__ = ["PROMISES", "Checker", "Outcome"]

SIZES = "numbers of any size"
PROMISES = ("float64", "float32", SIZES, "arguments unchanged", "no state", "any strides")
"""What every function promises, whatever the family."""

COARSE = 16 * 2.0**-10
"""Rounding errors of a result in float16, in units of the sum of its terms' sizes."""
FAULTS = ("raised", "returned")
"""Kinds of failure after which the function can be called again."""

CHANGED = "argument changed in place"
LENT = "Arrays are lent to a function: it must make its own copy to write to."
MARKS = (2.0**20, 2.0**30)
"""Numbers left in free memory, far from those of any right result."""


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


_DRAWN: dict[tuple[str, int, int], tuple[Operation, dict[str, list[Case]]]] = {}


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
        self._unset: bool | None = None  # whether it reads memory that it has not written
        self.absent = 0  # cases passed over: they need what is optional and not there

    def run(self) -> Iterator[Outcome]:
        """Yield an outcome for each family, then for each promise; promises only of right code."""
        right = True
        for family, cases in self.cases().items():
            outcome = self.family(family, cases)
            right = right and outcome.passed
            yield outcome
        if right:
            yield from self.promises()
            yield from self.long()

    def outcome_names(self) -> list[str]:
        """Return the names of what `run` yields for right code."""
        left_out = {SIZES: not self.operation.sizes, "float64": not self.operation.double}
        promises = [p for p in PROMISES if not left_out.get(p)]
        return [
            f"{self.operation.name}/{n}"
            for n in (*self.operation.families, *promises, *self.operation.long)
        ]

    def cases(self) -> dict[str, list[Case]]:
        """Return cases for each family, the smallest first; drawn once for every function."""
        key = self.operation.name, self.examples, self.seed
        known = _DRAWN.get(key)
        if known is None or known[0] is not self.operation:
            known = _DRAWN[key] = self.operation, self._draw()
        return known[1]

    def _draw(self) -> dict[str, list[Case]]:
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
        self.absent = 0
        for number, case in enumerate(cases):
            failure = self.wrong(case)
            if failure is not None:
                if failure.kind == "raised" and any(n.mistakes for n in self.named()):
                    case = self._with_result(cases[number:]) or case
                return Outcome(name, number + 1, self.explain(case, family))
        return Outcome(name, len(cases) - self.absent)

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
        want = self.operation.expected(case)
        _spoil_free_memory(want.values())
        try:
            returned = self.call(arrays, settings)
        except StudentFault as fault:
            if fault.kind == "absent":  # optional, and not there
                self.absent += 1
                return None
            return Failure(self.operation.name, family, fault.kind, str(fault))
        dtype = next(a.dtype for a in arrays.values() if a is not None and a.dtype.kind == "f")
        given = [a for a in arrays.values() if a is not None]
        exact = self.operation.exact and dtype == np.float64 and integer_valued(*given)
        for output in self.operation.looks_at(case.geometry):
            part = want[output], returned.outputs[output]
            failure = self._output(output, *part, dtype, case.geometry, exact=exact)
            if failure is not None:
                return replace(failure, family=family)
        return None

    def _output(
        self,
        output: str,
        want: Expected,
        got: Any,
        dtype: np.dtype[Any],
        geometry: Any,
        *,
        exact: bool,
    ) -> Failure | None:
        name, rule = self.operation.name, self.operation.rules[output]
        if self.operation.part is not None and want.value.ndim:
            output, got, want = self.operation.part(geometry, got, want, _right)
        value = want.value
        if got is None:
            entry = f"{output} is None, must be {shown(value)}"
            return Failure(name, "", "value", f"{output} is None", entry=entry, rule=rule)
        if got.shape != value.shape:
            entry = f"{output} has shape {got.shape}, must be {value.shape}"
            return Failure(name, "", "shape", f"{output} has the wrong shape", entry=entry)
        index = first_difference(want, narrowed(got, dtype), exact=exact)
        if index is not None:
            place = f"[{', '.join(map(str, index))}]" if index else ""
            right = shown(value[index] if value[index].ndim == 0 else value)
            entry = f"{output}{place} is {shown(np.asarray(got[index]))}, must be {right}"
            return Failure(
                name, "", "value", f"{output} is wrong", entry=entry,
                rule=rule, arrays={"got": got, "want": value},
            )  # fmt: skip
        if value.dtype.kind == "f" and got.dtype != dtype and self.operation.keeps_dtype:
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
        if first is None or self.unset() or self.keeps_state(case):
            return self._state(case)
        if first.kind == "dtype":
            kept = remembers(self.operation, self.call)
            return self._state(case) if kept else self._dtype(case, family)
        named = self._explaining(case)
        if self.diagnosis().remembers:
            return self._state(case)

        def fails(other: Case) -> bool:
            """Whether it fails alike, and for the same reason."""
            failure = self.wrong(other)
            if failure is None or not self._same(failure, first):
                return False
            return not named or self._explaining(other) == named

        small = shrink(self.operation, case, fails)
        failure = self.wrong(small) or first
        mistakes = tuple(dict.fromkeys(m.name for n in named for m in n.mistakes))
        sentence = " ".join(dict.fromkeys(m.sentence for n in named for m in n.mistakes))
        title = "; ".join(dict.fromkeys(n.title for n in named)) or self._title(failure)
        for other in self.named() if named else ():
            title += "" if other.mistakes else f"; {other.output} is wrong, too"
        if named and failure.kind in FAULTS:
            failure = replace(failure, entry=failure.title)
        if not named and failure.kind == "returned":
            mistakes = ("None returned" if " None " in failure.title else "no array returned",)
        for role in self._changes(case):
            title += f"; it changes its argument {role}"
            sentence = f"{sentence} {LENT}".strip()
            mistakes += (CHANGED,)
        return replace(
            failure,
            family=family,
            title=title,
            sentence=sentence,
            mistakes=mistakes,
            call=self.written(small),
            replay=self.replay.format(case=case_text(self.operation, small)),
        )

    def _changes(self, case: Case) -> tuple[str, ...]:
        """Return the argument, by the student's name, that the function changes; none mostly."""
        try:
            changed = self.call(*self.operation.call_arguments(case)).changed
        except StudentFault:
            return ()
        return tuple(map(self.names, changed[:1]))

    def _dtype(self, case: Case, family: str) -> Failure:
        """Make a case small whose results are of the wrong dtype only."""

        def fails(other: Case) -> bool:
            failure = self.wrong(other)
            return failure is not None and failure.kind == "dtype"

        small = shrink(self.operation, case, fails)
        arrays, settings = self.operation.call_arguments(small)
        got, want = self.call(arrays, settings).outputs, self.operation.expected(small)
        dtype = next(a.dtype for a in arrays.values() if a is not None and a.dtype.kind == "f")
        every = self.operation.outputs
        wide = [
            o
            for o in every
            if (got[o].dtype != dtype if want[o].value.dtype.kind == "f"
                else got[o].dtype.kind not in "iu")
        ]  # fmt: skip
        found = got[wide[0]].dtype
        what = " and ".join(wide) if len(wide) < len(every) else "results"
        title = f"{'result' if len(every) == 1 else what} in {found}"
        sentence = "A result has the dtype of the arguments, switches that of integers."
        if found == np.float64:
            sentence = "A result has the dtype of the arguments; np.zeros(shape) is float64."
        elif found.kind in "iu":
            sentence = "An array of integers cuts fractions off; make it of the arguments' dtype."
        return replace(
            self.wrong(small) or Failure(self.operation.name, family, "dtype", title),
            family=family,
            title=title,
            sentence=sentence,
            mistakes=(title,),
            call=self.written(small),
            replay=self.replay.format(case=case_text(self.operation, small)),
        )

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
        try:
            got = self.call(*self.operation.call_arguments(case)).outputs
        except StudentFault as fault:
            return [n for n in known if n.raises and fault.kind in FAULTS]
        return [n for n in known if n.explains(self.operation, case, got[n.output])]

    def _title(self, failure: Failure) -> str:
        """Say what a wrong output does where no mistake of the bank explains it."""
        if failure.kind in FAULTS:
            return f"{failure.title} {self.diagnosis().raises}".strip()
        if failure.kind not in ("value", "shape"):
            return failure.title
        output = failure.title.split(" ")[0]
        does = next((n.does for n in self.named() if n.output == output), "")
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
        """Return the call as a student would write it, without what has its usual value."""
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

    # Promises -------------------------------------------------------------------------------

    def promises(self) -> Iterator[Outcome]:
        """Yield an outcome for each promise of every function."""
        cases = [
            case for cases in self.cases().values() for case in cases[:: max(1, len(cases) // 3)]
        ]
        cases = [case for case in cases if self._is_there(case)]
        for name, check in (
            ("float64", self._float64),
            ("float32", self._float32),
            (SIZES, self._any_size),
            ("arguments unchanged", self._unchanged),
            ("no state", self._no_state),
            ("any strides", self._any_strides),
        ):
            tried = self._sized_cases(cases) if check == self._any_size else cases
            if not tried or (check == self._float64 and not self.operation.double):
                continue
            failure = next((f for case in tried if (f := check(case)) is not None), None)
            yield Outcome(f"{self.operation.name}/{name}", len(tried), failure)

    def _sized_cases(self, cases: Sequence[Case]) -> list[Case]:
        """Return cases of the same geometries with numbers of unusual size."""
        return [
            self.operation.sized_case(case.geometry, number, size)
            for number, case in enumerate(cases)
            for size in self.operation.sizes
        ]

    def _any_size(self, case: Case) -> Failure | None:
        failure = self.wrong(case)
        if failure is None or failure.kind == "dtype":  # the dtype is the check float32's affair
            return None
        return self.explain(case, self.operation.family(case.geometry))

    def _is_there(self, case: Case) -> bool:
        """Whether the implementation has what a case needs."""
        before = self.absent
        return self.wrong(case) is not None or self.absent == before

    def long(self) -> Iterator[Outcome]:
        """Yield an outcome for each of the operation's large cases."""
        for name, make in self.operation.long.items():
            case = make()
            failure = self.wrong(case)
            if failure is not None:
                kind = failure.kind

                def fails(other: Case, kind: str = kind) -> bool:
                    failure = self.wrong(other)
                    return failure is not None and failure.kind == kind

                small = shrink(self.operation, case, fails)
                failure = replace(
                    self.wrong(small) or failure,
                    family=name,
                    call=self.written(small),
                    replay=self.replay.format(case=case_text(self.operation, small)),
                )
            yield Outcome(f"{self.operation.name}/{name}", 1, failure)

    def _float32(self, case: Case) -> Failure | None:
        case = Case(case.geometry, {
            role: None if a is None else a.astype(np.float32) for role, a in case.arrays.items()
        })  # fmt: skip
        if self.wrong(case) is None:
            return None
        failure = self.explain(case, self.operation.family(case.geometry))
        if failure.mistakes:
            return failure
        return replace(failure, title=f"{failure.title} in float32")

    def _float64(self, case: Case) -> Failure | None:
        """Numbers that round: what is computed in float32 in between shows."""
        kind = self.operation.kind_for(case.geometry, 0)
        if kind != "integer":
            return None
        drawn = self.operation.case(case.geometry, case.numbers, "normal")
        failure = self.wrong(drawn)
        if failure is None or failure.kind != "value":
            return failure
        if not self._rounds(drawn):
            return self.explain(drawn, self.operation.family(case.geometry))
        return replace(
            failure,
            title=f"{failure.title} in float64, by rounding",
            sentence="Something on the way is of a smaller type, float32 or float16.",
            call=self.written(drawn),
            replay=self.replay.format(case=case_text(self.operation, drawn)),
            mistakes=("computed in a smaller type",),
        )

    def _rounds(self, case: Case) -> bool:
        """Whether a wrong result is off by no more than the rounding of float16."""
        got = self.call(*self.operation.call_arguments(case)).outputs
        want = self.operation.expected(case)
        return all(
            got[o].shape == want[o].value.shape
            and bool((np.abs(got[o] - want[o].value) <= COARSE * want[o].terms).all())
            for o in self.operation.looks_at(case.geometry)
        )

    def _unchanged(self, case: Case) -> Failure | None:
        returned = self.call(*self.operation.call_arguments(case))
        if not returned.changed:
            return None
        role = self.names(returned.changed[0])
        return self._promise(
            case,
            "changed",
            f"it changes its argument {role}",
            LENT,
            CHANGED,
        )

    def _no_state(self, case: Case) -> Failure | None:
        return self._state(case) if self.keeps_state(case) else None

    def keeps_state(self, case: Case) -> bool:
        """Whether a result depends on an earlier call, or on chance."""
        other = self.operation.case(case.geometry, 1, self.operation.kind_for(case.geometry, 0))
        try:
            first = self.call(*self.operation.call_arguments(case)).outputs
            self.call(*self.operation.call_arguments(other))
            second = self.call(*self.operation.call_arguments(case)).outputs
        except StudentFault:
            return False
        return not all(
            first[o].shape == second[o].shape
            and np.allclose(first[o], second[o], rtol=1e-5, atol=0, equal_nan=True)
            for o in self.operation.outputs
        )

    def unset(self) -> bool:
        """Whether it reads memory that it has not written, in any of a few cases."""
        if self._unset is None:
            few = [c for cases in self.cases().values() for c in cases[:6]]
            self._unset = any(map(self.reads_free_memory, few))
        return self._unset

    def reads_free_memory(self, case: Case) -> bool:
        """Whether results follow the numbers that freed memory is left with: np.empty, added to."""
        want = self.operation.expected(case)
        for mark in MARKS:
            _spoil_free_memory(want.values(), mark)
            try:
                got = self.call(*self.operation.call_arguments(case)).outputs
            except StudentFault:
                return False
            with np.errstate(all="ignore"):
                off = [
                    float(np.max(np.abs(got[o] - want[o].value), initial=0))
                    for o in self.operation.looks_at(case.geometry)
                    if o in got and got[o].shape == want[o].value.shape
                ]
            if not off or not mark / 2 < max(off) < 64 * mark:
                return False
        return True

    def _state(self, case: Case) -> Failure:
        if self.unset():
            return self._promise(
                case,
                "state",
                "memory not set to zero",
                "np.empty leaves whatever numbers were in its memory; what is added to, or written "
                "to in some places only, begins as np.zeros.",
                "memory not set to zero",
            )
        return self._promise(
            case,
            "state",
            "state kept between calls",
            "Two calls with equal arguments differ: something is kept, or drawn at random.",
            "state kept between calls",
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
            "memory layout of an argument assumed",
        )

    def _promise(self, case: Case, kind: str, title: str, sentence: str, mistake: str) -> Failure:
        return Failure(
            self.operation.name,
            self.operation.family(case.geometry),
            kind,
            title,
            sentence,
            call=self.written(case),
            replay=self.replay.format(case=case_text(self.operation, case)),
            mistakes=(mistake,),
        )


def _right(want: Expected, got: Array) -> bool:
    return first_difference(want, got, exact=False) is None


def _spoil_free_memory(expected: Iterable[Expected], mark: float = np.nan) -> None:
    """Fill memory of the sizes of the results and free it: what np.empty gives is no zeros then."""
    held = []
    for value, _ in expected:
        dtype = value.dtype if value.dtype.kind == "f" else np.float64
        held += [np.full(value.size, mark, dtype) for _ in range(8)]
    del held  # all at once: blocks that are freed one by one are one block
