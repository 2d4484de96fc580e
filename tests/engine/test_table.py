"""The table: what it answers, that "exact" is exact, and that its answers are right."""

from __future__ import annotations

import importlib.util
from itertools import product

import numpy as np
import pytest

import minideconv as md
from minideconv import ops
from minideconv.engine.cpu.table import choose
from minideconv.engine.layout import from_channels_last, with_taps_first
from minideconv.ops.im2col import conv_window
from minideconv.testing import values

NUMBA = importlib.util.find_spec("numba") is not None
COMPILED = [False, pytest.param(True, marks=pytest.mark.skipif(not NUMBA, reason="no numba"))]
OPERATIONS = ("forward", "input_grad", "weight_grad")

# (N, C, K, size, kernel, padding): the layers of DeconvNet, at their channels or a half of them,
# on maps cut down to what a test can afford, and the default network's.
LAYERS = [
    (1, 3, 64, (30, 23), (3, 3), 1),
    (1, 64, 64, (40, 29), (3, 3), 1),
    (1, 64, 128, (28, 31), (3, 3), 1),
    (1, 128, 256, (28, 21), (3, 3), 1),
    (1, 256, 256, (14, 13), (3, 3), 1),
    (2, 512, 256, (14, 14), (3, 3), 1),
    (2, 256, 512, (7, 7), (3, 3), 1),
    (2, 128, 96, (7, 7), (7, 7), 0),
    (2, 96, 80, (1, 1), (1, 1), 0),
    (1, 64, 21, (33, 20), (1, 1), 0),
    (4, 16, 16, (48, 48), (3, 3), 1),
    (4, 16, 32, (24, 24), (3, 3), 1),
    (4, 64, 64, (6, 6), (3, 3), 1),
    (4, 24, 48, (12, 11), (3, 3), 1),
    (3, 16, 5, (48, 40), (1, 1), 0),
]


@pytest.fixture
def compiled(request):
    before = md.use_compiled(request.param)
    yield request.param
    md.use_compiled(before)


def nhwc(array):
    return from_channels_last(np.ascontiguousarray(array.transpose(0, 2, 3, 1)))


@pytest.mark.parametrize("compiled", COMPILED, indirect=True)
@pytest.mark.parametrize("name", ["exact", "fast"])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_every_layer_equals_the_reference_in_float64(conv, layer, name, compiled):
    n, c, k, size, kernel, padding = layer
    with md.algorithm(name):
        conv.close_to_float64((n, c, k, size), kernel, padding=padding)


def geometries():
    for kernel, stride, c, size in product((1, 2, 3, 7), (1, 2), (3, 64, 512), (14, 28, 224)):
        yield conv_window("conv2d", (size, size), kernel, stride, kernel // 2, 1), c


@pytest.mark.parametrize("is_compiled", [False, True])
def test_only_fast_uses_winograd_and_only_in_single_precision(monkeypatch, is_compiled):
    monkeypatch.setattr("minideconv.engine.cpu.table.compiled", lambda: is_compiled)
    if is_compiled and not NUMBA:
        pytest.skip("numba is not installed (extra fast)")

    def names(algorithm, dtype):
        with md.algorithm(algorithm):
            return {
                getattr(choose(operation, window, 2, c, 2 * c, dtype), "name", None)
                for operation in OPERATIONS
                for window, c in geometries()
            }

    assert any(name and name.startswith("winograd") for name in names("fast", np.float32))
    for algorithm, dtype in (("fast", np.float64), ("exact", np.float32), ("exact", np.float64)):
        assert not [name for name in names(algorithm, dtype) if name and "winograd" in name]
    assert names("reference", np.float32) == {None}


@pytest.mark.parametrize("name", ["exact", "fast"])
def test_results_are_channels_last_so_that_the_next_layer_copies_nothing(name):
    x = nhwc(values((2, 16, 24, 20), seed=1, kind="normal", dtype=np.float32))
    w = with_taps_first(values((32, 16, 3, 3), seed=2, kind="normal", dtype=np.float32))
    with md.algorithm(name):
        if choose("forward", conv_window("t", (24, 20), 3, 1, 1, 1), 2, 16, 32, x.dtype) is None:
            pytest.skip("numba is not installed (extra fast)")
        y = ops.conv2d(x, w, padding=1)
        dx = ops.conv_transpose2d(y, w, padding=1)
        dw = ops.conv2d_weight_grad(x, y, 3, padding=1)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    assert dx.transpose(0, 2, 3, 1).flags.c_contiguous
    assert dw.transpose(2, 3, 1, 0).flags.c_contiguous


@pytest.mark.parametrize("name", ["exact", "fast"])
def test_groups_and_empty_batches_are_left_to_the_reference(name):
    x = values((2, 4, 6, 5), seed=1, kind="integer", dtype=np.float32)
    w = values((6, 2, 3, 3), seed=2, kind="integer", dtype=np.float32)
    with md.algorithm("reference"):
        expected = ops.conv2d(x, w, groups=2)
    with md.algorithm(name):
        assert (ops.conv2d(x, w, groups=2) == expected).all()
        assert ops.conv2d(x[:0], w, groups=2).shape == (0, 6, 4, 3)
        whole = values((6, 4, 3, 3), seed=2, kind="integer", dtype=np.float32)
        assert ops.conv2d(x[:0], whole).shape == (0, 6, 4, 3)
