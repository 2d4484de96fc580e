"""What an operation is to the kit: its arguments, what it must return, and cases to try it on.

An operation is checked by calls alone, wherever the function lives (here, in another process, in
PyTorch), and against a naive loop of the kit's own, which uses nothing of the library's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from minideconv.testing.arrays import Kind, values
from minideconv.testing.drawing import Integer

__all__ = ["Array", "Arrays", "Case", "Expected", "Functions", "Geometry", "Operation", "Settings"]

Array = npt.NDArray[Any]
Arrays = dict[str, Array | None]
Settings = dict[str, Any]
Shapes = Mapping[str, tuple[int, ...]]
Functions = Mapping[str, Callable[..., Any]]
"""The functions of an implementation by their names: ``conv2d``, ``conv2d_backward``, ..."""


class Geometry(Protocol):
    """A frozen dataclass of integers and pairs (height, width); what is illegal, it refuses."""

    def __repr__(self) -> str: ...


class Expected(NamedTuple):
    """A right result: its values, and for each the sum of the absolute values of its terms.

    The rounding of a sum is relative to its terms, not to what remains of them: so is each
    tolerance of the kit.
    """

    value: Array
    terms: Array


@dataclass(frozen=True)
class Case:
    """One call: a geometry, and an array for each role (None: an argument left out).

    Attributes
    ----------
    geometry : Geometry
        Sizes, stride, padding, ...
    arrays : mapping of str to ndarray or None
        What is free to choose, by role: ``x``, ``w``, ``b``, ``dy``.
    """

    geometry: Any
    arrays: Mapping[str, Array | None]

    @property
    def numbers(self) -> int:
        """How many numbers the arrays hold."""
        return sum(a.size for a in self.arrays.values() if a is not None)


@dataclass(frozen=True)
class Operation:
    """One function that a student writes, as the kit sees it.

    Attributes
    ----------
    name : str
        Its name in the contract: ``"conv2d"``.
    arguments : tuple of str
        Roles of its arrays in order: ``("x", "w", "b")``.
    settings : tuple of str
        Its keyword arguments: ``("stride", "padding", "dilation", "groups")``.
    outputs : tuple of str
        What it returns, in order; one output is returned by itself, several as a tuple.
    rules : mapping of str to str
        The formula of each output.
    families : tuple of str
        Features of a geometry, from the simplest to the hardest; each is checked by itself.
    geometry : type
        The dataclass of its geometries.
    draw : callable
        ``draw(integer)`` returns a legal geometry.
    family : callable
        ``family(geometry)`` is one of `families`.
    shapes : callable
        ``shapes(geometry)`` gives the shape of each array that is free to choose.
    call_arguments : callable
        ``call_arguments(case)`` returns (arrays by role, settings): what the function is given.
    oracle : callable
        ``oracle(arrays, settings)`` returns an `Expected` for each output, by naive loops.
    kinds : tuple of str
        Kinds of `values` that each array is drawn from.
    kind : callable, optional
        ``kind(geometry)`` is the kind that a geometry's family needs, in place of `kinds`.
    sizes : tuple of str
        Kinds of numbers of unusual size that the first array is drawn from, in float32.
    watched : callable, optional
        ``watched(geometry)``: the outputs that its family compares; all of them by default.
    run : callable, optional
        ``run(functions, arrays, settings)`` calls the student's functions where one call is not
        enough, and returns the outputs in order.
    needs : tuple of str
        Other functions that `run` calls.
    functions : callable, optional
        The reverse of `run`: ``functions(outputs)`` returns the functions of an implementation
        whose outputs are those of ``outputs(arrays, settings)``.
    narrow : callable
        ``narrow(geometry)``: the geometry nearest to this one that may be asked for, or None.
    written : callable, optional
        ``written(words)`` returns the calls that `run` makes as text; each word is ``name=value``.
    optional : tuple of str
        Roles of arrays that may be left out (None).
    called : tuple of str
        Names of the functions, or classes, of a student's file; by default the operation's own
        and those that it needs.
    double : bool
        Whether results of float64 numbers must have their precision.
    keeps_dtype : bool
        Whether results must have the dtype of the arguments.
    part : callable, optional
        ``part(output, geometry, got, want, right)``: of an output of several parts, the name of the
        first wrong one, what was got (None: nothing) and what must be; ``right(want, got)`` tells.
    again : bool
        Whether `run` takes a setting ``again=True``: the backward is called twice with one cache,
        and the second one's outputs are returned.
    long : mapping of str to callable
        Large cases by what they promise, each tried once; ``long[name]()`` is the case.
    always : tuple of Geometry
        Legal geometries that are drawn seldom, and of which mistakes are known: each is tried in
        every run, in place of a drawn one.
    order : tuple of str
        The outputs in the order in which they are computed, the later ones from what the earlier
        ones are computed from; by default that of `outputs`.
    exact : bool
        Whether the results of integers are integers, compared by ``==``.
    telling : callable
        ``telling(geometry)``: whether mistakes show in it that hide where sizes are equal or 1.
    """

    name: str
    arguments: tuple[str, ...]
    settings: tuple[str, ...]
    outputs: tuple[str, ...]
    rules: Mapping[str, str]
    families: tuple[str, ...]
    geometry: type[Any]
    draw: Callable[[Integer], Any]
    family: Callable[[Any], str]
    shapes: Callable[[Any], Shapes]
    call_arguments: Callable[[Case], tuple[Arrays, Settings]]
    oracle: Callable[[Arrays, Settings], dict[str, Expected]]
    kinds: tuple[Kind, ...] = ("integer",)
    run: Callable[[Functions, Arrays, Settings], Sequence[Any]] | None = None
    needs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    always: tuple[Any, ...] = ()
    exact: bool = True
    telling: Callable[[Any], bool] = lambda _geometry: True
    kind: Callable[[Any], Kind] | None = None
    sizes: tuple[Kind, ...] = ("large mean", "large scale", "tiny scale", "constant")
    watched: Callable[[Any], Sequence[str]] | None = None
    functions: Callable[[Callable[[Arrays, Settings], Sequence[Array]]], Functions] | None = None
    written: Callable[[dict[str, str]], str] | None = None
    narrow: Callable[[Any], Any | None] = lambda geometry: geometry

    order: tuple[str, ...] = ()
    called: tuple[str, ...] = ()
    again: bool = False
    keeps_dtype: bool = True
    double: bool = True
    part: Callable[..., tuple[str, Array | None, Expected]] | None = None
    long: Mapping[str, Callable[[], Case]] = field(default_factory=dict)

    def kind_for(self, geometry: Any, number: int) -> Kind:
        """Return the kind of numbers of the case of this number."""
        if self.kind is not None:
            return self.kind(geometry)
        return self.kinds[number % len(self.kinds)]

    def looks_at(self, geometry: Any) -> Sequence[str]:
        """Return the outputs that the geometry's family compares."""
        return self.computed if self.watched is None else self.watched(geometry)

    @property
    def computed(self) -> tuple[str, ...]:
        """The outputs in the order in which they are computed."""
        return self.order or self.outputs

    @property
    def calls(self) -> tuple[str, ...]:
        """Names that a student's file must have for it."""
        return self.called or (self.name, *self.needs)

    def case(
        self, geometry: Any, seed: int, kind: Kind = "integer", dtype: npt.DTypeLike = np.float64
    ) -> Case:
        """Fill a geometry with values that depend on `seed` and `kind` only."""
        shapes = self.shapes(geometry)
        arrays: Arrays = {
            role: values(shape, seed * 31 + number, kind, dtype)
            for number, (role, shape) in enumerate(shapes.items())
        }
        if seed % 3 == 0:
            arrays |= dict.fromkeys(self.optional)
        return Case(geometry, arrays)

    def sized_case(self, geometry: Any, seed: int, size: Kind) -> Case:
        """Fill a geometry with float32 numbers, those of the first array of an unusual size."""
        case = self.case(geometry, seed, self.kind_for(geometry, seed), np.float32)
        role, shape = next(iter(self.shapes(geometry).items()))
        return replace(case, arrays={**case.arrays, role: values(shape, seed, size, np.float32)})

    def expected(self, case: Case) -> dict[str, Expected]:
        """Return what the function must return, in float64; worked out once while it is wanted."""
        known = _EXPECTED.get((id(self), id(case)))
        if known is not None:
            return known[2]
        arrays, settings = self.call_arguments(case)
        wide = {
            role: a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a
            for role, a in arrays.items()
        }
        result = self.oracle(wide, settings)
        if len(_EXPECTED) >= _MOST_EXPECTED:
            del _EXPECTED[next(iter(_EXPECTED))]
        _EXPECTED[id(self), id(case)] = self, case, result
        return result

    def smaller(self, case: Case) -> Iterator[Case]:
        """Yield simpler cases: an argument left out, a smaller size, a simpler setting."""
        for role in self.optional:
            if case.arrays[role] is not None:
                yield Case(case.geometry, {**case.arrays, role: None})
        for simple in simpler(case.geometry):
            geometry = self.narrow(simple)
            if geometry in (None, case.geometry):
                continue
            for at_end in (False, True):
                yield Case(geometry, _cut(case.arrays, self.shapes(geometry), at_end))


