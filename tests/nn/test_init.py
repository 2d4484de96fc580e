"""Initialisers: fans, moments, and bilinear kernels that interpolate."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import functional as F
from minideconv.autograd import Tensor
from minideconv.nn import Parameter, init


def _weight(*shape: int) -> Parameter:
    return Parameter(np.full(shape, np.nan, np.float32))


def test_fans_of_a_convolution_and_of_its_transpose():
    assert init.fans((6, 4, 3, 2)) == (24, 36)
    assert init.fans((6, 4, 3, 2), transposed=True) == (36, 24)
    with pytest.raises(ValueError, match=r"shape \(3,\) has no fan-in"):
        init.fans((3,))


@pytest.mark.parametrize(
    ("fill", "variance"),
    [
        (lambda w, r: init.kaiming_normal_(w, rng=r), 2 / (40 * 6)),
        (lambda w, r: init.kaiming_normal_(w, transposed=True, rng=r), 2 / (50 * 6)),
        (lambda w, r: init.kaiming_uniform_(w, rng=r), 2 / (40 * 6)),
        (lambda w, r: init.xavier_normal_(w, rng=r), 2 / (90 * 6)),
        (lambda w, r: init.xavier_uniform_(w, rng=r), 2 / (90 * 6)),
        (lambda w, r: init.normal_(w, 0.0, 3.0, r), 9.0),
        (lambda w, r: init.uniform_(w, -1.0, 1.0, r), 1 / 3),
    ],
)
def test_moments(fill, variance):
    weight = _weight(50, 40, 3, 2)  # 12,000 values: the variance's own error is near 1.3 %
    assert fill(weight, np.random.default_rng(0)) is weight
    assert weight.numpy().dtype == np.float32
    assert abs(weight.numpy().mean()) < 4 * np.sqrt(variance / weight.size)
    assert np.isclose(weight.numpy().var(), variance, rtol=0.07)


def test_constant():
    assert (init.constant_(_weight(2, 3), 0.25).numpy() == 0.25).all()


def test_a_bilinear_kernel_reproduces_a_ramp():
    weight = init.bilinear_(_weight(2, 2, 4, 4))
    ramp = np.stack([np.arange(6.0), -2 * np.arange(6.0)])[None, :, None, :] + np.zeros(
        (1, 2, 5, 6)
    )
    y = F.conv_transpose2d(Tensor(ramp.astype(np.float32)), weight, stride=2, padding=1).numpy()
    steps = np.diff(y[0, :, 3, 2:-2], axis=-1)  # away from the border, where nothing is added
    assert np.allclose(steps, [[0.5] * 7, [-1.0] * 7])


def test_a_bilinear_kernel_needs_square_channels():
    with pytest.raises(ValueError, match=r"shape \(2, 3, 4, 4\); it must be \(C, C, kh, kw\)"):
        init.bilinear_(_weight(2, 3, 4, 4))
