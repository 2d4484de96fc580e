"""Steps of several processes against those of one with the whole batches, in float64.

Every process takes both: its share of the shared steps, and all of the single ones. Rank 0 prints
how far apart they end, for the right way and for wrong ones, as JSON.
"""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np

from minideconv import random
from minideconv.data.shard import shard_of
from minideconv.distributed import communicator
from minideconv.models import deconvnet
from minideconv.optim import SGD, Adam
from minideconv.tasks import Segmentation
from minideconv.training.config import TrainConfig
from minideconv.training.data_parallel import DataParallel, SingleProcess
from minideconv.training.memory_watch import MemoryWatch
from minideconv.training.meters import Clock, LossMeter
from minideconv.training.step import HostStep

SIZES = (7, 7, 4, 2, 6)  # images of the batches; of 4 processes two have none of the fourth
EVEN = (8, 8, 8, 8, 8)  # enough for a process that normalises by its own images
CLASSES = 3


def batches(shard, sizes):
    """Yield a process's part of each batch, with very different numbers of pixels that count."""
    rng = np.random.default_rng(5)
    for size in sizes:
        images = rng.standard_normal((size, 3, 16, 16)) * 2 + 1
        labels = rng.integers(0, CLASSES, (size, 16, 16)).astype(np.uint8)
        labels[0, :15] = 255
        labels[1:2] = 255
        mine = shard_of(range(size), *shard)
        yield images[mine.start : mine.stop], labels[mine.start : mine.stop]


class Averaged(DataParallel):
    """Wrong: every process has the same weight, however many pixels it has."""

    def loss_weight(self, task, targets, weight):
        return weight / self.world_size


class ByImages(DataParallel):
    """Wrong: weights by images, though some have more pixels that count than others."""

    def loss_weight(self, task, targets, weight):
        return weight * len(targets) / float(self.all_reduce_sum(np.array(float(len(targets)))))


class Unsynchronised(DataParallel):
    """Wrong: every process normalises by its own statistics."""

    def prepare(self, model):
        for array in model.arrays().values():
            self.comm.broadcast_(array)


class Clipped(DataParallel):
    """Wrong: gradients are clipped before they are added up."""

    def all_reduce_gradients(self, optimizer):
        flat = optimizer.flat_grad
        flat *= min(1.0, 0.5 / (float(np.linalg.norm(flat)) + 1e-6))
        super().all_reduce_gradients(optimizer)


def train(strategy, kind, sizes=SIZES):
    """Take the steps; return weights, statistics, losses and counts: a list of arrays."""
    random.manual_seed(0)
    rank = strategy.rank
    model = deconvnet(num_classes=CLASSES, width=2, input_size=16, fc=4, stages=2)
    model.to(dtype=np.float64)
    for parameter in model.parameters():
        parameter.data += 0.1 * rank  # rank 0 is to be followed
    strategy.prepare(model)
    if kind == "sgd":
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3, nesterov=True)
    else:
        optimizer = Adam(model.parameters(), lr=0.01, eps=0.1)
    if strategy.world_size > 1:
        optimizer.flatten()
    config = TrainConfig(clip_grad=0.5)
    task = Segmentation(["a", "b", "c"], label_smoothing=0.1)
    progress = SimpleNamespace(step=0, epoch=0)
    journal = SimpleNamespace(clock=Clock(), progress=progress)
    steps = HostStep(model, task, config, journal, MemoryWatch(model, None, str), strategy)
    stage = SimpleNamespace(
        loader=batches((strategy.rank, strategy.world_size), sizes),
        optimizer=optimizer,
        metrics=task.metrics(),
        loss=LossMeter(),
        lr=0.0,
    )
    steps.begin(stage)
    for count in (1, 2, 1, 1):  # the second step adds up two batches
        steps.take(stage, count)
    arrays = [array.ravel() for name, array in model.arrays().items() if "tracked" not in name]
    return [*arrays, np.array([stage.loss.epoch_mean()]), stage.metrics.counts.astype(float)]


def difference(found, wanted):
    """Return the largest difference of two lists of arrays, relative to their size.

    A bias in front of batch norm stays at rounding's 1e-18, which is compared with a step's 1e-3.
    """
    pairs = zip(found, wanted, strict=True)
    norm = np.linalg.norm
    return max(float(norm(a - b) / max(norm(b), 1e-3 * b.size**0.5)) for a, b in pairs)


if __name__ == "__main__":
    comm = communicator(limit=300)
    results = {}
    for kind in ("sgd", "adam"):
        wanted = train(SingleProcess(), kind)
        found = train(DataParallel(comm), kind)
        results[kind] = difference(found, wanted)
        rows = comm.all_gather(np.concatenate([array.ravel() for array in found]))
        results[f"{kind}, between ranks"] = float(np.abs(rows - rows[0]).max())
    wrong = {
        backend.__name__: difference(
            train(backend(comm), "sgd", sizes), train(SingleProcess(), "sgd", sizes)
        )
        for backend, sizes in (
            (Averaged, SIZES),
            (ByImages, SIZES),
            (Clipped, SIZES),
            (DataParallel, EVEN),
            (Unsynchronised, EVEN),
        )
    }
    if comm.rank == 0:
        print(json.dumps({**results, **wrong}))
    comm.close()
