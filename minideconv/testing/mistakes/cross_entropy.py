"""Wrong versions of the cross entropy and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from minideconv.testing.mistakes.bank import Mistake, Right, given, mistake, register, vary
from minideconv.testing.mistakes.network import Placed, put
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

OP = "cross_entropy"
OUTPUTS = ("loss", "dscores")
Formula = Callable[[Array, Array], Array]
"""``formula(scores, right)``: an output; `right` is 1 at the right class, else 0."""


def _arguments(arrays: Arrays) -> tuple[Array, Array]:
    scores, labels = given(arrays, "scores"), given(arrays, "labels")
    right = labels[:, None] == np.arange(scores.shape[1])[:, None, None]
    return scores, right.astype(scores.dtype)


def _put(output: str, name: str, sentence: str, *formulas: Formula) -> None:
    def way(formula: Formula, arrays: Arrays, settings: Settings) -> Array:
        return np.asarray(formula(*_arguments(arrays)))

    first, *others = (partial(way, formula) for formula in formulas)
    register(Mistake(OP, output, name, sentence, first))
    vary(OP, output, name, *others)


def _softmax(scores: Array, axis: int | tuple[int, ...] = 1, off: Array | float = 0.0) -> Array:
    """Return the probabilities, with some number taken off the scores first."""
    powers = np.exp(scores - off)
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


def _p(scores: Array) -> Array:
    return _softmax(scores, off=scores.max(axis=1, keepdims=True))


def _pixels(right: Array) -> int:
    return right.size // right.shape[1]


def _mean_log(p: Array, right: Array) -> Array:
    """Return the mean over the pixels of -log p at the right class."""
    classes = np.moveaxis(p, 1, -1)[np.moveaxis(right, 1, -1) > 0]
    return np.asarray(-np.log(classes).sum() / _pixels(right))


def _mean_off(p: Array, right: Array) -> Array:
    return (p - right) / _pixels(right)


# The division -------------------------------------------------------------------------------


@mistake(OP, "loss", "summed over the pixels",
         "The loss is the sum over all pixels; it is their mean.")  # fmt: skip
def _summed(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return right(arrays, settings) * given(arrays, "labels").size


@mistake(OP, "loss", "of the wrong sign",
         "The logarithms of probabilities are negative; the loss is minus their mean.")  # fmt: skip
def _negative(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return -right(arrays, settings)


@mistake(OP, "dscores", "of the wrong sign",
         "The gradient is p for every class, less 1 for the right one, and not the other way "
         "round.")  # fmt: skip
def _opposite(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return -right(arrays, settings)


@mistake(OP, "dscores", "not divided by the number of pixels",
         "The loss is a mean over the pixels, so its gradient is divided by their "
         "number.")  # fmt: skip
def _not_divided(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return right(arrays, settings) * given(arrays, "labels").size


@mistake(OP, "dscores", "gradient divided by the pixels twice",
         "The gradient of the mean is divided by the number of pixels once.")  # fmt: skip
def _divided_twice(arrays: Arrays, settings: Settings, right: Right) -> Array:
    return right(arrays, settings) / given(arrays, "labels").size


def _counted(name: str, sentence: str, count: Callable[[tuple[int, ...]], float]) -> None:
    """Register another number that the sum over the pixels is divided by."""
    for output in OUTPUTS:

        @mistake(OP, output, name, f"{sentence}; both are divided by the number of pixels, "
                 "N·H·W.")  # fmt: skip
        def _other(arrays: Arrays, settings: Settings, right: Right) -> Array:
            n, _, h, w = given(arrays, "scores").shape
            return right(arrays, settings) * (n * h * w / count(given(arrays, "scores").shape))


_counted("divided by the number of images, not of pixels", "The sum is divided by N",
         lambda shape: shape[0])  # fmt: skip
_counted("divided by the pixels of one image", "The sum is divided by H·W",
         lambda shape: shape[2] * shape[3])  # fmt: skip
_counted("divided by the number of scores", "The mean is taken over the classes, too",
         lambda shape: float(np.prod(shape)))  # fmt: skip
_counted("divided by the number of rows and images", "The sum is divided by N·H",
         lambda shape: shape[0] * shape[2])  # fmt: skip
_counted("divided by the number of classes", "The sum is divided by K",
         lambda shape: shape[1])  # fmt: skip


# The softmax --------------------------------------------------------------------------------

for _name, _axis in (
    ("softmax over the columns", 3),
    ("softmax over the rows", 2),
    ("softmax over the images", 0),
    ("softmax over the pixels", (2, 3)),
    ("softmax over the classes and the pixels", (1, 2, 3)),
    ("softmax over all scores", (0, 1, 2, 3)),
):
    for _output, _formula in (("loss", _mean_log), ("dscores", _mean_off)):
        _put(_output, _name, "The probabilities of a pixel's classes add up to 1: the sum runs "
             "over axis 1.",
             lambda s, right, axis=_axis, formula=_formula: formula(
                 _softmax(s, axis, s.max(axis=axis, keepdims=True)), right))  # type: ignore[misc]  # fmt: skip


def _both(powers: Callable[[Array], Array], loss: Formula | None = None) -> Placed:
    """Return what makes both outputs wrong: other probabilities."""

    def outputs(arrays: Arrays, settings: Settings) -> dict[str, Array]:
        scores, right = _arguments(arrays)
        p = powers(scores)
        return {
            "loss": _mean_log(p, right) if loss is None else loss(scores, right),
            "dscores": _mean_off(p, right),
        }

    return Placed("loss", "", outputs)


def _multiplied(powers: Callable[[Array], Array]) -> Formula:
    """Return the loss as a sum over all classes, of 0 times infinity where that is."""
    return lambda s, right: np.asarray(-(np.log(powers(s)) * right).sum() / _pixels(right))


def _log_of_sum(scores: Array, right: Array) -> Array:
    logs = np.log(np.exp(scores).sum(1)) - (scores * right).sum(1)
    return np.asarray(logs.sum() / _pixels(right))


put(OP, "loss", "largest score not taken off",
    "exp overflows for large scores: take the largest score of each pixel off all of its scores "
    "first.",
    [_both(_softmax, loss) for loss in (None, _multiplied(_softmax), _log_of_sum)])  # fmt: skip


def _less_largest(axis: tuple[int, ...]) -> Callable[[Array], Array]:
    return lambda s: _softmax(s, off=s.max(axis=axis, keepdims=True))


put(OP, "loss", "largest score of several pixels taken off",
    "Where a pixel's scores are all far below the largest of other pixels, its exp is 0 for every "
    "class: take each pixel's own largest score off.",
    [
        _both(powers, loss)
        for powers in map(_less_largest, ((0, 1, 2, 3), (1, 2, 3), (1, 2), (1, 3), (0, 1)))
        for loss in (None, _multiplied(powers))
    ])  # fmt: skip
_put("loss", "logarithm of p, which is 0 for small scores",
     "The softmax of a score far below the largest is 0 in rounding, and its logarithm infinite: "
     "take score - largest - log(sum of exp).",
     lambda s, right: _mean_log(_p(s), right),
     _multiplied(_p))  # fmt: skip

TINY = tuple(10.0**-n for n in range(3, 17)) + tuple(5 * 10.0**-n for n in (8, 9, 10, 12))
_put("loss", "a small number in the logarithm",
     "log(p + epsilon), or that of p limited to epsilon, is another loss, never larger than "
     "-log(epsilon): take score - largest - log(sum of exp), which needs none.",
     *(lambda s, right, tiny=tiny: _mean_log(_p(s) + s.dtype.type(tiny), right)
       for tiny in TINY),
     *(lambda s, right, tiny=tiny, top=top: _mean_log(
         np.clip(_p(s), s.dtype.type(tiny), s.dtype.type(1 - tiny if top else 1)), right)
       for tiny in TINY for top in (False, True)))  # fmt: skip


# The formulas -------------------------------------------------------------------------------


@mistake(OP, "dscores", "1 not taken off at the right class",
         "The gradient is p for every class; it is p - 1 for the right one.")  # fmt: skip
def _only_p(arrays: Arrays, settings: Settings, right: Right) -> Array:
    labels = given(arrays, "labels")
    gradient = right(arrays, settings)
    classes = np.arange(gradient.shape[1])[:, None, None]
    return gradient + (labels[:, None] == classes) / labels.size


def _at_each(axes: tuple[int, ...]) -> Formula:
    """Take 1 off at the classes that occur along these axes, for every pixel."""
    return lambda s, right: (_p(s) - right.any(axis=axes, keepdims=True)) / _pixels(right)


_put("dscores", "1 taken off at every pixel for every label",
     "p[:, labels] -= 1 takes 1 off in all pixels for each class that occurs; each pixel has its "
     "own class: p[np.arange(P), labels].", _at_each((0, 2, 3)), _at_each((2, 3)))  # fmt: skip
_put("dscores", "multiplied by p once more",
     "The gradient is p - 1 at the right class and p elsewhere; the slope of the softmax is in it "
     "already.",
     lambda s, right: _p(s) * _mean_off(_p(s), right),
     lambda s, right: _p(s) * (1 - _p(s)) * _mean_off(_p(s), right))  # fmt: skip
_put("dscores", "only p divided by the number of pixels",
     "The 1 of the right class is divided by the number of pixels, too: (p - right) / P.",
     lambda s, right: _p(s) / _pixels(right) - right)  # fmt: skip
_put("dscores", "only the 1 divided by the number of pixels",
     "p is divided by the number of pixels, too: (p - right) / P.",
     lambda s, right: _p(s) - right / _pixels(right))  # fmt: skip
_put("dscores", "only at the right class",
     "The gradient of the other classes is p / P; it is left 0.",
     lambda s, right: right * _mean_off(_p(s), right))  # fmt: skip
_put("dscores", "scores in place of the probabilities",
     "The gradient is p - 1 at the right class, with the softmax p of the scores.",
     _mean_off)  # fmt: skip
_put("dscores", "gradient of p in place of that of the logarithm",
     "The gradient is -1 / p at the right class: that of the loss by p, and not by the scores.",
     lambda s, right: -right / _p(s) / _pixels(right))  # fmt: skip
_put("loss", "p in place of its logarithm",
     "The loss is minus the mean of log p at the right class.",
     lambda s, right: np.asarray(-(_p(s) * right).sum() / _pixels(right)),
     lambda s, right: np.asarray(1 - (_p(s) * right).sum() / _pixels(right)))  # fmt: skip
_put("loss", "logarithm to another base",
     "The loss is the natural logarithm, np.log.",
     lambda s, right: _mean_log(_p(s), right) / np.log(2),
     lambda s, right: _mean_log(_p(s), right) / np.log(10))  # fmt: skip
_put("loss", "scores in place of the logarithms of p",
     "The loss is minus the mean of score - log(sum of exp), and not of the score.",
     lambda s, right: np.asarray(-(s * right).sum() / _pixels(right)))  # fmt: skip
_put("loss", "the largest p in place of the right class's",
     "The loss is minus the mean of log p of the class that the label says.",
     lambda s, right: np.asarray(-np.log(_p(s).max(1)).mean()))  # fmt: skip
_put("loss", "the other classes counted, too",
     "The loss is minus the mean of log p of the right class; log(1 - p) of the others belongs to "
     "another one.",
     lambda s, right: np.asarray(-(np.log(_p(s)) * right + np.log(1 - _p(s)) * (1 - right)).sum()
                                 / _pixels(right)),
     lambda s, right: np.asarray(-np.log(_p(s)).sum() / _pixels(right)))  # fmt: skip
