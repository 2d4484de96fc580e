"""Wrong conv2d_backward as students hand them in: whole functions, none from the bank's code."""

from __future__ import annotations

import numpy as np
import pytest
from held_out import Submissions

pytestmark = pytest.mark.cpu

submissions = Submissions()
submitted = submissions.submitted


def naive(dy, x, w, stride, padding, dilation, groups):
    """A right backward in the style of a course, with dx of the padded image."""
    K, D, kh, kw = w.shape
    ph, pw = padding
    xp = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    dxp, dw = np.zeros_like(xp), np.zeros_like(w)
    for n in range(len(x)):
        for k in range(K):
            c0 = k // (K // groups) * D
            for i in range(dy.shape[2]):
                for j in range(dy.shape[3]):
                    rows = slice(
                        i * stride[0], i * stride[0] + dilation[0] * (kh - 1) + 1, dilation[0]
                    )
                    cols = slice(
                        j * stride[1], j * stride[1] + dilation[1] * (kw - 1) + 1, dilation[1]
                    )
                    dxp[n, c0 : c0 + D, rows, cols] += w[k] * dy[n, k, i, j]
                    dw[k] += xp[n, c0 : c0 + D, rows, cols] * dy[n, k, i, j]
    return dxp, dw, dy.sum(axis=(0, 2, 3))


@submitted("conv2d_backward", "cropped with [p:-p], which is empty without padding")
def minus_padding(dy, x, w, *, stride, padding, dilation, groups):
    dxp, dw, db = naive(dy, x, w, stride, padding, dilation, groups)
    return dxp[:, :, padding[0] : -padding[0], padding[1] : -padding[1]], dw, db


@submitted("conv2d_backward", "padding not cropped")
def gradient_of_the_padded(dy, x, w, *, stride, padding, dilation, groups):
    return naive(dy, x, w, stride, padding, dilation, groups)


@submitted("conv2d_backward", "averaged over the batch")
def mean_loss(dy, x, w, *, stride, padding, dilation, groups):
    (ph, pw), (h, wd) = padding, x.shape[2:]
    dxp, dw, db = naive(dy, x, w, stride, padding, dilation, groups)
    return dxp[:, :, ph : ph + h, pw : pw + wd], dw / len(x), db / len(x)


@submitted("conv2d_backward", "bias gradient not summed over the batch")
def bias_for_each_image(dy, x, w, *, stride, padding, dilation, groups):
    (ph, pw), (h, wd) = padding, x.shape[2:]
    dxp, dw, _ = naive(dy, x, w, stride, padding, dilation, groups)
    db = np.zeros((len(x), len(w)), x.dtype)
    for n in range(len(x)):
        for k in range(len(w)):
            db[n, k] = dy[n, k].sum()
    return dxp[:, :, ph : ph + h, pw : pw + wd], dw, db


@submitted("conv2d_backward", "dx and dw interchanged")
def wrong_order(dy, x, w, *, stride, padding, dilation, groups):
    (ph, pw), (h, wd) = padding, x.shape[2:]
    dxp, dw, db = naive(dy, x, w, stride, padding, dilation, groups)
    return dw, dxp[:, :, ph : ph + h, pw : pw + wd], db


@submitted("conv2d_backward", "last image only")
def assigned_for_each_image(dy, x, w, *, stride, padding, dilation, groups):
    (ph, pw), (h, wd) = padding, x.shape[2:]
    dx = np.zeros_like(x)
    for n in range(len(x)):
        one = slice(n, n + 1)
        dxp, dw, db = naive(dy[one], x[one], w, stride, padding, dilation, groups)
        dx[n] = dxp[0, :, ph : ph + h, pw : pw + wd]
    return dx, dw, db


