"""Batch norm, ReLU and pooling in one on the GPU against the readable op; a network built of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minideconv import functional as F
from minideconv import ops
from minideconv.autograd import Tensor
from minideconv.backend import Device, default_device, to_cpu, to_device
from minideconv.backend.algorithms import algorithm
from minideconv.engine.cuda import batch_norm as walks
from minideconv.engine.cuda import batch_norm_pool as engine
from minideconv.engine.cuda import pooling
from minideconv.engine.cuda.streams import computing_on
from minideconv.models import deconvnet
from minideconv.ops.batch_norm import BatchNormSaved
from minideconv.ops.pool_window import pool_window
from minideconv.testing import seeds

EPS = 1e-5
LAST = (0, 2, 3, 1)


@st.composite
def shapes(draw):
    """Odd sizes, few channels and many."""
    c = draw(st.sampled_from([1, 2, 3, 4, 6, 21, 36]))
    return draw(st.integers(1, 3)), c, draw(st.integers(2, 11)), draw(st.integers(2, 9))


def window_of(shape):
    return pool_window("test", shape[2:], 2, None, 0, 1)


def close(found, want, dtype, what, terms=0.0):
    """Compare in the norm; `terms` is the norm of what was added up, where that may cancel."""
    assert found.shape == want.shape, what
    error, size = np.linalg.norm(found - want), max(np.linalg.norm(want), np.linalg.norm(terms))
    assert error <= (1e-5 if dtype == np.float32 else 1e-12) * max(size, 1e-3), (what, error, size)


def with_order(array, order):
    return np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))


def check(gpu, shape, seed, dtype, order=LAST, training=True):
    """Compare maxima, taps and gradients with the readable op in float64.

    The values are multiples of 1/8 and the statistics powers of two, so that every z is exact:
    equal numbers are equal in all precisions, and many are.
    """
    rng = np.random.default_rng(seed)
    n, c, h, w = shape
    x = rng.integers(-16, 17, shape) / 8
    dy = rng.normal(size=(n, c, h // 2, w // 2))
    mean, inv_std = rng.integers(-4, 5, c) / 8, 2.0 ** rng.integers(-1, 2, c)
    weight, bias = rng.choice([-1, 0.5, 1, 2], c), rng.integers(-8, 9, c) / 8
    window, saved = window_of(shape), BatchNormSaved(mean, inv_std)
    x, dy, weight, bias = (a.astype(dtype) for a in (x, dy, weight, bias))
    with algorithm("reference"):
        exact = [a.astype(np.float64) for a in (x, weight, bias)]
        z = ops.relu((exact[0] - mean[:, None, None]) * (inv_std * weight)[:, None, None]
                     + exact[2][:, None, None])  # fmt: skip
        y, switches = ops.max_pool2d(z, 2, return_switches=True)
        arguments = (dy.astype(np.float64), switches, exact[0], saved, *exact[1:], training)
        grads = ops.batch_norm_relu_pool_backward(*arguments)
    there = BatchNormSaved(*map(gpu.put, saved))
    x, dy, weight, bias = map(gpu.put, (with_order(x, order), with_order(dy, order), weight, bias))
    found, taps = engine.normalize_relu_pool(x, there, weight, bias, window)
    assert np.array_equal(gpu.get(found), y)
    assert found.dtype == dtype
    assert np.array_equal(gpu.get(taps), switches.to_window())
    got = engine.batch_norm_relu_pool_backward(dy, taps, window, x, there, weight, bias, training)
    terms = np.linalg.norm(gpu.get(dy)) * np.abs(inv_std * gpu.get(weight)).max()
    for name, a, b in zip(("dx", "dweight", "dbias"), got, grads, strict=True):
        assert a.dtype == dtype
        close(gpu.get(a), b, dtype, name, terms)
    assert got[0].transpose(LAST).flags.c_contiguous


@given(
    shapes(), seeds(), st.sampled_from([np.float32, np.float64]), st.permutations(range(4)),
    st.booleans(),
)  # fmt: skip
@example((2, 4, 67, 65), 0, np.float32, LAST, True)  # two parts
@example((3, 36, 7, 9), 0, np.float32, LAST, True)
def test_equals_the_readable_op(gpu, shape, seed, dtype, order, training):
    check(gpu, shape, seed, dtype, order, training)


def test_more_channels_than_a_block_is_wide(gpu):
    check(gpu, (1, 1100, 3, 2), 0, np.float32)
    check(gpu, (1, 301, 2, 3), 0, np.float64)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_one_behind_the_other_bit_by_bit(gpu, dtype):
    """Numbers that round: both forms round alike, so signs and ties are the same everywhere."""
    rng = np.random.default_rng(0)
    shape = (2, 20, 9, 11)
    x = with_order(rng.normal(size=shape), LAST).astype(dtype)
    dy = with_order(rng.normal(size=(2, 20, 4, 5)), LAST).astype(dtype)
    x[rng.random(shape) < 0.01] = np.nan
    weight, bias = (gpu.put(rng.normal(size=20).astype(dtype)) for _ in range(2))
    saved = BatchNormSaved(*(gpu.put(a) for a in (rng.normal(size=20), rng.uniform(1, 2, 20))))
    x, dy, window = gpu.put(x), gpu.put(dy), window_of(shape)
    y, taps = engine.normalize_relu_pool(x, saved, weight, bias, window)
    z = walks.normalize(x, saved, weight, bias, relu=True)
    want, want_taps = pooling.pool(z, window)
    np.testing.assert_array_equal(gpu.get(y), gpu.get(want))
    assert np.array_equal(gpu.get(taps), gpu.get(want_taps))
    dz = pooling.scatter(dy, taps, window)
    arguments = (saved, weight, bias, False)  # in evaluation no sum is rounded on the way to dx
    got = engine.batch_norm_relu_pool_backward(dy, taps, window, x, *arguments)[0]
    want = walks.batch_norm_relu_backward(dz, x, *arguments)[0]
    np.testing.assert_array_equal(gpu.get(got), gpu.get(want))


def test_other_windows_are_left_to_the_reference(gpu):
    x = gpu.put(np.ones((2, 3, 7, 5), np.float32))
    saved = BatchNormSaved(*(gpu.put(np.ones(3)) for _ in range(2)))
    for options in ((3, None, 0, 1), (2, 1, 0, 1), (2, 2, 1, 1), (2, 2, 0, 2), (2, 2, 0, 1, True)):
        window = pool_window("test", (7, 5), *options)
        assert engine.normalize_relu_pool(x, saved, None, None, window) is None


def test_the_order_of_threads_changes_no_bit(gpu, schedule):
    rng = np.random.default_rng(0)
    shape = (2, 4, 67, 65)
    x, dy = (rng.normal(size=s).astype(np.float32) for s in (shape, (2, 4, 33, 32)))
    x, dy, window = gpu.put(with_order(x, LAST)), gpu.put(with_order(dy, LAST)), window_of(shape)

    def everything():
        saved = walks.statistics(x, None, None, 0.1, EPS)
        y, taps = engine.normalize_relu_pool(x, saved, None, None, window)
        arguments = (dy, taps, window, x, saved, None, None, True)
        grads = engine.batch_norm_relu_pool_backward(*arguments)
        return [gpu.get(a).copy() for a in (y, taps, *grads)]

    first = everything()
    for order in ("forward", "reverse", "shuffle"):
        with schedule(order):
            again = everything()
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


# --- on CuPy arrays ----------------------------------------------------------------------------


def test_the_op_makes_three_launches_each_way_and_nothing_else(cupy_device, counts):
    rng = np.random.default_rng(0)
    x, dy = (
        with_order(rng.normal(size=s).astype(np.float32), LAST)
        for s in ((3, 8, 9, 7), (3, 8, 4, 3))
    )
    numbers = [cupy_device.put(np.ones(8, np.float32)) for _ in range(4)]
    x, dy = cupy_device.put(x), cupy_device.put(dy)

    def forward():
        return ops.batch_norm_relu_pool(x, *numbers, training=True)

    def backward(switches, saved):
        return ops.batch_norm_relu_pool_backward(dy, switches, x, saved, *numbers[2:])

    for _ in range(2):
        backward(*forward()[1:])
    with counts() as seen:
        _, switches, saved = forward()
    nothing = {"syncs": 0, "h2d": 0, "d2h": 0, "d2d": 0, "mallocs": 0}
    assert seen() == {"launches": 3, **nothing}
    with counts() as seen:
        backward(switches, saved)
    assert seen() == {"launches": 3, **nothing}


def test_forward_and_back_can_be_recorded(cupy_device):
    """As a graph, which then does the same with other numbers in the same place."""
    rng = np.random.default_rng(0)
    xp, shape = cupy_device.xp, (2, 8, 9, 7)
    first, second = (with_order(rng.normal(size=shape).astype(np.float32), LAST) for _ in range(2))
    dy = cupy_device.put(with_order(rng.normal(size=(2, 8, 4, 3)).astype(np.float32), LAST))
    x = cupy_device.put(first)
    numbers = [cupy_device.put(np.ones(8, np.float32)) for _ in range(4)]

    def step():
        y, switches, saved = ops.batch_norm_relu_pool(x, *numbers, training=True)
        up = ops.max_unpool2d(y, switches)
        z, saved_up = ops.batch_norm_relu(up, None, None, return_saved=True)
        dup = ops.batch_norm_relu_backward(z, up, saved_up)[0]
        dx = ops.batch_norm_relu_pool_backward(dy, switches, x, saved, *numbers[2:])
        return [y, z, dup, ops.max_unpool2d_backward(dup, switches), *dx, *numbers[:2]]

    with computing_on(Device("gpu")):
        stream = xp.cuda.get_current_stream()
        before = [a.copy() for a in numbers[:2]]
        step()
        stream.begin_capture()
        found = step()
        graph = stream.end_capture()
        x.transpose(LAST).set(second.transpose(LAST), stream)
        for running, value in zip(numbers, before, strict=False):
            running[...] = value
        graph.launch(stream)
        stream.synchronize()
        found = [cupy_device.get(a).copy() for a in found]
        for running, value in zip(numbers, before, strict=False):
            running[...] = value
        want = [cupy_device.get(a) for a in step()]
    for a, b in zip(found, want, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("recompute", [False, True])
def test_a_whole_network_on_the_device_is_the_network_on_the_cpu(cupy_device, recompute):
    """All layers, forward and back, in training and then in evaluation, in float64."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 13, 10))
    labels = rng.integers(0, 5, (2, 13, 10))
    net = deconvnet(num_classes=5, width=4, input_size=(13, 10), fc=6, stages=2)
    net.recompute = recompute
    results, state = [], net.state_dict()
    for device in ("cpu", "gpu"):
        net.load_state_dict(state)
        net.to(device, np.float64).train()
        with default_device(device):
            images = Tensor(x)
        scores = net(images)
        loss = F.cross_entropy(scores, to_device(labels, device))
        loss.backward()
        found = {"scores": scores.data, "loss": loss.data}
        found |= {name: p.grad.data for name, p in net.named_parameters()}
        found |= {f"buffer {name}": array for name, array in net.named_buffers()}
        net.eval()
        found["evaluated"] = net(images).data
        found |= {f"seen {name}": array for name, array in net.activations(images).items()}
        results.append({name: to_cpu(array).copy() for name, array in found.items()})
        net.zero_grad()
    largest = max(np.abs(results[0][name]).max() for name, _ in net.named_parameters())
    for name, want in results[0].items():
        error = np.abs(results[1][name] - want).max()
        assert error <= 1e-12 * max(largest, np.abs(want).max()), name


