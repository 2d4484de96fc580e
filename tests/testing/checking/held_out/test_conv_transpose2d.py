"""Wrong conv_transpose2d, its backward and col2im as students hand them in."""

from __future__ import annotations

import numpy as np
import pytest
from held_out import Submissions

pytestmark = pytest.mark.cpu

submissions = Submissions()
submitted = submissions.submitted


def scatter(x, w, stride, output_padding, groups, dilation):
    """Stamp by taps on the whole canvas."""
    n, c, h, wd = x.shape
    kh, kw = w.shape[2:]
    out = w.shape[1]
    H = (h - 1) * stride[0] + dilation[0] * (kh - 1) + 1 + output_padding[0]
    W = (wd - 1) * stride[1] + dilation[1] * (kw - 1) + 1 + output_padding[1]
    canvas = np.zeros((n, out * groups, H, W), x.dtype)
    per = c // groups
    for g in range(groups):
        xs, ws = x[:, g * per : (g + 1) * per], w[g * per : (g + 1) * per]
        for a in range(kh):
            for e in range(kw):
                r, s = a * dilation[0], e * dilation[1]
                canvas[:, g * out : (g + 1) * out, r : r + h * stride[0] : stride[0],
                       s : s + wd * stride[1] : stride[1]][:, :, :h, :wd] += np.einsum(
                    "nchw,ck->nkhw", xs, ws[:, :, a, e])  # fmt: skip
    return canvas


def crop(canvas, padding):
    (ph, pw), (h, w) = padding, canvas.shape[2:]
    return canvas[:, :, ph : h - ph, pw : w - pw]


def with_bias(y, b):
    return y if b is None else y + b.reshape(1, -1, 1, 1)


@submitted("conv_transpose2d", "padding not cropped")
def forgot_the_crop(x, w, b=None, *, stride, padding, output_padding, groups, dilation):
    return with_bias(scatter(x, w, stride, output_padding, groups, dilation), b)


@submitted("conv_transpose2d", "output_padding ignored")
def no_output_padding(x, w, b=None, *, stride, padding, output_padding, groups, dilation):
    return with_bias(crop(scatter(x, w, stride, (0, 0), groups, dilation), padding), b)


@submitted("conv_transpose2d", "output_padding adds zeros")
def output_padding_by_np_pad(x, w, b=None, *, stride, padding, output_padding, groups, dilation):
    y = with_bias(crop(scatter(x, w, stride, (0, 0), groups, dilation), padding), b)
    return np.pad(y, ((0, 0), (0, 0), (0, output_padding[0]), (0, output_padding[1])))


@submitted("conv_transpose2d", "weight's channels interchanged")
def weight_as_in_conv2d(x, w, b=None, *, stride, padding, output_padding, groups, dilation):
    """Reads (C_out, C_in): an error wherever the two differ."""
    canvas = scatter(x, np.swapaxes(w, 0, 1), stride, output_padding, groups, dilation)
    return with_bias(crop(canvas, padding), b)


@submitted("conv_transpose2d", "pixels repeated in place of spaced out")
def nearest_neighbour(x, w, b=None, *, stride, padding, output_padding, groups, dilation):
    up = np.kron(x, np.ones((1, 1, *stride), x.dtype))
    h, wd = ((m - 1) * s + 1 for m, s in zip(x.shape[2:], stride, strict=True))
    canvas = scatter(up[:, :, :h, :wd], w, (1, 1), output_padding, groups, dilation)
    return with_bias(crop(canvas, padding), b)


@submitted("conv_transpose2d", "kernel flipped")
def stuffed_and_correlated(x, w, b=None, *, stride, padding, output_padding, groups, dilation):
    """Zero-stuffing, then a correlation without turning the kernel."""
    n, c, h, wd = x.shape
    z = np.zeros((n, c, (h - 1) * stride[0] + 1, (wd - 1) * stride[1] + 1), x.dtype)
    z[:, :, :: stride[0], :: stride[1]] = x
    eh, ew = dilation[0] * (w.shape[2] - 1), dilation[1] * (w.shape[3] - 1)
    z = np.pad(z, ((0, 0), (0, 0), (eh, eh + output_padding[0]), (ew, ew + output_padding[1])))
    win = np.lib.stride_tricks.sliding_window_view(z, (eh + 1, ew + 1), (2, 3))
    win = win[..., :: dilation[0], :: dilation[1]]
    per = c // groups
    parts = [
        np.einsum("nchwab,ckab->nkhw", win[:, g * per : (g + 1) * per], w[g * per : (g + 1) * per])
        for g in range(groups)
    ]
    return with_bias(crop(np.concatenate(parts, 1), padding), b)


