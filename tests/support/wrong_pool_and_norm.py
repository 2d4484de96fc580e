"""Wrong student code for pooling, unpooling and batch norm, none of it made from the bank's.

Each is written out as a student would. `WRONG` holds the operation, the functions, and what a
message may call the mistake; an empty tuple where no name of the bank is right.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from right_pool_and_norm import two_pass_norm, two_pass_norm_backward

__all__ = ["WRONG"]

WRONG = []


def student(operation, *names):
    def keep(function):
        beside = {}
        if operation == "batch_norm_backward":
            beside["batch_norm"] = two_pass_norm
        WRONG.append((operation, {**beside, operation: function}, names))
        return function

    return keep


# max_pool2d ---------------------------------------------------------------------------------


@student("max_pool2d", "padded with zeros")
def pads_as_for_convolution(x, kernel_size, stride=None, padding=(0, 0)):
    stride = stride or kernel_size
    x = np.pad(x, [(0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2])
    view = sliding_window_view(x, kernel_size, (2, 3))[:, :, :: stride[0], :: stride[1]]
    flat = view.reshape(*view.shape[:4], -1)
    at = flat.argmax(-1)
    i, j = np.indices(at.shape[2:])
    row = i * stride[0] - padding[0] + at // kernel_size[1]
    column = j * stride[1] - padding[1] + at % kernel_size[1]
    return flat.max(-1), row * (x.shape[3] - 2 * padding[1]) + column


def naive(x, kernel_size, stride, padding, *, start, better, code, step=None):
    """Pool by loops, with what is wrong passed in."""
    kh, kw = kernel_size
    sh, sw = stride or kernel_size
    ph, pw = padding
    n, c, h, w = x.shape
    oh, ow = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    y = np.zeros((n, c, oh, ow), x.dtype)
    switches = np.zeros((n, c, oh, ow), int)
    for b in range(n):
        for k in range(c):
            for i in range(oh):
                for j in range(ow):
                    best = start
                    for a in range(kh):
                        for e in range(kw):
                            row, column = i * sh + a - ph, j * sw + e - pw
                            if row < 0 or column < 0 or row >= h or column >= w:
                                continue
                            if better(x[b, k, row, column], best):
                                best = x[b, k, row, column]
                                switches[b, k, i, j] = code(row, column, a, e, h, w)
                    y[b, k, i, j] = best
    return y, switches


@student("max_pool2d", "last maximum in place of the first")
def greater_or_equal(x, kernel_size, stride=None, padding=(0, 0)):
    return naive(x, kernel_size, stride, padding, start=-np.inf, better=lambda v, b: v >= b,
                 code=lambda r, c, a, e, h, w: r * w + c)  # fmt: skip


@student("max_pool2d", "maximum begins at 0")
def best_starts_at_zero(x, kernel_size, stride=None, padding=(0, 0)):
    return naive(x, kernel_size, stride, padding, start=0, better=lambda v, b: v > b,
                 code=lambda r, c, a, e, h, w: r * w + c)  # fmt: skip


@student("max_pool2d", "maximum begins at a finite number")
def best_starts_at_minus_1e5(x, kernel_size, stride=None, padding=(0, 0)):
    return naive(x, kernel_size, stride, padding, start=-1e5, better=lambda v, b: v > b,
                 code=lambda r, c, a, e, h, w: r * w + c)  # fmt: skip


@student("max_pool2d", "switches column by column")
def column_major(x, kernel_size, stride=None, padding=(0, 0)):
    return naive(x, kernel_size, stride, padding, start=-np.inf, better=lambda v, b: v > b,
                 code=lambda r, c, a, e, h, w: c * h + r)  # fmt: skip


@student("max_pool2d", "switches count within the window")
def within_the_window(x, kernel_size, stride=None, padding=(0, 0)):
    return naive(x, kernel_size, stride, padding, start=-np.inf, better=lambda v, b: v > b,
                 code=lambda r, c, a, e, h, w: a * kernel_size[1] + e)  # fmt: skip


@student("max_pool2d", "switches with the height as the row's length")
def row_times_height(x, kernel_size, stride=None, padding=(0, 0)):
    return naive(x, kernel_size, stride, padding, start=-np.inf, better=lambda v, b: v > b,
                 code=lambda r, c, a, e, h, w: r * h + c)  # fmt: skip


@student("max_pool2d")
def smallest_above_zero(x, kernel_size, stride=None, padding=(0, 0)):
    return naive(x, kernel_size, stride, padding, start=np.inf, better=lambda v, b: 0 < v < b,
                 code=lambda r, c, a, e, h, w: r * w + c)  # fmt: skip


@student("max_pool2d", "kernel_size taken as the stride")
def tiles(x, kernel_size, stride=None, padding=(0, 0)):
    from right_pool_and_norm import loops_pool

    return loops_pool(x, kernel_size, kernel_size, padding)


@student("max_pool2d", "minimum in place of the maximum")
def minimum(x, kernel_size, stride=None, padding=(0, 0)):
    from right_pool_and_norm import views_pool

    y, switches = views_pool(-x, kernel_size, stride, padding)
    return -y, switches


@student("max_pool2d", "switches point into the padded image")
def in_the_padded_plane(x, kernel_size, stride=None, padding=(0, 0)):
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride or kernel_size, padding
    wide = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=-np.inf)
    numbers = np.arange(wide.shape[2] * wide.shape[3]).reshape(wide.shape[2:])
    rows, columns = (wide.shape[2] - kh) // sh + 1, (wide.shape[3] - kw) // sw + 1
    y = np.zeros((*x.shape[:2], rows, columns), x.dtype)
    switches = np.zeros(y.shape, int)
    for i in range(rows):
        for j in range(columns):
            place = slice(i * sh, i * sh + kh), slice(j * sw, j * sw + kw)
            patch = wide[:, :, place[0], place[1]].reshape(*x.shape[:2], -1)
            y[:, :, i, j] = patch.max(-1)
            switches[:, :, i, j] = numbers[place].ravel()[patch.argmax(-1)]
    return y, switches


@student("max_pool2d", "output size rounded up")
def ceil_mode(x, kernel_size, stride=None, padding=(0, 0)):
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride or kernel_size, padding
    n, c, h, w = x.shape
    oh = int(np.ceil((h + 2 * ph - kh) / sh)) + 1
    ow = int(np.ceil((w + 2 * pw - kw) / sw)) + 1
    y, switches = np.full((n, c, oh, ow), -np.inf, x.dtype), np.zeros((n, c, oh, ow), int)
    for i in range(oh):
        for j in range(ow):
            rows = [r for r in range(i * sh - ph, i * sh - ph + kh) if 0 <= r < h]
            columns = [q for q in range(j * sw - pw, j * sw - pw + kw) if 0 <= q < w]
            if rows and columns:
                patch = x[:, :, rows][:, :, :, columns].reshape(n, c, -1)
                at = patch.argmax(-1)
                y[:, :, i, j] = patch.max(-1)
                switches[:, :, i, j] = (
                    np.array(rows)[at // len(columns)] * w + np.array(columns)[at % len(columns)]
                )
    return y, switches


@student("max_pool2d", "stride swapped")
def strides_the_other_way(x, kernel_size, stride=None, padding=(0, 0)):
    from right_pool_and_norm import views_pool

    sw, sh = stride or kernel_size
    return views_pool(x, kernel_size, (sh, sw), padding)


@student("max_pool2d", "switches in float64")
def float_switches(x, kernel_size, stride=None, padding=(0, 0)):
    from right_pool_and_norm import views_pool

    y, switches = views_pool(x, kernel_size, stride, padding)
    return y, switches.astype(x.dtype)


@student("max_pool2d")
def random_of_equal(x, kernel_size, stride=None, padding=(0, 0)):
    from right_pool_and_norm import views_pool

    noise = np.random.default_rng(x.size).uniform(0, 1e-3, x.shape)
    return views_pool(x, kernel_size, stride, padding)[0], views_pool(
        x + noise, kernel_size, stride, padding
    )[1]


# max_pool2d_backward ------------------------------------------------------------------------


@student("max_pool2d_backward", "assigned in place of added")
def fancy_plus(dy, switches, size):
    n, c = dy.shape[:2]
    dx = np.zeros((n, c, size[0] * size[1]), dy.dtype)
    for b in range(n):
        for k in range(c):
            dx[b, k, switches[b, k].ravel()] += dy[b, k].ravel()
    return dx.reshape(n, c, *size)


@student("max_pool2d_backward", "switches read column by column")
def decodes_by_columns(dy, switches, size):
    h, w = size
    dx = np.zeros((*dy.shape[:2], h, w), dy.dtype)
    for b, k, i, j in np.ndindex(*dy.shape):
        s = switches[b, k, i, j]
        dx[b, k, s % h, s // h] += dy[b, k, i, j]
    return dx


@student("max_pool2d_backward", "planes not told apart")
def one_flat_array(dy, switches, size):
    dx = np.zeros((*dy.shape[:2], *size), dy.dtype)
    np.add.at(dx.reshape(-1), switches.ravel(), dy.ravel())
    return dx


@student("max_pool2d_backward", "gradient copied to the whole window")
def kron(dy, switches, size):
    h, w = size[0] // dy.shape[2], size[1] // dy.shape[3]
    dx = np.zeros((*dy.shape[:2], *size), dy.dtype)
    big = np.kron(dy, np.ones((h, w), dy.dtype))
    dx[:, :, : big.shape[2], : big.shape[3]] = big
    return dx


@student("max_pool2d_backward")
def shares_and_doubles(dy, switches, size):
    from right_pool_and_norm import taps_pool_backward

    return taps_pool_backward(dy, switches, size) / 2


@student("max_pool2d_backward", "dy ignored")
def marks_the_winners(dy, switches, size):
    n, c = dy.shape[:2]
    dx = np.zeros((n * c, size[0] * size[1]), dy.dtype)
    for plane, row in enumerate(switches.reshape(n * c, -1)):
        dx[plane, row] = 1
    return dx.reshape(n, c, *size)


# max_unpool2d -------------------------------------------------------------------------------


@student("max_unpool2d", "added in place of assigned")
def same_as_pooling_backward(y, switches, size):
    n, c = y.shape[:2]
    x = np.zeros((n, c, size[0] * size[1]), y.dtype)
    for b in range(n):
        for k in range(c):
            np.add.at(x[b, k], switches[b, k].ravel(), y[b, k].ravel())
    return x.reshape(n, c, *size)


@student("max_unpool2d", "first value of a pixel kept")
def only_if_empty(y, switches, size):
    x = np.zeros((*y.shape[:2], size[0] * size[1]), y.dtype)
    filled = np.zeros(x.shape, bool)
    for b, k, i, j in np.ndindex(*y.shape):
        s = switches[b, k, i, j]
        if not filled[b, k, s]:
            x[b, k, s], filled[b, k, s] = y[b, k, i, j], True
    return x.reshape(*y.shape[:2], *size)


@student("max_unpool2d", "switches ignored: the windows' top left pixel")
def every_other_pixel(y, switches, size):
    x = np.zeros((*y.shape[:2], *size), y.dtype)
    down, right = size[0] // y.shape[2], size[1] // y.shape[3]
    x[:, :, : down * y.shape[2] : down, : right * y.shape[3] : right] = y
    return x


@student("max_unpool2d", "planes not told apart")
def put_once(y, switches, size):
    x = np.zeros((*y.shape[:2], *size), y.dtype)
    np.put(x, switches, y)
    return x


@student("max_unpool2d")
def keeps_the_sign_only(y, switches, size):
    from right_pool_and_norm import flat_unpool

    return np.sign(flat_unpool(y, switches, size))


# max_unpool2d_backward ----------------------------------------------------------------------


@student("max_unpool2d_backward", "overwritten values get a gradient")
def plain_gather(dx, switches):
    flat = dx.reshape(*dx.shape[:2], -1)
    at = switches.reshape(*switches.shape[:2], -1)
    return np.take_along_axis(flat, at, -1).reshape(switches.shape)


@student("max_unpool2d_backward", "gradient to the first value of a pixel")
def first_seen(dx, switches):
    dy = np.zeros(switches.shape, dx.dtype)
    for b in range(dx.shape[0]):
        for k in range(dx.shape[1]):
            seen = set()
            for i in range(dy.shape[2]):
                for j in range(dy.shape[3]):
                    s = int(switches[b, k, i, j])
                    if s not in seen:
                        dy[b, k, i, j] = dx[b, k].flat[s]
                    seen.add(s)
    return dy


@student("max_unpool2d_backward")
def squares(dx, switches):
    from right_pool_and_norm import flat_unpool_backward

    return flat_unpool_backward(dx * np.abs(dx), switches)


# batch_norm ---------------------------------------------------------------------------------


def normed(x, weight, bias, running_mean, running_var, training, momentum, eps, *,
           axes=(0, 2, 3), ddof=0, root=None, unbias=True, new=None, order=True):  # fmt: skip
    """Batch norm by NumPy, with what is wrong passed in."""
    shape = (1, -1, 1, 1)
    if training:
        mean = x.mean(axis=axes, keepdims=True)
        var = x.var(axis=axes, keepdims=True, ddof=ddof)
        m = x.size // x.shape[1]
        r = momentum if new is None else new
        flat_mean, flat_var = x.mean((0, 2, 3)), x.var((0, 2, 3))
        running_mean[:] = running_mean * (1 - r) + r * flat_mean
        running_var[:] = running_var * (1 - r) + r * flat_var * (m / (m - 1) if unbias else 1)
    else:
        mean, var = running_mean.reshape(shape), running_var.reshape(shape)
    scale = np.sqrt(var + eps) if root is None else root(var, eps)
    xh = (x - mean) / scale
    if not order:
        return (xh + bias.reshape(shape)) * weight.reshape(shape), None
    return xh * weight.reshape(shape) + bias.reshape(shape), None


def norm_student(*names, **wrong):
    @student("batch_norm", *names)
    def batch_norm(
        x, weight, bias, running_mean, running_var, training=True, momentum=0.1, eps=1e-5
    ):
        return normed(x, weight, bias, running_mean, running_var, training, momentum, eps, **wrong)


norm_student("normalised with the unbiased variance", ddof=1)
norm_student("statistics of each image", axes=(2, 3))
norm_student("statistics of each pixel", axes=0)
norm_student("eps outside of the root", root=lambda v, e: v**0.5 + e)
norm_student("divided by the variance", root=lambda v, e: v + e)
norm_student("running variance biased", unbias=False)
norm_student("bias added before the weight", order=False)
norm_student("momentum fixed at 0.1", new=0.1)


@student("batch_norm", "momentum reversed")
def as_in_keras(x, weight, bias, running_mean, running_var, training=True, momentum=0.1, eps=1e-5):
    return normed(x, weight, bias, running_mean, running_var, training, 1 - momentum, eps)


@student("batch_norm", "running statistics not updated")
def rebinds(x, weight, bias, running_mean, running_var, training=True, momentum=0.1, eps=1e-5):
    running_mean, running_var = running_mean.copy(), running_var.copy()
    return normed(x, weight, bias, running_mean, running_var, training, momentum, eps)


@student("batch_norm", "batch statistics in evaluation")
def forgets_the_mode(
    x, weight, bias, running_mean, running_var, training=True, momentum=0.1, eps=1e-5
):
    mean, var = running_mean.copy(), running_var.copy()
    y, cache = normed(x, weight, bias, mean, var, True, momentum, eps)
    if training:
        running_mean[:], running_var[:] = mean, var
    return y, cache


@student("batch_norm", "variance as E[x²] − E[x]²")
def one_pass(x, weight, bias, running_mean, running_var, training=True, momentum=0.1, eps=1e-5):
    if not training:
        return normed(x, weight, bias, running_mean, running_var, False, momentum, eps)
    shape, m = (1, -1, 1, 1), x.size // x.shape[1]
    sums, squares = x.sum((0, 2, 3)), (x**2).sum((0, 2, 3))
    mean = sums / m
    var = squares / m - mean**2
    running_mean[:] = (1 - momentum) * running_mean + momentum * mean
    running_var[:] = (1 - momentum) * running_var + momentum * var * m / (m - 1)
    with np.errstate(invalid="ignore"):
        xh = (x - mean.reshape(shape)) / np.sqrt(var + eps).reshape(shape)
    return (xh * weight.reshape(shape) + bias.reshape(shape)).astype(x.dtype), None


@student("batch_norm", "variance as E[x²] − E[x]²")
def one_pass_loops(
    x, weight, bias, running_mean, running_var, training=True, momentum=0.1, eps=1e-5
):
    if not training:
        return normed(x, weight, bias, running_mean, running_var, False, momentum, eps)
    y, kind = np.zeros_like(x), x.dtype.type
    for c in range(x.shape[1]):
        total, squares, m = kind(0), kind(0), 0
        for v in x[:, c].flat:
            total, squares, m = total + v, squares + v * v, m + 1
        mean = total / kind(m)
        var = max(squares / kind(m) - mean * mean, kind(0))
        running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean
        running_var[c] = (1 - momentum) * running_var[c] + momentum * var * m / (m - 1)
        y[:, c] = weight[c] * (x[:, c] - mean) / np.sqrt(var + kind(eps)) + bias[c]
    return y, None


@student("batch_norm")
def clips(x, weight, bias, running_mean, running_var, training=True, momentum=0.1, eps=1e-5):
    y, cache = normed(x, weight, bias, running_mean, running_var, training, momentum, eps)
    return np.clip(y, -2, 2), cache


@student("batch_norm")
def in_half_precision(
    x, weight, bias, running_mean, running_var, training=True, momentum=0.1, eps=1e-5
):
    y, cache = normed(x, weight, bias, running_mean, running_var, training, momentum, eps)
    return y.astype(np.float16).astype(x.dtype), cache


# batch_norm_backward ------------------------------------------------------------------------


def four(a):
    return a.reshape(1, -1, 1, 1)


@student("batch_norm_backward", "gradient through mean and variance left out")
def as_if_constant(dy, cache):
    xh, weight, inverse = cache
    return dy * four(weight * inverse), (dy * xh).sum((0, 2, 3)), dy.sum((0, 2, 3))


@student("batch_norm_backward", "weight left out")
def forgets_gamma(dy, cache):
    xh, _, inverse = cache
    _, dweight, dbias = two_pass_norm_backward(dy, cache)
    m = dy.size / dy.shape[1]
    dx = four(inverse) / m * (m * dy - four(dbias) - xh * four(dweight))
    return dx.astype(dy.dtype), dweight, dbias


@student("batch_norm_backward", "dweight and dbias interchanged")
def swapped_outputs(dy, cache):
    dx, dweight, dbias = two_pass_norm_backward(dy, cache)
    return dx, dbias, dweight


@student("batch_norm_backward", "dbias not summed over the batch")
def bias_per_image(dy, cache):
    dx, dweight, _ = two_pass_norm_backward(dy, cache)
    return dx, dweight, dy.sum((2, 3))


@student("batch_norm_backward", "gradient through the variance left out")
def one_term_short(dy, cache):
    _, weight, inverse = cache
    _, dweight, dbias = two_pass_norm_backward(dy, cache)
    slope = dy * four(weight)
    return (slope - slope.mean((0, 2, 3), keepdims=True)) * four(inverse), dweight, dbias


@student("batch_norm_backward", "sums in place of means")
def never_divides(dy, cache):
    xh, weight, inverse = cache
    _, dweight, dbias = two_pass_norm_backward(dy, cache)
    return four(weight * inverse) * (dy - four(dbias) - xh * four(dweight)), dweight, dbias


@student("batch_norm_backward", "dx not divided by M")
def forgets_one_over_m(dy, cache):
    xh, weight, inverse = cache
    _, dweight, dbias = two_pass_norm_backward(dy, cache)
    m = dy.size // dy.shape[1]
    return four(weight * inverse) * (m * dy - four(dbias) - xh * four(dweight)), dweight, dbias


@student("batch_norm_backward", "statistics of each image", "means of dy of each image")
def per_image(dy, cache):
    xh, weight, inverse = cache
    _, dweight, dbias = two_pass_norm_backward(dy, cache)
    mean, through = dy.mean((2, 3), keepdims=True), (dy * xh).mean((2, 3), keepdims=True)
    return four(weight * inverse) * (dy - mean - xh * through), dweight, dbias


@student("batch_norm_backward")
def detaches_the_inverse(dy, cache):
    dx, dweight, dbias = two_pass_norm_backward(dy, cache)
    return dx * np.abs(np.sign(dy - 1)), dweight, dbias


@student("batch_norm_backward", "dweight averaged")
def averages(dy, cache):
    dx, dweight, dbias = two_pass_norm_backward(dy, cache)
    return dx, dweight / (dy.size // dy.shape[1]), dbias


@student("batch_norm_backward", "y in place of the normalised x", "weight in dweight")
def uses_y(dy, cache):
    xh, weight, _ = cache
    dx, _, dbias = two_pass_norm_backward(dy, cache)
    return dx, (dy * (xh * four(weight))).sum((0, 2, 3)), dbias
