"""The layout of an operand is no part of its value: every operation, drawn layouts, every way.

An example is an operation with drawn geometry, and operands each stored in a drawn way: strides,
axes in any order in memory, backwards, one number for all, between two words, in the other byte
order, read-only. Its result and its gradients must be those of PyTorch in float64, of the same
numbers, under "reference", "exact" and "fast", with compiled kernels and without.

MINIDECONV_TEST_LAYOUTS sets how many examples are drawn:

    MINIDECONV_TEST_LAYOUTS=20000 python -m pytest tests/oracles/test_torch_layouts.py
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from memory_layouts import Layout, layouts, stored

from minideconv import Tensor, algorithm, use_compiled
from minideconv import functional as F
from minideconv.backend.algorithms import ALGORITHMS, compiled
from minideconv.testing import conv_geometries, pool_geometries, seeds, values

pytestmark = pytest.mark.cpu

EXAMPLES = int(os.environ.get("MINIDECONV_TEST_LAYOUTS", "200"))
WAYS = [(name, kernels) for name in ALGORITHMS for kernels in (True, False)][1:]


class Case(NamedTuple):
    """An operation: its operands, and what it is here and in PyTorch, as functions of them."""

    name: str
    operands: list[np.ndarray]
    ours: Callable[..., Any]
    theirs: Callable[..., Any]


def f32(shape, seed, kind="normal"):
    return values(shape, seed, kind, np.float32)


@st.composite
def convolutions(draw):
    g, seed, transposed = draw(conv_geometries()), draw(seeds()), draw(st.booleans())
    family = draw(st.sampled_from(["any", "winograd", "pixel", "direct", "any", "plane"]))
    x_shape, w_shape, options = g.x_shape, g.w_shape, g.kwargs
    if family != "any":
        many = st.sampled_from([16, 17, 32, 33])
        n, c, k = draw(st.integers(1, 2)), draw(many), draw(many)
        kernel = {"winograd": (3, 3), "pixel": (1, 1), "direct": (2, 3), "plane": (8, 8)}[family]
        h, w = draw(st.integers(5, 9)), draw(st.integers(6, 10))
        if family == "plane":  # as many weights as the kernels for a few rows of pixels ask for
            c, k, (h, w) = 64, 64, (1, 1) if transposed else kernel
        padding = draw(st.integers(0, 1)) if family in ("winograd", "direct") else 0
        x_shape, w_shape = (n, c, h, w), (k, c, *kernel)
        options = {"stride": (1, 1), "padding": (padding, padding), "dilation": (1, 1), "groups": 1}
    name = "conv_transpose2d" if transposed else "conv2d"
    if transposed and family == "any":
        x_shape, options = g.y_shape, g.transpose_kwargs  # back to the size of x
    elif transposed:
        x_shape = (x_shape[0], w_shape[0], *x_shape[2:])
    outputs = w_shape[1] * options["groups"] if transposed else w_shape[0]
    operands = [f32(x_shape, seed), f32(w_shape, seed + 1)]
    if draw(st.booleans()):
        operands.append(f32(outputs, seed + 2))

    def both(function):
        def call(x, w, b=None):
            return function(x, w, b, **options)

        return call

    def theirs(torch):
        return both(getattr(torch.nn.functional, name))

    return Case(f"{name} {family}", operands, both(getattr(F, name)), theirs)


@st.composite
def linears(draw):
    n, c, k = (draw(st.integers(1, 20)) for _ in range(3))
    seed = draw(seeds())
    operands = [f32((n, c), seed), f32((k, c), seed + 1), f32(k, seed + 2)]
    return Case("linear", operands, F.linear, lambda torch: torch.nn.functional.linear)


@st.composite
def poolings(draw):
    seed, c = draw(seeds()), draw(st.sampled_from([1, 3, 16, 20]))
    if draw(st.booleans()):
        g = draw(pool_geometries())
        shape, options = (g.batch, g.channels, *g.size), dict(g.kwargs)
    else:
        h, w = draw(st.integers(2, 7)), draw(st.integers(2, 7))
        shape, options = (draw(st.integers(1, 2)), c, h, w), {"kernel_size": (2, 2)}
    x = [f32(shape, seed, draw(st.sampled_from(["normal", "ties"])))]
    kind = draw(st.sampled_from(["max", "max", "average", "unpool"]))
    if kind == "average":
        options = {key: v for key, v in options.items() if key != "dilation"}
        if "stride" in options:
            options["count_include_pad"] = False

        def average(torch):
            return lambda x: torch.nn.functional.avg_pool2d(x, **options)

        return Case("avg_pool2d", x, lambda x: F.avg_pool2d(x, **options), average)

    def most(torch):
        return lambda x: torch.nn.functional.max_pool2d(x, **options)

    if kind == "max":
        return Case("max_pool2d", x, lambda x: F.max_pool2d(x, **options), most)
    options = {"kernel_size": (2, 2)}
    shape = (shape[0], shape[1], max(2, shape[2]), max(2, shape[3]))
    x = [f32(shape, seed)]

    def ours(x):
        y, switches = F.max_pool2d(x, 2, return_switches=True)
        return F.max_unpool2d(y * y, switches)

    def theirs(torch):
        def call(x):
            y, found = torch.nn.functional.max_pool2d(x, 2, return_indices=True)
            return torch.nn.functional.max_unpool2d(y * y, found, 2, 2, 0, list(shape))

        return call

    return Case("max_unpool2d", x, ours, theirs)


@st.composite
def batch_norms(draw):
    seed, c = draw(seeds()), draw(st.sampled_from([2, 3, 16, 17]))
    large = draw(st.integers(0, 3)) == 0  # the engine's own walks
    h, w = (24, 25) if large else (draw(st.integers(1, 5)), draw(st.integers(2, 5)))
    training, relu = draw(st.booleans()), draw(st.booleans())
    numbers = [f32(c, seed + place) for place in range(4)]
    numbers[1] = np.abs(numbers[1]) + np.float32(0.5)
    operands = [f32((2, c, h, w), seed + 4), numbers[2], numbers[3], numbers[0], numbers[1]]

    def ours(x, weight, bias, mean, var):
        running = (None, None) if training else (mean.detach(), var.detach())
        function = F.batch_norm_relu if relu else F.batch_norm
        return function(x, *running, weight, bias, training)

    def theirs(torch):
        def call(x, weight, bias, mean, var):
            running = (None, None) if training else (mean.detach(), var.detach())
            y = torch.nn.functional.batch_norm(x, *running, weight, bias, training)
            return torch.relu(y) if relu else y

        return call

    return Case(f"batch_norm{'_relu' * relu} {'training' * training}", operands, ours, theirs)


@st.composite
def pointwise(draw):
    seed, large = draw(seeds()), draw(st.integers(0, 5)) == 0
    shape = (2, 16, 48, 48) if large else tuple(draw(st.integers(1, 6)) for _ in range(4))
    x, y = f32(shape, seed), f32(shape, seed + 1)
    name = draw(
        st.sampled_from(["relu", "softmax", "log_softmax", "pad", "mul", "div", "tanh", "sum"])
    )
    axis = draw(st.integers(0, 3))
    if name == "relu":
        return Case(name, [x], F.relu, lambda torch: torch.relu)
    if name.endswith("softmax"):
        return Case(
            name,
            [x],
            lambda x: getattr(F, name)(x, axis),
            lambda torch: lambda x: getattr(torch, name)(x, axis),
        )
    if name == "pad":
        sides = [draw(st.integers(0, 2)) for _ in range(4)]
        return Case(
            name,
            [x],
            lambda x: F.pad(x, sides, value=0.5),
            lambda torch: lambda x: torch.nn.functional.pad(x, sides, value=0.5),
        )
    if name == "mul":
        return Case(name, [x, y], lambda x, y: x * y, lambda torch: lambda x, y: x * y)
    if name == "div":
        far = np.abs(y) + np.float32(0.5)
        return Case(name, [x, far], lambda x, y: x / y, lambda torch: lambda x, y: x / y)
    if name == "tanh":
        return Case(name, [x], lambda x: x.tanh(), lambda torch: torch.tanh)
    return Case(name, [x], lambda x: x.sum(axis), lambda torch: lambda x: x.sum(axis))


@st.composite
def resizings(draw):
    seed, mode = draw(seeds()), draw(st.sampled_from(["bilinear", "nearest"]))
    shape = (draw(st.integers(1, 2)), *(draw(st.integers(1, 6)) for _ in range(3)))
    size = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    x = [f32(shape, seed)]
    return Case(
        f"interpolate {mode}",
        x,
        lambda x: F.interpolate(x, size, mode=mode),
        lambda torch: lambda x: torch.nn.functional.interpolate(x, size, mode=mode),
    )


@st.composite
def losses(draw):
    seed, c = draw(seeds()), draw(st.sampled_from([2, 5, 17, 21]))
    n, h, w = draw(st.integers(1, 2)), draw(st.integers(1, 7)), draw(st.integers(1, 7))
    options = {
        "ignore_index": 255,
        "reduction": draw(st.sampled_from(["mean", "sum", "none"])),
        "label_smoothing": draw(st.sampled_from([0.0, 0.1])),
    }
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, c, (n, h, w)).astype(draw(st.sampled_from(["u1", "i4", "i8"])))
    labels[0, 0, 0] = 0  # one that counts
    labels[rng.random(labels.shape) < 0.1] = 255
    labels[0, 0, 0] = 0
    weight = np.abs(f32(c, seed + 1)) + np.float32(0.1)
    operands = [f32((n, c, h, w), seed), labels, weight]

    def theirs(torch):
        def call(x, labels, weight):
            found = torch.nn.functional.cross_entropy(x, labels.long(), weight.detach(), **options)
            return found

        return call

    def ours(x, labels, weight):
        return F.cross_entropy(x, labels, weight.detach(), **options)

    return Case("cross_entropy", operands, ours, theirs)


CASES = st.one_of(
    convolutions(), convolutions(), convolutions(), linears(), poolings(), batch_norms(),
    pointwise(), resizings(), losses(),
)  # fmt: skip


def by_us(case, operands, cotangent):
    tensors = [Tensor(array, requires_grad=array.dtype.kind == "f") for array in operands]
    y = case.ours(*tensors)
    y.backward(cotangent)
    grads = [None if t.grad is None else t.grad.numpy() for t in tensors]
    return [y.numpy(), *grads]


def by_torch(torch, case, operands, cotangent):
    tensors = []
    for array in operands:
        native = np.array(array, array.dtype.newbyteorder("="), order="C")
        tensor = torch.from_numpy(native)
        tensors.append(tensor.double().requires_grad_() if native.dtype.kind == "f" else tensor)
    y = case.theirs(torch)(*tensors)
    y.backward(torch.from_numpy(np.array(cotangent, np.float64)).reshape(y.shape))
    grads = [None if t.grad is None else t.grad.numpy() for t in tensors]
    return [y.detach().numpy(), *grads]


@pytest.fixture(autouse=True)
def _settings():
    before = compiled()
    yield
    use_compiled(before)


@settings(max_examples=EXAMPLES)
@given(case=CASES, how=st.lists(layouts, min_size=6, max_size=6))
def test_results_and_gradients_do_not_depend_on_the_layout_of_any_operand(torch, case, how):
    event(case.name)
    operands = [stored(array, each) for array, each in zip(case.operands, how[1:])]  # noqa: B905
    before = [array.copy() for array in operands]
    shape = case.theirs(torch)(
        *(torch.from_numpy(np.array(a, a.dtype.newbyteorder("="))) for a in operands)
    ).shape
    cotangent = stored(f32(tuple(shape), 7), how[0])
    want = by_torch(torch, case, operands, cotangent)
    equal = max(each.size / np.unique(each).size for each in (cotangent, *operands) if each.size)
    kernels = compiled()
    try:
        for name, on in WAYS:
            if on and not kernels:
                continue
            use_compiled(on)
            with algorithm(name):
                found = by_us(case, operands, cotangent)
            for place, (one, other) in enumerate(zip(found, want, strict=True)):
                if other is None:
                    continue
                assert one.dtype == np.float32
                scale = max(1.0, float(np.abs(other).max(initial=0)))
                # A number of the result may be a sum of so many, which cancel each other. So do
                # their roundings, but not those of one number that is there again and again.
                terms = max(array.size for array in operands) / max(1, other.size)
                atol = scale * max(2e-6 * max(15.0, terms**0.5), 6e-7 * min(terms, equal))
                message = f"{name}, {on}: {place}"
                np.testing.assert_allclose(one, other, rtol=1e-4, atol=atol, err_msg=message)
    finally:
        use_compiled(kernels)
    for array, same in zip(operands, before, strict=True):
        assert (array == same).all(), "an operand was changed"


def test_a_layout_is_what_it_says():
    array = f32((2, 3, 4, 5), 1)
    turned = stored(array, Layout(order=23, steps=(1, -1, 2, -2), shift=3, swapped=True))
    assert (turned == array).all()
    assert [stride > 0 for stride in turned.strides] == [True, False, True, False]
    assert not turned.dtype.isnative
    assert not turned.flags.aligned
    repeated = stored(array, Layout(repeated=(False, True, True, False)))
    assert repeated.strides[1:3] == (0, 0)
    assert (repeated == array[:, :1, :1]).all()
    assert not repeated.flags.writeable
    assert stored(array, Layout()).flags.c_contiguous


def test_a_kernel_that_reads_past_strides_is_seen():
    """What a kernel would do that takes an address and counts from there."""
    array = f32((4, 6), 1)
    strided = stored(array, Layout(order=1))
    read = np.lib.stride_tricks.as_strided(strided, (4, 6), (24, 4))
    assert not np.allclose(read, array)
