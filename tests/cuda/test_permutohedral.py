"""The permutohedral lattice on the GPU: the reference's table to the bit, its filter to rounding.

What is built has no tolerance. A filtered value may differ by `TOLERANCE` of what the filter makes
of the absolute values: the reference adds up in float64 where it splats, the kernels in float32.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minideconv.backend.algorithms import algorithm
from minideconv.engine.cuda import memory
from minideconv.engine.cuda import permutohedral as engine
from minideconv.ops import permutohedral as ops
from minideconv.ops.permutohedral import Lattice, Lists
from minideconv.ops.workspace import workspace_limit
from minideconv.testing import seeds

TOLERANCE = 2e-6
STEPS = (ops.embed, ops.simplices, ops.distinct, ops.find, ops.lattice_filter)


@pytest.fixture(autouse=True, scope="module")
def _kernels_compute(gpu):
    """Let the kernels compute, too, what is in the host's memory."""
    with pytest.MonkeyPatch.context() as patch:
        if gpu.kind == "hostshim":
            for step in STEPS:
                patch.setitem(step.ways, "cpu", step.ways["gpu"])
        yield


def reference(f):
    with algorithm("reference"):
        return ops.lattice(f)


def cloud(n, d, seed, spread=2.0):
    return (np.random.default_rng(seed).standard_normal((n, d)) * spread).astype(np.float32)


def photograph(height, width, kind, seed=0):
    """Features of a picture's pixels: place and colour."""
    y, x = np.indices((height, width)).astype(np.float32)
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.float32)
    if kind == "constant":
        image[:] = 90
    if kind == "black":
        image[:] = 0
    if kind == "two colours":
        image[:, : width // 2], image[:, width // 2 :] = (200, 60, 40), (40, 90, 180)
    return np.dstack([x / 20, y / 20, image / 13]).reshape(-1, 5).astype(np.float32)


def check_lists(lists, corners):
    """The lists are the corners' entries, in order, in pieces of at most PIECE."""
    entries = corners.ravel()
    np.testing.assert_array_equal(lists.order, np.argsort(entries, kind="stable"))
    starts = np.searchsorted(entries[lists.order], np.arange(entries.max() + 2))
    assert (lists.pieces[0], lists.pieces[-1]) == (0, len(entries))
    np.testing.assert_array_equal(lists.pieces[lists.firsts], starts)
    lengths = np.diff(lists.pieces)
    assert lengths.min() > 0
    assert lengths.max() <= engine.PIECE
    expected = -(-np.diff(starts) // engine.PIECE)
    np.testing.assert_array_equal(np.diff(lists.firsts), expected)


def check_build(gpu, f):
    """Every number is the reference's."""
    expected, found = reference(f), ops.lattice(gpu.put(f))
    for name in ("corners", "splat", "slice", "neighbours"):
        ours, theirs = gpu.get(getattr(found, name)), getattr(expected, name)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs, name)
    check_lists(Lists(*map(gpu.get, found.lists)), expected.corners)
    return found, expected


def check_filter(gpu, found, expected, labels, seed, limit=None):
    rng = np.random.default_rng(seed)
    n = len(expected.corners)
    v = rng.standard_normal((n, labels)).astype(np.float32)
    v[:, 0] = 1
    before, after = rng.uniform(0.5, 2, (2, n, 1)).astype(np.float32)
    found = found.scaled(gpu.put(before), gpu.put(after))
    expected = expected.scaled(before, after)
    for transposed in (False, True):
        with algorithm("reference"):
            theirs = ops.lattice_filter(v, expected, transposed)
            bound = TOLERANCE * ops.lattice_filter(np.abs(v), expected, transposed)
        with workspace_limit(limit):
            ours = gpu.get(ops.lattice_filter(gpu.put(v), found, transposed))
        assert ours.dtype == np.float32
        assert (np.abs(ours - theirs) <= bound).all()


def check(gpu, f, labels=5, seed=0, limit=None):
    check_filter(gpu, *check_build(gpu, f), labels, seed, limit)


@given(
    st.integers(1, 300),
    st.sampled_from([1, 2, 3, 5]),
    st.sampled_from([0.01, 1.0, 4.0, 100.0]),
    st.sampled_from([1, 2, 5, 21, 33]),
    seeds(),
)
@example(4000, 2, 1.0, 21, 0)
@example(1500, 5, 1.0, 3, 0)
def test_equals_the_reference_in_drawn_points(gpu, n, d, spread, labels, seed):
    check(gpu, cloud(n, d, seed, spread), labels, seed)


@pytest.mark.parametrize("kind", ["noise", "constant", "black", "two colours"])
@pytest.mark.parametrize("size", [(1, 1), (1, 17), (23, 1), (19, 31)])
def test_equals_the_reference_in_pictures(gpu, size, kind):
    f = photograph(*size, kind)
    check(gpu, f, 21)
    check(gpu, np.ascontiguousarray(f[:, :2]), 4)


def test_points_on_the_borders_of_simplices(gpu):
    """Features of 0, and multiples of 1 in every direction, where coordinates are equal."""
    grid = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), axis=-1).reshape(-1, 3)
    check(gpu, grid.astype(np.float32))
    check(gpu, np.zeros((70, 3), np.float32))


