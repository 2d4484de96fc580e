"""The update of a dense CRF's mean field, compiled: a softmax of each pixel's C >= 16 numbers."""

from __future__ import annotations

import numpy as np

from minideconv.engine.cpu.compiled.functions import exponential
from minideconv.engine.cpu.compiled.kernel import kernel
from minideconv.engine.cpu.compiled.vectors import LANES, load, splat, store

__all__ = ["update"]


@kernel(writes="q")
def update(log_p, first, second, q, classes, both):
    """``q = softmax(log_p + first)``, and `second` too if `both`; all are flat, pixel by pixel."""
    width = -(-classes // LANES) * LANES
    row = np.full(width, -1e30, np.float32)  # behind the classes: numbers whose exponential is 0
    for start in range(0, q.size, classes):
        for c in range(0, classes, LANES):
            i = min(c, classes - LANES)
            score = load(log_p, start + i) + load(first, start + i)
            if both:
                score = score + load(second, start + i)
            store(row, i, score)
        largest = row[0]
        for c in range(1, classes):
            largest = max(largest, row[c])
        total = splat(0.0)
        for c in range(0, width, LANES):
            share = exponential(load(row, c) - splat(largest))
            store(row, c, share)
            total = total + share
        store(q, start, total)  # to add the sixteen up; the results come later
        whole = np.float32(0)
        for c in range(LANES):
            whole += q[start + c]
        scale = splat(np.float32(1) / whole)
        for c in range(0, classes, LANES):
            i = min(c, classes - LANES)
            store(q, start + i, load(row, i) * scale)
        row[classes:] = -1e30
