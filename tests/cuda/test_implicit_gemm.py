"""Implicit GEMM: every variant against NumPy in float64, exact on integers, schedules, mutants.

The kernels hold instructions that the host compiler does not know, so they run on the devices
"fakecuda" and "gpu" only. The device "fakecuda" gives a product's copies their data when they are
waited for, not before, fills shared memory with NaN, and runs threads in a chosen order: a missing
wait, barrier or zero shows in the numbers.
"""

from __future__ import annotations

import re
import sys
from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minideconv import ops
from minideconv.backend import Device
from minideconv.backend.algorithms import algorithm
from minideconv.backend.precisions import precision
from minideconv.engine.cuda import implicit_gemm, module
from minideconv.engine.cuda.problem import ConvProblem
from minideconv.engine.cuda.products import factors
from minideconv.engine.cuda.streams import computing_on
from minideconv.ops.im2col import conv_window
from minideconv.testing import ConvGeometry, conv_geometries, values

pytestmark = pytest.mark.usefixtures("tensor_cores")

PRECISIONS = ("tf32", "bf16", "fp16")
OPERATIONS = ("forward", "input_grad", "weight_grad")
VARIANTS = [(p, t, o) for p, t, o in product(PRECISIONS, implicit_gemm.TILES, OPERATIONS)
            if (t, o) != ("256x64", "weight_grad")]  # fmt: skip
GEOMETRIES = [  # partly filled tiles, several tiles, unequal sides; every phase of the strides
    ConvGeometry(2, 24, 40, (9, 7), (3, 3), padding=(1, 1)),
    ConvGeometry(1, 16, 72, (8, 11), (3, 2), (2, 1), (1, 2), (1, 2)),
    ConvGeometry(1, 8, 16, (10, 9), (5, 3), (3, 2), (2, 2), (2, 1)),
    ConvGeometry(1, 48, 136, (6, 5), (1, 2), (2, 3)),
    ConvGeometry(2, 72, 24, (13, 12), (2, 3), padding=(0, 1)),
]
LONG = ConvGeometry(3, 8, 16, (29, 31), (1, 2), padding=(0, 1))  # a sum in several parts


# ---------------------------------------------------------------------------------------------
# The oracle: the readable operation in float64, of factors rounded by arithmetic


def as_factors(array, name):
    """The nearest numbers with 8 or 11 digits: bf16 and fp16 ties to even, tf32 away from zero."""
    digits = {"tf32": 11, "bf16": 8, "fp16": 11}[name]
    mantissa, exponent = np.frexp(array.astype(np.float64))
    scaled = mantissa * 2**digits
    away = np.trunc(scaled + np.copysign(0.5, scaled))
    return np.ldexp(away if name == "tf32" else np.rint(scaled), exponent - digits)


def arrays(g, seed, kind):
    """x, w, dy, and the biases of y and dx, in shapes as the operations have them."""
    shapes = (g.x_shape, g.w_shape, g.y_shape, (g.c_out,), (g.c_in,))
    return [values(s, seed + i, kind, np.float32) for i, s in enumerate(shapes)]


def expected(operation, g, x, w, dy, bias, dx_bias, name):
    x, w, dy = (as_factors(array, name) for array in (x, w, dy))
    with algorithm("reference"):
        if operation == "forward":
            return ops.conv2d(x, w, bias.astype(np.float64), **g.kwargs)
        if operation == "weight_grad":
            return ops.conv2d_weight_grad(x, dy, g.kernel, **g.kwargs)
        return ops.conv_transpose2d(dy, w, dx_bias.astype(np.float64), **g.transpose_kwargs)


def computed(device, operation, g, x, w, dy, bias, dx_bias, name, tile):
    def put(array):
        return device.put(np.ascontiguousarray(array))

    x, dy = (put(array.transpose(0, 2, 3, 1)) for array in (x, dy))
    w = put(w.transpose(2, 3, 1, 0))
    window = conv_window("test", g.size, g.kernel, g.stride, g.padding, g.dilation)
    with precision(name):
        if operation == "forward":
            y = implicit_gemm.forward(x, w, put(bias), window, 1, tile=tile)
        elif operation == "input_grad":
            y = implicit_gemm.input_grad(dy, w, put(dx_bias), window, 1, tile=tile)
        else:
            dw = implicit_gemm.weight_grad(x, dy, window, 1, tile=tile)
            return device.get(dw).transpose(3, 2, 0, 1)
    return device.get(y).transpose(0, 3, 1, 2)


