"""Direct convolution against the readable pair, over any geometry, exactly (integers)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from minideconv.testing import ConvGeometry, conv_geometries, seeds

pytest.importorskip("numba", reason="compiled kernels need numba")

from minideconv.engine.cpu.compiled import direct  # needs numba
from minideconv.ops.im2col import conv_window

any_geometry = conv_geometries(max_out=20, max_kernel=4, max_batch=3, max_channels=40, max_groups=1)
stride_1 = conv_geometries(
    max_out=20, max_kernel=4, max_stride=1, max_batch=3, max_channels=40, max_groups=1
)
SHAPES = (  # tiles of every kind: whole and partial blocks of channels, maps narrower than a tile
    ConvGeometry(2, 3, 16, size=(10, 17), kernel=(3, 3), padding=(1, 1)),
    ConvGeometry(3, 16, 16, size=(9, 48), kernel=(3, 3), padding=(1, 1)),
    ConvGeometry(2, 24, 48, size=(11, 24), kernel=(3, 3), padding=(1, 1)),
    ConvGeometry(1, 64, 64, size=(12, 12), kernel=(3, 3), padding=(1, 1)),
    ConvGeometry(2, 20, 128, size=(6, 6), kernel=(3, 3), padding=(1, 1)),
    ConvGeometry(2, 33, 70, size=(3, 3), kernel=(3, 3), padding=(1, 1)),
    ConvGeometry(1, 32, 64, size=(28, 28), kernel=(3, 3), padding=(1, 1)),
    ConvGeometry(1, 8, 21, size=(70, 31), kernel=(1, 1)),
    ConvGeometry(2, 5, 16, size=(1, 1), kernel=(1, 1)),
    ConvGeometry(1, 5, 40, size=(3, 9), kernel=(2, 4), padding=(3, 5)),  # more than the kernel
)


@given(any_geometry, seeds())
@settings(max_examples=30)
def test_forward_is_the_readable_convolution(conv, g, seed):
    conv.forward(direct, g, seed)


@given(stride_1, seeds())
@settings(max_examples=30)
def test_input_grad_is_the_readable_transposed_convolution(conv, g, seed):
    conv.input_grad(direct, g, seed)


@given(any_geometry, seeds())
@settings(max_examples=30)
def test_weight_grad_is_the_readable_one(conv, g, seed):
    conv.weight_grad(direct, g, seed)


@pytest.mark.parametrize("g", SHAPES, ids=lambda g: f"{g.c_in}-{g.c_out}-{g.size}")
def test_every_tile(conv, g):
    conv.forward(direct, g, 1)
    conv.input_grad(direct, g, 2)
    conv.weight_grad(direct, g, 3)


@given(stride_1, seeds())
@settings(max_examples=15)
def test_the_three_passes_are_each_others_adjoints(conv, g, seed):
    conv.adjoint(direct, g, seed)


def test_results_do_not_depend_on_the_number_of_threads(conv):
    pytest.importorskip("threadpoolctl", reason="workers need threadpoolctl")
    g = ConvGeometry(5, 32, 48, size=(40, 30), kernel=(3, 3), padding=(1, 1))
    conv.threads_do_not_matter(direct, g, 0)


def test_every_memory_order_is_accepted_by_the_layout(conv):
    g = ConvGeometry(2, 6, 16, size=(9, 14), kernel=(3, 2), stride=(2, 1), padding=(1, 0))
    conv.forward(direct, g, 0)  # `values` are NCHW in memory: `to_channels_last` copies them


def test_a_sum_over_many_pixels_keeps_its_digits():
    """Equal terms, the worst case: one float32 sum over all pixels would lose three digits."""
    x = np.full((1, 256, 256, 1), 1.1, np.float32)
    dy = np.ones((1, 256, 256, 16), np.float32)
    found = direct.weight_grad(x, dy, conv_window("test", (256, 256), 1, 1, 0, 1))
    want = x.sum(dtype=np.float64)
    assert np.abs(found / want - 1).max() < 1e-5
    assert abs(np.cumsum(x)[-1] / want - 1) > 1e-4  # so the limit means something


def test_only_float32_fits():
    window = conv_window("test", (8, 8), 3, 1, 1, 1)
    assert direct.fits(window, 4, 4, np.float32)
    assert not direct.fits(window, 4, 4, np.float64)


def test_wrong_versions_are_rejected(conv):
    g = ConvGeometry(2, 3, 17, size=(7, 18), kernel=(3, 2), padding=(1, 1))

    def check(algorithm):
        conv.forward(algorithm, g, 0)
        conv.input_grad(algorithm, g, 0)
        conv.weight_grad(algorithm, g, 0)

    check(direct)
    for wrong in conv.wrong_versions(direct):
        with pytest.raises(AssertionError):
            check(wrong)


def test_a_large_result_of_few_products(conv):
    """3 channels to 16: the result, above 2 MiB, is written past the caches."""
    conv.forward(direct, ConvGeometry(1, 3, 16, (190, 192), (3, 3), padding=(1, 1)), 0)
