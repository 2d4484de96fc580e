"""The spectrum of A A^T against the matrix itself, and what is made of it."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.backend import to_cpu, to_default_device
from minideconv.sparse_coding.operators import analysis, synthesis
from minideconv.sparse_coding.spectrum import (
    Resolvent,
    autocorrelation,
    gram,
    irfft2,
    lipschitz,
    rfft2,
    roughness,
)

GEOMETRIES = [
    (1, 3, (3, 2), (7, 6)),
    (2, 4, (3, 4), (5, 9)),
    (3, 2, (2, 3), (4, 8)),
    (1, 3, (4, 5), (5, 6)),  # the kernel of A A^T is larger than the image
]


def filters_of(c, m, kernel):
    return np.random.default_rng(c).standard_normal((m, c, *kernel))


def matrix_of(c, filters, size):
    """Return A A^T as a matrix: what it makes of each image with a single 1."""
    unit = np.eye(c * size[0] * size[1]).reshape(-1, c, *size)
    d = to_default_device(filters)
    result = to_cpu(synthesis(analysis(to_default_device(unit), d), d))
    return result.reshape(len(unit), -1).T


@pytest.mark.parametrize(("c", "m", "kernel", "size"), GEOMETRIES)
def test_lipschitz_is_the_largest_eigenvalue(c, m, kernel, size):
    filters = filters_of(c, m, kernel)
    largest = np.linalg.eigvalsh(matrix_of(c, filters, size)).max()
    assert lipschitz(to_default_device(filters), size) == pytest.approx(largest, rel=1e-12)


@pytest.mark.parametrize(("c", "m", "kernel", "size"), GEOMETRIES)
def test_gram_is_the_transform_of_the_matrix(c, m, kernel, size):
    filters = filters_of(c, m, kernel)
    unit = np.eye(c * size[0] * size[1]).reshape(-1, c, *size)[:: size[0] * size[1]]
    columns = matrix_of(c, filters, size).T.reshape(-1, c, *size)[:: size[0] * size[1]]
    assert unit[:, :, 0, 0].trace() == c
    expected = np.fft.rfft2(columns).transpose(1, 0, 2, 3)
    np.testing.assert_allclose(gram(to_default_device(filters), size), expected, atol=1e-12)


def test_autocorrelation_by_its_sum():
    d = filters_of(2, 3, (2, 3))
    a = autocorrelation(d)
    for c, b, i, j in np.ndindex(2, 2, 3, 5):
        expected = sum(
            d[m, c, p + i - 1, q + j - 2] * d[m, b, p, q]
            for m, p, q in np.ndindex(3, 2, 3)
            if 0 <= p + i - 1 < 2 and 0 <= q + j - 2 < 3
        )
        assert a[c, b, i, j] == pytest.approx(expected, abs=1e-13)


def check_resolvent(solved, residual, c, filters, size, rho, h, masked):
    """rho x + H (A A^T + masked) x = H r: the system that was to be solved, by the matrix."""
    matrix = matrix_of(c, filters, size) + masked * np.eye(c * size[0] * size[1])
    image = (matrix @ solved.reshape(-1)).reshape(solved.shape)
    weight = np.ones((size[0], size[1] // 2 + 1)) if h is None else h

    def apply(x):
        return np.fft.irfft2(np.fft.rfft2(x) * weight, size)

    np.testing.assert_allclose(rho * solved + apply(image), apply(residual), atol=1e-10)


@pytest.mark.parametrize(("c", "m", "kernel", "size"), GEOMETRIES)
@pytest.mark.parametrize("smoothness", [None, 2.0])
@pytest.mark.parametrize("masked", [False, True])
def test_the_resolvent_solves_the_system(c, m, kernel, size, smoothness, masked):
    filters = filters_of(c, m, kernel)
    residual = np.random.default_rng(5).standard_normal((1, c, *size))
    h = None if smoothness is None else roughness(size, smoothness)
    weight = None if h is None else to_default_device(h)
    solve = Resolvent(
        to_default_device(filters), size, None if weight is None else to_cpu(weight), masked
    )
    solve.set_rho(0.7)
    solved = to_cpu(solve(to_default_device(residual)))
    check_resolvent(solved, residual, c, filters, size, 0.7, h, masked)
    for wrong in (1.01 * solved, np.roll(solved, 1, axis=3), solved[..., ::-1]):
        with pytest.raises(AssertionError):
            check_resolvent(wrong, residual, c, filters, size, 0.7, h, masked)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 1), (6, 7), (7, 8)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_transform_and_its_inverse(size, dtype):
    """On a GPU they are products with Fourier matrices: the same numbers as NumPy's."""
    images = np.random.default_rng(1).standard_normal((2, 3, *size)).astype(dtype)
    spectrum = rfft2(to_default_device(images))
    close = {"atol": 200 * np.finfo(dtype).eps}
    np.testing.assert_allclose(to_cpu(spectrum), np.fft.rfft2(images), **close)
    back = irfft2(spectrum, size)
    assert back.dtype == dtype
    np.testing.assert_allclose(to_cpu(back), images, **close)


def test_roughness_is_what_a_smooth_part_leaves_over():
    """Solve for the smooth part by its matrix, 1 + mu times the Laplacian around the border."""
    size, mu = (4, 6), 3.0
    laplacian = np.zeros((24, 24))
    for k, unit in enumerate(np.eye(24).reshape(-1, *size)):
        moved = sum(np.roll(unit, s, axis) for s in (1, -1) for axis in (0, 1))
        laplacian[:, k] = (4 * unit - moved).reshape(-1)
    s = np.random.default_rng(2).standard_normal(size)
    smooth = np.linalg.solve(np.eye(24) + mu * laplacian, s.reshape(-1)).reshape(size)
    found = np.fft.irfft2(np.fft.rfft2(s) * roughness(size, mu), size)
    np.testing.assert_allclose(found, s - smooth, atol=1e-12)
    assert roughness(size, mu)[0, 0] == 0
    assert roughness(size, mu).max() < 1
