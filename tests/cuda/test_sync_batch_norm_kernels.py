"""The moments of several processes put together on the GPU, and a layer that shares a batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv import ops
from minideconv.backend.algorithms import algorithm
from minideconv.distributed import Single
from minideconv.engine.cuda import batch_norm as engine
from minideconv.engine.cuda.channel_sums import FINISH_FILE
from minideconv.ops.sync_batch_norm import merge
from minideconv.testing import seeds

SHAPE = (3, 5, 4, 6)


def moments_of(seed, processes, channels):
    """Rows of processes whose images differ; one may have none of them."""
    rng = np.random.default_rng(seed)
    rows = np.empty((processes, 1 + 2 * channels))
    rows[:, 0] = rng.integers(0, 50, processes)
    rows[0, 0] += 2
    rows[:, 1 : 1 + channels] = rng.normal(rng.normal(0, 30, (processes, 1)), 1)
    rows[:, 1 + channels :] = rng.uniform(0, 9, (processes, channels)) * rows[:, :1]
    return rows


def reference(rows, running):
    with algorithm("reference"):
        saved, total = merge(rows, *running, 0.3, 1e-5)
    return [*saved, *running, np.array([float(total)])]


def on_device(gpu, rows, running):
    there = [gpu.put(array.copy()) for array in running]
    saved, total = engine.merge_moments(gpu.put(rows), *there, 0.3, 1e-5)
    return [gpu.get(array) for array in (*saved, *there, total)]


@given(seeds(), st.integers(1, 9), st.sampled_from([1, 3, 64, 301]), st.sampled_from(["f4", "f8"]))
def test_rows_are_merged_as_in_the_readable_op(gpu, seed, processes, channels, dtype):
    rows = moments_of(seed, processes, channels)
    running = [np.full(channels, 0.5, dtype), np.full(channels, 2.0, dtype)]
    found = on_device(gpu, rows, running)
    for a, b in zip(found, reference(rows, running), strict=True):
        tolerance = 1e-6 if b.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=1e-12)
    for a, b in zip(found, on_device(gpu, rows, [array * 0 for array in running]), strict=True):
        if a is not found[2] and a is not found[3]:
            np.testing.assert_array_equal(a, b)  # the same bits twice, whatever the averages were


def test_without_running_averages(gpu):
    rows = moments_of(3, 4, 5)
    saved, total = engine.merge_moments(gpu.put(rows), None, None, 0.1, 1e-5)
    with algorithm("reference"):
        wanted, count = merge(rows, None, None, 0.1, 1e-5)
    np.testing.assert_allclose(gpu.get(saved.mean), wanted.mean, rtol=1e-12)
    np.testing.assert_allclose(gpu.get(saved.inv_std), wanted.inv_std, rtol=1e-12)
    assert gpu.get(total).tolist() == [count]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("sum += row[0] * row[1 + channel]", "sum += row[1 + channel]"),
        ("+ row[0] * d * d", "+ d * d"),
        ("row[1 + channels + channel]", "row[1 + channel]"),
        ("count += row[0];", "count += row[0] + 1;"),
        ("squares / count, count", "squares / count, count + 1"),
        ("if (channel == 0) total[0] = count", "total[0] = sum"),
    ],
)
def test_slips_in_the_kernel_are_seen(gpu, slip, right, wrong):
    rows = moments_of(1, 3, 4)
    running = [np.full(4, 0.5), np.full(4, 2.0)]
    with slip(FINISH_FILE, right, wrong):
        found = on_device(gpu, rows, running)
    pairs = zip(found, reference(rows, running), strict=True)
    assert max(float(np.abs(a - b).max()) for a, b in pairs) > 1e-6


@pytest.mark.parametrize("relu", [False, True])
def test_a_shared_layer(cupy_device, relu):
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal(SHAPE).astype("f4") for _ in range(2))
    weight, bias = rng.standard_normal((2, 5)).astype("f4")
    put, get = cupy_device.put, cupy_device.get
    there = [put(a) for a in (x, dy, weight, bias, np.zeros(5, "f4"), np.ones(5, "f4"))]

    def step():
        x, dy, weight, bias, *running = there
        y, saved = ops.sync_batch_norm(x, *running, weight, bias, 0.1, 1e-5, Single(), relu)
        return y, *ops.sync_batch_norm_backward(dy, x, saved, weight, bias, Single(), relu)

    found = [get(array) for array in step()]
    with algorithm("reference"):
        if relu:
            y, saved = ops.batch_norm_relu(x, None, None, weight, bias, True, return_saved=True)
            grads = ops.batch_norm_relu_backward(dy, x, saved, weight, bias)
        else:
            y, saved = ops.batch_norm(x, None, None, weight, bias, True, return_saved=True)
            grads = ops.batch_norm_backward(dy, x, saved, weight)
    for a, b in zip(found, (y, *grads), strict=True):
        assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(b)


@pytest.mark.parametrize("relu", [False, True])
def test_it_stops_nothing(counts, cupy_device, relu):
    x, dy, weight, bias = (cupy_device.put(np.ones(s, "f4")) for s in (SHAPE, SHAPE, 5, 5))
    running = [cupy_device.put(np.ones(5, "f4")) for _ in range(2)]

    def step():
        _, saved = ops.sync_batch_norm(x, *running, weight, bias, 0.1, 1e-5, Single(), relu)
        ops.sync_batch_norm_backward(dy, x, saved, weight, bias, Single(), relu)

    step()
    with counts() as counted:
        step()
    done = counted()
    assert (done["syncs"], done["h2d"], done["d2h"], done["mallocs"]) == (0, 0, 0, 0)
    assert done["launches"] <= 30
