"""A network's figures over a set of images, at each image's own size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minideconv import functional as F
from minideconv.autograd import Tensor
from minideconv.backend import device_of, to_device
from minideconv.data.shard import part_of
from minideconv.segmentation import ConfusionMatrix, Segmenter

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
    confusion = ConfusionMatrix(len(data.classes))
    loss, pixels = 0.0, 0
    every = spread(len(data), limit or len(data))
    chosen = [every[k] for k in part_of(range(len(every)), *part)]
    all_scores = segmenter.scores_of(data[index][0] for index in chosen)
    for done, (index, scores) in enumerate(zip(chosen, all_scores, strict=True)):
        if each is not None:
            each(done, len(chosen))
        truth = data[index][1]
        confusion.update(truth, scores.argmax(axis=0))
        # The loss is for the curve only: a grid of some 64 x 64 pixels of each image will do.
        grid = (slice(None, None, max(1, max(truth.shape) // 64)),) * 2
        sample = truth[grid][None].astype(np.int64)
        counted = int((sample != 255).sum())
        place = device_of(scores)
        entropy = F.cross_entropy(
            Tensor(scores[(slice(None), *grid)][None], device=place), to_device(sample, place)
        )
        loss += float(entropy.item()) * counted
        pixels += counted
    return confusion, loss, pixels


def spread(length: int, count: int) -> list[int]:
    """Return `count` indices spread evenly over ``0..length-1`` (all of them if there are fewer).

    >>> spread(10, 3)
    [0, 4, 9]
    """
    if count >= length:
        return list(range(length))
    return [round(i * (length - 1) / max(1, count - 1)) for i in range(count)]
