"""A transform taken apart, so that each sample repeats only its random steps.

    fixed    the first steps, which draw nothing: done once for each item, and kept
    drawn    the steps from the first random one on: done anew each time
    finish   a `Normalize` at the end: bytes become numbers once, for the whole batch, in place;
             or not here, where the bytes are to travel to a GPU and become numbers there

Nothing of it changes a byte of what a batch holds in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any, NoReturn, cast

import numpy as np

from minideconv.data.cache import ItemCache
from minideconv.data.transforms import Compose, Normalize, Pair, Transform
from minideconv.errors import UsageError

__all__ = ["Preparation", "begun"]


class _NoRng:
    """Given in place of a generator to the steps that have ``fixed = True``."""

    def __getattr__(self, name: str) -> NoReturn:
        raise TypeError("a transform that has fixed = True draws random numbers")


def begun(pair: Pair, fixed: Sequence[Transform]) -> Pair:
    """Return a pair of the data set after the `fixed` steps."""
    image, mask = pair
    for step in fixed:
        image, mask = step(image, mask, cast(np.random.Generator, _NoRng()))
    return image.view(), mask.view()  # the cache makes them read-only, and only them


class Preparation:
    """How a loader makes its samples and puts them into batches.

    Parameters
    ----------
    read : index -> (image, mask)
    transform : what is done to each pair; None for nothing.
    megabytes : the fixed part's results are kept up to so many MiB; 0 keeps none.
    as_bytes : leave out `finish`, which is then left to do.
    """

    def __init__(
        self,
        read: Callable[[int], Pair],
        transform: Transform | None,
        megabytes: float,
        as_bytes: bool = False,
    ) -> None:
        steps = _flat(transform)
        self.read, self.as_bytes = read, as_bytes
        self.finish = steps.pop() if steps and isinstance(steps[-1], Normalize) else None
        self.fixed = list(takewhile(lambda step: getattr(step, "fixed", False), steps))
        self.drawn = steps[len(self.fixed) :]
        self._cache: ItemCache[Pair] = ItemCache(megabytes if self.fixed else 0)

    def __contains__(self, index: int) -> bool:
        """Whether what the fixed steps make of item `index` is kept."""
        return index in self._cache

    def sample(
        self,
        index: int,
        generator: Callable[[], np.random.Generator],
        begin: Callable[[], Pair] | None = None,
    ) -> Pair:
        """Return the pair of item `index`; `generator` is called only if something is drawn.

        What is not kept is made by `begin`, if that is given, else by ``self.begin(index)``.
        """
        image, mask = self._cache.get(index, begin or (lambda: self.begin(index)))
        if self.drawn:
            rng = generator()
            for step in self.drawn:
                image, mask = step(image, mask, rng)
        return image, mask

    def begin(self, index: int) -> Pair:
        """Read item `index` and do the fixed steps."""
        return begun(self.read(index), self.fixed)

    def batch(self, pairs: list[Pair]) -> Pair:
        """Put pairs of one size together."""
        masks = np.stack([mask for _, mask in pairs])
        images = np.stack([image for image, _ in pairs])
        if self.as_bytes and images.dtype != np.uint8:
            raise UsageError(
                f"DataLoader: as_bytes is True, but the steps before Normalize give {images.dtype};"
                " they must give uint8"
            )
        if self.finish is None or self.as_bytes:
            return images, masks
        return self.finish.batch(images), masks


def _flat(transform: Transform | None) -> list[Any]:
    """Return the steps of a transform that may be made of others."""
    if transform is None:
        return []
    if type(transform) is not Compose:
        return [transform]
    return [step for part in transform.transforms for step in _flat(part)]
