"""Convolution against loops written from the formula, hand-computed examples, and its promises."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv.backend.algorithms import algorithm
from minideconv.ops import (
    col2im,
    conv2d,
    conv2d_backward,
    conv2d_weight_grad,
    conv_matrix,
    conv_transpose2d,
    conv_transpose2d_backward,
    get_workspace_limit,
    im2col,
    set_workspace_limit,
    workspace_limit,
)
from minideconv.testing import ConvGeometry, check_contract, conv_geometries, seeds, values

# By way of sys.modules, because `minideconv.ops.im2col` is the function of that name.
conv_module = sys.modules["minideconv.ops.conv"]
im2col_module = sys.modules["minideconv.ops.im2col"]

# ---------------------------------------------------------------------------------------------
# Loops: one pass over every product there is, which all three partials share


def products(g):
    """Yield (n, k, c, c_in_group, p, q, i, j, row, column) for each tap that meets the image."""
    (sh, sw), (ph, pw), (dh, dw) = g.stride, g.padding, g.dilation
    per_in, per_out = g.c_in // g.groups, g.c_out // g.groups
    for n, k, cg, p, q, i, j in np.ndindex(
        g.batch, g.c_out, per_in, g.out_size[0], g.out_size[1], g.kernel[0], g.kernel[1]
    ):
        row, column = p * sh + i * dh - ph, q * sw + j * dw - pw
        if 0 <= row < g.size[0] and 0 <= column < g.size[1]:
            yield n, k, (k // per_out) * per_in + cg, cg, p, q, i, j, row, column


def loop_conv2d(g, x, w):
    y = np.zeros(g.y_shape, x.dtype)
    for n, k, c, cg, p, q, i, j, row, column in products(g):
        y[n, k, p, q] += x[n, c, row, column] * w[k, cg, i, j]
    return y


def loop_conv_transpose2d(g, y, w):
    x = np.zeros(g.x_shape, y.dtype)
    for n, k, c, cg, p, q, i, j, row, column in products(g):
        x[n, c, row, column] += y[n, k, p, q] * w[k, cg, i, j]
    return x


def loop_weight_grad(g, x, y):
    w = np.zeros(g.w_shape, x.dtype)
    for n, k, c, cg, p, q, i, j, row, column in products(g):
        w[k, cg, i, j] += y[n, k, p, q] * x[n, c, row, column]
    return w


def data(g, seed, dtype=np.float64):
    """Integer-valued x, w, y of a geometry."""
    return (
        values(g.x_shape, seed, dtype=dtype),
        values(g.w_shape, seed + 1, dtype=dtype),
        values(g.y_shape, seed + 2, dtype=dtype),
    )


small = conv_geometries(max_channels=2, max_groups=2, max_out=3)


@given(small, seeds())
def test_conv2d_is_the_loops(g, seed):
    x, w, _ = data(g, seed)
    assert np.array_equal(conv2d(x, w, **g.kwargs), loop_conv2d(g, x, w))


@given(small, seeds())
def test_conv_transpose2d_is_the_loops(g, seed):
    _, w, y = data(g, seed)
    assert np.array_equal(
        conv_transpose2d(y, w, **g.transpose_kwargs), loop_conv_transpose2d(g, y, w)
    )


@given(small, seeds())
def test_weight_grad_is_the_loops(g, seed):
    x, _, y = data(g, seed)
    assert np.array_equal(conv2d_weight_grad(x, y, g.kernel, **g.kwargs), loop_weight_grad(g, x, y))


@given(small, seeds())
def test_im2col_and_col2im_are_the_loops(g, seed):
    x = values(g.x_shape, seed)
    kh, kw = g.kernel
    columns = np.zeros((g.batch, g.c_in * kh * kw, g.out_size[0] * g.out_size[1]))
    weights = values(columns.shape, seed + 1)
    image = np.zeros(g.x_shape)
    one = ConvGeometry(g.batch, g.c_in, 1, g.size, g.kernel, g.stride, g.padding, g.dilation)
    for n, _, c, _, p, q, i, j, row, column in products(one):
        place = n, (c * kh + i) * kw + j, p * g.out_size[1] + q
        columns[place] = x[n, c, row, column]
        image[n, c, row, column] += weights[place]
    window = (g.kernel, g.stride, g.padding, g.dilation)
    assert np.array_equal(im2col(x, *window), columns)
    assert np.array_equal(col2im(weights, g.size, *window), image)


@given(small, seeds())
def test_bias_is_added_once_to_every_pixel_of_its_channel(g, seed):
    x, w, y = data(g, seed)
    b, a = values(g.c_out, seed + 3), values(g.c_in, seed + 4)
    assert np.array_equal(conv2d(x, w, b, **g.kwargs), loop_conv2d(g, x, w) + b.reshape(-1, 1, 1))
    assert np.array_equal(
        conv_transpose2d(y, w, a, **g.transpose_kwargs),
        loop_conv_transpose2d(g, y, w) + a.reshape(-1, 1, 1),
    )


# ---------------------------------------------------------------------------------------------
# Anchors: results known without any convolution code

IMAGE = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]).reshape(1, 1, 3, 3)
KERNEL = np.array([[1.0, 2], [3, 4]]).reshape(1, 1, 2, 2)


def test_by_hand():
    # 1*1 + 2*2 + 4*3 + 5*4 = 37, and so on
    assert conv2d(IMAGE, KERNEL).tolist() == [[[[37, 47], [67, 77]]]]
    # stamps of [[1, 2], [3, 4]] scaled by 1, 2, 3, 4, one pixel apart
    assert conv_transpose2d(KERNEL, KERNEL).tolist() == [[[[1, 4, 4], [6, 20, 16], [9, 24, 16]]]]
    # ... and two pixels apart, where they touch but do not overlap
    assert conv_transpose2d(KERNEL, KERNEL, stride=2).tolist() == [
        [[[1, 2, 2, 4], [3, 4, 6, 8], [3, 6, 4, 8], [9, 12, 12, 16]]]
    ]
    # taps: sums of the four 2x2 corners of the image, weighted by dy = KERNEL
    assert conv2d_weight_grad(IMAGE, KERNEL, 2).tolist() == [[[[37, 47], [67, 77]]]]
    # padding 1, stride 2: windows start at -1 and 1
    assert conv2d(IMAGE, KERNEL, stride=2, padding=1).tolist() == [[[[4, 18], [36, 77]]]]
    # dilation 2: the taps meet the four corners
    assert conv2d(IMAGE, KERNEL, dilation=2).tolist() == [[[[1 + 6 + 21 + 36]]]]


def test_two_channels_and_a_bias_by_hand():
    x = np.array([[[1.0, 2]], [[3, 4]]])[None]  # (1, 2, 1, 2)
    w = np.array([[[[1.0]], [[10]]], [[[2]], [[-1]]]])  # (2, 2, 1, 1)
    y = conv2d(x, w, np.array([100.0, 0]))
    assert y.tolist() == [[[[131, 142]], [[-1, 0]]]]
    grouped = conv2d(x, w[:, :1], groups=2)
    assert grouped.tolist() == [[[[1, 2]], [[6, 8]]]]


def test_delta_kernel_shifts():
    x = values((2, 1, 5, 7), 0)
    for i, j in np.ndindex(2, 3):
        delta = np.zeros((1, 1, 2, 3))
        delta[0, 0, i, j] = 1
        assert np.array_equal(conv2d(x, delta), x[:, :, i : i + 4, j : j + 5])
        stamped = np.zeros((2, 1, 6, 9))
        stamped[:, :, i : i + 5, j : j + 7] = x
        assert np.array_equal(conv_transpose2d(x, delta), stamped)


def test_delta_image_shows_the_kernel():
    x = np.zeros((1, 1, 5, 6))
    x[0, 0, 2, 3] = 1
    w = values((1, 1, 2, 3), 0, "taps")
    assert np.array_equal(conv2d(x, w)[0, 0, 1:3, 1:4], w[0, 0, ::-1, ::-1])
    assert np.array_equal(conv_transpose2d(x, w)[0, 0, 2:4, 3:6], w[0, 0])


def test_one_by_one_kernel_is_a_matrix_product_over_channels():
    x, w = values((2, 3, 4, 5), 0), values((6, 3, 1, 1), 1)
    assert np.array_equal(conv2d(x, w), np.einsum("nchw,kc->nkhw", x, w[:, :, 0, 0]))
    y = values((2, 6, 4, 5), 2)
    assert np.array_equal(conv_transpose2d(y, w), np.einsum("nkhw,kc->nchw", y, w[:, :, 0, 0]))
    assert np.array_equal(conv2d_weight_grad(x, y, 1)[:, :, 0, 0], np.einsum("nchw,nkhw->kc", x, y))


def test_ones_kernel_is_a_window_sum():
    x = values((1, 2, 6, 7), 0)
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 3), axis=(2, 3))
    want = windows.sum(axis=(1, 4, 5))[:, None, ::2, ::3]
    assert np.array_equal(conv2d(x, np.ones((1, 2, 2, 3)), stride=(2, 3)), want)


def test_depthwise_is_one_convolution_per_channel():
    x, w = values((2, 3, 5, 6), 0), values((6, 1, 2, 3), 1)
    y = conv2d(x, w, groups=3)
    for k in range(6):
        alone = conv2d(x[:, k // 2 : k // 2 + 1], w[k : k + 1])
        assert np.array_equal(y[:, k : k + 1], alone)


def test_transposed_is_convolution_of_the_spaced_input_with_the_flipped_kernel():
    x, w = values((2, 3, 3, 4), 0), values((3, 2, 2, 3), 1)
    spaced = np.zeros((2, 3, 5, 10))
    spaced[:, :, ::2, ::3] = x
    turned = w.swapaxes(0, 1)[:, :, ::-1, ::-1]
    want = conv2d(spaced, turned, padding=(1, 2))
    assert np.array_equal(conv_transpose2d(x, w, stride=(2, 3)), want)


# ---------------------------------------------------------------------------------------------
# Promises: inputs untouched, dtype kept, strides and byte budget without effect


@given(conv_geometries(), seeds())
def test_contract(g, seed):
    x, w, y = data(g, seed)
    b, a = values(g.c_out, seed + 3), values(g.c_in, seed + 4)
    check_contract(lambda x, w, b: conv2d(x, w, b, **g.kwargs), [x, w, b], shape=g.y_shape)
    check_contract(
        lambda y, w, a: conv_transpose2d(y, w, a, **g.transpose_kwargs), [y, w, a], shape=g.x_shape
    )
    check_contract(
        lambda x, y: conv2d_weight_grad(x, y, g.kernel, **g.kwargs), [x, y], shape=g.w_shape
    )
    check_contract(lambda y, x, w: conv2d_backward(y, x, w, **g.kwargs), [y, x, w])
    check_contract(lambda x, y, w: conv_transpose2d_backward(x, y, w, **g.kwargs), [x, y, w])
    window = (g.kernel, g.stride, g.padding, g.dilation)
    check_contract(lambda x: im2col(x, *window), [x])
    columns = values(im2col(x, *window).shape, seed)
    check_contract(lambda c: col2im(c, g.size, *window), [columns], shape=g.x_shape)


@given(conv_geometries(max_out=4, max_batch=6), seeds(), st.booleans())
def test_blocks_of_any_size_give_the_same_result(g, seed, cut):
    """... also if the batch is cut into the parts that worker threads are given."""
    x, w, y = data(g, seed)
    small = im2col_module._SMALL

    def all_three():
        with algorithm("reference"):
            return (
                conv2d(x, w, **g.kwargs),
                conv_transpose2d(y, w, **g.transpose_kwargs),
                conv2d_weight_grad(x, y, g.kernel, **g.kwargs),
            )

    one_row = g.c_in * g.kernel[0] * g.kernel[1] * g.out_size[1] * x.itemsize
    one_image = one_row * g.out_size[0]
    whole = all_three()
    try:
        im2col_module._SMALL = 0 if cut else small
        for budget in (1, one_row, one_row + 1, 2 * one_row, one_image, one_image + one_row):
            with workspace_limit(budget):
                assert all(np.array_equal(a, b) for a, b in zip(whole, all_three(), strict=True))
    finally:
        im2col_module._SMALL = small


@pytest.mark.cpu  # a GPU has a budget and blocks of its own
def test_blocks_bound_the_memory(monkeypatch):
    """A budget of one row makes patch matrices of one row, never of the whole image."""
    largest = []
    gather = conv_module.gather

    def spy(*args):
        cols = gather(*args)
        largest.append(cols.nbytes)
        return cols

    monkeypatch.setattr(conv_module, "gather", spy)
    x, w = values((3, 2, 9, 8), 0), values((4, 2, 3, 3), 1)
    one_row = 2 * 9 * 6 * 8
    for budget in (one_row, 3 * one_row, 7 * one_row, 15 * one_row):
        largest.clear()
        with workspace_limit(budget), algorithm("reference"):
            conv2d(x, w)
            conv2d_weight_grad(x, values((3, 4, 7, 6), 2), 3)
        assert 0 < max(largest) <= budget


def test_the_budget_is_restored_and_checked():
    before = get_workspace_limit()

    def fail():
        with workspace_limit(5):
            assert get_workspace_limit() == 5
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert get_workspace_limit() == before
    with pytest.raises(ValueError, match="limit is 0; it must be a positive number of bytes"):
        set_workspace_limit(0)


def test_an_empty_batch_goes_through():
    x, w, y = np.zeros((0, 2, 5, 6)), values((3, 2, 2, 3), 0), np.zeros((0, 3, 4, 4))
    assert conv2d(x, w).shape == (0, 3, 4, 4)
    assert conv_transpose2d(y, w).shape == (0, 2, 5, 6)
    assert np.array_equal(conv2d_weight_grad(x, y, (2, 3)), np.zeros((3, 2, 2, 3)))


def test_results_own_their_memory():
    """Changing a result must not change what it was made from."""
    x, w = values((1, 2, 3, 4), 0), values((2, 2, 1, 1), 1)
    kept = x.copy()
    for result in (im2col(x, 1), im2col(x, (2, 1)), conv2d(x, w), conv_transpose2d(x, w)):
        result[...] = 7
        assert np.array_equal(x, kept)


def test_backward_gives_only_what_is_needed():
    x, w, y = values((1, 2, 4, 5), 0), values((3, 2, 2, 2), 1), values((1, 3, 3, 4), 2)
    for needs in np.ndindex(2, 2, 2):
        needs = tuple(map(bool, needs))
        grads = conv2d_backward(y, x, w, needs=needs)
        assert tuple(g is not None for g in grads) == needs
        grads = conv_transpose2d_backward(x, y, w, needs=needs)
        assert tuple(g is not None for g in grads) == needs


# ---------------------------------------------------------------------------------------------
# Errors: one sentence with the op, the argument, its value and what would be legal

X, W = np.zeros((1, 6, 5, 7)), np.zeros((4, 6, 3, 2))
WT = np.zeros((6, 4, 3, 2))

ERRORS = {
    "axes of x": (lambda: conv2d(X[0], W), ValueError, "conv2d: x has shape (6, 5, 7)"),
    "axes of weight": (lambda: conv2d(X, W[0]), ValueError, "conv2d: weight has shape (6, 3, 2)"),
    "integers": (lambda: conv2d(X.astype(int), W), TypeError, "conv2d: x has dtype int64"),
    "two precisions": (
        lambda: conv2d(X.astype(np.float32), W),
        TypeError,
        "conv2d: x is float32 but weight is float64; convert one to the other",
    ),
    "channels": (
        lambda: conv2d(X, W[:, :4]),
        ValueError,
        "conv2d: x has 6 channels but weight has 4 input channels per group and groups=1; "
        "x.shape[1] must equal weight.shape[1] * groups",
    ),
    "groups do not divide": (lambda: conv2d(X, W, groups=4), ValueError, "groups is 4; it must be"),
    "groups zero": (lambda: conv2d(X, W, groups=0), ValueError, "conv2d: groups is 0"),
    "bias": (
        lambda: conv2d(X, W, np.zeros(3)),
        ValueError,
        "conv2d: bias has shape (3,); it must be (4,)",
    ),
    "stride zero": (lambda: conv2d(X, W, stride=0), ValueError, "conv2d: stride is (0, 0)"),
    "stride fraction": (lambda: conv2d(X, W, stride=1.5), TypeError, "conv2d: stride is 1.5"),
    "stride of three": (lambda: conv2d(X, W, stride=(1, 2, 3)), TypeError, "stride is (1, 2, 3)"),
    "padding negative": (
        lambda: conv2d(X, W, padding=(0, -1)),
        ValueError,
        "conv2d: padding is (0, -1); both values must be at least 0",
    ),
    "dilation zero": (lambda: conv2d(X, W, dilation=0), ValueError, "conv2d: dilation is (0, 0)"),
    "kernel too large": (
        lambda: conv2d(X, W, dilation=(3, 1)),
        ValueError,
        "conv2d: the kernel spans 7 pixels of height (kernel 3, dilation 3) but the padded input "
        "has only 5 (input 5, padding 0)",
    ),
    "transposed channels": (
        lambda: conv_transpose2d(X, W),
        ValueError,
        "conv_transpose2d: x has 6 channels but weight has shape (4, 6, 3, 2); a transposed "
        "convolution's weight is (C_in, C_out / groups, kh, kw)",
    ),
    "transposed bias": (
        lambda: conv_transpose2d(X, WT, np.zeros(6)),
        ValueError,
        "conv_transpose2d: bias has shape (6,); it must be (4,)",
    ),
    "output_padding too large": (
        lambda: conv_transpose2d(X, WT, stride=(2, 3), output_padding=2),
        ValueError,
        "conv_transpose2d: output_padding is 2 along height; with stride 2 and dilation 1 it must "
        "be in 0..1",
    ),
    "output_padding negative": (
        lambda: conv_transpose2d(X, WT, stride=2, output_padding=(0, -1)),
        ValueError,
        "output_padding is -1 along width",
    ),
    "padding eats everything": (
        lambda: conv_transpose2d(X, WT, padding=4),
        ValueError,
        "conv_transpose2d: the output would be -1 pixels of height",
    ),
    "dy of another convolution": (
        lambda: conv2d_weight_grad(X, np.zeros((1, 4, 3, 5)), (3, 2)),
        ValueError,
        "conv2d_weight_grad: dy has shape (1, 4, 3, 5); a convolution of x (1, 6, 5, 7) with this "
        "geometry gives (1, 4, 3, 6)",
    ),
    "dy of another convolution, backward": (
        lambda: conv2d_backward(np.zeros((1, 4, 3, 5)), X, W),
        ValueError,
        "conv2d_backward: dy has shape (1, 4, 3, 5); a convolution of x (1, 6, 5, 7) with this "
        "geometry gives (1, 4, 3, 6)",
    ),
    "dy of another type": (
        lambda: conv2d_backward(np.zeros((1, 4, 3, 6), np.float32), X, W),
        TypeError,
        "conv2d_backward: dy has shape (1, 4, 3, 6) and dtype float32; it must have 4 axes and "
        "the dtype of x, float64",
    ),
    "transposed dy of other channels": (
        lambda: conv_transpose2d_backward(np.zeros((1, 5, 7, 8)), X, WT),
        ValueError,
        "conv_transpose2d_backward: dy has shape (1, 5, 7, 8); a transposed convolution of x "
        "(1, 6, 5, 7) with this geometry gives (1, 4, 7, 8)",
    ),
    "transposed dy too small": (
        lambda: conv_transpose2d_backward(np.zeros((1, 4, 6, 8)), X, WT),
        ValueError,
        "conv_transpose2d_backward: dy has shape (1, 4, 6, 8); with this geometry x (1, 6, 5, 7) "
        "gives a larger one",
    ),
    "im2col axes": (lambda: im2col(X[0], 2), ValueError, "im2col: x has shape (6, 5, 7)"),
    "im2col kernel": (lambda: im2col(X, 0), ValueError, "im2col: kernel_size is (0, 0)"),
    "col2im columns": (
        lambda: col2im(np.zeros((1, 12, 11)), (3, 4), (1, 2)),
        ValueError,
        "col2im: cols has shape (1, 12, 11); it must be (N, C*2, 9)",
    ),
    "matrix": (lambda: conv_matrix(W[0], (5, 7)), ValueError, "conv_matrix: weight has shape"),
    "matrix groups": (
        lambda: conv_matrix(W, (5, 7), groups=3),
        ValueError,
        "conv_matrix: groups is 3; it must be a positive divisor",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_sentences(name):
    call, kind, sentence = ERRORS[name]
    with pytest.raises(kind, match=re.escape(sentence)) as caught:
        call()
    assert "\n" not in str(caught.value)
