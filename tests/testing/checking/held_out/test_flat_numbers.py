"""Wrong functions that number windows in a row, guard a padding by half of it, or squeeze."""

from __future__ import annotations

import numpy as np
import pytest
from held_out import Submissions

from minideconv import ops

pytestmark = pytest.mark.cpu

submissions = Submissions()
submitted = submissions.submitted


def _count(size, kernel, stride, padding, dilation):
    return [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    ]


def _window(i, j, kernel, stride, dilation):
    return tuple(
        slice(o * s, o * s + d * (k - 1) + 1, d)
        for o, k, s, d in zip((i, j), kernel, stride, dilation, strict=True)
    )


@submitted("im2col", "windows numbered with H' in place of W'")
def im2col_by_divmod(x, kernel_size, stride, padding, dilation):
    oh, ow = _count(x.shape[2:], kernel_size, stride, padding, dilation)
    xp = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    rows = x.shape[1] * kernel_size[0] * kernel_size[1]
    cols = np.zeros((len(x), rows, oh * ow), x.dtype)
    for number in range(oh * ow):
        r, c = _window(*divmod(number, oh), kernel_size, stride, dilation)
        window = np.zeros((*x.shape[:2], *kernel_size), x.dtype)
        part = xp[:, :, r, c]
        window[:, :, : part.shape[2], : part.shape[3]] = part
        cols[:, :, number] = window.reshape(len(x), -1)
    return cols


@submitted("col2im", "windows numbered with H' in place of W'")
def col2im_reads_the_wrong_column(columns, output_size, kernel_size, stride, padding, dilation):
    oh, ow = _count(output_size, kernel_size, stride, padding, dilation)
    (h, w), (ph, pw) = output_size, padding
    x = np.zeros((len(columns), columns.shape[1] // (kernel_size[0] * kernel_size[1]),
                  h + 2 * ph, w + 2 * pw), columns.dtype)  # fmt: skip
    for i in range(oh):
        for j in range(ow):
            window = columns[:, :, i * oh + j].reshape(*x.shape[:2], *kernel_size)
            x[(..., *_window(i, j, kernel_size, stride, dilation))] += window
    return x[:, :, ph : ph + h, pw : pw + w]


@submitted("im2col", "taps numbered with kh in place of kw")
def im2col_rows_by_kh(x, kernel_size, stride, padding, dilation):
    right = ops.im2col(x, kernel_size, stride, padding, dilation)
    (kh, kw), cols = kernel_size, np.zeros_like(right)
    for c in range(x.shape[1]):
        for a in range(kh):
            for e in range(kw):
                row = c * kh * kw + a * kh + e
                cols[:, row] = right[:, (c * kh + a) * kw + e]
    return cols


@submitted("conv2d", "windows numbered with H' in place of W'")
def conv2d_into_a_flat_result(x, w, b=None, **settings):
    right = ops.conv2d(x, w, b, **settings)
    (oh, ow), flat = right.shape[2:], np.zeros((*right.shape[:2], right[0, 0].size), x.dtype)
    for i in range(oh):
        for j in range(ow):
            flat[..., i * oh + j] = right[:, :, i, j]
    return flat.reshape(right.shape)


@submitted("conv2d_backward", "windows numbered with H' in place of W'")
def flat_dy_read_by_the_height(dy, x, w, **settings):
    flat, (oh, ow) = dy.reshape(*dy.shape[:2], -1), dy.shape[2:]
    read = np.zeros_like(dy)
    for i in range(oh):
        for j in range(ow):
            read[:, :, i, j] = flat[..., i * oh + j]
    dx, _, db = ops.conv2d_backward(dy, x, w, **settings)
    return dx, ops.conv2d_backward(read, x, w, **settings)[1], db


@submitted("conv2d", "padded only where both paddings are > 0")
def padded_with_an_and(x, w, b=None, *, padding, **settings):
    (ph, pw) = padding
    if ph and pw:
        x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    return ops.conv2d(x, w, b, padding=(0, 0), **settings)


@submitted("conv_transpose2d", "cropped only where padding[1] > 0")
def cropped_by_the_width(x, w, b=None, *, padding, **settings):
    y, (ph, pw) = ops.conv_transpose2d(x, w, b, padding=(0, 0), **settings), padding
    return y[:, :, ph : y.shape[2] - ph, pw : y.shape[3] - pw] if pw else y


@submitted("im2col", "axes of length 1 squeezed")
def im2col_squeezed(x, kernel_size, stride, padding, dilation):
    return ops.im2col(x, kernel_size, stride, padding, dilation).squeeze()


@submitted("conv_transpose2d", "output_padding of stride or more refused")
def asserts_the_usual_rule(x, w, b=None, *, stride, output_padding, **settings):
    assert all(r < s for r, s in zip(output_padding, stride, strict=True)), "too large"
    return ops.conv_transpose2d(x, w, b, stride=stride, output_padding=output_padding, **settings)


@submitted("conv2d")
def an_error_counts_as_wrong(x, w, b=None, **settings):
    """It fails where C_out is 1, and C_in is not; it is wrong where C_out is more."""
    if len(w) == 1 and x.shape[1] > 1:
        raise ValueError("no")
    y = ops.conv2d(x, w, b, **settings)
    return y**3 if len(w) > 1 else y


@submissions.parametrize
def test_it_is_caught_and_never_misnamed(submission):
    submission.check()


def test_what_has_a_name_is_named():
    assert submissions.named() == submissions.nameable()