# --- wrong kernels that the checks above must reject ---------------------------------------------

MUTANTS = {
    "the last of equals": (engine.FILE, "z > best.at[k] || z != z", "z >= best.at[k] || z != z"),
    "NaN like a number": (engine.FILE, "z > best.at[k] || z != z", "z > best.at[k]"),
    "taps turned": (engine.FILE, "2 * at.row + tap / 2, h - 1", "2 * at.row + tap % 2, h - 1"),
    "edges without slope": (engine.FILE, "tap.at[k] == t ? passed", "t < 0 ? passed"),
    "every pixel of a window": (engine.FILE, "tap.at[k] == t ? passed(line, k, below, above.at[k], "
                                "flags) : (REAL)0", "passed(line, k, below, above.at[k], flags)"),
    "the sums' pixel": (engine.FILE, "tap.at[k] & 2;", "tap.at[k] & 1;"),
    "the sums' sign": (engine.FILE, "const REAL g = passed(line, k, below, above.at[k], flags);",
                       "const REAL g = above.at[k];"),
    "not rectified": (engine.FILE, "best.at[k] = rectified(on_line(line, k, pixel[0].at[k]));",
                      "best.at[k] = on_line(line, k, pixel[0].at[k]);"),
}  # fmt: skip


def all_hard_ones(gpu):
    check(gpu, (3, 36, 7, 9), 0, np.float32)
    check(gpu, (2, 3, 8, 6), 1, np.float64)
    test_equals_one_behind_the_other_bit_by_bit(gpu, np.float32)


@pytest.mark.parametrize("name", MUTANTS)
def test_wrong_kernels_are_rejected(gpu, slip, name):
    with slip(*MUTANTS[name]), pytest.raises(AssertionError):
        all_hard_ones(gpu)


def test_the_right_kernels_pass_what_rejects_the_wrong_ones(gpu):
    all_hard_ones(gpu)
