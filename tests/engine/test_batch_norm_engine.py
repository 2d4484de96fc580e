"""The engine's batch norm, compiled and in NumPy, against the readable op in float64."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import minideconv as md
from minideconv import ops
from minideconv.backend import parallel
from minideconv.engine.cpu import batch_norm as engine
from minideconv.ops.batch_norm import BatchNormSaved
from minideconv.testing import seeds

FORMS = ["compiled", "numpy"]
GRADIENTS = ("x", "weight", "bias")


@pytest.fixture(autouse=True, scope="module")
def _small_parts():
    """Small arrays too go through the engine here, in several parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "SMALL", 1)
        patch.setattr(engine, "PART", 3000)
        yield


def use(form):
    if form == "compiled":
        pytest.importorskip("numba", reason="numba is not installed (extra fast)")
    return form == "compiled"


class _As:
    """Use the compiled or the NumPy form inside a ``with`` block."""

    def __init__(self, form):
        self.compiled = use(form)

    def __enter__(self):
        self.before = md.use_compiled(self.compiled)

    def __exit__(self, *_):
        md.use_compiled(self.before)


@st.composite
def shapes(draw):
    """1-pixel maps, H != W, many pixels of few channels and few of many."""
    c = draw(st.sampled_from([1, 2, 3, 5, 16, 21, 64, 130]))
    n, h, w = draw(st.integers(1, 3)), draw(st.integers(1, 40)), draw(st.integers(1, 23))
    return (max(n, 2), c, h, w) if h * w == 1 else (n, c, h, w)


def draw(shape, seed, mean=0.0, dtype=np.float32):
    """x channels last, dy in any order, weight and bias."""
    rng = np.random.default_rng(seed)
    n, c, h, w = shape
    x = rng.normal(mean, 1, (n, h, w, c)) + rng.normal(0, 2, c)
    order = rng.permutation(4)
    dy = rng.normal(size=np.array(shape)[order]).transpose(np.argsort(order))
    weight, bias = rng.normal(1, 0.5, c), rng.normal(0, 0.5, c)
    return x.astype(dtype).transpose(0, 3, 1, 2), *(a.astype(dtype) for a in (dy, weight, bias))


def reference(x, dy, weight, bias, relu):
    """Forward, saved numbers and gradients of the readable op in float64."""
    x, dy, weight, bias = (np.ascontiguousarray(a, np.float64) for a in (x, dy, weight, bias))
    with md.algorithm("reference"):
        forward, backward = (
            (ops.batch_norm_relu, ops.batch_norm_relu_backward)
            if relu
            else (ops.batch_norm, lambda dy, x, s, w, b: ops.batch_norm_backward(dy, x, s, w))
        )
        y, saved = forward(x, None, None, weight, bias, return_saved=True)
        return y, saved, backward(dy, x, saved, weight, bias)


def away_from_the_kink(x, saved, weight, bias):
    """Where rounding cannot change the sign in front of the ReLU."""
    per = (slice(None), None, None)
    return np.abs((x - saved.mean[per]) * (saved.inv_std * weight)[per] + bias[per]) > 1e-3


def check(form, shape, seed, relu, mean=0.0, dtype=np.float32, swap=None):
    """Compare statistics, output and gradients; `swap` replaces parts of what is checked."""
    x, dy, weight, bias = draw(shape, seed, mean, dtype)
    want, saved, grads = reference(x, dy, weight, bias, relu)
    dy = np.where(away_from_the_kink(x, saved, weight, bias), dy, dtype(0))
    grads = reference(x, dy, weight, bias, relu)[2]
    functions = {
        "moments": engine.moments,
        "normalize": engine.normalize,
        "backward": engine.batch_norm_relu_backward,
    } | (swap or {})
    eps = float(np.finfo(dtype).eps)
    with _As(form):
        mean_, var = functions["moments"](x)
        got = BatchNormSaved(mean_, 1 / np.sqrt(var + 1e-5))
        y = functions["normalize"](x, got, weight, bias, relu)
        found = functions["backward"](dy, x, saved, weight, bias, True, relu)
    assert np.allclose(mean_, saved.mean, rtol=10 * eps, atol=10 * eps)
    assert np.allclose(got.inv_std, saved.inv_std, rtol=30 * eps)
    assert y.dtype == dtype
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    assert np.abs(y - want).max() <= 60 * eps * max(1, np.abs(want).max())
    for name, a, b in zip(GRADIENTS, found, grads, strict=True):
        assert a.shape == b.shape, name
        assert a.dtype == dtype, name
        size = np.abs(dy).max() * np.abs(saved.inv_std * weight).max() if name == "x" else 1
        assert np.abs(a - b).max() <= 100 * eps * max(size, np.abs(b).max()), name
    assert found[0].transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("form", FORMS)
