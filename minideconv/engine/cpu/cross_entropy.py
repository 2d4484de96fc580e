"""Cross entropy with each score fetched once on the way forward and once on the way back.

What takes time is the exponential, of as many numbers as there are scores, and in NumPy the
reductions over the classes: where these are neighbours in memory, as channels last has them, each
of a hundred thousand maxima is a loop of its own. Both ways around it put pixels side by side:

* compiled, sixteen pixels are transposed in the processor's registers
  (`engine.cpu.compiled.cross_entropy`);
* in NumPy the scores are copied into class-major order, block by block, and stay in that order.

Scores are seen as (N, C, M), with M pixels. The rest of the cross entropy, one number for each
pixel, is left to `ops.cross_entropy`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minideconv.backend.algorithms import compiled
from minideconv.backend.parallel import map_ordered
from minideconv.engine.cpu.memory import empty
from minideconv.ops.cross_entropy import gradient_from_log_probs
from minideconv.ops.cross_entropy import log_probabilities as reference

__all__ = ["gradient", "log_probabilities"]

PART = 1 << 18  # scores in a part for a thread
BLOCK = 1 << 17  # and in a block that NumPy works on

Array = np.ndarray


@reference.faster("cpu")
def log_probabilities(logits: Array, labels: Array) -> tuple[Array, Array] | None:
    """Return log softmax of (N, C, M) over the classes, and its numbers at the labels (N, M)."""
    if not fits(logits):
        return None
    n, c, m = logits.shape
    picked = np.empty((n, m), logits.dtype)
    if _is_compiled(logits):
        from minideconv.engine.cpu.compiled.cross_entropy import log_probabilities as walk

        out = empty((n, m, c), logits.dtype)
        parts = _parts(n * m, c, logits.transpose(0, 2, 1), labels, out, picked)
        map_ordered(lambda part: walk(*part, c), parts)
        return out.transpose(0, 2, 1), picked
    out = empty((n, c, m), logits.dtype)

    def block(span: tuple[int, slice]) -> None:
        image, pixels = span
        y = out[image, :, pixels]
        y[...] = logits[image, :, pixels]
        y -= y.max(axis=0)
        y -= np.log(np.exp(y).sum(axis=0))
        t = labels[image, pixels]
        picked[image, pixels] = y[t, np.arange(t.size)]

    map_ordered(block, list(_blocks(n, c, m)))
    return out, picked


@gradient_from_log_probs.faster("cpu")
def gradient(
    log_probs: Array,
    labels: Array,
    total: Array,
    each: Array | None,
    weight: Array,
    on_target: Array,
) -> Array | None:
    """Return ``exp(log_probs) * total - weight * each``, and `on_target` less at the labels."""
    if not fits(log_probs):
        return None
    n, c, m = log_probs.shape
    if each is None:
        each = np.zeros_like(total)
    if _is_compiled(log_probs):
        from minideconv.engine.cpu.compiled.cross_entropy import gradient as walk

        out = empty((n, m, c), log_probs.dtype)
        padded = np.zeros(-(-c // 16) * 16, log_probs.dtype)
        padded[:c] = weight
        arrays = (log_probs.transpose(0, 2, 1), labels, total, each, on_target, out)
        parts = _parts(n * m, c, *arrays)
        map_ordered(lambda part: walk(*part, padded, c), parts)
        return out.transpose(0, 2, 1)
    out = empty((n, c, m), log_probs.dtype)

    def block(span: tuple[int, slice]) -> None:
        image, pixels = span
        y = out[image, :, pixels]
        y[...] = log_probs[image, :, pixels]
        np.exp(y, out=y)
        y *= total[image, pixels]
        if each.any():
            y -= weight[:, None] * each[image, pixels]
        t = labels[image, pixels]
        y[t, np.arange(t.size)] -= on_target[image, pixels]

    map_ordered(block, list(_blocks(n, c, m)))
    return out


def fits(x: Array) -> bool:
    """Whether `x` is for these functions."""
    return type(x) is np.ndarray and x.dtype in (np.float32, np.float64) and x.size > 0


def _is_compiled(x: Array) -> bool:
    return compiled() and x.dtype == np.float32 and x.transpose(0, 2, 1).flags.c_contiguous


def _parts(pixels: int, classes: int, *arrays: Array) -> list[tuple[Array, ...]]:
    """Cut arrays with one number, or one for each class, a pixel into flat parts."""
    flat = [array.reshape(pixels, -1) for array in arrays]
    step = max(1, PART // classes)
    return [
        tuple(array[start : start + step].reshape(-1) for array in flat)
        for start in range(0, pixels, step)
    ]


def _blocks(n: int, classes: int, pixels: int) -> Iterator[tuple[int, slice]]:
    step = max(1, BLOCK // classes)
    for image in range(n):
        for start in range(0, pixels, step):
            yield image, slice(start, min(start + step, pixels))
