"""Winograd's convolution, in NumPy and compiled, against the readable pair.

F(2x2) has points 0 and ±1 and halves: on small integers it does not round, and is compared exactly.
F(4x4) rounds; what it may be wrong by is measured in the rounding of a sum of as many terms.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minideconv import ops
from minideconv.backend import parallel
from minideconv.backend.algorithms import algorithm
from minideconv.engine.cpu import winograd
from minideconv.engine.layout import from_channels_last, taps_first, to_channels_last
from minideconv.ops.im2col import conv_window
from minideconv.testing import ConvGeometry, seeds, values

PASSES = ("forward", "input_grad", "weight_grad")


def numpy_with(m):
    return SimpleNamespace(**{name: partial(getattr(winograd, name), m=m) for name in PASSES})


def load(name):
    """Return an implementation: ``numpy 2``, ``numpy 4`` or ``compiled``."""
    if name == "compiled":
        pytest.importorskip("numba", reason="compiled kernels need numba")
        from minideconv.engine.cpu.compiled import winograd as compiled

        return compiled
    return numpy_with(int(name[-1]))


both = pytest.mark.parametrize("name", ["numpy 4", "compiled"])
precisions = pytest.mark.parametrize(
    ("name", "dtype"),
    [("numpy 4", np.float32), ("numpy 4", np.float64), ("compiled", np.float32)],
)


@st.composite
def geometries(draw):
    """Draw 3x3 convolutions of all sizes, from maps of one pixel to several tiles and blocks."""
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    size = tuple(draw(st.integers(max(1, 3 - 2 * p), 19)) for p in padding)
    batch, c, k = draw(st.integers(1, 3)), draw(st.integers(1, 40)), draw(st.integers(1, 40))
    return ConvGeometry(batch, c, k, size=size, kernel=(3, 3), padding=padding)


def window_of(g):
    return conv_window("test", g.size, g.kernel, g.stride, g.padding, g.dilation)


def close(found, want, terms):
    """Compare numbers that are sums of `terms` products of standard normal numbers."""
    limit = 200 * np.finfo(found.dtype).eps * np.sqrt(terms)
    assert found.shape == want.shape
    np.testing.assert_allclose(found, want, rtol=0, atol=limit)


def data(g, seed, dtype):
    """Return x, w, dy in the engine's layout and in that of `ops`, float64."""
    shapes = (g.x_shape, g.w_shape, g.y_shape)
    x, w, dy = (values(shape, seed + i, "normal", dtype) for i, shape in enumerate(shapes))
    engine = to_channels_last(x), taps_first(w), to_channels_last(dy)
    return engine, [array.astype(np.float64) for array in (x, w, dy)]


def check_forward(implementation, g, seed, dtype=np.float32):
    (x, w, _), (x64, w64, _) = data(g, seed, dtype)
    for bias in (None, values(g.c_out, seed + 3, "normal", dtype)):
        y = implementation.forward(x, w, bias, window_of(g))
        assert y.flags.c_contiguous
        assert y.dtype == dtype
        bias64 = None if bias is None else bias.astype(np.float64)
        with algorithm("reference"):
            want = ops.conv2d(x64, w64, bias64, **g.kwargs)
        close(from_channels_last(y), want, 9 * g.c_in)


def check_input_grad(implementation, g, seed, dtype=np.float32):
    (_, w, dy), (_, w64, dy64) = data(g, seed, dtype)
    for bias in (None, values(g.c_in, seed + 3, "normal", dtype)):
        dx = implementation.input_grad(dy, w, bias, window_of(g))
        assert dx.flags.c_contiguous
        assert dx.dtype == dtype
        bias64 = None if bias is None else bias.astype(np.float64)
        with algorithm("reference"):
            want = ops.conv_transpose2d(dy64, w64, bias64, **g.transpose_kwargs)
        close(from_channels_last(dx), want, 9 * g.c_out)


def check_weight_grad(implementation, g, seed, dtype=np.float32):
    (x, _, dy), (x64, _, dy64) = data(g, seed, dtype)
    dw = implementation.weight_grad(x, dy, window_of(g))
    assert dw.flags.c_contiguous
    assert dw.dtype == dtype
    with algorithm("reference"):
        want = ops.conv2d_weight_grad(x64, dy64, g.kernel, **g.kwargs)
    close(dw.transpose(3, 2, 0, 1), want, g.batch * g.out_size[0] * g.out_size[1])


CHECKS = (check_forward, check_input_grad, check_weight_grad)


def all_of(checks, implementation, g):
    for check in checks:
        check(implementation, g, 1)


# One pixel; channels that fill, do not fill and exceed a vector, a panel and a sum; many blocks.
SHAPES = (
    ConvGeometry(1, 1, 1, size=(1, 1), kernel=(3, 3), padding=(1, 1)),
    ConvGeometry(1, 16, 32, size=(4, 4), kernel=(3, 3), padding=(1, 1)),
    ConvGeometry(2, 130, 70, size=(9, 14), kernel=(3, 3), padding=(1, 1)),
    ConvGeometry(1, 200, 96, size=(7, 5), kernel=(3, 3), padding=(0, 2)),
    ConvGeometry(2, 20, 33, size=(61, 90), kernel=(3, 3), padding=(1, 1)),
    ConvGeometry(3, 48, 16, size=(50, 7), kernel=(3, 3), padding=(2, 0)),
)


# ---------------------------------------------------------------------------------------------
# F(2x2, 3x3), exactly


@given(geometries(), seeds())
@settings(max_examples=20)
def test_two_by_two_tiles_do_not_round_small_integers(conv, g, seed):
    two = numpy_with(2)
    conv.forward(two, g, seed)
    conv.input_grad(two, g, seed)
    conv.weight_grad(two, g, seed)
    conv.adjoint(two, g, seed)


