"""Wrong conv2d and im2col as students hand them in: whole functions, none from the bank's code.

Each is registered with the names that would be right for it; none means that no name of the bank is
right, and any name would be a wrong one.
"""

from __future__ import annotations

import numpy as np
import pytest
from held_out import Submissions

pytestmark = pytest.mark.cpu

submissions = Submissions()
submitted = submissions.submitted


@submitted("conv2d", "kernel flipped")
def seven_loops_true_convolution(x, w, b=None, *, stride, padding, dilation, groups):
    N, _, H, W = x.shape
    F, Cg, KH, KW = w.shape
    OH = (H + 2 * padding[0] - dilation[0] * (KH - 1) - 1) // stride[0] + 1
    OW = (W + 2 * padding[1] - dilation[1] * (KW - 1) - 1) // stride[1] + 1
    xp = np.pad(x, [(0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2])
    out = np.zeros((N, F, OH, OW), x.dtype)
    for n in range(N):
        for f in range(F):
            g = f // (F // groups)
            for i in range(OH):
                for j in range(OW):
                    acc = 0.0
                    for c in range(Cg):
                        for p in range(KH):
                            for q in range(KW):
                                acc += (
                                    xp[n, g * Cg + c, i * stride[0] + p * dilation[0],
                                       j * stride[1] + q * dilation[1]]
                                    * w[f, c, KH - 1 - p, KW - 1 - q]
                                )  # fmt: skip
                    out[n, f, i, j] = acc + (0 if b is None else b[f])
    return out


def _patches(x, kh, kw, stride, padding, dilation):
    x = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    eh, ew = dilation[0] * (kh - 1) + 1, dilation[1] * (kw - 1) + 1
    view = np.lib.stride_tricks.sliding_window_view(x, (eh, ew), axis=(2, 3))
    return view[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


@submitted("conv2d", "first input channel only", "last input channel only")
def sum_over_channels_forgotten(x, w, b=None, *, stride, padding, dilation, groups):
    win = _patches(x, *w.shape[2:], stride, padding, dilation)
    out = np.zeros((x.shape[0], w.shape[0], *win.shape[2:4]), x.dtype)
    per_in, per_out = w.shape[1], w.shape[0] // groups
    for k in range(w.shape[0]):
        for c in range(per_in):
            channel = win[:, (k // per_out) * per_in + c]
            out[:, k] = (channel * w[k, c]).sum(axis=(-1, -2))
    if b is not None:
        out += b.reshape(1, -1, 1, 1)
    return out


@submitted("conv2d", "stride[0] used for both axes")
def one_stride(x, w, b=None, *, stride, padding, dilation, groups):
    s = stride[0]
    win = _patches(x, *w.shape[2:], (s, s), padding, dilation)
    n = x.shape[0]
    win = win.reshape(n, groups, -1, *win.shape[2:])
    wg = w.reshape(groups, -1, *w.shape[1:])
    y = np.einsum("ngchwij,gkcij->ngkhw", win, wg).reshape(n, w.shape[0], *win.shape[3:5])
    return y if b is None else y + b[:, None, None]


@submitted("conv2d", "dilation ignored")
def dilation_only_in_the_size(x, w, b=None, *, stride, padding, dilation, groups):
    N, C, H, W = x.shape
    K, D, kh, kw = w.shape
    Ho = (H + 2 * padding[0] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    Wo = (W + 2 * padding[1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    P = np.zeros((N, C, H + 2 * padding[0], W + 2 * padding[1]), x.dtype)
    P[:, :, padding[0] : padding[0] + H, padding[1] : padding[1] + W] = x
    y = np.empty((N, K, Ho, Wo), x.dtype)
    for k in range(K):
        lo = (k // (K // groups)) * D
        for i in range(Ho):
            for j in range(Wo):
                r, c = i * stride[0], j * stride[1]
                y[:, k, i, j] = np.sum(P[:, lo : lo + D, r : r + kh, c : c + kw] * w[k], (1, 2, 3))
        if b is not None:
            y[:, k] += b[k]
    return y


@submitted("conv2d", "bias added with every input channel")
def bias_in_the_channel_loop(x, w, b=None, *, stride, padding, dilation, groups):
    win = _patches(x, *w.shape[2:], stride, padding, dilation)
    K, D = w.shape[:2]
    y = np.zeros((len(x), K, *win.shape[2:4]), x.dtype)
    for k in range(K):
        for c in range(D):
            y[:, k] += np.tensordot(win[:, k // (K // groups) * D + c], w[k, c], 2)
            if b is not None:
                y[:, k] += b[k]
    return y


@submitted("conv2d", "axes mixed up by reshape")
def matmul_with_a_wrong_reshape(x, w, b=None, *, stride, padding, dilation, groups):
    n = len(x)
    win = _patches(x, *w.shape[2:], stride, padding, dilation)
    h, wd = win.shape[2:4]
    outs = []
    for xs, ws in zip(np.split(win, groups, 1), np.split(w, groups, 0), strict=True):
        cols = xs.transpose(1, 4, 5, 0, 2, 3).reshape(ws[0].size, -1)
        outs.append(ws.reshape(len(ws), -1) @ cols)
    y = np.concatenate(outs)
    if b is not None:
        y = y + b[:, None]
    return y.reshape(n, len(w), h, wd)


@submitted("conv2d", "weight read with its channels last")
def im2col_in_another_order(x, w, b=None, *, stride, padding, dilation, groups):
    win = _patches(x, *w.shape[2:], stride, padding, dilation)
    N, _, h, wd = win.shape[:4]
    D = w.shape[1]
    K = w.shape[0] // groups
    y = np.zeros((N, w.shape[0], h, wd), x.dtype)
    for g in range(groups):
        block = win[:, g * D : (g + 1) * D].transpose(0, 2, 3, 4, 5, 1).reshape(N * h * wd, -1)
        res = block @ w[g * K : (g + 1) * K].reshape(K, -1).T
        y[:, g * K : (g + 1) * K] = res.reshape(N, h, wd, K).transpose(0, 3, 1, 2)
    return y if b is None else y + b.reshape(-1, 1, 1)


@submitted("conv2d", "output size rounded up")
def ceil_of_the_size(x, w, b=None, *, stride, padding, dilation, groups):
    H, W = x.shape[2:]
    kh, kw = w.shape[2:]
    import math

    oh = math.ceil((H + 2 * padding[0] - dilation[0] * (kh - 1) - 1) / stride[0]) + 1
    ow = math.ceil((W + 2 * padding[1] - dilation[1] * (kw - 1) - 1) / stride[1]) + 1
    big = np.zeros(
        (len(x), x.shape[1], H + 2 * padding[0] + stride[0], W + 2 * padding[1] + stride[1])
    )
    big[:, :, padding[0] : padding[0] + H, padding[1] : padding[1] + W] = x
    y = np.zeros((len(x), len(w), oh, ow), x.dtype)
    D, K = w.shape[1], len(w) // groups
    for a in range(kh):
        for e in range(kw):
            part = big[:, :, a * dilation[0] :: stride[0], e * dilation[1] :: stride[1]][
                :, :, :oh, :ow
            ]
            for g in range(groups):
                y[:, g * K : (g + 1) * K] += np.einsum(
                    "nchw,kc->nkhw", part[:, g * D : (g + 1) * D], w[g * K : (g + 1) * K, :, a, e]
                )
    return y if b is None else y + b[None, :, None, None]


@submitted("conv2d", "groups ignored")
def groups_read_the_first_channels(x, w, b=None, *, stride, padding, dilation, groups):
    win = _patches(x[:, : w.shape[1]], *w.shape[2:], stride, padding, dilation)
    y = np.einsum("nchwij,kcij->nkhw", win, w)
    return y if b is None else y + b[:, None, None]


@submitted("conv2d", "groups interleaved")
def groups_by_modulo(x, w, b=None, *, stride, padding, dilation, groups):
    win = _patches(x, *w.shape[2:], stride, padding, dilation)
    y = np.zeros((len(x), len(w), *win.shape[2:4]), x.dtype)
    for k in range(len(w)):
        mine = win[:, k % groups :: groups]
        y[:, k] = np.einsum("nchwij,cij->nhw", mine, w[k]) + (b[k] if b is not None else 0)
    return y


@submitted("conv2d", "padded at the top and left only")
def pad_with_one_number(x, w, b=None, *, stride, padding, dilation, groups):
    H, W = x.shape[2:]
    P = np.zeros((*x.shape[:2], H + 2 * padding[0], W + 2 * padding[1]), x.dtype)
    P[:, :, 2 * padding[0] :, 2 * padding[1] :] = x
    win = _patches(P, *w.shape[2:], stride, (0, 0), dilation)
    win = win.reshape(len(x), groups, -1, *win.shape[2:])
    y = np.einsum("ngchwij,gkcij->ngkhw", win, w.reshape(groups, -1, *w.shape[1:]))
    y = y.reshape(len(x), -1, *win.shape[3:5])
    return y if b is None else y + b[:, None, None]


@submitted("conv2d", "bias left out")
def bias_if_truthy(x, w, b=None, *, stride, padding, dilation, groups):
    win = _patches(x, *w.shape[2:], stride, padding, dilation)
    win = win.reshape(len(x), groups, -1, *win.shape[2:])
    y = np.einsum("ngchwij,gkcij->ngkhw", win, w.reshape(groups, -1, *w.shape[1:]))
    return y.reshape(len(x), -1, *win.shape[3:5])


@submitted("conv2d", "last tap only")
def assignment_in_the_tap_loops(x, w, b=None, *, stride, padding, dilation, groups):
    win = _patches(x, *w.shape[2:], stride, padding, dilation)
    y = np.zeros((len(x), len(w), *win.shape[2:4]), x.dtype)
    D, K = w.shape[1], len(w) // groups
    for g in range(groups):
        for i in range(w.shape[2]):
            for j in range(w.shape[3]):
                y[:, g * K : (g + 1) * K] = np.einsum(
                    "nchw,kc->nkhw",
                    win[:, g * D : (g + 1) * D, :, :, i, j],
                    w[g * K : (g + 1) * K, :, i, j],
                )
    return y if b is None else y + b[:, None, None]


@submitted("conv2d", "kernel flipped", "kernel transposed")
def kernel_flipped_for_strided_input_only(x, w, b=None, *, stride, padding, dilation, groups):
    """Two branches, one of them wrong."""
    if max(stride) > 1:
        w = np.rot90(w, 2, axes=(2, 3))
    win = _patches(x, *w.shape[2:], stride, padding, dilation)
    win = win.reshape(len(x), groups, -1, *win.shape[2:])
    y = np.einsum("ngchwij,gkcij->ngkhw", win, w.reshape(groups, -1, *w.shape[1:]))
    y = y.reshape(len(x), -1, *win.shape[3:5])
    return y if b is None else y + b[:, None, None]


@submitted("conv2d")
def cubed_entries(x, w, b=None, *, stride, padding, dilation, groups):
    """No mistake that has a name."""
    win = _patches(x, *w.shape[2:], stride, padding, dilation) ** 3
    win = win.reshape(len(x), groups, -1, *win.shape[2:])
    y = np.einsum("ngchwij,gkcij->ngkhw", win, w.reshape(groups, -1, *w.shape[1:]))
    y = y.reshape(len(x), -1, *win.shape[3:5])
    return y if b is None else y + b[:, None, None]


@submitted("conv2d")
def a_row_of_windows_twice(x, w, b=None, *, stride, padding, dilation, groups):
    """The last row of windows is that of the row before, where there are several."""
    win = _patches(x, *w.shape[2:], stride, padding, dilation)
    win = win.reshape(len(x), groups, -1, *win.shape[2:])
    y = np.einsum("ngchwij,gkcij->ngkhw", win, w.reshape(groups, -1, *w.shape[1:]))
    y = y.reshape(len(x), -1, *win.shape[3:5])
    if y.shape[2] > 1:
        y[:, :, -1] = y[:, :, -2]
    return y if b is None else y + b[:, None, None]


@submitted("conv2d")
def dilated_taps_wrong_with_a_stride(x, w, b=None, *, stride, padding, dilation, groups):
    """The step of a tap is dilation·stride: right where one of them is 1."""
    d = tuple(a * s if a > 1 else a for a, s in zip(dilation, stride, strict=True))
    N, _, H, W = x.shape
    K, D, kh, kw = w.shape
    oh, ow = (
        (n + 2 * p - a * (k - 1) - 1) // s + 1
        for n, p, a, k, s in zip((H, W), padding, dilation, (kh, kw), stride, strict=True)
    )
    P = np.pad(x, ((0, 0), (0, 0), (padding[0], 40), (padding[1], 40)))
    y = np.zeros((N, K, oh, ow), x.dtype)
    for k in range(K):
        lo = k // (K // groups) * D
        for i in range(oh):
            for j in range(ow):
                r, c = i * stride[0], j * stride[1]
                win = P[:, lo : lo + D, r : r + d[0] * kh : d[0], c : c + d[1] * kw : d[1]]
                y[:, k, i, j] = np.einsum("ncij,cij->n", win[:, :, :kh, :kw], w[k])
    return y if b is None else y + b[:, None, None]


@submitted("conv2d", "kernel flipped", "bias left out")
def two_mistakes(x, w, b=None, *, stride, padding, dilation, groups):
    win = _patches(x, *w.shape[2:], stride, padding, dilation)[..., ::-1, ::-1]
    win = win.reshape(len(x), groups, -1, *win.shape[2:])
    y = np.einsum("ngchwij,gkcij->ngkhw", win, w.reshape(groups, -1, *w.shape[1:]))
    return y.reshape(len(x), -1, *win.shape[3:5])


@submitted("conv2d", "stride swapped", "twice as large")
def two_more_mistakes(x, w, b=None, *, stride, padding, dilation, groups):
    win = _patches(x, *w.shape[2:], stride[::-1], padding, dilation)
    win = win.reshape(len(x), groups, -1, *win.shape[2:])
    y = np.einsum("ngchwij,gkcij->ngkhw", win, w.reshape(groups, -1, *w.shape[1:]))
    y = y.reshape(len(x), -1, *win.shape[3:5])
    return 2 * (y if b is None else y + b[:, None, None])


@submitted("conv2d", "padding halved")
def padding_is_the_total(x, w, b=None, *, stride, padding, dilation, groups):
    half = (padding[0] // 2, padding[1] // 2)
    win = _patches(x, *w.shape[2:], stride, half, dilation)
    win = win.reshape(len(x), groups, -1, *win.shape[2:])
    y = np.einsum("ngchwij,gkcij->ngkhw", win, w.reshape(groups, -1, *w.shape[1:]))
    y = y.reshape(len(x), -1, *win.shape[3:5])
    return y if b is None else y + b[:, None, None]


@submitted("conv2d", "bias added along the width")
def bias_broadcast(x, w, b=None, *, stride, padding, dilation, groups):
    win = _patches(x, *w.shape[2:], stride, padding, dilation)
    win = win.reshape(len(x), groups, -1, *win.shape[2:])
    y = np.einsum("ngchwij,gkcij->ngkhw", win, w.reshape(groups, -1, *w.shape[1:]))
    y = y.reshape(len(x), -1, *win.shape[3:5])
    return y if b is None else y + b


@submitted("im2col", "rows in the order (kh, kw, C)")
def im2col_taps_first(x, kernel_size, stride, padding, dilation):
    rows = []
    win = _patches(x, *kernel_size, stride, padding, dilation)
    for i in range(kernel_size[0]):
        for j in range(kernel_size[1]):
            for c in range(x.shape[1]):
                rows.append(win[:, c, :, :, i, j].reshape(len(x), -1))
    return np.stack(rows, 1)


@submitted("im2col", "one window a row")
def im2col_as_rows(x, kernel_size, stride, padding, dilation):
    win = _patches(x, *kernel_size, stride, padding, dilation)
    n, _, h, w = win.shape[:4]
    return win.transpose(0, 2, 3, 1, 4, 5).reshape(n, h * w, -1)


@submitted("im2col", "padded by repeating the border")
def im2col_edge(x, kernel_size, stride, padding, dilation):
    x = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2), "edge")
    win = _patches(x, *kernel_size, stride, (0, 0), dilation)
    n, _, h, w = win.shape[:4]
    return win.transpose(0, 1, 4, 5, 2, 3).reshape(n, -1, h * w)


@submitted("im2col")
def im2col_of_every_second_image(x, kernel_size, stride, padding, dilation):
    """Images after the first are negative."""
    x = np.concatenate([x[:1], -x[1:]])
    win = _patches(x, *kernel_size, stride, padding, dilation)
    n, _, h, w = win.shape[:4]
    return win.transpose(0, 1, 4, 5, 2, 3).reshape(n, -1, h * w)


@submissions.parametrize
def test_it_is_caught_and_never_misnamed(submission):
    submission.check()


def test_what_has_a_name_is_named():
    assert submissions.named() == submissions.nameable()
