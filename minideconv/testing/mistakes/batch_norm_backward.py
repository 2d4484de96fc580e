"""Wrong versions of batch_norm_backward's dx."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minideconv.testing.mistakes.bank import (
    Mistake,
    Right,
    given,
    mistake,
    register,
    right_values,
    slip,
    twist,
)
from minideconv.testing.mistakes.batch_norm import ALL, Parts
from minideconv.testing.mistakes.parts import zeros_twist
from minideconv.testing.operations import OPERATIONS
from minideconv.testing.operations.batch_norm import ARGUMENTS, next_batch
from minideconv.testing.operations.operation import Array, Arrays, Functions, Settings

__all__ = ["OPERATION", "assembled", "differentiates", "mean", "total"]

OPERATION = "batch_norm_backward"

Wrong = Callable[[Parts, Array], Any]


def differentiates(output: str, name: str, sentence: str) -> Callable[[Wrong], None]:
    """Register ``wrong(parts, dy)``, which returns an output."""

    def register(wrong: Wrong) -> None:
        @mistake(OPERATION, output, name, sentence)
        def _gradient(arrays: Arrays, settings: Settings, right: Right) -> Array:
            with np.errstate(all="ignore"):
                result = wrong(Parts(arrays, settings), given(arrays, "dy").astype(np.float64))
            return np.asarray(result)

    return register


def mean(values: Array) -> Array:
    """Mean over a channel."""
    return values.mean(ALL, keepdims=True)


def total(values: Array) -> Array:
    """Sum over a channel, (C,)."""
    return values.sum(ALL)


def assembled(p: Parts, dy: Array, **other: Any) -> Array:
    """Return dx from its parts, any of which may be another."""
    xh = other.get("xh", p.xh)
    scale = other.get("scale", p.weight / p.std)
    first = other.get("first", mean(dy))
    second = other.get("second", xh * mean(dy * xh))
    return np.asarray(scale * (dy - first - second))


# dx -----------------------------------------------------------------------------------------


def other_mean(name: str, sentence: str, change: Callable[[Parts, Array], Any]) -> None:
    """Register ``change(parts, mean of dy)``, which stands for mean(dy).

    It is made with the result, so that it is recognised beside mistakes in the other term.
    """

    @twist(OPERATION, "dx", name, sentence)
    def _other(result: Array, arrays: Arrays, settings: Settings) -> Array:
        p, right = Parts(arrays, settings), mean(given(arrays, "dy").astype(np.float64))
        with np.errstate(all="ignore"):
            return np.asarray(result + p.weight / p.std * (right - change(p, right)))


other_mean("gradient through the mean left out", "The mean depends on x, too: - mean(dy) is "
           "missing.", lambda p, right: 0.0)  # fmt: skip
other_mean("mean's gradient of the wrong sign", "+ mean(dy); it is - mean(dy).",
           lambda p, right: -right)  # fmt: skip
other_mean("sum of dy in place of its mean", "sum(dy) is not divided by M.",
           lambda p, right: right * p.count)  # fmt: skip
for _what, _letter in (("images", "N"), ("pixels", "H W")):
    other_mean(f"sum of dy divided by the number of {_what}", f"sum(dy) is divided by {_letter}; a "
               "channel has M = N H W values.",
               lambda p, right, what=_what: right * (  # type: ignore[misc]
                   p.count / len(p.x) if what == "images" else len(p.x)))  # fmt: skip
for _power, _name in ((1, "not divided"), (-1, "divided twice")):
    other_mean(f"mean's gradient {_name} by the standard deviation",
               "dy is divided by sqrt(var + eps), and so is mean(dy): once.",
               lambda p, right, power=_power: right * p.std**power)  # type: ignore[misc]  # fmt: skip


@differentiates("dx", "gradient through the variance left out", "The variance depends on x, too: "
                "- xh mean(dy xh) is missing.")  # fmt: skip
def _no_variance(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, second=0.0)


@differentiates("dx", "gradient through mean and variance left out", "Mean and variance are taken "
                "for constants, as they are in evaluation; they depend on x.")  # fmt: skip
def _evaluation(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, first=0.0, second=0.0)


@differentiates("dx", "gradient through the running statistics", "Mean and variance are taken for "
                "the running ones; in training they are the batch's.")  # fmt: skip
def _running(p: Parts, dy: Array) -> Array:
    return p.weight / np.sqrt(p.running_var + p.eps) * dy


for _updated in (True, False):
    for _all in (True, False):

        @differentiates("dx", "running variance in place of the batch's", "The gradient is divided "
                        "by the root of the running variance; in training it is the "
                        "batch's.")  # fmt: skip
        def _running_variance(
            p: Parts, dy: Array, updated: bool = _updated, everywhere: bool = _all
        ) -> Array:
            follows = (1 - p.momentum) * p.running_var + p.momentum * p.unbiased
            std = np.sqrt((follows if updated else p.running_var) + p.eps)
            xh = p.centred / std if everywhere else p.xh
            return assembled(p, dy, scale=p.weight / std, xh=xh)


# Such mistakes are recognised beside others, too: they are made in the arguments.


def weighted(name: str, sentence: str, change: Callable[[Array, Array], Array]) -> None:
    """Register ``change(weight, bias)``, which stands for the weight."""

    @slip(OPERATION, "dx", name, sentence)
    def _other_weight(arrays: Arrays, settings: Settings) -> None:
        arrays["weight"] = change(given(arrays, "weight"), given(arrays, "bias"))


weighted("weight left out", "The gradient is not multiplied by weight.",
         lambda weight, bias: np.ones_like(weight))  # fmt: skip
weighted("weight used twice", "The gradient is multiplied by weight twice.",
         lambda weight, bias: weight**2)  # fmt: skip
weighted("bias in place of the weight", "The gradient is multiplied by bias; it is multiplied by "
         "weight.", lambda weight, bias: bias)  # fmt: skip
weighted("divided by the weight", "The gradient is divided by weight; it is multiplied by it.",
         lambda weight, bias: 1 / weight)  # fmt: skip


def _parts_of_weight(name: str, sentence: str, first: bool, second: bool) -> None:
    @differentiates("dx", name, sentence)
    def _unweighted(p: Parts, dy: Array) -> Array:
        slope = p.weight * dy
        one = mean(dy if first else slope)
        two = p.xh * mean((dy if second else slope) * p.xh)
        return np.asarray((slope - one - two) / p.std)


_parts_of_weight("weight left out of both means", "dy is multiplied by weight, mean(dy) and "
                 "mean(dy xh) are not; all three are.", True, True)  # fmt: skip
_parts_of_weight("weight left out of mean(dy)", "dy and mean(dy xh) are multiplied by weight, "
                 "mean(dy) is not; all three are.", True, False)  # fmt: skip
_parts_of_weight("weight left out of mean(dy xh)", "dy and mean(dy) are multiplied by weight, "
                 "mean(dy xh) is not; all three are.", False, True)  # fmt: skip


def scaled(name: str, sentence: str, factor: Callable[[Parts], Any]) -> None:
    """Register a wrong factor of the whole gradient."""

    @twist(OPERATION, "dx", name, sentence)
    def _times(result: Array, arrays: Arrays, settings: Settings) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(result * factor(Parts(arrays, settings)))


scaled("not divided by the standard deviation", "The factor 1 / sqrt(var + eps) is missing.",
       lambda p: p.std)  # fmt: skip
scaled("divided by the variance", "The factor is weight / (var + eps); it is weight / sqrt(var + "
       "eps).", lambda p: 1 / p.std)  # fmt: skip
scaled("multiplied by the standard deviation", "The factor is weight sqrt(var + eps); it is "
       "weight / sqrt(var + eps).", lambda p: p.std**2)  # fmt: skip
scaled("dx not divided by M", "M dy - sum(dy) - xh sum(dy xh) is the gradient times M.",
       lambda p: p.count)  # fmt: skip
scaled("dx divided by M twice", "The gradient is divided by M once more.",
       lambda p: 1 / p.count)  # fmt: skip
scaled("divided by the number of images", "The gradient is divided by N once more.",
       lambda p: 1 / len(p.x))  # fmt: skip
scaled("wrong sign", "dx is -1 times what it must be.", lambda p: -1)
zeros_twist(OPERATION, "dx")


@differentiates("dx", "variance's gradient of the wrong sign", "+ xh mean(dy xh); it is "
                "- xh mean(dy xh).")  # fmt: skip
def _sign_second(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, second=-p.xh * mean(dy * p.xh))


@differentiates("dx", "mean's and variance's gradients of the wrong sign", "+ mean(dy) + "
                "xh mean(dy xh); both are subtracted.")  # fmt: skip
def _sign_both(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, first=-mean(dy), second=-p.xh * mean(dy * p.xh))


@differentiates("dx", "variance's gradient twice", "The 2 of the square is left when the 1/2 of "
                "the root was cancelled.")  # fmt: skip
def _twice(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, second=2 * p.xh * mean(dy * p.xh))


@differentiates("dx", "variance's gradient halved", "The 1/2 of the root is used, the 2 of the "
                "square is not.")  # fmt: skip
def _half(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, second=p.xh * mean(dy * p.xh) / 2)


@differentiates("dx", "variance's gradient not multiplied by xh", "- mean(dy xh); it is "
                "- xh mean(dy xh).")  # fmt: skip
def _without_xh(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, second=mean(dy * p.xh))


@differentiates("dx", "variance's gradient with mean(dy) in place of mean(dy xh)", "- xh mean(dy); "
                "it is - xh mean(dy xh).")  # fmt: skip
def _mean_of_dy(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, second=p.xh * mean(dy))


for _inner, _outer in ((True, True), (True, False), (False, True)):

    @differentiates("dx", "x in place of the normalised x", "x stands for xh in - xh "
                    "mean(dy xh).")  # fmt: skip
    def _plain_x(p: Parts, dy: Array, inner: bool = _inner, outer: bool = _outer) -> Array:
        second = (p.x if outer else p.xh) * mean(dy * (p.x if inner else p.xh))
        return assembled(p, dy, second=second)


for _power, _factor in (
    (2, "1 / (var + eps)"), (1, "1 / sqrt(var + eps)"), (-1, ""), (-2, ""), (3, "")
):  # fmt: skip

    @differentiates("dx",
                    f"variance's gradient without its {_factor}" if _factor else
                    "wrong power of the variance in its gradient",
                    "The power of (var + eps) is wrong in its gradient, or x - mean stands for "
                    "xh: the term is (x - mean) mean(dy (x - mean)) / (var + eps).")  # fmt: skip
    def _power_of_variance(p: Parts, dy: Array, power: int = _power) -> Array:
        return assembled(p, dy, second=p.xh * mean(dy * p.xh) * p.std**power)


@differentiates("dx", "y in place of the normalised x", "- y mean(dy y), or the forward wrote y "
                "into the array that the cache holds as xh; it is - xh mean(dy xh).")  # fmt: skip
def _plain_y(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, xh=p.weight * p.xh + p.bias)


@differentiates("dx", "dy returned", "The gradient is passed on unchanged.")
def _passed(p: Parts, dy: Array) -> Array:
    return dy


@differentiates("dx", "normalised dy", "dy is normalised as x is; its gradient is "
                "weight / sqrt(var + eps) (dy - mean(dy) - xh mean(dy xh)).")  # fmt: skip
def _normalised(p: Parts, dy: Array) -> Array:
    return p.weight * (dy - mean(dy)) / np.sqrt(dy.var(ALL, keepdims=True) + p.eps)


# The cache ----------------------------------------------------------------------------------

LATEST = ("cache of the latest forward", "What the latest forward left in a global variable is "
          "used, not the cache that is given: another forward came in between.")  # fmt: skip


_LATEST: list[tuple[Arrays, Settings]] = []  # what such code has as a global variable


@dataclass(frozen=True)
class CacheMistake(Mistake):
    """The forward puts its cache into a variable, which the backward reads."""

    def functions(self) -> Functions:
        """Return both."""
        operation = OPERATIONS[OPERATION]

        def batch_norm(*args: Array, **settings: Any) -> tuple[Array, Any]:
            arrays: Arrays = {r: a.copy() for r, a in zip(ARGUMENTS, args, strict=True)}
            _LATEST[:] = [(arrays, settings)]
            y = OPERATIONS["batch_norm"].oracle({**arrays}, settings)["y"].value
            return y.astype(args[0].dtype), _LATEST[0]

        def batch_norm_backward(dy: Array, cache: Any) -> tuple[Array, ...]:
            right, wrong = (
                operation.oracle({"dy": dy, **arrays}, settings) for arrays, settings in
                (cache, _LATEST[0])
            )  # fmt: skip
            found = ((wrong if o == self.output else right)[o] for o in operation.outputs)
            return tuple(expected.value.astype(dy.dtype) for expected in found)

        return {"batch_norm": batch_norm, "batch_norm_backward": batch_norm_backward}


def cached(output: str) -> None:
    """Register the use of the cache of a forward that came in between."""
    right = right_values(OPERATION, output)

    def change(arrays: Arrays, settings: Settings) -> tuple[Arrays, Settings]:
        return (next_batch(arrays) if settings.get("between") else arrays), settings

    register(CacheMistake(OPERATION, output, *LATEST, lambda a, s: right(*change(a, s)), change))


cached("dx")
cached("dweight")
