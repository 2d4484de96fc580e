"""Right implementations of pooling, unpooling and batch norm, as different students write them.

Each style is a dictionary of functions by the names of the contract. The kit must blame none.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from minideconv import ops
from minideconv.ops.switches import Switches

__all__ = ["STYLES"]

# Pooling ------------------------------------------------------------------------------------


def loops_pool(x, kernel_size, stride=None, padding=(0, 0)):
    kh, kw = kernel_size
    sh, sw = stride or kernel_size
    ph, pw = padding
    n, c, h, w = x.shape
    rows, columns = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    y = np.empty((n, c, rows, columns), x.dtype)
    switches = np.empty(y.shape, np.int32)
    for b in range(n):
        for k in range(c):
            for i in range(rows):
                for j in range(columns):
                    best, where = None, None
                    for a in range(i * sh - ph, i * sh - ph + kh):
                        for e in range(j * sw - pw, j * sw - pw + kw):
                            if not (0 <= a < h and 0 <= e < w):
                                continue
                            if best is None or x[b, k, a, e] > best:
                                best, where = x[b, k, a, e], a * w + e
                    y[b, k, i, j], switches[b, k, i, j] = best, where
    return y, switches


def loops_pool_backward(dy, switches, size):
    h, w = size
    n, c = dy.shape[:2]
    dx = np.zeros((n, c, h, w), dy.dtype)
    for b in range(n):
        for k in range(c):
            for i in range(dy.shape[2]):
                for j in range(dy.shape[3]):
                    s = switches[b, k, i, j]
                    dx[b, k, s // w, s % w] += dy[b, k, i, j]
    return dx


def loops_unpool(y, switches, size):
    h, w = size
    x = np.zeros((*y.shape[:2], h, w), y.dtype)
    for b, k, i, j in np.ndindex(*y.shape):
        x[b, k, switches[b, k, i, j] // w, switches[b, k, i, j] % w] = y[b, k, i, j]
    return x


def loops_unpool_backward(dx, switches):
    w = dx.shape[3]
    dy = np.zeros(switches.shape, dx.dtype)
    for b in range(dx.shape[0]):
        for k in range(dx.shape[1]):
            seen = set()
            for i in reversed(range(dy.shape[2])):
                for j in reversed(range(dy.shape[3])):
                    s = int(switches[b, k, i, j])
                    if s not in seen:
                        dy[b, k, i, j] = dx[b, k, s // w, s % w]
                        seen.add(s)
    return dy


def views_pool(x, kernel_size, stride=None, padding=(0, 0)):
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride or kernel_size, padding
    w = x.shape[3]
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=-np.inf)
    windows = sliding_window_view(padded, (kh, kw), axis=(2, 3))[:, :, ::sh, ::sw]
    flat = windows.reshape(*windows.shape[:4], -1)
    which = flat.argmax(-1)
    i, j = np.indices(which.shape)[2:]
    rows, columns = i * sh - ph + which // kw, j * sw - pw + which % kw
    return flat.max(-1), rows * w + columns


def views_pool_backward(dy, switches, size):
    n, c = dy.shape[:2]
    dx = np.zeros((n, c, size[0] * size[1]), dy.dtype)
    b, k = np.indices((n, c))
    np.add.at(dx, (b[..., None], k[..., None], switches.reshape(n, c, -1)), dy.reshape(n, c, -1))
    return dx.reshape(n, c, *size)


def views_unpool(y, switches, size):
    n, c = y.shape[:2]
    x = np.zeros((n * c, size[0] * size[1]), y.dtype)
    x[np.arange(n * c)[:, None], switches.reshape(n * c, -1)] = y.reshape(n * c, -1)
    return x.reshape(n, c, *size)


def views_unpool_backward(dx, switches):
    n, c, rows, columns = switches.shape
    flat = switches.reshape(n * c, -1)
    owner = np.full((n * c, dx.shape[2] * dx.shape[3]), -1)
    plane = np.arange(n * c)[:, None]
    numbers = np.broadcast_to(np.arange(rows * columns), flat.shape)
    owner[plane, flat] = numbers
    won = owner[plane, flat] == numbers
    return np.where(won, dx.reshape(n * c, -1)[plane, flat], 0).reshape(switches.shape)


def taps_pool(x, kernel_size, stride=None, padding=(0, 0)):
    """Keep the best so far of every window, tap by tap."""
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride or kernel_size, padding
    n, c, h, w = x.shape
    rows, columns = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    padded = np.full((n, c, h + 2 * ph, w + 2 * pw), -np.inf, x.dtype)
    padded[:, :, ph : ph + h, pw : pw + w] = x
    numbers = np.full((h + 2 * ph, w + 2 * pw), -1)
    numbers[ph : ph + h, pw : pw + w] = np.arange(h * w).reshape(h, w)
    best = np.full((n, c, rows, columns), -np.inf, x.dtype)
    switches = np.zeros(best.shape, np.int64)
    for a in range(kh):
        for e in range(kw):
            under = slice(a, a + rows * sh, sh), slice(e, e + columns * sw, sw)
            pixels = padded[:, :, under[0], under[1]][:, :, :rows, :columns]
            better = pixels > best
            best = np.where(better, pixels, best)
            switches = np.where(better, numbers[under][:rows, :columns], switches)
    return best, switches


def taps_pool_backward(dy, switches, size):
    """Compare the switches with the number of each pixel."""
    pixels = np.arange(size[0] * size[1])
    hit = switches[..., None] == pixels
    return (dy[..., None] * hit).sum((2, 3)).reshape(*dy.shape[:2], *size)


def taps_unpool(y, switches, size):
    x = np.zeros((*y.shape[:2], size[0] * size[1]), y.dtype)
    for window in np.ndindex(*y.shape[2:]):
        np.put_along_axis(x, switches[:, :, *window][..., None], y[:, :, *window][..., None], 2)
    return x.reshape(*y.shape[:2], *size)


def taps_unpool_backward(dx, switches):
    dy = np.zeros(switches.shape, dx.dtype)
    for plane in np.ndindex(*switches.shape[:2]):
        turned = switches[plane].ravel()[::-1]
        pixels, first = np.unique(turned, return_index=True)
        dy[plane].reshape(-1)[turned.size - 1 - first] = dx[plane].ravel()[pixels]
    return dy


def strided_pool(x, kernel_size, stride=None, padding=(0, 0)):
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride or kernel_size, padding
    h, w = x.shape[2:]
    rows, columns = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1

    def windows(planes, fill):
        wide = np.pad(planes, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=fill)
        s = wide.strides
        shape = (*planes.shape[:2], rows, columns, kh, kw)
        view = as_strided(wide, shape, (s[0], s[1], s[2] * sh, s[3] * sw, s[2], s[3]))
        return view.reshape(*shape[:4], kh * kw)

    values = windows(x, np.finfo(x.dtype).min)
    numbers = windows(np.arange(h * w).reshape(1, 1, h, w), 0)
    which = values.argmax(-1)[..., None]
    wide = np.broadcast_to(numbers, values.shape)
    return (
        np.take_along_axis(values, which, -1)[..., 0],
        np.take_along_axis(wide, which, -1)[..., 0],
    )


def counted_pool_backward(dy, switches, size):
    n, c = dy.shape[:2]
    area = size[0] * size[1]
    flat = switches.reshape(n * c, -1).astype(np.int64) + area * np.arange(n * c)[:, None]
    sums = np.bincount(flat.ravel(), dy.ravel(), n * c * area)
    return sums.reshape(n, c, *size).astype(dy.dtype)


def flat_unpool(y, switches, size):
    n, c = y.shape[:2]
    x = np.zeros(n * c * size[0] * size[1], y.dtype)
    starts = np.arange(n * c).reshape(n, c, 1, 1) * (size[0] * size[1])
    x[(switches + starts).ravel()] = y.ravel()
    return x.reshape(n, c, *size)


def flat_unpool_backward(dx, switches):
    """A switch loses if any later window has the same."""
    flat = switches.reshape(*switches.shape[:2], -1)
    later = np.triu(np.ones((flat.shape[2],) * 2, bool), 1)
    lost = ((flat[..., :, None] == flat[..., None, :]) & later).any(-1)
    taken = np.take_along_axis(dx.reshape(*dx.shape[:2], -1), flat, 2)
    return (taken * ~lost).reshape(switches.shape)


def ours_pool(x, kernel_size, stride=None, padding=(0, 0)):
    y, switches = ops.max_pool2d(x, kernel_size, stride, padding, return_switches=True)
    return y, switches.indices


def ours_pool_backward(dy, switches, size):
    return ops.max_pool2d_backward(dy, Switches(switches, size))


def ours_unpool(y, switches, size):
    return ops.max_unpool2d(y, Switches(switches, size))


def ours_unpool_backward(dx, switches):
    return ops.max_unpool2d_backward(dx, Switches(switches, dx.shape[2:]))


# Batch norm ---------------------------------------------------------------------------------


def channel(a):
    return a.reshape(1, -1, 1, 1)


def follow(running_mean, running_var, mean, unbiased, momentum):
    running_mean[...] = (1 - momentum) * running_mean + momentum * mean
    running_var *= 1 - momentum
    running_var += momentum * unbiased


def two_pass_norm(
    x, weight, bias, running_mean, running_var, training=True, momentum=0.1, eps=1e-5
):
    if training:
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
        count = x.size // x.shape[1]
        follow(running_mean, running_var, mean, var * count / (count - 1), momentum)
    else:
        mean, var = running_mean, running_var
    inverse = 1 / np.sqrt(var + eps)
    xh = (x - channel(mean)) * channel(inverse)
    return channel(weight) * xh + channel(bias), (xh, weight, inverse)


def two_pass_norm_backward(dy, cache):
    xh, weight, inverse = cache
    dbias, dweight = dy.sum((0, 2, 3)), (dy * xh).sum((0, 2, 3))
    count = dy.size // dy.shape[1]
    dx = channel(weight * inverse) * (dy - channel(dbias) / count - xh * channel(dweight) / count)
    return dx, dweight, dbias


def welford_norm(x, weight, bias, running_mean, running_var, training=True, momentum=0.1, eps=1e-5):
    """One pass, value by value; loops everywhere."""
    y, kind = np.empty_like(x), x.dtype.type
    means, inverses = [], []
    for c in range(x.shape[1]):
        if training:
            count, mean, squares = 0, kind(0), kind(0)
            for value in x[:, c].ravel():
                count += 1
                before = value - mean
                mean = kind(mean + before / kind(count))
                squares = kind(squares + before * (value - mean))
            var = kind(squares / kind(count))
            running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean
            running_var[c] = (1 - momentum) * running_var[c] + momentum * squares / (count - 1)
        else:
            mean, var = running_mean[c], running_var[c]
        inverse = kind(1 / np.sqrt(var + kind(eps)))
        means.append(mean)
        inverses.append(inverse)
        for n, i, j in np.ndindex(x.shape[0], *x.shape[2:]):
            y[n, c, i, j] = weight[c] * ((x[n, c, i, j] - mean) * inverse) + bias[c]
    return y, (x, weight, means, inverses)


def welford_norm_backward(dy, cache):
    x, weight, means, inverses = cache
    dx = np.empty_like(x)
    dweight, dbias = np.zeros_like(weight), np.zeros_like(weight)
    count = x.size // x.shape[1]
    for c in range(x.shape[1]):
        for n, i, j in np.ndindex(x.shape[0], *x.shape[2:]):
            dbias[c] += dy[n, c, i, j]
            dweight[c] += dy[n, c, i, j] * ((x[n, c, i, j] - means[c]) * inverses[c])
        for n, i, j in np.ndindex(x.shape[0], *x.shape[2:]):
            xh = (x[n, c, i, j] - means[c]) * inverses[c]
            slope = count * dy[n, c, i, j] - dbias[c] - xh * dweight[c]
            dx[n, c, i, j] = weight[c] * inverses[c] * slope / count
    return dx, dweight, dbias


def staged_norm(x, weight, bias, running_mean, running_var, training=True, momentum=0.1, eps=1e-5):
    """Step by step over rows of (N H W, C), as courses derive it."""
    n, c, h, w = x.shape
    flat = x.transpose(0, 2, 3, 1).reshape(-1, c)
    if not training:
        y = (flat - running_mean) / np.sqrt(running_var + eps) * weight + bias
        return y.reshape(n, h, w, c).transpose(0, 3, 1, 2), None
    count = len(flat)
    mu = 1.0 / count * np.sum(flat, axis=0)
    xmu = flat - mu
    sq = xmu**2
    var = 1.0 / count * np.sum(sq, axis=0)
    sqrtvar = np.sqrt(var + eps)
    ivar = 1.0 / sqrtvar
    xhat = xmu * ivar
    out = weight * xhat + bias
    follow(running_mean, running_var, mu, sq.sum(0) / (count - 1), momentum)
    return (
        out.reshape(n, h, w, c).transpose(0, 3, 1, 2),
        (xhat, weight, xmu, ivar, sqrtvar, var, eps, (n, h, w, c)),
    )


def staged_norm_backward(dy, cache):
    xhat, weight, xmu, ivar, sqrtvar, var, eps, shape = cache
    dout = dy.transpose(0, 2, 3, 1).reshape(-1, shape[3])
    count, c = dout.shape
    dbias = np.sum(dout, axis=0)
    dweight = np.sum(dout * xhat, axis=0)
    dxhat = dout * weight
    divar = np.sum(dxhat * xmu, axis=0)
    dxmu1 = dxhat * ivar
    dsqrtvar = -1.0 / (sqrtvar**2) * divar
    dvar = 0.5 * 1.0 / np.sqrt(var + eps) * dsqrtvar
    dsq = 1.0 / count * np.ones((count, c), dout.dtype) * dvar
    dxmu2 = 2 * xmu * dsq
    dx1 = dxmu1 + dxmu2
    dmu = -1 * np.sum(dx1, axis=0)
    dx2 = 1.0 / count * np.ones((count, c), dout.dtype) * dmu
    dx = dx1 + dx2
    return dx.reshape(shape).transpose(0, 3, 1, 2), dweight, dbias


def paper_norm(x, weight, bias, running_mean, running_var, training=True, momentum=0.1, eps=1e-5):
    """The paper's symbols; its gradient by the variance's power -3/2."""
    axes = (0, 2, 3)
    mean = x.mean(axes, keepdims=True) if training else channel(running_mean)
    if training:
        var = np.mean((x - mean) ** 2, axes, keepdims=True)
        count = x.size / x.shape[1]
        unbiased = var.ravel() * (count / (count - 1))
        follow(running_mean, running_var, mean.ravel(), unbiased, momentum)
    else:
        var = channel(running_var)
    scale = channel(weight) / np.sqrt(var + eps)
    y = x * scale + (channel(bias) - mean * scale)  # folded into one affine map
    return y.astype(x.dtype), (x, mean, var, weight, eps)


def paper_norm_backward(dy, cache):
    x, mean, var, weight, eps = cache
    axes, count = (0, 2, 3), x.size // x.shape[1]
    dxh = dy * channel(weight)
    inverse = (var + eps) ** -0.5
    dvar = np.sum(dxh * (x - mean) * -0.5 * (var + eps) ** -1.5, axes, keepdims=True)
    dmean = np.sum(dxh * -inverse, axes, keepdims=True)
    dmean = dmean + dvar * np.mean(-2 * (x - mean), axes, keepdims=True)
    dx = dxh * inverse + dvar * 2 * (x - mean) / count + dmean / count
    dweight = np.einsum("nchw,nchw->c", dy, (x - mean) * inverse)
    return dx, dweight, np.einsum("nchw->c", dy)


def wide_norm(x, weight, bias, running_mean, running_var, training=True, momentum=0.1, eps=1e-5):
    """E[x^2] - E[x]^2 is right for float32 in float64; the running statistics are returned."""
    wide = x.astype(np.float64)
    mean, var = running_mean.astype(np.float64), running_var.astype(np.float64)
    if training:
        count = x.size // x.shape[1]
        shifted = wide - wide[:1, :, :1, :1]  # about one of the values
        mean = shifted.mean((0, 2, 3))
        var = np.maximum((shifted**2).mean((0, 2, 3)) - mean**2, 0)
        mean = mean + wide[0, :, 0, 0]
        running_mean = ((1 - momentum) * running_mean + momentum * mean).astype(x.dtype)
        unbiased = var * count / (count - 1)
        running_var = ((1 - momentum) * running_var + momentum * unbiased).astype(x.dtype)
    xh = (wide - channel(mean)) / np.sqrt(channel(var) + eps)
    y = (channel(weight) * xh + channel(bias)).astype(x.dtype)
    return y, {"xh": xh, "std": np.sqrt(var + eps), "weight": weight}, running_mean, running_var


def wide_norm_backward(dy, cache):
    xh, weight = cache["xh"], cache["weight"]
    slope = dy.astype(np.float64) * channel(weight)
    dx = slope - slope.mean((0, 2, 3), keepdims=True)
    dx = (dx - xh * (slope * xh).mean((0, 2, 3), keepdims=True)) / channel(cache["std"])
    sums = (dy * xh).sum((0, 2, 3)), dy.sum((0, 2, 3), dtype=np.float64)
    return dx.astype(dy.dtype), *(s.astype(dy.dtype) for s in sums)


def projected_norm_backward(dy, cache):
    """Take the parts along 1 and along xh out of each channel of dy, by a matrix."""
    xh, weight, inverse = cache
    n, c, h, w = dy.shape
    flat = dy.transpose(1, 0, 2, 3).reshape(c, -1)
    rows = xh.transpose(1, 0, 2, 3).reshape(c, -1)
    dx = np.empty_like(flat)
    for k in range(c):
        count = flat.shape[1]
        matrix = np.eye(count, dtype=dy.dtype) - 1 / dy.dtype.type(count)
        matrix -= np.outer(rows[k], rows[k]) / count
        dx[k] = weight[k] * inverse[k] * (matrix @ flat[k])
    back = dx.reshape(c, n, h, w).transpose(1, 0, 2, 3)
    return back, (flat * rows).sum(1), flat.sum(1)


def plain_norm(x, weight, bias, running_mean, running_var, training=True, momentum=0.1, eps=1e-5):
    """Lists of Python numbers for the statistics (float64), arrays for the rest."""
    count = x.size // x.shape[1]
    y, xh, inverses = np.empty_like(x), np.empty_like(x), []
    for c in range(x.shape[1]):
        values = [float(v) for v in x[:, c].ravel()]
        mean = sum(values) / count if training else float(running_mean[c])
        if training:
            squares = sum((v - mean) ** 2 for v in values)
            var = squares / count
            running_mean[c] += momentum * (mean - running_mean[c])
            running_var[c] += momentum * (squares / (count - 1) - running_var[c])
        else:
            var = float(running_var[c])
        inverses.append(1 / sqrt(var + eps))
        xh[:, c] = (x[:, c].astype(float) - mean) * inverses[c]
        y[:, c] = weight[c] * xh[:, c] + bias[c]
    return y, (xh, weight, np.array(inverses, x.dtype))


def ours_norm(x, weight, bias, running_mean, running_var, training=True, momentum=0.1, eps=1e-5):
    y, saved = ops.batch_norm(
        x, running_mean, running_var, weight, bias, training, momentum, eps, return_saved=True
    )
    return y, (x, saved, weight, training)


def ours_norm_backward(dy, cache):
    x, saved, weight, training = cache
    return ops.batch_norm_backward(dy, x, saved, weight, training)


STYLES = {
    "loops": {
        "max_pool2d": loops_pool,
        "max_pool2d_backward": loops_pool_backward,
        "max_unpool2d": loops_unpool,
        "max_unpool2d_backward": loops_unpool_backward,
        "batch_norm": welford_norm,
        "batch_norm_backward": welford_norm_backward,
    },
    "views": {
        "max_pool2d": views_pool,
        "max_pool2d_backward": views_pool_backward,
        "max_unpool2d": views_unpool,
        "max_unpool2d_backward": views_unpool_backward,
        "batch_norm": two_pass_norm,
        "batch_norm_backward": two_pass_norm_backward,
    },
    "taps": {
        "max_pool2d": taps_pool,
        "max_pool2d_backward": taps_pool_backward,
        "max_unpool2d": taps_unpool,
        "max_unpool2d_backward": taps_unpool_backward,
        "batch_norm": staged_norm,
        "batch_norm_backward": staged_norm_backward,
    },
    "strides": {
        "max_pool2d": strided_pool,
        "max_pool2d_backward": counted_pool_backward,
        "max_unpool2d": flat_unpool,
        "max_unpool2d_backward": flat_unpool_backward,
        "batch_norm": paper_norm,
        "batch_norm_backward": paper_norm_backward,
    },
    "float64": {"batch_norm": wide_norm, "batch_norm_backward": wide_norm_backward},
    "projection": {"batch_norm": two_pass_norm, "batch_norm_backward": projected_norm_backward},
    "lists": {"batch_norm": plain_norm, "batch_norm_backward": two_pass_norm_backward},
    "ours": {
        "max_pool2d": ours_pool,
        "max_pool2d_backward": ours_pool_backward,
        "max_unpool2d": ours_unpool,
        "max_unpool2d_backward": ours_unpool_backward,
        "batch_norm": ours_norm,
        "batch_norm_backward": ours_norm_backward,
    },
}
