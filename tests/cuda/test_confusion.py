"""Confusion counts from scores against NumPy's argmax and a matrix counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minideconv.engine.cuda import checks, confusion
from minideconv.engine.cuda import cross_entropy as pixels
from minideconv.segmentation import ConfusionMatrix
from minideconv.testing import seeds

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0], np.float32)


@pytest.fixture(autouse=True, scope="module")
def _few_blocks():
    """Small arrays, too, then make a stretch of several pixels for each warp."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixels, "BLOCKS", 2)
        yield


@st.composite
def cases(draw):
    """(N, C, H, W), whether classes are neighbours in memory, the label's type, what is special."""
    shape = (
        draw(st.integers(1, 3)),
        draw(st.sampled_from([1, 2, 5, 21, 40, 130])),
        draw(st.integers(1, 4)),
        draw(st.integers(1, 9)),
    )
    return (
        shape,
        draw(st.booleans()),
        draw(st.sampled_from(["uint8", "int64"])),
        draw(st.booleans()),
    )


def data(case, seed):
    """Scores with many ties, and labels of which a quarter is void; or both the same along rows."""
    (n, c, h, w), last, dtype, kind = case
    rng = np.random.default_rng(seed)
    z = rng.integers(0, 4, (n, h, w, c)).astype(np.float32)
    t = rng.integers(0, c, (n, h, w))
    t[rng.random(t.shape) < 0.25] = 255
    if kind == "not finite":
        z = SPECIAL[rng.integers(0, len(SPECIAL), z.shape)]
    if kind == "stripes":
        z[:, :, 1:], t[:, :, 1:] = z[:, :, :1], t[:, :, :1]
    z[0, 0, 0], z[0, 0, 0, -1], t[0, 0, 0] = 1, 5, c - 1  # the last cell
    z = z.transpose(0, 3, 1, 2)
    return (z if last else np.ascontiguousarray(z)), t.astype(dtype)


def check(gpu, case, seed, dtype=np.float32):
    z, t = data(case, seed)
    start = np.random.default_rng(seed).integers(0, 100, (z.shape[1],) * 2)
    counts = gpu.xp.asarray(start.copy())
    with checks.deferred():
        confusion.count(counts, gpu.put(t), gpu.put(z.astype(dtype)))
    checks.raise_deferred()
    expected = start.copy()
    counted = t != 255
    np.add.at(expected, (t[counted].astype(int), z.argmax(axis=1)[counted]), 1)
    np.testing.assert_array_equal(gpu.get(counts), expected)


@given(cases(), seeds())
@example(((2, 130, 9, 13), True, "uint8", "not finite"), 0)
def test_equals_argmax_and_counting(gpu, case, seed):
    check(gpu, case, seed)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [5, 21, 130])
def test_both_types_of_scores(gpu, dtype, classes):
    check(gpu, ((2, classes, 7, 11), True, "uint8", "not finite"), 3, dtype)


@pytest.mark.parametrize("classes", [21, 130])
def test_no_schedule_changes_a_count(gpu, schedule, classes):
    for order in ("forward", "reverse", "shuffle"):
        with schedule(order):
            check(gpu, ((3, classes, 9, 13), True, "uint8", ""), 1)


def test_a_matrix_too_large_for_a_block(gpu, monkeypatch):
    monkeypatch.setattr(confusion, "SHARED", 4 * 20 * 20)
    for classes in (20, 21):
        check(gpu, ((2, classes, 9, 13), True, "uint8", ""), 2)


def test_the_figures_on_the_host_are_the_same(gpu):
    z, t = data(((3, 5, 9, 13), True, "uint8", ""), 0)
    counts = gpu.put(np.zeros((5, 5), np.int64))
    for image in range(3):
        confusion.count(counts, gpu.put(t[image : image + 1]), gpu.put(z[image : image + 1]))
    usual, added = ConfusionMatrix(5), ConfusionMatrix(5)
    usual.update(t, z.argmax(axis=1))
    added.add(counts)
    assert added.compute() == usual.compute()
    assert usual.pixels > 200


def test_no_image_changes_nothing(gpu):
    counts = gpu.put(np.zeros((3, 3), np.int64))
    confusion.count(counts, gpu.put(np.zeros((0, 4, 5), np.uint8)), gpu.put(np.zeros((0, 3, 4, 5))))
    assert not gpu.get(counts).any()


def test_wrong_labels_are_named_and_not_counted(gpu):
    z, t = np.zeros((1, 3, 2, 4), np.float32), np.zeros((1, 2, 4), np.uint8)
    t[0, 0, :2], t[0, 1, 1], t[0, 1, 2] = 3, 200, 255
    counts = gpu.put(np.zeros((3, 3), np.int64))
    message = (
        r"confusion.count: target has 3 labels outside 0\.\.2 .*: 3 \(2 times\), 200 \(1 times"
    )
    with pytest.raises(ValueError, match=message):
        confusion.count(counts, gpu.put(t), gpu.put(z))
    assert gpu.get(counts).tolist() == [[4, 0, 0], [0, 0, 0], [0, 0, 0]]
    with checks.deferred():
        confusion.count(counts, gpu.put(t), gpu.put(z))
    with pytest.raises(ValueError, match=message):
        checks.raise_deferred()


def test_shapes_that_do_not_fit_are_refused(gpu):
    z, t = gpu.put(np.zeros((1, 3, 2, 4), np.float32)), gpu.put(np.zeros((1, 2, 4), np.uint8))
    for classes, truth in ((2, t), (3, t[:, :1])):
        counts = gpu.put(np.zeros((classes, classes), np.int64))
        with pytest.raises(ValueError, match="do not fit scores"):
            confusion.count(counts, truth, z)


SLIPS = [
    ("a > b || (a == b && i < j)", "a > b || (a == b && i > j)"),
    ("a > b || (a == b && i < j)", "a > b"),
    ("return b == b || i < j;", "return b == b;"),
    ("return b == b || i < j;", "return true;"),
    ("if (a != a) return b == b || i < j;", ""),
    ("c < classes; c += LANES", "c < classes - 1; c += LANES"),
    ("its, top, best", "best, top, its"),
    ("best = its;", ""),
    ("(i32)t * classes + best", "best * classes + (i32)t"),
    ("if (cell != last && run > 0)", "if (cell != last && run > 1)"),
    ("run = 0;\n    }", "}"),
    ("++run;", "run = 1;"),
    ("if (t != ignored) complain", "complain"),
    ("  if (run > 0) {\n    if (shared)", "  if (run > 1) {\n    if (shared)"),
    ("cells[cell] = 0;", ";"),
    (
        "cell < size; cell += blockDim.x)\n      if",
        "cell < size - 1; cell += blockDim.x)\n      if",
    ),
    ("(pixels + warps * beside - 1)", "pixels"),
]


@pytest.mark.parametrize(("right", "wrong"), SLIPS)
def test_slips_are_seen(gpu, slip, right, wrong):
    def all_checks():
        check(gpu, ((2, 21, 5, 13), True, "uint8", ""), 1)
        check(gpu, ((2, 21, 5, 13), True, "uint8", "not finite"), 1)
        check(gpu, ((2, 21, 5, 13), True, "uint8", "stripes"), 1)

    all_checks()
    with slip("confusion.cu", right, wrong), pytest.raises((AssertionError, ValueError)):
        all_checks()
    checks._tables.clear()
