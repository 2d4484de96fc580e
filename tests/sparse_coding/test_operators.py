"""A, A^T and the filters' gradient: one form, three partials; circular borders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv import ops
from minideconv.backend import to_cpu, to_default_device
from minideconv.sparse_coding import analysis, filter_gradient, synthesis
from minideconv.sparse_coding.operators import fold, wrap
from minideconv.testing import check_adjoint, seeds, values


@st.composite
def geometries(draw):
    """Images, channels, maps, a kernel, and a size that holds it; all different where they can."""
    n, c, m = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 5))
    kernel = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    size = tuple(k + draw(st.integers(0, 6)) for k in kernel)
    return n, c, m, kernel, size


def drawn(geometry, seed):
    """Return maps, filters and images of whole numbers."""
    n, c, m, kernel, size = geometry
    return (
        values((n, m, *size), seed),
        values((m, c, *kernel), seed + 1),
        values((n, c, *size), seed + 2),
    )


def on(*arrays):
    return [to_default_device(a) for a in arrays]


def naive(maps, filters):
    """Stamp every filter at every place, around the border."""
    (n, _, h, w), (_, c, kh, kw) = maps.shape, filters.shape
    image = np.zeros((n, c, h, w))
    for i in range(kh):
        for j in range(kw):
            stamped = np.einsum("nmhw,mc->nchw", maps, filters[:, :, i, j])
            image += np.roll(stamped, (i, j), axis=(2, 3))
    return image


def check_synthesis(function, geometry, seed):
    maps, filters, _ = drawn(geometry, seed)
    found = to_cpu(function(*on(maps, filters)))
    np.testing.assert_array_equal(found, naive(maps, filters))


def check_partials(a, at, gradient, geometry, seed):
    """<A x, r> = <x, A^T r> = <d, gradient(r, x)>, in whole numbers and by ==."""
    maps, filters, images = on(*drawn(geometry, seed))
    check_adjoint(lambda x: a(x, filters), lambda r: at(r, filters), maps, images, exact=True)
    check_adjoint(
        lambda d: a(maps, d), lambda r: gradient(r, maps, filters.shape[2:]), filters, images,
        exact=True,
    )  # fmt: skip


@given(geometries(), seeds())
def test_synthesis_is_a_sum_of_stamps(geometry, seed):
    check_synthesis(synthesis, geometry, seed)


@given(geometries(), seeds())
def test_each_is_the_others_transpose(geometry, seed):
    check_partials(synthesis, analysis, filter_gradient, geometry, seed)


@given(geometries(), seeds())
def test_away_from_the_border_they_are_the_ops_themselves(geometry, seed):
    """Maps that are 0 where a stamp would reach over the border: nothing but the op is left."""
    maps, filters, images = drawn(geometry, seed)
    _, _, _, (kh, kw), (h, w) = geometry
    inner = np.s_[:, :, : h - kh + 1, : w - kw + 1]
    cleared = np.zeros_like(maps)
    cleared[inner] = maps[inner]
    x, some, d, r = on(cleared, np.ascontiguousarray(maps[inner]), filters, images)
    np.testing.assert_array_equal(to_cpu(synthesis(x, d)), to_cpu(ops.conv_transpose2d(some, d)))
    np.testing.assert_array_equal(to_cpu(analysis(r, d))[inner], to_cpu(ops.conv2d(r, d)))


@given(geometries(), seeds())
def test_fold_is_the_transpose_of_wrap(geometry, seed):
    _, _, _, kernel, (h, w) = geometry
    x, y = on(values((2, 1, h, w), seed), values((2, 1, h + kernel[0] - 1, w + kernel[1] - 1), 7))
    check_adjoint(lambda a: wrap(a, kernel), lambda b: fold(b, kernel), x, y, exact=True)


def test_wrong_versions_are_rejected():
    geometry = (2, 2, 3, (3, 4), (6, 9))

    def turned(maps, filters):
        return synthesis(maps, filters[:, :, ::-1, ::-1])

    def cut(maps, filters):  # what is over the border is lost
        h, w = maps.shape[2:]
        return ops.conv_transpose2d(maps, filters)[:, :, :h, :w]

    def cut_back(images, filters):
        kh, kw = filters.shape[2:]
        widths = ((0, 0), (0, 0), (0, kh - 1), (0, kw - 1))
        return ops.conv2d(np.pad(images, widths), filters)

    def moved(images, filters):
        return np.roll(analysis(images, filters), 1, axis=2)

    for wrong in (turned, cut):
        with pytest.raises(AssertionError):
            check_synthesis(wrong, geometry, 0)
    for a, at in ((turned, analysis), (synthesis, cut_back), (synthesis, moved)):
        with pytest.raises(AssertionError):
            check_partials(a, at, filter_gradient, geometry, 0)

    def doubled(images, maps, kernel):
        return 2 * filter_gradient(images, maps, kernel)

    with pytest.raises(AssertionError):
        check_partials(synthesis, analysis, doubled, geometry, 0)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 1, 7, 3), "filters of 7x3 are larger than the image, which is 6x9"),
        ((2, 1, 3, 10), "filters of 3x10 are larger than the image"),
        ((1, 3, 3), r"filters have shape \(1, 3, 3\); they must have 4 axes"),
        ((0, 1, 3, 3), "none of them empty"),
    ],
)
def test_filters_that_do_not_fit(shape, message):
    for function in (synthesis, analysis):
        with pytest.raises(ValueError, match=message):
            function(to_default_device(np.ones((1, 2, 6, 9))), to_default_device(np.ones(shape)))
