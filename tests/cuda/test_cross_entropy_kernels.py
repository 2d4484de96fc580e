"""Cross entropy's kernels against the readable op in float64: all options, orders and schedules.

``F.losses.ops`` is the module of ops as the library has it, on NumPy arrays whatever the device.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import minideconv as md
from minideconv import functional as F
from minideconv.engine.cuda import checks
from minideconv.engine.cuda import cross_entropy as engine
from minideconv.testing import seeds, values


@pytest.fixture(autouse=True, scope="module")
def _few_blocks():
    """Small arrays, too, then need more than one round of the threads, and more than one block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "BLOCKS", 3)
        yield


ORDERS = ("channels last", "channels first", "sliced")
LABELS = ("uint8", "int64")


@st.composite
def cases(draw):
    """(shape of the scores, order in memory, type of the labels, weighted, options)."""
    space = tuple(draw(st.lists(st.integers(1, 7), max_size=3)))
    classes = draw(st.sampled_from([1, 2, 5, 21, 33, 130]))
    options = (
        draw(st.sampled_from([255, 0, 1])),
        draw(st.sampled_from(["mean", "sum", "none"])),
        draw(st.sampled_from([0.0, 0.1, 1.0])),
    )
    return (
        (draw(st.integers(1, 3)), classes, *space),
        draw(st.sampled_from(ORDERS)),
        draw(st.sampled_from(LABELS)),
        draw(st.booleans()),
        options,
    )


def with_order(x, order):
    """Return the same numbers in another order in memory."""
    if order == "channels last":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    if order == "sliced":
        return np.repeat(x, 2, axis=-1)[..., ::2]
    return np.ascontiguousarray(x)


def data(case, seed, dtype=np.float32, size=3):
    """Scores, labels, weights or None; a quarter of the pixels is to be ignored."""
    shape, order, kind, weighted, (ignored, _, _) = case
    rng = np.random.default_rng(seed)
    z = with_order((size * rng.standard_normal(shape)).astype(dtype), order)
    t = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    t[rng.random(t.shape) < 0.25] = ignored
    w = rng.uniform(0.2, 2, shape[1]).astype(dtype) if weighted else None
    return z, t.astype(kind), w


def readable(z, t, w, options, dloss):
    """Return loss and gradient of the readable op in float64."""
    with md.algorithm("reference"), np.errstate(invalid="ignore"):
        w = None if w is None else w.astype(np.float64)
        loss, saved = F.losses.ops.cross_entropy(
            z.astype(np.float64), t, w, *options, return_saved=True
        )
        return loss, F.losses.ops.cross_entropy_backward(
            dloss.astype(np.float64), saved, t, w, *options
        )


def found(gpu, z, t, w, options, dloss):
    """Return loss and gradient of the kernels."""
    arrays = [None if a is None else gpu.put(a) for a in (z, t, w)]
    loss, saved = engine.forward(*arrays, *options)
    ignored, reduction, smoothing = options
    grad = engine.backward(gpu.put(dloss), saved, ignored, reduction, smoothing)
    return gpu.get(loss), gpu.get(grad)


def check(gpu, case, seed, dtype=np.float32, size=3):
    z, t, w = data(case, seed, dtype, size)
    options = case[-1]
    dloss = values(t.shape if options[1] == "none" else (), seed, "normal", dtype)
    loss, grad = found(gpu, z, t, w, options, dloss)
    want_loss, want_grad = readable(z, t, w, options, dloss)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    assert (loss.dtype, loss.shape) == (dtype, want_loss.shape)
    assert (grad.dtype, grad.shape) == (dtype, z.shape)
    # a loss is a difference of numbers as large as the scores
    np.testing.assert_allclose(loss, want_loss, rtol=tolerance, atol=tolerance)
    # and a gradient one of numbers as large as dloss: with one class nothing is left of it
    size = np.linalg.norm(want_grad) + 0.01 * np.abs(dloss).max()
    assert np.linalg.norm(grad - want_grad) <= tolerance * size


