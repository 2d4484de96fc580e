"""Log-probabilities and the gradient of cross entropy for scores in channels-last order, compiled.

The scores of one pixel are neighbours, but too few of them to fill vectors, and their maximum and
sum would go across a vector and not along. So sixteen pixels at a time are transposed in registers:
a vector then holds one class's score of each pixel, and the maxima, sums and logarithms of sixteen
pixels are found at once.

Results are written pixel by pixel, in whole vectors. Such a vector may reach into the next pixel,
whose turn is next: what is written there is right in the end. The last pixels of an array, which
have none behind them, go through an array of their own.

Arrays are flat: scores and what is like them pixel by pixel, the others one number for each pixel.
"""

from __future__ import annotations

import numpy as np

from minideconv.engine.cpu.compiled.functions import exponential, logarithm
from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.transpose import transpose
from minideconv.engine.cpu.compiled.vectors import LANES, fma, load, maximum, splat, store

__all__ = ["gradient", "log_probabilities"]


@kernel(writes="log_probs turned largest")
def _sixteen(x, start, log_probs, classes, turned, largest):
    """Write the log-probabilities of sixteen pixels; `turned` and `largest` are scratch."""
    for c in range(0, classes, LANES):
        transpose(x, start + c, classes, turned, c * LANES, LANES)
    m = load(turned, 0)
    for c in range(1, classes):
        m = maximum(m, load(turned, c * LANES))
    total = splat(0.0)
    for c in range(classes):
        total = total + exponential(load(turned, c * LANES) - m)
    store(largest, 0, m)
    store(largest, LANES, logarithm(total))
    for lane in range(LANES):
        shift, log_total = splat(largest[lane]), splat(largest[LANES + lane])
        for c in range(0, classes, LANES):
            base = start + lane * classes + c
            store(log_probs, base, load(x, base) - shift - log_total)


@kernel(writes="log_probs picked")
def log_probabilities(x, labels, log_probs, picked, classes):
    """``log_probs = log softmax(x)``, and `picked` its numbers at the labels."""
    width = -(-classes // LANES) * LANES
    turned, largest = np.empty(width * LANES, np.float32), np.empty(2 * LANES, np.float32)
    pixel = 0
    while (pixel + LANES - 1) * classes + width <= x.size:
        _sixteen(x, pixel * classes, log_probs, classes, turned, largest)
        pixel += LANES
    if pixel < labels.size:
        first, rest = pixel * classes, (labels.size - pixel) * classes
        last = np.zeros((2 * LANES) * classes + width, np.float32)
        last[:rest] = x[first:]
        results = np.empty_like(last)
        for start in range(0, rest, LANES * classes):
            _sixteen(last, start, results, classes, turned, largest)
        log_probs[first:] = results[:rest]
    for pixel in range(labels.size):
        picked[pixel] = log_probs[pixel * classes + labels[pixel]]


@kernel(writes="out")
def gradient(log_probs, labels, total, each, on_target, out, weight, classes):
    """``out = exp(log_probs) * total - weight * each``, and `on_target` less at the labels.

    `weight` has room for whole vectors.
    """
    pixel, width = 0, weight.size
    while pixel * classes + width <= log_probs.size:
        factor, less = splat(total[pixel]), splat(-each[pixel])
        for c in range(0, classes, LANES):
            share = exponential(load(log_probs, pixel * classes + c)) * factor
            store(out, pixel * classes + c, fma(load(weight, c), less, share))
        pixel += 1
    for last in range(pixel, labels.size):
        for c in range(classes):
            share = np.exp(log_probs[last * classes + c]) * total[last]
            out[last * classes + c] = share - weight[c] * each[last]
    for pixel in range(labels.size):
        out[pixel * classes + labels[pixel]] -= on_target[pixel]
