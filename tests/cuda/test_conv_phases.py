"""The gradients of a convolution with a stride by its phases: results, and what is moved for them.

As in test_conv_im2col, the readable operations say what is right, with == on whole numbers.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from readable_convolutions import TOLERANCES, data, first, last, wanted, window_of

from minideconv import ops
from minideconv.backend.algorithms import algorithm
from minideconv.backend.precisions import precision
from minideconv.engine.cuda import im2col_gemm, phases_gemm, table, traffic
from minideconv.engine.cuda.problem import ConvProblem
from minideconv.engine.cuda.table import candidates
from minideconv.testing import (
    ConvGeometry,
    conv_geometries,
    conv_transpose_geometries,
    seeds,
    values,
)

geometries = conv_geometries(
    max_out=4, max_kernel=7, max_stride=3, max_dilation=1, max_batch=2, max_channels=5
)
precision_names = st.sampled_from(("fp32", "tf32", "bf16", "fp16", "fp64"))
budgets = st.sampled_from((None, 2000, 1))  # bytes: usual, a few rows, one row
WHOLE = ConvGeometry(2, 4, 8, size=(8, 9), kernel=(4, 6), stride=(2, 3), padding=(1, 2), groups=2)
NAMED = (
    WHOLE,
    ConvGeometry(2, 4, 6, size=(9, 7), kernel=(3, 3), stride=(2, 2), padding=(1, 1)),  # 1x1 phases
    ConvGeometry(1, 3, 2, size=(13, 11), kernel=(5, 7), stride=(3, 2), padding=(2, 3)),
    ConvGeometry(2, 2, 3, size=(9, 8), kernel=(5, 1), stride=(2, 3)),  # pixels that no tap meets
    ConvGeometry(2, 6, 6, size=(7, 12), kernel=(3, 4), stride=(1, 4), padding=(1, 0), groups=3),
    ConvGeometry(1, 2, 3, size=(5, 4), kernel=(5, 4), stride=(2, 3), padding=(4, 3)),  # cut off
    ConvGeometry(1, 2, 3, size=(2, 1), kernel=(3, 3), stride=(2, 2), padding=(2, 2)),
    ConvGeometry(1, 2, 1, size=(40, 33), kernel=(16, 12), stride=(8, 6), padding=(4, 3)),
)


def gradients(device, way, g, arrays):
    """Return what `way` computes of a convolution's gradients, by the names of `wanted`."""
    x, w, dy, bx = (
        device.put(a) for a in (last(arrays[0]), first(arrays[1]), last(arrays[2]), arrays[4])
    )
    window, groups = window_of(g), g.groups
    together = way.input_and_weight_grad(dy, x, w, window, groups)
    results = {
        "dx": way.input_grad(dy, w, None, window, groups),
        "dx + b": way.input_grad(dy, w, bx, window, groups),
        "dw": way.weight_grad(x, dy, window, groups),
        "dx, both": together[0],
        "dw, together": together[1],
    }
    assert all(result.flags.c_contiguous for result in results.values())
    return {name: device.get(result) for name, result in results.items()}


def check_exactly(device, g, seed, name="fp32", budget=None, way=phases_gemm):
    assert phases_gemm.fits(window_of(g))
    arrays = data(g, seed, "integer", np.float64 if name == "fp64" else np.float32)
    want = wanted(g, arrays)
    with precision(None if name == "fp64" else name), ops.workspace_limit(budget):
        results = gradients(device, way, g, arrays)
    for what, result in results.items():
        assert result.dtype == want[what].dtype, what
        np.testing.assert_array_equal(result, want[what], err_msg=what)


@given(geometries, seeds(), precision_names, budgets)
@settings(max_examples=60)
def test_whole_numbers_come_out_exactly(cupy_device, g, seed, name, budget):
    assume(phases_gemm.fits(window_of(g)))
    check_exactly(cupy_device, g, seed, name, budget)


@pytest.mark.parametrize(("name", "budget"), [("fp32", None), ("bf16", 700), ("fp64", 700)])
@pytest.mark.parametrize("g", NAMED, ids=str)
def test_named_geometries(cupy_device, g, name, budget):
    check_exactly(cupy_device, g, 0, name, budget)


