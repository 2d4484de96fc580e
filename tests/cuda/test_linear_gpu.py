"""The fully connected layer on a GPU: any order in memory, any precision, no copy, in a graph."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import ops
from minideconv.backend import Device
from minideconv.backend.algorithms import algorithm
from minideconv.backend.precisions import precision
from minideconv.engine.cuda.streams import computing_on
from minideconv.testing import values

PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "fp64")
TOLERANCES = {"fp32": 1e-6, "tf32": 1e-3, "bf16": 1e-2, "fp16": 1e-3, "fp64": 1e-14}


def everything(arrays):
    x, w, dy, b = arrays
    only = (ops.linear_backward(dy, x, w, tuple(i == j for i in range(3)))[j] for j in range(3))
    return ops.linear(x, w), ops.linear(x, w, b), *ops.linear_backward(dy, x, w), *only


def data(kind, dtype, shape=(3, 5), c=6, k=7):
    shapes = ((*shape, c), (k, c), (*shape, k), (k,))
    return [values(s, i, kind, dtype) for i, s in enumerate(shapes)]


def number(name):
    return np.float64 if name == "fp64" else np.float32


@pytest.mark.parametrize("shape", [(4,), (1,), (2, 3), ()])
@pytest.mark.parametrize("name", PRECISIONS)
def test_integers_come_out_exactly_in_every_layout(cupy_device, name, shape):
    arrays = data("integer", number(name), shape, 8, 4)
    with algorithm("reference"):
        want = everything(arrays)
    x, w, dy, b = map(cupy_device.put, arrays)
    wide = cupy_device.xp.zeros((*w.shape, 2), w.dtype)
    wide[..., 0] = w
    with precision(None if name == "fp64" else name):
        for weight in (w, cupy_device.put(np.asfortranarray(arrays[1])), wide[..., 0]):
            for found, right in zip(everything((x, weight, dy, b)), want, strict=True):
                assert found is None or found.dtype == right.dtype
                assert (found is None) == (right is None)
                if found is not None:
                    np.testing.assert_array_equal(cupy_device.get(found), right)


@pytest.mark.parametrize("name", PRECISIONS)
def test_errors_are_those_of_the_precision(cupy_device, name):
    exact = data("normal", np.float64, (16,), 64, 48)
    with algorithm("reference"):
        want = everything(exact)
    with precision(None if name == "fp64" else name):
        results = everything([cupy_device.put(a.astype(number(name))) for a in exact])
    for found, right in zip(results, want, strict=True):
        if found is not None:
            error = np.linalg.norm(cupy_device.get(found) - right) / np.linalg.norm(right)
            assert error < TOLERANCES[name]


def test_an_empty_batch(cupy_device):
    arrays = data("integer", np.float32, (0,))
    y, _, dx, dw, db, *_ = everything([cupy_device.put(a) for a in arrays])
    assert y.shape == (0, 7)
    assert dx.shape == (0, 6)
    assert not cupy_device.get(dw).any()
    assert not cupy_device.get(db).any()


def test_products_only_and_into_a_graph(cupy_device):
    xp = cupy_device.xp
    arrays = [cupy_device.put(a) for a in data("integer", np.float32)]
    want = [None if a is None else cupy_device.get(a) for a in everything(arrays)]
    if cupy_device.kind == "fakecuda":
        import fakecuda

        fakecuda.reset()
        x, w, dy, b = arrays
        kept = ops.linear(x, w, b), ops.linear_backward(dy, x, w, (True, True, False))
        stats = fakecuda.stats()
        del kept
        names = ("launches", "gemms", "h2d", "d2h", "syncs", "mallocs")
        assert [stats[name] for name in names] == [1, 3, 0, 0, 0, 0]
        assert stats["gemm_macs"] == 3 * 15 * 6 * 7
    pool = xp.cuda.MemoryPool()
    with xp.cuda.using_allocator(pool.malloc), computing_on(Device("gpu")):
        stream = xp.cuda.get_current_stream()
        everything(arrays)
        stream.begin_capture()
        results = everything(arrays)
        stream.end_capture().launch(stream)
        stream.synchronize()
    for found, right in zip(results, want, strict=True):
        if right is not None:
            np.testing.assert_array_equal(cupy_device.get(found), right)
