"""The engine's 2x2 pooling and unpooling, compiled and in NumPy, against the readable ops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import minideconv as md
from minideconv import ops
from minideconv.backend import parallel
from minideconv.engine.cpu import pooling as engine
from minideconv.ops.pool_window import pool_window
from minideconv.testing import seeds, values

FORMS = ["compiled", "numpy"]
KINDS = ["ties", "normal", "NaN", "infinities"]


@pytest.fixture(autouse=True, scope="module")
def _small_parts():
    """Cut small arrays into several parts and blocks too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "PART", 4000)
        patch.setattr(engine, "BLOCK", 1000)
        yield


class _As:
    """Use the compiled or the NumPy form inside a ``with`` block."""

    def __init__(self, form):
        if form == "compiled":
            pytest.importorskip("numba", reason="numba is not installed (extra fast)")
        self.compiled = form == "compiled"

    def __enter__(self):
        self.before = md.use_compiled(self.compiled)

    def __exit__(self, *_):
        md.use_compiled(self.before)


@st.composite
def shapes(draw):
    """Odd and even maps, more and fewer channels than a vector has, and no multiple of it."""
    c = draw(st.sampled_from([1, 3, 16, 17, 31, 32, 40]))
    return draw(st.integers(1, 3)), c, draw(st.integers(2, 11)), draw(st.integers(2, 9))


def images(shape, seed, kind, dtype=np.float32):
    """Images of any kind, channels last."""
    x = values(shape, seed, "ties" if kind == "ties" else "normal", dtype)
    special = np.random.default_rng(seed).random(shape) < 0.3
    if kind == "NaN":
        x[special] = np.nan
    if kind == "infinities":
        x[special] = -np.inf
    return channels_last(x)