@pytest.mark.parametrize("d", [8, 10])
def test_many_dimensions(gpu, d):
    """A code of more than ten coordinates has no room in 64 bits."""
    check(gpu, cloud(40, d, 0, 0.02))


def test_a_small_budget_changes_no_bit(gpu):
    f, labels = photograph(13, 17, "noise"), 21
    found, expected = check_build(gpu, f)
    v = gpu.put(cloud(len(f), labels, 0))
    whole = gpu.get(ops.lattice_filter(v, found))
    for limit in (1, 100_000):  # a label at a time, and several with a rest
        check_filter(gpu, found, expected, labels, 1, limit)
        with workspace_limit(limit):
            assert gpu.get(ops.lattice_filter(v, found)).tobytes() == whole.tobytes()


@pytest.mark.parametrize("kind", ["noise", "constant"])
def test_every_run_has_the_same_bits(gpu, schedule, kind):
    f = photograph(13, 18, kind)
    v, results = gpu.put(cloud(len(f), 21, 0)), []
    for order in ("forward", "reverse", "shuffle"):
        with schedule(order):
            built = ops.lattice(gpu.put(f))
            parts = (built.corners, built.splat, built.neighbours, *built.lists)
            results.append([gpu.get(a).tobytes() for a in (*parts, ops.lattice_filter(v, built))])
    assert results[0] == results[1] == results[2]


def test_any_order_in_memory(gpu):
    f = photograph(7, 9, "noise")
    found, expected = check_build(gpu, np.asfortranarray(f))
    v = cloud(len(f), 6, 0)
    with algorithm("reference"):
        theirs = ops.lattice_filter(v, expected)
    copies = np.asfortranarray(v), np.repeat(v, 2, axis=1)[:, ::2], v.astype(np.float64)
    for copy in copies:
        ours = gpu.get(ops.lattice_filter(gpu.put(copy), found))
        np.testing.assert_allclose(ours, theirs, atol=TOLERANCE * np.abs(theirs).max())


def test_transposed_is_the_transpose(gpu):
    f = cloud(60, 3, 0)
    rng = np.random.default_rng(0)
    found = ops.lattice(gpu.put(f)).scaled(
        *map(gpu.put, rng.uniform(0.5, 2, (2, 60, 1)).astype("f4"))
    )
    v, w = rng.standard_normal((2, 60, 21)).astype(np.float32)
    forward = gpu.get(ops.lattice_filter(gpu.put(v), found)).astype(np.float64)
    backward = gpu.get(ops.lattice_filter(gpu.put(w), found, transposed=True)).astype(np.float64)
    assert abs((forward * w).sum() - (backward * v).sum()) < 1e-4 * np.abs(forward * w).sum()


def test_a_lattice_without_lists_is_left_to_the_reference(gpu):
    f = cloud(9, 2, 0)
    found = ops.lattice(gpu.put(f))
    assert isinstance(found, Lattice)
    assert engine.lattice_filter(gpu.put(f), replace(found, lists=None)) is None
    assert engine.distinct(gpu.put(np.zeros((0, 3), np.int64))) is None


def test_bad_points_are_refused_alike(gpu):
    for f, message in (
        (np.zeros((0, 2)), r"points has shape \(0, 2\)"),
        (np.array([[np.nan, 1]]), "values that are not finite"),
        (np.eye(6) * 1e5, "the product must be below 2.63"),
    ):
        with pytest.raises(ValueError, match=message):
            ops.lattice(gpu.put(f))


def test_a_filter_asks_for_nothing_but_its_kernels(cupy_device, counts):
    """Splat, splat, six directions, slice; nothing is copied, nothing is waited for."""
    f = photograph(6, 7, "noise")
    found, v = ops.lattice(cupy_device.put(f)), cupy_device.put(cloud(42, 5, 0))
    ops.lattice_filter(v, found)
    with counts() as seen:
        ops.lattice_filter(v, found)
    assert seen()["launches"] == 9
    assert (seen()["syncs"], seen()["h2d"], seen()["d2h"], seen()["d2d"]) == (0, 0, 0, 0)