def _stuffed_dx(dy, x, w, stride, padding, dilation, groups, flip):
    """dx as a correlation of the zero-stuffed dy."""
    n, k, oh, ow = dy.shape
    z = np.zeros((n, k, (oh - 1) * stride[0] + 1, (ow - 1) * stride[1] + 1), x.dtype)
    z[:, :, :: stride[0], :: stride[1]] = dy
    eh, ew = (d * (m - 1) for d, m in zip(dilation, w.shape[2:], strict=True))
    h, wd = x.shape[2:]
    z = np.pad(z, ((0, 0), (0, 0), (eh, eh + h), (ew, ew + wd)))
    z = z[:, :, padding[0] :, padding[1] :]
    kernel = w[:, :, ::-1, ::-1] if flip else w
    dx = np.zeros_like(x)
    outs, ins = len(w) // groups, w.shape[1]
    for i in range(h):
        for j in range(wd):
            win = z[:, :, i : i + eh + 1 : dilation[0], j : j + ew + 1 : dilation[1]]
            for g in range(groups):
                dx[:, g * ins : (g + 1) * ins, i, j] = np.einsum(
                    "nkab,kcab->nc",
                    win[:, g * outs : (g + 1) * outs],
                    kernel[g * outs : (g + 1) * outs],
                )
    return dx


@submitted("conv2d_backward", "kernel flipped")
def full_correlation_without_a_flip(dy, x, w, *, stride, padding, dilation, groups):
    _, dw, db = naive(dy, x, w, stride, padding, dilation, groups)
    return _stuffed_dx(dy, x, w, stride, padding, dilation, groups, False), dw, db


@submitted("conv2d_backward", "stride ignored")
def strides_forgotten_in_dx(dy, x, w, *, stride, padding, dilation, groups):
    _, dw, db = naive(dy, x, w, stride, padding, dilation, groups)
    dx = _stuffed_dx(dy, x, w, (1, 1), padding, dilation, groups, True)
    return dx, dw, db