_EXPECTED: dict[tuple[int, int], tuple[Operation, Case, dict[str, Expected]]] = {}
"""Right results; an entry holds its operation and its case, so that their ids stay theirs."""
_MOST_EXPECTED = 4096


def simpler(geometry: Any) -> Iterator[Any]:
    """Yield legal geometries that differ from this one in one number, which is nearer its least.

    A number's least is 1, a padding's 0. What does not fit together is left out: the geometry's own
    constructor refuses it. A field named in its ``derived`` is worked out again.
    """
    if hasattr(geometry, "simpler"):
        yield from geometry.simpler()
        return
    derived: dict[str, Any] = dict.fromkeys(getattr(geometry, "derived", ()))
    for member in fields(geometry):
        if member.name in derived:
            continue
        value = getattr(geometry, member.name)
        numbers = value if isinstance(value, tuple) else (value,)
        for place, number in enumerate(numbers):
            for option in _less(number, 0 if "padding" in member.name else 1):
                changed: Any = option
                if isinstance(value, tuple):
                    changed = (*numbers[:place], option, *numbers[place + 1 :])
                try:
                    yield replace(geometry, **{**derived, member.name: changed})
                except ValueError:
                    continue


def _less(number: int, least: int) -> list[int]:
    """Return smaller numbers to try, the smallest first; of True, False."""
    if isinstance(number, bool):
        return [False] if number else []
    return sorted(n for n in {least, number // 2, number - 2, number - 1} if least <= n < number)


def _cut(arrays: Mapping[str, Array | None], shapes: Shapes, at_end: bool = False) -> Arrays:
    """Cut each array to its new shape, keeping its beginning or its end; more are integers."""
    result: Arrays = {}
    for role, shape in shapes.items():
        old = arrays[role]
        if old is None or old.shape == shape:
            result[role] = old
            continue
        new = values(shape, len(role), "integer", old.dtype)
        result[role] = new
        if old.ndim != len(shape):
            continue
        kept = [min(a, b) for a, b in zip(old.shape, shape, strict=True)]
        if at_end:
            new[tuple(slice(b - k, None) for b, k in zip(shape, kept, strict=True))] = old[
                tuple(slice(a - k, None) for a, k in zip(old.shape, kept, strict=True))
            ]
        else:
            new[tuple(map(slice, kept))] = old[tuple(map(slice, kept))]
    return result
