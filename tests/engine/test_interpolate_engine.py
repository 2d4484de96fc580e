"""The engine's bilinear resizing against the readable matrix products."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minideconv as md
from minideconv import ops
from minideconv.backend import parallel
from minideconv.engine.cpu import interpolate as engine
from minideconv.ops.interpolate import interpolation_matrix, resample
from minideconv.testing import seeds, values

pytestmark = pytest.mark.cpu  # the engine's own functions on NumPy arrays

sizes = st.integers(1, 9)
BILINEAR = "bilinear"


@pytest.fixture(autouse=True, scope="module")
def _small_blocks():
    """Cut small images into several blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "BLOCK", 50)
        yield


def channels_last(shape, seed, dtype=np.float32):
    n, c, h, w = shape
    return values((n, h, w, c), seed, "normal", dtype).transpose(0, 3, 1, 2)


def is_channels_last(x):
    return x.transpose(0, 2, 3, 1).flags.c_contiguous


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(2, 5), sizes, sizes),
    new=st.tuples(sizes, sizes),
    corners=st.booleans(),
    seed=seeds(),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_both_ways_are_those_of_the_reference(shape, new, corners, seed, dtype):
    x = channels_last(shape, seed, dtype)
    dy = channels_last((*shape[:2], *new), seed + 1, dtype)
    options = {"mode": BILINEAR, "align_corners": corners}
    with md.algorithm("fast"):
        y = ops.interpolate(x, new, **options)
        dx = ops.interpolate_backward(dy, x.shape, **options)
    with md.algorithm("reference"):
        tolerance = {"rtol": 1e-5, "atol": 1e-5 if dtype == np.float32 else 1e-12}
        np.testing.assert_allclose(y, ops.interpolate(x, new, **options), **tolerance)
        expected = ops.interpolate_backward(dy, x.shape, **options)
        np.testing.assert_allclose(dx, expected, **tolerance)
    assert y.dtype == dx.dtype == dtype
    assert is_channels_last(y)
    assert is_channels_last(dx)


@given(new=st.tuples(sizes, sizes), seed=seeds())
def test_backward_is_the_adjoint(new, seed):
    x, dy = (channels_last((2, 3, *s), seed, np.float64) for s in ((4, 7), new))
    y = ops.interpolate(x, new, mode=BILINEAR)
    dx = ops.interpolate_backward(dy, x.shape, mode=BILINEAR)
    assert float((y * dy).sum()) == pytest.approx(float((x * dx).sum()), abs=1e-9)


def test_some_rows_of_the_matrices_alone():
    """What `Segmenter` asks for where a window leaves the image."""
    x = channels_last((1, 21, 6, 6), 0)
    rows, columns = (interpolation_matrix(6, 11, like=x)[part] for part in (np.s_[2:9], np.s_[4:]))
    found = engine.resample(x, rows, columns)
    assert found.shape == (1, 21, 7, 7)
    np.testing.assert_allclose(found, rows @ (x @ columns.T), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads(threads):
    before = parallel.get_num_threads()
    parallel.set_num_threads(threads)
    try:
        x = channels_last((5, 4, 8, 6), 1)
        a_h, a_w = (interpolation_matrix(old, 13, like=x) for old in (8, 6))
        np.testing.assert_allclose(
            engine.resample(x, a_h, a_w), a_h @ (x @ a_w.T), rtol=1e-5, atol=1e-6
        )
    finally:
        parallel.set_num_threads(before)


def test_nan_and_infinity_stay_where_they_are():
    x = channels_last((1, 2, 8, 8), 2)
    x[0, 0, 0, 0], x[0, 1, 7, 7] = np.nan, np.inf
    with md.algorithm("fast"):
        y = ops.interpolate(x, (16, 16), mode=BILINEAR)
    assert np.isnan(y[0, 0, 0, 0])
    assert np.isfinite(y[0, :, 4:12, 4:12]).all()
    assert not np.isfinite(y[0, 1, 15, 15])


def test_what_is_left_to_the_reference():
    x = channels_last((2, 3, 4, 5), 3)
    a = [interpolation_matrix(size, 7, like=x) for size in (4, 5)]
    assert engine.resample(np.ascontiguousarray(x), *a) is None  # planes
    assert engine.resample(x[:, :1], *a) is None  # one channel
    assert engine.resample(x[:0], *a) is None
    assert engine.resample(x, a[0][:0], a[1]) is None
    assert resample(x, a[0][:0], a[1]).shape == (2, 3, 0, 7)
