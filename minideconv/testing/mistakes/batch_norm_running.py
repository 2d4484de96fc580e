"""Wrong versions of batch_norm's running statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minideconv.testing.mistakes.bank import Right, mistake, slip
from minideconv.testing.mistakes.batch_norm import ALL, OPERATION, Parts
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__ = ["follow", "updates"]


def updates(
    name: str, sentence: str, *outputs: str
) -> Callable[[Callable[[Parts, Array, Array], Any]], None]:
    """Register ``wrong(parts, old, new)``, which returns what a running statistic becomes."""

    def register(wrong: Callable[[Parts, Array, Array], Any]) -> None:
        for output in outputs or ("running_mean", "running_var"):

            @mistake(OPERATION, output, name, sentence)
            def _running(
                arrays: Arrays, settings: Settings, right: Right, output: str = output
            ) -> Array:
                p = Parts(arrays, settings)
                old, new = {
                    "running_mean": (p.running_mean, p.batch_mean),
                    "running_var": (p.running_var, p.unbiased),
                }[output]
                with np.errstate(all="ignore"):
                    result = wrong(p, old, new)
                return np.broadcast_to(result, (1, p.x.shape[1], 1, 1)).reshape(-1)

    return register


def follow(p: Parts, old: Array, new: Array) -> Array:
    """Update a running statistic as it must be."""
    return (1 - p.momentum) * old + p.momentum * new if p.training else old


@updates("running statistics not updated", "They stay as they are (an assignment inside of the "
         "function changes no array); write to them in place: running_mean[...] = .")  # fmt: skip
def _not_updated(p: Parts, old: Array, new: Array) -> Array:
    return old


def weighed(name: str, sentence: str, change: Callable[[float], float]) -> None:
    """Register another momentum: such a mistake is recognised beside others, too."""
    for output in ("running_mean", "running_var"):

        @slip(OPERATION, output, name, sentence)
        def _other_momentum(arrays: Arrays, settings: Settings) -> None:
            settings["momentum"] = change(settings["momentum"])


weighed("momentum reversed", "running = momentum running + (1 - momentum) new; momentum is the "
        "weight of the new statistic.", lambda momentum: 1 - momentum)  # fmt: skip
weighed("running statistics replaced by the batch's", "The old value is dropped; it is (1 - "
        "momentum) running + momentum new.", lambda momentum: 1.0)  # fmt: skip
weighed("momentum fixed at 0.1", "The argument momentum is not used.", lambda momentum: 0.1)
weighed("momentum fixed at 0.9", "The argument momentum is not used, and 0.9 is the weight of the "
        "new statistic.", lambda momentum: 0.9)  # fmt: skip


@updates("running statistics updated in evaluation", "They follow the batch with training=False, "
         "too; only training updates them.")  # fmt: skip
def _in_evaluation(p: Parts, old: Array, new: Array) -> Array:
    return (1 - p.momentum) * old + p.momentum * new


@updates("running statistics updated in evaluation only", "They follow the batch with "
         "training=False; only training updates them.")  # fmt: skip
def _in_evaluation_only(p: Parts, old: Array, new: Array) -> Array:
    return old if p.training else (1 - p.momentum) * old + p.momentum * new


@updates("old running statistic not multiplied by 1 - momentum", "running + momentum new; it is "
         "(1 - momentum) running + momentum new.")  # fmt: skip
def _not_faded(p: Parts, old: Array, new: Array) -> Array:
    return old + p.momentum * new if p.training else old


@updates("new statistic not multiplied by the momentum", "(1 - momentum) running + new; it is "
         "(1 - momentum) running + momentum new.")  # fmt: skip
def _not_weighted(p: Parts, old: Array, new: Array) -> Array:
    return (1 - p.momentum) * old + new if p.training else old


@updates("old running statistic multiplied by the momentum", "momentum running + momentum new; it "
         "is (1 - momentum) running + momentum new.")  # fmt: skip
def _same_weight(p: Parts, old: Array, new: Array) -> Array:
    return p.momentum * (old + new) if p.training else old


@updates("running statistics updated twice", "They follow the batch twice in one call.")
def _twice(p: Parts, old: Array, new: Array) -> Array:
    return follow(p, follow(p, old, new), new)


@updates("running statistics multiplied by 1 - momentum only", "The new statistic is not added; it "
         "is (1 - momentum) running + momentum new.")  # fmt: skip
def _only_faded(p: Parts, old: Array, new: Array) -> Array:
    return (1 - p.momentum) * old if p.training else old


@updates("running mean and variance swapped", "The running mean follows the variance, and the "
         "running variance the mean.", "running_mean")  # fmt: skip
def _mean_follows_variance(p: Parts, old: Array, new: Array) -> Array:
    return follow(p, old, p.unbiased)


@updates("running mean and variance swapped", "The running mean follows the variance, and the "
         "running variance the mean.", "running_mean")  # fmt: skip
def _mean_follows_biased_variance(p: Parts, old: Array, new: Array) -> Array:
    return follow(p, old, p.batch_var)


@updates("running mean and variance swapped", "The running mean follows the variance, and the "
         "running variance the mean.", "running_var")  # fmt: skip
def _variance_follows_mean(p: Parts, old: Array, new: Array) -> Array:
    return follow(p, old, p.batch_mean)


@updates("running mean follows y", "The running mean follows the mean of the result; it is that of "
         "x.", "running_mean")  # fmt: skip
def _mean_of_y(p: Parts, old: Array, new: Array) -> Array:
    return follow(p, old, p.bias)


@updates("running mean follows the sum", "The sum is not divided by M.", "running_mean")
def _mean_of_sum(p: Parts, old: Array, new: Array) -> Array:
    return follow(p, old, p.batch_mean * p.count)


@updates("running mean of all channels together", "One mean is taken over all channels; each has "
         "its own.", "running_mean")  # fmt: skip
def _mean_of_channels(p: Parts, old: Array, new: Array) -> Array:
    return follow(p, old, p.x.mean())


@updates("running variance of all channels together", "One variance is taken over all channels; "
         "each has its own.", "running_var")  # fmt: skip
def _variance_of_channels(p: Parts, old: Array, new: Array) -> Array:
    return follow(p, old, p.x.var())


@updates("running mean of one image", "The running mean follows one image; it follows the whole "
         "batch.", "running_mean")  # fmt: skip
def _mean_of_first(p: Parts, old: Array, new: Array) -> Array:
    return follow(p, old, p.x[:1].mean(ALL, keepdims=True))


@updates("running mean of one image", "The running mean follows one image; it follows the whole "
         "batch.", "running_mean")  # fmt: skip
def _mean_of_last(p: Parts, old: Array, new: Array) -> Array:
    return follow(p, old, p.x[-1:].mean(ALL, keepdims=True))


def variance(name: str, sentence: str) -> Callable[[Callable[[Parts], Array]], None]:
    """Register ``wrong(parts)``, what the running variance follows."""

    def register(wrong: Callable[[Parts], Array]) -> None:
        @updates(name, sentence, "running_var")
        def _follows(p: Parts, old: Array, new: Array) -> Array:
            return follow(p, old, wrong(p))

    return register


@variance("running variance biased", "The running variance follows the variance with M; it follows "
          "the unbiased one, with M - 1.")  # fmt: skip
def _biased(p: Parts) -> Array:
    return p.batch_var


Counted = Callable[[Parts], int]

OTHER_COUNTS: tuple[tuple[str, str, Counted], ...] = (
    ("the number of images", "N", lambda p: len(p.x)),
    ("the number of pixels", "H W", lambda p: p.count // len(p.x)),
    ("the size of x", "N C H W", lambda p: p.x.size),
    ("the size of one image", "C H W", lambda p: p.x[0].size),
    ("the number of images and channels", "N C", lambda p: p.x[:, :, 0, 0].size),
    ("the number of channels", "C", lambda p: p.x.shape[1]),
    ("the number of rows", "H", lambda p: p.x.shape[2]),
    ("the number of columns", "W", lambda p: p.x.shape[3]),
    ("the number of images and rows", "N H", lambda p: p.x[:, 0, :, 0].size),
    ("the number of images and columns", "N W", lambda p: p.x[:, 0, 0].size),
)


def _counted(what: str, letters: str, count: Counted) -> None:
    """Register a number that is taken for M in M / (M - 1), or in the divisor M - 1 alone."""
    name = f"running variance corrected by {what}"

    @variance(name, f"The unbiased variance is var K / (K - "
              f"1) with K = {letters}; a channel has M = N H W values: var M / "
              "(M - 1).")  # fmt: skip
    def _corrected_by(p: Parts) -> Array:
        return p.batch_var * count(p) / np.float64(count(p) - 1)

    @variance(name, f"The sum of squares is divided by {letters} - 1; a channel has M = N H W "
              "values: by M - 1.")  # fmt: skip
    def _divided_by(p: Parts) -> Array:
        return p.batch_var * p.count / np.float64(count(p) - 1)


for _what, _letters, _count in OTHER_COUNTS:
    _counted(_what, _letters, _count)


@variance("running variance corrected by M - 2", "The unbiased variance is var M / (M - 1).")
def _corrected_too_much(p: Parts) -> Array:
    return p.batch_var * p.count / np.float64(p.count - 2)


@variance("running variance corrected by (M + 1) / M", "The unbiased variance is var M / (M - 1).")
def _corrected_upwards(p: Parts) -> Array:
    return p.batch_var * (p.count + 1) / p.count


@variance("running variance corrected the wrong way", "The variance is multiplied by (M - 1) / M; "
          "the unbiased one is var M / (M - 1).")  # fmt: skip
def _corrected_wrongly(p: Parts) -> Array:
    return p.batch_var * (p.count - 1) / p.count


@variance("running variance corrected twice", "The variance is multiplied by M / (M - 1) twice.")
def _corrected_twice(p: Parts) -> Array:
    return p.unbiased * p.count / (p.count - 1)


STD = ("running standard deviation in place of the variance", "The running variance follows the "
       "standard deviation; it follows the variance.")  # fmt: skip


def _follows_std(with_eps: bool, corrected: float) -> None:
    @variance(*STD)
    def _std(p: Parts) -> Array:
        more = (p.count / (p.count - 1)) ** corrected
        return np.sqrt(p.batch_var + p.eps * with_eps) * more


for _corrected in (0, 0.5, 1):
    _follows_std(False, _corrected)
    _follows_std(True, _corrected)


@variance(*STD)
def _unbiased_std_with_eps(p: Parts) -> Array:
    return np.sqrt(p.unbiased + p.eps)


for _axes, _what in (((2, 3), "image"), ((0,), "pixel")):
    for _more in (False, True):

        @variance(f"running variance of each {_what} averaged", f"The running variance follows the "
                  f"mean of each {_what}'s own; it follows that of all values of a "
                  "channel.")  # fmt: skip
        def _averaged(p: Parts, axes: tuple[int, ...] = _axes, more: bool = _more) -> Array:
            mean = p.x.var(axes, keepdims=True).mean(ALL, keepdims=True)
            return mean * p.count / (p.count - 1) if more else mean


@updates("whole running variance corrected", "The updated running variance is multiplied by M / (M "
         "- 1), the old value with it; only the new variance is.", "running_var")  # fmt: skip
def _all_corrected(p: Parts, old: Array, new: Array) -> Array:
    updated = follow(p, old, p.batch_var)
    return updated * p.count / (p.count - 1) if p.training else old


@variance("running variance with eps", "eps is in the running variance; it is added where x is "
          "divided only.")  # fmt: skip
def _with_eps(p: Parts) -> Array:
    return p.batch_var + p.eps


@variance("running variance with eps", "eps is in the running variance; it is added where x is "
          "divided only.")  # fmt: skip
def _unbiased_with_eps(p: Parts) -> Array:
    return p.unbiased + p.eps


@variance("running variance follows 1 / std", "The running variance follows 1 / sqrt(var + eps); "
          "it follows the variance.")  # fmt: skip
def _inverse(p: Parts) -> Array:
    return 1 / np.sqrt(p.batch_var + p.eps)


@variance("running variance follows mean(x^2)", "The mean is not subtracted; the variance is "
          "mean((x - mean)^2).")  # fmt: skip
def _squares(p: Parts) -> Array:
    return (p.x**2).mean(ALL, keepdims=True)


@variance("running variance follows the sum of squares", "The squares are not divided by M - 1.")
def _sum(p: Parts) -> Array:
    return p.batch_var * p.count


@variance("running variance about the running mean", "The deviations are from the running mean; "
          "they are from the batch's.")  # fmt: skip
def _about_running_mean(p: Parts) -> Array:
    return ((p.x - p.running_mean) ** 2).mean(ALL, keepdims=True)


@variance("running variance about the running mean", "The deviations are from the running mean; "
          "they are from the batch's.")  # fmt: skip
def _about_updated_mean(p: Parts) -> Array:
    mean = follow(p, p.running_mean, p.batch_mean)
    return ((p.x - mean) ** 2).sum(ALL, keepdims=True) / (p.count - 1)
