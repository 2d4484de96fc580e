"""Cross entropy against scalar loops, by differences, and its message about wrong labels."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv import functional as F
from minideconv.ops import cross_entropy, cross_entropy_backward
from minideconv.testing import GradientError, check_contract, check_gradients, seeds, values

REDUCTIONS = ("mean", "sum", "none")


@st.composite
def settings_and_shapes(draw):
    """(shape of the logits, fraction of ignored pixels, options): (N, C) up to (N, C, D, H, W)."""
    space = tuple(draw(st.lists(st.integers(1, 4), max_size=3)))
    shape = (draw(st.integers(1, 3)), draw(st.integers(2, 6)), *space)
    options = {
        "ignore_index": draw(st.sampled_from([255, -1, 0, 1])),
        "reduction": draw(st.sampled_from(REDUCTIONS)),
        "label_smoothing": draw(st.sampled_from([0.0, 0.1, 0.75, 1.0])),
    }
    return shape, draw(st.sampled_from([0.0, 0.3])), draw(st.booleans()), options


def data(case, seed):
    """Logits, labels and weights; pixel 0 always counts, so that no case is vacuous."""
    shape, ignored, weighted, options = case
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(shape)
    legal = [c for c in range(shape[1]) if c != options["ignore_index"]]
    t = rng.choice(legal, (shape[0], *shape[2:]))
    t[rng.random(t.shape) < ignored] = options["ignore_index"]
    t.flat[0] = legal[0]
    return z, t, rng.uniform(0.2, 2.0, shape[1]) if weighted else None, options


def loop_cross_entropy(z, t, w, ignore_index=255, reduction="mean", label_smoothing=0.0):
    """Return the loss, pixel by pixel, as an expectation under the smoothed target."""
    classes = z.shape[1]
    w = np.ones(classes) if w is None else w
    losses, weights = np.zeros(t.shape), 0.0
    for at in np.ndindex(t.shape):
        if t[at] == ignore_index:
            continue
        scores = z[(at[0], slice(None), *at[1:])]
        norm = math.log(math.fsum(math.exp(s) for s in scores))
        for c, score in enumerate(scores):
            q = label_smoothing / classes + (1 - label_smoothing) * (c == t[at])
            # The weight of the class that the probability is put on.
            losses[at] += q * w[c] * (norm - score)
        weights += w[t[at]]
    if reduction == "none":
        return losses
    total = math.fsum(losses.flat)
    return total if reduction == "sum" else total / weights if weights else 0.0


@given(settings_and_shapes(), seeds())
def test_it_equals_the_loops(case, seed):
    z, t, w, options = data(case, seed)
    loss = cross_entropy(z, t, w, **options)
    np.testing.assert_allclose(loss, loop_cross_entropy(z, t, w, **options), rtol=1e-12, atol=1e-13)
    shape = t.shape if options["reduction"] == "none" else ()
    given_arrays = [z, t] if w is None else [z, t, w]
    check_contract(lambda *a: cross_entropy(*a, **options), given_arrays, shape=shape)


@given(settings_and_shapes(), seeds())
def test_gradient(case, seed):
    z, t, w, options = data(case, seed)
    _, saved = cross_entropy(z, t, w, **options, return_saved=True)

    def backward(dloss):
        return (cross_entropy_backward(dloss, saved, t, w, **options),)

    check_gradients(lambda z: cross_entropy(z, t, w, **options), [z], backward, seed=seed)
    check_gradients(lambda z: F.cross_entropy(z, t, w, **options), [z], seed=seed)
    dloss = values(t.shape if options["reduction"] == "none" else (), seed)
    if not isinstance(saved, np.ndarray):
        return  # a GPU saves the arguments; tests/cuda has the tests for those
    given_arrays = [dloss, saved] if w is None else [dloss, saved, w]
    check_contract(
        lambda d, s, w=None: cross_entropy_backward(d, s, t, w, **options),
        given_arrays,
        shape=z.shape,
    )


@given(settings_and_shapes(), seeds())
def test_ignored_pixels_have_no_loss_and_no_gradient(case, seed):
    z, t, w, options = data(case, seed)
    where = t == options["ignore_index"]
    loss, saved = cross_entropy(z, t, w, **options, return_saved=True)
    other = z + 5 * values(z.shape, seed) * where[:, None]
    assert (cross_entropy(other, t, w, **options) == loss).all()
    dz = cross_entropy_backward(values(loss.shape, seed), saved, t, w, **options)
    assert not (dz * where[:, None]).any()
    # Scores may all rise together: each pixel's gradient adds up to 0.
    np.testing.assert_allclose(dz.sum(1), 0, atol=1e-14 * max(1, np.abs(dz).max()))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("what", ["all ignored", "no pixel", "weights of 0"])
def test_nothing_that_counts_gives_zero_and_never_nan(reduction, label_smoothing, weighted, what):
    z = values((2, 3, 4, 5), 0, "normal", np.float32)
    t = np.full((2, 4, 5), 255 if what == "all ignored" else 1, np.uint8)
    w = np.ones(3) if weighted else None
    if what == "no pixel":
        z, t = z[:0], t[:0]
    if what == "weights of 0":
        w = np.zeros(3)
    options = {"reduction": reduction, "label_smoothing": label_smoothing}
    loss, saved = cross_entropy(z, t, w, **options, return_saved=True)
    assert loss.dtype == np.float32
    assert not loss.any()
    assert not np.signbit(loss).any()
    dloss = np.ones_like(loss)
    dz = cross_entropy_backward(dloss, saved, t, w, **options)
    assert dz.shape == z.shape
    assert (dz == 0).all()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64", "uint64"])
def test_labels_of_any_integer_type(dtype):
    z, t = values((3, 4), 1, "normal"), np.array([0, 3, 2])
    assert cross_entropy(z, t.astype(dtype)) == cross_entropy(z, t)


def test_huge_and_impossible_scores():
    z = np.array([[1e4, 0.0, -1e4], [0.0, -np.inf, 0.0]], np.float32)
    t = np.array([2, 0])
    loss, saved = cross_entropy(z, t, reduction="none", return_saved=True)
    np.testing.assert_allclose(loss, [2e4, math.log(2)], rtol=1e-6)
    dz = cross_entropy_backward(np.ones(2, np.float32), saved, t, reduction="none")
    assert dz.tolist() == [[1.0, 0.0, -1.0], [-0.5, 0.0, 0.5]]


def loss_and_wrong_gradient(mutant):
    z, t, w, options = data(((3, 4, 2, 5), 0.3, True, {"ignore_index": 1, "reduction": "mean"}), 4)
    options["label_smoothing"] = 0.3
    _, saved = cross_entropy(z, t, w, **options, return_saved=True)
    right = lambda d, **o: cross_entropy_backward(d, saved, t, w, **{**options, **o})  # noqa: E731
    counts = t != 1
    wrong = {
        "sum for mean": lambda d: right(d, reduction="sum"),
        "mean over pixels": lambda d: right(d, reduction="sum") / counts.sum(),
        "unsmoothed": lambda d: right(d, label_smoothing=0.0),
        "unweighted": lambda d: cross_entropy_backward(d, saved, t, None, **options),
        "ignored pixels count": lambda d: right(d, ignore_index=-1),
        "cotangent forgotten": lambda d: right(np.ones_like(d)),
        "softmax only": lambda d: right(d) + d * counts[:, None] / w[t].sum(),
        "zeros": lambda d: 0 * z * d,
        "images swapped": lambda d: right(d)[::-1],
        "channels rolled": lambda d: np.roll(right(d), 1, axis=1),
        "pixels transposed": lambda d: right(d).swapaxes(2, 3).reshape(z.shape),
    }
    return (lambda z: cross_entropy(z, t, w, **options)), z, wrong[mutant]


@pytest.mark.parametrize(
    "mutant",
    [
        "sum for mean",
        "mean over pixels",
        "unsmoothed",
        "unweighted",
        "ignored pixels count",
        "cotangent forgotten",
        "softmax only",
        "zeros",
        "images swapped",
        "channels rolled",
        "pixels transposed",
    ],
)
def test_the_gradient_check_rejects(mutant):
    function, z, wrong = loss_and_wrong_gradient(mutant)
    with pytest.raises(GradientError):
        check_gradients(function, [z], lambda dloss: (wrong(dloss),))


def test_wrong_labels_are_named_and_counted():
    z, t = np.zeros((2, 3, 4, 5)), np.zeros((2, 4, 5), np.uint8)
    t[0, 0, :2], t[1, 3, :3], t[1, 0, 0] = 3, 200, 255
    message = (
        "cross_entropy: target has 5 labels outside 0..2 that are not ignore_index=255: 3 (2"
        " times), 200 (3 times); logits have 3 classes"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        cross_entropy(z, t)
    with pytest.raises(ValueError, match=r"1 labels outside 0\.\.2 .*: -1 \(1 times\)"):
        cross_entropy(z[:, :, 0, 0], np.array([-1, 255]))
    with pytest.raises(ValueError, match=r"19 \(1 times\) and 5 more values; logits have 15"):
        cross_entropy(np.zeros((10, 15)), np.arange(15, 25))


@pytest.mark.parametrize(
    ("shape", "target", "options", "message"),
    [
        ((2, 3, 4, 5), (2, 4, 4), {}, r"target has shape \(2, 4, 4\); .* shape \(2, 4, 5\)"),
        (
            (2, 3, 4, 5),
            (2, 3, 4, 5),
            {},
            r"target has shape \(2, 3, 4, 5\); .* one label per pixel",
        ),
        ((3,), (), {}, r"logits have shape \(3,\); it must be \(N, C\) or \(N, C, H, W\)"),
        ((2, 0), (2,), {}, r"logits have shape \(2, 0\); .* C >= 1"),
        ((2, 3), (2,), {"weight": np.ones(4)}, r"weight has shape \(4,\); it must be \(3,\)"),
        ((2, 3), (2,), {"weight": -np.ones(3)}, "weight is .* must be finite and >= 0"),
        ((2, 3), (2,), {"weight": np.full(3, np.nan)}, "weight is .* must be finite and >= 0"),
        ((2, 3), (2,), {"reduction": "avg"}, "reduction is 'avg'; it must be 'mean', 'sum' or"),
        ((2, 3), (2,), {"label_smoothing": 1.5}, r"label_smoothing is 1.5; it must be in"),
    ],
)
def test_what_cannot_be_is_named(shape, target, options, message):
    with pytest.raises(ValueError, match="cross_entropy: " + message):
        cross_entropy(np.zeros(shape), np.zeros(target, np.int64), **options)


def test_wrong_types_are_named():
    with pytest.raises(TypeError, match="target has dtype float64; it must hold integer class"):
        cross_entropy(np.zeros((2, 3)), np.zeros(2))
    with pytest.raises(TypeError, match="logits have dtype int64; they must be floating point"):
        cross_entropy(np.zeros((2, 3), np.int64), np.zeros(2, np.int64))
    for weight in (np.ones(3) + 2j, np.array(["1", "2", "3"]), np.ones(3, object)):
        with pytest.raises(TypeError, match=r"cross_entropy: weight has dtype .*; it must hold re"):
            cross_entropy(np.zeros((2, 3)), np.zeros(2, np.int64), weight)
