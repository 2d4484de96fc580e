"""Which numbers among an operation's options follow the size of the image, and how: `fit`.

A network computes such numbers in Python, from the shapes of its tensors, where no trace sees it.
So the forward is traced for several sizes. A number that is the same in all is a constant. One that
changes is looked for among the lengths of the arrays computed before: if, for one of them,

    number = length + constant          in every trace,

that is the rule; and if there is none, ``number = factor * length`` with a whole factor, as of
channels that become pixels. No other rule is tried; where none fits, the size cannot be left open.
"""

from __future__ import annotations

from collections.abc import Sequence

from minideconv.nn.graph import Length, Size, Value

__all__ = ["fit", "fit_shape", "fit_stop"]


def fit(numbers: Sequence[int], values: Sequence[Value]) -> Size | None:
    """Return the constant or the `Length` that gives a number in every trace; None if none does.

    Parameters
    ----------
    numbers : sequence of int
        The number, for each trace.
    values : sequence of Value
        The arrays that there are by then; of several that fit, the first one is taken.

    Examples
    --------
    >>> image = Value(((1, 3, 32, 32), (1, 3, 45, 38)), "float32")
    >>> fit([51, 64], [image]) == (image, 2, 19, 1), fit([64, 90], [image]) == (image, 2, 0, 2)
    (True, True)
    >>> fit([7, 7], [image]), fit([4, 5], [image])
    (7, None)
    """
    if len(set(numbers)) == 1:
        return numbers[0]
    axes = [(value, axis) for value in values for axis in range(value.ndim)]
    for value, axis in axes:
        plus = {n - shape[axis] for n, shape in zip(numbers, value.shapes, strict=True)}
        if len(plus) == 1:
            return Length(value, axis, plus.pop())
    for value, axis in axes:
        pairs = list(zip(numbers, (shape[axis] for shape in value.shapes), strict=True))
        if all(length and n % length == 0 for n, length in pairs):
            times = {n // length for n, length in pairs}
            if len(times) == 1:
                return Length(value, axis, 0, times.pop())
    return None


def fit_shape(shapes: Sequence[Sequence[int]], values: Sequence[Value]) -> tuple[Size, ...] | None:
    """Return the shape that an array is brought into; one length that follows no rule is -1.

    That is the one that takes what is left, as a product of other lengths does.

    Examples
    --------
    >>> image = Value(((1, 3, 8, 9), (2, 3, 7, 9)), "float32")
    >>> fit_shape([(1, 24, 9), (1, 42, 9)], [image])  # N C H, W
    (1, -1, 9)
    """
    found = [fit(numbers, values) for numbers in zip(*shapes, strict=True)]
    if found.count(None) > 1:
        return None
    return tuple(-1 if size is None else size for size in found)


def fit_stop(
    stops: Sequence[int], lengths: Sequence[int], values: Sequence[Value]
) -> Size | bool | None:
    """Return where a slice stops: a number, a `Length`, or True for the end of the axis.

    A stop behind the end means the end. So where ``min(m, n)`` pixels are taken from an axis of
    length m, which of the two it was may differ between the traces, and n fits all of them.

    Parameters
    ----------
    stops, lengths : sequence of int
        For each trace the stop, at most the length of the axis, and that.
    values : sequence of Value
        As for `fit`.
    """
    if all(stop == length for stop, length in zip(stops, lengths, strict=True)):
        return True
    found = fit(stops, values)
    if found is not None:
        return found
    inside = [i for i, stop in enumerate(stops) if stop < lengths[i]]
    for value in values:
        for axis in range(value.ndim):
            behind = [stop - shape[axis] for stop, shape in zip(stops, value.shapes, strict=True)]
            plus = behind[inside[0]]
            # Inside the axis the rule is exact; at its end the rule may lead further.
            if all(plus == b if i in inside else plus >= b for i, b in enumerate(behind)):
                return Length(value, axis, plus)
    return None
