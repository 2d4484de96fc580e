"""Functions over JAX's arrays; test_arrays.py runs this file in a process of its own."""

from __future__ import annotations

import jax
import pytest
from array_checks import check_that_the_dtype_is_kept

from minideconv.testing import OperationError, check_op
from minideconv.testing.adapters import Limits


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_the_dtype_is_kept(dtype):
    check_that_the_dtype_is_kept("jax", dtype)


def test_jax_in_float64_and_float32():
    def conv2d(x, w, b=None, *, stride, padding, dilation, groups):
        y = jax.lax.conv_general_dilated(
            x, w, stride, [(p, p) for p in padding], rhs_dilation=dilation,
            feature_group_count=groups,
        )  # fmt: skip
        assert y.dtype == x.dtype, "a float64 must not become a float32"
        return y if b is None else y + b[:, None, None]

    def flipped(x, w, b=None, **settings):
        return conv2d(x, w[:, :, ::-1, ::-1], b, **settings)

    before = jax.config.jax_enable_x64
    # Each new shape is compiled.
    few = {"examples": 2, "limits": Limits(fixed={"dilation": (1, 1), "groups": 1})}
    assert check_op(conv2d, "conv2d", "autograd", arrays="jax", **few).passed
    with pytest.raises(OperationError, match="kernel flipped"):
        check_op(flipped, "conv2d", arrays="jax", **few)
    assert jax.config.jax_enable_x64 == before