@given(cases(), seeds())
@example(((3, 21, 7, 5), "channels last", "uint8", True, (255, "mean", 0.1)), 0)
@example(((2, 130, 3, 5), "channels first", "int64", True, (255, "none", 0.1)), 0)
def test_equals_the_readable_op(gpu, case, seed):
    check(gpu, case, seed)


@settings(max_examples=25)
@given(cases(), seeds())
def test_equals_the_readable_op_in_float64(gpu, case, seed):
    check(gpu, case, seed, np.float64)


@given(cases(), seeds())
def test_ignored_pixels_have_no_gradient_and_the_others_add_up_to_0(gpu, case, seed):
    z, t, w = data(case, seed)
    dloss = values(t.shape if case[-1][1] == "none" else (), seed, "normal", np.float32)
    _, grad = found(gpu, z, t, w, case[-1], dloss)
    assert not (grad * (t == case[-1][0])[:, None]).any()
    np.testing.assert_allclose(grad.sum(1), 0, atol=1e-5 * max(1, np.abs(grad).max()))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_sum_over_many_pixels_is_as_exact_as_one(gpu, reduction):
    """Losses of any size, eighty to a thread."""
    rng = np.random.default_rng(0)
    z = rng.uniform(0, 30, (1, 1, 203, 307)) * rng.standard_normal((1, 2, 203, 307))
    z, t = with_order(z.astype(np.float32), "channels last"), rng.integers(0, 2, (1, 203, 307))
    w = rng.uniform(0.2, 2, 2).astype(np.float32)
    options = (255, reduction, 0.0)
    loss, _ = engine.forward(*map(gpu.put, (z, t.astype(np.uint8), w)), *options)
    want, _ = readable(z, t, w, options, np.ones((), np.float32))
    assert abs(float(gpu.get(loss)) / want - 1) < 2e-7


@pytest.mark.parametrize("classes", [3, 21, 33])
def test_no_schedule_and_no_repetition_changes_a_bit(gpu, schedule, classes):
    case = ((3, classes, 9, 11), "channels last", "uint8", True, (255, "mean", 0.1))
    z, t, w = data(case, 0)
    dloss = np.ones((), np.float32)
    first = found(gpu, z, t, w, case[-1], dloss)
    for order in ("forward", "reverse", "shuffle"):
        with schedule(order):
            again = found(gpu, z, t, w, case[-1], dloss)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("what", ["all ignored", "no pixel", "weights of 0"])
def test_nothing_that_counts_gives_zero_and_never_nan(gpu, reduction, smoothing, what):
    z = values((2, 3, 4, 5), 0, "normal", np.float32)
    t = np.full((2, 4, 5), 255 if what == "all ignored" else 1, np.uint8)
    if what == "no pixel":
        z, t = z[:0], t[:0]
    w = np.zeros(3, np.float32) if what == "weights of 0" else None
    dloss = np.ones(t.shape if reduction == "none" else (), np.float32)
    loss, grad = found(gpu, z, t, w, (255, reduction, smoothing), dloss)
    assert not loss.any()
    assert not np.signbit(loss).any()
    assert grad.shape == z.shape
    assert (grad == 0).all()


