"""What segments images: scores of every class at every pixel, and what follows from them.

A single network (`Segmenter`), several together (`Ensemble`) and what a dense CRF makes of either
(`CRFSegmenter`) are used alike. Each of them gives *scores*, whose softmax over the classes is the
class probabilities: those of a network are what its last layer computes; whatever computes
probabilities gives their logarithms, and so softmax returns what was computed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.backend import Array, get_xp
from minideconv.backend.dispatch import device_guard
from minideconv.ops.activations import softmax
from minideconv.segmentation.score_map import ArrayMap, Labels, ScoreMap, class_labels

__all__ = [
    "Labels",
    "MapPredictor",
    "Predictor",
    "ScoreMap",
    "as_scores",
    "class_labels",
    "maps_of",
]

Image = npt.NDArray[np.uint8]

LEAST = 1e-30  # probabilities below count as this, so that the logarithm is finite in float32


class Predictor(ABC):
    """Segments images of any size; a subclass defines `scores_of`.

    All images are (H, W, 3) uint8 arrays, RGB. The scores of a large photograph may not fit into
    memory: where they need not be there at once, a `MapPredictor` is the base class.
    """

    @abstractmethod
    def scores_of(self, images: Iterable[Image]) -> Iterator[Array]:
        """Yield the scores of each image: (C, H, W) float arrays on the network's device."""

    def maps_of(self, images: Iterable[Image]) -> Iterator[ScoreMap]:
        """Yield the scores of each image, to be asked for some rows at a time."""
        return map(ArrayMap, self.scores_of(images))

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
        return next(self.labels_of([image]))

    def labels_of(self, images: Iterable[Image]) -> Iterator[Labels]:
        """Yield the labels of each image.

        Raises
        ------
        DataError
            If a score is NaN or infinite.
        """
        return (each.labels() for each in self.maps_of(images))


class MapPredictor(Predictor):
    """A `Predictor` that computes scores when they are asked for; a subclass defines `maps_of`."""

    @abstractmethod
    def maps_of(self, images: Iterable[Image]) -> Iterator[ScoreMap]:
        """Yield the scores of each image, to be computed some rows at a time."""

    def scores_of(self, images: Iterable[Image]) -> Iterator[Array]:
        """Yield the scores of each image, all at once."""
        return (each.whole() for each in self.maps_of(images))


def maps_of(predictor: Any, images: Iterable[Image]) -> Iterator[ScoreMap]:
    """Yield the scores of each image, by a `Predictor` or anything else with ``scores_of``."""
    if hasattr(predictor, "maps_of"):
        found: Iterator[ScoreMap] = predictor.maps_of(images)
        return found
    return map(ArrayMap, predictor.scores_of(images))


@device_guard
def as_scores(probabilities: Array) -> Array:
    """Return scores whose softmax over the first axis is `probabilities`: their logarithms."""
    xp = get_xp(probabilities)
    return xp.log(xp.maximum(probabilities, LEAST))