def error(device, operation, g, name, tile, kind="normal", seed=0):
    """Norm of the error, relative to that of the result; infinite if there is a NaN."""
    data = arrays(g, seed, kind)
    want = expected(operation, g, *data, name)
    found = np.linalg.norm(computed(device, operation, g, *data, name, tile) - want)
    return found / np.linalg.norm(want) if np.isfinite(found) else np.inf


# ---------------------------------------------------------------------------------------------
# Right numbers


def bound(device, operation, g, name):
    """Return the largest error that is due to the sum in float32.

    A tensor core adds the few products of an mma and cuts off what float32 cannot hold, where the
    emulated one rounds (Fasi, Higham, Mikaitis and Pranesh, "Numerical behavior of NVIDIA tensor
    cores", 2021, section 3). Such errors have one sign and add up: half a unit in the last place
    for each mma of the sum. Seen on an H200: 1.01e-6 for 54 of them.
    """
    if device.kind != "gpu":
        return 1e-6
    channels = {"forward": g.c_in, "input_grad": g.c_out}.get(operation)
    summands = prod(g.y_shape) // g.c_out if channels is None else channels * prod(g.kernel)
    return max(1e-6, summands / (8 if name == "tf32" else 16) * 2.0**-24)


@pytest.mark.parametrize(("name", "tile", "operation"), VARIANTS)
def test_every_variant_multiplies_the_rounded_factors(cupy_device, name, tile, operation):
    for g in GEOMETRIES:
        most = bound(cupy_device, operation, g, name)
        assert error(cupy_device, operation, g, name, tile) < most, g.code()


@st.composite
def cases(draw):
    """A geometry whose channels fill vectors, and a variant of an operation that takes it."""
    name, tile, operation = draw(st.sampled_from(VARIANTS))
    vector = 4 if name == "tf32" else 8
    g = draw(conv_geometries(max_groups=1, max_channels=1, max_out=5))
    c, k = (draw(st.integers(1, 12)) for _ in range(2))
    c *= vector if operation != "input_grad" else 1  # channels that the sum runs along
    k *= vector if operation != "forward" else 1
    fields = (g.size, g.kernel, g.stride, g.padding, g.dilation, 1, g.output_padding)
    return ConvGeometry(g.batch, c, k, *fields), name, tile, operation


@settings(max_examples=40)
@given(case=cases(), seed=st.integers(0, 1 << 16))
def test_integers_are_multiplied_exactly(cupy_device, case, seed):
    g, name, tile, operation = case
    data = arrays(g, seed, "integer")
    want = expected(operation, g, *data, name)
    np.testing.assert_array_equal(
        computed(cupy_device, operation, g, *data, name, tile), want, g.code()
    )


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", PRECISIONS)
def test_nan_and_infinity_reach_what_they_reach_in_the_readable_operation(
    cupy_device, name, operation
):
    g = ConvGeometry(2, 16, 24, (7, 6), (3, 2), (2, 1), (1, 0))
    x, w, dy, *biases = arrays(g, 0, "normal")
    x[0, 3, 2, 1], x[1, 5, 4, 3] = np.nan, np.inf
    dy[0, 2, 1, 1], dy[1, 4, 2, 3] = np.inf, np.nan
    got = computed(cupy_device, operation, g, x, w, dy, *biases, name, "64x64")
    with np.errstate(invalid="ignore"):
        want = expected(operation, g, x, w, dy, *biases, name)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(np.sign(got[np.isinf(want)]), np.sign(want[np.isinf(want)]))


