"""Right implementations of the testing kit's operations, for `benchmarks.false_alarms`.

Each is a dictionary of functions of the contract's signature by their operations, over one kind of
arrays. They share no code with the kit's own naive loops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.right_fourier import FUNCTIONS
from minideconv import functional as F
from minideconv import ops
from minideconv.ops.switches import Switches
from minideconv.testing.adapters import Limits

__all__ = ["IMPLEMENTATIONS", "Implementation"]


class Implementation(NamedTuple):
    """Functions over one kind of arrays, with what some of them cannot do."""

    arrays: str
    functions: dict[str, Any]
    limits: dict[str, Limits]


def ours() -> Implementation:
    """The array functions of minideconv.ops."""

    def conv_transpose2d_backward(dy, x, w, *, output_padding, **settings):
        return ops.conv_transpose2d_backward(dy, x, w, **settings)  # it follows from dy

    def max_pool2d(x, kernel_size, stride, padding):
        y, switches = ops.max_pool2d(x, kernel_size, stride, padding, return_switches=True)
        return y, switches.indices

    def batch_norm(x, weight, bias, mean, var, **settings):
        y, saved = ops.batch_norm(x, mean, var, weight, bias, return_saved=True, **settings)
        return y, (x, saved, weight)

    def batch_norm_backward(dy, cache):
        x, saved, weight = cache
        return ops.batch_norm_backward(dy, x, saved, weight)

    return Implementation(
        "numpy",
        {
            "im2col": ops.im2col,
            "col2im": lambda columns, **settings: ops.col2im(columns, **settings),
            "conv2d": ops.conv2d,
            "conv2d_backward": ops.conv2d_backward,
            "conv_matrix": lambda w, size, **settings: ops.conv_matrix(w, size, **settings),
            "conv_transpose2d": ops.conv_transpose2d,
            "conv_transpose2d_backward": conv_transpose2d_backward,
            "max_pool2d": max_pool2d,
            "max_pool2d_backward": lambda dy, switches, size: ops.max_pool2d_backward(
                dy, Switches(switches, size)
            ),
            "max_unpool2d": lambda y, switches, size: ops.max_unpool2d(y, Switches(switches, size)),
            "max_unpool2d_backward": lambda dx, switches: ops.max_unpool2d_backward(
                dx, Switches(switches, dx.shape[2:])
            ),
            "batch_norm": batch_norm,
            "batch_norm_backward": batch_norm_backward,
        },
        {},
    )


def tensors() -> Implementation:
    """minideconv's Tensors: each backward is that of the tape."""
    from minideconv import Tensor, no_grad

    def batch_norm(x, weight, bias, mean, var, *, training, momentum, eps):
        with no_grad():
            means = mean.data, var.data
        return F.batch_norm(x, *means, weight, bias, training, momentum, eps), None

    functions: dict[str, Any] = {
        "conv2d": F.conv2d,
        "conv_transpose2d": F.conv_transpose2d,
        "batch_norm": batch_norm,
    }
    return Implementation("tensor", {**_with_autograd(functions), "tape": Tensor}, {})


