"""Plain products (1x1 kernels, and kernels as large as the image) against the readable pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minideconv import ops
from minideconv.backend import parallel
from minideconv.backend.algorithms import use_compiled
from minideconv.engine.cpu import gemm
from minideconv.ops.im2col import conv_window
from minideconv.testing import ConvGeometry, seeds, values


@pytest.fixture(params=[True, False], ids=["compiled", "NumPy"])
def kernels(request):
    """Both ways; a test runs under both, and no other test in between."""
    if request.param:
        pytest.importorskip("numba", reason="compiled kernels need numba")
    before = use_compiled(request.param)
    yield
    use_compiled(before)


@st.composite
def products(draw):
    """Draw a geometry that is a plain product."""
    size = (draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    return ConvGeometry(
        batch=draw(st.integers(1, 5)),
        c_in=draw(st.integers(1, 40)),
        c_out=draw(st.integers(1, 40)),
        size=size,
        kernel=size if draw(st.booleans()) else (1, 1),
    )


# few rows with a large matrix, odd numbers of them; many rows with a small and with a large one
SHAPES = (
    ConvGeometry(1, 64, 128, size=(6, 7), kernel=(6, 7)),
    ConvGeometry(2, 64, 128, size=(7, 7), kernel=(7, 7)),
    ConvGeometry(3, 512, 512, size=(1, 1), kernel=(1, 1)),
    ConvGeometry(8, 512, 576, size=(1, 1), kernel=(1, 1)),
    ConvGeometry(17, 512, 576, size=(1, 1), kernel=(1, 1)),
    ConvGeometry(8, 64, 256, size=(6, 6), kernel=(1, 1)),
    ConvGeometry(2, 64, 21, size=(40, 37), kernel=(1, 1)),
    ConvGeometry(2, 16, 5, size=(48, 48), kernel=(1, 1)),
    ConvGeometry(1, 520, 512, size=(20, 11), kernel=(1, 1)),
    ConvGeometry(2, 500, 600, size=(1, 1), kernel=(1, 1)),  # no multiple of a strip
)


@pytest.mark.usefixtures("kernels")
@given(products(), seeds(), st.sampled_from((np.float32, np.float64)))
@settings(max_examples=40)
def test_any_product_is_the_readable_convolution(conv, g, seed, dtype):
    conv.forward(gemm, g, seed, dtype)
    conv.input_grad(gemm, g, seed, dtype)
    conv.weight_grad(gemm, g, seed, dtype)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("g", SHAPES, ids=lambda g: f"{g.batch}x{g.c_in}-{g.c_out}-{g.size}")
def test_every_way_to_multiply(conv, g):
    conv.forward(gemm, g, 1)
    conv.input_grad(gemm, g, 2)
    conv.weight_grad(gemm, g, 3)
    conv.adjoint(gemm, g, 4)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("g", SHAPES, ids=lambda g: f"{g.batch}x{g.c_in}-{g.c_out}-{g.size}")
def test_results_do_not_depend_on_the_number_of_threads(conv, g):
    pytest.importorskip("threadpoolctl", reason="workers need threadpoolctl")
    conv.threads_do_not_matter(gemm, g, 0)
    assert parallel.get_num_threads() == 1


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "is_product"),
    [
        (1, 1, 0, True),
        ((6, 7), 1, 0, True),
        ((6, 7), 3, 0, True),  # one window: the stride is not used
        (1, 2, 0, False),
        (1, 1, 1, False),
        (3, 1, 0, False),
        ((6, 1), 1, 0, False),
        ((6, 7), 1, 3, False),
    ],
)
def test_what_fits(kernel, stride, padding, is_product):
    window = conv_window("test", (6, 7), kernel, stride, padding, 1)
    assert gemm.fits(window, 3, 4, np.dtype(np.float32)) is is_product


@pytest.mark.usefixtures("kernels")
def test_wrong_versions_are_rejected(conv):
    def check(algorithm, g):
        conv.forward(algorithm, g, 0)
        conv.input_grad(algorithm, g, 0)
        conv.weight_grad(algorithm, g, 0)

    g = ConvGeometry(2, 3, 4, size=(3, 2), kernel=(3, 2))
    check(gemm, g)
    for wrong in conv.wrong_versions(gemm):
        with pytest.raises(AssertionError):
            check(wrong, g)


def test_a_larger_output_is_no_plain_product():
    """1x1 kernels with dilation 2 may ask for an output padding: pixels that see no kernel."""
    x, w = values((2, 3, 4, 5), 0), values((3, 2, 1, 1), 1)
    y = ops.conv_transpose2d(x, w, output_padding=(1, 0), dilation=(2, 1))
    np.testing.assert_array_equal(y[:, :, :4], np.einsum("nchw,ck->nkhw", x, w[:, :, 0, 0]))
    assert not y[:, :, 4].any()
