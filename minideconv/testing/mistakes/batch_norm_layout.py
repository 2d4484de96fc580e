"""Wrong versions of batch norm and its backward: a channel's number meets the wrong axis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minideconv.testing.mistakes.bank import Right, given, mistake, slip, twist
from minideconv.testing.mistakes.batch_norm import ALL, Parts, affine, each, normalises
from minideconv.testing.mistakes.batch_norm_backward import differentiates, mean
from minideconv.testing.mistakes.batch_norm_running import follow, updates
from minideconv.testing.operations.operation import Array, Arrays, Settings

__all__: list[str] = []  # they are reached through the bank


# Numbers of channels along the width --------------------------------------------------------

WIDTH = ("channels' numbers broadcast along the width", "An array (C,) meets (N, C, H, W) along "
         "its last axis, the width, or fails; give it the shape (C, 1, 1).")  # fmt: skip


def flat(per_channel: Array) -> Array:
    """(1, C, 1, 1) or (C, 1, 1) -> (C,), which is broadcast along the width."""
    return per_channel.reshape(-1)


def _along_width(statistics: bool, weights: bool) -> None:
    @normalises(*WIDTH)
    def _broadcast(p: Parts) -> Array:
        mean, std = (flat(p.mean), flat(p.std)) if statistics else (p.mean, p.std)
        weight, bias = (flat(p.weight), flat(p.bias)) if weights else (p.weight, p.bias)
        return weight * ((p.x - mean) / std) + bias


for _statistics, _weights in ((True, False), (False, True), (True, True)):
    _along_width(_statistics, _weights)


@normalises(*WIDTH)
def _mean_along_width(p: Parts) -> Array:
    return affine(p, (p.x - flat(p.mean)) / p.std)


@normalises(*WIDTH)
def _std_along_width(p: Parts) -> Array:
    return affine(p, p.centred / flat(p.std))


@normalises(*WIDTH)
def _weight_along_width(p: Parts) -> Array:
    return flat(p.weight) * p.xh + p.bias


@normalises(*WIDTH)
def _bias_along_width(p: Parts) -> Array:
    return p.weight * p.xh + flat(p.bias)


def _gradient_along_width(means: bool, scale: bool) -> None:
    @differentiates("dx", *WIDTH)
    def _broadcast(p: Parts, dy: Array) -> Array:
        first, through = mean(dy), mean(dy * p.xh)
        factor = p.weight / p.std
        if means:
            first, through = flat(first), flat(through)
        if scale:
            factor = flat(factor)
        return np.asarray(factor * (dy - first - p.xh * through))


for _means, _scale in ((True, False), (False, True), (True, True)):
    _gradient_along_width(_means, _scale)


@differentiates("dx", *WIDTH)
def _weight_of_gradient_along_width(p: Parts, dy: Array) -> Array:
    slope = flat(p.weight) * dy
    return np.asarray((slope - mean(slope) - p.xh * mean(slope * p.xh)) / p.std)


# Axes mixed up by reshape -------------------------------------------------------------------
# Both ways to give each channel a row (or a column) without moving its axis first.

MIXED = ("axes mixed up by reshape", "(N, C, H, W) is reshaped to rows or columns of channels "
         "without moving the axis of the channels first (transpose): numbers of other channels get "
         "in.")  # fmt: skip

Mix = Callable[[Array], Array]


def _as_rows(a: Array) -> Array:
    """Return (N, C, H, W) with what `a.reshape(C, -1)` takes for each channel."""
    n, c, h, w = a.shape
    return a.reshape(c, n, h, w).swapaxes(0, 1)


def _from_rows(a: Array) -> Array:
    return a.swapaxes(0, 1).reshape(a.shape)


def _as_columns(a: Array) -> Array:
    """Return (N, C, H, W) with what `a.reshape(-1, C)` takes for each channel."""
    n, c, h, w = a.shape
    return a.reshape(n, h, w, c).transpose(0, 3, 1, 2)


def _from_columns(a: Array) -> Array:
    return a.transpose(0, 2, 3, 1).reshape(a.shape)


MIXES: tuple[tuple[Mix, Mix], ...] = ((_as_rows, _from_rows), (_as_columns, _from_columns))


def _mixed_forward(mix: Mix, back: Mix) -> None:
    @normalises(*MIXED)
    def _statistics(p: Parts) -> Array:
        if not p.training:
            return affine(p, p.xh)
        mixed = mix(p.x)
        centre, var = mixed.mean(ALL, keepdims=True), mixed.var(ALL, keepdims=True)
        return affine(p, (p.x - centre) / np.sqrt(var + p.eps))

    @mistake("batch_norm", "y", *MIXED)
    def _all_of_it(arrays: Arrays, settings: Settings, right: Right) -> Array:
        return back(right({**arrays, "x": mix(given(arrays, "x"))}, settings))

    @twist("batch_norm", "y", *MIXED)
    def _result(result: Array, arrays: Arrays, settings: Settings) -> Array:
        return back(result)

    for output in ("running_mean", "running_var"):

        @slip("batch_norm", output, *MIXED)
        def _followed(arrays: Arrays, settings: Settings) -> None:
            arrays["x"] = mix(given(arrays, "x"))

    @updates(*MIXED, "running_var")
    def _biased(p: Parts, old: Array, new: Array) -> Array:
        return follow(p, old, mix(p.x).var(ALL, keepdims=True))


def _mixed_backward(mix: Mix, back: Mix) -> None:
    for output in ("dx", "dweight", "dbias"):

        @slip("batch_norm_backward", output, *MIXED)
        def _incoming(arrays: Arrays, settings: Settings) -> None:
            arrays["dy"] = mix(given(arrays, "dy"))

    @differentiates("dweight", *MIXED)
    def _sum(p: Parts, dy: Array) -> Array:
        return mix(dy * p.xh).sum(ALL)

    @differentiates("dweight", *MIXED)
    def _everything(p: Parts, dy: Array) -> Array:
        x = mix(p.x)
        xh = (x - x.mean(ALL, keepdims=True)) / np.sqrt(x.var(ALL, keepdims=True) + p.eps)
        return (mix(dy) * xh).sum(ALL)

    def gradient(arrays: Arrays, settings: Settings, right: Right, which: str) -> Array:
        changed = {role: mix(given(arrays, role)) for role in which.split()}
        return back(right({**arrays, **changed}, settings))

    for which in ("dy", "x dy"):

        @mistake("batch_norm_backward", "dx", *MIXED)
        def _there_and_back(
            arrays: Arrays, settings: Settings, right: Right, which: str = which
        ) -> Array:
            return gradient(arrays, settings, right, which)

    @differentiates("dx", *MIXED)
    def _means(p: Parts, dy: Array) -> Array:
        first, through = (mix(a).mean(ALL) for a in (dy, dy * p.xh))
        return np.asarray(p.weight / p.std * (dy - each(first) - p.xh * each(through)))

    @twist("batch_norm_backward", "dx", *MIXED)
    def _result(result: Array, arrays: Arrays, settings: Settings) -> Array:
        return back(result)


for _mix, _back in MIXES:
    _mixed_forward(_mix, _back)
    _mixed_backward(_mix, _back)
