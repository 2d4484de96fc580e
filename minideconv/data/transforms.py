"""Transforms of an (image, mask) pair: scale, crop, flip, colour, and on to the network's numbers.

A transform is called with (image, mask, rng): image (H, W, 3) uint8 RGB, mask (H, W) uint8 and a
`numpy.random.Generator`, from which it draws all its random numbers. It returns a new pair and
leaves its input alone. `Normalize` comes last: it makes the float32 (3, H, W) that networks take. A
transform that draws nothing has ``fixed = True``, and a loader may then keep its results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from minideconv.data.resize import nearest_index, resize_image, resize_mask
from minideconv.data.windows import Window, cut_pair, whole_image_window
from minideconv.errors import UsageError

__all__ = [
    "VOC_MEAN_RGB",
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "Normalize",
    "Pair",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomQuarterTurn",
    "RandomScale",
    "RandomZoom",
    "Resize",
    "Scale",
    "Transform",
    "WholeWindow",
    "nearest_index",
    "paper_eval",
    "paper_train",
    "resize_image",
    "resize_mask",
]

VOC_MEAN_RGB = (122.675, 116.669, 104.008)
Pair = tuple[np.ndarray, np.ndarray]


class Transform(Protocol):
    """What `Compose` and `DataLoader` call."""

    def __call__(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
        """Return the transformed (image, mask)."""
        ...


class Compose:
    """One transform after the other, all drawing from the same generator."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = list(transforms)

    def __call__(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
        """Apply all in turn."""
        for transform in self.transforms:
            image, mask = transform(image, mask, rng)
        return image, mask

    def __repr__(self) -> str:
        return f"Compose({', '.join(type(t).__name__ for t in self.transforms)})"


class _Sized:
    """A transform to a given size in pixels: a side, or (height, width)."""

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        if min(self.size) < 1:
            raise UsageError(
                f"{type(self).__name__}: size is {size}; both sides must be at least 1 pixel"
            )


class Resize(_Sized):
    """To exactly `size`; changes the aspect ratio of what is not square."""

    fixed = True

    def __call__(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
        """Return both at the new size."""
        return resize_image(image, self.size), resize_mask(mask, self.size)


class Scale(_Sized):
    """Keeps the aspect ratio; makes the shorter side `size` pixels long."""

    fixed = True

    def __init__(self, size: int) -> None:
        super().__init__(size)

    def __call__(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
        """Return both at the new size."""
        side, shorter = self.size[0], min(mask.shape)
        new = tuple(max(1, (2 * side * n + shorter) // (2 * shorter)) for n in mask.shape)
        return resize_image(image, (new[0], new[1])), resize_mask(mask, (new[0], new[1]))


class RandomScale:
    """Enlarges or shrinks both axes by one factor between `low` and `high`, drawn log-uniformly."""

    def __init__(self, low: float = 0.75, high: float = 1.5) -> None:
        if not 0 < low <= high:
            raise UsageError(
                f"RandomScale: low is {low} and high is {high}; 0 < low <= high is needed"
            )
        self.low, self.high = low, high

    def __call__(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
        """Draw the factor and resize both."""
        factor = float(np.exp(rng.uniform(np.log(self.low), np.log(self.high))))
        new = tuple(max(1, round(factor * n)) for n in mask.shape)
        return resize_image(image, (new[0], new[1])), resize_mask(mask, (new[0], new[1]))


class RandomZoom(_Sized):
    """A window of a share of both sides, drawn from [`low`, 1], at any place inside, at `size`.

    What it shows is resized once, so that it is as sharp as a whole image of this size.
    """

    def __init__(self, size: int | tuple[int, int], low: float = 0.6) -> None:
        super().__init__(size)
        if not 0 < low <= 1:
            raise UsageError(f"RandomZoom: low is {low}; it must be in (0, 1]")
        self.low = low

    def __call__(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
        """Draw the window, cut and resize both."""
        share = rng.uniform(self.low, 1.0)
        height, width = (max(1, round(share * n)) for n in mask.shape)
        top = int(rng.integers(mask.shape[0] - height + 1))
        left = int(rng.integers(mask.shape[1] - width + 1))
        there = np.s_[top : top + height, left : left + width]
        return resize_image(image[there], self.size), resize_mask(mask[there], self.size)


class WholeWindow:
    """The smallest square around the whole image, black and void beside it; squares stay."""

    fixed = True

    def __call__(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
        """Put both in the square."""
        height, width = mask.shape
        if height == width:
            return image, mask
        return cut_pair(image, mask, whole_image_window(height, width))


class RandomCrop(_Sized):
    """A `size` window at any place inside the image; an image too small is kept whole.

    Where the image is smaller than `size`, it is put at a random place in the crop, with black
    (image) and void (mask) around it.
    """

    def __call__(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
        """Draw the place and cut both."""
        slack = [n - want for n, want in zip(mask.shape, self.size, strict=True)]
        top, left = (int(rng.integers(min(0, s), max(0, s) + 1)) for s in slack)
        return _crop(image, mask, top, left, self.size)


class CenterCrop(_Sized):
    """The `size` window in the middle; black and void where the image is smaller."""

    fixed = True

    def __call__(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
        """Cut both."""
        top, left = ((n - want) // 2 for n, want in zip(mask.shape, self.size, strict=True))
        return _crop(image, mask, top, left, self.size)


def _crop(image: np.ndarray, mask: np.ndarray, top: int, left: int, size: tuple[int, int]) -> Pair:
    return cut_pair(image, mask, Window(left, top, left + size[1] - 1, top + size[0] - 1))


class RandomHorizontalFlip:
    """Mirrors left and right with probability `p`."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise UsageError(f"RandomHorizontalFlip: p is {p}; it must be a probability, 0 to 1")
        self.p = p

    def __call__(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
        """Mirror both, or neither."""
        if rng.random() < self.p:
            return image[:, ::-1], mask[:, ::-1]
        return image, mask


class RandomQuarterTurn:
    """Turns by 0, 90, 180 or 270 degrees; for scenes without an up and a down, such as `Shapes`."""

    def __call__(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
        """Turn both."""
        turns = int(rng.integers(4))
        return np.rot90(image, turns), np.rot90(mask, turns)


class ColorJitter:
    """Moves brightness, contrast and saturation by factors in [1 - x, 1 + x], in this order.

    Contrast moves around the image's mean grey, saturation around each pixel's grey.
    """

    def __init__(
        self, brightness: float = 0.2, contrast: float = 0.2, saturation: float = 0.2
    ) -> None:
        self.ranges = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        for name, value in self.ranges.items():
            if not 0 <= value < 1:
                raise UsageError(f"ColorJitter: {name} is {value}; it must be in [0, 1)")

    def __call__(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
        """Recolour the image."""
        ranges = self.ranges.values()
        light, contrast, saturation = (np.float32(1 + rng.uniform(-r, r)) for r in ranges)
        weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)
        x = image.astype(np.float32) * light
        mean = np.float32((x @ weights).mean())
        x = mean + contrast * (x - mean)
        grey = (x @ weights)[..., None]
        x = grey + saturation * (x - grey)
        return np.clip(np.rint(x), 0, 255).astype(np.uint8), mask


class Normalize:
    """uint8 (H, W, 3) RGB -> float32 (3, H, W): (x - mean) / scale per channel.

    Parameters
    ----------
    mean : mean colour in RGB, 0..255; default VOC's, which the paper subtracts.
    scale : divisor; default 58, about the standard deviation of photographs, which puts the input
        in about [-2.2, 2.4]: networks that start from random numbers learn from that.
    bgr : reverse the channels after all else.

    Notes
    -----
    The paper, like VGG-16, feeds blue-green-red and only subtracts the mean: that is
    `Normalize.paper()`, needed with weights trained so (the authors' released network takes values
    of 0..255 less the mean, not divided).
    """

    def __init__(
        self,
        mean: tuple[float, float, float] = VOC_MEAN_RGB,
        scale: float = 58.0,
        bgr: bool = False,
    ) -> None:
        if scale <= 0:
            raise UsageError(f"Normalize: scale is {scale}; it must be above 0")
        self.mean = np.array(mean, dtype=np.float32)
        self.scale, self.bgr = float(scale), bgr

    @classmethod
    def paper(cls) -> Normalize:
        """BGR minus the mean, in steps of grey levels: the input of VGG-16 and of the paper."""
        return cls(scale=1.0, bgr=True)

    def __call__(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
        """Normalize the image, leave the mask."""
        return self.image(image), np.ascontiguousarray(mask)

    def image(self, image: np.ndarray) -> np.ndarray:
        """Normalize an image without a mask, for prediction."""
        return self.batch(image[None])[0]

    def batch(self, images: np.ndarray) -> np.ndarray:
        """Normalize (N, H, W, 3) uint8 -> (N, 3, H, W) float32, which is stored channels last."""
        x = np.empty(images.shape, np.float32)
        for channel, mean in enumerate(self.mean):
            target = 2 - channel if self.bgr else channel
            np.subtract(images[..., channel], mean, out=x[..., target], dtype=np.float32)
        x *= np.float32(1 / self.scale)
        return x.transpose(0, 3, 1, 2)

    def undo(self, array: np.ndarray) -> np.ndarray:
        """float32 (..., 3, H, W) back to uint8 (..., H, W, 3) RGB, for pictures."""
        x = np.moveaxis(np.asarray(array), -3, -1)
        if self.bgr:
            x = x[..., ::-1]
        return np.clip(np.rint(x * self.scale + self.mean), 0, 255).astype(np.uint8)


def paper_train(size: int = 224, normalize: Normalize | None = None) -> Compose:
    """Make the paper's training recipe at any size: to 250/224 of it, random crop, random flip.

    Works on the square windows of both stages; a whole photograph is first put in a square.
    """
    larger = max(size, round(size * 250 / 224))
    return Compose(
        [
            WholeWindow(),
            Resize(larger),
            RandomCrop(size),
            RandomHorizontalFlip(),
            normalize or Normalize(),
        ]
    )


def paper_eval(size: int = 224, normalize: Normalize | None = None) -> Compose:
    """Make the transform for evaluation: the whole window at `size`, nothing random."""
    return Compose([WholeWindow(), Resize(size), normalize or Normalize()])