@pytest.mark.parametrize("name", PRECISIONS)
def test_long_sums_are_cut_into_parts_and_added_up(cupy_device, name, monkeypatch):
    parts = []
    real = implicit_gemm._parts
    monkeypatch.setattr(implicit_gemm, "_parts", lambda *a: parts.append(real(*a)) or parts[-1])
    most = bound(cupy_device, "weight_grad", LONG, name)
    assert error(cupy_device, "weight_grad", LONG, name, "64x64") < most
    assert parts[0] > 1
    assert real(1, 1 << 30, 1 << 20) == 1056  # enough to do for any GPU
    assert real(2000, 1 << 30, 1 << 20) == 1  # there are blocks enough
    assert real(1, 1 << 30, 7) == 7  # no more to add than there was to read
    assert real(1, 64 * 16 * 5, 1 << 20) == 5  # none is short


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_same_bits_in_every_schedule(cupy_device, schedule, operation):
    g = ConvGeometry(2, 40, 72, (9, 17), (3, 2), (1, 2), (1, 1))
    data = arrays(g, 5, "normal")
    results = []
    for order in ("forward", "forward", "reverse", "shuffle"):
        with schedule(order):
            results.append(computed(cupy_device, operation, g, *data, "bf16", "64x64"))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_weights_may_begin_anywhere_in_a_buffer(cupy_device):
    """float32 weights are read as vectors of 16 bytes where nothing rounds them before."""
    xp, g = cupy_device.xp, ConvGeometry(1, 5, 8, (4, 3), (2, 2))
    data = arrays(g, 7, "integer")
    window = conv_window("test", g.size, g.kernel, 1, 0, 1)
    w = np.ascontiguousarray(data[1].transpose(2, 3, 1, 0))
    flat = xp.zeros(w.size + 1, np.float32)
    flat[1:] = cupy_device.put(w.ravel())
    dy = cupy_device.put(np.ascontiguousarray(data[2].transpose(0, 2, 3, 1)))
    with precision("tf32"):
        dx = implicit_gemm.input_grad(dy, flat[1:].reshape(w.shape), None, window, 1, tile="64x64")
    want = expected("input_grad", g, *data[:4], np.zeros(5), "tf32")
    np.testing.assert_array_equal(cupy_device.get(dx).transpose(0, 3, 1, 2), want)


# ---------------------------------------------------------------------------------------------
# What it costs: launches and memory


def test_launches_memory_and_no_wait(cupy_device):
    """A convolution makes 1 to 3 launches and no array as large as a patch matrix."""
    if cupy_device.kind != "fakecuda":
        pytest.skip("calls are counted on the device fakecuda")
    fakecuda, cupy = sys.modules["fakecuda"], cupy_device.xp
    g = ConvGeometry(2, 16, 24, (12, 10), (3, 3), padding=(1, 1))
    window = conv_window("test", g.size, g.kernel, 1, 1, 1)
    x, dy = (cupy.ones((2, 12, 10, c), np.float32) for c in (16, 24))
    w = cupy.ones((3, 3, 16, 24), np.float32)
    calls = {
        "forward": lambda: implicit_gemm.forward(x, w, None, window, 1, tile="64x64"),
        "input_grad": lambda: implicit_gemm.input_grad(dy, w, None, window, 1, tile="64x64"),
        "weight_grad": lambda: implicit_gemm.weight_grad(x, dy, window, 1, tile="64x64"),
    }
    launches = {"tf32": (2, 1, 1), "bf16": (3, 3, 3), "fp16": (3, 3, 3)}
    pool = cupy.cuda.MemoryPool()
    sizes = []

    def malloc(size):
        sizes.append(size)
        return pool.malloc(size)

    for name in PRECISIONS:
        for operation, count in zip(OPERATIONS, launches[name], strict=True):
            with precision(name), cupy.cuda.using_allocator(malloc):
                calls[operation]()
                sizes.clear()
                fakecuda.reset()
                calls[operation]()
            stats = fakecuda.stats()
            assert stats["launches"] == count, (name, operation)
            for never in ("gemms", "syncs", "h2d", "d2h", "d2d", "mallocs"):
                assert stats[never] == 0, (name, operation, never)
            columns = 2 * prod(window.out) * 9 * 16 * (4 if name == "tf32" else 2)
            assert sum(sizes) < columns, (name, operation)


def test_what_was_captured_in_a_graph_computes_with_new_numbers(cupy_device):
    cupy = cupy_device.xp
    g = ConvGeometry(1, 16, 8, (6, 5), (3, 3), padding=(1, 1))
    window = conv_window("test", g.size, g.kernel, 1, 1, 1)
    first, second = (arrays(g, seed, "integer") for seed in (0, 50))
    host = [np.ascontiguousarray(a.transpose(0, 2, 3, 1)) for a in (first[0], first[2])]
    x, dy = map(cupy_device.put, host)
    w = cupy_device.put(np.ascontiguousarray(first[1].transpose(2, 3, 1, 0)))
    pool = cupy.cuda.MemoryPool()

    def step():
        y = implicit_gemm.forward(x, w, None, window, 1, tile="64x64")
        return y, implicit_gemm.weight_grad(x, dy, window, 1, tile="64x64")

    with precision("bf16"), computing_on(Device("gpu")), cupy.cuda.using_allocator(pool.malloc):
        stream = cupy.cuda.get_current_stream()
        step()
        stream.begin_capture()
        y, dw = step()
        graph = stream.end_capture()
        x.set(np.ascontiguousarray(second[0].transpose(0, 2, 3, 1)))
        graph.launch(stream)
        stream.synchronize()
    data = [second[0], first[1], first[2], np.zeros(8, np.float32), None]
    want = expected("forward", g, *data, "bf16"), expected("weight_grad", g, *data, "bf16")
    np.testing.assert_array_equal(cupy_device.get(y).transpose(0, 3, 1, 2), want[0])
    np.testing.assert_array_equal(cupy_device.get(dw).transpose(3, 2, 0, 1), want[1])


