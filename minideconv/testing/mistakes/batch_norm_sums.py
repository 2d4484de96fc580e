"""Wrong versions of batch_norm_backward's dweight and dbias."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minideconv.testing.mistakes.batch_norm import ALL, Parts
from minideconv.testing.mistakes.batch_norm_backward import differentiates, total
from minideconv.testing.operations.operation import Array

__all__: list[str] = []  # they are reached through the bank

# dweight ------------------------------------------------------------------------------------


@differentiates("dweight", "dweight and dbias interchanged", "dweight is sum(dy), and dbias "
                "sum(dy xh); it is the other way round.")  # fmt: skip
def _swapped(p: Parts, dy: Array) -> Array:
    return total(dy)


@differentiates("dweight", "x in place of the normalised x", "sum(dy x); it is sum(dy xh).")
def _weight_x(p: Parts, dy: Array) -> Array:
    return total(dy * p.x)


@differentiates("dweight", "x - mean in place of the normalised x", "sum(dy (x - mean)); it is "
                "sum(dy xh).")  # fmt: skip
def _weight_centred(p: Parts, dy: Array) -> Array:
    return total(dy * p.centred)


@differentiates("dweight", "y in place of the normalised x", "sum(dy y), or the forward wrote y "
                "into the array that the cache holds as xh; it is sum(dy xh).")  # fmt: skip
def _weight_y(p: Parts, dy: Array) -> Array:
    return total(dy * (p.weight * p.xh + p.bias))


@differentiates("dweight", "weight in dweight", "sum(dy xh) weight; it is sum(dy xh).")
def _weight_times_weight(p: Parts, dy: Array) -> Array:
    return total(dy * p.xh * p.weight)


@differentiates("dweight", "normalised x of the unbiased variance", "The variance is taken with "
                "M - 1; the batch is normalised with M.")  # fmt: skip
def _weight_unbiased(p: Parts, dy: Array) -> Array:
    return total(dy * p.centred / np.sqrt(p.unbiased + p.eps))


@differentiates("dweight", "divided by the standard deviation twice", "sum(dy xh) / sqrt(var + "
                "eps); it is sum(dy xh).")  # fmt: skip
def _divided_twice(p: Parts, dy: Array) -> Array:
    return total(dy * p.xh / p.std)


@differentiates("dweight", "sum of the squares", "sum(dy xh^2); it is sum(dy xh).")
def _weight_squares(p: Parts, dy: Array) -> Array:
    return total(dy * p.xh**2)


# dbias --------------------------------------------------------------------------------------


@differentiates("dbias", "dweight and dbias interchanged", "dweight is sum(dy), and dbias "
                "sum(dy xh); it is the other way round.")  # fmt: skip
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
    ("of the wrong sign", "is -1 times what it must be", lambda a: -a.sum(ALL)),
    ("is 0", "is never written to, or is a sum that is 0, such as that of dx",
     lambda a: np.zeros(a.shape[1])),
    ("divided by the number of pixels", "is divided by H W; it is a sum",
     lambda a: a.sum(ALL) / (a.shape[2] * a.shape[3])),
    ("of the last image only", "is summed over the last image; the axes are N, H and W: "
     "(0, 2, 3)", lambda a: a[-1].sum((1, 2))),
    ("summed over the axes (1, 2, 3)", "is summed over all but the images; the axes are N, H and "
     "W: (0, 2, 3)", lambda a: a.sum((1, 2, 3))),
    ("of the first image only", "is summed over the first image; the axes are N, H and W: "
     "(0, 2, 3)", lambda a: a[0].sum((1, 2))),
    ("kept in four dimensions", "has the shape (1, C, 1, 1); it has (C,)",
     lambda a: a.sum(ALL, keepdims=True)),
    ("not summed", "has the shape of dy; it is summed over N, H and W", lambda a: a),
):  # fmt: skip
    both(_title, f"dweight {_said}.", f"dbias {_said}.", _how)