@submitted("conv_transpose2d", "stride one too large")
def stride_zeros_between(x, w, b=None, *, stride, padding, output_padding, groups, dilation):
    """stride zeros between two pixels."""
    more = (stride[0] + 1, stride[1] + 1)
    return with_bias(crop(scatter(x, w, more, output_padding, groups, dilation), padding), b)


@submitted("conv_transpose2d", "inverse in place of the transpose", "float64 in place of float32")
def solved_by_least_squares(x, w, b=None, *, stride, padding, output_padding, groups, dilation):
    size = x.shape[1:]
    eye = np.eye(int(np.prod(size))).reshape(-1, *size)
    rows = crop(scatter(eye, w, stride, output_padding, groups, dilation), padding)
    matrix = rows.reshape(len(eye), -1)
    flat = np.linalg.pinv(matrix) @ x.reshape(len(x), -1).T
    return with_bias(flat.T.reshape(len(x), *rows.shape[1:]), b)


@submitted(
    "conv_transpose2d", "divided by the number of overlapping stamps", "float64 in place of float32"
)
def normalised(x, w, b=None, *, stride, padding, output_padding, groups, dilation):
    y = crop(scatter(x, w, stride, output_padding, groups, dilation), padding)
    one = np.ones((1, 1, *x.shape[2:]))
    times = crop(
        scatter(one, np.ones((1, 1, *w.shape[2:])), stride, output_padding, 1, dilation), padding
    )
    times[times == 0] = 1
    return with_bias(y / times, b)


@submitted("conv_transpose2d", "dilation ignored")
def no_dilation(x, w, b=None, *, stride, padding, output_padding, groups, dilation):
    return with_bias(crop(scatter(x, w, stride, output_padding, groups, (1, 1)), padding), b)


@submitted("conv_transpose2d", "cropped at the bottom and right only")
def cropped_at_the_end(x, w, b=None, *, stride, padding, output_padding, groups, dilation):
    canvas = scatter(x, w, stride, output_padding, groups, dilation)
    h, wd = canvas.shape[2:]
    return with_bias(canvas[:, :, : h - 2 * padding[0], : wd - 2 * padding[1]], b)


@submitted("conv_transpose2d", "stamps overwritten")
def stamps_assigned(x, w, b=None, *, stride, padding, output_padding, groups, dilation):
    canvas = np.zeros_like(scatter(x, w, stride, output_padding, groups, dilation))
    per, out = x.shape[1] // groups, w.shape[1]
    for n in range(len(x)):
        for i in range(x.shape[2]):
            for j in range(x.shape[3]):
                for g in range(groups):
                    mine = slice(g * per, (g + 1) * per)
                    stamp = (x[n, mine, i, j, None, None, None] * w[mine]).sum(0)
                    r, c = i * stride[0], j * stride[1]
                    eh, ew = (d * (k - 1) + 1 for d, k in zip(dilation, w.shape[2:], strict=True))
                    canvas[n, g * out : (g + 1) * out, r : r + eh : dilation[0],
                           c : c + ew : dilation[1]] = stamp  # fmt: skip
    return with_bias(crop(canvas, padding), b)


@submitted("conv_transpose2d", "bias left out", "kernel flipped upside down")
def two_at_once(x, w, b=None, *, stride, padding, output_padding, groups, dilation):
    canvas = scatter(x, w[:, :, ::-1], stride, output_padding, groups, dilation)
    return crop(canvas, padding)


@submitted("conv_transpose2d")
def bias_in_a_frame(x, w, b=None, *, stride, padding, output_padding, groups, dilation):
    """The bias is added to the border only: no mistake of the bank."""
    y = crop(scatter(x, w, stride, output_padding, groups, dilation), padding)
    if b is not None:
        inner = y[:, :, 1:-1, 1:-1].copy()
        y = y + b[:, None, None]
        y[:, :, 1:-1, 1:-1] = inner
    return y