def pytorch() -> Implementation:
    """PyTorch's functions; each backward is that of its autograd."""
    import torch
    from torch.nn import functional as T

    torch.set_num_threads(1)

    def batch_norm(x, weight, bias, mean, var, *, training, momentum, eps):
        return T.batch_norm(x, mean, var, weight, bias, training, momentum, eps), None

    def conv_matrix(w, size, stride, padding):
        pixels = w.shape[1] * size[0] * size[1]
        each = torch.eye(pixels, dtype=w.dtype).reshape(pixels, w.shape[1], *size)
        return T.conv2d(each, w, None, stride, padding).reshape(pixels, -1).T

    def max_unpool2d(y, switches, size):
        # The kernel only serves to find a size, which is given; the backward of PyTorch 2.13 raises
        # where the switches are a strided view.
        given = switches.contiguous()
        if tuple(y.shape[2:]) == size:
            return T.max_unpool2d(y, given, 1, 1, output_size=size)
        plane = y.new_zeros((*y.shape[:2], size[0] * size[1]))
        return plane.scatter(2, given.flatten(2), y.flatten(2)).reshape(*y.shape[:2], *size)

    functions: dict[str, Any] = {
        "im2col": lambda x, kernel_size, stride, padding, dilation: T.unfold(
            x, kernel_size, dilation, padding, stride
        ),
        "col2im": lambda columns, output_size, kernel_size, stride, padding, dilation: T.fold(
            columns, output_size, kernel_size, dilation, padding, stride
        ),
        "conv2d": lambda x, w, b=None, *, stride, padding, dilation, groups: T.conv2d(
            x, w, b, stride, padding, dilation, groups
        ),
        "conv_matrix": conv_matrix,
        "conv_transpose2d": (
            lambda x, w, b=None, *, stride, padding, output_padding, groups, dilation: (
                T.conv_transpose2d(x, w, b, stride, padding, output_padding, groups, dilation)
            )
        ),
        "max_pool2d": lambda x, kernel_size, stride, padding: T.max_pool2d(
            x, kernel_size, stride, padding, return_indices=True
        ),
        "max_unpool2d": max_unpool2d,
        "batch_norm": batch_norm,
    }
    # Where several windows chose a pixel, PyTorch gives its gradient to each of them.
    apart = Limits(fits=lambda g: not g.overlaps)
    return Implementation(
        "torch", _with_autograd(functions), {"max_unpool2d": apart, "max_unpool2d_backward": apart}
    )


def jax_functions() -> Implementation:
    """JAX's lax functions; each backward is that of its autograd."""
    import jax
    import jax.numpy as jnp

    def conv2d(x, w, b=None, *, stride, padding, dilation, groups):
        y = jax.lax.conv_general_dilated(
            x, w, stride, [(p, p) for p in padding], rhs_dilation=dilation,
            feature_group_count=groups,
        )  # fmt: skip
        return y if b is None else y + b[:, None, None]

    def batch_norm(x, weight, bias, mean, var, *, training, momentum, eps):
        if training:
            now, spread = x.mean((0, 2, 3)), x.var((0, 2, 3))
            count = x.size / x.shape[1]
            mean = (1 - momentum) * mean + momentum * now
            var = (1 - momentum) * var + momentum * spread * (count / (count - 1))
        else:
            now, spread = mean, var
        scaled = (x - now[:, None, None]) / jnp.sqrt(spread + eps)[:, None, None]
        return weight[:, None, None] * scaled + bias[:, None, None], None, mean, var

    return Implementation("jax", _with_autograd({"conv2d": conv2d, "batch_norm": batch_norm}), {})


