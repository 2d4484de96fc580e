"""The permutohedral lattice: its geometry, its transpose, and the Gaussian that it stands for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.backend.algorithms import algorithm
from minideconv.ops import permutohedral
from minideconv.ops.permutohedral import lattice, lattice_filter

pytestmark = pytest.mark.cpu  # the lattice is on the host

dimensions = st.integers(1, 6)
seeds = st.integers(0, 2**32 - 1)


def points(n, d, seed, spread=3.0):
    return (np.random.default_rng(seed).standard_normal((n, d)) * spread).astype(np.float32)


@given(dimensions, seeds, st.sampled_from(["reference", "fast"]))
def test_a_point_is_the_weighted_mean_of_its_corners(d, seed, how):
    """And the corners are a simplex: remainders 0 to d by d + 1, d + 1 different points."""
    y = permutohedral.embed(points(40, d, seed))
    low = np.full(d, -10_000)
    radix = 20_000 ** np.arange(min(d, 4)).astype(np.int64)  # 64 bits hold four coordinates
    for first in range(0, d, 4):
        some = slice(first, first + 4)
        used = np.zeros(d, np.int64)
        used[some] = radix[: min(4, d - first)]
        with algorithm(how):
            codes, weights = permutohedral.simplices(y, low * (used > 0), used)
        assert weights.min() > -1e-5
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
        for number, i in enumerate(range(d)[some]):
            coordinate = codes // radix[number] % 20_000 - 10_000
            assert (coordinate % (d + 1) == np.arange(d + 1)).all()
            np.testing.assert_allclose((weights * coordinate).sum(axis=1), y[:, i], atol=1e-3)


@given(dimensions, seeds)
def test_the_embedding_keeps_angles_and_has_the_scale_of_the_paper(d, seed):
    f = points(6, d, seed).astype(np.float64)
    y = permutohedral.embed(f.astype(np.float32))
    np.testing.assert_allclose(y.sum(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(y @ y.T, (f @ f.T) * (d + 1) ** 2 * 2 / 3, rtol=1e-5, atol=1e-4)


@given(dimensions, seeds, st.integers(1, 40), st.sampled_from(["reference", "fast"]))
def test_transposed_is_the_transpose(d, seed, labels, how):
    rng = np.random.default_rng(seed)
    found = lattice(points(60, d, seed, 2.0))
    scales = rng.uniform(0.5, 2, (2, 60, 1)).astype(np.float32)
    found = found.scaled(*scales)
    v, w = rng.standard_normal((2, 60, labels)).astype(np.float32)
    with algorithm(how):
        forward = lattice_filter(v, found)
        backward = lattice_filter(w, found, transposed=True)
    ours, theirs = (forward.astype(np.float64) * w).sum(), (backward.astype(np.float64) * v).sum()
    assert abs(ours - theirs) < 1e-4 * np.abs(forward * w).sum()


@given(dimensions, seeds, st.integers(1, 40))
def test_the_compiled_lattice_is_the_reference(d, seed, labels):
    f = points(80, d, seed, 2.0)
    v = np.random.default_rng(seed).standard_normal((80, labels)).astype(np.float32)
    with algorithm("reference"):
        expected = lattice(f)
        result = lattice_filter(v, expected)
    found = lattice(f)
    np.testing.assert_array_equal(found.corners, expected.corners)
    np.testing.assert_array_equal(found.neighbours, expected.neighbours)
    np.testing.assert_allclose(found.splat, expected.splat, atol=1e-6)
    np.testing.assert_allclose(lattice_filter(v, found), result, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("d", "error"), [(1, 0.03), (2, 0.03), (3, 0.03), (5, 0.08)])
def test_it_is_nearly_the_gaussian(d, error):
    """With a scale that is wrong by a quarter the errors are two to five times as large."""
    f = points(1500, d, 0, 1.5)
    v = np.stack([np.sin(f.sum(axis=1) / 2), np.cos(f[:, 0] / 1.5)], axis=1)
    distances = ((f[:, None].astype(np.float64) - f) ** 2).sum(axis=2)
    kernel = np.exp(-distances / 2)
    exact = kernel @ v / kernel.sum(axis=1, keepdims=True)
    found = lattice(f)
    ours = lattice_filter(v, found) / lattice_filter(np.ones((1500, 1), np.float32), found)
    assert np.abs(ours - exact).mean() < error * np.abs(exact).mean()


def test_points_far_away_do_not_matter():
    near, far = points(30, 2, 0, 0.5), points(30, 2, 1, 0.5) + 50
    v = np.ones((60, 1), np.float32)
    v[30:] = 1000
    both = lattice_filter(v, lattice(np.vstack([near, far])))
    np.testing.assert_allclose(both[:30], lattice_filter(v[:30], lattice(near)), rtol=1e-5)


def test_many_corners_fill_several_hash_tables():
    f = points(60_000, 3, 0, 100.0)
    assert lattice(f).neighbours.shape[1] > 1 << 16
    with algorithm("reference"):
        expected = lattice(f)
    np.testing.assert_array_equal(lattice(f).corners, expected.corners)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((0, 2)), r"points has shape \(0, 2\); it must be \(N, d\), not empty"),
        (np.zeros(3), r"points has shape \(3,\)"),
        (np.array([[np.nan, 1]]), "values that are not finite"),
        (np.eye(6) * 1e5, "the product must be below 2.63"),
    ],
)
def test_bad_points(given, message):
    with pytest.raises(ValueError, match=message):
        lattice(given)
