"""What a mistake is, and the list of all of them.

A mistake gets one output of one operation wrong, and its other outputs right, so that a function
with two mistakes is recognised by both; of a chain of layers, also what is computed from it. It is
written as a small change to the kit's naive loops: of the arguments that they are given, or of what
they return.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from minideconv.testing.error_kinds import Fails
from minideconv.testing.operations import OPERATIONS
from minideconv.testing.operations.operation import Array, Arrays, Functions, Settings

if TYPE_CHECKING:
    from minideconv.testing.checking.calls import Call

__all__ = [
    "Fails",
    "Mistake",
    "Right",
    "Values",
    "given",
    "mistake",
    "mistakes",
    "register",
    "right_outputs",
    "slip",
    "twist",
    "vary",
    "ways",
]

Right = Callable[[Arrays, Settings], Array]
"""``right(arrays, settings)``: the right values of the output that the mistake gets wrong."""

Values = Callable[[Arrays, Settings], Array]
Change = Callable[[Arrays, Settings], tuple[Arrays, Settings]]
After = Callable[[Array, Arrays, Settings], Array]


@dataclass(frozen=True)
class Mistake:
    """One plausible error of a student.

    Attributes
    ----------
    operation, output : str
        What it gets wrong: ``"conv2d_backward"``, ``"db"``.
    name : str
        A few words: ``"kernel flipped"``. Two mistakes of one name are two ways to make it.
    sentence : str
        What the code does, and what it should do.
    values : callable
        ``values(arrays, settings)`` returns the wrong output; an error where such code fails.
    change : callable, optional
        Of a mistake in the arguments alone: ``change(arrays, settings)`` returns those that the
        right code would have to be given. Such mistakes are recognised beside others, too.
    after : callable, optional
        Of a mistake made with a result: ``after(result, arrays, settings)`` returns what becomes of
        it. These, too, are recognised beside others.
    recognise : callable, optional
        Of a mistake that shows in the rounding alone, where no two implementations are equal:
        ``recognise(call)`` tries the function on numbers of its own, and says whether it is this.
    shows : callable, optional
        ``shows(arrays)``: whether a call has the numbers that the mistake is about; where the
        function was seen to fail with such, the smallest case that is shown has some, too.
    variants : tuple of callable
        ``values`` of the same mistake in code of another kind: where windows reach over the edge of
        an array, a loop raises, a slice is cut off, and a test of the bounds reads zeros.
    """

    operation: str
    output: str
    name: str
    sentence: str
    values: Callable[[Arrays, Settings], Array]
    change: Change | None = None
    after: After | None = None
    recognise: Callable[[Call], bool] | None = None
    shows: Callable[[Arrays], bool] | None = None
    variants: tuple[Values, ...] = ()

    @property
    def place(self) -> str:
        """Where in a network the mistake is made: ``"in the first pooling"``; empty if not said."""
        return str(getattr(self.values, "place", ""))

    @property
    def title(self) -> str:
        """The name, and the place."""
        return f"{self.name} {self.place}".strip()

    def wrong_outputs(self, arrays: Arrays, settings: Settings) -> Mapping[str, Array]:
        """Return all outputs that the mistake makes wrong."""
        outputs = getattr(self.values, "outputs", None)
        if outputs is None:
            return {self.output: self.values(arrays, settings)}
        found: Mapping[str, Array] = outputs(arrays, settings)
        return found

    @property
    def loose(self) -> bool:
        """Whether a mistake in the arguments has values where the right code would fail."""
        return self.change is not None and not getattr(self.values, "plain", False)

    def implementation(self) -> Callable[..., Any]:
        """Return the operation as a function of the contract's signature that makes the mistake."""
        return self.functions()[OPERATIONS[self.operation].calls[0]]

    def functions(self) -> Functions:
        """Return the function that makes the mistake, and those that it needs beside it."""
        operation = OPERATIONS[self.operation]

        def outputs(arrays: Arrays, settings: Settings) -> list[Array]:
            dtype = next(a.dtype for a in arrays.values() if a is not None)
            try:
                wrong = self.wrong_outputs(arrays, settings)
            except Fails as failure:
                raise failure.error() from None
            others = any(output not in wrong for output in operation.outputs)
            right = right_outputs(operation.name, arrays, settings) if others else {}
            values = [
                wrong[output] if output in wrong else right[output].copy()
                for output in operation.outputs
            ]
            return [v.astype(dtype) if v.dtype.kind == "f" else v for v in values]

        if operation.functions is not None:
            return operation.functions(outputs)

        def function(*args: Any, **settings: Any) -> Any:
            given = dict(zip(operation.arguments, args, strict=False))
            result = outputs({role: given.get(role) for role in operation.arguments}, settings)
            return result[0] if len(result) == 1 else tuple(result)

        function.__name__ = self.operation
        return {self.operation: function}