def loops() -> Implementation:
    """Loops over pixels and taps in the arrays' own dtype."""

    def max_pool2d(x, kernel_size, stride, padding):
        (n, c, h, w), (kh, kw), (ph, pw) = x.shape, kernel_size, padding
        sh, sw = kernel_size if stride is None else stride
        size = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
        y, switches = np.zeros((n, c, *size), x.dtype), np.zeros((n, c, *size), np.int64)
        for place in np.ndindex(*y.shape):
            best = None
            for a in range(kh):
                for e in range(kw):
                    row, column = place[2] * sh - ph + a, place[3] * sw - pw + e
                    if 0 <= row < h and 0 <= column < w:
                        value = x[place[0], place[1], row, column]
                        if best is None or value > best[0]:
                            best = value, row * w + column
            y[place], switches[place] = best
        return y, switches

    def max_pool2d_backward(dy, switches, size):
        dx = np.zeros((*dy.shape[:2], *size), dy.dtype)
        for n, c, i, j in np.ndindex(*dy.shape):
            dx[n, c].flat[switches[n, c, i, j]] += dy[n, c, i, j]
        return dx

    def max_unpool2d(y, switches, size):
        x = np.zeros((*y.shape[:2], *size), y.dtype)
        for n, c, i, j in np.ndindex(*y.shape):
            x[n, c].flat[switches[n, c, i, j]] = y[n, c, i, j]
        return x

    def max_unpool2d_backward(dx, switches):
        dy = np.zeros(switches.shape, dx.dtype)
        for n, c in np.ndindex(*dx.shape[:2]):
            for pixel in np.unique(switches[n, c]):
                last = np.flatnonzero(switches[n, c].ravel() == pixel)[-1]
                dy[n, c].flat[last] = dx[n, c].flat[pixel]
        return dy

    def batch_norm(x, weight, bias, mean, var, *, training, momentum, eps):
        y, scaled = np.zeros_like(x), np.zeros_like(x)
        stds = np.zeros_like(weight)
        for c in range(x.shape[1]):
            values = x[:, c]
            centre, spread = (values.mean(), values.var()) if training else (mean[c], var[c])
            if training:
                rest = values.size / (values.size - 1)
                mean[c] = (1 - momentum) * mean[c] + momentum * centre
                var[c] = (1 - momentum) * var[c] + momentum * spread * rest
            stds[c] = np.sqrt(spread + eps)
            scaled[:, c] = (values - centre) / stds[c]
            y[:, c] = weight[c] * scaled[:, c] + bias[c]
        return y, (scaled, weight, stds)

    def batch_norm_backward(dy, cache):
        scaled, weight, stds = cache
        dx, dweight, dbias = np.zeros_like(dy), np.zeros_like(weight), np.zeros_like(weight)
        for c in range(dy.shape[1]):
            slope, s = dy[:, c], scaled[:, c]
            dweight[c], dbias[c] = (slope * s).sum(), slope.sum()
            dx[:, c] = weight[c] / stds[c] * (slope - slope.mean() - s * (slope * s).mean())
        return dx, dweight, dbias

    return Implementation(
        "numpy",
        {
            "conv2d": _filled(_conv2d_loop),
            "conv2d_backward": _conv2d_backward_with(_conv2d_backward_loop),
            "max_pool2d": max_pool2d,
            "max_pool2d_backward": max_pool2d_backward,
            "max_unpool2d": max_unpool2d,
            "max_unpool2d_backward": max_unpool2d_backward,
            "batch_norm": batch_norm,
            "batch_norm_backward": batch_norm_backward,
        },
        {},
    )


def compiled_loops() -> Implementation:
    """The same loops of convolution, compiled by numba."""
    import numba

    return Implementation(
        "numpy",
        {
            "conv2d": _filled(numba.njit(_conv2d_loop)),
            "conv2d_backward": _conv2d_backward_with(numba.njit(_conv2d_backward_loop)),
        },
        {},
    )


def scipy_functions() -> Implementation:
    """Convolution by scipy.signal.correlate2d, at stride 1 and then thinned out."""
    from scipy.signal import convolve2d, correlate2d

    def spread(w, dilation):
        size = [d * (k - 1) + 1 for d, k in zip(dilation, w.shape[2:], strict=True)]
        wide = np.zeros((*w.shape[:2], *size), w.dtype)
        wide[:, :, :: dilation[0], :: dilation[1]] = w
        return wide

    def each(x, w, groups):
        per_in, per_out = x.shape[1] // groups, w.shape[0] // groups
        for k in range(w.shape[0]):
            for c in range(per_in):
                yield k, c, k // per_out * per_in + c

    def conv2d(x, w, b=None, *, stride, padding, dilation, groups):
        (ph, pw), (sh, sw), wide = padding, stride, spread(w, dilation)
        padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
        size = [p - k + 1 for p, k in zip(padded.shape[2:], wide.shape[2:], strict=True)]
        y = np.zeros((len(x), len(w), *size), x.dtype)
        for n in range(len(x)):
            for k, c, channel in each(x, w, groups):
                y[n, k] += correlate2d(padded[n, channel], wide[k, c], "valid")
        y = y[:, :, ::sh, ::sw]
        return y if b is None else y + b[:, None, None]

    def conv2d_backward(dy, x, w, stride, padding, dilation, groups):
        (ph, pw), wide = padding, spread(w, dilation)
        padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
        size = [p - k + 1 for p, k in zip(padded.shape[2:], wide.shape[2:], strict=True)]
        full = np.zeros((*dy.shape[:2], *size), dy.dtype)
        full[:, :, :: stride[0], :: stride[1]] = dy
        dpadded, dwide = np.zeros_like(padded), np.zeros_like(wide)
        for n in range(len(x)):
            for k, c, channel in each(x, w, groups):
                dpadded[n, channel] += convolve2d(full[n, k], wide[k, c])
                dwide[k, c] += correlate2d(padded[n, channel], full[n, k], "valid")
        h, width = x.shape[2:]
        dx = dpadded[:, :, ph : ph + h, pw : pw + width]
        return dx, dwide[:, :, :: dilation[0], :: dilation[1]], dy.sum((0, 2, 3))

    return Implementation("numpy", {"conv2d": conv2d, "conv2d_backward": conv2d_backward}, {})


