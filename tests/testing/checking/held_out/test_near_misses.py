"""Wrong functions that look like mistakes of the bank but are others: none may get their names."""

from __future__ import annotations

import numpy as np
import pytest
from held_out import Submissions

from minideconv import ops

pytestmark = pytest.mark.cpu

submissions = Submissions()
submitted = submissions.submitted


def padded(x, padding, rows="constant", columns="constant", **how):
    ph, pw = padding
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (0, 0)), rows, **how)
    return np.pad(x, ((0, 0), (0, 0), (0, 0), (pw, pw)), columns, **how)


@submitted("conv2d")
def reflected_rows_only(x, w, b=None, *, padding, **settings):
    return ops.conv2d(padded(x, padding, rows="symmetric"), w, b, **settings)


@submitted("conv2d")
def padded_with_twos(x, w, b=None, *, padding, **settings):
    return ops.conv2d(padded(x, padding, constant_values=2), w, b, **settings)


@submitted("conv2d")
def one_kernel_flipped(x, w, b=None, **settings):
    w = w.copy()
    w[0] = w[0, :, ::-1, ::-1]
    return ops.conv2d(x, w, b, **settings)


@submitted("conv2d")
def kernel_rolled(x, w, b=None, **settings):
    return ops.conv2d(x, np.roll(w, 1, axis=3), b, **settings)


@submitted("conv2d")
def kernel_turned_by_a_right_angle(x, w, b=None, **settings):
    if w.shape[2] == w.shape[3]:
        w = np.ascontiguousarray(np.rot90(w, axes=(2, 3)))
    return ops.conv2d(x, w, b, **settings)


@submitted("conv2d")
def bias_but_for_the_last_channel(x, w, b=None, **settings):
    if b is not None:
        b = b.copy()
        b[-1] = 0
    return ops.conv2d(x, w, b, **settings)


@submitted("conv2d")
def bias_three_times(x, w, b=None, **settings):
    return ops.conv2d(x, w, None if b is None else 3 * b, **settings)


@submitted("conv2d")
def every_second_image_zero(x, w, b=None, **settings):
    y = ops.conv2d(x, w, b, **settings)
    y[1::2] *= 3
    return y


@submitted("conv2d")
def squares(x, w, b=None, **settings):
    return ops.conv2d(x * x, w, b, **settings)


@submitted("conv2d")
def absolute_weights(x, w, b=None, **settings):
    return ops.conv2d(x, abs(w), b, **settings)


@submitted("conv2d")
def first_tap_twice(x, w, b=None, **settings):
    w = w.copy()
    w[:, :, 0, 0] *= 2
    return ops.conv2d(x, w, b, **settings)


@submitted("conv2d")
def random_numbers(x, w, b=None, **settings):
    y = ops.conv2d(x, w, b, **settings)
    return np.random.default_rng(y.size).integers(-9, 9, y.shape).astype(y.dtype)


@submitted("conv2d")
def the_last_row_of_windows_moved_up(x, w, b=None, **settings):
    y = ops.conv2d(x, w, b, **settings)
    return y if y.shape[2] < 3 else np.concatenate([y[:, :, :-2], y[:, :, -3:-1]], 2)


@submitted("conv2d_backward")
def gradient_of_the_weight_twice_the_images(dy, x, w, **settings):
    dx, dw, db = ops.conv2d_backward(dy, x, w, **settings)
    return dx, dw * len(x), db


@submitted("conv2d_backward")
def dx_of_the_absolute_weight(dy, x, w, **settings):
    _, dw, db = ops.conv2d_backward(dy, x, w, **settings)
    return ops.conv2d_backward(dy, x, abs(w), **settings)[0], dw, db


@submitted("conv2d_backward")
def db_without_the_first_pixel(dy, x, w, **settings):
    dx, dw, db = ops.conv2d_backward(dy, x, w, **settings)
    return dx, dw, db - dy[:, :, 0, 0].sum(0)


@submitted("conv2d_backward")
def dw_normalised(dy, x, w, **settings):
    dx, dw, db = ops.conv2d_backward(dy, x, w, **settings)
    return dx, dw / max(1, np.abs(dw).max()), db


@submitted("conv_transpose2d")
def output_padding_of_ones(x, w, b=None, *, output_padding, **settings):
    y = ops.conv_transpose2d(x, w, b, **settings)
    rh, rw = output_padding
    return np.pad(y, ((0, 0), (0, 0), (0, rh), (0, rw)), constant_values=1)


@submitted("conv_transpose2d")
def stamps_limited(x, w, b=None, **settings):
    return np.minimum(ops.conv_transpose2d(x, w, b, **settings), 6)


@submitted("conv_transpose2d")
def every_second_pixel(x, w, b=None, **settings):
    x = x.copy()
    x[:, :, 1::2] = 0
    return ops.conv_transpose2d(x, w, b, **settings)


@submitted("col2im")
def overlaps_counted_twice(columns, output_size, **settings):
    image = ops.col2im(columns, output_size, **settings)
    times = ops.col2im(np.ones_like(columns), output_size, **settings)
    return image * np.where(times > 1, 2, 1)


@submissions.parametrize
def test_it_is_caught_and_gets_no_name(submission):
    submission.check()
