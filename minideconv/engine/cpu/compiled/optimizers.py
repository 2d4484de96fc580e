"""The steps of the optimisers, compiled: every array is read and written once.

All arrays are flat, float32 and of one length. Each optimiser is one line of algebra, for sixteen
weights, and a walk that fetches them, ahead of time, and puts them back; the letters are those of
`optim.sgd` and `optim.adam`.
"""

from __future__ import annotations

import numpy as np

from minideconv.engine.cpu.compiled.functions import divide, square_root
from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.streams import AHEAD, prefetch
from minideconv.engine.cpu.compiled.vectors import LANES, fma, load_up_to, splat, store_up_to

__all__ = ["adam", "plain_sgd", "sgd"]


@kernel(writes="w")
def plain_sgd(w, g, lr, weight_decay):
    """Take a step without momentum."""
    lr, weight_decay = np.float32(lr), np.float32(weight_decay)
    for i in range(w.size):
        w[i] -= lr * (g[i] + weight_decay * w[i])


@kernel
def _fetch(array, i):
    """Load up to 16 numbers; request those that are needed soon."""
    prefetch(array, i + AHEAD)
    return load_up_to(array, i, array.size - i)


@kernel
def _sgd(w, g, v, lr, momentum, undamped, decay, nesterov):
    d = fma(decay, w, g)
    v = fma(momentum, v, undamped * d)
    step = fma(momentum, v, d) if nesterov else v
    return w - lr * step, v


@kernel(writes="w v")
def sgd(w, g, v, lr, momentum, undamped, weight_decay, nesterov):
    """Take a step with momentum; `undamped` is 1 - dampening."""
    options = splat(lr), splat(momentum), splat(undamped), splat(weight_decay), nesterov
    for i in range(0, w.size, LANES):
        weight, velocity = _sgd(_fetch(w, i), _fetch(g, i), _fetch(v, i), *options)
        store_up_to(w, i, weight, w.size - i)
        store_up_to(v, i, velocity, w.size - i)


@kernel
def _adam(w, g, m, v, rate, b1, new1, b2, new2, least, decay, shrink):
    d = fma(decay, w, g)
    m = fma(b1, m, new1 * d)
    v = fma(b2, v, new2 * d * d)
    return shrink * w - rate * divide(m, square_root(v) + least), m, v


@kernel(writes="w m v")
def adam(w, g, m, v, rate, b1, b2, least, decay, shrink):
    """Take a step; `decay` adds to the gradient (Adam), `shrink` multiplies w itself (AdamW)."""
    options = (splat(rate), splat(b1), splat(1 - b1), splat(b2), splat(1 - b2))
    others = (splat(least), splat(decay), splat(shrink))
    for i in range(0, w.size, LANES):
        arrays = _fetch(w, i), _fetch(g, i), _fetch(m, i), _fetch(v, i)
        weight, mean, square = _adam(*arrays, *options, *others)
        store_up_to(w, i, weight, w.size - i)
        store_up_to(m, i, mean, w.size - i)
        store_up_to(v, i, square, w.size - i)
