"""What a frozen trunk makes of a crop, computed once and kept on disk: `FeatureCache`.

    crop -> SHA-256 of its numbers -> a slot of the file: features, or nothing
                                      not there: one image through the frozen stages, then kept

The key is the crop itself, and the file belongs to one set of weights. So whatever draws the crops,
in whatever order and in whichever session: features are those of this crop and these weights, and a
run with the cache takes the same steps, to the last bit, as one that finds nothing in it. For that,
each image goes through the frozen stages alone: what is computed together may be rounded otherwise.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minideconv._version import __version__
from minideconv.autograd import Tensor, no_grad
from minideconv.backend import Array
from minideconv.errors import TrainingError
from minideconv.files.slots import SlotFile
from minideconv.models.trunk import Features, split_network
from minideconv.nn import Module
from minideconv.settings.setting import refusal

__all__ = ["FeatureCache", "Prefetched", "ReadAhead"]


class _Plane(NamedTuple):
    """How one array of the features of an image is stored: dense, in the order of its memory."""

    axes: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stored: np.dtype[Any]

    @classmethod
    def of(cls, array: np.ndarray, dtype: str) -> _Plane:
        """Describe an array (1, C, H, W); numbers are stored as `dtype`, switches as they are."""
        image = array[0]
        axes = tuple(sorted(range(3), key=lambda axis: -image.strides[axis]))
        stored = np.dtype(dtype) if array.dtype.kind == "f" else array.dtype
        return cls(axes, tuple(image.shape[axis] for axis in axes), array.dtype, stored)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.stored.itemsize

    def batch(self, rows: list[np.ndarray]) -> np.ndarray:
        """Put stored arrays together, (N, C, H, W), in memory as the network made them."""
        whole = np.empty((len(rows), *self.shape), self.dtype)
        for place, row in zip(whole, rows, strict=True):
            place[...] = row
        back = [1 + self.axes.index(axis) for axis in range(3)]
        return whole.transpose(0, *back)


class FeatureCache:
    """The features of crops, from a file where they are there, computed where they are not.

    Parameters
    ----------
    model : Module
        A network in two parts (`models.trunk.SplitNetwork`), its first `stages` stages frozen.
    stages : int
        How many stages' features are kept.
    path : str or Path
        The file. What an earlier session left there is used if it is of the same weights.
    budget : int
        Bytes that it may have; what comes when it is full is computed each time.
    dtype : {"float32", "float16"}
        How numbers are kept. What is computed is rounded to it too, so a full file changes nothing.
    about : mapping, optional
        What else the features depend on, such as the algorithm of the convolutions.

    Attributes
    ----------
    computed, found : int
        Images whose features were computed, and those that were read.
    """

    def __init__(
        self,
        model: Module,
        stages: int,
        path: str | Path,
        budget: int,
        dtype: str = "float32",
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.stages, self.dtype = split_network(model), stages, dtype
        self.path, self.budget = Path(path), budget
        self.computed = self.found = 0
        self._identity = _identity(model, stages, {"dtype": dtype, **(about or {})})
        self._file: SlotFile | None = None
        self._planes: list[_Plane] = []
        self._example: Features | None = None

    def keys(self, inputs: np.ndarray) -> list[bytes]:
        """Return what identifies each image of a batch (N, 3, H, W)."""
        pixels = np.ascontiguousarray(inputs.transpose(0, 2, 3, 1))  # as they are in memory
        shape = repr(pixels.shape[1:]).encode()
        return [hashlib.sha256(shape + memoryview(image).cast("B")).digest() for image in pixels]

    def read(self, key: bytes) -> np.ndarray | None:
        """Return the stored bytes of an image, or None."""
        if self._file is None or key not in self._file:
            return None
        content = np.empty(self._file.size, np.uint8)
        return content if self._file.read(key, content.data) else None

    def features(
        self,
        inputs: np.ndarray,
        keys: list[bytes] | None = None,
        read: list[np.ndarray | None] | None = None,
    ) -> Features:
        """Return the features of a batch (N, 3, H, W).

        `keys`, and `read`, what was there for them, are found out here if they are not given.
        """
        keys = self.keys(inputs) if keys is None else keys
        contents = [self.read(key) for key in keys] if read is None else read
        for place, key in enumerate(keys):
            if contents[place] is None:  # perhaps it has been computed since, in this batch even
                contents[place] = self.read(key)
            if contents[place] is not None:
                self.found += 1
                continue
            self.computed += 1
            content = contents[place] = self._computed(inputs[place : place + 1])
            assert self._file is not None
            self._file.write(key, content.data)
        return self._joined([content for content in contents if content is not None])

    def _computed(self, image: np.ndarray) -> np.ndarray:
        """Compute the features of one image; return them as they are stored."""
        with no_grad():
            features = self.model.encode(Tensor(image, device="cpu"), self.stages)
        arrays: list[Array] = [one.data for one in features.maps]
        arrays += [one.taps for one in features.switches if one.taps is not None]
        if not self._planes:
            self._planes = [_Plane.of(array, self.dtype) for array in arrays]
            self._example = features
        if self._file is None:
            size = sum(plane.nbytes for plane in self._planes)
            self._file = SlotFile(self.path, self._identity, size, self.budget)
        content = np.empty(self._file.size, np.uint8)
        for array, (plane, stored) in zip(arrays, self._parts(content), strict=True):
            with np.errstate(over="ignore"):
                stored[...] = array[0].transpose(plane.axes)
            if plane.stored != array.dtype and not np.isfinite(stored).all():
                raise self._too_large(array)
        return content

    def _too_large(self, array: np.ndarray) -> Exception:
        largest = f"a feature is {float(np.abs(array).max()):g}, more than {self.dtype} holds"
        return refusal(
            lambda name: f"{name('cache_dtype')} is {self.dtype}, but {largest}; use float32",
            TrainingError,
        )

    def _parts(self, content: np.ndarray) -> Iterator[tuple[_Plane, np.ndarray]]:
        """Yield how each array is stored, and where in the content."""
        begin = 0
        for plane in self._planes:
            stored = content[begin : begin + plane.nbytes].view(plane.stored)
            yield plane, stored.reshape(plane.shape)
            begin += plane.nbytes

    def _joined(self, contents: list[np.ndarray]) -> Features:
        assert self._example is not None
        example, parts = self._example, [list(self._parts(content)) for content in contents]
        arrays: list[Array] = [
            plane.batch([image[number][1] for image in parts])
            for number, plane in enumerate(self._planes)
        ]
        count = len(example.maps)
        maps = tuple(Tensor(array, device="cpu") for array in arrays[:count])
        pairs = zip(example.switches, arrays[count:], strict=True)
        return Features(
            self.stages, example.size, maps, tuple(like.with_taps(taps) for like, taps in pairs)
        )

    def summary(self) -> str:
        """Return what was computed and what was read, as a text."""
        kept = 0 if self._file is None else len(self._file)
        problem = "" if self._file is None else self._file.problem
        stopped = f" (no more are kept: {problem})" if problem else ""
        return f"{self.computed} computed, {self.found} read, {kept} kept{stopped}"

    def close(self, remove: bool = False) -> None:
        """Close the file, and remove it if that is wanted."""
        if self._file is not None:
            self._file.close(remove)
        elif remove:
            self.path.unlink(missing_ok=True)


def _identity(model: Module, stages: int, about: Mapping[str, Any]) -> bytes:
    """Return a digest of the frozen weights and statistics, and of all else that is about them."""
    digest = hashlib.sha256(repr((__version__, stages, sorted(about.items()))).encode())
    for name, array in model.arrays().items():
        if name.startswith("conv") and int(name[4]) <= stages and not name.endswith("tracked"):
            digest.update(repr((name, array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


class Prefetched(NamedTuple):
    """A batch, its images' keys, what the cache had for them, and the loader's state behind it."""

    inputs: np.ndarray
    targets: np.ndarray
    keys: list[bytes]
    read: list[np.ndarray | None]
    loader_state: dict[str, Any]


class ReadAhead:
    """Batches of a loader with their features; one thread reads the next while one is in use.

    Notes
    -----
    `close` must be called, at the end of the loop or when it is left early: the thread ends then.
    """

    def __init__(self, loader: Any, cache: FeatureCache) -> None:
        self._loader, self._cache = loader, cache
        self._batches = iter(loader)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="minideconv-features")
        self._next = self._thread.submit(self._read)

    def __iter__(self) -> Iterator[Prefetched]:
        return self

    def __next__(self) -> Prefetched:
        batch = self._next.result()
        if batch is None:
            raise StopIteration
        self._next = self._thread.submit(self._read)
        return batch

    def _read(self) -> Prefetched | None:
        batch = next(self._batches, None)
        if batch is None:
            return None
        inputs, targets = batch
        keys = self._cache.keys(inputs)
        state = self._loader.state_dict()
        return Prefetched(inputs, targets, keys, [self._cache.read(key) for key in keys], state)

    def close(self) -> None:
        """End the thread, and those of the loader."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        if hasattr(self._batches, "close"):
            self._batches.close()
