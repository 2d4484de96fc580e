"""Wrong versions of batch_norm: of y."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minideconv.testing.checking.rounding import squares_cancel
from minideconv.testing.mistakes.bank import Right, given, mistake, slip
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["ALL", "AXES", "OPERATION", "Parts", "affine", "each", "normalises"]

OPERATION = "batch_norm"
ALL = (0, 2, 3)


def each(per_channel: Array) -> Array:
    """(C,) -> (C, 1, 1), to broadcast over images, rows and columns."""
    return per_channel[:, None, None]


class Parts:
    """What a batch norm works with, in float64 and by NumPy: x, weight, bias, mean, var, eps."""

    def __init__(self, arrays: Arrays, settings: Settings) -> None:
        self.x = given(arrays, "x").astype(np.float64)
        self.weight, self.bias, self.running_mean, self.running_var = (
            each(given(arrays, role).astype(np.float64))
            for role in ("weight", "bias", "running_mean", "running_var")
        )
        self.training, self.momentum, self.eps = (
            settings[name] for name in ("training", "momentum", "eps")
        )
        self.count = self.x.size // self.x.shape[1]
        self.batch_mean = self.x.mean(ALL, keepdims=True)
        self.batch_var = self.x.var(ALL, keepdims=True)
        self.unbiased = self.batch_var * self.count / (self.count - 1)
        self.mean = self.batch_mean if self.training else self.running_mean
        self.var = self.batch_var if self.training else self.running_var

    @property
    def centred(self) -> Array:
        """The deviations from the mean."""
        return self.x - self.mean

    @property
    def std(self) -> Array:
        """The root of var + eps."""
        return np.sqrt(self.var + self.eps)

    @property
    def xh(self) -> Array:
        """The normalised x."""
        return self.centred / self.std


def normalises(name: str, sentence: str) -> Callable[[Callable[[Parts], Array]], None]:
    """Register ``wrong(parts)``, which returns y."""

    def register(wrong: Callable[[Parts], Array]) -> None:
        @mistake(OPERATION, "y", name, sentence)
        def _y(arrays: Arrays, settings: Settings, right: Right) -> Array:
            with np.errstate(all="ignore"):
                return wrong(Parts(arrays, settings))

    return register


def affine(p: Parts, xh: Array) -> Array:
    """Scale and shift."""
    return p.weight * xh + p.bias


# What is divided by -------------------------------------------------------------------------


@normalises("normalised with the unbiased variance", "The batch is divided by the variance with "
            "M - 1; it is the one with M. (The running variance has M - 1.)")  # fmt: skip
def _unbiased(p: Parts) -> Array:
    return affine(p, p.centred / np.sqrt((p.unbiased if p.training else p.var) + p.eps))


@normalises("eps outside of the root", "The divisor is sqrt(var) + eps; it is sqrt(var + "
            "eps).")  # fmt: skip
def _eps_outside(p: Parts) -> Array:
    return affine(p, p.centred / (np.sqrt(p.var) + p.eps))


@normalises("eps outside of the root", "The factor is 1 / sqrt(var) + eps; it is 1 / sqrt(var + "
            "eps).")  # fmt: skip
def _eps_added_last(p: Parts) -> Array:
    return affine(p, p.centred * (1 / np.sqrt(p.var) + p.eps))


def epsilon(name: str, sentence: str, change: Callable[[float], float]) -> None:
    """Register another eps: such a mistake is recognised beside others, too."""

    @slip(OPERATION, "y", name, sentence)
    def _other_eps(arrays: Arrays, settings: Settings) -> None:
        settings["eps"] = change(settings["eps"])


epsilon("eps left out", "The divisor is sqrt(var); it is sqrt(var + eps).", lambda eps: 0.0)
epsilon("eps squared", "The divisor is sqrt(var + eps^2); it is sqrt(var + eps).",
        lambda eps: eps**2)  # fmt: skip
epsilon("eps fixed at 1e-5", "The argument eps is not used.", lambda eps: 1e-5)
epsilon("eps subtracted", "The divisor is sqrt(var - eps); it is sqrt(var + eps).",
        lambda eps: -eps)  # fmt: skip


@normalises("eps as a lower bound", "The divisor is sqrt(max(var, eps)); it is sqrt(var + "
            "eps).")  # fmt: skip
def _eps_bound(p: Parts) -> Array:
    return affine(p, p.centred / np.sqrt(np.maximum(p.var, p.eps)))


@normalises("divided by the variance", "The root is missing: the divisor is var + eps; it is "
            "sqrt(var + eps).")  # fmt: skip
def _by_variance(p: Parts) -> Array:
    return affine(p, p.centred / (p.var + p.eps))


@normalises("standard deviation taken for the variance", "The root is taken twice: the divisor is "
            "sqrt(std + eps); it is sqrt(var + eps).")  # fmt: skip
def _std_as_variance(p: Parts) -> Array:
    return affine(p, p.centred / np.sqrt(np.sqrt(p.var) + p.eps))


@normalises("multiplied by the standard deviation", "x - mean is multiplied by sqrt(var + eps); it "
            "is divided by it.")  # fmt: skip
def _multiplied(p: Parts) -> Array:
    return affine(p, p.centred * p.std)


@normalises("not divided by the standard deviation", "Only the mean is subtracted.")
def _only_centred(p: Parts) -> Array:
    return affine(p, p.centred)


@normalises("mean not subtracted", "x is divided by sqrt(var + eps) without x - mean.")
def _not_centred(p: Parts) -> Array:
    return affine(p, p.x / p.std)


@normalises("mean added", "x + mean is divided; it is x - mean.")
def _mean_added(p: Parts) -> Array:
    return affine(p, (p.x + p.mean) / p.std)


@normalises("variance without the mean subtracted", "The variance is mean(x^2); it is "
            "mean((x - mean)^2).")  # fmt: skip
def _second_moment(p: Parts) -> Array:
    second = (p.x**2).mean(ALL, keepdims=True)
    return affine(p, p.centred / np.sqrt((second if p.training else p.var) + p.eps))


@normalises("mean absolute deviation in place of the standard deviation", "The spread is "
            "mean(|x - mean|); it is the root of mean((x - mean)^2).")  # fmt: skip
def _absolute(p: Parts) -> Array:
    deviation = np.abs(p.centred).mean(ALL, keepdims=True) + p.eps
    return affine(p, p.centred / (deviation if p.training else p.std))


@normalises("sum of squares in place of the variance", "The squares are not divided by M.")
def _sum_of_squares(p: Parts) -> Array:
    total = (p.var * p.count) if p.training else p.var
    return affine(p, p.centred / np.sqrt(total + p.eps))


for _what, _letters, _kept in (
    ("number of images", "N", (0,)), ("number of pixels", "H W", (2, 3)),
    ("size of x", "N C H W", (0, 1, 2, 3))
):  # fmt: skip

    @normalises(f"variance divided by the {_what}", f"The squares are divided by {_letters}; a "
                "channel has M = N H W values.")  # fmt: skip
    def _by_other_count(p: Parts, axes: tuple[int, ...] = _kept) -> Array:
        more = p.count / np.prod([p.x.shape[a] for a in axes]) if p.training else 1.0
        return affine(p, p.centred / np.sqrt(p.var * more + p.eps))


@normalises("scaled to the range 0..1", "x is scaled by its least and largest value; it is scaled "
            "by mean and standard deviation.")  # fmt: skip
def _min_max(p: Parts) -> Array:
    low, high = p.x.min(ALL, keepdims=True), p.x.max(ALL, keepdims=True)
    return affine(p, (p.x - low) / (high - low + p.eps) if p.training else p.xh)


# Whose statistics ---------------------------------------------------------------------------

AXES = (
    ("statistics of each image", "Mean and variance are taken over each image by itself (instance "
     "norm); they are the whole batch's.", (2, 3)),
    ("statistics of each pixel", "Mean and variance are taken over the batch for each pixel by "
     "itself; they are those of all pixels of a channel.", (0,)),
    ("statistics of all channels together", "One mean and one variance are taken over all "
     "channels; each channel has its own.", (0, 1, 2, 3)),
    ("statistics over channels and pixels of each image", "Mean and variance are taken over all "
     "channels of each image (layer norm); they are those of a channel in the whole batch.",
     (1, 2, 3)),
    ("statistics over the channels", "Mean and variance are taken over the channels of each pixel; "
     "they are those of a channel in the whole batch.", (1,)),
    ("statistics over batch and rows only", "Mean and variance are taken over N and H; the axes "
     "are N, H and W: (0, 2, 3).", (0, 2)),
    ("statistics over batch and columns only", "Mean and variance are taken over N and W; the axes "
     "are N, H and W: (0, 2, 3).", (0, 3)),
    ("statistics over batch and channels", "Mean and variance are taken over N and C; the axes are "
     "N, H and W: (0, 2, 3).", (0, 1)),
    ("statistics over batch, channels and rows", "Mean and variance are taken over the axes "
     "(0, 1, 2), as if channels were last; channels are axis 1: (0, 2, 3).", (0, 1, 2)),
    ("statistics of each row", "Mean and variance are taken over W; the axes are N, H and W: "
     "(0, 2, 3).", (3,)),
)  # fmt: skip


def _over(name: str, sentence: str, axes: tuple[int, ...]) -> None:
    @normalises(name, sentence)
    def _wrong_axes(p: Parts) -> Array:
        if not p.training:
            return affine(p, p.xh)
        mean, var = p.x.mean(axes, keepdims=True), p.x.var(axes, keepdims=True)
        return affine(p, (p.x - mean) / np.sqrt(var + p.eps))


for _name, _sentence, _axes in AXES:
    _over(_name, _sentence, _axes)


@normalises("variance of each image", "The mean is the whole batch's, the variance each image's "
            "own; both are the whole batch's.")  # fmt: skip
def _variance_of_image(p: Parts) -> Array:
    var = p.x.var((2, 3), keepdims=True) if p.training else p.var
    return affine(p, p.centred / np.sqrt(var + p.eps))


for _over_axes, _what in (((2, 3), "image"), ((0,), "pixel")):

    @normalises(f"variance of each {_what} averaged", f"The variance is the mean of each {_what}'s "
                "own; it is that of all values of a channel about their mean.")  # fmt: skip
    def _variance_averaged(p: Parts, axes: tuple[int, ...] = _over_axes) -> Array:
        var = p.x.var(axes, keepdims=True).mean(ALL, keepdims=True) if p.training else p.var
        return affine(p, p.centred / np.sqrt(var + p.eps))


@normalises("statistics of the first image only", "Mean and variance are the first image's; they "
            "are the whole batch's.")  # fmt: skip
def _of_first_image(p: Parts) -> Array:
    if not p.training:
        return affine(p, p.xh)
    first = p.x[:1]
    mean, var = first.mean(ALL, keepdims=True), first.var(ALL, keepdims=True)
    return affine(p, (p.x - mean) / np.sqrt(var + p.eps))


def mode(name: str, sentence: str, change: Callable[[bool], bool]) -> None:
    """Register another mode than the one that is asked for."""

    @slip(OPERATION, "y", name, sentence)
    def _other_mode(arrays: Arrays, settings: Settings) -> None:
        settings["training"] = change(settings["training"])


mode("batch statistics in evaluation", "With training=False the batch's own mean and variance are "
     "used; the running ones are.", lambda training: True)  # fmt: skip
mode("running statistics in training", "With training=True the running mean and variance are used; "
     "the batch's own are.", lambda training: False)  # fmt: skip
mode("training and evaluation swapped", "The batch's statistics are used in evaluation, the "
     "running ones in training.", lambda training: not training)  # fmt: skip


@normalises("batch mean in evaluation", "With training=False the batch's own mean is used with the "
            "running variance; both are the running ones.")  # fmt: skip
def _mean_in_evaluation(p: Parts) -> Array:
    return affine(p, (p.x - p.batch_mean) / p.std)


@normalises("batch variance in evaluation", "With training=False the batch's own variance is used "
            "with the running mean; both are the running ones.")  # fmt: skip
def _variance_in_evaluation(p: Parts) -> Array:
    return affine(p, p.centred / np.sqrt(p.batch_var + p.eps))


@normalises("running statistics in training", "With training=True the updated running mean and "
            "variance are used; the batch's own are.")  # fmt: skip
def _updated_in_training(p: Parts) -> Array:
    if not p.training:
        return affine(p, p.xh)
    mean = (1 - p.momentum) * p.running_mean + p.momentum * p.mean
    var = (1 - p.momentum) * p.running_var + p.momentum * p.unbiased
    return affine(p, (p.x - mean) / np.sqrt(var + p.eps))


@normalises("running variance taken for a standard deviation", "In evaluation x - mean is divided "
            "by the running variance; it is divided by its root.")  # fmt: skip
def _running_variance_not_rooted(p: Parts) -> Array:
    return affine(p, p.xh if p.training else p.centred / (p.running_var + p.eps))


@normalises("x not normalised in evaluation", "In evaluation only weight and bias are applied.")
def _plain_in_evaluation(p: Parts) -> Array:
    return affine(p, p.xh if p.training else p.x)


@normalises("bias correction of the running variance in evaluation", "In evaluation the running "
            "variance is multiplied by M / (M - 1) once more; it holds that already.")  # fmt: skip
def _corrected_again(p: Parts) -> Array:
    var = p.var if p.training else p.var * p.count / (p.count - 1)
    return affine(p, p.centred / np.sqrt(var + p.eps))


# Scale and shift ----------------------------------------------------------------------------


@slip(OPERATION, "y", "weight and bias swapped", "The normalised x is multiplied by bias and "
      "weight is added; it is weight xh + bias.")  # fmt: skip
def _swapped(arrays: Arrays, settings: Settings) -> None:
    arrays["weight"], arrays["bias"] = arrays["bias"], arrays["weight"]


@slip(OPERATION, "y", "weight left out", "The normalised x is not multiplied by weight.")
def _no_weight(arrays: Arrays, settings: Settings) -> None:
    arrays["weight"] = np.ones_like(given(arrays, "weight"))


@slip(OPERATION, "y", "weight used twice", "The normalised x is multiplied by weight twice.")
def _weight_twice(arrays: Arrays, settings: Settings) -> None:
    arrays["weight"] = given(arrays, "weight") ** 2


@slip(OPERATION, "y", "bias left out", "The bias is not added.")
def _no_bias(arrays: Arrays, settings: Settings) -> None:
    arrays["bias"] = np.zeros_like(given(arrays, "bias"))


@slip(OPERATION, "y", "bias subtracted", "The bias is subtracted; it is added.")
def _minus_bias(arrays: Arrays, settings: Settings) -> None:
    arrays["bias"] = -given(arrays, "bias")


@normalises("weight and bias left out", "The normalised x is returned as it is; it is "
            "weight xh + bias.")  # fmt: skip
def _no_affine(p: Parts) -> Array:
    return p.xh


@normalises("bias added before the weight", "y = weight (xh + bias); it is weight xh + bias.")
def _bias_first(p: Parts) -> Array:
    return p.weight * (p.xh + p.bias)


@normalises("weight added", "y = xh + weight + bias; it is weight xh + bias.")
def _weight_added(p: Parts) -> Array:
    return p.xh + p.weight + p.bias


@normalises("weight and bias before the normalisation", "weight x + bias is normalised; x is, and "
            "then weight xh + bias.")  # fmt: skip
def _affine_first(p: Parts) -> Array:
    x = p.weight * p.x + p.bias
    if not p.training:
        return (x - p.mean) / p.std
    return (x - x.mean(ALL, keepdims=True)) / np.sqrt(x.var(ALL, keepdims=True) + p.eps)


@normalises("divided by the weight", "y = xh / weight + bias; it is weight xh + bias.")
def _by_weight(p: Parts) -> Array:
    return p.xh / p.weight + p.bias


@normalises("first channel's weight and bias for all", "Every channel gets the first one's weight "
            "and bias; each has its own.")  # fmt: skip
def _first_weight(p: Parts) -> Array:
    return p.weight[:1] * p.xh + p.bias[:1]


@normalises("weight and bias in evaluation left out", "In evaluation the normalised x is returned "
            "as it is; it is weight xh + bias.")  # fmt: skip
def _no_affine_in_evaluation(p: Parts) -> Array:
    return affine(p, p.xh) if p.training else p.xh


# Rounding -----------------------------------------------------------------------------------


@mistake(OPERATION, "y", "variance as E[x²] − E[x]²", "Where the mean is large both terms are "
         "nearly equal and their difference is nothing but rounding errors; use "
         "mean((x - mean)²).", recognise=squares_cancel)  # fmt: skip
def _cancels(arrays: Arrays, settings: Settings, right: Right) -> Array:
    if not settings["training"]:
        return right(arrays, settings)
    x, eps = given(arrays, "x"), settings["eps"]
    weight, bias = (each(given(arrays, role)) for role in ("weight", "bias"))
    mean = x.mean(ALL, keepdims=True)
    var = (x * x).mean(ALL, keepdims=True) - mean * mean
    with np.errstate(all="ignore"):
        return np.asarray(weight * (x - mean) / np.sqrt(var + x.dtype.type(eps)) + bias)
