"""The engine's log-probabilities and gradient against the readable op in float64."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import minideconv as md
from minideconv import ops
from minideconv.backend import parallel
from minideconv.engine.cpu import cross_entropy as engine
from minideconv.testing import seeds

FORMS = ["compiled", "numpy"]
OPS = importlib.import_module("minideconv.ops.cross_entropy")


@pytest.fixture(autouse=True, scope="module")
def _small_parts():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "PART", 700)
        patch.setattr(engine, "BLOCK", 300)
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


shapes = st.tuples(
    st.integers(1, 3),
    st.sampled_from([1, 2, 5, 15, 16, 17, 21, 33]),
    st.integers(1, 13),
    st.integers(1, 11),
)


def draw(shape, seed, dtype=np.float32, first=False):
    """Scores, channels last unless `first`, and labels, some ignored."""
    rng = np.random.default_rng(seed)
    n, c, h, w = shape
    x = (5 * rng.normal(size=(n, h, w, c)) + 100 * rng.normal(size=(n, 1, 1, 1))).astype(dtype)
    x = x.transpose(0, 3, 1, 2)
    labels = rng.integers(0, c, (n, h, w))
    labels[rng.random(labels.shape) < 0.2] = 255
    return (np.ascontiguousarray(x) if first else x), labels, rng.uniform(0, 2, c).astype(dtype)


def both(shape, seed, form, dtype=np.float32, first=False, **options):
    """Loss, log-probabilities and gradient: found, and by the readable op in float64."""
    scores, labels, weights = draw(shape, seed, dtype, first)
    results = []
    for name, precision in (("exact", dtype), ("reference", np.float64)):
        x, weight = scores.astype(precision), weights.astype(precision)
        with _As(form), md.algorithm(name):
            loss, saved = ops.cross_entropy(x, labels, weight, return_saved=True, **options)
            dloss = np.ones_like(loss)
            grad = ops.cross_entropy_backward(dloss, saved, labels, weight, **options)
        results.append((loss, saved, grad))
    return results


def check(*args, **kwargs):
    (loss, saved, grad), (want_loss, want_saved, want_grad) = both(*args, **kwargs)
    eps = float(np.finfo(saved.dtype).eps)
    assert np.allclose(loss, want_loss, rtol=20 * eps, atol=20 * eps)
    assert np.allclose(saved, want_saved, rtol=4 * eps, atol=60 * eps)
    assert np.allclose(grad, want_grad, rtol=60 * eps, atol=30 * eps)
    assert grad.dtype == saved.dtype


options = st.fixed_dictionaries(
    {
        "reduction": st.sampled_from(["mean", "sum", "none"]),
        "label_smoothing": st.sampled_from([0.0, 0.1]),
    }
)


@pytest.mark.parametrize("form", FORMS)
@given(shapes, seeds(), st.booleans(), options)
@example((2, 21, 13, 11), 0, False, {"reduction": "none"})
def test_equals_the_readable_op(form, shape, seed, first, options):
    check(shape, seed, form, first=first, **options)


@given(shapes, seeds(), st.booleans(), options)
def test_equals_the_readable_op_in_float64(shape, seed, first, options):
    check(shape, seed, "numpy", np.float64, first, **options)


@pytest.mark.parametrize("form", FORMS)
def test_scores_that_are_not_finite(form):
    """A class that cannot be has probability 0; NaN stays in its pixel."""
    x = draw((1, 5, 4, 5), 0)[0]
    x[0, 2, 1, 1] = -np.inf
    x[0, 3, 2, 2] = np.nan
    labels = np.zeros((1, 20), np.int64)
    with _As(form), np.errstate(invalid="ignore"):
        log_probs, _ = engine.log_probabilities(x.reshape(1, 5, 20), labels)
        ones = np.ones((1, 20), np.float32)
        shares = engine.gradient(log_probs, labels, ones, 0 * ones, ones[0, :5], 0 * ones)
    assert log_probs[0, 2, 6] == -np.inf
    assert shares[0, 2, 6] == 0
    assert np.array_equal(np.isnan(log_probs).any(1)[0], np.arange(20) == 12)
    assert np.array_equal(np.isnan(shares).any(1)[0], np.arange(20) == 12)


@pytest.mark.parametrize("form", FORMS)
def test_the_number_of_threads_changes_nothing(form):
    pytest.importorskip("threadpoolctl", reason="workers need threadpoolctl")
    before = parallel.get_num_threads()
    try:
        parallel.set_num_threads(1)
        one = both((3, 21, 13, 11), 0, form)[0]
        parallel.set_num_threads(2)
        two = both((3, 21, 13, 11), 0, form)[0]
    finally:
        parallel.set_num_threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_channels_last_stays_channels_last_when_compiled():
    _, saved, grad = both((2, 21, 6, 5), 0, "compiled")[0]
    for result in (saved, grad):
        assert result.transpose(0, 2, 3, 1).flags.c_contiguous


def test_exponential_and_logarithm_are_within_two_units_in_the_last_place():
    pytest.importorskip("numba", reason="numba is not installed (extra fast)")
    from minideconv.engine.cpu.compiled.cross_entropy import _sixteen

    # two classes, 0 and x: the log-probabilities are -log(1 + e^x) and x - log(1 + e^x)
    x = np.linspace(-80, 0, 16 * 500).astype(np.float32)
    scores = np.stack([np.zeros_like(x), x], axis=1).reshape(-1)
    scores = np.append(scores, np.zeros(32, np.float32))
    found, turned = np.empty_like(scores), np.empty(256, np.float32)
    for start in range(0, 2 * x.size, 32):
        _sixteen(scores, start, found, 2, turned, np.empty(32, np.float32))
    exact = x.astype(np.float64) - np.log1p(np.exp(x.astype(np.float64)))
    found = found[1 : 2 * x.size : 2]
    assert np.abs((found - exact) / np.spacing(np.abs(exact).astype(np.float32))).max() < 2


# --- wrong versions that the checks above must reject ------------------------------------------


def without_maximum(logits, labels):
    y = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return y, y[np.arange(len(y))[:, None], labels, np.arange(labels.shape[1])]


def neighbours_label(logits, labels):
    y, _ = engine.log_probabilities(logits, labels)
    return y, y[np.arange(len(y))[:, None], np.roll(labels, 1), np.arange(labels.shape[1])]


@pytest.mark.parametrize("wrong", [without_maximum, neighbours_label])
def test_wrong_versions_are_rejected(wrong, monkeypatch):
    check((2, 21, 6, 5), 0, "numpy")
    monkeypatch.setitem(OPS.log_probabilities.ways, "cpu", wrong)
    with pytest.raises(AssertionError), np.errstate(all="ignore"):
        check((2, 21, 6, 5), 0, "numpy")


def test_a_gradient_without_the_label_is_rejected(monkeypatch):
    def wrong(*arguments):
        return engine.gradient(*arguments[:-1], arguments[-1] * 0)

    monkeypatch.setitem(OPS.gradient_from_log_probs.ways, "cpu", wrong)
    with pytest.raises(AssertionError):
        check((2, 21, 6, 5), 0, "numpy")


def test_scores_that_are_cut_out_stay_channels_last():
    """A view with gaps is copied; the copy keeps the order in which the kernels walk."""
    x = np.random.default_rng(0).standard_normal((2, 9, 8, 5), np.float32).transpose(0, 3, 1, 2)
    cut = x[:, :, 1:7, 2:7]
    labels = np.random.default_rng(1).integers(0, 5, (2, 6, 5))
    loss, saved = ops.cross_entropy(cut, labels, return_saved=True)
    dx = ops.cross_entropy_backward(np.float32(1), saved, labels)
    expected = ops.cross_entropy(np.ascontiguousarray(cut), labels)
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
    if md.backend.algorithms.compiled():
        assert saved.transpose(0, 2, 3, 1).flags.c_contiguous
        assert dx.transpose(0, 2, 3, 1).flags.c_contiguous