def _with_autograd(functions: dict[str, Any]) -> dict[str, Any]:
    from minideconv.testing.operations import OPERATIONS

    backwards = [f"{name}_backward" for name in functions]
    return {**functions, **{name: "autograd" for name in backwards if name in OPERATIONS}}


def _filled(loop: Callable[..., None]) -> Callable[..., Any]:
    """Return conv2d by a loop that fills its last argument."""

    def conv2d(x, w, b=None, *, stride, padding, dilation, groups):
        size = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(
                x.shape[2:], w.shape[2:], stride, padding, dilation, strict=True
            )
        ]
        y = np.zeros((len(x), len(w), *size), x.dtype)
        if b is not None:
            y += b[:, None, None]
        loop(np.array(x, order="C"), np.array(w, order="C"), stride, padding, dilation, groups, y)
        return y

    return conv2d


def _conv2d_loop(x, w, stride, padding, dilation, groups, y):
    per_in, per_out = w.shape[1], w.shape[0] // groups
    for n in range(y.shape[0]):
        for k in range(y.shape[1]):
            for i in range(y.shape[2]):
                for j in range(y.shape[3]):
                    for c in range(per_in):
                        for a in range(w.shape[2]):
                            for e in range(w.shape[3]):
                                row = i * stride[0] + a * dilation[0] - padding[0]
                                column = j * stride[1] + e * dilation[1] - padding[1]
                                if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                                    pixel = x[n, k // per_out * per_in + c, row, column]
                                    y[n, k, i, j] += pixel * w[k, c, a, e]


def _conv2d_backward_with(loop: Callable[..., None]) -> Callable[..., Any]:
    def conv2d_backward(dy, x, w, stride, padding, dilation, groups):
        dx, dw, db = np.zeros(x.shape, x.dtype), np.zeros(w.shape, w.dtype), dy.sum((0, 2, 3))
        arrays = [np.array(array, order="C") for array in (dy, x, w)]
        loop(*arrays, stride, padding, dilation, groups, dx, dw)
        return dx, dw, db

    return conv2d_backward


def _conv2d_backward_loop(dy, x, w, stride, padding, dilation, groups, dx, dw):
    per_in, per_out = w.shape[1], w.shape[0] // groups
    for n in range(dy.shape[0]):
        for k in range(dy.shape[1]):
            for i in range(dy.shape[2]):
                for j in range(dy.shape[3]):
                    for c in range(per_in):
                        for a in range(w.shape[2]):
                            for e in range(w.shape[3]):
                                row = i * stride[0] + a * dilation[0] - padding[0]
                                column = j * stride[1] + e * dilation[1] - padding[1]
                                if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                                    channel = k // per_out * per_in + c
                                    slope = dy[n, k, i, j]
                                    dx[n, channel, row, column] += slope * w[k, c, a, e]
                                    dw[k, c, a, e] += slope * x[n, channel, row, column]


IMPLEMENTATIONS: dict[str, Callable[[], Implementation]] = {
    "minideconv": ours,
    "minideconv's tape": tensors,
    "PyTorch": pytorch,
    "JAX": jax_functions,
    "loops": loops,
    "scipy.signal": scipy_functions,
    "numba": compiled_loops,
    "FFT": lambda: Implementation("numpy", FUNCTIONS, {}),
}
"""The implementations by their names; each imports what it needs when it is called."""