_BANK: list[Mistake] = []


def register(mistake: Mistake) -> None:
    """Put a mistake into the bank."""
    _BANK.append(mistake)
    ways.cache_clear()


def vary(operation: str, output: str, name: str, *variants: Values) -> None:
    """Add variants to the mistake of this name, the last one if there are several."""
    place = max(
        i
        for i, m in enumerate(_BANK)
        if (m.operation, m.output, m.name) == (operation, output, name)
    )
    known = _BANK[place]
    _BANK[place] = replace(known, variants=(*known.variants, *variants))
    ways.cache_clear()


@cache
def ways(operation: str, output: str) -> tuple[Mistake, ...]:
    """Return the mistakes of one output, and each of their variants as one more."""
    return tuple(
        way
        for m in mistakes(operation, output)
        for way in (m, *(replace(m, values=v, change=None, after=None) for v in m.variants))
    )


def mistakes(operation: str | None = None, output: str | None = None) -> tuple[Mistake, ...]:
    """Return the mistakes of one operation (and output), or all of them."""
    return tuple(
        m for m in _BANK if operation in (None, m.operation) and output in (None, m.output)
    )


def right_values(operation: str, output: str) -> Right:
    """Return the function that gives an output's right values."""

    def right(arrays: Arrays, settings: Settings) -> Array:
        return right_outputs(operation, arrays, settings)[output].copy()

    return right


_RIGHT: dict[Any, dict[str, Array]] = {}
_MOST_RIGHT = 4096


def right_outputs(operation: str, arrays: Arrays, settings: Settings) -> dict[str, Array]:
    """Return the right outputs; those of the same numbers are wanted for many mistakes."""
    numbers = (
        (role, None if a is None else (a.dtype.str, a.shape, a.tobytes()))
        for role, a in arrays.items()
    )
    key = operation, repr(sorted(settings.items())), tuple(numbers)
    if key not in _RIGHT:
        if len(_RIGHT) >= _MOST_RIGHT:
            del _RIGHT[next(iter(_RIGHT))]
        outputs = OPERATIONS[operation].oracle(arrays, settings)
        _RIGHT[key] = {output: expected.value for output, expected in outputs.items()}
    return _RIGHT[key]


def mistake(
    operation: str,
    output: str,
    name: str,
    sentence: str,
    recognise: Callable[[Call], bool] | None = None,
    shows: Callable[[Arrays], bool] | None = None,
) -> Callable[[Callable[[Arrays, Settings, Right], Array]], Callable[..., Array]]:
    """Register ``wrong(arrays, settings, right)``, which returns the wrong output."""
    right = right_values(operation, output)

    def put(wrong: Callable[[Arrays, Settings, Right], Array]) -> Callable[..., Array]:
        def values(arrays: Arrays, settings: Settings) -> Array:
            return wrong(dict(arrays), dict(settings), right)

        register(
            Mistake(operation, output, name, sentence, values, recognise=recognise, shows=shows)
        )
        return wrong

    return put


def slip(
    operation: str, output: str, name: str, sentence: str
) -> Callable[[Callable[[Arrays, Settings], None]], Callable[[Arrays, Settings], None]]:
    """Register a mistake in the arguments: ``wrong`` changes its dictionaries in place."""
    right = right_values(operation, output)

    def put(wrong: Callable[[Arrays, Settings], None]) -> Callable[[Arrays, Settings], None]:
        def change(arrays: Arrays, settings: Settings) -> tuple[Arrays, Settings]:
            arrays, settings = dict(arrays), dict(settings)
            wrong(arrays, settings)
            return arrays, settings

        def values(arrays: Arrays, settings: Settings) -> Array:
            return right(*change(arrays, settings))

        values.plain = True  # type: ignore[attr-defined]  # nothing but the changed arguments
        register(Mistake(operation, output, name, sentence, values, change))
        return wrong

    return put


def twist(operation: str, output: str, name: str, sentence: str) -> Callable[[After], After]:
    """Register a mistake made with the right result: ``wrong(result, arrays, settings)``."""
    right = right_values(operation, output)

    def put(wrong: After) -> After:
        def values(arrays: Arrays, settings: Settings) -> Array:
            return wrong(right(arrays, settings), arrays, settings)

        register(Mistake(operation, output, name, sentence, values, None, wrong))
        return wrong

    return put


def given(arrays: Arrays, role: str) -> Array:
    """Return an array that is never left out."""
    array = arrays[role]
    assert array is not None
    return array


def pad(x: Array, top: int, bottom: int, left: int, right: int, mode: Any = "constant") -> Array:
    """Pad the last two axes."""
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), mode=mode)