@submitted("conv_transpose2d_backward", "output_padding ignored", "kernel flipped")
def backward_flipped(dy, x, w, *, stride, padding, output_padding, groups, dilation):
    dx, dw, db = right_backward(dy, x, w[:, :, ::-1, ::-1], stride, padding, groups, dilation)
    return dx, dw, db


def right_backward(dy, x, w, stride, padding, groups, dilation):
    g = np.pad(dy, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    dx, dw = np.zeros_like(x), np.zeros(w.shape, w.dtype)
    per, out = x.shape[1] // groups, w.shape[1]
    for c in range(x.shape[1]):
        k0 = c // per * out
        for i in range(x.shape[2]):
            for j in range(x.shape[3]):
                r, s = i * stride[0], j * stride[1]
                win = g[:, k0 : k0 + out, r : r + dilation[0] * (w.shape[2] - 1) + 1 : dilation[0],
                        s : s + dilation[1] * (w.shape[3] - 1) + 1 : dilation[1]]  # fmt: skip
                dx[:, c, i, j] = (win * w[c]).sum((1, 2, 3))
                dw[c] += np.einsum("n,nkab->kab", x[:, c, i, j], win)
    return dx, dw, dy.sum((0, 2, 3))


@submitted("conv_transpose2d_backward", "averaged over the batch")
def backward_mean(dy, x, w, *, stride, padding, output_padding, groups, dilation):
    dx, dw, db = right_backward(dy, x, w, stride, padding, groups, dilation)
    return dx, dw / len(dy), db


@submitted("conv_transpose2d_backward", "gradient's channels interchanged")
def backward_transposed_weight(dy, x, w, *, stride, padding, output_padding, groups, dilation):
    dx, dw, db = right_backward(dy, x, w, stride, padding, groups, dilation)
    return dx, dw.transpose(1, 0, 2, 3), db


@submitted("conv_transpose2d_backward", "dx and dw interchanged")
def backward_order(dy, x, w, *, stride, padding, output_padding, groups, dilation):
    dx, dw, db = right_backward(dy, x, w, stride, padding, groups, dilation)
    return dw, dx, db


@submitted("conv_transpose2d_backward")
def backward_noise(dy, x, w, *, stride, padding, output_padding, groups, dilation):
    """The gradient of another loss: no mistake of the bank."""
    dx, dw, db = right_backward(dy, x, w, stride, padding, groups, dilation)
    return dx + 2 * x * x, dw, db


@submitted("col2im", "windows overwritten")
def col2im_assigns(columns, output_size, kernel_size, stride, padding, dilation):
    (h, w), (kh, kw) = output_size, kernel_size
    canvas = np.zeros(
        (len(columns), columns.shape[1] // (kh * kw), h + 2 * padding[0], w + 2 * padding[1])
    )
    oh, ow = (
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(output_size, padding, dilation, kernel_size, stride, strict=True)
    )
    cols = columns.reshape(len(columns), -1, kh, kw, oh, ow)
    for i in range(kh):
        for j in range(kw):
            r, c = i * dilation[0], j * dilation[1]
            canvas[:, :, r : r + oh * stride[0] : stride[0], c : c + ow * stride[1] : stride[1]][
                :, :, :oh, :ow
            ] = cols[:, :, i, j]
    return crop(canvas, padding).astype(columns.dtype)


@submitted("col2im", "divided by the number of overlapping windows")
def col2im_averages(columns, output_size, kernel_size, stride, padding, dilation):
    (h, w), (kh, kw) = output_size, kernel_size
    oh, ow = (
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(output_size, padding, dilation, kernel_size, stride, strict=True)
    )
    cols = columns.reshape(len(columns), -1, kh, kw, oh, ow)
    canvas = np.zeros((*cols.shape[:2], h + 2 * padding[0], w + 2 * padding[1]))
    count = np.zeros_like(canvas)
    for i in range(oh):
        for j in range(ow):
            r, c = i * stride[0], j * stride[1]
            place = np.s_[:, :, r : r + dilation[0] * (kh - 1) + 1 : dilation[0],
                          c : c + dilation[1] * (kw - 1) + 1 : dilation[1]]  # fmt: skip
            canvas[place] += cols[:, :, :, :, i, j]
            count[place] += 1
    return crop(canvas / np.maximum(count, 1), padding).astype(columns.dtype)


@submissions.parametrize
def test_it_is_caught_and_never_misnamed(submission):
    submission.check()


def test_what_has_a_name_is_named():
    assert submissions.named() == submissions.nameable()