def test_wrong_versions_of_it_are_rejected(conv):
    g = ConvGeometry(2, 3, 17, size=(7, 18), kernel=(3, 3), padding=(1, 1))
    exact = (conv.forward, conv.input_grad, conv.weight_grad)
    for wrong in conv.wrong_versions(numpy_with(2)):
        with pytest.raises(AssertionError):
            all_of(exact, wrong, g)


# ---------------------------------------------------------------------------------------------
# F(4x4, 3x3)


@precisions
@given(geometries(), seeds())
@settings(max_examples=20)
def test_forward_is_the_readable_convolution(name, dtype, g, seed):
    check_forward(load(name), g, seed, dtype)


@precisions
@given(geometries(), seeds())
@settings(max_examples=20)
def test_input_grad_is_the_readable_transposed_convolution(name, dtype, g, seed):
    check_input_grad(load(name), g, seed, dtype)


@precisions
@given(geometries(), seeds())
@settings(max_examples=20)
def test_weight_grad_is_the_readable_one(name, dtype, g, seed):
    check_weight_grad(load(name), g, seed, dtype)


@both
@pytest.mark.parametrize("g", SHAPES, ids=lambda g: f"{g.c_in}-{g.c_out}-{g.size}")
def test_every_kind_of_block(name, g):
    all_of(CHECKS, load(name), g)


@both
@given(geometries(), seeds())
@settings(max_examples=10)
def test_the_three_passes_are_each_others_adjoints(name, g, seed):
    (x, w, dy), _ = data(g, seed, np.float32)
    implementation, window = load(name), window_of(g)

    def inner(a, b):
        return np.sum(a.astype(np.float64) * b)

    y = implementation.forward(x, w, None, window)
    form = inner(y, dy)
    limit = 1e-5 * np.linalg.norm(y) * np.linalg.norm(dy) + 1e-6
    assert abs(inner(x, implementation.input_grad(dy, w, None, window)) - form) < limit
    assert abs(inner(w, implementation.weight_grad(x, dy, window)) - form) < limit


@both
def test_results_do_not_depend_on_the_number_of_threads(conv, name):
    pytest.importorskip("threadpoolctl", reason="workers need threadpoolctl")
    implementation = load(name)
    for g in (
        ConvGeometry(2, 128, 160, size=(28, 30), kernel=(3, 3), padding=(1, 1)),  # few tiles
        ConvGeometry(2, 32, 48, size=(112, 90), kernel=(3, 3), padding=(1, 1)),  # many
    ):
        conv.threads_do_not_matter(implementation, g, 0)


@both
def test_with_two_workers_it_is_the_readable_convolution_too(name):
    pytest.importorskip("threadpoolctl", reason="workers need threadpoolctl")
    g = ConvGeometry(1, 96, 160, size=(30, 27), kernel=(3, 3), padding=(1, 1))
    try:
        parallel.set_num_threads(2)
        all_of(CHECKS, load(name), g)
    finally:
        parallel.set_num_threads(1)


@both
def test_wrong_versions_are_rejected(conv, name):
    g = ConvGeometry(2, 3, 17, size=(7, 18), kernel=(3, 3), padding=(1, 1))
    for wrong in conv.wrong_versions(load(name)):
        with pytest.raises(AssertionError):
            all_of(CHECKS, wrong, g)


def test_what_fits():
    def fits(dtype=np.float32, stride=1, dilation=1, kernel=3):
        window = conv_window("test", (9, 9), kernel, stride, 1, dilation)
        return winograd.fits(window, 8, 8, np.dtype(dtype))

    assert fits()
    assert fits(np.float64)
    assert not fits(np.float16)
    assert not fits(stride=2)
    assert not fits(dilation=2)
    assert not fits(kernel=(3, 1))


def test_only_float32_is_compiled():
    window = conv_window("test", (9, 9), 3, 1, 1, 1)
    assert load("compiled").fits(window, 8, 8, np.dtype(np.float32))
    assert not load("compiled").fits(window, 8, 8, np.dtype(np.float64))


# ---------------------------------------------------------------------------------------------
# Accuracy: the promise of the table, for the layers of DeconvNet

LAYERS = (
    (64, 64, 224),
    (64, 128, 112),
    (128, 128, 112),
    (128, 256, 56),
    (256, 256, 56),
    (256, 512, 28),
    (512, 512, 28),
    (512, 512, 14),
)
PROMISE = 1e-5


def worst_error(implementation, c, k, size, operation):
    """Return the largest error of one image's result, in units of the result's rms."""
    g = ConvGeometry(1, c, k, size=(size, size), kernel=(3, 3), padding=(1, 1))
    (x, w, dy), (x64, w64, dy64) = data(g, 0, np.float32)
    with algorithm("reference"):
        if operation == "forward":
            found = implementation.forward(x, w, None, window_of(g))
            want = ops.conv2d(x64, w64, None, 1, 1)
        else:
            found = implementation.input_grad(dy, w, None, window_of(g))
            want = ops.conv_transpose2d(dy64, w64, None, 1, 1)
    return np.abs(from_channels_last(found) - want).max() / np.sqrt(np.mean(want**2))


@pytest.mark.parametrize("operation", ["forward", "input_grad"])
@both
@pytest.mark.parametrize(("c", "k", "size"), LAYERS)
def test_the_error_at_the_layers_of_deconvnet(c, k, size, name, operation):
    assert worst_error(load(name), c, k, min(size, 20), operation) < PROMISE


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["forward", "input_grad"])
@both
@pytest.mark.parametrize(("c", "k", "size"), LAYERS)
def test_the_error_at_their_full_size(c, k, size, name, operation):
    assert worst_error(load(name), c, k, size, operation) < PROMISE
