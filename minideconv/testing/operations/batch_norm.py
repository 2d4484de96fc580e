"""batch_norm and its backward: naive loops, formulas, families.

    x (N, C, H, W), weight, bias, running_mean, running_var (C,)  ->  y (N, C, H, W), cache

    y = weight (x - mean) / sqrt(var + eps) + bias

In training mean and var are those of the channel's M = N H W values (var divides by M), and

    running_mean = (1 - momentum) running_mean + momentum mean
    running_var  = (1 - momentum) running_var  + momentum var M / (M - 1)

In evaluation mean and var are the running ones, which stay as they are. The running statistics are
updated in place: the contract returns ``(y, cache)`` only. Where arrays cannot be written to (JAX),
``(y, cache, running_mean, running_var)`` is taken as well. What the cache holds is the student's
own affair: the backward is given the cache of the student's own forward. It is checked in training,
since a forward in evaluation need not keep anything; sometimes with another forward in between, as
every network with two such layers has it.

With xh = (x - mean) / sqrt(var + eps), and means over the channel's M values:

    dbias = sum(dy),  dweight = sum(dy xh)
    dx = weight / sqrt(var + eps) (dy - mean(dy) - xh mean(dy xh))

These sums cancel: with two values a channel dx is a millionth of its terms. So `terms` is what the
rounding is relative to. The mean carries a rounding error of some eps mean(|x|), which every
x - mean inherits, however small it is.

Source: Ioffe and Szegedy, Batch normalization, 2015, algorithm 1 and section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from minideconv.testing.drawing import Integer, batch_norm_geometry
from minideconv.testing.faults import StudentFault
from minideconv.testing.geometry import BatchNormGeometry
from minideconv.testing.operations.operation import (
    Array,
    Arrays,
    Case,
    Expected,
    Functions,
    Operation,
    Settings,
)

__all__ = [
    "ARGUMENTS",
    "BACKWARD_FAMILIES",
    "BATCH_NORM",
    "BATCH_NORM_BACKWARD",
    "FAMILIES",
    "BatchNormCase",
    "Channel",
    "channels",
    "given",
    "next_batch",
]

FAMILIES = ("no-affine", "affine", "eps", "running-statistics", "evaluation")
BACKWARD_FAMILIES = FAMILIES[:3]
ARGUMENTS = ("x", "weight", "bias", "running_mean", "running_var")
SETTINGS = ("training", "momentum", "eps")


@dataclass(frozen=True, slots=True)
class BatchNormCase(BatchNormGeometry):
    """Everything but the numbers of one call.

    Without ``affine`` weight is 1 and bias 0. ``running``: the running statistics are looked at,
    too; else they begin with 0 and 1. ``between``: before the backward another batch goes through
    the forward.
    """

    affine: bool = False
    running: bool = False
    evaluation: bool = False
    momentum: float = 0.1
    eps: float = 1e-5
    between: bool = False


class Channel(NamedTuple):
    """What normalises one channel, and what the rounding of each x - mean is relative to."""

    mean: float
    var: float
    inv_std: float
    loss: Array  # (N, H, W): |x| + mean(|x|)


def channels(x: Array, arrays: Arrays, settings: Settings) -> list[Channel]:
    """Return the statistics of each channel: the batch's in training, else the running ones."""
    result = []
    for c in range(x.shape[1]):
        values = x[:, c]
        if settings["training"]:
            mean = values.sum() / values.size
            var = ((values - mean) ** 2).sum() / values.size
            size = np.abs(values).sum() / values.size
        else:
            mean, var = given(arrays, "running_mean")[c], given(arrays, "running_var")[c]
            size = abs(mean)
        inv_std = 1 / np.sqrt(var + settings["eps"])
        result.append(Channel(mean, var, inv_std, np.abs(values) + size))
    return result


def given(arrays: Arrays, role: str) -> Array:
    """Return an array that is never left out."""
    array = arrays[role]
    assert array is not None
    return array


