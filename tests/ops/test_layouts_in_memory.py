"""The strides of an argument are no part of its value: every op, every argument, every layout.

NumPy arrays may have gaps between their numbers, run backwards, repeat one number, begin at any
byte, or be read-only (a memory map). A kernel that only takes a pointer sees none of that.
`tests/cuda/test_layouts.py` does the same on a GPU.
"""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import ops
from minideconv.backend.algorithms import ALGORITHMS, algorithm
from minideconv.testing import values

pytestmark = pytest.mark.cpu  # what is moved to a GPU is copied on the way


def with_gaps(a):
    strided = np.full([2 * size for size in a.shape], 77, a.dtype)
    view = strided[(slice(None, None, 2),) * a.ndim]
    view[...] = a
    return view


def backwards(a):
    turned = (slice(None, None, -1),) * a.ndim
    return a[turned].copy()[turned]


def a_column_of_a_matrix(a):
    return np.stack([a - 9, a, a + 9], axis=-1)[..., 1]


def between_bytes(a):
    view = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def channels_last(a):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1) if a.ndim > 2 else a


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def one_number(a):
    return np.broadcast_to(a.ravel()[0], a.shape)


LAYOUTS = (
    with_gaps,
    backwards,
    a_column_of_a_matrix,
    between_bytes,
    channels_last,
    read_only,
    one_number,
)


def f32(*shape, seed=0):
    return values(shape, seed + sum(shape), "normal", np.float32)


def conv(kernel, stride=1, padding=0, dilation=1):
    """Return both convolutions with their gradients, and their arguments."""
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    x, w = f32(2, 32, 12, 12), f32(48, 32, kernel, kernel)
    y = ops.conv2d(x, w, **options)

    def both(x, w, bias, other_bias, dy):
        back = ops.conv_transpose2d(dy, w, other_bias, **options)
        return (
            ops.conv2d(x, w, bias, **options),
            *ops.conv2d_backward(dy, x, w, **options),
            back,
            *ops.conv_transpose2d_backward(back, dy, w, **options),
        )

    return both, (x, w, f32(48), f32(32, seed=5), f32(*y.shape))


def batch_norm(training, relu):
    def both(x, weight, bias, mean, var, dy):
        # in training the running averages are written; they have a test of their own
        running = (None, None) if training else (mean, np.abs(var))
        if relu:
            forward, backward, more = ops.batch_norm_relu, ops.batch_norm_relu_backward, (bias,)
        else:
            forward, backward, more = ops.batch_norm, ops.batch_norm_backward, ()
        y, saved = forward(x, *running, weight, bias, training, return_saved=True)
        return y, *backward(dy, x, saved, weight, *more, training)

    x = channels_last(f32(2, 16, 24, 24))
    numbers = [f32(16, seed=seed) for seed in range(4)]
    return both, (x, *numbers, f32(*x.shape, seed=9))


def cross_entropy(reduction):
    def both(logits, labels, weight, dloss):
        dloss = dloss if reduction == "none" else dloss[0, 0, 0].copy()
        options = (np.abs(weight), 255, reduction, 0.1)
        loss, saved = ops.cross_entropy(logits, labels, *options, return_saved=True)
        return loss, ops.cross_entropy_backward(dloss, saved, labels, *options)

    logits = channels_last(f32(2, 16, 24, 24))
    labels = np.random.default_rng(3).integers(0, 16, (2, 24, 24)).astype(np.uint8)
    return both, (logits, labels, f32(16), f32(2, 24, 24))


def pooling(x, dy):
    y, switches = ops.max_pool2d(x, 2, return_switches=True)
    back = ops.max_pool2d_backward(dy, switches)
    return y, back, ops.max_unpool2d(dy, switches), ops.max_unpool2d_backward(x, switches)


def linear(x, w, bias, dy):
    return ops.linear(x, w, bias), *ops.linear_backward(dy, x, w)


CASES = {
    "conv winograd": conv(3, padding=1),
    "conv direct": conv(3, stride=2, padding=1),
    "conv dilated": conv(3, padding=2, dilation=2),
    "conv 5x5": conv(5, padding=2),
    "conv pixel": conv(1),
    "conv plane": conv(12),
    "batch_norm training": batch_norm(True, False),
    "batch_norm eval": batch_norm(False, False),
    "batch_norm_relu training": batch_norm(True, True),
    "batch_norm_relu eval": batch_norm(False, True),
    "cross_entropy mean": cross_entropy("mean"),
    "cross_entropy none": cross_entropy("none"),
    "max_pool2d": (pooling, (channels_last(f32(2, 16, 12, 12)), f32(2, 16, 6, 6))),
    "linear": (linear, (f32(8, 300), f32(17, 300), f32(17), f32(8, 17))),
    "relu": (lambda x: (ops.relu(x),), (f32(4, 5, 8, 8),)),
    "softmax": (
        lambda x: (ops.softmax(x, 1), ops.log_softmax(x, 1)),
        (f32(4, 21, 8, 8),),
    ),
    "interpolate": (
        lambda x: (ops.interpolate(x, size=(9, 13), mode="bilinear"),),
        (f32(2, 5, 6, 7),),
    ),
    "avg_pool2d": (lambda x: (ops.avg_pool2d(x, 2),), (f32(2, 5, 6, 8),)),
}


def the_same(found, want):
    for one, other in zip(found, want, strict=True):
        scale = float(np.abs(other).max())
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("way", ALGORITHMS)
def test_results_do_not_depend_on_how_an_argument_lies(way, name, layout):
    op, arguments = CASES[name]
    with algorithm(way):
        for place in range(len(arguments)):
            strided = list(arguments)
            strided[place] = layout(strided[place])
            copied = list(arguments)
            copied[place] = np.array(strided[place], order="C")
            the_same(op(*strided), op(*copied))


@pytest.mark.parametrize("layout", [with_gaps, backwards, a_column_of_a_matrix, between_bytes])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("way", ALGORITHMS)
def test_running_averages_follow_however_they_lie(way, relu, layout):
    forward = ops.batch_norm_relu if relu else ops.batch_norm
    x = channels_last(f32(2, 16, 24, 24))
    copied = f32(16), np.abs(f32(16, seed=1))
    strided = layout(copied[0]), layout(copied[1])
    with algorithm(way):
        forward(x, *copied, training=True)
        forward(x, *strided, training=True)
    the_same(strided, copied)
    assert np.abs(copied[0] - f32(16)).max() > 0


@pytest.mark.parametrize("op", [ops.conv2d, ops.conv_transpose2d])
@pytest.mark.parametrize(("dtype", "name"), [(np.float64, "float64"), (">f4", ">f4")])
def test_a_bias_of_another_precision_or_byte_order_is_refused(op, dtype, name):
    x, w, bias = f32(1, 16, 8, 8), f32(16, 16, 3, 3), f32(16)
    with pytest.raises(TypeError, match=f"x is float32 but .* bias {name}; convert one to"):
        op(x, w, bias.astype(dtype))