# ---------------------------------------------------------------------------------------------
# What it takes, and what it is compiled for


def test_what_it_takes():
    window = conv_window("test", (6, 5), (3, 3), (2, 1), 1, 1)

    def fits(operation="forward", c=8, k=8, groups=1, dtype=np.float32, name="bf16", n=1):
        problem = ConvProblem(operation, window, n, c, k, groups, np.dtype(dtype), name)
        return implicit_gemm.fits(problem)

    assert all(fits(operation, name=name) for operation in OPERATIONS for name in PRECISIONS)
    assert fits(k=3)
    assert fits("input_grad", c=3)
    assert fits(c=4, name="tf32")
    for wrong in (
        {"c": 3},
        {"c": 12},
        {"c": 6, "name": "tf32"},
        {"operation": "input_grad", "k": 12},
        {"operation": "weight_grad", "k": 12},
        {"operation": "weight_grad", "c": 12},
        {"name": "fp32"},
        {"dtype": np.float64},
        {"groups": 2},
        {"n": 0},
        {"n": 1 << 26},
    ):
        assert not fits(**wrong), wrong


@pytest.mark.parametrize("file", ["implicit_gemm.cu", "implicit_weight_grad.cu"])
def test_the_lines_for_the_compiler_are_what_is_launched(file):
    lines = re.findall(r"^// compile: (.*)$", module.source(file), re.MULTILINE)
    wanted = set()
    for name, tile in product(PRECISIONS, implicit_gemm.TILES.items()):
        if (file, tile[0]) != ("implicit_weight_grad.cu", "256x64"):
            with precision(name):
                wanted.add(frozenset(tile[1].macros(factors(np.float32))))
    assert {frozenset(line.split()) for line in lines} == wanted
    assert len(lines) == len(wanted)


