"""Unit 1: convolution, as a sum over windows and as a matrix product.

Arrays are (N, C, H, W): images, channels, rows, columns. Every pair is (height, width).
`out_size` is given; write the four functions below it. None of them may change its arguments.
"""

import numpy as np


def out_size(size, kernel_size, stride, padding, dilation):
    """Return (H', W'): how many windows fit along each axis. This function is given."""
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel_size, stride, padding, dilation)
    )


def im2col(x, kernel_size, stride=(1, 1), padding=(0, 0), dilation=(1, 1)):
    """Lay every window out as a column: (N, C, H, W) -> (N, C*kh*kw, H'*W').

    Row (c, a, e) of the result is tap (a, e) of channel c; column (i, j) is the window of output
    pixel (i, j). Both are in row-major order. Outside of the image x is 0.

        columns[n, (c, a, e), (i, j)] = x[n, c, i*sh + a*dh - ph, j*sw + e*dw - pw]

    To do: pad x; for each tap take the pixels that all windows have under it, which is one slice
    with a step; give the result its shape at the end.
    """
    # BEGIN SOLUTION
    n, c, h, w = x.shape
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = kernel_size, stride, padding, dilation
    down, across = out_size((h, w), kernel_size, stride, padding, dilation)
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    columns = np.zeros((n, c, kh, kw, down, across), x.dtype)
    for a in range(kh):
        for e in range(kw):
            under_tap = (
                slice(a * dh, a * dh + sh * (down - 1) + 1, sh),
                slice(e * dw, e * dw + sw * (across - 1) + 1, sw),
            )
            columns[:, :, a, e] = padded[:, :, *under_tap]
    return columns.reshape(n, c * kh * kw, down * across)
    # END SOLUTION


def col2im(columns, output_size, kernel_size, stride=(1, 1), padding=(0, 0), dilation=(1, 1)):
    """Add every column back to where its window was: (N, C*kh*kw, H'*W') -> (N, C, H, W).

    This is the transpose of `im2col`, not its inverse: a pixel that several windows saw gets the
    sum of what they bring. `output_size` is (H, W), which the columns alone do not tell.

        x[n, c, i*sh + a*dh - ph, j*sw + e*dw - pw] += columns[n, (c, a, e), (i, j)]

    To do: start with zeros of the padded size; for each tap add to the slice that `im2col` reads;
    cut the padding off at the end.
    """
    # BEGIN SOLUTION
    (h, w), (kh, kw), (ph, pw) = output_size, kernel_size, padding
    (sh, sw), (dh, dw) = stride, dilation
    down, across = out_size(output_size, kernel_size, stride, padding, dilation)
    n, c = columns.shape[0], columns.shape[1] // (kh * kw)
    columns = columns.reshape(n, c, kh, kw, down, across)
    padded = np.zeros((n, c, h + 2 * ph, w + 2 * pw), columns.dtype)
    for a in range(kh):
        for e in range(kw):
            under_tap = (
                slice(a * dh, a * dh + sh * (down - 1) + 1, sh),
                slice(e * dw, e * dw + sw * (across - 1) + 1, sw),
            )
            padded[:, :, *under_tap] += columns[:, :, a, e]
    return padded[:, :, ph : ph + h, pw : pw + w]
    # END SOLUTION


def conv2d(x, w, b=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """Convolve: x (N, C, H, W), w (K, C/groups, kh, kw), b (K,) -> y (N, K, H', W').

        y[n, k, i, j] = b[k] + sum over c, a, e of
                        x[n, c, i*sh + a*dh - ph, j*sw + e*dw - pw] * w[k, c, a, e]

    The kernel is not flipped. With groups, the first K/groups output channels see the first
    C/groups input channels, the next ones the next, and so on.

    To do: `im2col`, one matrix product for each group, the bias if there is one, the shape.
    """
    # BEGIN SOLUTION
    n, k = x.shape[0], w.shape[0]
    down, across = out_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    columns = im2col(x, w.shape[2:], stride, padding, dilation)
    columns = columns.reshape(n, groups, -1, down * across)
    y = w.reshape(groups, k // groups, -1) @ columns
    y = y.reshape(n, k, down, across)
    return y if b is None else y + b[:, None, None]
    # END SOLUTION


def conv2d_backward(dy, x, w, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """Return (dx, dw, db) of shapes like x, w, b; dy (N, K, H', W') is the gradient of y.

    With W the kernels as a matrix (K rows) and y = W @ columns + b for each image:

        dx = col2im(W.T @ dy),    dw = sum over images of dy @ columns.T,    db = sum of dy

    To do: the same columns and groups as in the forward; then these three lines.
    """
    # BEGIN SOLUTION
    n, k = x.shape[0], w.shape[0]
    columns = im2col(x, w.shape[2:], stride, padding, dilation)
    columns = columns.reshape(n, groups, -1, columns.shape[2])
    slopes = dy.reshape(n, groups, k // groups, -1)
    matrix = w.reshape(groups, k // groups, -1)
    dcolumns = (matrix.swapaxes(1, 2) @ slopes).reshape(n, -1, slopes.shape[3])
    dx = col2im(dcolumns, x.shape[2:], w.shape[2:], stride, padding, dilation)
    dw = (slopes @ columns.swapaxes(2, 3)).sum(axis=0).reshape(w.shape)
    db = dy.sum(axis=(0, 2, 3))
    return dx, dw, db
    # END SOLUTION
