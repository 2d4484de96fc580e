"""The testing kit on arrays of the device that the tests run on: NumPy's, or CuPy's."""

from __future__ import annotations

import pytest
from device_tier import DEVICE

from minideconv.backend import get_xp
from minideconv.testing import OperationError, check_op
from minideconv.testing.adapters import Limits

ARRAYS = "numpy" if DEVICE == "cpu" else "cupy"
LIMITS = Limits(fixed={"dilation": (1, 1), "groups": 1, "stride": (1, 1)}, without=("b",))


def conv2d(x, w, b=None, *, padding, **_):
    xp = get_xp(x)
    ph, pw = padding
    padded = xp.zeros((*x.shape[:2], x.shape[2] + 2 * ph, x.shape[3] + 2 * pw), x.dtype)
    padded[:, :, ph : ph + x.shape[2], pw : pw + x.shape[3]] = x
    rows, columns = (n - k + 1 for n, k in zip(padded.shape[2:], w.shape[2:], strict=True))
    y = xp.zeros((x.shape[0], w.shape[0], rows, columns), x.dtype)
    for a in range(w.shape[2]):
        for e in range(w.shape[3]):
            pixels = padded[:, None, :, a : a + rows, e : e + columns]
            y += (pixels * w[None, :, :, a, e, None, None]).sum(axis=2)
    return y


def flipped(x, w, b=None, **settings):
    return conv2d(x, w[:, :, ::-1, ::-1], **settings)


def changes_w(x, w, b=None, **settings):
    y = conv2d(x, w, **settings)
    w *= 2
    return y


def test_a_function_over_arrays_of_the_device_is_checked():
    assert check_op(conv2d, "conv2d", arrays=ARRAYS, limits=LIMITS, examples=2).passed


@pytest.mark.parametrize(
    ("function", "message"),
    [(flipped, "kernel flipped"), (changes_w, "it changes its argument w")],
)
def test_a_wrong_function_on_the_device_is_told(function, message):
    with pytest.raises(OperationError, match=message):
        check_op(function, "conv2d", arrays=ARRAYS, limits=LIMITS, examples=2)


@pytest.mark.skipif(DEVICE == "cpu", reason="needs two kinds of arrays")
def test_a_result_on_the_host_is_refused():
    def on_host(x, w, b=None, **settings):
        return conv2d(x, w, **settings).get()

    with pytest.raises(OperationError, match=r"returned a numpy.ndarray for y; it must be a CuPy"):
        check_op(on_host, "conv2d", arrays=ARRAYS, limits=LIMITS, examples=1)
