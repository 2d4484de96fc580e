"""Products by cuBLAS: all orders, batches, shared operands and types, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.engine.cuda.blas import gemm


def _random(rng, shape, dtype):
    return rng.integers(-4, 5, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
def test_every_order_of_the_operands(cupy_device, dtype, turned):
    rng = np.random.default_rng(0)
    a, b = _random(rng, (5, 7), dtype), _random(rng, (7, 3), dtype)
    want = a.astype(np.float64) @ b
    a, b = (
        cupy_device.put(np.ascontiguousarray(x.T)).T if t else cupy_device.put(x)
        for x, t in zip((a, b), turned, strict=True)
    )
    out = cupy_device.xp.full((5, 3), np.nan, np.float32 if dtype == np.float16 else dtype)
    assert gemm(a, b, out) is out
    np.testing.assert_array_equal(cupy_device.get(out), want)


def test_a_batch_with_a_shared_operand_and_strided_results(cupy_device):
    rng = np.random.default_rng(1)
    a, b = _random(rng, (4, 5, 7), np.float32), _random(rng, (7, 3), np.float32)
    out = cupy_device.xp.full((5, 4, 3), 2, np.float32)
    gemm(cupy_device.put(a), cupy_device.put(b), out.transpose(1, 0, 2), alpha=2, beta=-1)
    np.testing.assert_array_equal(cupy_device.get(out).transpose(1, 0, 2), 2 * (a @ b) - 2)


def test_one_row_and_one_column(cupy_device):
    rng = np.random.default_rng(2)
    for m, k, n in ((1, 6, 1), (1, 1, 5), (6, 1, 1), (1, 5, 4), (4, 5, 1)):
        a, b = _random(rng, (k, m), np.float32), _random(rng, (n, k), np.float32)
        out = cupy_device.xp.full((m, n), np.nan, np.float32)
        gemm(cupy_device.put(a).T, cupy_device.put(b).T, out)
        np.testing.assert_array_equal(cupy_device.get(out), a.T @ b.T)


def test_tf32_rounds_the_factors_and_only_then(cupy_device):
    rng = np.random.default_rng(3)
    a, b = (rng.standard_normal((32, 32)).astype(np.float32) for _ in range(2))
    want = a.astype(np.float64) @ b
    errors = []
    for tf32 in (False, True):
        out = cupy_device.xp.empty((32, 32), np.float32)
        gemm(cupy_device.put(a), cupy_device.put(b), out, tf32=tf32)
        errors.append(np.linalg.norm(cupy_device.get(out) - want) / np.linalg.norm(want))
    assert errors[0] < 1e-6
    assert 1e-5 < errors[1] < 1e-3


def test_what_does_not_fit_is_refused(cupy_device):
    xp = cupy_device.xp
    a, b, out = xp.zeros((4, 6)), xp.zeros((6, 4)), xp.zeros((4, 4))
    with pytest.raises(ValueError, match="does not fit"):
        gemm(a, b[:5], out)
    with pytest.raises(TypeError, match="float32"):
        gemm(a, b.astype(np.float32), out)
    with pytest.raises(ValueError, match="strides"):
        gemm(a[::2, ::2], b[::2], xp.zeros((2, 4)))
    with pytest.raises(ValueError, match="contiguous"):
        gemm(a, b, out.T)
