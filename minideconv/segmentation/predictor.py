"""What segments images: scores of every class at every pixel, and what follows from them.

A single network (`Segmenter`), several together (`Ensemble`) and what a dense CRF makes of either
(`CRFSegmenter`) are used alike. Each of them gives *scores*, whose softmax over the classes is the
class probabilities: those of a network are what its last layer computes; whatever computes
probabilities gives their logarithms, and so softmax returns what was computed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from minideconv.backend import Array, get_xp, to_cpu
from minideconv.backend.dispatch import device_guard
from minideconv.ops.activations import softmax

__all__ = ["Predictor", "as_scores", "class_labels"]

Image = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]

LEAST = 1e-30  # probabilities below count as this, so that the logarithm is finite in float32


class Predictor(ABC):
    """Segments images of any size; a subclass defines `scores_of`.

    All images are (H, W, 3) uint8 arrays, RGB.
    """

    @abstractmethod
    def scores_of(self, images: Iterable[Image]) -> Iterator[Array]:
        """Yield the scores of each image: (C, H, W) float arrays on the network's device."""

    def scores(self, image: Image) -> Array:
        """Return the scores of every class at every pixel of one image: (C, H, W)."""
        return next(self.scores_of([image]))

    def probabilities(self, image: Image) -> Array:
        """Return the class probabilities at every pixel: (C, H, W), the sum over C is 1."""
        return softmax(self.scores(image), 0)

    def probabilities_of(self, images: Iterable[Image]) -> Iterator[Array]:
        """Yield the class probabilities of each image."""
        return (softmax(scores, 0) for scores in self.scores_of(images))

    def labels(self, image: Image) -> Labels:
        """Return the most likely class of every pixel: (H, W) uint8."""
        return class_labels(self.scores(image))

    def labels_of(self, images: Iterable[Image]) -> Iterator[Labels]:
        """Yield the labels of each image."""
        return map(class_labels, self.scores_of(images))


@device_guard
def class_labels(scores: Array) -> Labels:
    """Return the class with the highest score: (C, H, W) -> (H, W) uint8 on the host."""
    return to_cpu(scores.argmax(axis=0).astype(np.uint8))


@device_guard
def as_scores(probabilities: Array) -> Array:
    """Return scores whose softmax over the first axis is `probabilities`: their logarithms."""
    xp = get_xp(probabilities)
    return xp.log(xp.maximum(probabilities, LEAST))
