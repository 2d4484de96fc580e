"""Convolutions on a GPU as a user calls them: results, orders in memory, counts, graphs, layers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minideconv import functional as F
from minideconv import ops
from minideconv.autograd import Tensor
from minideconv.backend import Device
from minideconv.backend.algorithms import algorithm
from minideconv.backend.precisions import precision
from minideconv.engine.cuda.streams import computing_on
from minideconv.engine.layout import with_taps_first
from minideconv.testing import ConvGeometry, conv_geometries, noncontiguous, seeds, values

geometries = conv_geometries(max_out=4, max_kernel=3, max_batch=2, max_channels=9, max_groups=2)
SAME = ConvGeometry(3, 8, 12, size=(6, 7), kernel=(3, 3), padding=(1, 1))
STRIDED = ConvGeometry(2, 8, 4, size=(7, 9), kernel=(3, 2), stride=(2, 1), padding=(1, 0), groups=2)
PIXELS = ConvGeometry(2, 8, 5, size=(6, 7), kernel=(1, 1))
WHOLE = ConvGeometry(3, 8, 12, size=(3, 4), kernel=(3, 4))
FEW = ConvGeometry(2, 4, 8, size=(7, 9), kernel=(3, 2), stride=(2, 1), padding=(1, 0), groups=2)
ALL = (SAME, STRIDED, PIXELS, WHOLE)


def data(g, seed, dtype=np.float32, kind="integer"):
    shapes = (g.x_shape, g.w_shape, g.y_shape, g.c_out, g.c_in)
    return [values(shape, seed + i, kind, dtype) for i, shape in enumerate(shapes)]


def everything(g, arrays):
    """Return all that `ops` computes of a convolution and its transpose, there and back."""
    x, w, y, by, bx = arrays
    kept = {name: value for name, value in g.kwargs.items() if name != "groups"}
    return (
        ops.conv2d(x, w, by, **g.kwargs),
        *ops.conv2d_backward(y, x, w, **g.kwargs),
        ops.conv2d_backward(y, x, w, **g.kwargs, needs=(True, False, False))[0],
        ops.conv2d_backward(y, x, w, **g.kwargs, needs=(False, True, False))[1],
        ops.conv_transpose2d(y, w, bx, **g.transpose_kwargs),
        *ops.conv_transpose2d_backward(x, y, w, groups=g.groups, **kept),
    )


def same(device, found, want):
    for result, right in zip(found, want, strict=True):
        assert result.dtype == right.dtype
        np.testing.assert_array_equal(device.get(result), right)


@given(geometries, seeds(), st.sampled_from((np.float32, np.float64)))
@settings(max_examples=30)
def test_what_ops_compute(cupy_device, g, seed, dtype):
    arrays = data(g, seed, dtype)
    with algorithm("reference"):
        want = everything(g, arrays)
    found = everything(g, [cupy_device.put(a) for a in arrays])
    same(cupy_device, found, want)
    assert all(result.transpose(0, 2, 3, 1).flags.c_contiguous for result in (found[0], found[-4]))


@pytest.mark.parametrize("g", ALL, ids=lambda g: g.family())
def test_any_order_in_memory(cupy_device, g):
    arrays = data(g, 0)
    with algorithm("reference"):
        want = everything(g, arrays)
    for place in range(5):
        for name, view in noncontiguous(arrays[place]):
            given_ = [cupy_device.put(a) for a in arrays]
            given_[place] = put_with_layout(cupy_device, name, view)
            assert given_[place].strides == view.strides
            same(cupy_device, everything(g, given_), want)
    sliced = [part_of_a_larger_one(cupy_device, a) for a in arrays]
    same(cupy_device, everything(g, sliced), want)


def put_with_layout(device, name, view):
    """Copy a view of `noncontiguous` to the device with the same strides."""
    if name.startswith("every second"):
        wide = device.xp.zeros((*view.shape[:-1], 2 * view.shape[-1]), view.dtype)
        wide[..., ::2] = device.put(np.ascontiguousarray(view))
        return wide[..., ::2]
    if name.startswith("reversed"):
        return device.put(np.ascontiguousarray(view[::-1]))[::-1]
    return device.put(view)  # keeps the order of the axes


def part_of_a_larger_one(device, array):
    larger = device.xp.zeros([n + 2 for n in array.shape], array.dtype)
    inside = larger[tuple(slice(1, 1 + n) for n in array.shape)]
    inside[...] = device.put(array)
    return inside


def test_an_empty_batch(cupy_device):
    for g in ALL:
        x, w, y, by, bx = data(g, 0)
        arrays = [x[:0], w, y[:0], by, bx]
        with algorithm("reference"):
            want = everything(g, arrays)
        same(cupy_device, everything(g, [cupy_device.put(a) for a in arrays]), want)


@pytest.mark.parametrize("g", ALL, ids=lambda g: g.family())
def test_many_blocks_are_one(cupy_device, g):
    arrays = [cupy_device.put(a) for a in data(g, 0)]
    whole = everything(g, arrays)
    for budget in (1, 3000):
        with ops.workspace_limit(budget):
            same(cupy_device, everything(g, arrays), [cupy_device.get(a) for a in whole])


def test_the_same_bits_twice(cupy_device):
    for g in ALL:
        arrays = [cupy_device.put(a) for a in data(g, 0, kind="normal")]
        first, second = everything(g, arrays), everything(g, arrays)
        same(cupy_device, second, [cupy_device.get(a) for a in first])


# ---------------------------------------------------------------------------------------------
# What the device does


@pytest.fixture
def counted(cupy_device):
    if cupy_device.kind != "fakecuda":
        pytest.skip("only fakecuda counts")
    import fakecuda

    def count(work):
        """Count what one call does, after a first one that compiles and allocates."""
        work()
        fakecuda.reset()
        kept = work()
        stats = fakecuda.stats()
        del kept
        for name in ("h2d", "d2h", "d2d", "syncs", "mallocs"):
            assert stats[name] == 0, name
        return stats

    return count


def arrays_of(device, g, kind="normal"):
    """Return arrays as a network has them: images channels last, weights taps first."""
    x, w, y, *biases = data(g, 0, kind=kind)

    def last(a):
        return np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)

    return [device.put(a) for a in (last(x), with_taps_first(w), last(y), *biases)]


def macs(g):
    """Multiplications of one pass: every weight at every position."""
    h, w = g.out_size
    return g.batch * h * w * g.c_out * g.c_in // g.groups * g.kernel[0] * g.kernel[1]


def counts(stats):
    return {name: stats[name] for name in ("launches", "gemms", "gemm_macs")}


@pytest.mark.parametrize(
    ("g", "launches"),
    # columns or none; the same backwards; the kernel with its channels exchanged, and dw back
    [(SAME, (1, 1, 1)), (FEW, (1, 1, 1)), (PIXELS, (0, 0, 0)), (WHOLE, (0, 0, 0))],
    ids=["same", "strided, columns of all taps", "pixels", "whole"],
)
def test_one_pass_is_one_product(cupy_device, counted, g, launches):
    x, w, y, by, bx = arrays_of(cupy_device, g)
    kept = {name: value for name, value in g.kwargs.items() if name != "groups"}
    passes = (
        lambda: ops.conv2d(x, w, None, **g.kwargs),
        lambda: ops.conv_transpose2d(y, w, None, **g.transpose_kwargs),
        lambda: ops.conv2d_weight_grad(x, y, g.kernel, **kept, groups=g.groups),
    )
    for work, launched in zip(passes, launches, strict=True):
        want = {"launches": launched, "gemms": g.groups, "gemm_macs": macs(g)}
        assert counts(counted(work)) == want
    # a bias costs one launch, where col2im does not add it on its way
    more = {"launches": launches[0] + 1, "gemms": g.groups, "gemm_macs": macs(g)}
    assert counts(counted(lambda: ops.conv2d(x, w, by, **g.kwargs))) == more
    free = g is FEW or g is SAME
    more["launches"] = launches[1] + (not free)
    assert counts(counted(lambda: ops.conv_transpose2d(y, w, bx, **g.transpose_kwargs))) == more


def test_blocks_make_the_same_products(cupy_device, counted):
    x, w, y, *_ = arrays_of(cupy_device, SAME)
    row = SAME.out_size[1] * SAME.terms * 4  # bytes of the columns of one row
    rows = SAME.batch * SAME.out_size[0]
    with ops.workspace_limit(4 * row):
        blocks = -(-rows // 4)
        want = {"launches": blocks, "gemms": blocks, "gemm_macs": macs(SAME)}
        assert counts(counted(lambda: ops.conv2d(x, w, None, padding=1))) == want
        assert counts(counted(lambda: ops.conv_transpose2d(y, w, None, padding=1))) == want
        assert counts(counted(lambda: ops.conv2d_weight_grad(x, y, (3, 3), padding=1))) == want


def test_one_patch_matrix_serves_both_gradients(cupy_device, counted):
    """There and back: im2col once, the kernel's channels exchanged, and the gradient's back."""
    g = ConvGeometry(2, 12, 8, size=(6, 7), kernel=(3, 3), padding=(1, 1))
    x, w, y, *_ = arrays_of(cupy_device, g)
    needs = (True, True, False)
    stats = counted(lambda: ops.conv2d_backward(y, x, w, padding=1, needs=needs))
    assert counts(stats) == {"launches": 3, "gemms": 2, "gemm_macs": 2 * macs(g)}
    stats = counted(lambda: ops.conv_transpose2d_backward(x, y, w, padding=1, needs=needs))
    assert counts(stats) == {"launches": 1, "gemms": 2, "gemm_macs": 2 * macs(g)}


def test_a_captured_step_gives_the_same_again(cupy_device):
    """All passes recorded into a graph once, and replayed on other numbers."""
    xp = cupy_device.xp
    for g in ALL:
        arrays = arrays_of(cupy_device, g, "integer")
        want = [cupy_device.get(a) for a in everything(g, arrays)]
        fixed = [a * 2 for a in arrays]
        pool = xp.cuda.MemoryPool()
        with xp.cuda.using_allocator(pool.malloc), computing_on(Device("gpu")):
            stream = xp.cuda.get_current_stream()
            everything(g, fixed)  # compiles, and fills the pool
            stream.begin_capture()
            results = everything(g, fixed)
            graph = stream.end_capture()
            for target, source in zip(fixed, arrays, strict=True):
                target[...] = source
            graph.launch(stream)
            stream.synchronize()
            same(cupy_device, results, want)


def test_no_order_of_the_threads_changes_a_bit(cupy_device):
    if cupy_device.kind != "fakecuda":
        pytest.skip("only fakecuda can choose the order")
    import fakecuda

    for g in ALL:
        arrays = [cupy_device.put(a) for a in data(g, 0, kind="normal")]
        want = [cupy_device.get(a) for a in everything(g, arrays)]
        try:
            for order in ("reverse", "shuffle"):
                fakecuda.set_order(order, seed=1)
                same(cupy_device, everything(g, arrays), want)
        finally:
            fakecuda.set_order("forward")


# ---------------------------------------------------------------------------------------------
# Layers


@pytest.mark.parametrize("layer", ["conv2d", "conv_transpose2d", "linear"])
def test_a_layer_goes_back_in_the_precision_it_came(cupy_device, layer):
    x = cupy_device.put(values((4, 8, 5, 6), 0, "normal", np.float32))
    w = cupy_device.put(values((8, 8, 3, 3), 1, "normal", np.float32))
    if layer == "linear":
        x, w = x[:, :, 0, 0], w[:, :, 0, 0]

    def gradients(forward, backward):
        a, b = Tensor(x, requires_grad=True), Tensor(w, requires_grad=True)
        with precision(forward):
            y = getattr(F, layer)(a, b).sum()
        with precision(backward):
            y.backward()
        return [cupy_device.get(t.grad.data) for t in (a, b)]

    coarse, fine = gradients("bf16", "bf16"), gradients("fp32", "fp32")
    for one, two in zip(gradients("bf16", "fp32"), coarse, strict=True):
        np.testing.assert_array_equal(one, two)
    for one, two in zip(gradients("fp32", "bf16"), fine, strict=True):
        np.testing.assert_array_equal(one, two)
    assert any((one != two).any() for one, two in zip(coarse, fine, strict=True))
