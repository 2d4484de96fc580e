"""Which mistake it is: the student's outputs beside those of every mistake of the bank.

The function is called on a few dozen fixed cases, the probes; nothing looks at the code. A mistake
is named only if it explains the values, exactly:

* one way to make it gives every value and fails wherever the function does, and nowhere else;
* or every wrong value on every probe, and the student is right wherever the mistake does no harm;
* or all that is wrong, where the student is right in the other cases and one feature of the case
  tells the two apart ("only where stride > 1");
* or two mistakes together explain every value;
* or every value but where one feature holds, where something else is wrong, too.

Where more than one name would do, none is given. What is not named is described (`behaviour`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from minideconv.testing.checking.calls import Call
from minideconv.testing.checking.chain import consequences, first_told, is_wrong, one_for_all
from minideconv.testing.checking.features import Condition, Stated, needed, separating
from minideconv.testing.checking.fresh import Fresh
from minideconv.testing.checking.history import remembers
from minideconv.testing.checking.named import Diagnosis, Named, got_of, is_equal
from minideconv.testing.checking.probing import Probe, tried, usual_probes
from minideconv.testing.checking.question import LEAST, Question
from minideconv.testing.mistakes import Mistake
from minideconv.testing.operations.operation import Array, Arrays, Operation, Settings

__all__ = [
    "Diagnosis",
    "Named",
    "diagnose",
    "explained",
    "name_mistakes",
    "recognised",
]


def name_mistakes(operation: Operation, call: Call) -> list[Named]:
    """Return for each output that is wrong on some probe which mistakes explain it."""
    return list(diagnose(operation, call).named)


def diagnose(operation: Operation, call: Call) -> Diagnosis:
    """Call an implementation on the probes and say what is known of it."""
    seen = tried(operation, call, usual_probes(operation))
    fresh = Fresh(operation, partial(tried, operation, call))
    named = tuple(explained(operation, seen, fresh))
    unknown = bool(seen) and not any(n.mistakes for n in named)
    kept = remembers(operation, call) if unknown else None
    return Diagnosis(named, kept, partial(raising, seen, fresh))


def raising(seen: Sequence[Probe], fresh: Fresh) -> Stated | None:
    """Say where the function raises, if features of the cases tell."""
    raised = [p.described for p in seen if p.got is None]
    fine = [p.described for p in seen if p.got is not None]

    def never(where: Condition) -> bool:
        return fresh.holds(where, raised, lambda p: p.got is not None)

    only = separating(raised, fine, lambda where: never(where.contrary()))
    if only is not None:
        return Stated(f"it happens only where {only.held}", only.contrary())
    safe = needed(raised, fine, never)
    return None if safe is None else Stated(f"it does not happen where {safe.held}", safe)


def explained(operation: Operation, seen: Sequence[Probe], fresh: Fresh) -> list[Named]:
    """Return for each output that is wrong on some probe which mistakes explain it."""
    fine = [p for p in seen if p.got is not None]
    if not fine:
        return []
    if (whole := one_for_all(operation, seen, fresh)) is not None:
        return [whole]
    interchanged = _interchanged(operation, fine)
    named = [interchanged] if interchanged else []
    settled = set(interchanged.does.split()) if interchanged else set()
    for output in operation.computed:
        if output not in settled and is_wrong(operation, output, fine):
            answer = Question(operation, output, seen, fresh).answer()
            answer, more = consequences(operation, answer, fine)
            settled.update(more)
            named.append(answer)
    return first_told(operation, named) or _by_failures(operation, seen, fresh)


def _by_failures(operation: Operation, seen: Sequence[Probe], fresh: Fresh) -> list[Named]:
    """Return the mistake that fails just where the function does, which is right elsewhere."""
    found: dict[str, Named] = {}
    if any(p.got is None for p in seen):
        for output in operation.outputs:
            for named in Question(operation, output, seen, fresh).exact(LEAST):
                found.setdefault(named.title, named)
    return list(found.values()) if len(found) == 1 else []


def _interchanged(operation: Operation, fine: Sequence[Probe]) -> Named | None:
    """Return that outputs are returned in another order, if they are."""
    order = []
    for output in operation.outputs:
        holds = [
            other
            for other in operation.outputs
            if all(is_equal(got_of(p, output), p.right[other], operation.exact) for p in fine)
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


def recognised(mistake: Mistake, operation: Operation) -> list[Named]:
    """Return what the bank makes of an implementation that makes one of its own mistakes."""

    def answer(asked: Sequence[Probe]) -> list[Probe]:
        seen = []
        for probe in asked:
            value = probe.value(mistake)
            right = {name: expected.value for name, expected in probe.right.items()}
            got = None if value is None else {**right, **mistake.wrong_outputs(*probe.arguments)}
            error = "" if got else probe.fault(mistake)[0]
            seen.append(replace(probe, got=got, error=error))
        return seen

    return explained(operation, answer(usual_probes(operation)), Fresh(operation, answer))
