"""Batch normalisation by several processes, here threads, against that of the whole batch."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv import ops
from minideconv.autograd import Tensor
from minideconv.distributed import Single
from minideconv.nn import BatchNorm2d, Conv2d, Sequential, SyncBatchNorm2d


class Threads:
    """Processes for one computer to play: each is a thread, `of` gives it its communicator."""

    def __init__(self, size):
        self.size, self.barrier, self.slots = (
            size,
            threading.Barrier(size, timeout=300),
            [None] * size,
        )

    def of(self, rank):
        return Thread(self, rank)

    def run(self, work):
        """Return what ``work(rank)`` returned in each thread."""
        results = [None] * self.size

        def one(rank):
            try:
                results[rank] = work(rank)
            except Exception as error:
                results[rank] = error
                self.barrier.abort()

        threads = [threading.Thread(target=one, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        errors = [r for r in results if isinstance(r, Exception)]
        for error in errors:
            if not isinstance(error, threading.BrokenBarrierError):
                raise error
        return results


class Thread:
    """The communicator of one of them."""

    def __init__(self, others, rank):
        self.others, self.rank = others, rank

    def all_gather(self, array):
        self.others.slots[self.rank] = array.copy()
        self.others.barrier.wait()
        rows = np.stack(self.others.slots)
        self.others.barrier.wait()
        return rows

    def all_reduce_(self, array):
        array[...] = self.all_gather(array).sum(axis=0)


@st.composite
def shared_batches(draw):
    """A batch, and where it is cut among the processes: parts may be empty or have one value."""
    count = draw(st.integers(2, 9))
    size = draw(st.integers(1, 4))
    cuts = sorted(draw(st.lists(st.integers(0, count), min_size=size - 1, max_size=size - 1)))
    channels = draw(st.sampled_from((1, 3, 40)))
    plane = draw(st.sampled_from(((), (1, 1), (5, 2), (1, 7))))
    dtype = draw(st.sampled_from((np.float32, np.float64)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (count, channels, *plane)
    # Processes see very different images: that is where the formula matters.
    levels = rng.integers(-30, 31, (count, *[1] * (len(shape) - 1)))
    x = (rng.standard_normal(shape) + levels).astype(dtype)
    dy = rng.standard_normal(shape).astype(dtype)
    weight, bias = rng.standard_normal((2, channels)).astype(dtype)
    return x, dy, weight, bias, [0, *cuts, count]


def single(batch, relu):
    x, dy, weight, bias, _ = batch
    mean, var = np.zeros(len(weight), x.dtype), np.ones(len(weight), x.dtype)
    forward = ops.batch_norm_relu if relu else ops.batch_norm
    y, saved = forward(x, mean, var, weight, bias, True, return_saved=True)
    if relu:
        grads = ops.batch_norm_relu_backward(dy, x, saved, weight, bias)
    else:
        grads = ops.batch_norm_backward(dy, x, saved, weight)
    return y, *grads, mean, var


def together(batch, relu):
    x, dy, weight, bias, cuts = batch
    threads = Threads(len(cuts) - 1)

    def work(rank):
        part, comm = slice(cuts[rank], cuts[rank + 1]), threads.of(rank)
        mean, var = np.zeros(len(weight), x.dtype), np.ones(len(weight), x.dtype)
        y, saved = ops.sync_batch_norm(x[part], mean, var, weight, bias, 0.1, 1e-5, comm, relu)
        grads = ops.sync_batch_norm_backward(dy[part], x[part], saved, weight, bias, comm, relu)
        return y, *grads, mean, var

    parts = threads.run(work)
    for _, _, _, _, mean, var in parts:  # the same bits everywhere
        np.testing.assert_array_equal(mean, parts[0][4])
        np.testing.assert_array_equal(var, parts[0][5])
    y, dx = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    dweight, dbias = (np.sum([part[k] for part in parts], axis=0) for k in (2, 3))
    return y, dx, dweight, dbias, *parts[0][4:]


def distance(found, wanted, scale):
    """Return the largest difference: of dx to its scale without cancellation, others relative."""
    pairs = zip(found, wanted, strict=True)
    return max(float(np.linalg.norm(a - b) / max(np.linalg.norm(b), scale)) for a, b in pairs)


@given(shared_batches(), st.booleans())
def test_parts_of_any_size_are_one_batch(batch, relu):
    bound = 1e-12 if batch[0].dtype == np.float64 else 1e-5
    scale = np.sqrt(batch[0].size) / np.sqrt(np.var(batch[0]) + 1e-5) + 1e-30
    found, wanted = together(batch, relu), single(batch, relu)
    assert all(a.dtype == b.dtype for a, b in zip(found, wanted, strict=True))
    # A ReLU at 0 may go either way, by rounding: values are then equal, gradients are not compared.
    touched = relu and np.abs(single(batch, False)[0]).min() < 1e-4
    count = 1 if touched else 6
    assert distance(found[:count], wanted[:count], scale) < bound


@pytest.mark.parametrize("wrong", ["no spread of the means", "mean of means", "own share"])
def test_wrong_formulas_are_seen(monkeypatch, wrong):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 5, 3, 2, 2)) + np.arange(5)[:, None, None, None]
    batch = (x, dy, np.ones(3), np.zeros(3), [0, 1, 5])
    module = sys.modules["minideconv.ops.sync_batch_norm"]
    right = module.merge

    def merge(rows, *rest):
        rows = rows.copy()
        if wrong == "no spread of the means":
            rows[:, 1:4] = right(rows, None, None, *rest[2:])[0].mean
        if wrong == "mean of means":
            rows[:, 0] = rows[:, 0].mean()
        saved, total = right(rows, *rest)
        return saved, total / 2 if wrong == "own share" else total

    monkeypatch.setattr(module, "merge", merge)
    assert distance(together(batch, False), single(batch, False), 1e-3) > 1e-3


def test_one_value_in_the_whole_batch_is_refused():
    threads = Threads(3)

    def work(rank):
        x = np.ones((int(rank == 1), 2, 1, 1))
        return ops.sync_batch_norm(x, None, None, None, None, 0.1, 1e-5, threads.of(rank))

    with pytest.raises(ValueError, match="of all 3 processes has 1 value per channel"):
        threads.run(work)


def test_wrong_gradients_are_refused():
    x = np.ones((3, 2, 1, 1))
    _, saved = ops.sync_batch_norm(x, None, None, None, None, 0.1, 1e-5, Single())
    with pytest.raises(ValueError, match=r"dy has shape \(2, 2, 1, 1\) but x has shape"):
        ops.sync_batch_norm_backward(x[:2], x, saved, None, None, Single())


def test_layers_are_converted_in_place():
    net = Sequential(Conv2d(3, 4, 3), BatchNorm2d(4, momentum=0.3), Sequential(BatchNorm2d(4)))
    weight, names = net[1].weight, list(net.state_dict())
    net.eval()
    converted = SyncBatchNorm2d.convert_sync_batchnorm(net, Single())
    assert converted is net
    assert isinstance(net[1], SyncBatchNorm2d)
    assert isinstance(net[2][0], SyncBatchNorm2d)
    assert net[1].weight is weight
    assert (net[1].momentum, net[1].training) == (0.3, False)
    assert list(net.state_dict()) == names
    alone = SyncBatchNorm2d.convert_sync_batchnorm(BatchNorm2d(4), Single())
    assert isinstance(alone, SyncBatchNorm2d)


@pytest.mark.parametrize("momentum", [0.2, None])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_the_layer_of_one_process_is_batch_norm(momentum, relu, training):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, 4, 5, 6))
    layers = BatchNorm2d(4, momentum=momentum), SyncBatchNorm2d(Single(), 4, momentum=momentum)
    results = []
    for layer in layers:
        layer.to(dtype=np.float64).train(training)
        inputs = [Tensor(x + k, requires_grad=True) for k in range(2)]
        for tensor in inputs:
            (layer(tensor, relu) * Tensor(np.cos(x))).sum().backward()
        gradients = [tensor.grad.data for tensor in (*inputs, layer.weight)]
        results.append([*layer.state_dict().values(), *gradients])
    for found, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def test_without_running_averages():
    x = np.random.default_rng(1).standard_normal((3, 4, 5, 6))
    layers = (
        BatchNorm2d(4, track_running_stats=False),
        SyncBatchNorm2d(Single(), 4, track_running_stats=False),
    )
    found, wanted = (layer.to(dtype=np.float64).eval()(Tensor(x)).data for layer in layers)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
