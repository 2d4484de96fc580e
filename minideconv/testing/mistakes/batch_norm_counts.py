"""Wrong versions of batch_norm_backward's dx: what its means are over, and are divided by."""

from __future__ import annotations

import numpy as np

from minideconv.testing.mistakes.batch_norm import AXES, Parts
from minideconv.testing.mistakes.batch_norm_backward import assembled, differentiates, mean
from minideconv.testing.operations.operation import Array

__all__: list[str] = []  # they are reached through the bank


# Divided by ---------------------------------------------------------------------------------


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


@differentiates("dx", "gradient of the unbiased variance", "The variance is taken with M - 1; the "
                "batch is normalised with M.")  # fmt: skip
def _unbiased_scale(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, scale=p.weight / np.sqrt(p.unbiased + p.eps))


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


@differentiates("dx", "sum of dy xh in place of its mean", "sum(dy xh) is not divided by M.")
def _sum_second(p: Parts, dy: Array) -> Array:
    return assembled(p, dy, second=p.xh * mean(dy * p.xh) * p.count)


def _shares(name: str, sentence: str, first: str, second: str) -> None:
    """Register sums that are divided by other numbers: of images, of pixels, or M."""

    @differentiates("dx", name, sentence)
    def _divided(p: Parts, dy: Array) -> Array:
        number = {"N": len(p.x), "H W": p.count // len(p.x), "M": p.count}
        one, two = p.count / number[first], p.count / number[second]
        return assembled(p, dy, first=one * mean(dy), second=two * p.xh * mean(dy * p.xh))


for _what, _letter in (("images", "N"), ("pixels", "H W")):
    _shares(f"sums divided by the number of {_what}", f"The sums are divided by {_letter}; a "
            "channel has M = N H W values.", _letter, _letter)  # fmt: skip
    _shares(f"sum of dy xh divided by the number of {_what}", f"sum(dy xh) is divided by "
            f"{_letter}; a channel has M = N H W values.", "M", _letter)  # fmt: skip


@differentiates("dx", "M in front of dy left out", "(dy - sum(dy) - xh sum(dy xh)) / M; it is M dy "
                "in front.")  # fmt: skip
def _no_count(p: Parts, dy: Array) -> Array:
    return assembled(p, dy / p.count, first=mean(dy), second=p.xh * mean(dy * p.xh))


# Over -----------------------------------------------------------------------------------------


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
