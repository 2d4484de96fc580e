"""Wrong versions of batch_norm_backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minideconv.testing.mistakes.bank import Right, mistake
from minideconv.testing.mistakes.batch_norm import ALL, AXES, Parts
from minideconv.testing.operations.batch_norm import given
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank

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


@differentiates("dx", "gradient through the mean left out", "The mean depends on x, too: "
                "- mean(dy) is missing.")  # fmt: skip
def _no_mean(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, first=0.0)


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


@differentiates("dx", "weight left out", "The gradient is not multiplied by weight.")
def _no_weight(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, scale=1 / p.std)


@differentiates("dx", "weight used twice", "The gradient is multiplied by weight twice.")
def _weight_twice(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, scale=p.weight**2 / p.std)


@differentiates("dx", "bias in place of the weight", "The gradient is multiplied by bias; it is "
                "multiplied by weight.")  # fmt: skip
def _bias(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, scale=p.bias / p.std)


@differentiates("dx", "eps left out", "The divisor is sqrt(var); it is sqrt(var + eps).")
def _no_eps(p: Parts, dy: Array) -> Array:
    xh = p.centred / np.sqrt(p.var)
    return assembled(p, dy, xh=xh, scale=p.weight / np.sqrt(p.var))


@differentiates("dx", "eps outside of the root", "The divisor is sqrt(var) + eps; it is sqrt(var + "
                "eps).")  # fmt: skip
def _eps_outside(p: Parts, dy: Array) -> Array:
    std = np.sqrt(p.var) + p.eps
    return assembled(p, dy, xh=p.centred / std, scale=p.weight / std)


@differentiates("dx", "eps outside of the root", "The divisor is sqrt(var) + eps; it is sqrt(var + "
                "eps).")  # fmt: skip
def _eps_outside_and_derived(p: Parts, dy: Array) -> Array:
    deviation = np.sqrt(p.var)
    std = deviation + p.eps
    through = p.centred * mean(dy * p.centred) / (std * deviation)
    return p.weight / std * (dy - mean(dy) - through)


@differentiates("dx", "eps fixed at 1e-5", "The forward's eps is not used.")
def _eps_fixed(p: Parts, dy: Array) -> Array:
    std = np.sqrt(p.var + 1e-5)
    return assembled(p, dy, xh=p.centred / std, scale=p.weight / std)


@differentiates("dx", "not divided by the standard deviation", "The factor 1 / sqrt(var + eps) is "
                "missing.")  # fmt: skip
def _no_std(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, scale=p.weight)


@differentiates("dx", "divided by the variance", "The factor is weight / (var + eps); it is "
                "weight / sqrt(var + eps).")  # fmt: skip
def _by_variance(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, scale=p.weight / p.std**2)


@differentiates("dx", "multiplied by the standard deviation", "The factor is weight sqrt(var + "
                "eps); it is weight / sqrt(var + eps).")  # fmt: skip
def _times_std(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, scale=p.weight * p.std)


@differentiates("dx", "gradient of the unbiased variance", "The variance is taken with M - 1; the "
                "batch is normalised with M.")  # fmt: skip
def _unbiased(p: Parts, dy: Array) -> Array:
    std = np.sqrt(p.unbiased + p.eps)
    xh = p.centred / std
    second = xh * mean(dy * xh) * p.count / (p.count - 1)
    return assembled(p, dy, scale=p.weight / std, second=second)


@differentiates("dx", "gradient of the unbiased variance", "The variance is taken with M - 1; the "
                "batch is normalised with M.")  # fmt: skip
def _unbiased_std(p: Parts, dy: Array) -> Array:
    std = np.sqrt(p.unbiased + p.eps)
    return assembled(p, dy, scale=p.weight / std, xh=p.centred / std)


@differentiates("dx", "variance's gradient divided by M - 1", "mean(dy xh) divides by M - 1; it "
                "divides by M.")  # fmt: skip
def _second_less(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, second=p.xh * mean(dy * p.xh) * p.count / (p.count - 1))


@differentiates("dx", "means divided by M - 1", "mean(dy) and mean(dy xh) divide by M - 1; they "
                "divide by M.")  # fmt: skip
def _both_less(p: Parts, dy: Array) -> Array:
    more = p.count / (p.count - 1)
    return assembled(p, dy, first=mean(dy) * more, second=p.xh * mean(dy * p.xh) * more)


@differentiates("dx", "sums in place of means", "sum(dy) and sum(dy xh) are not divided by M.")
def _sums(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, first=mean(dy) * p.count, second=p.xh * mean(dy * p.xh) * p.count)


@differentiates("dx", "sum of dy in place of its mean", "sum(dy) is not divided by M.")
def _sum_first(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, first=mean(dy) * p.count)


@differentiates("dx", "sum of dy xh in place of its mean", "sum(dy xh) is not divided by M.")
def _sum_second(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, second=p.xh * mean(dy * p.xh) * p.count)


@differentiates("dx", "sums divided by the number of images", "The sums are divided by N; a "
                "channel has M = N H W values.")  # fmt: skip
def _by_images(p: Parts, dy: Array) -> Array:
    more = p.count / len(p.x)
    return assembled(p, dy, first=mean(dy) * more, second=p.xh * mean(dy * p.xh) * more)


@differentiates("dx", "dx not divided by M", "M dy - sum(dy) - xh sum(dy xh) is the gradient times "
                "M.")  # fmt: skip
def _times_count(p: Parts, dy: Array) -> Array:
    return assembled(p, dy) * p.count


@differentiates("dx", "dx divided by M twice", "The gradient is divided by M once more.")
def _by_count(p: Parts, dy: Array) -> Array:
    return assembled(p, dy) / p.count


@differentiates("dx", "variance's gradient of the wrong sign", "+ xh mean(dy xh); it is "
                "- xh mean(dy xh).")  # fmt: skip
def _sign_second(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, second=-p.xh * mean(dy * p.xh))


@differentiates("dx", "mean's gradient of the wrong sign", "+ mean(dy); it is - mean(dy).")
def _sign_first(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, first=-mean(dy))


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


@differentiates("dx", "x in place of the normalised x", "- x mean(dy x); it is "
                "- xh mean(dy xh).")  # fmt: skip
def _plain_x(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, second=p.x * mean(dy * p.x))


@differentiates("dx", "x - mean in place of the normalised x", "- (x - mean) mean(dy (x - mean)); "
                "it is - xh mean(dy xh).")  # fmt: skip
def _centred(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, second=p.centred * mean(dy * p.centred))


@differentiates("dx", "y in place of the normalised x", "- y mean(dy y); it is "
                "- xh mean(dy xh).")  # fmt: skip
def _plain_y(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, xh=p.weight * p.xh + p.bias)


def _over(name: str, sentence: str, axes: tuple[int, ...]) -> None:
    @differentiates("dx", name, sentence)
    def _wrong_axes(p: Parts, dy: Array) -> Array:
        x_mean, var = p.x.mean(axes, keepdims=True), p.x.var(axes, keepdims=True)
        std = np.sqrt(var + p.eps)
        xh = (p.x - x_mean) / std
        slope = dy * p.weight
        first = slope.mean(axes, keepdims=True)
        second = xh * (slope * xh).mean(axes, keepdims=True)
        return (slope - first - second) / std

    if name != "statistics over the channels" and "rows" not in name:

        @differentiates("dx", name.replace("statistics", "means of dy"),
                        "mean(dy) and mean(dy xh) are taken over other values than the forward's "
                        "mean; they are those of a channel in the whole batch.")  # fmt: skip
        def _wrong_means(p: Parts, dy: Array) -> Array:
            first = dy.mean(axes, keepdims=True)
            second = p.xh * (dy * p.xh).mean(axes, keepdims=True)
            return assembled(p, dy, first=first, second=second)


for _name, _sentence, _axes in AXES:
    _over(_name, _sentence, _axes)


@differentiates("dx", "dy returned", "The gradient is passed on unchanged.")
def _passed(p: Parts, dy: Array) -> Array:
    return dy


@differentiates("dx", "normalised dy", "dy is normalised as x is; its gradient is "
                "weight / sqrt(var + eps) (dy - mean(dy) - xh mean(dy xh)).")  # fmt: skip
def _normalised(p: Parts, dy: Array) -> Array:
    return p.weight * (dy - mean(dy)) / np.sqrt(dy.var(ALL, keepdims=True) + p.eps)


# dweight ------------------------------------------------------------------------------------


@differentiates("dweight", "dweight and dbias swapped", "dweight is sum(dy), and dbias sum(dy xh); "
                "it is the other way round.")  # fmt: skip
def _swapped(p: Parts, dy: Array) -> Array:
    return total(dy)


@differentiates("dweight", "x in place of the normalised x", "sum(dy x); it is sum(dy xh).")
def _weight_x(p: Parts, dy: Array) -> Array:
    return total(dy * p.x)


@differentiates("dweight", "x - mean in place of the normalised x", "sum(dy (x - mean)); it is "
                "sum(dy xh).")  # fmt: skip
def _weight_centred(p: Parts, dy: Array) -> Array:
    return total(dy * p.centred)


@differentiates("dweight", "y in place of the normalised x", "sum(dy y); it is sum(dy xh).")
def _weight_y(p: Parts, dy: Array) -> Array:
    return total(dy * (p.weight * p.xh + p.bias))


@differentiates("dweight", "weight in dweight", "sum(dy xh) weight; it is sum(dy xh).")
def _weight_times_weight(p: Parts, dy: Array) -> Array:
    return total(dy * p.xh * p.weight)


@differentiates("dweight", "eps left out", "xh is (x - mean) / sqrt(var); it is (x - mean) / "
                "sqrt(var + eps).")  # fmt: skip
def _weight_no_eps(p: Parts, dy: Array) -> Array:
    return total(dy * p.centred / np.sqrt(p.var))


@differentiates("dweight", "eps outside of the root", "xh is (x - mean) / (sqrt(var) + eps); it is "
                "(x - mean) / sqrt(var + eps).")  # fmt: skip
def _weight_eps_outside(p: Parts, dy: Array) -> Array:
    return total(dy * p.centred / (np.sqrt(p.var) + p.eps))


@differentiates("dweight", "eps fixed at 1e-5", "The forward's eps is not used.")
def _weight_eps_fixed(p: Parts, dy: Array) -> Array:
    return total(dy * p.centred / np.sqrt(p.var + 1e-5))


@differentiates("dweight", "normalised x of the unbiased variance", "The variance is taken with "
                "M - 1; the batch is normalised with M.")  # fmt: skip
def _weight_unbiased(p: Parts, dy: Array) -> Array:
    return total(dy * p.centred / np.sqrt(p.unbiased + p.eps))


@differentiates("dweight", "divided by the standard deviation twice", "sum(dy xh) / sqrt(var + "
                "eps); it is sum(dy xh).")  # fmt: skip
def _weight_twice(p: Parts, dy: Array) -> Array:
    return total(dy * p.xh / p.std)


@differentiates("dweight", "sum of the squares", "sum(dy xh^2); it is sum(dy xh).")
def _weight_squares(p: Parts, dy: Array) -> Array:
    return total(dy * p.xh**2)


# dbias --------------------------------------------------------------------------------------


@differentiates("dbias", "dweight and dbias swapped", "dweight is sum(dy), and dbias sum(dy xh); "
                "it is the other way round.")  # fmt: skip
def _bias_swapped(p: Parts, dy: Array) -> Array:
    return total(dy * p.xh)


@differentiates("dbias", "weight in dbias", "sum(dy) weight; it is sum(dy).")
def _bias_times_weight(p: Parts, dy: Array) -> Array:
    return total(dy * p.weight)


@differentiates("dbias", "divided by the standard deviation", "sum(dy) / sqrt(var + eps); it is "
                "sum(dy).")  # fmt: skip
def _bias_by_std(p: Parts, dy: Array) -> Array:
    return total(dy / p.std)


@differentiates("dbias", "x in place of dy", "sum(x); it is sum(dy).")
def _bias_of_x(p: Parts, dy: Array) -> Array:
    return total(p.x)


# Both sums ----------------------------------------------------------------------------------


def both(name: str, weight: str, bias: str, how: Callable[[Array], Array]) -> None:
    """Register another way to sum for dweight and for dbias."""

    @differentiates("dweight", f"dweight {name}", weight)
    def _weight(p: Parts, dy: Array) -> Array:
        return how(dy * p.xh)

    @differentiates("dbias", f"dbias {name}", bias)
    def _bias(p: Parts, dy: Array) -> Array:
        return how(dy)


for _title, _said, _how in (
    ("averaged", "is a mean; it is a sum", lambda a: a.mean(ALL)),
    ("divided by the number of images", "is divided by N; it is a sum",
     lambda a: a.sum(ALL) / len(a)),
    ("summed over the batch only", "is summed over N; the axes are N, H and W: (0, 2, 3)",
     lambda a: a.sum(0)),
    ("not summed over the batch", "is summed over the pixels only; the axes are N, H and W: "
     "(0, 2, 3)", lambda a: a.sum((2, 3))),
    ("not summed over the columns", "is summed over N and H only; the axes are N, H and W: "
     "(0, 2, 3)", lambda a: a.sum((0, 2))),
    ("not summed over the rows", "is summed over N and W only; the axes are N, H and W: (0, 2, 3)",
     lambda a: a.sum((0, 3))),
    ("of all channels together", "is one sum over all channels; each has its own",
     lambda a: a.sum() * np.ones(a.shape[1])),
    ("of all channels together", "is one sum over all channels; each has its own",
     lambda a: a.sum()),
    ("summed over the axes (0, 1, 2)", "is summed as if channels were last; channels are axis 1: "
     "(0, 2, 3)", lambda a: a.sum((0, 1, 2))),
    ("of the first image only", "is summed over the first image; the axes are N, H and W: "
     "(0, 2, 3)", lambda a: a[0].sum((1, 2))),
    ("kept in four dimensions", "has the shape (1, C, 1, 1); it has (C,)",
     lambda a: a.sum(ALL, keepdims=True)),
    ("not summed", "has the shape of dy; it is summed over N, H and W", lambda a: a),
):  # fmt: skip
    both(_title, f"dweight {_said}.", f"dbias {_said}.", _how)
