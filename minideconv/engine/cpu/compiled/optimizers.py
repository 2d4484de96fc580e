"""The steps of the optimisers, compiled: every array is read and written once.

All arrays are flat, float32 and of one length. Each optimiser is one line of algebra, for sixteen
weights, and a walk that fetches them, ahead of time, and puts them back; `optim.sgd` and
`optim.adam` say what the letters mean.
"""

from __future__ import annotations

import numpy as np

from minideconv.engine.cpu.compiled.functions import divide, square_root
from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.streams import AHEAD, prefetch
from minideconv.engine.cpu.compiled.vectors import (
    LANES,
    fma,
    load,
    load_part,
    splat,
    store,
    store_part,
)

__all__ = ["adam", "plain_sgd", "sgd"]


@kernel
def plain_sgd(w, g, lr, weight_decay):
    """Take a step without momentum."""
    lr, weight_decay = np.float32(lr), np.float32(weight_decay)
    for i in range(w.size):
        w[i] -= lr * (g[i] + weight_decay * w[i])


@kernel
def _sgd(w, g, v, lr, momentum, undamped, decay, nesterov):
    d = fma(decay, w, g)
    v = fma(momentum, v, undamped * d)
    step = fma(momentum, v, d) if nesterov else v
    return w - lr * step, v


@kernel
def sgd(w, g, v, lr, momentum, undamped, weight_decay, nesterov):
    """Take a step with momentum; `undamped` is 1 - dampening."""
    options = splat(lr), splat(momentum), splat(undamped), splat(weight_decay), nesterov
    whole = w.size // LANES * LANES
    for i in range(0, whole, LANES):
        prefetch(w, i + AHEAD)
        prefetch(g, i + AHEAD)
        prefetch(v, i + AHEAD)
        weight, velocity = _sgd(load(w, i), load(g, i), load(v, i), *options)
        store(w, i, weight)
        store(v, i, velocity)
    rest = w.size - whole
    if rest > 0:
        weight, velocity = _sgd(
            load_part(w, whole, rest),
            load_part(g, whole, rest),
            load_part(v, whole, rest),
            *options,
        )
        store_part(w, whole, weight, rest)
        store_part(v, whole, velocity, rest)


@kernel
def _adam(w, g, m, v, rate, b1, new1, b2, new2, least, decay, shrink):
    d = fma(decay, w, g)
    m = fma(b1, m, new1 * d)
    v = fma(b2, v, new2 * d * d)
    return shrink * w - rate * divide(m, square_root(v) + least), m, v


@kernel
def adam(w, g, m, v, rate, b1, b2, least, decay, shrink):
    """Take a step; `decay` adds to the gradient (Adam), `shrink` multiplies w itself (AdamW)."""
    options = (splat(rate), splat(b1), splat(1 - b1), splat(b2), splat(1 - b2))
    others = (splat(least), splat(decay), splat(shrink))
    whole = w.size // LANES * LANES
    for i in range(0, whole, LANES):
        prefetch(w, i + AHEAD)
        prefetch(g, i + AHEAD)
        prefetch(m, i + AHEAD)
        prefetch(v, i + AHEAD)
        weight, mean, square = _adam(
            load(w, i), load(g, i), load(m, i), load(v, i), *options, *others
        )
        store(w, i, weight)
        store(m, i, mean)
        store(v, i, square)
    rest = w.size - whole
    if rest > 0:
        weight, mean, square = _adam(
            load_part(w, whole, rest),
            load_part(g, whole, rest),
            load_part(m, whole, rest),
            load_part(v, whole, rest),
            *options,
            *others,
        )
        store_part(w, whole, weight, rest)
        store_part(m, whole, mean, rest)
        store_part(v, whole, square, rest)
