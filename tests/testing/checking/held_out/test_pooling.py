"""Wrong pooling and unpooling as students hand them in: whole functions, none from the bank."""

from __future__ import annotations

import numpy as np
import pytest
from held_out import Submissions

pytestmark = pytest.mark.cpu

submissions = Submissions()
submitted = submissions.submitted


def pooled(x, kernel, stride, padding, code=None):
    """Pool by loops; ``code(row, column, a, e, i, j)`` makes the switches."""
    (kh, kw), (sh, sw), (ph, pw) = kernel, stride or kernel, padding
    n, c, h, w = x.shape
    size = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    y, switches = np.zeros((n, c, *size), x.dtype), np.zeros((n, c, *size), int)
    for image, channel, i, j in np.ndindex(*y.shape):
        best = None
        for a in range(kh):
            for e in range(kw):
                row, column = i * sh - ph + a, j * sw - pw + e
                if 0 <= row < h and 0 <= column < w:
                    value = x[image, channel, row, column]
                    if best is None or value > best[0]:
                        best = value, row, column, a, e
        value, row, column, a, e = best
        place = row * w + column if code is None else code(row, column, a, e, i, j)
        y[image, channel, i, j], switches[image, channel, i, j] = value, place
    return y, switches


def places(switches):
    return switches.reshape(*switches.shape[:2], -1)


# max_pool2d ---------------------------------------------------------------------------------


@submitted("max_pool2d", "stride=None taken as 1")
def moves_by_one(x, kernel_size, stride=None, padding=(0, 0)):
    return pooled(x, kernel_size, stride or (1, 1), padding)


@submitted("max_pool2d", "stride=None refused")
def needs_a_stride(x, kernel_size, stride=None, padding=(0, 0)):
    down, right = stride
    return pooled(x, kernel_size, (down, right), padding)


@submitted("max_pool2d", "stride swapped")
def switches_by_swapped_strides(x, kernel_size, stride=None, padding=(0, 0)):
    (sw, sh), (ph, pw) = stride or kernel_size, padding
    return pooled(x, kernel_size, stride, padding, lambda r, c, a, e, i, j: (
        (i * sh - ph + a) * x.shape[3] + j * sw - pw + e))  # fmt: skip


@submitted("max_pool2d", "kernel_size taken as the stride")
def switches_by_the_kernel(x, kernel_size, stride=None, padding=(0, 0)):
    (kh, kw), (ph, pw) = kernel_size, padding
    return pooled(x, kernel_size, stride, padding, lambda r, c, a, e, i, j: (
        (i * kh - ph + a) * x.shape[3] + j * kw - pw + e))  # fmt: skip


@submitted("max_pool2d", "windows begin at the image's first pixel")
def all_padding_behind(x, kernel_size, stride=None, padding=(0, 0)):
    (ph, pw), w = padding, x.shape[3]
    wide = np.pad(x, ((0, 0), (0, 0), (0, 2 * ph), (0, 2 * pw)), constant_values=-np.inf)
    return pooled(wide, kernel_size, stride, (0, 0), lambda r, c, a, e, i, j: r * w + c)


@submitted(
    "max_pool2d",
    "switches with the height as the row's length",
    "last maximum in place of the first",
)
def last_by_height(x, kernel_size, stride=None, padding=(0, 0)):
    y, switches = pooled(x, kernel_size, stride, padding)
    (kh, kw), (sh, sw), (ph, pw) = kernel_size, stride or kernel_size, padding
    for n, c, i, j in np.ndindex(*y.shape):
        for row in range(max(i * sh - ph, 0), min(i * sh - ph + kh, x.shape[2])):
            for column in range(max(j * sw - pw, 0), min(j * sw - pw + kw, x.shape[3])):
                if x[n, c, row, column] == y[n, c, i, j]:
                    switches[n, c, i, j] = row * x.shape[2] + column
    return y, switches


@submitted("max_pool2d", "entries never written to")
def border_never_written(x, kernel_size, stride=None, padding=(0, 0)):
    y, switches = pooled(x, kernel_size, stride, padding)
    result = np.empty_like(y)
    result[:, :, :-1, :-1] = y[:, :, :-1, :-1]
    return result, switches


@submitted("max_pool2d", "float32 in place of float64")
def in_single_precision(x, kernel_size, stride=None, padding=(0, 0)):
    y, switches = pooled(x, kernel_size, stride, padding)
    return y.astype(np.float32), switches


@submitted("max_pool2d", "switches in one byte")
def in_a_byte(x, kernel_size, stride=None, padding=(0, 0)):
    y, switches = pooled(x, kernel_size, stride, padding)
    return y, switches.astype(np.uint8)


