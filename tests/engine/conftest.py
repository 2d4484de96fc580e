"""What every convolution algorithm of the engine must do: the same numbers as the readable pair."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from minideconv import ops
from minideconv.backend import parallel
from minideconv.backend.algorithms import algorithm
from minideconv.engine.layout import (
    from_channels_last,
    taps_first,
    to_channels_last,
    with_taps_first,
)
from minideconv.ops.im2col import conv_window
from minideconv.testing import values


def _window(g):
    return conv_window("test", g.size, g.kernel, g.stride, g.padding, g.dilation)


def _same(found, want):
    assert found.shape == want.shape
    assert found.dtype == want.dtype
    np.testing.assert_array_equal(found, want)


def forward(exact, g, seed, dtype=np.float32):
    """Compare `exact.forward` with `ops.conv2d`: integers, so that no order of sums rounds."""
    x, w = values(g.x_shape, seed, dtype=dtype), values(g.w_shape, seed + 1, dtype=dtype)
    for bias in (None, values(g.c_out, seed + 2, dtype=dtype)):
        y = exact.forward(to_channels_last(x), taps_first(w), bias, _window(g))
        assert y.flags.c_contiguous
        with algorithm("reference"):
            _same(from_channels_last(y), ops.conv2d(x, w, bias, **g.kwargs))


def input_grad(exact, g, seed, dtype=np.float32):
    """Compare `exact.input_grad` with `ops.conv_transpose2d`."""
    dy, w = values(g.y_shape, seed, dtype=dtype), values(g.w_shape, seed + 1, dtype=dtype)
    for bias in (None, values(g.c_in, seed + 2, dtype=dtype)):
        dx = exact.input_grad(to_channels_last(dy), taps_first(w), bias, _window(g))
        assert dx.flags.c_contiguous
        with algorithm("reference"):
            _same(from_channels_last(dx), ops.conv_transpose2d(dy, w, bias, **g.transpose_kwargs))


def weight_grad(exact, g, seed, dtype=np.float32):
    """Compare `exact.weight_grad` with `ops.conv2d_weight_grad`."""
    x, dy = values(g.x_shape, seed, dtype=dtype), values(g.y_shape, seed + 1, dtype=dtype)
    dw = exact.weight_grad(to_channels_last(x), to_channels_last(dy), _window(g))
    assert dw.flags.c_contiguous
    with algorithm("reference"):
        _same(dw.transpose(3, 2, 0, 1), ops.conv2d_weight_grad(x, dy, g.kernel, **g.kwargs))


def threads_do_not_matter(exact, g, seed, dtype=np.float32):
    """Compare all three passes with 1 and with 2 workers, bit by bit, on numbers that round."""
    x, dy = (
        to_channels_last(values(shape, seed + i, "normal", dtype))
        for i, shape in enumerate((g.x_shape, g.y_shape))
    )
    w = taps_first(values(g.w_shape, seed + 2, "normal", dtype))
    window = _window(g)

    def all_three():
        return (
            exact.forward(x, w, None, window),
            exact.input_grad(dy, w, None, window),
            exact.weight_grad(x, dy, window),
        )

    try:
        parallel.set_num_threads(1)
        alone = all_three()
        parallel.set_num_threads(2)
        together = all_three()
    finally:
        parallel.set_num_threads(1)
    for one, two in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, two)


def adjoint(exact, g, seed, dtype=np.float32):
    """<conv(x, w), y> = <x, input_grad(y, w)> = <w, weight_grad(x, y)>, exactly, on integers."""
    x, y = values(g.x_shape, seed, dtype=dtype), values(g.y_shape, seed + 1, dtype=dtype)
    x, y = to_channels_last(x), to_channels_last(y)
    w = taps_first(values(g.w_shape, seed + 2, dtype=dtype))
    window = _window(g)

    def inner(a, b):
        return np.sum(a.astype(np.float64) * b)

    form = inner(exact.forward(x, w, None, window), y)
    assert inner(x, exact.input_grad(y, w, None, window)) == form
    assert inner(w, exact.weight_grad(x, y, window)) == form


def close_to_float64(layer, kernel, **options):
    """Compare all passes with the reference in float64: "fast" promises 1e-5 of the rms.

    A layer is (N, C, K, size); the passes are computed by the algorithm and the kernels that are
    chosen when this is called, in the engine's layout.
    """
    n, c, k, size = layer
    kh, kw = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    x, w, b, bc = (
        values(shape, seed, "normal", np.float32)
        for seed, shape in enumerate(((n, c, *size), (k, c, kh, kw), (k,), (c,)), 1)
    )
    wide = [array.astype(np.float64) for array in (x, w, b, bc)]
    with algorithm("reference"):
        y = ops.conv2d(*wide[:3], **options)
        dy = values(y.shape, 5, "normal", np.float32)
        dx = ops.conv_transpose2d(dy.astype(np.float64), wide[1], wide[3], **options)
        dw = ops.conv2d_weight_grad(wide[0], dy.astype(np.float64), (kh, kw), **options)
    x, dy = (from_channels_last(to_channels_last(array)) for array in (x, dy))
    w = with_taps_first(w)
    _close(ops.conv2d(x, w, b, **options), y, "y")
    _close(ops.conv_transpose2d(dy, w, bc, **options), dx, "dx")
    _close(ops.conv2d_weight_grad(x, dy, (kh, kw), **options), dw, "dw")


def _close(found, expected, what):
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    error = np.abs(found - expected).max() / np.sqrt(np.mean(expected**2))
    assert error < 1e-5, f"{what}: {error:.1e} of the rms"


def reject(right, g):
    """Require that each wrong version of an algorithm fails one of the comparisons."""

    def all_passes(algorithm):
        for compare in (forward, input_grad, weight_grad):
            compare(algorithm, g, 0)

    all_passes(right)
    for wrong in wrong_versions(right):
        with pytest.raises(AssertionError):
            all_passes(wrong)


def wrong_versions(right):
    """Return wrong algorithms: each must fail one of the comparisons above."""

    def but(**other):
        passes = {name: getattr(right, name) for name in ("forward", "input_grad", "weight_grad")}
        return SimpleNamespace(**{**passes, **other})

    def last_column_forgotten(x, w, bias, window):
        y = right.forward(x, w, bias, window)
        y[:, :, -1:] = 0
        return y

    def bias_reversed(x, w, bias, window):
        return right.forward(x, w, None if bias is None else bias[::-1].copy(), window)

    def not_turned(dy, w, bias, window):
        return right.input_grad(dy, np.ascontiguousarray(w[::-1, ::-1]), bias, window)

    def taps_turned(x, dy, window):
        return np.ascontiguousarray(right.weight_grad(x, dy, window)[::-1, ::-1])

    def last_image_only(x, dy, window):
        return right.weight_grad(x[-1:], dy[-1:], window)

    return (
        but(forward=last_column_forgotten),
        but(forward=bias_reversed),
        but(input_grad=not_turned),
        but(weight_grad=taps_turned),
        but(weight_grad=last_image_only),
    )


@pytest.fixture(scope="session")
def conv():
    """Return the comparisons above; each takes an algorithm, a geometry and a seed."""
    return SimpleNamespace(
        forward=forward,
        input_grad=input_grad,
        weight_grad=weight_grad,
        threads_do_not_matter=threads_do_not_matter,
        adjoint=adjoint,
        wrong_versions=wrong_versions,
        reject=reject,
        close_to_float64=close_to_float64,
    )