@submitted("conv2d_backward", "stride ignored")
def strides_forgotten_in_dw(dy, x, w, *, stride, padding, dilation, groups):
    (ph, pw), (h, wd) = padding, x.shape[2:]
    dxp, _, db = naive(dy, x, w, stride, padding, dilation, groups)
    xp = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    K, D, kh, kw = w.shape
    oh, ow = dy.shape[2:]
    dw = np.zeros_like(w)
    for k in range(K):
        for c in range(D):
            for a in range(kh):
                for e in range(kw):
                    r, s = a * dilation[0], e * dilation[1]
                    part = xp[:, k // (K // groups) * D + c, r : r + oh, s : s + ow]
                    dw[k, c, a, e] = (part * dy[:, k]).sum()
    return dxp[:, :, ph : ph + h, pw : pw + wd], dw, db


@submitted("conv2d_backward", "windows overwritten")
def equals_for_plus_equals(dy, x, w, *, stride, padding, dilation, groups):
    N, C, H, W = x.shape
    K, D, kh, kw = w.shape
    _, dw, db = naive(dy, x, w, stride, padding, dilation, groups)
    dxp = np.zeros((N, C, H + 2 * padding[0], W + 2 * padding[1]), x.dtype)
    P = K // groups
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            for g in range(groups):
                r, c = i * stride[0], j * stride[1]
                block = np.tensordot(dy[:, g * P : (g + 1) * P, i, j], w[g * P : (g + 1) * P], 1)
                dxp[:, g * D : (g + 1) * D, r : r + dilation[0] * kh : dilation[0],
                    c : c + dilation[1] * kw : dilation[1]] = block  # fmt: skip
    return dxp[:, :, padding[0] : padding[0] + H, padding[1] : padding[1] + W], dw, db


@submitted("conv2d_backward", "last output channel only")
def dx_of_the_last_channel(dy, x, w, *, stride, padding, dilation, groups):
    """The loop over the output channels assigns."""
    (ph, pw), (h, wd) = padding, x.shape[2:]
    _, dw, db = naive(dy, x, w, stride, padding, dilation, groups)
    dx = np.zeros_like(x)
    D, P = w.shape[1], len(w) // groups
    for k in range(len(w)):
        c0 = k // P * D
        mine = slice(c0, c0 + D)
        part, _, _ = naive(dy[:, k : k + 1], x[:, mine], w[k : k + 1], stride, padding, dilation, 1)
        dx[:, mine] = part[:, :, ph : ph + h, pw : pw + wd]
    return dx, dw, db


@submitted("conv2d_backward", "bias gradient summed over channels and pixels")
def bias_over_the_wrong_axes(dy, x, w, *, stride, padding, dilation, groups):
    (ph, pw), (h, wd) = padding, x.shape[2:]
    dxp, dw, _ = naive(dy, x, w, stride, padding, dilation, groups)
    return dxp[:, :, ph : ph + h, pw : pw + wd], dw, dy.sum(axis=(1, 2, 3))


@submitted("conv2d_backward", "dy ignored")
def all_ones_for_the_bias(dy, x, w, *, stride, padding, dilation, groups):
    (ph, pw), (h, wd) = padding, x.shape[2:]
    dxp, dw, db = naive(dy, x, w, stride, padding, dilation, groups)
    db = np.full(len(w), dy.shape[0] * dy.shape[2] * dy.shape[3], x.dtype)
    return dxp[:, :, ph : ph + h, pw : pw + wd], dw, db


@submitted("conv2d_backward", "pixels that no window reached left out")
def size_from_the_stuffed(dy, x, w, *, stride, padding, dilation, groups):
    dxp, dw, db = naive(dy, x, w, stride, padding, dilation, groups)
    h, wd = (
        (m - 1) * s + d * (k - 1) + 1 - 2 * p
        for m, s, d, k, p in zip(dy.shape[2:], stride, dilation, w.shape[2:], padding, strict=True)
    )
    ph, pw = padding
    return dxp[:, :, ph : ph + h, pw : pw + wd], dw, db


@submitted("conv2d_backward", "gradient flipped")
def weight_gradient_of_a_true_convolution(dy, x, w, *, stride, padding, dilation, groups):
    (ph, pw), (h, wd) = padding, x.shape[2:]
    dxp, dw, db = naive(dy, x, w, stride, padding, dilation, groups)
    return dxp[:, :, ph : ph + h, pw : pw + wd], np.flip(dw, (2, 3)).copy(), db


@submitted("conv2d_backward")
def gradients_clipped(dy, x, w, *, stride, padding, dilation, groups):
    """A gradient is clipped to 5: no mistake of the bank."""
    (ph, pw), (h, wd) = padding, x.shape[2:]
    dxp, dw, db = naive(dy, x, w, stride, padding, dilation, groups)
    return np.clip(dxp[:, :, ph : ph + h, pw : pw + wd], -5, 5), dw, db


@submitted("conv2d_backward")
def the_first_row_forgotten(dy, x, w, *, stride, padding, dilation, groups):
    """dw never sees the first row of windows, but where there is one only."""
    (ph, pw), (h, wd) = padding, x.shape[2:]
    dxp, dw, db = naive(dy, x, w, stride, padding, dilation, groups)
    if dy.shape[2] > 1:
        less = dy.copy()
        less[:, :, 0] = 0
        dw = naive(less, x, w, stride, padding, dilation, groups)[1]
    return dxp[:, :, ph : ph + h, pw : pw + wd], dw, db


@submitted("conv2d_backward", "wrong sign")
def minus(dy, x, w, *, stride, padding, dilation, groups):
    (ph, pw), (h, wd) = padding, x.shape[2:]
    dxp, dw, db = naive(-dy, x, w, stride, padding, dilation, groups)
    return dxp[:, :, ph : ph + h, pw : pw + wd], dw, db


@submissions.parametrize
def test_it_is_caught_and_never_misnamed(submission):
    submission.check()


def test_what_has_a_name_is_named():
    assert submissions.named() == submissions.nameable()