@submitted("max_pool2d")
def second_largest(x, kernel_size, stride=None, padding=(0, 0)):
    (ph, pw), far = padding, -np.inf
    wide = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=far)
    windows = np.lib.stride_tricks.sliding_window_view(wide, kernel_size, (2, 3))
    sh, sw = stride or kernel_size
    windows = windows[:, :, ::sh, ::sw]
    ordered = np.sort(windows.reshape(*windows.shape[:4], -1))
    y, switches = pooled(x, kernel_size, stride, padding)
    second = ordered[..., max(ordered.shape[-1] - 2, 0)]
    return np.where(np.isfinite(second), second, y), switches


# max_pool2d_backward ------------------------------------------------------------------------


def scattered(dy, switches, size):
    dx = np.zeros((*dy.shape[:2], size[0] * size[1]), dy.dtype)
    for n, c in np.ndindex(*dy.shape[:2]):
        np.add.at(dx[n, c], switches[n, c].ravel(), dy[n, c].ravel())
    return dx.reshape(*dy.shape[:2], *size)


@submitted("max_pool2d_backward", "divided by the number of windows")
def mean_over_windows(dy, switches, size):
    return scattered(dy, switches, size) / (dy.shape[2] * dy.shape[3])


@submitted("max_pool2d_backward", "gradients of the first channel used for all")
def first_gradients(dy, switches, size):
    return scattered(np.repeat(dy[:, :1], dy.shape[1], 1), switches, size)


@submitted("max_pool2d_backward", "argument changed in place")
def offsets_in_place(dy, switches, size):
    n, c = dy.shape[:2]
    switches += np.arange(n * c).reshape(n, c, 1, 1) * (size[0] * size[1])
    dx = np.zeros(n * c * size[0] * size[1], dy.dtype)
    np.add.at(dx, switches.ravel(), dy.ravel())
    return dx.reshape(n, c, *size)


@submitted("max_pool2d_backward", "cut to integers")
def in_an_array_like_the_switches(dy, switches, size):
    dx = np.zeros((*dy.shape[:2], size[0] * size[1]), switches.dtype)
    for n, c, i, j in np.ndindex(*dy.shape):
        dx[n, c, switches[n, c, i, j]] += int(dy[n, c, i, j])
    return dx.reshape(*dy.shape[:2], *size).astype(dy.dtype)


@submitted("max_pool2d_backward")
def gradients_limited(dy, switches, size):
    return np.clip(scattered(dy, switches, size), -3, 3)


# max_unpool2d -------------------------------------------------------------------------------


@submitted("max_unpool2d", "entries never written to")
def in_empty_memory(y, switches, size):
    x = np.empty((*y.shape[:2], size[0] * size[1]), y.dtype)
    for n, c in np.ndindex(*y.shape[:2]):
        x[n, c, switches[n, c].ravel()] = y[n, c].ravel()
    return x.reshape(*y.shape[:2], *size)


@submitted("max_unpool2d", "zeros left out")
def only_what_is_true(y, switches, size):
    x = np.zeros((*y.shape[:2], size[0] * size[1]), y.dtype)
    for n, c, i, j in np.ndindex(*y.shape):
        if y[n, c, i, j]:
            x[n, c, switches[n, c, i, j]] = y[n, c, i, j]
    return x.reshape(*y.shape[:2], *size)


@submitted("max_unpool2d", "last row of windows left out")
def a_row_too_early(y, switches, size):
    x = np.zeros((*y.shape[:2], size[0] * size[1]), y.dtype)
    for i in range(y.shape[2] - 1):
        for j in range(y.shape[3]):
            np.put_along_axis(x, switches[:, :, i, j, None], y[:, :, i, j, None], 2)
    return x.reshape(*y.shape[:2], *size)


@submitted("max_unpool2d", "float64 in place of float32")
def always_double(y, switches, size):
    x = np.zeros((*y.shape[:2], size[0] * size[1]))
    for n, c in np.ndindex(*y.shape[:2]):
        x[n, c, switches[n, c].ravel()] = y[n, c].ravel()
    return x.reshape(*y.shape[:2], *size)


# max_unpool2d_backward ----------------------------------------------------------------------


@submitted("max_unpool2d_backward", "pixels of an earlier plane taken for served")
def one_set_for_all(dx, switches):
    dy, served = np.zeros(switches.shape, dx.dtype), set()
    for n, c in np.ndindex(*switches.shape[:2]):
        for i in reversed(range(switches.shape[2])):
            for j in reversed(range(switches.shape[3])):
                pixel = int(switches[n, c, i, j])
                if pixel not in served:
                    dy[n, c, i, j] = dx[n, c].ravel()[pixel]
                    served.add(pixel)
    return dy


@submitted("max_unpool2d_backward")
def gathered_and_weighted(dx, switches):
    taken = np.take_along_axis(places(dx), places(switches), 2)
    weights = np.linspace(1, 2, taken.shape[2]).astype(dx.dtype)
    return (taken * weights).reshape(switches.shape)


@submissions.parametrize
def test_it_is_caught_and_never_misnamed(submission):
    submission.check()


def test_what_has_a_name_is_named():
    assert submissions.named() == submissions.nameable()
