"""Tolerances are relative to the terms that were added, not to what is left of them."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv.testing import (
    AdjointError,
    ContractError,
    LinearityError,
    check_adjoint,
    check_contract,
    check_linear,
    values,
)

SEEDS = range(30)
MEANS = [1e3, 1e6, 1e9]


def centre(x):
    return x - x.mean()


def scaled_centre(x):
    return 0.37 * (x - x.mean())


def difference(x):
    return 0.3 * x[1:] - 0.3 * x[:-1]


def difference_adjoint(y):
    return 0.3 * (np.append(0, y) - np.append(y, 0)).astype(y.dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mean", MEANS)
def test_right_maps_of_data_with_a_large_mean_are_never_blamed(dtype, mean):
    for seed in SEEDS:
        x, y = (mean + values(50, seed + k, "normal") for k in (0, 1000))
        x, y = x.astype(dtype), y.astype(dtype)
        check_adjoint(centre, centre, x, y)
        check_adjoint(difference, difference_adjoint, x, y[1:])
        for function in (centre, scaled_centre, difference):
            check_linear(function, x, y)


@pytest.mark.parametrize("mean", MEANS)
def test_wrong_ones_still_are(mean):
    x, y = mean + values(50, 0, "normal"), values(50, 1, "normal")
    with pytest.raises(AdjointError):
        check_adjoint(difference, lambda y: 1.001 * difference_adjoint(y), x, y[1:])
    with pytest.raises(AdjointError):
        check_adjoint(centre, lambda y: y, x, y)
    for wrong in (lambda x: centre(x) + 1e-3, lambda x: np.abs(centre(x)), lambda x: x * x.mean()):
        with pytest.raises(LinearityError):
            check_linear(wrong, x, y)


def test_integers_too_large_for_their_dtype_are_rounded_like_others():
    """The results are small integers, the sums on the way to them are not."""

    def window(x):
        return x.cumsum(dtype=x.dtype)[9:] - np.append(np.float32(0), x.cumsum(dtype=x.dtype)[:-10])

    x1, x2 = (1e6 * values(60, s, "integer", np.float32) + 1 for s in (0, 1))
    check_linear(window, x1, x2)
    small1, small2 = values(60, 0, "integer", np.float32), values(60, 1, "integer", np.float32)
    check_linear(window, small1, small2)
    with pytest.raises(LinearityError):
        check_linear(lambda x: window(x) + 1, small1, small2)


def batch_norm_backward(dy, x):
    centred = x - x.mean(0)
    inv_std = 1 / np.sqrt((centred**2).mean(0) + 1e-5)
    x_hat = centred * inv_std
    return inv_std * (dy - dy.mean(0) - x_hat * (dy * x_hat).mean(0))


def test_the_memory_layout_may_change_the_rounding_of_what_cancels():
    for seed in SEEDS:
        for size in (2, 3, 20):
            dy, x = values((2, 1, size, 1), seed, "normal"), values((2, 1, size, 1), seed + 99)
            check_contract(batch_norm_backward, [dy, x + 1e-3 * dy])


def test_what_reads_the_memory_is_still_found():
    def reads(dy, x):
        result = batch_norm_backward(dy, x)
        return result if x.flags.c_contiguous else 1.001 * result

    dy, x = values((2, 3, 4, 5), 0, "normal"), values((2, 3, 4, 5), 1, "normal")
    with pytest.raises(ContractError, match="strides must not matter"):
        check_contract(reads, [dy, x])
