"""Blocked im2col against the readable pair, over any geometry, exactly (integers)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minideconv.engine.cpu import im2col_blocked
from minideconv.testing import ConvGeometry, conv_geometries, seeds

any_geometry = conv_geometries(max_out=9, max_kernel=4, max_batch=3, max_channels=12, max_groups=1)
stride_1 = conv_geometries(
    max_out=9, max_kernel=4, max_stride=1, max_batch=3, max_channels=12, max_groups=1
)
dtypes = st.sampled_from((np.float32, np.float64))


@pytest.fixture(params=[None, 3000], ids=["usual blocks", "small blocks"], scope="module")
def blocks(request):
    """Run each test with blocks of the usual size, and of one or two rows."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param:
            patch.setattr(im2col_blocked, "_BLOCK", request.param)
            patch.setattr(im2col_blocked, "_SMALL", 1e3)
        yield


@given(any_geometry, seeds(), dtypes)
@settings(max_examples=40)
def test_forward_is_the_readable_convolution(blocks, conv, g, seed, dtype):
    conv.forward(im2col_blocked, g, seed, dtype)


@given(stride_1, seeds(), dtypes)
@settings(max_examples=40)
def test_input_grad_is_the_readable_transposed_convolution(blocks, conv, g, seed, dtype):
    conv.input_grad(im2col_blocked, g, seed, dtype)


@given(any_geometry, seeds(), dtypes)
@settings(max_examples=40)
def test_weight_grad_is_the_readable_one(blocks, conv, g, seed, dtype):
    conv.weight_grad(im2col_blocked, g, seed, dtype)


@given(stride_1, seeds())
@settings(max_examples=20)
def test_the_three_passes_are_each_others_adjoints(blocks, conv, g, seed):
    conv.adjoint(im2col_blocked, g, seed)


def test_more_padding_than_the_kernel(blocks, conv):
    """Padding 3 and 5 of a 2x4 kernel: the gradient's padding is negative, it cuts pixels off."""
    g = ConvGeometry(2, 5, 4, size=(3, 9), kernel=(2, 4), padding=(3, 5))
    conv.forward(im2col_blocked, g, 1)
    conv.input_grad(im2col_blocked, g, 2)
    conv.weight_grad(im2col_blocked, g, 3)


@pytest.mark.parametrize("batch", [1, 3, 17])
def test_results_do_not_depend_on_the_number_of_threads(blocks, conv, batch):
    pytest.importorskip("threadpoolctl", reason="workers need threadpoolctl")
    g = ConvGeometry(batch, 16, 24, size=(40, 41), kernel=(3, 3), padding=(1, 1))
    conv.threads_do_not_matter(im2col_blocked, g, 0)


def test_wrong_versions_are_rejected(blocks, conv):
    g = ConvGeometry(2, 3, 4, size=(7, 9), kernel=(3, 2), padding=(1, 1))

    def check(algorithm):
        conv.forward(algorithm, g, 0)
        conv.input_grad(algorithm, g, 0)
        conv.weight_grad(algorithm, g, 0)

    check(im2col_blocked)
    for wrong in conv.wrong_versions(im2col_blocked):
        with pytest.raises(AssertionError):
            check(wrong)
