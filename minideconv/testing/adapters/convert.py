"""A student's function over another library's arrays becomes one over NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from minideconv.testing.adapters.arrays import ArrayKind
from minideconv.testing.faults import StudentFault

__all__ = ["over_numpy"]


def over_numpy(
    function: Callable[..., Any],
    kind: ArrayKind,
    *,
    name: str = "",
    outputs: Sequence[str] = (),
    opaque: Collection[int] = (),
) -> Callable[..., Any]:
    """Return a function of NumPy arrays that calls one of another library's arrays.

    Parameters
    ----------
    function : callable
        The student's. NumPy arrays among its arguments (in dictionaries too) are lent as arrays of
        `kind`, all else as it is.
    kind : ArrayKind
        What it takes and returns.
    name : str
        Its name in messages; default its own.
    outputs : sequence of str
        Names of its results, for messages.
    opaque : collection of int
        Which results are handed on as they are: a cache.

    Returns
    -------
    callable
        Changes a NumPy argument where `function` changed what it was lent for it.

    Raises (when called)
    --------------------
    StudentFault
        If a result is of another kind, or on another device than the arguments.
    """
    title = name or getattr(function, "__name__", "the function")

    def taken(value: Any, number: int, places: set[str]) -> Any:
        what = outputs[number] if number < len(outputs) else f"result {number + 1}"
        if not kind.holds(value):
            if hasattr(value, "shape"):
                found = f"{type(value).__module__.split('.')[0]}.{type(value).__name__}"
                raise StudentFault(
                    "returned", f"{title} returned a {found} for {what}; it must be {kind.type}"
                )
            return value  # None, a word: whoever compares says so
        place = kind.place(value)
        if places and place not in places:
            raise StudentFault(
                "returned", f"{title} returned {what} on {place}; its arguments are on "
                f"{', '.join(sorted(places))}"
            )  # fmt: skip
        try:
            return kind.take(value)
        except Exception as error:
            raise StudentFault(
                "returned", f"{title} returned {what} of {value.dtype}, which cannot be read: "
                f"{str(error)[:100]}"
            ) from error  # fmt: skip

    def call(*args: Any, **settings: Any) -> Any:
        arrays = [a for a in (*args, *settings.values()) if isinstance(a, np.ndarray)]
        lent: list[tuple[Any, Any]] = []

        def lend(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: lend(inner) for key, inner in value.items()}
            if not isinstance(value, np.ndarray):
                return value
            lent.append((value, kind.lend(value)))
            return lent[-1][1]

        with kind.setting(arrays):
            result = function(*map(lend, args), **{n: lend(v) for n, v in settings.items()})
        for array, foreign in lent:
            _give_back(array, foreign, kind, title)
        places = {kind.place(foreign) for _, foreign in lent}
        if not isinstance(result, (tuple, list)):
            return taken(result, 0, places)
        return tuple(
            value if number in opaque else taken(value, number, places)
            for number, value in enumerate(result)
        )

    return call


def _give_back(array: Any, foreign: Any, kind: ArrayKind, title: str) -> None:
    """Change an array as the function changed what it was lent for it."""
    if foreign is array:
        return
    now = kind.take(foreign)
    if now.shape == array.shape and np.array_equal(now, array, equal_nan=now.dtype.kind == "f"):
        return
    if now.shape != array.shape or not array.flags.writeable:
        raise StudentFault("changed", f"{title} changes an array that was only lent to it")
    array[...] = now
