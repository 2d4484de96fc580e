"""Convolutions, their patch matrices and all of their gradients against PyTorch, in float64."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from minideconv import Tensor, ops
from minideconv import functional as F
from minideconv.testing import conv_geometries, seeds, values

GEOMETRIES = 200  # at least so many of each, whatever the profile


def many(test):
    return settings(max_examples=max(GEOMETRIES, settings().max_examples))(test)


def close(ours, theirs):
    if isinstance(ours, Tensor):
        ours = ours.numpy()
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-9, atol=1e-9)


def compare(torch, function, reference, arrays, seed):
    """Compare values and gradients of two functions of (our, PyTorch's) tensors."""
    ours = [None if a is None else Tensor(a, requires_grad=True) for a in arrays]
    theirs = [None if a is None else torch.tensor(a, requires_grad=True) for a in arrays]
    y, y_ref = function(*ours), reference(*theirs)
    assert y.dtype == np.float64
    assert y.shape == tuple(y_ref.shape)
    close(y, y_ref)
    dy = values(y.shape, seed + 99, "normal")
    y.backward(Tensor(dy))
    y_ref.backward(torch.tensor(dy))
    for mine, its in zip(ours, theirs, strict=True):
        if mine is not None:
            close(mine.grad, its.grad)


@many
@given(conv_geometries(max_out=4), seeds(), st.booleans())
def test_conv2d(torch, g, seed, with_bias):
    arrays = [
        values(g.x_shape, seed, "normal"),
        values(g.w_shape, seed + 1, "normal"),
        values(g.c_out, seed + 2, "normal") if with_bias else None,
    ]
    args = (g.stride, g.padding, g.dilation, g.groups)
    compare(
        torch,
        lambda x, w, b: F.conv2d(x, w, b, *args),
        lambda x, w, b: torch.nn.functional.conv2d(x, w, b, *args),
        arrays,
        seed,
    )


@many
@given(
    conv_geometries(max_out=4, max_dilation=3),
    seeds(),
    st.booleans(),
    st.tuples(st.integers(0, 5), st.integers(0, 5)),
)
def test_conv_transpose2d(torch, g, seed, with_bias, extra):
    """Any legal output_padding, below the stride or the dilation."""
    arrays = [
        values(g.y_shape, seed, "normal"),
        values(g.w_shape, seed + 1, "normal"),
        values(g.c_in, seed + 2, "normal") if with_bias else None,
    ]
    extra = tuple(e % max(s, d) for e, s, d in zip(extra, g.stride, g.dilation, strict=True))
    least = [n - r for n, r in zip(g.size, g.output_padding, strict=True)]
    if min(n + e for n, e in zip(least, extra, strict=True)) < 1:
        extra = g.output_padding  # padding would eat the whole output
    args = (g.stride, g.padding, extra, g.groups, g.dilation)
    compare(
        torch,
        lambda x, w, b: F.conv_transpose2d(x, w, b, *args),
        lambda x, w, b: torch.nn.functional.conv_transpose2d(x, w, b, *args),
        arrays,
        seed,
    )


@many
@given(conv_geometries(max_out=4), seeds())
def test_conv2d_weight_grad(torch, g, seed):
    x, y = values(g.x_shape, seed, "normal"), values(g.y_shape, seed + 1, "normal")
    grad = ops.conv2d_weight_grad(x, y, g.kernel, **g.kwargs)
    args = (torch.tensor(x), g.w_shape, torch.tensor(y))
    close(grad, torch.nn.grad.conv2d_weight(*args, **g.kwargs))


@many
@given(conv_geometries(max_out=4), seeds())
def test_im2col_is_unfold(torch, g, seed):
    x = values(g.x_shape, seed, "normal")
    theirs = torch.nn.functional.unfold(
        torch.tensor(x), g.kernel, dilation=g.dilation, padding=g.padding, stride=g.stride
    )
    assert np.array_equal(ops.im2col(x, g.kernel, g.stride, g.padding, g.dilation), theirs.numpy())


@many
@given(conv_geometries(max_out=4), seeds())
def test_col2im_is_fold(torch, g, seed):
    shape = (g.batch, g.c_in * g.kernel[0] * g.kernel[1], g.out_size[0] * g.out_size[1])
    columns = values(shape, seed, "normal")
    theirs = torch.nn.functional.fold(
        torch.tensor(columns),
        g.size,
        g.kernel,
        dilation=g.dilation,
        padding=g.padding,
        stride=g.stride,
    )
    close(ops.col2im(columns, g.size, g.kernel, g.stride, g.padding, g.dilation), theirs)


@many
@given(conv_geometries(), seeds())
def test_float32_agrees_to_its_own_precision(torch, g, seed):
    x = values(g.x_shape, seed, "normal", np.float32)
    w = values(g.w_shape, seed + 1, "normal", np.float32)
    y = ops.conv2d(x, w, **g.kwargs)
    theirs = torch.nn.functional.conv2d(torch.tensor(x), torch.tensor(w), **g.kwargs).numpy()
    assert y.dtype == np.float32
    bound = 16 * np.finfo(np.float32).eps * ops.conv2d(np.abs(x), np.abs(w), **g.kwargs)
    assert (np.abs(y - theirs) <= bound).all()
