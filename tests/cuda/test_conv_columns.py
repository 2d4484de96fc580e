"""The kernels im2col, col2im, rounding and bias: bit by bit, any geometry and block of rows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minideconv import ops
from minideconv.engine.cuda import columns, exchange, products
from minideconv.ops.im2col import Window, conv_window
from minideconv.testing import ConvGeometry, conv_geometries, seeds, values

geometries = conv_geometries(max_out=5, max_kernel=4, max_batch=3, max_channels=3)
wide = conv_geometries(max_out=3, max_kernel=2, max_batch=2, max_channels=12, max_groups=2)
any_geometry = st.one_of(geometries, wide)
cuts = st.integers(1, 4)  # into how many blocks of rows the work is cut

PRECISIONS = ("fp32", "bf16", "fp16")
TIES = [1 + n * 2.0**-k for n in (1, 3) for k in (9, 12)] + [2.0**-25, 3 * 2.0**-25, 65520, 3.4e38]
ORDINARY = [1.0, -1e-3, 65504, 65519.9, 1e-7, 2.0**-24, 1.1 * 2.0**-25, 6.1e-5]
SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, *TIES, *ORDINARY], np.float32)


def window_of(g: ConvGeometry) -> Window:
    return conv_window("test", g.size, g.kernel, g.stride, g.padding, g.dilation)


def kind_of(dtype, precision="fp32"):
    return products._factors(np.dtype(dtype), precision)


def numbers(shape, seed, dtype=np.float32):
    """Normal numbers, and among them all that are special."""
    x = values(shape, seed, "normal", dtype).ravel()
    places = np.random.default_rng(seed).permutation(x.size)[: len(SPECIAL)]
    x[places] = SPECIAL[: len(places)]
    return x.reshape(shape)


def bfloat16(x):
    """Round to bfloat16 by trying both neighbours: the nearer one, of two the even one."""
    below = (x.view(np.uint32) >> 16).astype(np.uint32)
    near, far = ((below + step) << 16 for step in (0, 1))
    with np.errstate(invalid="ignore", over="ignore"):
        exact = x.astype(np.float64)
        ends = [
            np.asarray(end, np.uint32).view(np.float32).astype(np.float64) for end in (near, far)
        ]
        # behind the last number comes 2^128, which is written as infinity
        ends = [np.where(np.isinf(end), np.copysign(2.0**128, end), end) for end in ends]
        distances = [np.abs(exact - end) for end in ends]
    up = (distances[1] < distances[0]) | ((distances[1] == distances[0]) & (below & 1 == 1))
    return np.where(np.isfinite(x), below + up, below).astype(np.uint16)


def as_factors(x, precision):
    """Return float32 numbers in the order of the product, by NumPy."""
    if precision == "bf16":
        return bfloat16(x)
    with np.errstate(over="ignore"):
        return x.astype(np.float16).view(np.uint16) if precision == "fp16" else x


def same_bits(found, want, precision="fp32"):
    """Compare every bit, but NaN in 16 bits only as NaN: their digits are the hardware's."""
    assert found.shape == want.shape
    assert found.dtype == want.dtype
    found, want = (
        a.view({2: np.uint16, 4: np.uint32, 8: np.uint64}[a.itemsize]) for a in (found, want)
    )
    if found.itemsize == 2:
        infinity = 0x7C00 if precision == "fp16" else 0x7F80
        found, want = (np.where((a & 0x7FFF) > infinity, 0xFFFF, a) for a in (found, want))
    np.testing.assert_array_equal(found, want)