def peak(call):
    """Return the most that arrays had during a call, beyond what was there before it, in bytes."""
    before = memory.used()
    with memory.measured() as most:
        result = call()
    del result
    return most.nbytes - before


@pytest.mark.parametrize("kind", ["noise", "constant"])
def test_the_memory_is_bounded(cupy_device, kind):
    """Building: 88 bytes for each point and corner at most. Filtering: tables within the budget."""
    f, labels = photograph(40, 55, kind), 21
    points, v = cupy_device.put(f), cupy_device.put(cloud(len(f), labels, 0))
    found = ops.lattice(points)
    assert peak(lambda: ops.lattice(points)) < 88 * found.corners.size + 2e4
    count, parts = found.neighbours.shape[1], len(found.lists.pieces) - 1
    tables = 4 * labels * (count + 1 + max(count + 1, parts))
    for limit in (None, tables // 3):
        with workspace_limit(limit):
            taken = peak(lambda: ops.lattice_filter(v, found)) - v.nbytes
        assert taken < min(tables, limit or tables) + 2000


SLIPS = [
    (engine.BUILD, "product(-i, own) + behind", "product(i, own) + behind"),
    (engine.BUILD, "if (i < d) behind +=", "if (i < d - 1) behind +="),
    (engine.BUILD, "+ i - 1], scales[i - 1]", "+ i - 1], scales[i]"),
    (engine.BUILD, "rint(at[i] / CORNERS)", "rint(at[i] / d)"),
    (engine.BUILD, "rank[i] = excess;", "rank[i] = 0;"),
    (engine.BUILD, "away[j] == away[i] && j < i", "away[j] == away[i] && j > i"),
    (engine.BUILD, "|| (away[j] == away[i] && j < i)", ""),
    (engine.BUILD, "base[i] += turn * CORNERS;", ""),
    (engine.BUILD, "before = away[i] - 1;", "before = away[i];"),
    (engine.BUILD, "rank[i] == d - k", "rank[i] == k"),
    (engine.BUILD, "rank[i] > d - k ? CORNERS", "rank[i] >= d - k ? CORNERS"),
    (engine.BUILD, "numbers[order[i]] = number", "numbers[i] = number"),
    (engine.BUILD, "% PIECE == 0", "% (PIECE / 2) == 0"),
    (engine.BUILD, "((i32)i - starts[ranks[i] - 1]) % PIECE", "(i32)i % PIECE"),
    (engine.BUILD, "firsts[number] = cuts[i] - 1", "firsts[number] = cuts[i]"),
    (engine.BUILD, "codes[middle] < wanted[i]", "codes[middle] <= wanted[i]"),
    (engine.BUILD, "low < count && codes[low] == wanted[i] ?", "low < count ?"),
    (engine.FILTER, "weights[entry], values", "1.0f, values"),
    (engine.FILTER, "first + (i - piece * width)", "(i - piece * width)"),
    (engine.FILTER, "k < pieces[piece + 1]", "k < pieces[piece + 1] - 1"),
    (engine.FILTER, "piece < firsts[corner + 1]", "piece < firsts[corner] + 1"),
    (engine.FILTER, "0.5f, both", "0.25f, both"),
    (engine.FILTER, "behind[corner] * width", "before[corner] * width"),
    (engine.FILTER, "result[i] = 0;", "result[i] = 1;"),
    (engine.FILTER, "float sum = 0;\n    if (", "float sum = corner == corners;\n    if ("),
    (engine.FILTER, "value * scale", "value"),
    (engine.FILTER, "corner_of[k] * width + label", "corner_of[point * corners] * width + label"),
]  # fmt: skip


def hard_ones(gpu):
    check(gpu, cloud(70, 3, 0), 5, limit=1)
    check(gpu, photograph(11, 19, "constant"), 5)
    check(gpu, photograph(5, 7, "noise"), 3, limit=2000)
    check(gpu, np.zeros((70, 3), np.float32))


@pytest.mark.parametrize(("file", "right", "wrong"), SLIPS)
def test_slips_are_seen(gpu, slip, file, right, wrong):
    with slip(file, right, wrong), pytest.raises((AssertionError, IndexError)):
        hard_ones(gpu)


def test_the_right_kernels_pass_what_rejects_the_wrong_ones(gpu):
    hard_ones(gpu)
