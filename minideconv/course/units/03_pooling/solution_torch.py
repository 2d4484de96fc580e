"""Unit 3: max pooling that remembers where its maxima were, and unpooling that puts them back.

Arrays are (N, C, H, W): images, channels, rows, columns. Every pair is (height, width). A switch is
the position of a pixel in its plane, row * W + column, an integer. `planes` is given; write the
functions below it. None of them may change its arguments.
Arrays are PyTorch tensors. Do not call torch.nn.functional: it holds what you write here.
"""

import torch


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

    To do: pad with -torch.inf; go through the taps in order, keep the best value so far and its
    position (in x, not in the padded image).
    """
    # BEGIN SOLUTION
    stride = kernel_size if stride is None else stride
    (n, c, h, w), (kh, kw), (sh, sw), (ph, pw) = x.shape, kernel_size, stride, padding
    rows, columns = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    padded = x.new_full((n, c, h + 2 * ph, w + 2 * pw), -torch.inf)
    padded[:, :, ph : ph + h, pw : pw + w] = x
    y = x.new_full((n, c, rows, columns), -torch.inf)
    switches = torch.zeros((n, c, rows, columns), dtype=torch.int64)
    for a in range(kh):
        for e in range(kw):
            pixels = padded[:, :, a : a + sh * rows : sh, e : e + sw * columns : sw]
            row = torch.arange(rows)[:, None] * sh + a - ph
            column = torch.arange(columns) * sw + e - pw
            better = pixels > y  # of equal pixels the first stays
            y = torch.where(better, pixels, y)
            switches = torch.where(better, row * w + column, switches)
    return y, switches
    # END SOLUTION


def max_pool2d_backward(dy, switches, size):
    """Return dx: each gradient goes to the pixel that won; (N, C, H', W') -> (N, C, H, W).

        dx[n, c, switches[n, c, i, j]] += dy[n, c, i, j]        size is (H, W)

    To do: start with zeros; a pixel that won several windows gets the sum of their gradients.
    """
    # BEGIN SOLUTION
    n, c = dy.shape[:2]
    dx = dy.new_zeros((n * c, size[0] * size[1]))
    dx.scatter_add_(1, planes(switches).long(), planes(dy))
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
    x = y.new_zeros((n * c, size[0] * size[1]))
    at, values, plane = planes(switches).long(), planes(y), torch.arange(n * c)
    for number in range(at.shape[1]):  # in order: PyTorch promises no order of its own
        x[plane, at[:, number]] = values[:, number]
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
    at = planes(switches).long()
    plane = torch.arange(len(at))
    last = torch.zeros(planes(dx).shape, dtype=torch.int64)
    for number in range(at.shape[1]):
        last[plane, at[:, number]] = number
    stayed = last.gather(1, at) == torch.arange(at.shape[1])
    return (planes(dx).gather(1, at) * stayed).reshape(switches.shape)
    # END SOLUTION