def _forward(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    x, weight, bias = (given(arrays, role) for role in ARGUMENTS[:3])
    y, y_terms = np.zeros(x.shape), np.zeros(x.shape)
    means, variances = (
        given(arrays, role).astype(float).copy() for role in ("running_mean", "running_var")
    )
    mean_terms, var_terms = np.abs(means), np.abs(variances)
    momentum = settings["momentum"]
    for c, channel in enumerate(channels(x, arrays, settings)):
        xh = (x[:, c] - channel.mean) * channel.inv_std
        y[:, c] = weight[c] * xh + bias[c]
        # An error of the mean shifts x - mean, and the variance with it.
        xh_terms = channel.inv_std * channel.loss * (1 + np.abs(xh))
        y_terms[:, c] = np.abs(weight[c]) * xh_terms + np.abs(bias[c])
        if settings["training"]:
            count = x[:, c].size
            unbiased = channel.var * count / (count - 1)
            means[c] = (1 - momentum) * means[c] + momentum * channel.mean
            variances[c] = (1 - momentum) * variances[c] + momentum * unbiased
            mean_terms[c] = mean_terms[c] + momentum * channel.loss.mean()
            var_terms[c] = var_terms[c] + momentum * _variance_terms(x[:, c], channel)
    return {
        "y": Expected(y, y_terms),
        "running_mean": Expected(means, mean_terms),
        "running_var": Expected(variances, var_terms),
    }


def _variance_terms(values: Array, channel: Channel) -> float:
    """Return what the rounding of the unbiased variance is relative to.

    The last term is the square of the mean's error, in float32; in float64 it is nothing.
    """
    distance, size = np.abs(values - channel.mean), channel.loss.mean()
    second = float(np.finfo(np.float32).eps) * size * size
    terms = (distance * (distance + channel.loss)).mean() + 8 * second
    return float(terms * values.size / (values.size - 1))


def _backward(arrays: Arrays, settings: Settings) -> dict[str, Expected]:
    dy, x, weight = (given(arrays, role) for role in ("dy", "x", "weight"))
    dx, dx_terms = np.zeros(x.shape), np.zeros(x.shape)
    dweight, dbias = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    dweight_terms, dbias_terms = dweight.copy(), dbias.copy()
    for c, channel in enumerate(channels(x, arrays, settings)):
        slope = dy[:, c]
        xh = (x[:, c] - channel.mean) * channel.inv_std
        xh_terms = channel.inv_std * channel.loss * (1 + np.abs(xh)) + np.abs(xh)
        dbias[c], dweight[c] = slope.sum(), (slope * xh).sum()
        dbias_terms[c] = np.abs(slope).sum()
        dweight_terms[c] = (np.abs(slope) * xh_terms).sum()
        scale, count = weight[c] * channel.inv_std, slope.size
        dx[:, c] = scale * (slope - dbias[c] / count - xh * dweight[c] / count)
        plain = np.abs(slope) + dbias_terms[c] / count
        plain = plain + np.abs(xh) * (np.abs(slope) * np.abs(xh)).sum() / count
        inherited = xh_terms * (np.abs(slope) * np.abs(xh)).sum() / count
        inherited = inherited + np.abs(xh) * dweight_terms[c] / count
        # 1 / sqrt(var + eps) inherits the mean's error, too, and is a factor of the whole.
        factor = 1 + channel.inv_std * channel.loss.mean()
        dx_terms[:, c] = np.abs(scale) * (plain * factor + inherited)
    return {
        "dx": Expected(dx, dx_terms),
        "dweight": Expected(dweight, dweight_terms),
        "dbias": Expected(dbias, dbias_terms),
    }


# Calls --------------------------------------------------------------------------------------


def _lent(array: Array) -> Array:
    """Return a copy that may be written to, spread in memory where the array is."""
    return np.repeat(array, 2)[::2] if array.strides[0] != array.itemsize else array.copy()


def _called(functions: Functions, arrays: Arrays, settings: Settings) -> tuple[Any, Any, Any, Any]:
    """Call the student's forward; return y, its cache and the running statistics afterwards."""
    x, weight, bias = (arrays[role] for role in ARGUMENTS[:3])
    mean, var = (_lent(given(arrays, role)) for role in ARGUMENTS[3:])
    settings = {name: settings[name] for name in SETTINGS}
    result = functions["batch_norm"](x, weight, bias, mean, var, **settings)
    if not isinstance(result, (tuple, list)) or len(result) not in (2, 4):
        raise StudentFault("returned", f"batch_norm returned {_what(result)}; it must return "
                                       "(y, cache)")  # fmt: skip
    if len(result) == 4:
        return result[0], result[1], result[2], result[3]
    return result[0], result[1], mean, var


def _what(result: Any) -> str:
    if result is None:
        return "None (is a return missing?)"
    if isinstance(result, (tuple, list)):
        return f"{len(result)} values"
    return f"a single {type(result).__name__}"


def _run(functions: Functions, arrays: Arrays, settings: Settings) -> Sequence[Any]:
    y, _, mean, var = _called(functions, arrays, settings)
    return y, mean, var


def next_batch(arrays: Arrays) -> Arrays:
    """Return the arguments of a forward that comes between another one and its backward."""
    x, weight = given(arrays, "x"), given(arrays, "weight")
    return {**arrays, "x": 2 * x[::-1] + 1, "weight": weight + 1}


def _run_backward(functions: Functions, arrays: Arrays, settings: Settings) -> Sequence[Any]:
    _, cache, _, _ = _called(functions, arrays, settings)
    if settings.get("between"):
        _called(functions, next_batch(arrays), settings)
    dy = given(arrays, "dy")
    if settings.get("again"):
        functions["batch_norm_backward"](dy.copy(), cache)
    gradients: Sequence[Any] = functions["batch_norm_backward"](dy, cache)
    return gradients


Outputs = Callable[[Arrays, Settings], Sequence[Array]]


def _functions(outputs: Outputs) -> Functions:
    """Return what has the contract's signature and gives these outputs."""

    def batch_norm(
        x: Array, weight: Array, bias: Array, running_mean: Array, running_var: Array, **s: Any
    ) -> tuple[Array, None]:
        given = (x, weight, bias, running_mean.copy(), running_var.copy())
        y, mean, var = outputs(dict(zip(ARGUMENTS, given, strict=True)), s)
        running_mean[...], running_var[...] = mean, var
        return y, None

    return {"batch_norm": batch_norm}


def _backward_functions(outputs: Outputs) -> Functions:
    def batch_norm(*args: Array, **s: Any) -> tuple[Array, Any]:
        arrays = dict(zip(ARGUMENTS, args, strict=True))
        y = _forward({**arrays}, s)["y"].value
        return y, (arrays, s)

    def batch_norm_backward(dy: Array, cache: Any) -> tuple[Array, ...]:
        arrays, settings = cache
        return tuple(outputs({"dy": dy, **arrays}, settings))

    return {"batch_norm": batch_norm, "batch_norm_backward": batch_norm_backward}


# Cases --------------------------------------------------------------------------------------


def _draw(integer: Integer, families: Sequence[str]) -> BatchNormCase:
    g = batch_norm_geometry(integer, max_batch=3, max_size=3)
    family = families[integer(0, len(families) - 1)]
    affine = family != "no-affine"
    other_momentum = family == "running-statistics" and integer(0, 1) == 0
    other_eps = family == "evaluation" and integer(0, 1) == 0
    return BatchNormCase(
        g.batch,
        g.channels,
        g.size,
        affine=affine,
        running=family in ("running-statistics", "evaluation"),
        evaluation=family == "evaluation",
        momentum=0.25 if other_momentum else 0.1,
        eps=(0.5, 0.25, 2.0)[integer(0, 2)] if family == "eps" or other_eps else 1e-5,
    )


def draw(integer: Integer) -> BatchNormCase:
    """Draw a small geometry of any family."""
    return _draw(integer, FAMILIES)


def _draw_backward(integer: Integer) -> BatchNormCase:
    g = _draw(integer, BACKWARD_FAMILIES)
    return replace(g, between=True) if g.affine and integer(0, 2) == 0 else g


def family(g: BatchNormCase) -> str:
    """Name the hardest feature of a call."""
    if g.evaluation:
        return "evaluation"
    if g.running:
        return "running-statistics"
    if g.eps != 1e-5:
        return "eps"
    return "affine" if g.affine else "no-affine"


def _watched(g: BatchNormCase) -> Sequence[str]:
    """Return the outputs that a family looks at, so that each is right or wrong by itself."""
    if g.evaluation:
        return ("y", "running_mean", "running_var")
    return ("running_mean", "running_var") if g.running else ("y",)


def telling(g: BatchNormCase) -> bool:
    """Return whether no two numbers that could be mistaken for each other are equal."""
    numbers = (g.batch, g.channels, *g.size)
    return len(set(numbers[1:])) == 3 and min(numbers) > 1


def _shapes(g: BatchNormCase) -> dict[str, tuple[int, ...]]:
    each = (g.channels,)
    roles: tuple[str, ...] = ("weight", "bias") if g.affine else ()
    roles += ("running_mean", "running_var") if g.running or g.evaluation else ()
    return {"x": g.x_shape} | dict.fromkeys(roles, each)


def _backward_shapes(g: BatchNormCase) -> dict[str, tuple[int, ...]]:
    return {"x": g.x_shape, "dy": g.x_shape} | dict.fromkeys(
        ("weight", "bias") if g.affine else (), (g.channels,)
    )


def _arguments(case: Case) -> tuple[Arrays, Settings]:
    g, x = case.geometry, given(dict(case.arrays), "x")
    ones, zeros = np.ones(g.channels, x.dtype), np.zeros(g.channels, x.dtype)
    usual: Arrays = {"weight": ones, "bias": zeros, "running_mean": zeros, "running_var": ones}
    arrays: Arrays = {"x": x}
    arrays |= {role: case.arrays.get(role, array) for role, array in usual.items()}
    arrays["running_var"] = np.abs(given(arrays, "running_var"))
    return arrays, {"training": not g.evaluation, "momentum": g.momentum, "eps": g.eps}


def _backward_arguments(case: Case) -> tuple[Arrays, Settings]:
    arrays, settings = _arguments(case)
    between = {"between": True} if case.geometry.between else {}
    return {"dy": case.arrays["dy"], **arrays}, settings | between


def _written(words: dict[str, str]) -> str:
    dy = words.pop("dy")
    other = " batch_norm(...) of another batch;" if words.pop("between", "") else ""
    first = f"_, cache = batch_norm({', '.join(words.values())});"
    return f"{first}{other} batch_norm_backward({dy}, cache)"


BATCH_NORM = Operation(
    name="batch_norm",
    arguments=ARGUMENTS,
    settings=SETTINGS,
    outputs=("y", "running_mean", "running_var"),
    rules={
        "y": "y = weight·(x − mean)/√(var + eps) + bias, mean and var (÷M) of the channel's "
        "M = N·H·W values; in evaluation the running ones",
        "running_mean": "running_mean = (1 − momentum)·running_mean + momentum·mean, in place; "
        "unchanged in evaluation",
        "running_var": "running_var = (1 − momentum)·running_var + momentum·var·M/(M − 1), in "
        "place; unchanged in evaluation",
    },
    families=FAMILIES,
    geometry=BatchNormCase,
    draw=draw,
    family=family,
    shapes=_shapes,
    call_arguments=_arguments,
    oracle=_forward,
    kinds=("integer", "normal"),
    run=_run,
    exact=False,
    telling=telling,
    watched=_watched,
    functions=_functions,
)

BATCH_NORM_BACKWARD = Operation(
    name="batch_norm_backward",
    arguments=("dy", *ARGUMENTS),
    settings=SETTINGS,
    outputs=("dx", "dweight", "dbias"),
    rules={
        "dx": "dx = weight/√(var + eps)·(dy − mean(dy) − xh·mean(dy·xh)), "
        "xh = (x − mean)/√(var + eps)",
        "dweight": "dweight[c] = Σ_{n,i,j} dy·xh, xh = (x − mean)/√(var + eps)",
        "dbias": "dbias[c] = Σ_{n,i,j} dy",
    },
    families=BACKWARD_FAMILIES,
    geometry=BatchNormCase,
    draw=_draw_backward,
    family=family,
    shapes=_backward_shapes,
    call_arguments=_backward_arguments,
    oracle=_backward,
    kinds=("integer", "normal"),
    run=_run_backward,
    again=True,
    needs=("batch_norm",),
    exact=False,
    telling=telling,
    functions=_backward_functions,
    written=_written,
)
