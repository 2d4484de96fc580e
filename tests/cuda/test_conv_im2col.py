"""The algorithm im2col_gemm against the readable operations, for any geometry, exactly."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from readable_convolutions import TOLERANCES, data, first, last, wanted, window_of

from minideconv import ops
from minideconv.backend.algorithms import algorithm
from minideconv.backend.precisions import precision
from minideconv.engine.cuda import exchange, im2col_gemm
from minideconv.ops.im2col import conv_window
from minideconv.testing import ConvGeometry, conv_geometries, seeds, values

geometries = conv_geometries(max_out=4, max_kernel=3, max_batch=3, max_channels=3)
wide = conv_geometries(max_out=3, max_kernel=2, max_batch=2, max_channels=12, max_groups=2)
unit = conv_geometries(max_out=5, max_kernel=3, max_stride=1, max_batch=2, max_channels=5)
any_geometry = st.one_of(geometries, wide, unit)
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
precision_names = st.sampled_from((*PRECISIONS, "fp64"))
budgets = st.sampled_from((None, 2000, 1))  # bytes: usual, a few rows, one row

PRODUCTS = (  # no patch matrix
    ConvGeometry(3, 5, 4, size=(3, 4), kernel=(3, 4)),
    ConvGeometry(2, 6, 4, size=(3, 5), kernel=(1, 1)),
    ConvGeometry(2, 6, 4, size=(3, 5), kernel=(1, 1), groups=2),
    ConvGeometry(2, 6, 4, size=(1, 1), kernel=(1, 1), stride=(2, 3), groups=2),
)
OTHERS = (
    ConvGeometry(2, 40, 33, size=(5, 7), kernel=(3, 3), padding=(1, 1)),
    ConvGeometry(2, 8, 16, size=(5, 7), kernel=(3, 3), padding=(1, 1)),
    ConvGeometry(2, 16, 8, size=(6, 7), kernel=(3, 3), padding=(1, 1), dilation=(1, 2)),
    ConvGeometry(1, 3, 8, size=(3, 4), kernel=(3, 4), groups=1, padding=(2, 3)),
    ConvGeometry(1, 4, 4, size=(3, 4), kernel=(3, 4), groups=2),  # as large as the image, in groups
    ConvGeometry(
        2, 6, 6, size=(7, 6), kernel=(3, 2), groups=6, padding=(1, 0)
    ),  # each channel alone
    ConvGeometry(2, 4, 2, size=(11, 12), kernel=(2, 1), stride=(5, 4)),  # pixels between windows
    ConvGeometry(2, 2, 4, size=(1, 2), kernel=(2, 3), padding=(3, 4)),  # windows beside the image
)


def found(device, way, g, arrays):
    """Return y, dx, dw and the gradients that are computed together, as NumPy arrays."""
    x, w, dy, by, bx = (
        device.put(a) for a in (last(arrays[0]), first(arrays[1]), last(arrays[2]), *arrays[3:])
    )
    window, groups = window_of(g), g.groups
    y, both_dw = way.forward_and_weight_grad(x, dy, w, window, groups)
    results = {
        "y": way.forward(x, w, None, window, groups),
        "y + b": way.forward(x, w, by, window, groups),
        "dx": way.input_grad(dy, w, None, window, groups),
        "dx + b": way.input_grad(dy, w, bx, window, groups),
        "dw": way.weight_grad(x, dy, window, groups),
        "y, both": y,
        "dw, both": both_dw,
    }
    together = way.input_and_weight_grad(dy, x, w, window, groups)
    if together is not None:
        results |= {"dx, both": together[0], "dw, together": together[1]}
    assert all(result.flags.c_contiguous for result in results.values())
    return {name: device.get(result) for name, result in results.items()}


def check_exactly(device, way, g, seed, name="fp32", budget=None):
    arrays = data(g, seed, "integer", np.float64 if name == "fp64" else np.float32)
    want = wanted(g, arrays)
    with precision(None if name == "fp64" else name), ops.workspace_limit(budget):
        results = found(device, way, g, arrays)
    for what, result in results.items():
        assert result.dtype == want[what].dtype, what
        np.testing.assert_array_equal(result, want[what], err_msg=what)


@given(any_geometry, seeds(), precision_names, budgets)
@settings(max_examples=60)
def test_integers_come_out_exactly(cupy_device, g, seed, name, budget):
    check_exactly(cupy_device, im2col_gemm, g, seed, name, budget)


@pytest.mark.parametrize("budget", [None, 700])
@pytest.mark.parametrize("name", [*PRECISIONS, "fp64"])
@pytest.mark.parametrize("g", [*PRODUCTS, *OTHERS], ids=lambda g: g.family())
def test_the_cases_that_are_treated_apart(cupy_device, g, name, budget):
    check_exactly(cupy_device, im2col_gemm, g, 0, name, budget)


@given(any_geometry, seeds(), precision_names)
@example(OTHERS[0], 0, "fp32")
@example(OTHERS[0], 0, "tf32")
@example(OTHERS[0], 0, "fp16")
@settings(max_examples=30)
def test_rounding_errors_are_those_of_the_precision(cupy_device, g, seed, name):
    arrays = data(g, seed, "normal", np.float64)
    want = wanted(g, arrays)
    given_ = [a.astype(np.float64 if name == "fp64" else np.float32) for a in arrays]
    with precision(None if name == "fp64" else name):
        results = found(cupy_device, im2col_gemm, g, given_)
    # against the sum of the sizes of all terms: what is added up may cancel
    sizes = wanted(g, [np.abs(a) for a in arrays])
    for what, result in results.items():
        error = np.linalg.norm(result - want[what])
        assert error <= TOLERANCES[name] * np.linalg.norm(sizes[what]), what


@pytest.mark.parametrize("name", PRECISIONS[1:])
def test_fewer_bits_are_seen(cupy_device, name):
    """The factors really are rounded: the error is what these bits must give, not less."""
    g = OTHERS[0]
    arrays = data(g, 0, "normal", np.float64)
    want = wanted(g, arrays)
    with precision(name):
        results = found(cupy_device, im2col_gemm, g, [a.astype(np.float32) for a in arrays])
    for what, result in results.items():
        error = np.linalg.norm(result - want[what]) / np.linalg.norm(want[what])
        assert 0.05 * TOLERANCES[name] < error < TOLERANCES[name], what


@given(any_geometry, seeds())
@settings(max_examples=30)
def test_the_three_passes_are_each_others_adjoints(cupy_device, g, seed):
    """<conv(x, w), y> = <x, input_grad(y, w)> = <w, weight_grad(x, y)>, on integers."""
    arrays = data(g, seed)
    results = found(cupy_device, im2col_gemm, g, arrays)

    def inner(a, b):
        return np.sum(a.astype(np.float64) * b)

    form = inner(results["y"], last(arrays[2]))
    assert inner(results["dx"], last(arrays[0])) == form
    assert inner(results["dw"], first(arrays[1])) == form


def test_a_window_that_leaves_out_what_it_could_reach(cupy_device):
    """An output padding above the stride: the image is larger than its windows need."""
    dy, w = values((2, 3, 4, 5), 0, dtype=np.float32), values((3, 2, 2, 2), 1, dtype=np.float32)
    for stride in ((1, 1), (2, 1)):
        options = {"stride": stride, "dilation": (3, 3), "output_padding": (2, 1)}
        with algorithm("reference"):
            dx = ops.conv_transpose2d(dy, w, **options)
            gradients = ops.conv_transpose2d_backward(dx, dy, w, stride, dilation=(3, 3))
        window = conv_window("test", dx.shape[2:], (2, 2), stride, 0, 3)
        window = replace(window, out=(4, 5))
        put = cupy_device.put
        result = im2col_gemm.input_grad(put(last(dy)), put(first(w)), None, window, 1)
        np.testing.assert_array_equal(cupy_device.get(result), last(dx))
        both = im2col_gemm.forward_and_weight_grad(
            put(last(dx)), put(last(dy)), put(first(w)), window, 1
        )
        np.testing.assert_array_equal(cupy_device.get(both[0]), last(gradients[0]))
        np.testing.assert_array_equal(cupy_device.get(both[1]), first(gradients[1]))


def _but(**other):
    """Return the algorithm with some of its passes replaced."""
    passes = {name: getattr(im2col_gemm, name) for name in im2col_gemm.__all__}
    return SimpleNamespace(**{**passes, **other})


def _wrong_ways():
    right = im2col_gemm

    def reversed_bias(x, w, bias, window, groups):
        return right.forward(x, w, None if bias is None else bias[::-1].copy(), window, groups)

    def turned(dy, w, bias, window, groups):
        return right.input_grad(dy, w[::-1, ::-1].copy(), bias, window, groups)

    def one_group(x, dy, window, groups):
        dw = right.weight_grad(x, dy, window, groups)
        dw[..., dw.shape[3] // groups :] = 0
        return dw

    def last_image(x, dy, w, window, groups):
        y, _ = right.forward_and_weight_grad(x, dy, w, window, groups)
        return y, right.weight_grad(x[-1:], dy[-1:], window, groups)

    def not_exchanged(dy, x, w, window, groups):
        found = right.input_and_weight_grad(dy, x, w, window, groups)
        return found and (found[0], found[1][::-1].copy())

    return {
        "the bias runs backwards": _but(forward=reversed_bias),
        "the kernel is turned": _but(input_grad=turned),
        "only one group": _but(weight_grad=one_group),
        "only the last image": _but(forward_and_weight_grad=last_image),
        "rows of the kernel change places": _but(input_and_weight_grad=not_exchanged),
    }


@pytest.mark.parametrize("name", _wrong_ways())
def test_wrong_versions_are_rejected(cupy_device, name):
    g = ConvGeometry(2, 8, 4, size=(5, 7), kernel=(3, 2), padding=(1, 1), groups=2)
    check_exactly(cupy_device, im2col_gemm, g, 0)
    with pytest.raises(AssertionError):
        check_exactly(cupy_device, _wrong_ways()[name], g, 0)


SLIPS = {
    "the gradient's window is not mirrored": (
        "_backwards",
        lambda window: replace(window, size=window.out, out=window.size),
    ),
    "a block forgets those before it": ("touched", lambda window, rows, done: _fresh(window, rows)),
    "every weight is in one group": (
        "exchanged",
        lambda w, groups, kind: exchange.exchanged(w, 1, kind).reshape(
            *w.shape[:2], w.shape[3] // groups, -1
        ),
    ),
}


def _fresh(window, rows):
    """Rows of the image by proportion, as if windows did not overlap."""
    h, ho = window.size[0], window.out[0]
    return range(rows.start * h // ho, rows.stop * h // ho)


@pytest.mark.parametrize("name", SLIPS)
def test_slips_inside_are_rejected(cupy_device, monkeypatch, name):
    attribute, wrong = SLIPS[name]
    for stride, padding in (((1, 1), (1, 1)), ((2, 1), (0, 1))):
        g = ConvGeometry(
            2, 12, 4, size=(7, 6), kernel=(3, 2), stride=stride, padding=padding, groups=2
        )
        check_exactly(cupy_device, im2col_gemm, g, 0, budget=700)
        with monkeypatch.context() as patch:
            patch.setattr(im2col_gemm, attribute, wrong)
            try:
                check_exactly(cupy_device, im2col_gemm, g, 0, budget=700)
            except (AssertionError, ValueError):
                return
    pytest.fail("no check noticed it")
