"""The loss as a training step uses it, on CuPy arrays: what it costs, and as a recorded graph.

``F.losses.ops`` is the module of ops as the library has it; as a name of its own in a test it would
take NumPy arrays (tests/support/on_device.py).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minideconv as md
from minideconv import Tensor
from minideconv import functional as F
from minideconv.backend import Device
from minideconv.data.transforms import Normalize
from minideconv.engine.cuda import checks, confusion, images
from minideconv.engine.cuda.streams import computing_on
from minideconv.ops.cross_entropy import CrossEntropySaved
from minideconv.testing import seeds

SHAPE = (2, 5, 7, 9)


def data(seed=0, shape=SHAPE):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((shape[0], *shape[2:], shape[1])).astype(np.float32)
    t = rng.integers(0, shape[1], (shape[0], *shape[2:])).astype(np.uint8)
    t[rng.random(t.shape) < 0.2] = 255
    return np.moveaxis(z, -1, 1), t, rng.uniform(0.2, 2, shape[1]).astype(np.float32)


def taken(device, z, t, w, **options):
    """Return loss and gradient through a Tensor."""
    scores = Tensor(device.put(z), requires_grad=True)
    loss = F.cross_entropy(scores, t, w, **options)
    (loss * 3).sum().backward()
    return device.get(loss.data), device.get(scores.grad.data)


@settings(max_examples=20)
@given(
    seeds(),
    st.sampled_from(["mean", "sum", "none"]),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from(["host", "device", "tensor"]),
    st.sampled_from(["exact", "reference"]),
)
def test_labels_and_weights_may_be_on_any_device(cupy_device, seed, reduction, smoothing, at, name):
    z, t, w = data(seed)
    options = {"reduction": reduction, "label_smoothing": smoothing}
    leaf = Tensor(z, requires_grad=True, device="cpu")
    want = F.cross_entropy(leaf, t, w, **options)
    (want * 3).sum().backward()
    if at != "host":
        t, w = cupy_device.put(t), cupy_device.put(w)
    if at == "tensor":
        w = Tensor(w)
    with md.algorithm(name):
        loss, grad = taken(cupy_device, z, t, w, **options)
    np.testing.assert_allclose(loss, want.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(grad, leaf.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_a_loss_goes_back_whatever_the_algorithm_is_then(cupy_device):
    z, t, w = data()
    for first, then in (("exact", "reference"), ("reference", "exact")):
        scores = Tensor(cupy_device.put(z), requires_grad=True)
        with md.algorithm(first):
            loss = F.cross_entropy(scores, t, w, label_smoothing=0.1)
        with md.algorithm(then):
            loss.backward()
        leaf = Tensor(z, requires_grad=True, device="cpu")
        F.cross_entropy(leaf, t, w, label_smoothing=0.1).backward()
        np.testing.assert_allclose(scores.grad.numpy(), leaf.grad.numpy(), rtol=1e-5, atol=1e-7)


def test_scores_changed_before_the_way_back_are_noticed(cupy_device):
    z, t, _ = data()
    scores = Tensor(cupy_device.put(z), requires_grad=True) * 1.0
    loss = F.cross_entropy(scores, cupy_device.put(t))
    with md.no_grad():
        scores += 1
    with pytest.raises(RuntimeError, match=r"cross_entropy: a tensor saved .* changed in place"):
        loss.backward()


def test_nothing_as_large_as_the_scores_is_kept(cupy_device):
    z, t, _ = map(cupy_device.put, data(shape=(2, 21, 33, 35)))
    pool = cupy_device.xp.get_default_memory_pool()
    F.losses.ops.cross_entropy(z, t)
    before = pool.used_bytes()
    loss, saved = F.losses.ops.cross_entropy(z, t, return_saved=True)
    assert isinstance(saved, CrossEntropySaved)
    assert saved.logits is z
    assert saved.target is t
    assert pool.used_bytes() - before <= 3 * 512  # the loss, the divisor, and what rounding adds
    grad = F.losses.ops.cross_entropy_backward(cupy_device.xp.ones_like(loss), saved, t)
    assert grad.transpose(0, 2, 3, 1).flags.c_contiguous


def test_too_many_classes_go_the_readable_way(cupy_device):
    z, t, w = data(shape=(1, 530, 2, 3))
    loss, grad = taken(cupy_device, z, t, w)
    leaf = Tensor(z, requires_grad=True, device="cpu")
    want = F.cross_entropy(leaf, t, w)
    (want * 3).backward()
    np.testing.assert_allclose(loss, want.numpy(), rtol=1e-5)
    np.testing.assert_allclose(grad, leaf.grad.numpy(), rtol=1e-5, atol=1e-7)


def test_wrong_labels_on_the_host_are_refused_before_they_travel(cupy_device):
    z, t, w = data()
    t[0, 0, 0] = 77
    with pytest.raises(ValueError, match=r"1 labels outside 0\.\.4 .*: 77 \(1 times\)"):
        F.cross_entropy(Tensor(cupy_device.put(z)), t)
    t[0, 0, 0] = 0
    w[1] = -1
    with pytest.raises(ValueError, match=r"cross_entropy: weight is .* must be finite and >= 0"):
        F.cross_entropy(Tensor(cupy_device.put(z)), t, w)


@pytest.fixture
def counted(counts):
    """Return a function that runs another one twice and returns what the second time cost."""

    def run(function):
        function()
        with counts() as cost:
            function()
        return {name: number for name, number in cost().items() if number}

    return run


def test_what_a_loss_costs(cupy_device, counted):
    z, t, w = data()
    scores = cupy_device.put(z)
    labels, matrix = cupy_device.put(t), cupy_device.xp.zeros((5, 5), np.int64)
    loss, saved = F.losses.ops.cross_entropy(scores, labels, return_saved=True)
    one = cupy_device.xp.ones_like(loss)
    bytes_ = cupy_device.put(np.zeros((2, 7, 9, 3), np.uint8))

    def forward(target=labels, weight=None):
        F.losses.ops.cross_entropy(scores, target, weight)

    def quietly(function):
        def run():
            with checks.deferred():
                function()

        return run

    weighted = cupy_device.put(w)
    assert counted(quietly(forward)) == {"launches": 2}
    assert counted(quietly(lambda: forward(weight=weighted))) == {"launches": 2}
    assert counted(quietly(lambda: forward(weight=w))) == {"launches": 2}  # it travelled before
    assert counted(forward) == {"launches": 2, "d2h": 1, "syncs": 1}
    assert counted(lambda: forward(t)) == {"launches": 2, "h2d": 1}
    assert counted(lambda: F.losses.ops.cross_entropy_backward(one, saved, labels)) == {
        "launches": 1
    }
    assert counted(quietly(lambda: confusion.count(matrix, labels, scores))) == {"launches": 1}
    assert counted(lambda: images.normalize(bytes_, Normalize())) == {"launches": 1}


def test_no_array_of_the_scores_size_is_written_on_the_way_forward(cupy_device, counted):
    """A check of the counts: the readable op does ask for more."""
    z, t, _ = map(cupy_device.put, data())
    with md.algorithm("reference"):
        found = counted(lambda: F.losses.ops.cross_entropy(z, t))
    assert found["launches"] > 10
    assert found["syncs"] > 0


def test_bytes_loss_counts_and_gradient_as_a_recorded_graph(cupy_device):
    """One graph, replayed on other batches: as if each had been computed by itself."""
    xp, step = cupy_device.xp, Normalize()
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((3, 4)).astype(np.float32)
    batches = [
        (
            rng.integers(0, 256, (2, 5, 6, 3), np.uint8),
            rng.choice([0, 1, 2, 255], (2, 5, 6)).astype(np.uint8),
        )
        for _ in range(3)
    ]
    pixels, labels = (cupy_device.put(a) for a in batches[0])
    counts, gradient, loss = (
        xp.zeros((3, 3), np.int64),
        xp.zeros((2, 3, 5, 6), np.float32),
        xp.zeros((), np.float32),
    )

    def compute():
        with checks.deferred():
            scores = images.normalize(pixels, step)
            found, saved = F.losses.ops.cross_entropy(
                scores, labels, weight[:, 0] ** 2, return_saved=True
            )
            confusion.count(counts, labels, scores)
            loss[...] = found
            gradient[...] = F.losses.ops.cross_entropy_backward(one, saved, labels)

    one, pool = xp.ones((), np.float32), xp.cuda.MemoryPool()
    with computing_on(Device("gpu")), xp.cuda.using_allocator(pool.malloc):
        stream = xp.cuda.get_current_stream()
        compute()
        stream.begin_capture()
        compute()
        graph = stream.end_capture()
    stream.synchronize()
    counts[...] = 0
    expected = np.zeros((3, 3), np.int64)
    for x, t in batches:
        pixels.set(x)
        labels.set(t)
        xp.cuda.get_current_stream().synchronize()
        graph.launch(stream)
        stream.synchronize()
        leaf = Tensor(step.batch(x), requires_grad=True, device="cpu")
        want = F.cross_entropy(leaf, t, weight[:, 0] ** 2)
        want.backward()
        np.testing.assert_allclose(float(loss), want.item(), rtol=1e-5)
        np.testing.assert_allclose(
            cupy_device.get(gradient), leaf.grad.numpy(), rtol=1e-4, atol=1e-8
        )
        np.add.at(expected, (t[t < 3], step.batch(x).argmax(1)[t < 3]), 1)
        np.testing.assert_array_equal(cupy_device.get(counts), expected)
    checks.raise_deferred()
    labels.fill(7)
    xp.cuda.get_current_stream().synchronize()
    for _ in range(2):
        graph.launch(stream)
    stream.synchronize()
    with pytest.raises(ValueError, match=r"120 labels outside 0\.\.2 .*: 7 \(120 times\)"):
        checks.raise_deferred()
