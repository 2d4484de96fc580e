r"""What a CRF is fitted to: mean IoU, or the likelihood of the true labels.

    mean-iou         of all images' pixels together, as `evaluate` computes it
    log-likelihood   1/N \sum log Q_i(t_i), with the refined probabilities Q and the truth t

Void pixels are not counted. The mean IoU is what is to be raised in the end, but it is a step
function, coarse where few images show a class; the likelihood is smooth, and also asks that
probabilities are no larger than they deserve to be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minideconv.backend.parallel import map_ordered
from minideconv.data.voc_colors import VOID
from minideconv.segmentation import ConfusionMatrix, DenseCRF

__all__ = ["OBJECTIVES", "Example", "log_likelihood", "mean_iou"]

LEAST = 1e-8  # probabilities below count as this


class Example(NamedTuple):
    """An image (H, W, 3) uint8, a network's probabilities (C, H, W), and the truth (H, W) uint8."""

    image: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[Any]
    truth: npt.NDArray[np.uint8]


def mean_iou(examples: Sequence[Example], crf: DenseCRF | None) -> float:
    """Return the mean IoU of what a CRF makes of the examples, in [0, 1]; without: of them."""
    confusion = ConfusionMatrix(len(examples[0].probabilities))

    def labels(example: Example) -> npt.NDArray[np.intp]:
        return _refined(example, crf).argmax(axis=0)

    for example, found in zip(examples, map_ordered(labels, examples), strict=True):
        confusion.update(example.truth, found)
    return confusion.mean_iou


def log_likelihood(examples: Sequence[Example], crf: DenseCRF | None) -> float:
    """Return the mean logarithm of the true labels' probabilities, at most 0."""

    def summed(example: Example) -> tuple[float, int]:
        known = example.truth != VOID
        q = _refined(example, crf)[:, known]
        right = q[example.truth[known], np.arange(q.shape[1])]
        return float(np.log(np.maximum(right, LEAST)).sum(dtype=np.float64)), right.size

    sums, counts = zip(*map_ordered(summed, examples), strict=True)
    return sum(sums) / max(1, sum(counts))


def _refined(example: Example, crf: DenseCRF | None) -> npt.NDArray[Any]:
    return (
        example.probabilities if crf is None else crf.refine(example.probabilities, example.image)
    )


OBJECTIVES: dict[str, Callable[[Sequence[Example], DenseCRF | None], float]] = {
    "mean-iou": mean_iou,
    "log-likelihood": log_likelihood,
}
