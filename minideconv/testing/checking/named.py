"""What is known of an implementation: which mistakes explain each of its wrong outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from minideconv.testing.checking.compare import is_close
from minideconv.testing.checking.features import Stated
from minideconv.testing.checking.probing import Probe, Values, value_of
from minideconv.testing.mistakes import Mistake
from minideconv.testing.operations.operation import (
    Array,
    Arrays,
    Case,
    Expected,
    Operation,
    Settings,
)

__all__ = ["Diagnosis", "Named", "got_of", "is_equal", "titles"]

ROUNDED = 1e-9
"""How far a result of a mistake that divides may be off, in units of the largest sum of terms."""


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
    where : Stated, optional
        Where it is wrong then, if features of the cases tell.
    raises : bool
        Whether the function raises in some cases where the mistakes show, and in no other.
    placed : bool
        Whether it is known in which layer of a network the mistake is made.
    """

    output: str
    mistakes: tuple[Mistake, ...]
    when: str = ""
    does: str = ""
    where: Stated | None = None
    raises: bool = False
    values: tuple[Values, ...] = field(default=(), repr=False, compare=False)
    placed: bool = True

    @property
    def title(self) -> str:
        """The names and places, joined."""
        words = (m.title if self.placed else m.name for m in self.mistakes)
        names = " and ".join(dict.fromkeys(words))
        return f"{names} ({self.when})" if self.when else names

    def explains(self, operation: Operation, case: Case, got: Mapping[str, Array]) -> bool:
        """Return whether what is wrong in a case is wrong just as the mistakes have it."""
        if not self.values:
            return True  # they were recognised in another way
        right, arguments = operation.expected(case), operation.call_arguments(case)

        def equal(output: str, value: Array) -> bool:
            want = Expected(value, right[output].terms)
            return is_equal(got[output], want, operation.exact)

        for values in self.values:
            found = _all_outputs(self.output, values, arguments)
            if any(not equal(o, right[o].value) for o in found) and all(
                equal(o, value) for o, value in found.items()
            ):
                return True
        return False


def _all_outputs(
    output: str, values: Values, arguments: tuple[Arrays, Settings]
) -> Mapping[str, Array]:
    """Return the outputs that a mistake makes wrong; none where such code fails."""
    value = value_of(values, arguments)
    if value is None:
        return {}
    outputs = getattr(values, "outputs", None)
    return {output: value} if outputs is None else outputs(*arguments)


@dataclass(frozen=True)
class Diagnosis:
    """What is known of an implementation: each output that is wrong, and where it fails.

    ``remembers``: two calls, if it takes what it kept of the first for that of the second.
    ``raising`` works out where it fails, which most messages do not need.
    """

    named: tuple[Named, ...] = ()
    remembers: tuple[Case, Case] | None = None
    raising: Callable[[], Stated | None] = field(default=lambda: None, repr=False, compare=False)

    @cached_property
    def raises(self) -> Stated | None:
        """Where it fails, if features of the cases tell."""
        return self.raising()


def got_of(probe: Probe, output: str) -> Array:
    """Return an output of a probe on which the function did not raise."""
    assert probe.got is not None
    return probe.got[output]


def is_equal(got: Array, want: Expected, exact: bool) -> bool:
    """Return whether a result is a value: of integers to the last bit, but where it divides."""
    value, terms = want
    if got.shape != value.shape:
        return False
    if (got == value).all():
        return True
    if exact:
        size = float(terms.max(initial=1))
        with np.errstate(invalid="ignore", over="ignore"):
            largest = np.abs(got - value).max()
        if np.isfinite(largest) and largest > ROUNDED * size:
            return False  # as nearly all are
        # Only a mistake that divides gives what is no integer, and may be rounded.
        finite = value[np.isfinite(value)]
        if (finite == np.rint(finite)).all():
            return bool(((got == value) | (np.isnan(got) & np.isnan(value))).all())
        return np.allclose(got, value, rtol=0, atol=ROUNDED * size, equal_nan=True)
    if terms.shape != value.shape:
        terms = np.full(value.shape, float(np.max(terms, initial=0)))
    return is_close(Expected(value, terms), got)


def titles(named: Sequence[Named], operation: Operation) -> list[str]:
    """Return the titles; one that another one says with more words is left out.

    What is about one of several gradients alone says which, unless it is that of x.
    """
    found = dict.fromkeys(n.title for n in named)
    outputs = operation.outputs
    if len(found) == len(named) == 1 and operation.name.endswith("_backward"):
        output = named[0].output
        if output != outputs[0] and output not in next(iter(found)):
            return [f"{title} (in {output})" for title in found]
    return [t for t in found if not any(other.startswith(f"{t} (") for other in found)]
