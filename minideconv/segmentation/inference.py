r"""From a photograph of any size to scores and labels at that same size.

The network sees square windows at its own input size. For each window: cut it out (black where it
leaves the image), resize it to the network's input, normalise, forward in evaluation mode, resize
the scores bilinearly to the window's size, and put them at the window's place. Several windows are
joined pixel by pixel, over score maps that are zero outside their window:

    max:  P(x, y, c) = max_i G_i(x, y, c)        sum:  P(x, y, c) = \sum_i G_i(x, y, c)

and the label is the class with the highest score. The default is one window, the smallest square
that holds the whole image; a list of object proposals makes it the paper's inference.

Source: Noh, Hong, Han, "Learning Deconvolution Network for Semantic Segmentation" (ICCV 2015),
section 3.2, equations 1 and 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, reduce
from itertools import islice
from typing import Literal

import numpy as np

from minideconv.autograd import Tensor, no_grad
from minideconv.backend import Array, Device, get_xp, to_device
from minideconv.backend.dispatch import device_guard, on_device_of
from minideconv.data.transforms import Normalize
from minideconv.data.windows import Window, cut_resized, whole_image_window
from minideconv.engine.cuda.images import normalize as normalized_on_gpu
from minideconv.errors import UsageError
from minideconv.nn import Module
from minideconv.nn.mode import evaluating
from minideconv.nn.utils import device_of_module
from minideconv.runtime import InferencePlan, inference
from minideconv.segmentation.predictor import Image, Labels, MapPredictor
from minideconv.segmentation.score_map import ArrayMap, Combined, Enlarged, ScoreMap

__all__ = ["JOINS", "Join", "Segmenter", "normalized_on"]

Join = Literal["max", "sum"]
JOINS: tuple[Join, ...] = ("max", "sum")

MOST = 1 << 29
"""Bytes of the scores of all windows of one image that are kept."""
_LARGE = 1 << 26
"""Parameters from which on a network has no inference plan: 67 million, 256 MiB."""
_READ_AHEAD = 1 << 24
"""Pixels of images that go through at once: 16 million, of photographs in VOC's size 80."""


