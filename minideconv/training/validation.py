"""A network's figures over a set of images, at each image's own size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minideconv import functional as F
from minideconv.autograd import Tensor
from minideconv.backend import Array, cupy, device_of, to_cpu, to_device
from minideconv.data.shard import part_of
from minideconv.engine.cuda import checks
from minideconv.engine.cuda.confusion import count
from minideconv.segmentation import ConfusionMatrix, Segmenter
from minideconv.segmentation.metrics import VOID

__all__ = ["evaluate", "spread"]


def evaluate(
    segmenter: Segmenter,
    data: Any,
    limit: int = 0,
    each: Callable[[int, int], None] | None = None,
    part: tuple[int, int] = (0, 1),
) -> tuple[ConfusionMatrix, float, int]:
    """Return the confusion matrix over a data set, the sum of the pixels' losses, their number.

    Parameters
    ----------
    segmenter : Segmenter
        The network and its input.
    data : data set
        Gives (image, mask) pairs of any size.
    limit : int
        Number of images, spread evenly over the set; 0 takes all.
    each : callable, optional
        Called with (images done, images in all) before each; it may raise to stop.
    part : (int, int)
        Look only at the images of one of several processes: (rank, number of processes).
    """
    tally: HostTally | DeviceTally | None = None
    every = spread(len(data), limit or len(data))
    chosen = [every[k] for k in part_of(range(len(every)), *part)]
    all_scores = segmenter.scores_of(data[index][0] for index in chosen)
    for done, (index, scores) in enumerate(zip(chosen, all_scores, strict=True)):
        if each is not None:
            each(done, len(chosen))
        if tally is None:
            kind = HostTally if device_of(scores).type == "cpu" else DeviceTally
            tally = kind(len(data.classes))
        tally.add(data[index][1], scores)
    if tally is None:
        return ConfusionMatrix(len(data.classes)), 0.0, 0
    return tally.result()


def _sample(truth: np.ndarray) -> tuple[tuple[slice, slice], int]:
    """Return a grid over a mask, and how many of its pixels count.

    The loss is for the curve only: some 64 x 64 pixels of each image will do.
    """
    step = slice(None, None, max(1, max(truth.shape) // 64))
    return (step, step), int((truth[step, step] != VOID).sum())


class HostTally:
    """Adds up the figures of images on the CPU."""

    def __init__(self, classes: int) -> None:
        self._confusion, self._loss, self._pixels = ConfusionMatrix(classes), 0.0, 0

    def add(self, truth: np.ndarray, scores: Array) -> None:
        """Count an image: its mask (H, W) and its scores (C, H, W)."""
        self._confusion.update(truth, scores.argmax(axis=0))
        grid, counted = _sample(truth)
        some = scores[(slice(None), *grid)][None]
        entropy = F.cross_entropy(Tensor(some, device="cpu"), truth[grid][None].astype(np.int64))
        self._loss += float(entropy.item()) * counted
        self._pixels += counted

    def result(self) -> tuple[ConfusionMatrix, float, int]:
        """Return the counts, the sum of the losses, and the pixels that it is of."""
        return self._confusion, self._loss, self._pixels


class DeviceTally:
    """Adds up the same figures on a GPU; the host waits for the result only."""

    def __init__(self, classes: int) -> None:
        self._counts: Array = cupy().zeros((classes, classes), np.int64)
        self._loss: Array = cupy().zeros((), np.float64)
        self._classes, self._pixels = classes, 0

    def add(self, truth: np.ndarray, scores: Array) -> None:
        """Count an image: its mask (H, W), which is on the host, and its scores (C, H, W)."""
        grid, counted = _sample(truth)
        labels = to_device(truth, device_of(scores))
        with checks.deferred():
            count(self._counts, labels[None], scores[None])
            some = Tensor(scores[(slice(None), *grid)][None])
            entropy = F.cross_entropy(some, labels[grid][None])
        self._loss += entropy.data * counted
        self._pixels += counted

    def result(self) -> tuple[ConfusionMatrix, float, int]:
        """Return the counts, the sum of the losses, and the pixels that it is of."""
        checks.raise_deferred()
        confusion = ConfusionMatrix(self._classes)
        confusion.add(self._counts)
        return confusion, float(to_cpu(self._loss)), self._pixels


def spread(length: int, count: int) -> list[int]:
    """Return `count` indices spread evenly over ``0..length-1`` (all of them if there are fewer).

    >>> spread(10, 3)
    [0, 4, 9]
    """
    if count >= length:
        return list(range(length))
    return [round(i * (length - 1) / max(1, count - 1)) for i in range(count)]