@given(geometries, seeds(), precision_names)
@settings(max_examples=20)
def test_rounding_errors_are_those_of_the_precision(cupy_device, g, seed, name):
    assume(phases_gemm.fits(window_of(g)))
    arrays = data(g, seed, "normal", np.float64)
    want, sizes = wanted(g, arrays), wanted(g, [np.abs(a) for a in arrays])
    given_ = [a.astype(np.float64 if name == "fp64" else np.float32) for a in arrays]
    with precision(None if name == "fp64" else name):
        results = gradients(cupy_device, phases_gemm, g, given_)
    for what, result in results.items():
        error = np.linalg.norm(result - want[what])
        assert error <= TOLERANCES[name] * np.linalg.norm(sizes[what]), what


@contextmanager
def phases_wherever_they_fit():
    """Let the table take phases, and both gradients share their patches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traffic, "by_columns", lambda problem: math.inf)
        table._algorithms.cache_clear()
        yield
    table._algorithms.cache_clear()


@given(conv_transpose_geometries(max_size=4, max_kernel=5, max_channels=4), seeds())
@settings(max_examples=60)
def test_what_ops_compute_with_any_output_padding_dilation_and_groups(cupy_device, g, seed):
    shapes = (g.x_shape, g.y_shape, g.w_shape, g.c_out)
    arrays = [values(shape, seed + i, dtype=np.float32) for i, shape in enumerate(shapes)]
    kept = {name: value for name, value in g.kwargs.items() if name != "output_padding"}
    less = all(extra < s for extra, s in zip(g.output_padding, g.stride, strict=True))

    def everything(x, dy, w, b):
        return (
            ops.conv_transpose2d(x, w, b, **g.kwargs),
            *ops.conv_transpose2d_backward(dy, x, w, **kept),
            *(ops.conv2d_backward(x, dy, w, **kept) if less else ()),
        )

    with algorithm("reference"):
        want = everything(*arrays)
    with phases_wherever_they_fit():
        found = everything(*map(cupy_device.put, arrays))
    for result, right in zip(found, want, strict=True):
        np.testing.assert_array_equal(cupy_device.get(result), right)


def test_the_table_takes_them_there():
    with phases_wherever_they_fit():
        for g in NAMED:
            for operation in ("input_grad", "weight_grad"):
                found = candidates(problem_of(g, operation))
                assert [way.name for way in found] == ["phases_gemm", "im2col_gemm"]
            assert [way.name for way in candidates(problem_of(g, "forward"))] == ["im2col_gemm"]


# ---------------------------------------------------------------------------------------------
# Which way


def problem_of(g, operation, name="fp32", dtype=np.float32):
    sizes = (g.batch, g.c_in, g.c_out, g.groups, np.dtype(dtype))
    return ConvProblem(operation, window_of(g), *sizes, name)


def layer(c, k, small, kernel, stride, padding, groups=1):
    """Return the convolution of `c` to `k` channels whose smaller map, dy, is `small`."""
    size = (small - 1) * stride - 2 * padding + kernel
    sides = [(side, side) for side in (size, kernel, stride, padding)]
    return ConvGeometry(4, c, k, *sides, groups=groups)


@pytest.mark.parametrize(
    ("g", "chosen", "shared"),
    [
        (layer(64, 64, 56, 4, 2, 1), True, True),
        (layer(64, 64, 56, 4, 2, 1, groups=4), True, True),
        (layer(21, 21, 28, 16, 8, 4), True, True),  # FCN-8s
        (layer(21, 21, 7, 64, 32, 16), True, True),  # FCN-32s
        (layer(64, 128, 56, 4, 2, 1), True, True),
        (layer(64, 128, 28, 4, 2, 1), False, True),  # alone a little more, for both less
        (layer(64, 128, 56, 3, 2, 1), False, False),  # three kinds of taps
        (layer(256, 64, 56, 3, 2, 1), True, True),  # dx four times as wide as dy
        (layer(3, 64, 112, 8, 2, 3), False, False),  # dx of three channels
        (layer(256, 8, 4, 64, 32, 16), True, True),
        (layer(256, 256, 1, 64, 32, 16), False, False),  # 1 pixel: tiles of 2 x 2, and 4 products
    ],
    ids=str,
)
def test_what_is_chosen_in_fp32(g, chosen, shared):
    for operation in ("input_grad", "weight_grad"):
        problem = problem_of(g, operation)
        assert (candidates(problem)[0].name == "phases_gemm") == chosen
        assert traffic.is_shared(problem) == shared


def test_where_there_is_nothing_to_choose():
    whole = ConvGeometry(4, 8, 8, size=(6, 4), kernel=(6, 4), stride=(2, 2))  # a plain product
    dilated = ConvGeometry(4, 8, 8, size=(16, 16), kernel=(4, 4), stride=(2, 2), dilation=(2, 1))
    beside = ConvGeometry(1, 2, 3, size=(1, 5), kernel=(1, 3), stride=(4, 2), padding=(1, 0))
    unet, unit = layer(64, 64, 28, 2, 2, 0), layer(64, 64, 28, 3, 1, 1)
    for g in (unet, unit, whole, dilated, beside):
        assert not phases_gemm.fits(window_of(g)), g
        assert [way.name for way in candidates(problem_of(g, "input_grad"))] == ["im2col_gemm"]


class Counted:
    """What the kernels and products of a module read and write, and how much is multiplied.

    Of a product's three matrices the weights are left out: they have no positions.
    """

    def __init__(self, patch, module, operation):
        self.bytes = self.products = 0
        self.is_input_grad = operation == "input_grad"
        for name in ("im2col", "col2im", "multiply"):
            patch.setattr(module, name, partial(getattr(self, name), getattr(module, name)))

    def moved(self, *arrays):
        self.bytes += sum(array.size * array.itemsize for array in arrays)

    def im2col(self, real, x, window, groups, kind, rows, cols):
        self.moved(x, cols)
        real(x, window, groups, kind, rows, cols)

    def col2im(self, real, cols, bias, x, *rest):
        self.moved(cols, x)
        real(cols, bias, x, *rest)

    def multiply(self, real, a, b, out, kind, beta=0.0):
        self.moved(a, out if self.is_input_grad else b)
        self.products += a.size * b.shape[2]
        real(a, b, out, kind, beta)


@given(geometries, seeds(), st.sampled_from(("fp32", "bf16", "fp64")))
@settings(max_examples=30)
def test_the_traffic_is_what_the_two_ways_move(cupy_device, g, seed, name):
    """Every array that is handed to a kernel or a product, in a run of one block."""
    window, chosen = window_of(g), "bf16" if name == "bf16" else "fp32"
    assume(phases_gemm.fits(window))
    dtype = np.dtype(np.float64 if name == "fp64" else np.float32)
    arrays = data(g, seed, "integer", dtype)
    x, w, dy = (cupy_device.put(a) for a in (last(arrays[0]), first(arrays[1]), last(arrays[2])))
    calls = {"input_grad": (dy, w, None), "weight_grad": (x, dy)}
    for way, cost in ((im2col_gemm, traffic.by_columns), (phases_gemm, traffic.by_phases)):
        for operation, arguments in calls.items():
            with pytest.MonkeyPatch.context() as patch, precision(chosen):
                counted = Counted(patch, way, operation)
                getattr(way, operation)(*arguments, window, g.groups)
            moved = counted.bytes
            if way is phases_gemm:  # and the weights are copied, tap by tap
                is_factor = name == "bf16" and operation == "input_grad"
                moved += 2 * w.size * (2 if is_factor else dtype.itemsize)
            found = cost(problem_of(g, operation, chosen, dtype))
            assert found == pytest.approx(moved + counted.products / traffic.PRODUCTS[chosen])


def test_both_gradients_share_the_patches(cupy_device, monkeypatch):
    """Through the public operation: dy's patches are made once."""
    made = []
    real = phases_gemm.im2col
    monkeypatch.setattr(
        phases_gemm, "im2col", lambda x, *rest: made.append(x.shape) or real(x, *rest)
    )
    g = layer(8, 8, 6, 4, 2, 1)
    assert traffic.is_shared(problem_of(g, "input_grad"))
    x, w, dy, *_ = data(g, 0)
    put = cupy_device.put
    dx, dw, _ = ops.conv2d_backward(put(dy), put(x), put(w), **g.kwargs)
    assert made == [last(x).shape, last(dy).shape]
    want = wanted(g, data(g, 0))
    np.testing.assert_array_equal(last(cupy_device.get(dx)), want["dx"])
    np.testing.assert_array_equal(first(cupy_device.get(dw)), want["dw"])