def readable(x, g):
    """Columns of `x` (N, H, W, C) by `ops.im2col`, as (positions, groups, kh kw C/groups)."""
    n, c, (ho, wo) = g.batch, g.c_in, g.out_size
    arguments = (g.kernel, g.stride, g.padding, g.dilation)
    cols = ops.im2col(np.ascontiguousarray(x.transpose(0, 3, 1, 2)), *arguments)
    cols = cols.reshape(n, g.groups, c // g.groups, *g.kernel, ho * wo)
    cols = cols.transpose(0, 5, 1, 3, 4, 2)
    return np.ascontiguousarray(cols).reshape(n * ho * wo, -1)


def row_blocks(rows, count):
    edges = [rows * i // count for i in range(count + 1)]
    return [range(*edge) for edge in pairwise(edges) if edge[1] > edge[0]]


def check_im2col(gpu, g, seed, count, dtype=np.float32, precision="fp32"):
    window, kind = window_of(g), kind_of(dtype, precision)
    n, c, (ho, wo) = g.batch, g.c_in, g.out_size
    x = numbers((n, *g.size, c), seed, dtype)
    want = as_factors(readable(x, g), precision)
    device_x = gpu.put(x)
    for rows in row_blocks(n * ho, count):
        cols = gpu.xp.full((len(rows) * wo, want.shape[1]), 99, kind.dtype)
        columns.im2col(device_x, window, g.groups, kind, rows, cols)
        found = gpu.get(products.bits(cols))
        same_bits(found, want[rows.start * wo : rows.stop * wo], precision)


def check_col2im(gpu, g, seed, count, dtype=np.float32):
    window = window_of(g)
    n, c, (ho, wo) = g.batch, g.c_in, g.out_size
    width = c * g.kernel[0] * g.kernel[1]
    dcols = values((n * ho * wo, width), seed, dtype=dtype)
    bias = values(c, seed + 1, dtype=dtype)
    nhwc = dcols.reshape(n, ho * wo, g.groups, *g.kernel, c // g.groups).transpose(0, 2, 5, 3, 4, 1)
    arguments = (g.size, g.kernel, g.stride, g.padding, g.dilation)
    want = ops.col2im(nhwc.reshape(n, width, ho * wo), *arguments).transpose(0, 2, 3, 1)
    for added in (None, bias):
        x, done = gpu.xp.full((n, *g.size, c), np.nan, dtype), 0
        for rows in row_blocks(n * ho, count):
            part = gpu.put(dcols[rows.start * wo : rows.stop * wo].copy())
            pixels = columns.touched(window, rows, done)
            device_bias = None if added is None else gpu.put(added)
            columns.col2im(part, device_bias, x, window, g.groups, rows, pixels, done)
            done = pixels.stop
        assert done == n * g.size[0]
        np.testing.assert_array_equal(gpu.get(x), want if added is None else want + added)


@given(any_geometry, seeds(), cuts, st.sampled_from((*PRECISIONS, "fp64")))
@example(ConvGeometry(1, 8, 8, size=(1, 1), kernel=(2, 3), padding=(3, 2)), 0, 1, "fp32")
@settings(max_examples=60)
def test_columns_are_the_readable_ones_bit_by_bit(gpu, g, seed, count, precision):
    dtype = np.float64 if precision == "fp64" else np.float32
    check_im2col(gpu, g, seed, count, dtype, precision)


@given(any_geometry, seeds(), cuts, st.sampled_from((np.float32, np.float64)))
@example(ConvGeometry(2, 4, 8, size=(9, 5), kernel=(1, 2), stride=(4, 3)), 0, 4, np.float32)
@settings(max_examples=60)
def test_every_pixel_collects_its_columns(gpu, g, seed, count, dtype):
    check_col2im(gpu, g, seed, count, dtype)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("size", [1, 4, 8, 1000])
def test_rounding_is_to_the_nearest_ties_to_even(gpu, precision, size):
    rng = np.random.default_rng(size)
    x = rng.integers(0, 2**32, size, np.uint32).view(np.float32)  # all exponents
    x[: len(SPECIAL)] = SPECIAL[:size]
    found = products.rounded(gpu.put(x), kind_of(np.float32, precision))
    same_bits(gpu.get(products.bits(found)), as_factors(x, precision), precision)


@given(
    st.integers(1, 5),
    st.integers(1, 70),
    st.integers(1, 3),
    st.integers(1, 40),
    st.sampled_from((*PRECISIONS, "fp64")),
)
@example(1, 33, 1, 64, "fp32")
@example(2, 32, 2, 31, "bf16")
@settings(max_examples=25)
def test_channels_of_a_weight_change_places(gpu, taps, c, groups, k, precision):
    w = numbers((taps, 1, c, groups * k), c, np.float64 if precision == "fp64" else np.float32)
    want = as_factors(w, precision).reshape(taps, c, groups, k).transpose(0, 3, 2, 1)
    found = exchange.exchanged(gpu.put(w), groups, kind_of(w.dtype, precision))
    want = np.ascontiguousarray(want).reshape(taps, 1, k, groups * c)
    same_bits(gpu.get(products.bits(found)), want, precision)


def test_what_needs_no_rounding_is_not_copied(gpu):
    for dtype, precision in ((np.float32, "fp32"), (np.float32, "tf32"), (np.float64, "bf16")):
        x = gpu.put(values(5, 0, dtype=dtype))
        assert products.rounded(x, kind_of(dtype, precision)) is x


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 3, 8])
def test_a_bias_is_added_to_every_row(gpu, dtype, k):
    y, bias = values((2, 3, 5, k), 0, dtype=dtype), values(k + 1, 1, dtype=dtype)[1:]
    found = gpu.put(y.copy())
    products.add_bias(found, gpu.put(bias))
    np.testing.assert_array_equal(gpu.get(found), y + bias)
    products.add_bias(found, None)
    np.testing.assert_array_equal(gpu.get(found), y + bias)


def test_arrays_that_begin_at_odd_places(gpu):
    """A view may begin where no vector of numbers may: then they are moved one by one."""
    memory = gpu.put(values(1 + 2 * 3 * 4, 0, dtype=np.float32))
    kind = kind_of(np.float32)
    assert products.vector(4, kind, memory[:-1]) == 4
    assert products.vector(6, kind, memory) == 1
    x = memory[1:].reshape(1, 2, 3, 4)
    assert products.vector(4, kind, x) == 1
    cols = gpu.xp.empty((6, 4), np.float32)
    window = conv_window("test", (2, 3), 1, 1, 0, 1)
    columns.im2col(x, window, 1, kind, range(2), cols)
    np.testing.assert_array_equal(gpu.get(cols), gpu.get(memory)[1:].reshape(6, 4))


@given(st.integers(1, 50), st.integers(1, 100), st.integers(1, 400))
def test_blocks_cover_all_rows_within_the_budget(rows, bytes_per_row, budget):
    with ops.workspace_limit(budget):
        found = columns.blocks(rows, bytes_per_row)
    assert [row for block in found for row in block] == list(range(rows))
    longest = max(map(len, found))
    assert longest == 1 or longest * bytes_per_row <= budget
    assert longest - min(map(len, found)) <= 1


WRONG = (
    ("im2col", "const i32 y = top + i * dh", "const i32 y = top + i"),
    ("im2col", "z < w)", "z + 3 < w)"),
    ("im2col", "column * sw - pw", "column * sh - pw"),
    ("im2col", "y >= 0 && y < h", "y > 0 && y < h"),
    ("im2col", "(first + row) % ho * sh", "row % ho * sh"),
    ("im2col", "/ ho) * h * w * c", "/ ho) * (h - 1) * w * c"),
    ("im2col", "+ group) * kh * kw", "+ group) * kw * kw"),
    ("im2col", "to += in_group;", ";"),
    ("col2im", "if (distance % stride != 0) return -1;", ""),
    ("col2im", "distance < count ?", "distance < count - 1 ?"),
    ("col2im", "above + y >= rows) continue", "above + y >= rows - 1) continue"),
    ("col2im", "|| above + y < 0", "|| above + y <= 0"),
    ("col2im", "row % h + ph", "row % h + pw"),
    ("col2im", "(i * kw + j) * in_group", "(j * kw + i) * in_group"),
    ("col2im", "if (row < fresh) sums[k]", "if (false) sums[k]"),
    ("col2im", "else if (biased) sums", "if (biased) sums"),
    ("col2im", "bias[channel + k]", "bias[k]"),
    ("col2im", "window_at(q - j * dw, sw, wo)", "window_at(q - j * dh, sw, wo)"),
)


def check_exchange(gpu):
    w = values((6, 1, 40, 2 * 70), 0, dtype=np.float32)
    found = exchange.exchanged(gpu.put(w), 2, kind_of(np.float32))
    want = w.reshape(6, 40, 2, 70).transpose(0, 3, 2, 1).reshape(6, 1, 70, 80)
    np.testing.assert_array_equal(gpu.get(found), want)


WRONG_EXCHANGES = (
    ("tile[x][y]", "tile[y][x]"),
    ("        __syncthreads();\n        for", "        for"),
    ("ROUND(tile", "-ROUND(tile"),
)


@pytest.mark.parametrize(("right", "wrong"), WRONG_EXCHANGES)
def test_wrong_exchanges_are_rejected(gpu, slip, right, wrong):
    check_exchange(gpu)
    with slip("exchange.cu", right, wrong), pytest.raises(AssertionError):
        check_exchange(gpu)


@pytest.mark.parametrize(("kernel", "right", "wrong"), WRONG)
def test_wrong_kernels_are_rejected(gpu, slip, kernel, right, wrong):
    """Each of these has one slip in its source. None reads or writes outside of its arrays."""
    g = ConvGeometry(
        3,
        8,
        4,
        size=(9, 13),
        kernel=(3, 2),
        stride=(2, 3),
        padding=(2, 1),
        dilation=(2, 3),
        groups=2,
    )
    check = {"im2col": check_im2col, "col2im": check_col2im}[kernel]
    check(gpu, g, 0, 4)
    with slip("im2col.cu", right, wrong), pytest.raises(AssertionError):
        check(gpu, g, 0, 4)
