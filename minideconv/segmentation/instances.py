r"""Instance-wise inference: the network looks at one proposed object after the other.

The boxes of `proposals` become square windows with a margin; the network segments each at its own
input size, so small objects come to it large and large ones whole; the score maps G_i, zero outside
their windows, are joined by

    max (equation 1):  P(x, y, c) = max_i G_i(x, y, c)        sum (equation 2):  \sum_i G_i(x, y, c)

and a softmax over the classes c makes P probabilities, which leaves the most likely class as it is.

Source: Noh, Hong, Han, "Learning Deconvolution Network for Semantic Segmentation" (ICCV 2015),
section 3.2. `min_box` and `from_zero` are for two places where the authors' released code does what
the paper does not say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from minideconv.backend import Array
from minideconv.data.resize import resize_image, size_within
from minideconv.data.transforms import Normalize
from minideconv.data.windows import Window, whole_image_window
from minideconv.nn import Module
from minideconv.segmentation.inference import Join, Segmenter
from minideconv.segmentation.predictor import Image, Labels
from minideconv.segmentation.proposals import Proposals, best_windows, edge_boxes
from minideconv.segmentation.score_map import ScoreMap

__all__ = ["PROPOSAL_PIXELS", "InstanceSegmenter"]

PROPOSAL_PIXELS = 1 << 20
"""Of the image in which proposals are looked for; a photograph of VOC has a fifth of it."""


class InstanceSegmenter(Segmenter):
    """A `Segmenter` that looks at proposed objects where the other looks at the whole image.

    Parameters
    ----------
    model, input_size, normalize, flip, batch_size
        See `Segmenter`. At most `batch_size` windows are in memory at a time.
    proposals : int
        How many windows; at least 1.
    join : {"max", "sum"}
        How their scores become one map.
    min_box : int
        See `best_windows`.
    from_zero : bool
        See `Segmenter.scores`.
    propose : callable
        Makes the `Proposals` of an image: `edge_boxes`, or another function of an (H, W, 3) uint8
        array.
    """

    def __init__(
        self,
        model: Module,
        input_size: int,
        normalize: Normalize | None = None,
        flip: bool = False,
        batch_size: int = 16,
        *,
        proposals: int = 50,
        join: Join = "max",
        min_box: int = 0,
        from_zero: bool = False,
        propose: Callable[[Image], Proposals] = edge_boxes,
    ) -> None:
        super().__init__(model, input_size, normalize, flip, batch_size)
        self.proposals = proposals
        self.join: Join = join
        self.min_box = min_box
        self.from_zero = from_zero
        self.propose = propose

    def windows(self, image: Image) -> list[Window]:
        """Return the windows of an image.

        One of more than `PROPOSAL_PIXELS` is made smaller for whoever proposes, and the boxes are
        enlarged; the network sees the windows as they are.
        """
        height, width = image.shape[:2]
        if min(height, width) < 2:  # nothing has two sides in there
            return [whole_image_window(height, width)]
        seen = resize_image(image, size_within(height, width, PROPOSAL_PIXELS))
        found = self.propose(seen)
        if seen is not image:
            found = _enlarged(found, seen.shape[:2], (height, width))
        return best_windows(found, height, width, self.proposals, self.min_box)

    def map(
        self,
        image: Image,
        windows: Sequence[Window] | None = None,
        join: Join | None = None,
        from_zero: bool | None = None,
    ) -> ScoreMap:
        """Return the scores of one image, to be computed some rows at a time.

        See `Segmenter.scores`; what is left out is as this object was made.
        """
        return super().map(
            image,
            self.windows(image) if windows is None else windows,
            self.join if join is None else join,
            self.from_zero if from_zero is None else from_zero,
        )

    def scores(
        self,
        image: Image,
        windows: Sequence[Window] | None = None,
        join: Join | None = None,
        from_zero: bool | None = None,
    ) -> Array:
        """Return the scores of every class at every pixel: (C, H, W); see `map`."""
        return self.map(image, windows, join, from_zero).whole()

    def labels(
        self, image: Image, windows: Sequence[Window] | None = None, join: Join | None = None
    ) -> Labels:
        """Return the most likely class of every pixel: (H, W) uint8."""
        return self.map(image, windows, join).labels()

    def maps_of(self, images: Iterable[Image]) -> Iterator[ScoreMap]:
        """Yield the scores of each image, one image after the other."""
        return map(self.map, images)


def _enlarged(proposals: Proposals, size: tuple[int, int], new_size: tuple[int, int]) -> Proposals:
    """Return proposals in an image of `size` as those in one of `new_size`, both (H, W)."""
    times = np.array([new_size[1] / size[1], new_size[0] / size[0]] * 2)
    ends = np.array([0, 0, 1, 1])  # a box ends with its last pixel, not behind it
    boxes = np.rint((proposals.boxes + ends) * times) - ends
    return Proposals(boxes.astype(np.int32), proposals.scores)