class Segmenter(MapPredictor):
    """A trained network together with all it takes to use it on photographs.

    Parameters
    ----------
    model : Module
        Maps (N, 3, S, S) to scores (N, C, S, S). It is used in evaluation mode, whatever its own
        mode is, and from several threads if need be.
    input_size : int
        S, in pixels.
    normalize : Normalize
        The step from grey levels to the network's numbers that it was trained with.
    flip : bool
        Average the scores of the window and of its mirror image: twice the time, often a little
        better.
    batch_size : int
        Windows in one forward.
    """

    def __init__(
        self,
        model: Module,
        input_size: int,
        normalize: Normalize | None = None,
        flip: bool = False,
        batch_size: int = 16,
    ) -> None:
        self.model, self.input_size = model, input_size
        self.normalize = Normalize() if normalize is None else normalize
        if batch_size < 1:
            raise ValueError(f"Segmenter: batch_size is {batch_size}; it must be at least 1")
        self.flip, self.batch_size = flip, batch_size
        self._plan: InferencePlan | None = None

    def scores(
        self,
        image: Image,
        windows: Sequence[Window] | None = None,
        join: Join = "max",
        from_zero: bool = False,
    ) -> Array:
        """Return the scores of every class at every pixel of one image.

        Parameters
        ----------
        image : (H, W, 3) uint8 array
            RGB, any size.
        windows : sequence of Window, optional
            Where to look; the whole image if left out.
        join : {"max", "sum"}
            How the scores of several windows become one map.
        from_zero : bool
            With "max": no score is below 0, because the maximum starts there in the authors' code.
            The paper's maximum is below 0 where every window covers a pixel and finds nothing.

        Returns
        -------
        (C, H, W) float array on the network's device

        Raises
        ------
        ValueError
            If the image is not (H, W, 3) uint8, `join` is unknown or there is no window.
        """
        return self.map(image, windows, join, from_zero).whole()

    def map(
        self,
        image: Image,
        windows: Sequence[Window] | None = None,
        join: Join = "max",
        from_zero: bool = False,
    ) -> ScoreMap:
        """Return the scores of one image, to be computed some rows at a time; see `scores`.

        Raises
        ------
        UsageError (a ValueError)
            Also if the image is too large for so many windows.
        """
        _check_image(image)
        if windows is None:
            windows = [whole_image_window(*image.shape[:2])]
        if len(windows) == 0:
            raise ValueError("Segmenter.scores: windows is empty; there must be at least one")
        if join not in JOINS:
            raise ValueError(f"Segmenter.scores: join is {join!r}; it must be 'max' or 'sum'")
        maps = self._maps((image, window) for window in windows)
        at_least_zero = from_zero and join == "max"
        if len(windows) == 1 and not at_least_zero:
            return next(maps)
        if image.shape[0] * image.shape[1] <= len(windows) * self.input_size**2:
            # The map of the whole image is smaller than those of all windows.
            found = next(maps).whole()
            for each in maps:
                found = _joined(found, each.whole(), join)
            return ArrayMap(_at_least_zero(found) if at_least_zero else found)
        every = []
        for each in maps:
            every.append(each)
            _check_room(each, len(windows), image)

        def join_all(scores: Sequence[Array]) -> Array:
            found = reduce(partial(_joined, join=join), scores[1:], scores[0])
            return _at_least_zero(found) if at_least_zero else found

        return Combined(every, join_all)

    def window_scores(self, image: Image, windows: Iterable[Window]) -> Iterator[Array]:
        """Yield the scores of each window alone: (C, H, W), zero in the image around it."""
        return (each.whole() for each in self._maps((image, window) for window in windows))

    def labels(
        self,
        image: Image,
        windows: Sequence[Window] | None = None,
        join: Join = "max",
    ) -> Labels:
        """Return the most likely class of every pixel: (H, W) uint8."""
        return self.map(image, windows, join).labels()

    def maps_of(self, images: Iterable[Image]) -> Iterator[ScoreMap]:
        """Yield the scores of each whole image; several images go through at once."""
        checked = (_check_image(image) for image in images)
        return self._maps((image, whole_image_window(*image.shape[:2])) for image in checked)

    def _maps(self, pairs: Iterable[tuple[Image, Window]]) -> Iterator[Enlarged]:
        """Yield the scores of each window of an image, zero in the image around the window."""
        rest = iter(pairs)
        while True:
            # At the network's input size all windows are equal, whatever their own sizes.
            squares: list[Image] = []
            places: list[tuple[Window, int, int]] = []
            pixels = 0
            for image, window in islice(rest, self.batch_size):
                height, width = image.shape[:2]
                squares.append(self._square(image, window))
                places.append((window, height, width))
                pixels += height * width
                # Whoever gives us the images may keep them until we have given back their scores.
                if pixels >= _READ_AHEAD:
                    break
            if not squares:
                return
            for place, scores in zip(places, self._forward(np.stack(squares)), strict=True):
                yield Enlarged(scores, *place)

    def network_input(self, image: Image, window: Window) -> Array:
        """Return a window of an image as the network takes it: (H, W, 3) uint8 -> (3, S, S)."""
        return self.normalize.image(self._square(image, window))

    def _square(self, image: Image, window: Window) -> Image:
        """Return a window of an image at the network's size: (S, S, 3) uint8."""
        return cut_resized(image, window, (self.input_size, self.input_size))

    def _forward(self, squares: Image) -> Array:
        """(N, S, S, 3) uint8 -> scores (N, C, S, S), in evaluation mode and without a tape."""
        device, network = device_of_module(self.model), self._network()
        x = normalized_on(device, squares, self.normalize)
        with evaluating(), no_grad(), on_device_of(x):
            scores: Array = network(Tensor(x, device=device)).data
            if self.flip:
                flipped = get_xp(x).ascontiguousarray(x[..., ::-1])
                mirrored = network(Tensor(flipped, device=device)).data
                scores = (scores + mirrored[..., ::-1]) * 0.5
        return scores

    def _network(self) -> Callable[[Tensor], Tensor]:
        """Return what computes scores: a plan for a network that is in evaluation mode for good.

        One that is being trained changes between two evaluations, and is called itself; so is a
        large one, where products take all the time, and a plan has weights of its own.
        """
        if not isinstance(self.model, Module) or self.model.training:
            return self.model
        if self._plan is None and self.model.num_parameters() > _LARGE:
            return self.model
        if self._plan is None or self._plan.network is not self.model:
            self._plan = inference(self.model, after=3)
        return self._plan


def normalized_on(device: Device, images: Image, normalize: Normalize) -> Array:
    """Return ``normalize.batch(images)`` on `device`: (N, H, W, 3) uint8 -> (N, 3, H, W) float32.

    To a GPU the images travel as bytes.
    """
    if device.type == "cpu":
        return normalize.batch(images)
    return normalized_on_gpu(to_device(images, device), normalize)


def _check_image(image: Image) -> Image:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"Segmenter: image has shape {image.shape} and dtype {image.dtype}; it must be "
            "(height, width, 3) uint8 RGB"
        )
    return image


def _check_room(scores: Enlarged, windows: int, image: Image) -> None:
    """Refuse more windows of a large image than the memory shall hold."""
    if (needed := windows * scores.scores.nbytes) > MOST:
        height, width = image.shape[:2]
        raise UsageError(
            f"an image of {width} x {height} pixels is too large for {windows} windows, whose"
            f" scores take {needed / 2**20:.0f} MiB; give proposals (--proposals) of at most"
            f" {max(1, MOST // scores.scores.nbytes)}, or a smaller image"
        )


@device_guard
def _joined(scores: Array, more: Array, join: str) -> Array:
    """Join `more` to `scores`, in place."""
    if join == "max":
        get_xp(scores).maximum(scores, more, out=scores)
        return scores
    scores += more
    return scores


@device_guard
def _at_least_zero(scores: Array) -> Array:
    return get_xp(scores).maximum(scores, 0)