def test_a_transposed_convolution_shares_the_columns_of_all_taps(cupy_device, monkeypatch):
    """Its dx is a convolution of dy, which has no phases; dw is made of the same columns."""
    made = []
    for module in (phases_gemm, im2col_gemm):
        real = module.im2col
        monkeypatch.setattr(
            module, "im2col", lambda x, *rest, real=real: made.append(x.shape) or real(x, *rest)
        )
    g = layer(8, 8, 6, 4, 2, 1)
    x, w, dy, *_ = data(g, 0)
    put = cupy_device.put
    assert candidates(problem_of(g, "weight_grad"))[0].name == "phases_gemm"
    found = ops.conv_transpose2d_backward(put(x), put(dy), put(w), **g.kwargs)
    assert made == [last(x).shape]
    with algorithm("reference"):
        want = ops.conv_transpose2d_backward(x, dy, w, **g.kwargs)
    for result, right in zip(found, want, strict=True):
        np.testing.assert_array_equal(cupy_device.get(result), right)


@pytest.mark.parametrize(
    ("kernel", "patches", "products"), [(4, 1, 1), (3, 2, 4), (5, 2, 4), (6, 1, 1)]
)
def test_what_the_device_does(cupy_device, kernel, patches, products):
    """One product and one copy of weights for each kind of taps, and no work for a tap of zero."""
    if cupy_device.kind != "fakecuda":
        pytest.skip("only fakecuda counts")
    import fakecuda

    g = layer(4, 6, 5, kernel, 2, 1, groups=2)
    arrays = data(g, 0)
    x, w, dy = map(cupy_device.put, (last(arrays[0]), first(arrays[1]), last(arrays[2])))
    window = window_of(g)
    positions = g.batch * math.prod(phases_gemm.parts(window).tiles.out)
    macs = positions * g.c_in // g.groups * g.c_out * kernel**2
    passes = {
        lambda: phases_gemm.input_grad(dy, w, None, window, 2): 1,
        lambda: phases_gemm.weight_grad(x, dy, window, 2): 1,
        lambda: phases_gemm.input_and_weight_grad(dy, x, w, window, 2): 2,
    }
    for work, gradients in passes.items():
        work()
        fakecuda.reset()
        work()
        stats = fakecuda.stats()
        assert stats["gemms"] == g.groups * products * gradients
        assert stats["gemm_macs"] == macs * gradients
        assert stats["launches"] == patches + gradients + products * gradients
        assert not any(stats[name] for name in ("h2d", "d2h", "syncs"))


