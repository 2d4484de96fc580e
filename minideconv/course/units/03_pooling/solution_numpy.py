"""Unit 3: max pooling that remembers where its maxima were, and unpooling that puts them back.

Arrays are (N, C, H, W): images, channels, rows, columns. Every pair is (height, width). A switch is
the position of a pixel in its plane, row * W + column, an integer. `planes` is given; write the
functions below it. None of them may change its arguments.
"""

import numpy as np


def planes(array):
    """Return (N, C, H, W) as (N*C, H*W), one row for each plane. This function is given."""
    return array.reshape(array.shape[0] * array.shape[1], -1)


def max_pool2d(x, kernel_size, stride=None, padding=(0, 0)):
    """Return (y, switches): the largest pixel under each window, and its position in x.

    (N, C, H, W) -> twice (N, C, H', W') with H' = floor((H + 2*ph - kh) / sh) + 1, W' alike.
    stride None means: the kernel's size. Padding never wins: it counts as minus infinity. If
    several pixels are the largest, the first of them in row-major order wins.

        y[n, c, i, j] = max over a, e of x[n, c, i*sh + a - ph, j*sw + e - pw]
        switches[n, c, i, j] = (i*sh + a - ph) * W + (j*sw + e - pw) of that pixel

    To do: pad with -np.inf; go through the taps in order, keep the best value so far and its
    position (in x, not in the padded image).
    """
    # BEGIN SOLUTION
    stride = kernel_size if stride is None else stride
    (n, c, h, w), (kh, kw), (sh, sw), (ph, pw) = x.shape, kernel_size, stride, padding
    rows, columns = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=-np.inf)
    y = np.full((n, c, rows, columns), -np.inf, x.dtype)
    switches = np.zeros((n, c, rows, columns), np.int64)
    for a in range(kh):
        for e in range(kw):
            pixels = padded[:, :, a : a + sh * rows : sh, e : e + sw * columns : sw]
            row = np.arange(rows)[:, None] * sh + a - ph
            column = np.arange(columns) * sw + e - pw
            better = pixels > y  # of equal pixels the first stays
            y = np.where(better, pixels, y)
            switches = np.where(better, row * w + column, switches)
    return y, switches
    # END SOLUTION


def max_pool2d_backward(dy, switches, size):
    """Return dx: each gradient goes to the pixel that won; (N, C, H', W') -> (N, C, H, W).

        dx[n, c, switches[n, c, i, j]] += dy[n, c, i, j]        size is (H, W)

    To do: start with zeros; a pixel that won several windows gets the sum of their gradients.
    """
    # BEGIN SOLUTION
    n, c = dy.shape[:2]
    dx = np.zeros((n * c, size[0] * size[1]), dy.dtype)
    plane = np.arange(n * c)[:, None]
    np.add.at(dx, (plane, planes(switches)), planes(dy))
    return dx.reshape(n, c, *size)
    # END SOLUTION


def max_unpool2d(y, switches, size):
    """Return x: each value at the position of its switch, 0 elsewhere; -> (N, C, H, W).

        x[n, c, switches[n, c, i, j]] = y[n, c, i, j]           size is (H, W)

    To do: start with zeros; values are assigned. If several go to one pixel, the last of them in
    row-major order stays.
    """
    # BEGIN SOLUTION
    n, c = y.shape[:2]
    x = np.zeros((n * c, size[0] * size[1]), y.dtype)
    plane = np.arange(n * c)[:, None]
    x[plane, planes(switches)] = planes(y)  # NumPy assigns in order, so the last one stays
    return x.reshape(n, c, *size)
    # END SOLUTION


def max_unpool2d_backward(dx, switches):
    """Return dy, the gradient of `max_unpool2d` for its y: (N, C, H, W) -> (N, C, H', W').

    A value that stayed gets its pixel's gradient. One that a later value overwrote changed
    nothing: its gradient is 0.

    To do: gather at the switches; find the values that stayed (put their numbers 0, 1, 2, ... where
    the forward puts the values: the number that is found at a switch is that of the last one).
    """
    # BEGIN SOLUTION
    plane = np.arange(dx.shape[0] * dx.shape[1])[:, None]
    at = planes(switches)
    number = np.arange(at.shape[1])
    last = np.zeros(planes(dx).shape, np.int64)
    last[plane, at] = number
    stayed = last[plane, at] == number
    return np.where(stayed, planes(dx)[plane, at], 0).astype(dx.dtype).reshape(switches.shape)
    # END SOLUTION
