"""What a wrong output does, for mistakes that no entry of the bank explains.

Every statement is a yes or no question about one result beside the right one, or has no answer
there (where there is one row, no row is the bottom one). It is made only if the answer is yes on
every wrong result, and more than once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import isclose

import numpy as np

from minideconv.testing.operations.operation import Array

__all__ = ["behaviour"]

Pairs = Sequence[tuple[Array, Array]]
Question = Callable[[Array, Array], bool | None]

_AXES = ("image", "channel", "row", "column")
_WHOLE = ("not finite", "all zeros")
"""After these there is nothing more to say."""
_SUBJECTS = ("image", "channel", "row", "column", "border", "times what", "divided")


def behaviour(pairs: Pairs) -> list[str]:
    """Return in words how results relate to the right ones, most telling first; two at most.

    Parameters
    ----------
    pairs : sequence of (ndarray, ndarray)
        (result, right result), wrong ones only.

    Examples
    --------
    >>> wrong = [(np.array([[2.0, 4.0]]), np.array([[1.0, 2.0]]))] * 2
    >>> behaviour(wrong)
    ['2 times what it must be']
    """
    shaped = [(got, want) for got, want in pairs if got.shape == want.shape]
    other = [(got, want) for got, want in pairs if got.shape != want.shape]
    words = _shapes(other, some=bool(shaped)) if other else []
    if shaped:
        with np.errstate(invalid="ignore"):
            words += list(_statements(shaped))
    return words[:2]


def _statements(pairs: Pairs) -> Iterator[str]:
    """Yield what holds, once for each subject."""
    said: set[str] = set()
    for statement, question in _questions(pairs):
        subject = next((a for a in _SUBJECTS if a in statement), statement)
        if subject not in said and _holds(question, pairs):
            said.add(subject)
            yield statement
            if statement in _WHOLE:
                return


def _holds(question: Question, pairs: Pairs) -> bool:
    answers = [question(got, want) for got, want in pairs]
    known = [a for a in answers if a is not None]
    return len(known) >= min(2, len(pairs)) and all(known)


# Shapes -----------------------------------------------------------------------------------------


def _shapes(pairs: Pairs, some: bool) -> list[str]:
    """Say what all wrong shapes have in common."""
    always = "where its shape is wrong, " if some else ""
    axes = {(got.ndim, want.ndim) for got, want in pairs}
    if len(axes) > 1 or any(a != b for a, b in axes):
        found = {a for a, _ in axes}
        must = sorted({b for _, b in axes})
        count = (
            f"{found.pop()} axes" if len(found) == 1
            else "too few axes" if all(a < b for a, b in axes)
            else "too many axes" if all(a > b for a, b in axes)
            else "a wrong number of axes"
        )  # fmt: skip
        return [f"{always}it has {count}, must have {_or(must)}"]
    ndim = pairs[0][1].ndim
    for first in range(ndim):
        for second in range(first + 1, ndim):
            if all(_swap(w.shape, first, second) == g.shape for g, w in pairs):
                return [f"{always}axes {first} and {second} of its shape are interchanged"]
    differences = [[a - b for a, b in zip(g.shape, w.shape, strict=True)] for g, w in pairs]
    words = []
    for axis in range(ndim):
        steps = {d[axis] for d in differences} - {0}
        name, plural = (
            (_AXES[axis], f"{_AXES[axis]}s")
            if ndim == 4
            else (f"entry along axis {axis}", f"entries along axis {axis}")
        )
        if len(steps) == 1:
            step = steps.pop()
            count = f"{abs(step)} {plural if abs(step) > 1 else name}"
            words.append(f"{count} too {'many' if step > 0 else 'few'}")
        elif steps and (min(steps) > 0 or max(steps) < 0):
            words.append(f"too {'many' if min(steps) > 0 else 'few'} {plural}")
        elif steps:
            words.append(f"a wrong number of {plural}")
    text = _joined(words, differences)
    if all(_overlap_right(g, w) for g, w in pairs):
        text = f"{text}; what both shapes hold is right"
    return [always + text]


def _joined(words: Sequence[str], differences: Sequence[Sequence[int]]) -> str:
    """Join what is wrong along each axis: both always, or one of them, or now one and now both."""
    axes = [sum(1 for step in d if step) for d in differences]
    if len(words) < 2 or min(axes) == len(words):
        return " and ".join(words)
    return " or ".join(words) + (", or both" if max(axes) > 1 and len(words) == 2 else "")


def _or(numbers: Sequence[int]) -> str:
    return " or ".join(map(str, numbers))


def _swap(shape: tuple[int, ...], first: int, second: int) -> tuple[int, ...]:
    new = list(shape)
    new[first], new[second] = new[second], new[first]
    return tuple(new)


def _overlap_right(got: Array, want: Array) -> bool:
    both = tuple(slice(0, min(a, b)) for a, b in zip(got.shape, want.shape, strict=True))
    return want[both].size > 0 and np.array_equal(got[both], want[both])


# Values -----------------------------------------------------------------------------------------


def _questions(pairs: Pairs) -> Iterator[tuple[str, Question]]:
    got, want = max(pairs, key=lambda pair: pair[1].size)
    yield "not finite", lambda g, w: not np.isfinite(g).all()
    yield "all zeros", lambda g, w: not g.any() if w.any() else None
    factor = _factor(got, want)
    if factor is not None:
        text = "of the wrong sign" if factor == -1 else f"{factor:.6g} times what it must be"
        yield text, lambda g, w: _is_times(g, w, factor)
    yield "divided by the number of images", lambda g, w: _divided(g, w, 0)
    yield "divided by the number of channels", lambda g, w: _divided(g, w, 1)
    yield "divided by the number of pixels", lambda g, w: _divided(g, w, 2, 3)
    if all(w.ndim == 4 for _, w in pairs):
        yield from _moves()
        yield from _places()
    yield "off by the same number everywhere", _same_number
    if all(w.ndim == 4 for _, w in pairs):
        yield "off by one number in each channel", _number_a_channel
        yield "the same in every image", lambda g, w: _same_along(g, w, 0)
        yield "the same in every channel", lambda g, w: _same_along(g, w, 1)
    yield "all its numbers are right, in wrong places", _in_other_places
    if all(w.dtype.kind == "f" for _, w in pairs):
        yield "of the right sign and never too large", _too_small
        yield "off by less than 1 %", _nearly


def _factor(got: Array, want: Array) -> float | None:
    norm = float(np.vdot(want, want))
    factor = float(np.vdot(want, got)) / norm if norm else 0.0
    if not np.isfinite(factor) or factor in (0.0, 1.0) or got.size < 2:
        return None
    return factor if np.allclose(got, factor * want, rtol=1e-9, atol=1e-12) else None


def _is_times(got: Array, want: Array, factor: float) -> bool | None:
    if not want.any():
        return None
    return bool(np.allclose(got, factor * want, rtol=1e-9, atol=1e-12))


def _divided(got: Array, want: Array, *axes: int) -> bool | None:
    if want.ndim != 4 or not want.any():
        return None
    count = int(np.prod([want.shape[a] for a in axes]))
    if count == 1:
        return None
    return bool(np.allclose(count * got, want, rtol=1e-9, atol=1e-12))


def _moves() -> Iterator[tuple[str, Question]]:
    for axis, names in ((2, ("down", "up")), (3, ("to the right", "to the left"))):
        for steps in (1, 2):
            pixels = "pixel" if steps == 1 else "pixels"
            for name, sign in zip(names, (1, -1), strict=True):
                yield f"moved {steps} {pixels} {name}", _moved(axis, steps * sign)
    yield "turned by 180 degrees", _turned((2, 3))
    yield "upside down", _turned((2,))
    yield "mirrored left to right", _turned((3,))
    yield "its images in the opposite order", _turned((0,))
    yield "its channels in the opposite order", _turned((1,))
    yield (
        "its rows and columns interchanged",
        lambda g, w: np.array_equal(g, w.swapaxes(2, 3)) if w.shape[2] == w.shape[3] > 1 else None,
    )


def _moved(axis: int, steps: int) -> Question:
    def question(got: Array, want: Array) -> bool | None:
        if want.shape[axis] <= abs(steps):
            return None
        ahead = [slice(None)] * 4
        behind = [slice(None)] * 4
        ahead[axis], behind[axis] = slice(abs(steps), None), slice(None, -abs(steps))
        here, there = (ahead, behind) if steps > 0 else (behind, ahead)
        return np.array_equal(got[tuple(here)], want[tuple(there)])

    return question


def _turned(axes: tuple[int, ...]) -> Question:
    def question(got: Array, want: Array) -> bool | None:
        if all(want.shape[a] == 1 for a in axes):
            return None
        return np.array_equal(got, np.flip(want, axes))

    return question


def _places() -> Iterator[tuple[str, Question]]:
    """Yield where the wrong entries are, if they are only in some place."""
    names = (
        ("image", "first", "last"), ("channel", "first", "last"),
        ("row", "top", "bottom"), ("column", "left", "right"),
    )  # fmt: skip
    for axis, (line, first, last) in enumerate(names):
        yield f"wrong only in the {first} {line}", _only(axis, lambda i, n: i == 0)
        yield f"wrong only in the {last} {line}", _only(axis, lambda i, n: i == n - 1)
        yield f"wrong only in {line}s other than the {first}", _only(axis, lambda i, n: i > 0)
        yield f"wrong only in {line}s other than the {last}", _only(axis, lambda i, n: i < n - 1)
    yield "wrong only in the bottom row and the right column", _corner(-1)
    yield "wrong only in the top row and the left column", _corner(0)
    yield "wrong only along the border", _border
    yield "right along the border, wrong inside", _inside


def _only(axis: int, where: Callable[[int, int], bool]) -> Question:
    def question(got: Array, want: Array) -> bool | None:
        count = want.shape[axis]
        if count < 2:
            return None
        lines = (got != want).any(axis=tuple(a for a in range(4) if a != axis))
        return not any(lines[i] and not where(i, count) for i in range(count))

    return question


def _corner(edge: int) -> Question:
    def question(got: Array, want: Array) -> bool | None:
        if min(want.shape[2:]) < 2:
            return None
        wrong = got != want
        wrong[:, :, edge] = False
        wrong[:, :, :, edge] = False
        return not wrong.any()

    return question


def _border(got: Array, want: Array) -> bool | None:
    inner = (got != want)[:, :, 1:-1, 1:-1]
    return not inner.any() if inner.size else None


def _inside(got: Array, want: Array) -> bool | None:
    wrong = got != want
    wrong[:, :, 1:-1, 1:-1] = False
    return not wrong.any() if min(want.shape[2:]) > 2 else None


def _same_number(got: Array, want: Array) -> bool | None:
    return bool(np.allclose(got - want, (got - want).flat[0])) if got.size > 1 else None


def _number_a_channel(got: Array, want: Array) -> bool | None:
    off = got - want
    if off[:, 0].size < 2:
        return None
    return bool(np.allclose(off, off[:1, :, :1, :1]))


def _too_small(got: Array, want: Array) -> bool | None:
    if not (want < 0).any():  # signs say nothing there
        return None
    return bool((got * want >= 0).all() and (np.abs(got) <= np.abs(want)).all())


def _nearly(got: Array, want: Array) -> bool | None:
    largest = float(np.max(np.abs(want), initial=0))
    return bool((np.abs(got - want) < 0.01 * largest).all()) if largest else None


def _same_along(got: Array, want: Array, axis: int) -> bool | None:
    if got.shape[axis] < 2:
        return None
    return bool((got == got.take([0], axis)).all())


def _in_other_places(got: Array, want: Array) -> bool | None:
    if want.size < 4:
        return None
    ours, right = np.sort(got, axis=None), np.sort(want, axis=None)
    return all(isclose(a, b, rel_tol=1e-9) for a, b in zip(ours, right, strict=True))
