"""Outputs that are computed one from another: what of one mistake's is wrong in the later ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from minideconv.testing.checking.fresh import Fresh
from minideconv.testing.checking.named import Named, got_of, is_equal
from minideconv.testing.checking.probing import Probe
from minideconv.testing.checking.question import LEAST, Question
from minideconv.testing.mistakes import Mistake, ways
from minideconv.testing.operations.operation import Array, Expected, Operation

__all__ = ["consequences", "first_told", "is_wrong", "one_for_all"]


def is_wrong(operation: Operation, output: str, fine: Sequence[Probe]) -> bool:
    """Return whether an output is wrong on some probe."""
    return not _equals(operation, output, fine, [p.right[output].value for p in fine])


def _equals(
    operation: Operation, output: str, fine: Sequence[Probe], values: Sequence[Array]
) -> bool:
    return all(
        is_equal(got_of(p, output), Expected(value, p.right[output].terms), operation.exact)
        for p, value in zip(fine, values, strict=True)
    )


def one_for_all(operation: Operation, seen: Sequence[Probe], fresh: Fresh) -> Named | None:
    """Return the mistake of which all that is wrong follows, if there is one."""
    if any(p.got is None for p in seen):
        return None
    wrong = [o for o in operation.computed if is_wrong(operation, o, seen)]
    if not wrong or not any(map(_in_others, ways(operation.name, wrong[0]))):
        return None
    question = Question(operation, wrong[0], seen, fresh)
    if len(question.wrong) < LEAST:
        return None
    fits = []
    for way in question.bank:
        # The smallest wrong result rules out nearly all.
        first = question.wrong[0]
        if question.equal(first, first.value(way)) and _explains(operation, way, wrong, seen):
            fits.append(way)
    if len({way.name for way in fits}) != 1:
        return None
    one = len({way.place for way in fits}) == 1
    values = tuple(way.values for way in fits)
    return Named(wrong[0], tuple(fits[:1]), values=values, placed=one)


def _explains(
    operation: Operation, way: Mistake, wrong: Sequence[str], seen: Sequence[Probe]
) -> bool:
    for probe in seen:
        values = _all_of(way, probe)
        if not set(wrong) <= set(values):
            return False
        if not all(_equals(operation, o, [probe], [v]) for o, v in values.items()):
            return False
    return True


def consequences(
    operation: Operation, named: Named, fine: Sequence[Probe]
) -> tuple[Named, list[str]]:
    """Return which later outputs are wrong as the mistake has it.

    It loses its name if it would make an output wrong that is right.
    """
    if len(named.mistakes) != 1 or named.when or not _in_others(named.mistakes[0]):
        return named, []
    values = [_all_of(named.mistakes[0], probe) for probe in fine]
    explained = []
    for output in operation.computed:
        if output == named.output or not all(output in v for v in values):
            continue
        wrong = [v[output] for v in values]
        if _equals(operation, output, fine, wrong):
            explained.append(output)
        elif not is_wrong(operation, output, fine):
            return Named(named.output, (), does=f"as by {named.title}, but {output} is right"), []
    return named, explained


def _in_others(mistake: Mistake) -> bool:
    """Return whether a mistake makes other outputs than its own wrong, too."""
    return hasattr(mistake.values, "outputs")


def _all_of(mistake: Mistake, probe: Probe) -> dict[str, Array]:
    if probe.value(mistake) is None:
        return {}
    return dict(mistake.wrong_outputs(*probe.arguments))


def first_told(operation: Operation, named: Sequence[Named]) -> list[Named]:
    """Say of the first wrong output which ones are right before it, if its mistake is unknown."""
    found = list(named)
    if not operation.order or not found or found[0].mistakes:
        return found
    before = operation.order[: operation.order.index(found[0].output)]
    if before:
        right = f"the first wrong one on the way back: {_and(before)} right"
        found[0] = replace(found[0], does=f"{right}; {found[0].does}")
    return found


def _and(words: Sequence[str]) -> str:
    if len(words) == 1:
        return f"{words[0]} is"
    return f"{', '.join(words[:-1])} and {words[-1]} are"
