"""Mean field's update on the GPU against the reference's softmax of the sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.backend.algorithms import algorithm
from minideconv.engine.cuda import cross_entropy as pixels_of
from minideconv.engine.cuda import mean_field as engine
from minideconv.ops import mean_field as ops
from minideconv.testing import seeds

TOLERANCE = {np.float32: 1e-6, np.float64: 1e-14}
"""Of a probability, which is at most 1."""


@pytest.fixture(autouse=True, scope="module")
def _few_blocks():
    """Small arrays, too, then make a thread go round several times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixels_of, "BLOCKS", 2)
        yield


def check(gpu, pixels, labels, messages, seed, dtype=np.float32, scale=5.0):
    rng = np.random.default_rng(seed)
    log_p, *sums = (rng.standard_normal((messages + 1, pixels, labels)) * scale).astype(dtype)
    with algorithm("reference"):
        expected = ops.mean_field_update(log_p, sums)
    q = engine.mean_field_update(gpu.put(log_p), [gpu.put(m) for m in sums])
    assert q.dtype == dtype
    np.testing.assert_allclose(gpu.get(q), expected, rtol=0, atol=TOLERANCE[dtype])


@given(
    st.integers(1, 400),
    st.sampled_from([1, 2, 3, 5, 16, 21, 33, 130]),
    st.integers(0, 2),
    seeds(),
    st.sampled_from([np.float32, np.float64]),
)
def test_equals_the_reference(gpu, pixels, labels, messages, seed, dtype):
    check(gpu, pixels, labels, messages, seed, dtype)


def test_large_scores_do_not_overflow(gpu):
    check(gpu, 37, 21, 2, 0, scale=3e4)


def test_no_schedule_changes_a_bit(gpu, schedule):
    v, results = np.random.default_rng(0).standard_normal((3, 700, 21)).astype(np.float32), []
    for order in ("forward", "reverse", "shuffle"):
        with schedule(order):
            q = engine.mean_field_update(gpu.put(v[0]), [gpu.put(v[1]), gpu.put(v[2])])
            results.append(gpu.get(q).tobytes())
    assert results[0] == results[1] == results[2]


def test_any_order_in_memory(gpu):
    v = np.random.default_rng(0).standard_normal((3, 21, 70)).astype(np.float32)
    log_p, one, other = v.transpose(0, 2, 1)
    with algorithm("reference"):
        expected = ops.mean_field_update(log_p, [one, other])
    q = engine.mean_field_update(gpu.put(log_p), [gpu.put(one), gpu.put(other)])
    np.testing.assert_allclose(gpu.get(q), expected, atol=1e-6)


def test_what_the_kernel_does_not_know_is_left_to_the_reference(gpu):
    a = gpu.put(np.ones((2, 3), np.float32))
    assert engine.mean_field_update(a, [a, a, a]) is None
    assert engine.mean_field_update(a, [a.astype(np.float64)]) is None
    assert engine.mean_field_update(a.astype(np.float16), []) is None
    wide = gpu.put(np.ones((1, 16 * 32 + 1), np.float32))
    assert engine.mean_field_update(wide, []) is None
    assert engine.mean_field_update(a[:, :0], []) is None


SLIPS = [
    ("messages > 0", "messages > 1"),
    ("messages > 1", "messages > 2"),
    ("z[k] += second[i]", "z[k] += first[i]"),
    ("top = other > top ? other : top;", "top = other;"),
    ("exp(z[k] - top)", "exp(z[k])"),
    ("if (c < labels) sum", "sum"),
    ("sum += __shfl_xor_sync", "sum = __shfl_xor_sync"),
    ("z[k] / sum", "z[k]"),
    ("const i64 end = (pixels + groups - 1) / groups * groups;", "const i64 end = groups;"),
]


@pytest.mark.parametrize(("right", "wrong"), SLIPS)
def test_slips_are_seen(gpu, slip, right, wrong):
    def all_checks():
        check(gpu, 45, 21, 2, 0)
        check(gpu, 701, 21, 2, 0, scale=100.0)
        check(gpu, 45, 21, 1, 1)

    all_checks()
    with slip("mean_field.cu", right, wrong), pytest.raises(AssertionError):
        all_checks()
