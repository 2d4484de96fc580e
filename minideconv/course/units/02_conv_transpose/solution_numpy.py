"""Unit 2: transposed convolution, which is a convolution's matrix, transposed.

Arrays are (N, C, H, W): images, channels, rows, columns. Every pair is (height, width).
`under_tap` is given; write the functions below it. None of them may change its arguments.
"""

import numpy as np


def under_tap(tap, stride, dilation, size):
    """Return the rows and columns of the large image under tap (a, e). This function is given.

    Window (i, j) of the `size` = (H, W) windows has this tap at row i*sh + a*dh and column
    j*sw + e*dw of the padded image; `image[..., *under_tap(...)]` is all of them at once.
    """
    return tuple(
        slice(t * d, t * d + s * (n - 1) + 1, s) for t, s, d, n in zip(tap, stride, dilation, size)
    )


def conv_matrix(w, size, stride=(1, 1), padding=(0, 0)):
    """Return the matrix A of a convolution of one image: shape (K*H'*W', C*H*W).

    w (K, C, kh, kw) are its kernels, size (H, W) is the image's. Row (k, i, j) is an output pixel,
    column (c, r, q) an input pixel, both in row-major order; A @ x.ravel() is conv2d(x, w).ravel().

        A[(k, i, j), (c, i*sh + a - ph, j*sw + e - pw)] = w[k, c, a, e]

    To do: for each output pixel and each tap, find the input pixel under it. If there is one (the
    tap may stand on the padding), put the weights of all K kernels and C channels there.
    """
    # BEGIN SOLUTION
    (k, c, kh, kw), (h, wide), (sh, sw), (ph, pw) = w.shape, size, stride, padding
    rows, columns = (h + 2 * ph - kh) // sh + 1, (wide + 2 * pw - kw) // sw + 1
    matrix = np.zeros((k, rows, columns, c, h, wide), w.dtype)
    for i in range(rows):
        for j in range(columns):
            for a in range(kh):
                for e in range(kw):
                    r, q = i * sh + a - ph, j * sw + e - pw
                    if 0 <= r < h and 0 <= q < wide:
                        matrix[:, i, j, :, r, q] = w[:, :, a, e]
    return matrix.reshape(k * rows * columns, c * h * wide)
    # END SOLUTION


def conv_transpose2d(
    x, w, b=None, stride=(1, 1), padding=(0, 0), output_padding=(0, 0), groups=1, dilation=(1, 1)
):
    """Multiply by the transposed matrix: x (N, C, H, W) -> y (N, K, H', W').

    w (C, K/groups, kh, kw) is the weight of the convolution that maps y's shape to x's; b is (K,).

        H' = (H - 1)*sh - 2*ph + dh*(kh - 1) + 1 + output_padding, W' alike
        y[n, k, i*sh + a*dh - ph, j*sw + e*dw - pw] += x[n, c, i, j] * w[c, k, a, e]

    and then y += b[k]. What falls outside of y is dropped. With groups, input channels of group g
    reach output channels of group g only.

    To do: zeros of the size of y and its padding; for each tap, add all of x times that tap's
    weights to the pixels `under_tap`; cut the padding off; add the bias.
    """
    # BEGIN SOLUTION
    (n, c, h, wide), (_, per_group, kh, kw) = x.shape, w.shape
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    rows = (h - 1) * sh + dh * (kh - 1) + 1 + output_padding[0]
    columns = (wide - 1) * sw + dw * (kw - 1) + 1 + output_padding[1]
    padded = np.zeros((n, groups, per_group, rows, columns), x.dtype)
    x = x.reshape(n, groups, c // groups, h, wide)
    w = w.reshape(groups, c // groups, per_group, kh, kw)
    for a in range(kh):
        for e in range(kw):
            place = under_tap((a, e), stride, dilation, (h, wide))
            padded[..., *place] += np.einsum("ngchw,gck->ngkhw", x, w[..., a, e])
    y = padded[..., ph : rows - ph, pw : columns - pw]
    y = y.reshape(n, groups * per_group, rows - 2 * ph, columns - 2 * pw)
    return y if b is None else y + b[:, None, None]
    # END SOLUTION


def conv_transpose2d_backward(
    dy, x, w, stride=(1, 1), padding=(0, 0), output_padding=(0, 0), groups=1, dilation=(1, 1)
):
    """Return (dx, dw, db) of shapes like x, w, b; dy (N, K, H', W') is the gradient of y.

        dx[n, c, i, j] = sum over k, a, e of
                         dy[n, k, i*sh + a*dh - ph, j*sw + e*dw - pw] * w[c, k, a, e]
        dw[c, k, a, e] = sum over n, i, j of
                         dy[n, k, i*sh + a*dh - ph, j*sw + e*dw - pw] * x[n, c, i, j]
        db[k]          = sum over n, i, j of dy[n, k, i, j]

    To do: pad dy as y was; the same loop over taps as in the forward, which now reads the pixels
    `under_tap` instead of adding to them.
    """
    # BEGIN SOLUTION
    (n, c, h, wide), (_, per_group, kh, kw), (ph, pw) = x.shape, w.shape, padding
    padded = np.pad(dy, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    padded = padded.reshape(n, groups, per_group, *padded.shape[2:])
    x = x.reshape(n, groups, c // groups, h, wide)
    w = w.reshape(groups, c // groups, per_group, kh, kw)
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for a in range(kh):
        for e in range(kw):
            slopes = padded[..., *under_tap((a, e), stride, dilation, (h, wide))]
            dx += np.einsum("ngkhw,gck->ngchw", slopes, w[..., a, e])
            dw[..., a, e] = np.einsum("ngkhw,ngchw->gck", slopes, x)
    return dx.reshape(n, c, h, wide), dw.reshape(c, per_group, kh, kw), dy.sum(axis=(0, 2, 3))
    # END SOLUTION