def channels_last(x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def window_of(shape):
    return pool_window("test", shape[2:], 2, None, 0, 1)


def reference_pool(x):
    with md.algorithm("reference"):
        y, switches = ops.max_pool2d(x, 2, return_switches=True)
        return y, switches._taps, switches


def check(shape, seed, kind, form, dtype=np.float32, pool=None, scatter=None, gather=None):
    """Compare all three, bit by bit."""
    x = images(shape, seed, kind, dtype)
    y, taps, switches = reference_pool(x)
    window, dy = window_of(shape), channels_last(values(y.shape, seed + 1, "normal", dtype))
    with _As(form):
        found = (pool or engine.pool)(x, window)
        spread = (scatter or engine.scatter)(dy, taps, window)
        fetched = (gather or engine.gather)(x, taps, window)
    if found is None:  # NumPy's form leaves NaN to the reference
        assert np.isnan(y).any()
    else:
        assert np.array_equal(found[0], y, equal_nan=True)
        assert np.array_equal(found[1], taps)
        assert found[1].dtype == np.uint8
    with md.algorithm("reference"):
        assert np.array_equal(spread, ops.max_unpool2d(dy, switches))
        assert np.array_equal(fetched, ops.max_unpool2d_backward(x, switches), equal_nan=True)
    for result in (spread, fetched, *(found or ())):
        assert result.transpose(0, 2, 3, 1).flags.c_contiguous
    assert spread.dtype == fetched.dtype == dtype


@pytest.mark.parametrize("form", FORMS)
@given(shapes(), seeds(), st.sampled_from(KINDS))
@example((1, 16, 2, 2), 0, "ties")
@example((2, 40, 7, 9), 0, "NaN")
def test_equals_the_readable_ops(form, shape, seed, kind):
    check(shape, seed, kind, form)


@given(shapes(), seeds(), st.sampled_from(KINDS))
def test_equals_the_readable_ops_in_float64(shape, seed, kind):
    check(shape, seed, kind, "numpy", np.float64)


@pytest.mark.parametrize("form", FORMS)
def test_arrays_written_past_the_caches_are_the_same(form):
    """Large enough for streaming stores."""
    check((1, 16, 260, 256), 0, "ties", form)


@pytest.mark.parametrize("form", FORMS)
@given(shapes(), seeds())
def test_scatter_is_the_adjoint_of_gather(form, shape, seed):
    window = window_of(shape)
    x = channels_last(values(shape, seed))  # small integers: sums do not round
    taps = reference_pool(images(shape, seed + 1, "ties"))[1]
    y = channels_last(values(taps.shape, seed + 2))
    with _As(form):
        left = np.vdot(engine.gather(x, taps, window), y)
        assert left == np.vdot(x, engine.scatter(y, taps, window))


@pytest.mark.parametrize("form", FORMS)
def test_the_number_of_threads_changes_nothing(form):
    pytest.importorskip("threadpoolctl", reason="workers need threadpoolctl")
    x = images((3, 32, 21, 18), 0, "normal")
    window = window_of(x.shape)

    def results():
        y, taps = engine.pool(x, window)
        return y, taps, engine.scatter(y, taps, window), engine.gather(x, taps, window)

    before = parallel.get_num_threads()
    with _As(form):
        try:
            parallel.set_num_threads(1)
            one = results()
            parallel.set_num_threads(2)
            two = results()
        finally:
            parallel.set_num_threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_switches_in_another_order_of_memory_are_accepted(form):
    x = images((2, 16, 6, 8), 0, "ties")
    y, taps, _ = reference_pool(x)
    with _As(form):
        want = engine.scatter(y, taps, window_of(x.shape))
        got = engine.scatter(y, np.ascontiguousarray(taps), window_of(x.shape))
    assert np.array_equal(want, got)


@pytest.mark.parametrize(
    "geometry",
    [(3, None, 0, 1), (2, 1, 0, 1), (2, None, 1, 1), (2, None, 0, 2), (2, None, 0, 1, True)],
)
def test_other_windows_are_left_to_the_reference(geometry):
    x = images((1, 16, 7, 7), 0, "normal")
    assert not engine.fits(x, pool_window("test", (7, 7), *geometry))
    assert engine.fits(x, window_of(x.shape))


def test_other_orders_of_memory_are_left_to_the_reference():
    x = np.ones((2, 16, 6, 4), np.float32)
    assert engine.pool(x, window_of(x.shape)) is None
    assert engine.pool(channels_last(x).astype(np.float16), window_of(x.shape)) is None


@pytest.mark.parametrize("form", FORMS)
def test_the_ops_return_what_the_engine_found(form, monkeypatch):
    """Marked results come through, so the engine was asked."""
    x = images((2, 16, 6, 8), 0, "normal")
    with _As(form), md.algorithm("exact"):
        y, switches = ops.max_pool2d(x, 2, return_switches=True)
        for result in (y, switches._taps, ops.max_unpool2d(y, switches)):
            assert result.transpose(0, 2, 3, 1).flags.c_contiguous
        asked = []
        monkeypatch.setattr(engine, "fits", lambda *_: asked.append(1))
        assert np.array_equal(ops.max_pool2d(x, 2), y)  # by the reference
        ops.max_pool2d_backward(y, switches)
        ops.max_unpool2d_backward(x, switches)
    assert len(asked) == 3


# --- wrong versions that the checks above must reject ------------------------------------------


def last_of_equals(x, window):
    y, _ = engine.pool(x, window)
    flipped = channels_last(x[:, :, ::-1, ::-1])
    taps = 3 - engine.pool(flipped, window)[1][:, :, ::-1, ::-1]
    return y, taps


MUTANTS = {
    "the last of equals wins": {"pool": last_of_equals},
    "taps counted down columns": {
        "scatter": lambda y, t, w: engine.scatter(y, np.array([0, 2, 1, 3], np.uint8)[t], w)
    },
    "values everywhere": {
        "scatter": lambda y, t, w: np.kron(y, np.ones((2, 2), y.dtype)),
    },
    "always the corner": {"gather": lambda x, t, w: engine.gather(x, t * 0, w)},
    "sum instead of choice": {
        "gather": lambda x, t, w: sum(engine.gather(x, t * 0 + i, w) for i in range(4))
    },
}


@pytest.mark.parametrize("name", MUTANTS)
def test_wrong_versions_are_rejected(name):
    check((2, 16, 6, 8), 0, "ties", "numpy")
    with pytest.raises(AssertionError):
        check((2, 16, 6, 8), 0, "ties", "numpy", **MUTANTS[name])
