"""Check what a learner wrote in a notebook: a wrong answer gets a hint, never the right one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

__all__ = ["check_answer"]


def check_answer(
    name: str,
    answer: Any,
    expected: Any,
    *,
    hints: Iterable[tuple[Callable[[Any], Any], str]] = (),
    hint: str = "",
) -> None:
    """Print whether an answer is right; if not, how far it is and a hint, but no right value.

    Parameters
    ----------
    name
        What the answer is called in the notebook: it begins the line that is printed.
    answer
        A number, a text, a tuple or an array; ``None`` while nothing is written yet.
    expected
        The right one, of any of these kinds. Integers and texts have to be equal, floating-point
        numbers equal to 1e-6 of their largest magnitude, or to 1e-12 where all of them are 0.
    hints
        For known wrong answers: pairs of a function, which is true for such an answer, and a
        sentence. The first that is true is printed. A function that raises is not true.
    hint
        The sentence for any other wrong answer.

    Examples
    --------
    >>> check_answer("size", None, 5)
    size: nothing written yet
    >>> check_answer("size", 5, 5)
    size: ✓
    >>> check_answer("size", 4, 5, hints=[(lambda n: n == 4, "Is there a window at both ends?")])
    size: ✗ not yet. Is there a window at both ends?
    >>> check_answer("row", [1, 2, 0], [1, 2, 3], hint="Look at the last tap.")
    row: ✗ not yet: 2 of 3 entries are right, the first wrong one is at 2, where you have 0. \
Look at the last tap.
    """
    if answer is None:
        print(f"{name}: nothing written yet")
        return
    fault = _fault(answer, expected)
    if fault is None:
        print(f"{name}: ✓")
        return
    said = next((sentence for holds, sentence in hints if _true(holds, answer)), hint)
    print(f"{name}: ✗ not yet{fault}. {said}".rstrip())


def _true(holds: Callable[[Any], Any], answer: Any) -> bool:
    """Return whether a condition holds for an answer that may be of any kind."""
    try:
        return bool(np.all(holds(answer)))
    except Exception:
        return False


def _fault(answer: Any, expected: Any) -> str | None:
    """Return what can be said of a wrong answer without the right one; None if it is right."""
    if isinstance(expected, str) or isinstance(answer, str):
        same = isinstance(expected, str) and isinstance(answer, str) and answer == expected
        return None if same else ""
    try:
        mine = np.asarray(answer)
        mine = mine if mine.dtype == bool else mine.astype(float)
    except (TypeError, ValueError):
        return f": it should be numbers, and is {type(answer).__name__}"
    right = np.asarray(expected)
    if mine.shape != right.shape:
        return f": its shape {_shape(mine)} is not the one asked for"
    exact = right.dtype.kind in "biu"
    scale = float(np.abs(right).max(initial=0.0)) if not exact else 0.0
    same = (mine == right) if exact else np.abs(mine - right) <= (1e-6 * scale or 1e-12)
    if bool(np.all(same)):
        return None
    if right.ndim == 0:
        return ""
    where = np.argwhere(~same)[0].tolist()
    place = str(where[0]) if len(where) == 1 else str(tuple(where))
    return (
        f": {int(same.sum())} of {right.size} entries are right, the first wrong one is at {place},"
        f" where you have {mine[tuple(where)]:g}"
    )


def _shape(array: np.ndarray) -> str:
    return str(array.shape) if array.ndim else "of a single number"