@given(shapes(), seeds(), st.booleans())
@example((3, 5, 37, 23), 0, True)
def test_equals_the_readable_op(form, shape, seed, relu):
    check(form, shape, seed, relu)


@given(shapes(), seeds(), st.booleans())
def test_equals_the_readable_op_in_float64(shape, seed, relu):
    check("numpy", shape, seed, relu, dtype=np.float64)


@pytest.mark.parametrize("form", FORMS)
def test_arrays_written_past_the_caches_are_the_same(form):
    """Large enough for streaming stores, in parts that begin anywhere."""
    check(form, (1, 21, 173, 161), 0, True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mean", [100.0, 1e4, -1e6])
def test_a_large_mean_loses_no_digits(form, mean):
    """The running mean and the output are as exact as the float32 numbers they come from."""
    for seed in range(3):
        x = draw((8, 3, 25, 31), seed, mean)[0]
        exact = x.astype(np.float64)
        want_mean, want_var = exact.mean((0, 2, 3)), exact.var((0, 2, 3))
        with _As(form):
            found_mean, var = engine.moments(x)
            saved = BatchNormSaved(found_mean, 1 / np.sqrt(var))
            y = engine.normalize(x, saved, None, None)
        assert np.allclose(found_mean, want_mean, rtol=1e-10, atol=1e-8)
        assert np.allclose(var, want_var, rtol=1e-6)
        per = (slice(None), None, None)
        assert np.abs(y - (exact - want_mean[per]) / np.sqrt(want_var[per])).max() < 2e-6


@pytest.mark.parametrize("form", FORMS)
def test_a_rough_mean_from_the_wrong_pixels_costs_no_digits_worth_naming(form):
    """The first image is black, the others are far from it: the shift is none of them."""
    x = draw((4, 3, 24, 20), 0)[0]
    x[1:] += 30
    exact = x.astype(np.float64)
    with _As(form):
        mean, var = engine.moments(x)
    assert np.allclose(mean, exact.mean((0, 2, 3)), rtol=1e-6)
    assert np.allclose(var, exact.var((0, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_a_number_reaches_its_channel_and_no_other(form, value):
    x, dy, weight, bias = draw((2, 21, 9, 7), 1)
    x[1, 4, 3, 2] = value
    with _As(form), np.errstate(invalid="ignore"):
        saved = BatchNormSaved(*engine.moments(x))
        y = engine.normalize(x, saved, weight, bias, relu=True)
        dx = engine.batch_norm_relu_backward(dy, x, saved, weight, bias, True, False)[0]
    spoilt = np.arange(21) == 4
    assert np.array_equal(np.isnan(y).all((0, 2, 3)), spoilt)
    assert np.array_equal(np.isnan(y).any((0, 2, 3)), spoilt)
    assert np.array_equal(np.isnan(dx).any((0, 2, 3)), spoilt)


@pytest.mark.parametrize("form", FORMS)
def test_a_blocked_gradient_leaves_no_trace(form):
    x, dy, weight, bias = draw((2, 16, 9, 7), 1)
    with _As(form):
        saved = BatchNormSaved(*engine.moments(x))
        y = engine.normalize(x, saved, weight, bias, relu=True)
        dy[y == 0] = 0
        want = engine.batch_norm_relu_backward(dy, x, saved, weight, bias, True)
        dy[y == 0] = np.inf
        got = engine.batch_norm_relu_backward(dy, x, saved, weight, bias, True)
    assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_two_axes_are_pixels(form):
    x, dy, weight, bias = draw((3, 21, 5, 4), 2)
    flat = [np.ascontiguousarray(a.transpose(0, 2, 3, 1)).reshape(-1, 21) for a in (x, dy)]
    with _As(form):
        saved = BatchNormSaved(*engine.moments(x))
        again = BatchNormSaved(*engine.moments(flat[0]))
        want = engine.batch_norm_relu_backward(dy, x, saved, weight, bias, True)
        got = engine.batch_norm_relu_backward(*reversed(flat), saved, weight, bias, True)
    assert all(np.array_equal(a, b) for a, b in zip(saved, again, strict=True))
    assert np.array_equal(got[0].reshape(3, 5, 4, 21).transpose(0, 3, 1, 2), want[0])


@pytest.mark.parametrize("form", FORMS)
def test_the_number_of_threads_changes_no_bit(form):
    pytest.importorskip("threadpoolctl", reason="workers need threadpoolctl")
    x, dy, weight, bias = draw((3, 21, 40, 33), 3)

    def results():
        saved = BatchNormSaved(*engine.moments(x))
        y = engine.normalize(x, saved, weight, bias, relu=True)
        return [*saved, y, *engine.batch_norm_relu_backward(dy, x, saved, weight, bias, True)]

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
def test_both_forms_do_the_same_walks(form):
    use(form)
    package = "minideconv.engine.cpu." + ("compiled." if form == "compiled" else "")
    module = importlib.import_module(
        package + ("batch_norm" if form == "compiled" else "batch_norm_blocks")
    )
    assert module.__all__ == [
        "WIDTH",
        "gradient",
        "gradient_sums",
        "moments",
        "normalize",
        "streamed",
    ]


def test_other_orders_of_memory_and_other_arrays_are_left_to_the_reference():
    x = np.ones((2, 3, 4, 5), np.float32)
    assert engine.moments(x) is None
    assert engine.moments(x.transpose(0, 2, 3, 1)) is None
    assert engine.moments(x.astype(np.float16)) is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "SMALL", 121)
        assert engine.moments(np.ones((2, 4, 5, 3)).transpose(0, 3, 1, 2)) is None


def test_the_ops_ask_the_engine(monkeypatch):
    """Wherever the engine can, its result is what the op returns."""
    x, dy, weight, bias = draw((2, 16, 9, 7), 1)
    with _As("numpy"), md.algorithm("exact"):
        saved = ops.batch_norm_relu(x, None, None, weight, bias, return_saved=True)[1]
        y = ops.batch_norm_relu(x, None, None, weight, bias)
        got = ops.batch_norm_relu_backward(dy, x, saved, weight, bias)
        assert all(np.array_equal(a, b) for a, b in zip(saved[:1], engine.moments(x), strict=False))
        assert np.array_equal(y, engine.normalize(x, saved, weight, bias, True))
        want = engine.batch_norm_relu_backward(dy, x, saved, weight, bias, True)
        assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))
        plain = engine.batch_norm_relu_backward(dy, x, saved, weight, None, True, relu=False)
        got = ops.batch_norm_backward(dy, x, saved, weight)
        assert all(np.array_equal(a, b) for a, b in zip(got, plain, strict=True))


# --- wrong versions that the checks above must reject ------------------------------------------


def forgetting_an_image(x):
    return engine.moments(x[:1])


def in_one_precision(x):
    """E[x²] - E[x]² around zero."""
    mean = x.mean((0, 2, 3), dtype=np.float64)
    return mean, (x * x).mean((0, 2, 3), dtype=np.float64) - mean * mean


def backward_without_mask(dy, x, saved, weight, bias, training, relu):
    return engine.batch_norm_relu_backward(dy, x, saved, weight, bias, training, False)


def mask_of_x(dy, x, saved, weight, bias, training, relu):
    return engine.batch_norm_relu_backward(dy * (x > 0), x, saved, weight, bias, training, False)


MUTANTS = {
    "an image forgotten": {"moments": forgetting_an_image},
    "no ReLU": {"normalize": lambda x, s, w, b, relu: engine.normalize(x, s, w, b, False)},
    "channels shifted": {
        "normalize": lambda x, s, w, b, relu: engine.normalize(x, s, np.roll(w, 1), b, relu)
    },
    "no mask": {"backward": backward_without_mask},
    "the mask of x": {"backward": mask_of_x},
}


@pytest.mark.parametrize("name", MUTANTS)
def test_wrong_versions_are_rejected(name):
    check("numpy", (2, 21, 9, 7), 0, True)
    with pytest.raises(AssertionError):
        check("numpy", (2, 21, 9, 7), 0, True, swap=MUTANTS[name])


def test_the_check_of_large_means_rejects_the_textbook_formula():
    x = draw((8, 3, 25, 31), 0, 1e4)[0]
    assert not np.allclose(in_one_precision(x)[1], x.astype(np.float64).var((0, 2, 3)), rtol=1e-6)
