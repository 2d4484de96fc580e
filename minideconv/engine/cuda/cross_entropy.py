"""Cross entropy on the GPU: one kernel on the way forward, one on the way back.

The kernels see scores as (pixels, classes), the scores of a pixel side by side: channels last. They
write one number for each pixel at most; the probabilities, as large as the scores, are never in
memory. What backward needs of them it makes anew, from the scores.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np

from minideconv.backend import Array, Device, device_of, get_xp, to_device
from minideconv.engine.cuda import checks
from minideconv.engine.cuda.module import BLOCK, launch
from minideconv.engine.layout import contiguous
from minideconv.ops.cross_entropy import (
    CrossEntropySaved,
    cross_entropy_core,
    gradient_from_scores,
)
from minideconv.ops.cross_entropy_checks import check_class_weights, check_labels

__all__ = ["backward", "forward", "grid", "kind_of", "lanes", "pixels_first"]

_FILE = "cross_entropy.cu"

BLOCKS = 1024
"""At most: enough for any GPU, and the same for all, so that sums have the same bits on all."""

MOST = 16
"""Scores that a thread can hold in registers; for more than 32 times as many CuPy does the work."""


def lanes(classes: int) -> int:
    """Return how many threads share a pixel: with four classes for each, or more where 32 do.

    Fewer classes leave threads idle when the threads' results are put together; more make
    neighbouring threads read numbers that are no neighbours.
    """
    count = 1
    while count < 32 and classes > 4 * count:
        count *= 2
    return count


def pixels_first(scores: Array) -> Array:
    """(N, C, ...) in any order -> (N, ..., C), contiguous; a view if `scores` is channels last."""
    return contiguous(get_xp(scores).moveaxis(scores, 1, -1))


def grid(pixels: int, lanes: int) -> int:
    """Return the number of blocks; they go on to further pixels by themselves."""
    return min(-(-pixels * lanes // BLOCK), BLOCKS)


@cross_entropy_core.faster("gpu")
def forward(
    logits: Array,
    target: Array,
    weight: Array | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> tuple[Array, CrossEntropySaved] | None:
    """`ops.cross_entropy`: (N, C, ...) and (N, ...) -> the loss, and what backward needs.

    Labels and weights may be NumPy's: they are checked before they travel, and nothing waits.
    """
    if logits.shape[1] > MOST * 32 or logits.dtype not in (np.float32, np.float64):
        return None
    xp, dtype, classes = get_xp(logits), logits.dtype, logits.shape[1]
    checked = get_xp(target) is not xp
    if checked:
        check_labels(target, classes, ignore_index)
        target = to_device(target, device_of(logits))
    labels = _labels(target)
    weights = None if weight is None else _weights(weight, logits)

    scores, pixels, blocks = pixels_first(logits), labels.size, grid(labels.size, lanes(classes))
    check = checks.LabelCheck("cross_entropy", classes, ignore_index)
    wrong = checks.table(logits, check)
    each = xp.empty(labels.shape if reduction == "none" else (1,), dtype)
    parts = xp.empty((blocks, 2), np.float64)
    loss, divisor = xp.empty((), dtype), xp.empty((), dtype)
    smooth = (1 - label_smoothing, label_smoothing / classes)
    weighting = (divisor if weights is None else weights, weights is not None)
    run = partial(launch, _FILE, dtype=dtype, defines=_defines(classes, labels))
    results = (each, reduction == "none", parts, pixels, classes)
    arguments = (scores, labels, *weighting, *smooth, ignore_index, wrong, *results)
    run("cross_entropy", pixels, arguments, grid=blocks)
    finish = (parts, blocks, reduction == "mean", *weighting, classes)
    run("cross_entropy_finish", 1, (*finish, wrong, loss, divisor))
    if not checked:
        checks.enforce(check, target, weight)
    loss = each if reduction == "none" else loss
    return loss, CrossEntropySaved(logits, labels, weights, divisor)


@gradient_from_scores.faster("gpu")
def backward(
    dloss: Array,
    saved: CrossEntropySaved,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Array:
    """`ops.cross_entropy_backward`: the gradient (N, C, ...), which is stored channels last."""
    logits, labels, weights, divisor = saved
    xp, dtype, classes = get_xp(logits), logits.dtype, logits.shape[1]
    scores, pixels = pixels_first(logits), labels.size
    dlogits = xp.empty(scores.shape, dtype)
    arguments = (
        *(contiguous(dloss, dtype), reduction == "none", divisor, scores, labels),
        *(divisor if weights is None else weights, weights is not None),
        *(1 - label_smoothing, label_smoothing / classes, ignore_index, dlogits, pixels, classes),
    )
    defines, blocks = _defines(classes, labels), grid(pixels, lanes(classes))
    name = "cross_entropy_backward"
    launch(_FILE, name, pixels, arguments, dtype, defines=defines, grid=blocks)
    result: Array = xp.moveaxis(dlogits, -1, 1)
    return result


def _defines(classes: int, labels: Array) -> tuple[str, str, str]:
    sharing = lanes(classes)
    return f"LABEL={kind_of(labels)}", f"LANES={sharing}", f"PER={-(-classes // sharing)}"


def kind_of(labels: Array) -> str:
    """Return the kernels' name for the type of labels, which are uint8 or int64."""
    return "u8" if labels.dtype == np.uint8 else "i64"


def _labels(target: Array) -> Array:
    """Return labels that the kernels read as they are: uint8, or else int64."""
    return contiguous(target, np.uint8 if target.dtype == np.uint8 else np.int64)


def _weights(weight: Array, logits: Array) -> Array:
    """Return the weights of the classes beside the scores, in their type.

    Those that are NumPy's travel once: the same numbers are found again.
    """
    if get_xp(weight) is not get_xp(logits):
        numbers = np.asarray(weight, logits.dtype).tobytes()
        return _moved(numbers, logits.dtype.name, device_of(logits))
    return contiguous(weight, logits.dtype)


@lru_cache(maxsize=16)
def _moved(numbers: bytes, dtype: str, device: Device) -> Array:
    weight: np.ndarray[Any, Any] = np.frombuffer(numbers, dtype)
    check_class_weights(weight)
    return to_device(weight, device)
