"""Kernels in pieces of 3x3 against the readable convolution, over any geometry, exactly."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minideconv as md
from minideconv.engine.cpu import im2col_blocked, pieces
from minideconv.engine.cpu.table import choose
from minideconv.ops.im2col import conv_window
from minideconv.testing import ConvGeometry, seeds

PASSES = ("forward", "input_grad", "weight_grad")
# The pieces alone: the 3x3 convolution is one that makes sums of integers exactly.
EXACT = SimpleNamespace(**{n: partial(getattr(pieces, n), by=im2col_blocked) for n in PASSES})

NAMED = (
    ConvGeometry(2, 3, 4, size=(9, 12), kernel=(5, 5), padding=(2, 2)),
    ConvGeometry(2, 4, 3, size=(9, 12), kernel=(5, 5), padding=(2, 2)),  # fewer out than in
    ConvGeometry(1, 2, 3, size=(13, 8), kernel=(7, 4), padding=(0, 3)),
    ConvGeometry(1, 3, 2, size=(6, 9), kernel=(6, 9), padding=(1, 0)),  # whole pieces
    ConvGeometry(1, 3, 2, size=(2, 3), kernel=(8, 7), padding=(7, 6)),  # pieces beside the image
)


@st.composite
def geometries(draw):
    kernel = draw(st.tuples(st.integers(4, 8), st.integers(4, 8)))
    padding = tuple(draw(st.integers(0, k - 1)) for k in kernel)
    size = tuple(
        draw(st.integers(max(1, k - 2 * p), k + 9)) for k, p in zip(kernel, padding, strict=True)
    )
    channels = st.integers(1, 4)
    return ConvGeometry(
        draw(st.integers(1, 3)), draw(channels), draw(channels), size, kernel, padding=padding
    )


@given(geometries(), seeds())
@settings(max_examples=100)
def test_it_is_the_readable_convolution(conv, g, seed):
    conv.forward(EXACT, g, seed)
    conv.input_grad(EXACT, g, seed)
    conv.weight_grad(EXACT, g, seed)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("g", NAMED, ids=str)
def test_named_geometries(conv, g, dtype):
    conv.forward(EXACT, g, 1, dtype)
    conv.input_grad(EXACT, g, 1, dtype)
    conv.weight_grad(EXACT, g, 1, dtype)
    conv.adjoint(EXACT, g, 1, dtype)


@pytest.mark.parametrize("operation", PASSES)
def test_the_table_names_it_where_it_pays(operation):
    def name(c=64, k=64, kernel=5, dtype=np.float32, algorithm="fast", stride=1):
        window = conv_window("test", (30, 25), kernel, stride, kernel // 2, 1)
        with md.algorithm(algorithm):
            return str(getattr(choose(operation, window, 2, c, k, dtype), "name", None))

    assert name().startswith("winograd")
    assert name().endswith("pieces")
    assert "pieces" in name(kernel=7, c=128, k=128)
    for other in (
        name(c=3),
        name(c=16, k=16),  # transforms of so few channels cost more than the products saved
        name(kernel=3),
        name(stride=2),
        name(dtype=np.float64),
        name(algorithm="exact"),
    ):
        assert "pieces" not in other


@pytest.mark.parametrize("kernel", [(5, 5), (4, 6), (7, 5)], ids=str)
@pytest.mark.parametrize("channels", [(48, 64), (96, 40)], ids=str)
def test_fast_stays_close_to_float64(conv, kernel, channels):
    conv.close_to_float64((2, *channels, (23, 30)), kernel, padding=(2, 1))


def test_wrong_versions_are_rejected(conv):
    conv.reject(EXACT, NAMED[0])