# ---------------------------------------------------------------------------------------------
# Wrong versions


def _later(real):
    def im2col(x, window, *rest):
        down, along = window.padding
        unit = window.stride == (1, 1)
        real(x, replace(window, padding=(down - 1, along)) if unit else window, *rest)

    return im2col


SLIPS = {
    "patches begin a position later": ("im2col", _later),
    "a block forgets the sums before it": (
        "multiply",
        lambda real: lambda a, b, out, kind, beta=0.0: real(a, b, out, kind),
    ),
    "phases are written to the first pixels": (
        "_pixels",
        lambda real: lambda columns, p, tiles: real(columns, p._replace(first=(0, 0)), tiles),
    ),
    "all phases have the first one's taps": (
        "_taps",
        lambda real: lambda w, p, *rest: real(w, p._replace(first=(0, 0)), *rest),
    ),
    "a block leaves out its last row": (
        "touched",
        lambda real: lambda window, rows, done: real(window, rows, done)[:-1],
    ),
}


@pytest.mark.parametrize("name", SLIPS)
def test_slips_inside_are_rejected(cupy_device, monkeypatch, name):
    g = ConvGeometry(2, 4, 6, size=(9, 7), kernel=(3, 5), stride=(2, 2), padding=(1, 1), groups=2)
    check_exactly(cupy_device, g, 0, budget=700)
    attribute, wrong = SLIPS[name]
    monkeypatch.setattr(phases_gemm, attribute, wrong(getattr(phases_gemm, attribute)))
    with pytest.raises((AssertionError, ValueError)):
        check_exactly(cupy_device, g, 0, budget=700)