@pytest.mark.parametrize("classes", [2, 21, 40])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_scores_that_are_not_finite(gpu, classes, smoothing):
    """Each kind at the label's class and beside it: what the readable op makes of it."""
    special = [[np.nan], [np.inf], [-np.inf], [np.inf, np.inf], [np.inf, np.nan], [1e30, -1e30]]
    z = values((1, classes, len(special), 3 * classes), 0, "normal", np.float32)
    t = np.broadcast_to(np.arange(3 * classes) // 3, (1, *z.shape[2:])).astype(np.uint8)
    t = np.where(np.arange(3 * classes) % 3 == 2, 255, t).astype(np.uint8)
    for row, kinds in enumerate(special):
        for column in range(3 * classes):
            for k, number in enumerate(kinds):  # at the label's place, and one beside it
                place = (column // 3 + column % 3 + k) % classes
                z[0, place, row, column] = number
    z[0, :, 2, 0] = -np.inf  # no class is possible
    options = (255, "none", smoothing)
    dloss = np.ones(t.shape, np.float32)
    loss, grad = found(gpu, z, t, None, options, dloss)
    want_loss, want_grad = readable(z, t, None, options, dloss)
    np.testing.assert_allclose(loss, want_loss, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(grad, want_grad, rtol=1e-5, atol=1e-6)
    assert np.isnan(loss).any()
    assert np.isinf(loss).any()


# --- what is wrong with the input ---------------------------------------------------------------


def wrong_data(kind):
    z, t = np.zeros((2, 3, 4, 5), np.float32), np.zeros((2, 4, 5), kind)
    t[0, 0, :2], t[1, 3, :3], t[1, 0, 0] = 3, 200, 255
    return z, t


def complaint(z, t, w=None):
    """Return the result of the readable op."""
    with md.algorithm("reference"), pytest.raises(ValueError, match="cross_entropy: ") as caught:
        F.losses.ops.cross_entropy(z, t, w)
    return re.escape(str(caught.value))


@pytest.mark.parametrize("kind", LABELS)
def test_wrong_labels_are_named_as_on_the_cpu(gpu, kind):
    z, t = wrong_data(kind)
    message = complaint(z, t)
    for _ in range(2):  # and counted anew each time
        with pytest.raises(ValueError, match=message):
            engine.forward(gpu.put(z), gpu.put(t), None, 255, "mean", 0.0)
    t[t == 3] = 2
    t[t == 200] = 1
    engine.forward(gpu.put(z), gpu.put(t), None, 255, "mean", 0.0)  # all is well
    many = np.arange(10, dtype=kind) + 15
    z = np.zeros((10, 15), np.float32)
    with pytest.raises(ValueError, match=complaint(z, many)):
        engine.forward(gpu.put(z), gpu.put(many), None, 255, "mean", 0.0)
    if kind == "int64":
        far = np.array([-1, -(2**40), 2**33, 4, 0, 0, 0, 0, 0, 0])
        with pytest.raises(ValueError, match=complaint(z, far)):
            engine.forward(gpu.put(z), gpu.put(far), None, 255, "mean", 0.0)


def test_wrong_weights_are_named_as_on_the_cpu(gpu):
    z, t = values((2, 3), 0, "normal", np.float32), np.array([0, 2], np.uint8)
    for number in (-1, np.nan, np.inf):
        w = np.array([1, 0.5, number], np.float32)
        with pytest.raises(ValueError, match=complaint(z, t, w)):
            engine.forward(gpu.put(z), gpu.put(t), gpu.put(w), 255, "mean", 0.0)
    with checks.deferred():
        engine.forward(gpu.put(z), gpu.put(t), gpu.put(w), 255, "mean", 0.0)
    with pytest.raises(ValueError, match="cross_entropy: a weight is not finite and >= 0"):
        checks.raise_deferred()


@pytest.mark.parametrize("kind", LABELS)
def test_deferred_errors_come_later_and_once(gpu, kind):
    z, t = wrong_data(kind)
    message = complaint(np.concatenate([z, z]), np.concatenate([t, t]))
    z, t = gpu.put(z), gpu.put(t)
    with checks.deferred():
        for _ in range(2):
            loss, saved = engine.forward(z, t, None, 255, "mean", 0.0)
            engine.backward(gpu.put(np.ones((), np.float32)), saved, 255, "mean", 0.0)
    assert abs(float(gpu.get(loss)) - np.log(3)) < 1e-6  # the wrong pixels did not count
    with pytest.raises(ValueError, match=message):
        checks.raise_deferred()
    checks.raise_deferred()
    with pytest.raises(ValueError, match="cross_entropy: target has 5 labels"):
        engine.forward(z, t, None, 255, "mean", 0.0)


def test_deferred_errors_of_far_labels_say_on_which_side_they_are(gpu):
    z, t = np.zeros((5, 3), np.float32), np.array([-1, -(2**40), 2**33, 7, 0])
    with checks.deferred():
        engine.forward(gpu.put(z), gpu.put(t), None, 255, "mean", 0.0)
    named = r"7 \(1 times\), below 0 \(2 times\), above 255 \(1 times\); logits have 3 classes"
    with pytest.raises(ValueError, match=r"4 labels outside 0\.\.2 .*: " + named):
        checks.raise_deferred()


# --- slips that the checks above must see ------------------------------------------------------

SLIPS = [
    ("c < classes ? c : 0", "0"),
    ("s.z[k] > s.top ? s.z[k] : s.top", "s.z[k] < s.top ? s.z[k] : s.top"),
    ("other > s.top ? other : s.top", "s.top"),
    ("if (c < classes) s.sum += s.e[k]", "s.sum += s.e[k]"),
    ("s.sum = over_lanes(s.sum)", ""),
    ("const i64 end = ((pixels) + groups - 1)", "const i64 end = (pixels)"),
    ("value = keep * w *", "value = w *"),
    ("w = weighted ? weight[t] : (REAL)1", "w = 1"),
    ("all = over_lanes(all)", ""),
    ("value -= spread * all", "value -= keep * all"),
    ("my_lane() == 0 && inside) {\n      if (t", "inside) {\n      if (t"),
    ("total += w;", "total += 1;"),
    ("block < blocks; block += blockDim.x", "block < 1; block += blockDim.x"),
    ("mean && total != 0 ? total : 1", "total != 0 ? total : 1"),
    ("mean && total != 0 ? total : 1", "mean ? total : 1"),
    ("weights += weight[c]", "weights = weight[c]"),
    ("each ? pixel : 0", "0"),
    ("keep * (weighted ? weight[t] : (REAL)1) * g", "keep * g"),
    ("on_each = spread * g", "on_each = 0"),
    ("on_target + weights * on_each", "on_target + on_each"),
    (" / s.sum;", ";"),
    ("c == t ? on_target", "c == 0 ? on_target"),
    ("* factor - q", "* factor"),
    ("label != ignored && label >= 0", "label >= 0"),
]
SLIP_CASES = [
    ((3, 21, 7, 5), "channels last", "uint8", True, (255, "mean", 0.1)),
    ((2, 21, 7, 5), "channels last", "uint8", True, (1, "none", 0.1)),
    ((3, 21, 7, 5), "channels last", "uint8", True, (1, "sum", 0.1)),
    ((2, 21, 7, 5), "channels last", "uint8", False, (255, "mean", 0.0)),
]


SEEN = (AssertionError, pytest.fail.Exception)


def full_check(gpu):
    for case in SLIP_CASES:
        check(gpu, case, 1)
    check(gpu, SLIP_CASES[0], 1, size=60)  # exponentials that float32 cannot hold
    test_nothing_that_counts_gives_zero_and_never_nan(gpu, "mean", 0.2, "all ignored")


@pytest.mark.parametrize(("right", "wrong"), SLIPS)
def test_slips_are_seen(gpu, slip, right, wrong):
    with (
        slip("cross_entropy.cu", right, wrong),
        pytest.raises(AssertionError),
        np.errstate(all="ignore"),
    ):
        full_check(gpu)


def test_without_a_slip_all_is_well(gpu):
    full_check(gpu)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("if (t != ignored && !counted) complain(t, wrong);", ""),
        ("if (!finite || weight[c] < 0)", "if (weight[c] < 0)"),
        ("if (!finite || weight[c] < 0)", "if (!finite)"),
    ],
)
def test_slips_in_the_complaints_are_seen(gpu, slip, right, wrong):
    def all_complaints():
        test_wrong_weights_are_named_as_on_the_cpu(gpu)
        test_deferred_errors_of_far_labels_say_on_which_side_they_are(gpu)
        test_deferred_errors_come_later_and_once(gpu, "uint8")

    all_complaints()
    with slip("cross_entropy.cu", right, wrong), pytest.raises(SEEN):
        all_complaints()
    checks._tables.clear()
