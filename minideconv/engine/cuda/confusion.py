"""The confusion matrix on the GPU: argmax over the classes and count, in one kernel.

A training loop adds every batch to a matrix that stays on the device, and reads it when it
prints metrics (`segmentation.ConfusionMatrix.add`). The predictions themselves are never in memory.
"""

from __future__ import annotations

from minideconv.backend import Array
from minideconv.backend.dispatch import device_guard
from minideconv.engine.cuda import checks
from minideconv.engine.cuda.cross_entropy import grid, kind_of, lanes, pixels_first
from minideconv.engine.cuda.module import launch
from minideconv.engine.layout import contiguous

__all__ = ["count"]

SHARED = 48 << 10
"""Bytes that a matrix may have to be counted in a block's own memory."""


@device_guard
def count(counts: Array, truth: Array, scores: Array, ignore_index: int = 255) -> None:
    """Add one to ``counts[truth, argmax of scores]`` for every pixel; nothing waits if deferred.

    Parameters
    ----------
    counts : int64 array (C, C)
        Rows are the truth, columns the prediction.
    truth : uint8 or int64 array (N, ...)
        Labels 0..C-1; a pixel labelled `ignore_index` is not counted.
    scores : floating-point array (N, C, ...)
        The largest predicts; of several the first, and the first NaN before any number.

    Raises
    ------
    ValueError
        If the shapes do not fit, or, unless `checks.deferred`, if a label is neither a class nor
        `ignore_index`; such a pixel is not counted.
    """
    classes = scores.shape[1]
    if counts.shape != (classes, classes) or truth.shape != (len(scores), *scores.shape[2:]):
        raise ValueError(
            f"confusion.count: counts {counts.shape} and truth {truth.shape} do not fit scores"
            f" {scores.shape}"
        )
    check = checks.LabelCheck("confusion.count", classes, ignore_index)
    wrong = checks.table(scores, check)
    cells = 4 * classes * classes
    shared = cells <= SHARED
    sharing = lanes(classes)
    arrays = (pixels_first(scores), contiguous(truth), ignore_index, wrong, counts)
    launch(
        *("confusion.cu", "confusion", truth.size),
        (*arrays, shared, truth.size, classes),
        scores.dtype,
        defines=(f"LABEL={kind_of(truth)}", f"LANES={sharing}"),
        grid=grid(truth.size, sharing),
        shared=cells if shared else 0,
    )
    checks.enforce(check, truth)
