"""Identities and anchors accept right maps and reject each wrong one, with its reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from minideconv import ops
from minideconv.testing import (
    AdjointError,
    AnchorError,
    ConvGeometry,
    LinearityError,
    MatrixError,
    check_delta,
    check_matrix,
    check_ones,
    check_pointwise,
    check_trilinear,
    conv_geometries,
    seeds,
    values,
)

G = ConvGeometry(2, 2, 3, size=(6, 5), kernel=(3, 2), stride=(2, 1), padding=(1, 0))


def three(g):
    """Return conv2d and its two partial adjoints, with the settings of a geometry."""
    return (
        lambda x, w: ops.conv2d(x, w, None, **g.kwargs),
        lambda y, w: ops.conv_transpose2d(y, w, None, **g.transpose_kwargs),
        lambda x, y: ops.conv2d_weight_grad(x, y, g.kernel, **g.kwargs),
    )


def data(g, seed, kind="integer", dtype=np.float64):
    shapes = (g.x_shape, g.w_shape, g.y_shape)
    return [values(s, seed + 7 * i, kind, dtype) for i, s in enumerate(shapes)]


@given(conv_geometries(), seeds())
def test_convolution_is_a_trilinear_form(g, seed):
    check_trilinear(*three(g), *data(g, seed))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_also_with_numbers_that_are_rounded(dtype):
    for seed in range(20):
        check_trilinear(*three(G), *data(G, seed, "normal", dtype))
        x, w, y = data(G, seed, "normal", dtype)
        check_trilinear(*three(G), x + dtype(1e4), w, y)


def flipped(w):
    return w[:, :, ::-1, ::-1]


CONV, TRANSPOSE, WEIGHT = three(G)
WRONG_FORMS = {
    "kernel flipped in the form": (lambda x, w: CONV(x, flipped(w)), TRANSPOSE, WEIGHT),
    "kernel flipped in the transpose": (CONV, lambda y, w: TRANSPOSE(y, flipped(w)), WEIGHT),
    "weight gradient flipped": (CONV, TRANSPOSE, lambda x, y: flipped(WEIGHT(x, y))),
    "weight gradient averaged over the batch": (CONV, TRANSPOSE, lambda x, y: WEIGHT(x, y) / 2),
    "first image only": (CONV, TRANSPOSE, lambda x, y: WEIGHT(x[:1], y[:1])),
    "transpose too large": (CONV, lambda y, w: 1.001 * TRANSPOSE(y, w), WEIGHT),
    "zeros": tuple(lambda a, b, f=f: 0 * f(a, b) for f in (CONV, TRANSPOSE, WEIGHT)),
    "a bias": (lambda x, w: CONV(x, w) + 1, TRANSPOSE, WEIGHT),
    "relu": (lambda x, w: np.maximum(CONV(x, w), 0), TRANSPOSE, WEIGHT),
    "w squared": (
        lambda x, w: CONV(x, w * np.abs(w)),
        lambda y, w: TRANSPOSE(y, w * np.abs(w)),
        WEIGHT,
    ),
}


@pytest.mark.parametrize("name", WRONG_FORMS)
def test_wrong_forms_are_rejected(name):
    for seed in range(5):
        with pytest.raises((AdjointError, LinearityError)):
            check_trilinear(*WRONG_FORMS[name], *data(G, seed))


def test_the_partial_is_named():
    with pytest.raises(AdjointError, match=r"adjoint_w: not adjoint: .* factor .* is 2"):
        check_trilinear(CONV, TRANSPOSE, lambda x, y: WEIGHT(x, y) / 2, *data(G, 0))
    with pytest.raises(AdjointError, match="adjoint_x: not adjoint"):
        check_trilinear(CONV, lambda y, w: -TRANSPOSE(y, w), WEIGHT, *data(G, 0))


# A map and its matrix --------------------------------------------------------------------------


def matrix(g, w):
    return ops.conv_matrix(w, g.size, g.stride, g.padding, dilation=g.dilation, groups=g.groups)


def one(g):
    """Return the geometry with one image: the matrix is that of one."""
    return replace(g, batch=1)


@given(conv_geometries(max_channels=2, max_groups=2), seeds())
def test_convolution_is_its_matrix(g, seed):
    g = one(g)
    w = values(g.w_shape, seed)
    check_matrix(
        lambda x: ops.conv2d(x, w, None, **g.kwargs),
        matrix(g, w),
        g.x_shape,
        transpose=lambda y: ops.conv_transpose2d(y, w, None, **g.transpose_kwargs),
        out_shape=g.y_shape,
    )


def test_a_transform_is_its_matrix():
    """An FFT rounds every entry relative to all of its terms."""
    kernel = values(8, 0, "normal")
    circulant = np.stack([np.roll(kernel, k) for k in range(8)], axis=1)
    for dtype in (np.float32, np.float64):

        def convolve(x, dtype=dtype):
            return np.fft.ifft(np.fft.fft(x) * np.fft.fft(kernel)).real.astype(dtype)

        check_matrix(convolve, circulant, (8,), dtype=dtype)
        with pytest.raises(MatrixError, match="entries are wrong"):
            check_matrix(convolve, 1.001 * circulant, (8,), dtype=dtype)


def test_wrong_maps_are_rejected():
    g = one(G)
    w = values(g.w_shape, 0, "taps")
    A = matrix(g, w)

    def conv(x):
        return ops.conv2d(x, w, None, **g.kwargs)

    def back(y):
        return ops.conv_transpose2d(y, w, None, **g.transpose_kwargs)

    for wrong, message in (
        (lambda x: ops.conv2d(x, flipped(w), None, **g.kwargs), "function: x.* entries are wrong"),
        (lambda x: conv(x) + 1, "not 0 for zeros"),
        (lambda x: np.maximum(conv(x), 0), "several at once"),
        (lambda x: conv(x)[:, :, :-1], "must have"),
        (lambda x: 0 * conv(x), "must be times"),
        (lambda x: conv(x) * (1 + 1e-9), "must be times"),
    ):
        with pytest.raises(MatrixError, match=message):
            check_matrix(wrong, A, g.x_shape)
    for wrong in (lambda y: back(-y), lambda y: back(y)[..., ::-1], lambda y: back(y) * 2):
        with pytest.raises(MatrixError, match="transpose: y"):
            check_matrix(conv, A, g.x_shape, transpose=wrong, out_shape=g.y_shape)
    with pytest.raises(ValueError, match="it must have 60 columns"):
        check_matrix(conv, np.zeros((3, 4)), g.x_shape)
    with pytest.raises(ValueError, match="needs out_shape"):
        check_matrix(conv, A, g.x_shape, transpose=back)


# Anchors ---------------------------------------------------------------------------------------


def conv(g, **changed):
    settings = {**g.kwargs, **changed}
    return lambda x, w: ops.conv2d(x, w, None, **settings)


@given(conv_geometries())
def test_anchors_hold(g):
    for dtype in (np.float32, np.float64):
        check_delta(conv(g), g, dtype=dtype)
        check_ones(conv(g), g, dtype=dtype)
    if g.kernel == (1, 1):
        check_pointwise(conv(g), g)


@given(conv_geometries(max_kernel=1), seeds())
def test_pointwise_holds(g, seed):
    check_pointwise(conv(g), g, seed=seed)


def by_edge(x, w):
    return ops.conv2d(np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)), "edge"), w, None, (2, 1))


@pytest.mark.parametrize(
    ("check", "wrong", "message"),
    [
        (check_delta, lambda x, w: conv(G)(x, flipped(w)), "the kernel is flipped"),
        (check_delta, lambda x, w: conv(G)(x, w[:, :, ::-1]), "tap .0, 0. .* must be"),
        (check_delta, lambda x, w: conv(G)(x, w[:, ::-1]), "must be"),
        (check_delta, lambda x, w: conv(G)(x[::-1], w), "must be"),
        (check_delta, lambda x, w: conv(G)(x, w)[:, ::-1], "must be"),
        (check_delta, conv(G, stride=(1, 1)), "has shape"),
        (check_delta, conv(G, stride=(1, 2)), "has shape"),
        (check_delta, by_edge, "must be"),
        (check_delta, lambda x, w: 0 * conv(G)(x, w), "must be"),
        (check_ones, by_edge, "the padding holds ones"),
        (check_ones, lambda x, w: conv(G)(x[:, :1], w[:, :1]), "must be"),
        (check_ones, lambda x, w: conv(G)(x, w[:, :, :, :1]), "has shape|must be"),
        (check_ones, lambda x, w: conv(G)(x, w) / 12, "must be"),
    ],
)
def test_anchors_reject(check, wrong, message):
    with pytest.raises(AnchorError, match=message):
        check(wrong, G)


def test_pointwise_rejects():
    g = ConvGeometry(2, 3, 3, size=(4, 5), kernel=(1, 1))
    with pytest.raises(AnchorError, match="the kernel's channels are interchanged"):
        check_pointwise(lambda x, w: ops.conv2d(x, w.transpose(1, 0, 2, 3)), g)
    with pytest.raises(AnchorError, match=r"y\[\d, \d, \d, \d\] is"):
        check_pointwise(lambda x, w: ops.conv2d(x[:, ::-1], w), g)
    with pytest.raises(ValueError, match=r"must be \(1, 1\)"):
        check_pointwise(ops.conv2d, G)
