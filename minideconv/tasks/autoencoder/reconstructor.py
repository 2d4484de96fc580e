"""A trained auto-encoder applied to images of any size: `Reconstructor`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from minideconv.backend import Array, to_cpu
from minideconv.data.windows import cut_resized, placement, whole_image_window
from minideconv.models.corruption import Corruption, corrupted
from minideconv.segmentation.inference import Segmenter
from minideconv.segmentation.predictor import Image
from minideconv.segmentation.score_map import ArrayMap, ScoreMap

__all__ = ["Reconstructed", "Reconstructor", "inside", "photograph_at"]


class Reconstructed(NamedTuple):
    """Pictures (h, w, 3) uint8 of one image: as given, as corrupted (or not), as drawn again."""

    given: Image
    corrupted: Image | None
    again: Image


class Reconstructor(Segmenter):
    """Gives the reconstruction of an image at the network's size, (C, h, w).

    The network sees the smallest square around the image, at S x S pixels; what is outside of the
    image is cut off again, so that the longer side of h and w is S.
    """

    def scores_of(self, images: Iterable[Image]) -> Iterator[Array]:
        """Yield the reconstruction of each image; several go through at once."""
        rest = iter(images)
        while batch := list(islice(rest, self.batch_size)):
            squares = np.stack([self._whole(image) for image in batch])
            for image, again in zip(batch, self._forward(squares), strict=True):
                yield again[(slice(None), *inside(image, self.input_size))]

    def maps_of(self, images: Iterable[Image]) -> Iterator[ScoreMap]:
        """Yield the reconstruction of each image as a map."""
        return map(ArrayMap, self.scores_of(images))

    def pictures(self, image: Image, seed: int | None = None) -> Reconstructed:
        """Return the pictures of an image; with a `seed`, of one corrupted as in training."""
        square, noisy = self._whole(image), None
        corruption = None if seed is None else self._corruption()
        if corruption is not None:
            x = self.normalize.image(square)[None]
            rng = np.random.default_rng(seed)  # changes no random number of the run
            x = corrupted(x, corruption.noise, corruption.masking, rng)
            noisy = self.normalize.undo(x[0])
        (again,) = self._forward((square if noisy is None else noisy)[None])
        crop = inside(image, self.input_size)
        return Reconstructed(
            square[crop],
            None if noisy is None else noisy[crop],
            self.normalize.undo(to_cpu(again))[crop],
        )

    def _corruption(self) -> Corruption | None:
        """Return what the network does to its input in training, if that is anything."""
        for module in self.model.modules():
            if isinstance(module, Corruption) and (module.noise or module.masking):
                return module
        return None

    def _whole(self, image: Image) -> Image:
        return self._square(image, whole_image_window(*image.shape[:2]))


def inside(image: Image, size: int) -> tuple[slice, slice]:
    """Return which rows and columns of the square around an image, at `size`, the image has.

    >>> inside(np.zeros((50, 100, 3), np.uint8), 64)
    (slice(16, 48, None), slice(0, 64, None))
    """
    height, width = image.shape[:2]
    window = whole_image_window(height, width)
    _, (rows, columns) = placement(window, height, width)

    def scaled(side: slice) -> slice:
        first = min(size - 1, round(side.start * size / window.width))
        return slice(first, max(first + 1, round(side.stop * size / window.width)))

    return scaled(rows), scaled(columns)


def photograph_at(image: Image, size: int) -> Image:
    """Return an image as a network of this input size is given it, without what is around it."""
    height, width = image.shape[:2]
    square = cut_resized(image, whole_image_window(height, width), (size, size))
    return square[inside(image, size)]