def test_division_by_multiplication():
    rng = np.random.default_rng(0)
    largest = (1 << 31) - 1
    for divisor in [1, 2, 3, 5, 7, 224, 50176, 1 << 20, largest - 1, largest]:
        multiplier, shift = implicit_gemm._divisor(divisor)
        assert 0 < multiplier < 1 << 32
        close = [divisor * m + r for m in (1, 2, largest // divisor) for r in (-1, 0, 1)]
        for number in [0, largest, *close, *map(int, rng.integers(0, largest, 200))]:
            if 0 <= number <= largest:
                high = number * multiplier >> 32
                assert high + number < 1 << 32
                assert (high + number) >> shift == number // divisor, (number, divisor)


# ---------------------------------------------------------------------------------------------
# Shared memory: a processor serves eight lanes at once if their vectors are in different banks


def places(device, file, name, call, columns):
    """Evaluate ``place`` of a kernel file for the rows and columns of a tile, in vectors."""
    text = f"""{module.source(file)}
extern "C" __global__ void places(i32* found, i32 rows, i32 columns) {{
  GRID_STRIDE(i, rows * columns) found[i] = {call};
}}"""
    with precision(name):
        macros = implicit_gemm.TILES["64x64"].macros(factors(np.float32))
    code = device.xp.RawModule(code=text, options=module.options(np.float32, macros))
    found = device.xp.zeros((16, columns), np.int32)
    code.get_function("places")((1,), (64,), (found, np.int32(16), np.int32(columns)))
    found = device.get(found) // 16
    assert sorted(found.ravel()) == list(range(found.size))  # every vector has its own place
    return found


def differ(found, rows, columns):
    """Whether eight vectors are in eight different groups of banks."""
    return len({found[row, column] % 8 for row, column in zip(rows, columns, strict=True)}) == 8


def rows_without_conflicts(device):
    found = places(device, "implicit_gemm.cu", "bf16", "place(i / columns, i % columns)", 4)
    reads = [differ(found, range(r, r + 8), [c] * 8) for r in (0, 8) for c in range(4)]
    writes = [differ(found, [r] * 4 + [r + 1] * 4, [0, 1, 2, 3] * 2) for r in range(0, 16, 2)]
    assert all(writes)
    return all(reads)


def test_rows_of_a_tile_are_read_and_written_without_conflicts(cupy_device):
    assert rows_without_conflicts(cupy_device)


def test_rows_in_wrong_places_have_conflicts(cupy_device, slip):
    with slip("implicit_gemm.cu", "(column ^ (row / 2 % VECTORS))", "column"):
        assert not rows_without_conflicts(cupy_device)


def columns_without_conflicts(device, name):
    call = "place(i / columns, i % columns, columns)"
    found = places(device, "implicit_weight_grad.cu", name, call, 16)
    assert all(differ(found, [row] * 8, range(c, c + 8)) for row in range(16) for c in (0, 8))
    if name == "bf16":  # one column of eight pixels
        reads = [differ(found, range(r, r + 8), [c] * 8) for r in (0, 8) for c in range(16)]
    else:  # two columns of four pixels: lane 4 g + q reads of pixel q what belongs to row g
        lanes = np.arange(8)
        reads = [
            differ(found, r + lanes % 4, c + lanes // 4 * apart)
            for r, c, apart in product((0, 4, 8, 12), (0, 4, 8), (1, 2))
        ]
    return all(reads)


@pytest.mark.parametrize("name", ["bf16", "tf32"])
def test_columns_of_a_tile_are_read_without_conflicts(cupy_device, name):
    assert columns_without_conflicts(cupy_device, name)


@pytest.mark.parametrize("name", ["bf16", "tf32"])
def test_columns_in_wrong_places_have_conflicts(cupy_device, slip, name):
    right = "(row % 2 * 3 + row / 2 % 2 * 4)" if name == "tf32" else "(row % 8)"
    with slip("implicit_weight_grad.cu", right, "(row % 4)" if name == "tf32" else "0"):
        assert not columns_without_conflicts(cupy_device, name)


# ---------------------------------------------------------------------------------------------
# Wrong kernels are rejected

WAIT, BARRIER = "wait_for_groups<STAGES - 2>();", "__syncthreads();"
NO_BARRIER = f"if (step < 0) {BARRIER}"
EMPTY = "    end_of_group();  // an empty"
SLIPS = {  # what is right, what is wrong instead, and where it shows
    "implicit_gemm.cu": [
        (WAIT, "", "forward", "bf16"),
        (WAIT, "wait_for_groups<STAGES - 1>();", "forward", "bf16"),
        (BARRIER, NO_BARRIER, "forward", "bf16"),
        (EMPTY, f"    if (step + STAGES - 1 < steps)\n{EMPTY}", "forward", "bf16"),
        ("fetch((step + STAGES - 1) % STAGES)", "fetch(step % STAGES)", "forward", "bf16"),
        ("tile_n + place(n,", "tile_n + place(n ^ 2,", "forward", "bf16"),
        ("rounded(a[i]);", "", "forward", "tf32"),
        ("rounded(b[j]);", "", "forward", "tf32"),
        ("has_bias ? bias[k] : 0.0f", "0.0f", "forward", "bf16"),
        ("channel += VECTORS;", "channel += VECTORS / 2;", "forward", "bf16"),
        ("tap_step = stride / divisor;", "tap_step = stride;", "input_grad", "bf16"),
        ("-(dilation / divisor)", "-dilation", "input_grad", "bf16"),
    ],
    "implicit_weight_grad.cu": [
        (WAIT, "", "weight_grad", "bf16"),
        (BARRIER, NO_BARRIER, "weight_grad", "bf16"),
        ("is_left ? eight / 2 : eight % 2,", "eight / 2,", "weight_grad", "bf16"),
        ("2 * i + half :", "2 * i + 1 - half :", "weight_grad", "tf32"),
        ("rounded(words[i]);", ";", "weight_grad", "tf32"),
        ("i32 part = 1;", "i32 part = 2;", "weight_grad", "bf16"),
        ("is_tap && r < count", "is_tap && r < count - 1", "weight_grad", "bf16"),
    ],
}


@pytest.mark.parametrize(
    ("file", "right", "wrong", "operation", "name"),
    [(file, *each) for file, slips in SLIPS.items() for each in slips],
)
def test_wrong_kernels_are_rejected(
    cupy_device, slip, schedule, file, right, wrong, operation, name
):
    strided = ConvGeometry(2, 72, 40, (9, 17), (3, 2), (3, 2), (1, 1), (2, 2))
    g = LONG if operation == "weight_grad" else strided
    with slip(file, right, wrong):
        errors = []
        for order in ("forward", "reverse", "shuffle"):
            with schedule(order):
                errors.append(error(cupy_device, operation, g, name, "64x64"))
    assert max(errors) > 1e-5, errors
