"""The GPU's batch norm against the readable op in float64: values, precision, order, launches."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minideconv import functional as F
from minideconv import ops
from minideconv.autograd import Tensor
from minideconv.backend import default_device, to_cpu
from minideconv.backend.algorithms import algorithm
from minideconv.engine.cuda import batch_norm as engine
from minideconv.engine.cuda.channel_sums import FILE, FINISH_FILE, channel_sums
from minideconv.engine.cuda.pixels import pixels_plan
from minideconv.ops.batch_norm import BatchNormSaved, from_moments
from minideconv.testing import seeds, values

EPS = 1e-5
DTYPES = st.sampled_from([np.float32, np.float64])
ORDERS = st.permutations(range(4))


@st.composite
def shapes(draw):
    """1-pixel maps, H != W, many pixels of few channels and few of many."""
    c = draw(st.sampled_from([1, 2, 3, 4, 6, 16, 21, 64, 130]))
    n, h, w = draw(st.integers(1, 3)), draw(st.integers(1, 19)), draw(st.integers(1, 13))
    return (max(n, 2), c, h, w) if h * w == 1 else (n, c, h, w)


def make(shape, seed, dtype, order=(0, 2, 3, 1), mean=0.0):
    """x and dy with their axes in some order in memory, weight, bias and running averages."""
    rng = np.random.default_rng(seed)
    c = shape[1]

    def images(array):
        axes = order if len(shape) == 4 else (0, 1)
        return np.ascontiguousarray(array.astype(dtype).transpose(axes)).transpose(np.argsort(axes))

    per_channel = (c,) + (1,) * (len(shape) - 2)
    x = rng.normal(mean, 1, shape) + rng.normal(0, 2, per_channel)
    numbers = (rng.normal(1, 0.5, c), *rng.normal(0, 0.5, (2, c)), rng.uniform(0.5, 2, c))
    weight, bias, running_mean, running_var = (a.astype(dtype) for a in numbers)
    return SimpleNamespace(
        x=images(x), dy=images(rng.normal(size=shape)), weight=weight, bias=bias,
        running=(running_mean, running_var),
    )  # fmt: skip


def reference(d, relu, training=True):
    """Everything that the readable op makes of the same numbers, in float64."""
    x, dy, weight, bias = (a.astype(np.float64) for a in (d.x, d.dy, d.weight, d.bias))
    running = [a.astype(np.float64) for a in d.running]
    with algorithm("reference"):
        forward = ops.batch_norm_relu if relu else ops.batch_norm
        y, saved = forward(x, *running, weight, bias, training, 0.3, EPS, return_saved=True)
        if relu:  # only where rounding cannot change a sign
            z = ops.batch_norm(x, *map(np.copy, d.running), weight, bias, training, eps=EPS)
            dy = np.where(np.abs(z) > 1e-3, dy, 0)
            grads = ops.batch_norm_relu_backward(dy, x, saved, weight, bias, training)
        else:
            grads = ops.batch_norm_backward(dy, x, saved, weight, training)
    return SimpleNamespace(y=y, saved=saved, running=running, grads=grads, dy=dy)


def close(found, want, dtype, what, terms=0.0):
    """Compare in the norm; `terms` is the norm of what was added up, where that may cancel."""
    assert found.shape == want.shape, what
    error, size = np.linalg.norm(found - want), max(np.linalg.norm(want), np.linalg.norm(terms))
    assert error <= (1e-5 if dtype == np.float32 else 1e-12) * max(size, 1e-3), (what, error, size)


def check(gpu, d, relu, training=True):
    """Compare every number of forward and backward."""
    dtype = d.x.dtype
    want = reference(d, relu, training)
    x, dy, weight, bias, *running = map(
        gpu.put, (d.x, want.dy.astype(dtype), d.weight, d.bias, *map(np.copy, d.running))
    )
    if training:
        saved = engine.statistics(x, *running, 0.3, EPS)
        mean, var = engine.moments(x)
        close(gpu.get(mean), want.saved.mean, dtype, "mean of moments")
        close(1 / np.sqrt(gpu.get(var) + EPS), want.saved.inv_std, dtype, "var of moments")
    else:
        saved = engine.from_running(*running, EPS)
    y = engine.normalize(x, saved, weight, bias, relu)
    grads = engine.batch_norm_relu_backward(dy, x, saved, weight, bias, training, relu)
    for name, a, b in zip(("mean", "inv_std"), saved, want.saved, strict=True):
        assert a.dtype == np.float64
        close(gpu.get(a), b, dtype, name)
    for name, a, b in zip(("running mean", "running var"), running, want.running, strict=True):
        close(gpu.get(a), b, dtype, name)
    terms = np.moveaxis(want.dy, 1, -1) * (want.saved.inv_std * d.weight)
    for name, a, b in zip(
        ("y", "dx", "dweight", "dbias"), (y, *grads), (want.y, *want.grads), strict=True
    ):
        assert a.dtype == dtype, name
        close(gpu.get(a), b, dtype, name, terms if name == "dx" else 0.0)
    for image in (y, grads[0]):
        last = image.transpose(0, 2, 3, 1) if image.ndim == 4 else image
        assert last.flags.c_contiguous
    if not relu:
        check_in_two_steps(gpu, dy, x, saved, weight, training, grads)


def check_in_two_steps(gpu, dy, x, saved, weight, training, grads):
    """Sums and application, as several processes do it, are the backward pass."""
    sums = engine.backward_sums(dy, x, saved)
    count = x.size // x.shape[1]
    dx = engine.backward_apply(dy, x, saved, weight, *sums, count, training)
    assert np.array_equal(gpu.get(dx), gpu.get(grads[0]))
    for a, b in zip(sums, grads[1:], strict=True):
        assert a.dtype == np.float64
        assert np.array_equal(gpu.get(a).astype(b.dtype), gpu.get(b))


@given(shapes(), seeds(), DTYPES, st.booleans(), st.booleans(), ORDERS)
@example((2, 4, 43, 31), 0, np.float32, True, True, (0, 2, 3, 1))  # two parts
@example((3, 1, 43, 31), 0, np.float64, True, True, (0, 2, 3, 1))
@example((4, 21, 9, 10), 1, np.float32, False, True, (0, 2, 3, 1))  # four pixels in a row
def test_equals_the_readable_op(gpu, shape, seed, dtype, relu, training, order):
    check(gpu, make(shape, seed, dtype, order), relu, training)


@pytest.mark.parametrize("shape", [(2, 1300, 2, 1), (3, 301, 1, 2), (2, 4096)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_more_channels_than_a_block_is_wide(gpu, shape, dtype):
    check(gpu, make(shape, 0, dtype), True)


@pytest.mark.parametrize("training", [True, False])
def test_two_axes_are_pixels(gpu, training):
    for c in (3, 8):
        check(gpu, make((7, c), 2, np.float32), False, training)
        check(gpu, make((7, c), 2, np.float64), True, training)


def test_what_is_missing_is_one_and_zero(gpu):
    d = make((2, 5, 3, 4), 0, np.float64)
    x, dy = gpu.put(d.x), gpu.put(d.dy)
    saved = engine.statistics(x, None, None, 0.1, EPS)
    want, want_saved = ops.batch_norm(d.x, None, None, return_saved=True)
    close(gpu.get(engine.normalize(x, saved, None, None)), want, np.float64, "y")
    found = engine.batch_norm_relu_backward(dy, x, saved, None, None, True, relu=False)
    for a, b in zip(found, ops.batch_norm_backward(d.dy, d.x, want_saved), strict=True):
        close(gpu.get(a), b, np.float64, "gradient")


@pytest.mark.parametrize("running_dtype", [np.float32, np.float64])
def test_statistics_from_moments_that_were_added_up_elsewhere(gpu, running_dtype):
    d = make((2, 5, 3, 4), 0, running_dtype)
    mean, var = d.x.mean((0, 2, 3), np.float64), d.x.var((0, 2, 3), np.float64)
    there = [gpu.put(a.copy()) for a in d.running]
    found = from_moments(gpu.put(mean), gpu.put(var), 24, *there, 0.3, EPS)
    want = reference(d, False)
    for a, b in zip((*found, *there), (*want.saved, *want.running), strict=True):
        close(gpu.get(a), b, running_dtype, "from moments")
    alone = from_moments(gpu.put(mean), gpu.put(var), 24, None, None, 0.3, EPS)
    assert np.array_equal(gpu.get(alone.inv_std), gpu.get(found.inv_std))


def test_running_averages_may_be_of_another_precision(gpu):
    d = make((2, 5, 3, 4), 0, np.float64)
    running = [gpu.put(a.astype(np.float32)) for a in d.running]
    engine.statistics(gpu.put(d.x), *running, 0.3, EPS)
    for a, b in zip(running, reference(d, False).running, strict=True):
        assert a.dtype == np.float32
        close(gpu.get(a), b, np.float32, "running")


@pytest.mark.parametrize("mean", [100.0, 1e4, -1e6])
def test_a_large_mean_loses_no_digits(gpu, mean):
    """The mean and the output are as exact as the float32 numbers they come from."""
    for seed in range(3):
        x = make((8, 4, 25, 31), seed, np.float32, mean=mean).x
        exact = x.astype(np.float64)
        want_mean, want_var = exact.mean((0, 2, 3)), exact.var((0, 2, 3))
        found = engine.moments(gpu.put(x))
        assert np.allclose(gpu.get(found[0]), want_mean, rtol=1e-10, atol=1e-8)
        assert np.allclose(gpu.get(found[1]), want_var, rtol=1e-6)
        saved = BatchNormSaved(*map(gpu.put, (want_mean, 1 / np.sqrt(want_var))))
        y = gpu.get(engine.normalize(gpu.put(x), saved, None, None))
        per = (slice(None), None, None)
        assert np.abs(y - (exact - want_mean[per]) / np.sqrt(want_var[per])).max() < 2e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_first_value_far_from_all_others_costs_no_digits_worth_naming(gpu, dtype):
    """The shift of one thread, and the origin of all sums, is an outlier of 1000 deviations."""
    x = make((4, 3, 24, 20), 0, dtype).x
    x[0, :, 0, 0] = 1000
    exact = x.astype(np.longdouble)
    mean, var = (gpu.get(a) for a in engine.moments(gpu.put(x)))
    eps = np.finfo(dtype).eps
    count = x.size // 3  # (x0 - mean)² is nearly count * var: as many digits a double can lose
    assert np.allclose(mean, exact.mean((0, 2, 3)).astype(float), rtol=0, atol=1000 * eps)
    rtol = 1e-6 if dtype == np.float32 else count * eps
    assert np.allclose(var, exact.var((0, 2, 3)).astype(float), rtol=rtol, atol=0)


def test_a_constant_channel_has_no_variance(gpu):
    x = np.full((2, 3, 40, 31), 0.1, np.float32)
    assert np.array_equal(gpu.get(engine.moments(gpu.put(x))[1]), np.zeros(3))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_a_number_reaches_its_channel_and_no_other(gpu, value):
    d = make((2, 21, 9, 7), 1, np.float32)
    d.x[1, 4, 3, 2] = value
    x, dy, weight, bias = map(gpu.put, (d.x, d.dy, d.weight, d.bias))
    with np.errstate(all="ignore"):
        saved = engine.statistics(x, None, None, 0.1, EPS)
        y = gpu.get(engine.normalize(x, saved, weight, bias, relu=True))
        dx = gpu.get(
            engine.batch_norm_relu_backward(dy, x, saved, weight, None, True, relu=False)[0]
        )
    spoilt = np.arange(21) == 4
    assert np.array_equal(np.isnan(y).all((0, 2, 3)), spoilt)
    assert np.array_equal(np.isnan(y).any((0, 2, 3)), spoilt)
    assert np.array_equal(np.isnan(dx).any((0, 2, 3)), spoilt)


def test_a_blocked_gradient_leaves_no_trace(gpu):
    d = make((2, 16, 9, 7), 1, np.float32)
    x, weight, bias = map(gpu.put, (d.x, d.weight, d.bias))
    saved = engine.statistics(x, None, None, 0.1, EPS)
    y = gpu.get(engine.normalize(x, saved, weight, bias, relu=True))
    results = []
    for blocked in (0.0, np.inf):
        d.dy[y == 0] = blocked
        found = engine.batch_norm_relu_backward(gpu.put(d.dy), x, saved, weight, bias, True)
        results.append([gpu.get(a) for a in found])
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


@given(shapes(), seeds(), DTYPES, ORDERS)
@example((2, 21, 43, 30), 0, np.float32, (0, 1, 2, 3))
def test_channel_sums_are_exact_on_integers(gpu, shape, seed, dtype, order):
    x = values(shape, seed, dtype=dtype)
    x = np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
    found = channel_sums(gpu.put(x))
    assert found.dtype == dtype
    assert np.array_equal(gpu.get(found), x.sum((0, 2, 3)))


def test_an_array_that_begins_between_two_pieces(gpu):
    """A slice of a longer array: pieces of 16 bytes would not be aligned."""
    long = values(1 + 2 * 8 * 5 * 3, 0, "normal", np.float32)
    x = gpu.put(long)[1:].reshape(2, 5, 3, 8).transpose(0, 3, 1, 2)
    want = long[1:].reshape(2, 5, 3, 8).sum((0, 1, 2), np.float64)
    close(gpu.get(channel_sums(x)), want, np.float32, "sums")
    assert pixels_plan(30, 8, np.float32, whole=False).vector == 1


def test_empty_and_other_arrays_are_left_to_the_reference(gpu):
    x = gpu.put(np.ones((2, 3, 4, 5), np.float32))
    assert engine.moments(x.astype(np.float16)) is None
    assert channel_sums(x[:0]) is None
    assert engine.batch_norm_relu_backward(x.astype(np.float64), x, None, None, None, True) is None


def everything(gpu, d):
    x, dy, weight, bias = map(gpu.put, (d.x, d.dy, d.weight, d.bias))
    running = [gpu.put(a.copy()) for a in d.running]
    saved = engine.statistics(x, *running, 0.3, EPS)
    y = engine.normalize(x, saved, weight, bias, relu=True)
    grads = engine.batch_norm_relu_backward(dy, x, saved, weight, bias, True)
    found = (*saved, *running, y, *grads, channel_sums(dy))
    return [gpu.get(a).copy() for a in found]


def test_the_order_of_threads_changes_no_bit(gpu, schedule):
    for shape in ((3, 4, 43, 31), (2, 33, 9, 8), (2, 1100, 1, 2)):
        d = make(shape, 3, np.float32)
        first = everything(gpu, d)
        for order in ("forward", "reverse", "shuffle"):
            with schedule(order):
                again = everything(gpu, d)
            assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


# --- on CuPy arrays ----------------------------------------------------------------------------


def test_the_ops_make_three_launches_each_way_and_nothing_else(cupy_device, counts):
    d = make((3, 8, 9, 7), 0, np.float32)
    x, dy, weight, bias, *running = map(cupy_device.put, (d.x, d.dy, d.weight, d.bias, *d.running))

    def forward(training):
        return ops.batch_norm_relu(x, *running, weight, bias, training, return_saved=True)

    for training, launches in ((True, 3), (False, 2)):
        for _ in range(2):
            y, saved = forward(training)
            grads = ops.batch_norm_relu_backward(dy, x, saved, weight, bias, training)
        del y, grads
        with counts() as seen:
            saved = forward(training)[1]
        nothing = {"syncs": 0, "h2d": 0, "d2h": 0, "d2d": 0, "mallocs": 0}
        assert seen() == {"launches": launches, **nothing}
        with counts() as seen:
            ops.batch_norm_relu_backward(dy, x, saved, weight, bias, training)
        assert seen() == {"launches": 3, **nothing}
    with counts() as seen:
        ops.batch_norm_backward(dy, x, saved, weight)
    assert seen()["launches"] == 3


def test_layers_go_forward_and_back_on_the_device(cupy_device):
    """Through the tape, in float64, in training and in evaluation."""
    d = make((3, 6, 5, 7), 0, np.float64)
    for training in (True, False):
        results = []
        for device in ("cpu", "gpu"):
            with default_device(device):
                tensors = [Tensor(a, requires_grad=True) for a in (d.x, d.weight, d.bias)]
                running, dy = [Tensor(a.copy()) for a in d.running], Tensor(d.dy)
            y = F.batch_norm(tensors[0], None, None)
            y = F.batch_norm_relu(y, *running, *tensors[1:], training)
            (y * dy).sum().backward()
            found = (y, *(tensor.grad for tensor in tensors), *running)
            results.append([to_cpu(a.data).copy() for a in found])
        for a, b in zip(*results, strict=True):
            close(b, a, np.float64, "layer")


# --- wrong kernels that the checks above must reject ---------------------------------------------

MUTANTS = {
    "the textbook's formula": (FILE, "piece[u].at[j] - shift.at[j];", "piece[u].at[j];"),
    "the shift is not undone": (FILE, "own[0][j] += count * t;", ""),
    "the last rows forgotten": (
        FILE,
        "    for (; row < rows; row += step) {\n      const Piece piece = load(x, row * columns +"
        " column);\n#pragma unroll\n      for (i32 j = 0; j < VECTOR; ++j) {\n        const REAL d",
        "    for (; row < 0; row += step) {\n      const Piece piece = load(x, row * columns +"
        " column);\n#pragma unroll\n      for (i32 j = 0; j < VECTOR; ++j) {\n        const REAL d",
    ),
    "only the first part": (
        FINISH_FILE,
        "part = (i32)threadIdx.y; part < parts",
        "part = (i32)threadIdx.y; part < 1",
    ),
    "half a tree": (FILE, "span > 0; span /= 2", "span > 1; span /= 2"),
    "no barrier": (FILE, "    __syncthreads();\n", ""),
    "no ReLU": (FILE, "flags & 4 ? rectified(z) : z", "z"),
    "no mask": (FILE, "return !(flags & 4) || ", "return true || "),
    "NaN is rectified": (FILE, "z <= (REAL)0 ? (REAL)0 : z", "z > (REAL)0 ? z : (REAL)0"),
    "no bias": (FILE, "flags & 2 ? (double)bias[c] : 0.0", "0.0"),
    "no weight": (FILE, "flags & 1 ? inv_std[c] * (double)weight[c] : ", ""),
    "evaluation like training": (FILE, "if (!training) return line.scale[j] * g;", ""),
    "no constant": (FILE, "g + slope.constant[j]", "g"),
    "biased running variance": (FINISH_FILE, "count / (count - 1.0)", "1.0"),
    "momentum the other way": (FINISH_FILE, "(RUNNING)(1.0 - momentum)", "(RUNNING)momentum"),
    "variance without eps": (FINISH_FILE, "sqrt(var + eps)", "sqrt(var + 1e-4)"),
    "the mean as REAL is the mean": (FINISH_FILE, "sum[1] - error * sum[0]", "sum[1]"),
    "channels of one row": (FILE, "    const i32 c = (column + j) % channels;\n"
                            "    const double scale", "    const i32 c = column % channels;\n"
                            "    const double scale"),
}  # fmt: skip


def all_hard_ones(gpu, schedule):
    check(gpu, make((2, 4, 43, 31), 0, np.float32), True)
    check(gpu, make((4, 21, 9, 10), 1, np.float32), False)
    check(gpu, make((3, 5, 9, 7), 1, np.float64), True, training=False)
    d = make((3, 5, 9, 7), 1, np.float32, mean=1e4)
    check(gpu, d, False)
    test_a_large_mean_loses_no_digits(gpu, 1e4)
    test_what_is_not_a_number_reaches_its_channel_and_no_other(gpu, np.nan)
    test_the_order_of_threads_changes_no_bit(gpu, schedule)


@pytest.mark.parametrize("name", MUTANTS)
def test_wrong_kernels_are_rejected(gpu, schedule, slip, name):
    with slip(*MUTANTS[name]), pytest.raises(AssertionError):
        all_hard_ones(gpu, schedule)


def test_the_right_kernels_pass_what_rejects_the_wrong_ones(gpu, schedule):
    all_hard_ones(gpu, schedule)
