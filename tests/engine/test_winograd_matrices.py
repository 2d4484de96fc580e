"""The matrices of Winograd's convolution: what they compute, and their zeros and pairs."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.engine.cpu.winograd_matrices import SIZES, Matrices, matrices
from minideconv.testing import values

sizes = pytest.mark.parametrize("m", SIZES)


def convolves(f: Matrices):
    """Compare with the definition, on all pairs of one pixel and one tap: the map is bilinear."""
    n, m = f.a.shape
    assert n == m + 2
    for d in np.eye(n):
        for taps in np.eye(3):
            want = np.correlate(d, taps, "valid")
            np.testing.assert_allclose(f.a.T @ ((f.g @ taps) * (f.b @ d)), want, atol=1e-14)


@sizes
def test_they_compute_a_convolution_with_three_taps(m):
    convolves(matrices(m))


def test_rotated_taps_have_the_same_values_at_the_reciprocal_points():
    """As in the documentation: the points come as p, 1/p, up to a factor that is a power of 2."""
    f, taps = matrices(4), values((3, 7), 0, "normal")
    reciprocal, factor = [5, 3, 4, 1, 2, 0], np.array([1, -2, -2, -0.5, -0.5, 1])
    permuted = factor[:, None] * (f.g @ taps)[reciprocal]
    np.testing.assert_allclose(f.g @ taps[::-1], permuted, rtol=0, atol=1e-15)


def test_two_points_and_two_outputs_are_those_of_the_paper_up_to_signs():
    f = matrices(2)
    assert np.array_equal(np.abs(f.b), [[1, 0, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 0, 1]])
    assert np.array_equal(np.abs(f.g), [[1, 0, 0], [0.5] * 3, [0.5] * 3, [0, 0, 1]])


def test_pairs_of_points_share_their_even_columns_and_negate_the_odd_ones():
    """The compiled transforms rely on it, and on the ones and zeros."""
    f = matrices(4)
    for matrix in (f.a, f.g, f.b):
        for i in (1, 3):
            assert np.array_equal(matrix[i, ::2], matrix[i + 1, ::2])
            assert np.array_equal(matrix[i, 1::2], -matrix[i + 1, 1::2])
    assert np.array_equal(f.b[0], [1, 0, f.b[0, 2], 0, 1, 0])
    assert np.array_equal(f.b[5], [0, 1, 0, f.b[5, 3], 0, 1])
    assert np.array_equal(f.b[1:5, 0], np.zeros(4))
    assert np.array_equal(f.b[1:5, 4:], [[1, 0]] * 4)
    assert np.array_equal(f.a[[0, 5]], [[1, 0, 0, 0], [0, 0, 0, 1]])
    assert np.array_equal(f.a[1:5, 0], np.ones(4))
    assert np.array_equal(f.g[[0, 5]], [[1, 0, 0], [0, 0, 1]])


@pytest.mark.parametrize(
    ("name", "place"), [("a", (1, 2)), ("g", (3, 0)), ("b", (0, 2)), ("b", (4, 1))]
)
def test_one_wrong_number_is_noticed(name, place):
    f = matrices(4)
    wrong = {key: getattr(f, key).copy() for key in ("a", "g", "b")}
    wrong[name][place] *= 1.001
    with pytest.raises(AssertionError):
        convolves(Matrices(**wrong))
