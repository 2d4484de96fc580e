"""The compiled updates of FISTA and ADMM: the reference's numbers, in any order of axes."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import algorithm, use_compiled
from minideconv.backend import parallel
from minideconv.engine.cpu import shrinkage as engine
from minideconv.ops import shrinkage
from minideconv.testing import values

pytest.importorskip("numba", reason="compiled kernels need numba")

CASES = {
    "fista_update": (3, (0.3, 0.4, 0.7)),
    "admm_update": (2, (0.4, 1.8)),
}


@pytest.fixture(autouse=True)
def with_kernels():
    """Ask for them under every choice of the environment."""
    before = use_compiled(True)
    yield
    use_compiled(before)


def drawn(count, dtype, order):
    """Return arrays (2, 3, 50, 41) whose axes are stored in an order."""
    shape = (2, 3, 50, 41)
    back = np.argsort(order)
    return [
        values(tuple(shape[i] for i in order), k, "normal", dtype).transpose(back)
        for k in range(count)
    ]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1)], ids=["NCHW", "NHWC"])
def test_the_same_numbers(monkeypatch, name, dtype, order):
    monkeypatch.setattr(engine, "_PART", 1000)  # several, the last one shorter
    count, numbers = CASES[name]
    ours, theirs = drawn(count, dtype, order), drawn(count, dtype, order)
    assert getattr(engine, name)(*ours, *numbers) is True
    with algorithm("reference"):
        getattr(shrinkage, name)(*theirs, *numbers)
    used = ours if name == "admm_update" else ours[:2]  # the gradient is spent
    for found, want in zip(used, theirs, strict=False):
        np.testing.assert_allclose(found, want, atol=20 * np.finfo(dtype).eps)


def test_what_they_decline():
    state, other = drawn(2, np.float32, (0, 1, 2, 3))
    assert engine.admm_update(state, other.astype(np.float64), 0.4, 1.8) is None
    assert engine.admm_update(state[..., ::2], other[..., ::2], 0.4, 1.8) is None
    turned = np.ascontiguousarray(other.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert engine.admm_update(state, turned, 0.4, 1.8) is None
    integers = [np.arange(6).reshape(2, 3) for _ in range(2)]
    assert engine.admm_update(*integers, 0.4, 1.8) is None
    with algorithm("reference"):
        before = [state.copy(), other.copy()]
        shrinkage.admm_update(state, other, 0.4, 1.8)
        shrinkage.admm_update(before[0], np.ascontiguousarray(before[1]), 0.4, 1.8)
    np.testing.assert_array_equal(state, before[0])


def test_threads_do_not_matter(monkeypatch):
    pytest.importorskip("threadpoolctl", reason="workers need threadpoolctl")
    monkeypatch.setattr(engine, "_PART", 1000)
    found = []
    try:
        for threads in (1, 2):
            parallel.set_num_threads(threads)
            arrays = drawn(2, np.float32, (0, 2, 3, 1))
            engine.admm_update(*arrays, 0.4, 1.8)
            found.append(arrays)
    finally:
        parallel.set_num_threads(1)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)
