"""`DataLoader`: batches in a reproducible order, prepared ahead, resumable at any batch."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from numbers import Integral, Real
from typing import Any, Protocol

import numpy as np

from minideconv.data.item_processes import ItemProcesses, Pairs
from minideconv.data.prepare import Preparation
from minideconv.data.shard import shard_of
from minideconv.data.transforms import Pair, Transform
from minideconv.errors import DataError, MinideconvError, UsageError

__all__ = ["Batch", "DataLoader", "Dataset", "Sampler"]

Batch = tuple[np.ndarray, np.ndarray]
Sampler = Callable[[int, np.random.Generator], Sequence[int]]
# Which stream of random numbers: the epoch's order, one sample, or a version of one item.
_ORDER, _SAMPLE, _VIEW = 0, 1, 2


class Dataset(Protocol):
    """What the loader and the crops need of a data set."""

    classes: list[str]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]: ...

    def name(self, index: int) -> str:
        """Return what messages call the item."""
        ...


class DataLoader:
    """Iterating gives one epoch of batches; iterating again gives the next epoch.

    Parameters
    ----------
    dataset : index -> (image, mask).
    batch_size : samples in a batch; the last batch is smaller unless `drop_last`.
    transform : called as (image, mask, rng) on every sample; None stacks the raw pairs.
    shuffle : a new order in every epoch.
    seed : with the epoch, decides the order and all random numbers of the transforms.
    workers : threads that prepare batches ahead; 0 prepares each when it is due.
    drop_last : leave out a last batch that is not full.
    sampler : indices to use instead of all, each once (an index may occur several times), or a
        function (epoch, rng) -> indices. A function's order is kept; `shuffle` shuffles a list.
    prefetch : batches prepared ahead per worker.
    cache_mb : what the first transforms give that draw nothing (`transforms`, ``fixed``) is kept,
        up to so many MiB; 0 makes it anew in each epoch. For data sets whose items do not change.
    as_bytes : hand out images as they are before the `Normalize` that ends the transform: a quarter
        of the bytes to send to a GPU, which carries out ``loader.normalize`` itself.
    shard : (rank, size): of each batch, hand out the part of one of several processes, which may be
        empty (N = 0). Samples, lengths and states are those of the whole batches.
    views : how many versions of each item there are; epoch e shows version e mod `views` of all,
        the same one of an item that occurs twice. With 0 the transforms draw anew for every sample.
    processes : processes that make items for the threads, at most; for data sets whose items depend
        on their index alone and whose code keeps threads from running side by side, which have
        ``holds_gil = True`` (`Shapes` has). What goes into the cache is made by them.

    Yields
    ------
    images, masks : (N, 3, H, W) float32, stored channels last, and (N, H, W) uint8 with the usual
        transforms; images (N, H, W, 3) uint8 if `as_bytes`.

    Attributes
    ----------
    normalize : the `Normalize` that ends the transform, or None. If `as_bytes`, it is left to do:
        ``loader.normalize.batch(images)`` has the same bytes as a batch without `as_bytes`.
    epoch : the epoch being handed out, or handed out next; from 0. `set_epoch` changes it.

    Notes
    -----
    The sample at position p of epoch e draws from SeedSequence(seed, e, p), or with `views` from
    one of its item and version: which thread or process prepares it, and how many there are,
    changes no byte. `state_dict()` inside the loop names the next batch; a loader given that state
    goes on exactly there, once. Without one, every `iter()` starts a whole epoch: leaving a loop
    early skips the rest of it.

    Processes start with an epoch in which there are items enough to be made, and stay until one
    begins in which there are none, until a loop is left early, or until `close`.

    Examples
    --------
    >>> from minideconv.data.shapes import Shapes
    >>> loader = DataLoader(Shapes("train", length=5), batch_size=2, shuffle=True)
    >>> [len(images) for images, masks in loader]
    [2, 2, 1]
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        transform: Transform | None = None,
        shuffle: bool = False,
        seed: int = 0,
        workers: int = 0,
        drop_last: bool = False,
        sampler: Sequence[int] | Sampler | None = None,
        prefetch: int = 2,
        cache_mb: float = 0,
        as_bytes: bool = False,
        shard: tuple[int, int] = (0, 1),
        processes: int = 0,
        views: int = 0,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("seed", seed, 0),
            ("workers", workers, 0),
            ("prefetch", prefetch, 1),
            ("cache_mb", cache_mb, 0),
            ("processes", processes, 0),
            ("views", views, 0),
        ):
            kind = Real if name == "cache_mb" else Integral
            if not isinstance(value, kind):
                number = "number" if kind is Real else "whole number"
                raise UsageError(f"DataLoader: {name} is {value!r}; it must be a {number}")
            if not value >= least:
                raise UsageError(f"DataLoader: {name} is {value}; it must be at least {least}")
        if transform is not None and not callable(transform):  # PyTorch's third is `shuffle`
            raise UsageError(
                f"DataLoader: transform is {transform!r}; it must be a function of an image and a"
                " mask, or None; what else is meant is said by name: shuffle=True"
            )
        for name, flag in (("shuffle", shuffle), ("drop_last", drop_last), ("as_bytes", as_bytes)):
            if not isinstance(flag, bool):
                raise UsageError(f"DataLoader: {name} is {flag!r}; it must be True or False")
        self.dataset, self.batch_size, self.transform = dataset, batch_size, transform
        self.shuffle, self.seed, self.drop_last = shuffle, seed, drop_last
        self.workers, self.prefetch = workers, prefetch
        self.sampler, self.shard, self.views = sampler, shard, views
        self._preparation = Preparation(dataset.__getitem__, transform, cache_mb, as_bytes)
        self.as_bytes, self.normalize = as_bytes, self._preparation.finish
        if as_bytes and self.normalize is None:
            raise UsageError(
                "DataLoader: as_bytes is True, but the transform does not end in Normalize, so"
                " it is not defined how the bytes become numbers"
            )
        self._processes = ItemProcesses(dataset, self._preparation, processes)
        weakref.finalize(self, self._processes.abandon)
        self.epoch, self._position = 0, 0
        self._begun = False  # is this epoch under way, so that iter() means the next one?
        self._samples = len(self._order(0))
        if len(self) == 0:
            raise UsageError(
                f"DataLoader: {self._samples} samples make no full batch of {batch_size};"
                " give more data, a smaller batch_size, or drop_last=False"
            )

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        full, rest = divmod(self._samples, self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def set_epoch(self, epoch: int) -> None:
        """Make the next `iter()` start at the first batch of `epoch`."""
        if epoch < 0:
            raise UsageError(f"DataLoader: epoch is {epoch}; it must be 0 or more")
        self.epoch, self._position, self._begun = epoch, 0, False

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands, as plain numbers: after k batches of an epoch, position k."""
        return {"epoch": self.epoch, "position": self._position, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Make the next `iter()` go on where `state` was taken.

        Raises
        ------
        UsageError
            If the state belongs to other data or another order: going on would not be exact.
        """
        state = {"views": 0, **state}  # older states have none
        for name, mine in self._identity().items():
            if name not in state or state[name] != mine:
                raise UsageError(
                    f"DataLoader: the saved position has {name}={state.get(name)!r} but this loader"
                    f" has {name}={mine!r}; resume with the same data and settings"
                )
        epoch, position = int(state["epoch"]), int(state["position"])
        if epoch < 0 or not 0 <= position <= len(self):
            raise UsageError(
                f"DataLoader: the saved position is batch {position} of epoch {epoch};"
                f" an epoch has batches 0 to {len(self)}"
            )
        self.epoch, self._position, self._begun = epoch, position, False

    def _identity(self) -> dict[str, Any]:
        names = ("batch_size", "shuffle", "seed", "drop_last", "views")
        return {"samples": self._samples, **{name: getattr(self, name) for name in names}}

    def __iter__(self) -> Iterator[Batch]:
        if self._begun:
            self.epoch, self._position = self.epoch + 1, 0
        self._begun = True
        return self._batches(self.epoch, self._position)

    def close(self) -> None:
        """End the processes there may be; the loader can be used again."""
        self._processes.end()

    def _batches(self, epoch: int, first: int) -> Iterator[Batch]:
        order = self._order(epoch)
        jobs = range(first, len(self))
        self._processes.start(int(order[p]) for job in jobs for p in self._places(job, order)[0])
        pool = None
        if self.workers:
            pool = ThreadPoolExecutor(self.workers, thread_name_prefix="minideconv-loader")

        def begin(job: int) -> Callable[[], Batch]:
            """Let a thread prepare the batch, if there are threads; return what waits for it."""
            if pool is None:
                return partial(self._batch, epoch, order, job)
            return pool.submit(self._batch, epoch, order, job).result

        try:
            todo = iter(jobs)
            ahead = deque(map(begin, islice(todo, max(1, self.workers * self.prefetch))))
            while ahead:
                batch = ahead.popleft()()
                ahead.extend(map(begin, islice(todo, 1)))  # one handed out, one more begun
                self._position += 1
                yield batch
        except BaseException:  # left early, or failed
            self._processes.end()  # before the threads, which may be waiting for one that hangs
            raise
        finally:
            if pool is not None:
                pool.shutdown(wait=True, cancel_futures=True)

    def _stream(self, epoch: int, *key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(epoch, *key)))

    def _order(self, epoch: int) -> np.ndarray:
        rng = self._stream(epoch, _ORDER)
        if callable(self.sampler):
            return np.asarray(self.sampler(epoch, rng), dtype=np.int64)
        if self.sampler is None:
            order = np.arange(len(self.dataset))
        else:
            order = np.asarray(self.sampler, dtype=np.int64)
        return rng.permutation(order) if self.shuffle else order

    def _places(self, job: int, order: np.ndarray) -> tuple[range, int]:
        """Return the positions of a batch's samples, and how many of them are handed out."""
        whole = range(job * self.batch_size, min(len(order), (job + 1) * self.batch_size))
        mine = shard_of(whole, *self.shard)
        return mine or whole[:1], len(mine)  # an empty part takes its shapes from one sample

    def _batch(self, epoch: int, order: np.ndarray, job: int) -> Batch:
        positions, count = self._places(job, order)
        indices = [int(order[p]) for p in positions]
        made = self._processes.request(indices)  # all at once, so that they are made side by side
        pairs = [self._sample(epoch, i, p, made) for i, p in zip(indices, positions, strict=True)]
        sizes = [(image.shape, mask.shape) for image, mask in pairs]
        odd = next((k for k, size in enumerate(sizes) if size != sizes[0]), None)
        if odd is not None:
            first, other = (self.dataset.name(indices[k]) for k in (0, odd))
            raise DataError(
                f"DataLoader: {first} is {sizes[0][0]} but {other} is {sizes[odd][0]};"
                " a batch needs one size, so give a transform that makes it"
            )
        images, masks = self._preparation.batch(pairs)
        return images[:count], masks[:count]

    def _sample(
        self, epoch: int, index: int, position: int, made: dict[int, Future[Pairs]]
    ) -> Pair:
        def begin() -> Pair:
            pair = made[index].result().get(index) if index in made else None
            return self._preparation.begin(index) if pair is None else pair

        try:
            view = (epoch % self.views, _VIEW, index) if self.views else ()
            key = view or (epoch, _SAMPLE, position)
            return self._preparation.sample(index, lambda: self._stream(*key), begin)
        except MinideconvError:
            raise  # names the file already
        except Exception as error:
            raise DataError(
                f"DataLoader: item {index} ({self.dataset.name(index)}) failed with"
                f" {type(error).__name__}: {error}"
            ) from error
