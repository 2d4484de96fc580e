"""Gradients of gradients, of every operation: against central differences of gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minideconv import Tensor, grad, ops
from minideconv import functional as F
from minideconv.autograd import elementwise as tm
from minideconv.autograd import record
from minideconv.autograd import shapes as ts
from minideconv.testing import (
    GradientError,
    KinkError,
    check_second_gradients,
    conv_geometries,
    pool_geometries,
    seeds,
    values,
)


def normal(*shape, seed=0):
    return values(shape, seed, "normal")


def positive(*shape, seed=0):
    return np.abs(normal(*shape, seed=seed)) + 0.5


A, B, C = normal(2, 3), normal(2, 3, seed=1), normal(3, 4, seed=2)
ROW = normal(3, seed=3)

# Name, function of Tensors, arrays. Each function is curved in its arguments where it can be.
OPERATIONS = {
    "add": (lambda a, b: (a + b) * a, [A, ROW]),
    "sub": (lambda a, b: (a - b) * b, [A, ROW]),
    "mul": (lambda a, b: a * b * a, [A, ROW]),
    "mul by a number": (lambda a: a * 3.0 * a, [A]),
    "mul by an array": (lambda a: a * B * a, [A]),
    "div": (lambda a, b: a / b, [A, positive(3)]),
    "number / x": (lambda a: 2.0 / a, [positive(2, 3)]),
    "pow": (lambda a, b: a**b, [positive(2, 3), ROW]),
    "cube": (lambda a: a**3, [A]),
    "number ** x": (lambda a: 2.0**a, [A]),
    "x ** 0": (lambda a, b: a**b, [positive(3), np.zeros(3)]),
    "x ** array": (lambda a: a ** np.array([0.0, 1.0, 2.0]), [positive(2, 3)]),
    "maximum": (lambda a, b: tm.maximum(a * a, b), [A, B]),
    "minimum": (lambda a, b: tm.minimum(a * a, b), [A, B]),
    "sin": (lambda a: a.sin(), [A]),
    "cos": (lambda a: a.cos(), [A]),
    "mod": (lambda a, b: (a % b) * a, [A * 3, positive(3)]),
    "floordiv": (lambda a, b: (a // b) * a * b, [A * 3, positive(3)]),
    "norm": (lambda a: a.norm(), [A]),
    "norm of rows": (lambda a: a.norm(3, 1), [A]),
    "norm, the largest": (lambda a: (a * a).norm(np.inf, 0), [A]),
    "std": (lambda a: a.std(1, unbiased=True), [A]),
    "prod": (lambda a: a.prod(1), [A]),
    "prod with a 0": (lambda a: a.prod(), [np.array([[2.0, 0.0], [3.0, -1.0]])]),
    "cumsum": (lambda a: (a * a).cumsum(1), [A]),
    "clone": (lambda a: a.clone() * a, [A]),
    "gather on an axis": (lambda a: a.gather(1, np.array([[0, 0], [2, 1]])) ** 2, [A]),
    "masked_fill": (lambda a: a.masked_fill(A > 0, 2.0) * a, [A]),
    "repeat": (lambda a: (a * a).repeat(2, 3), [A]),
    "split": (lambda a: a.split(2, 1)[0] * a.split(2, 1)[1], [A]),
    "limits": (lambda a, b: (a * a).clip(b, b + 1.0), [A, ROW]),
    "neg": (lambda a: -a * a, [A]),
    "exp": (lambda a: a.exp(), [A]),
    "log": (lambda a: a.log(), [positive(2, 3)]),
    "sqrt": (lambda a: a.sqrt(), [positive(2, 3)]),
    "abs": (lambda a: (a * a * a).abs(), [A]),
    "tanh": (lambda a: a.tanh(), [A]),
    "sigmoid": (lambda a: a.sigmoid(), [A]),
    "clip": (lambda a: (a * a).clip(0.1, 1.0), [A]),
    "where": (lambda a, b: tm.where(A > 0, a * b, b * b), [A, ROW]),
    "sum": (lambda a: (a * a).sum(axis=1), [A]),
    "mean": (lambda a: (a * a).mean(axis=0, keepdims=True), [A]),
    "var": (lambda a: a.var(axis=1), [A]),
    "var of a sample": (lambda a: a.var(axis=(0, 1), ddof=1), [A]),
    "max": (lambda a: (a * a).max(axis=1), [A]),
    "min": (lambda a: (a * a).min(), [A]),
    "matmul": (lambda a, b: a @ b, [A, C]),
    "matmul of batches": (lambda a, b: a @ b, [normal(2, 1, 2, 3), normal(4, 3, 2, seed=5)]),
    "row @ column": (lambda a, b: a @ b, [ROW, normal(3, seed=6)]),
    "matrix @ column": (lambda a, b: a @ b, [A, ROW]),
    "array @ x": (lambda a: (B.T @ a) @ a.T, [A]),
    "reshape": (lambda a: (a * a).reshape(3, 2), [A]),
    "transpose": (lambda a: a.T @ a, [A]),
    "broadcast_to": (lambda a: (a * a).broadcast_to(4, 3), [ROW]),
    "squeeze": (lambda a: (a * a).unsqueeze(1).squeeze(1), [A]),
    "slice": (lambda a: a[:, 1:] * a[0, :2], [A]),
    "gather": (lambda a: a[[0, 0, 1], [2, 2, 0]] ** 2, [A]),
    "mask": (lambda a: a[A > 0] ** 3, [A]),
    "concatenate": (lambda a, b: ts.concatenate([a * b, b, a], 1) ** 2, [A, B]),
    "stack": (lambda a, b: ts.stack([a * b, b], 1) ** 2, [A, B]),
    "linear": (lambda x, w, b: F.linear(x, w, b), [normal(2, 5, 3), C.T.copy(), normal(4)]),
    "relu": (lambda a: F.relu(a * a * a), [A]),
    "softmax": (lambda a: F.softmax(a, 1), [A]),
    "log_softmax": (lambda a: F.log_softmax(a, 0), [A]),
    "dropout": (lambda a: F.dropout(a * a, 0.4, True, np.random.default_rng(0)), [A]),
    "no dropout": (lambda a: F.dropout(a * a, 0.4, False), [A]),
    "pad": (lambda x: F.pad(x * x, (1, 2, 0, -1), value=3.0), [normal(1, 2, 3, 4)]),
    "reflect": (lambda x: F.pad(x * x, (1, 2, 2, 0), "reflect"), [normal(1, 2, 3, 4)]),
    "replicate": (lambda x: F.pad(x * x, (1, 2, 2, 0), "replicate"), [normal(1, 2, 3, 4)]),
    "nearest": (lambda x: F.interpolate(x * x, (5, 3)), [normal(1, 2, 3, 4)]),
    "bilinear": (
        lambda x: F.interpolate(x * x, None, (1.7, 2.2), "bilinear"), [normal(1, 2, 3, 4)]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name):
    function, arrays = OPERATIONS[name]
    check_second_gradients(function, arrays)


@pytest.mark.parametrize("function", [Tensor.sigmoid, Tensor.tanh])
def test_at_the_middle_of_a_sigmoid(function):
    """Its slope is computed from |x|, which has a kink there; the slope itself has none."""
    check_second_gradients(
        lambda x: grad(function(x), x, np.ones(3), create_graph=True)[0], [np.zeros(3)]
    )


@pytest.mark.parametrize("name", OPERATIONS)
def test_first_gradients_are_the_same_with_a_graph(name):
    function, arrays = OPERATIONS[name]
    inputs = [Tensor(array, requires_grad=True) for array in arrays]
    output = function(*inputs)
    seed = values(output.shape, 7, "normal")
    plain = grad(output, inputs, seed, retain_graph=True)
    with_graph = grad(output, inputs, seed, create_graph=True)
    for one, other in zip(plain, with_graph, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-13, atol=1e-13)
        assert one.requires_grad is False


# ---- layers, over drawn geometry -----------------------------------------------------------------


@given(conv_geometries(max_channels=2), seeds(), st.booleans())
def test_conv2d(g, seed, with_bias):
    x, w = values(g.x_shape, seed, "normal"), values(g.w_shape, seed + 1, "normal")
    b = values(g.c_out, seed + 2, "normal") if with_bias else None
    args = (g.stride, g.padding, g.dilation, g.groups)
    check_second_gradients(lambda x, w, b: F.conv2d(x, w, b, *args), [x, w, b], seed=seed)


@given(conv_geometries(max_channels=2), seeds(), st.booleans())
def test_conv_transpose2d(g, seed, with_bias):
    x, w = values(g.y_shape, seed, "normal"), values(g.w_shape, seed + 1, "normal")
    b = values(g.c_in, seed + 2, "normal") if with_bias else None
    args = (g.stride, g.padding, g.output_padding, g.groups, g.dilation)
    check_second_gradients(lambda x, w, b: F.conv_transpose2d(x, w, b, *args), [x, w, b], seed=seed)


@given(conv_geometries(max_channels=2), seeds())
def test_conv2d_weight_grad(g, seed):
    x, dy = values(g.x_shape, seed, "normal"), values(g.y_shape, seed + 1, "normal")
    args = (g.kernel, g.stride, g.padding, g.dilation, g.groups)
    check_second_gradients(lambda x, dy: F.conv2d_weight_grad(x, dy, *args), [x, dy], seed=seed)


def test_a_transposed_convolution_with_room_for_further_windows():
    """output_padding >= stride: a convolution back would see a window more than x has pixels."""
    x, w = normal(1, 2, 2, 3), normal(2, 3, 2, 2, seed=1)
    options = {"stride": (1, 2), "dilation": (3, 4), "output_padding": (2, 3)}
    check_second_gradients(lambda x, w: F.conv_transpose2d(x, w, **options), [x, w])


@given(pool_geometries(), seeds())
def test_max_pool2d_and_back(g, seed):
    x = values(g.x_shape, seed, "distinct")

    def there_and_back(x):
        y, switches = F.max_pool2d(x, **g.kwargs, return_switches=True)
        return F.max_unpool2d(y * y, switches, "add") * x

    check_second_gradients(there_and_back, [x / np.abs(x).max()], seed=seed)


@given(pool_geometries(), seeds(), st.sampled_from(["assign", "add"]))
def test_max_unpool2d(g, seed, duplicates):
    x = values(g.x_shape, seed, "distinct")
    _, switches = ops.max_pool2d(x, **g.kwargs, return_switches=True)
    values_of_switches = values(switches.shape, seed, "normal")
    check_second_gradients(
        lambda v: F.max_unpool2d(v * v, switches.to(v.device), duplicates), [values_of_switches]
    )


@given(pool_geometries(), seeds(), st.booleans())
def test_avg_pool2d(g, seed, count_include_pad):
    x, options = values(g.x_shape, seed, "normal"), g.kwargs
    del options["dilation"]
    options["count_include_pad"] = count_include_pad
    check_second_gradients(lambda x: F.avg_pool2d(x * x, **options), [x], seed=seed)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2, 3)])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("mode", ["training", "evaluation", "no averages"])
@pytest.mark.parametrize("name", ["batch_norm", "batch_norm_relu", "batch_norm_relu_pool"])
def test_batch_norm(name, mode, affine, shape):
    if name == "batch_norm_relu_pool" and len(shape) == 2:
        shape = (3, 3, 2, 4)
    x = values(shape, 3, "normal") * 2 + 1
    weight, bias = (normal(3, seed=4), normal(3, seed=5)) if affine else (None, None)

    def function(x, weight, bias):
        averages = None, None
        if mode != "no averages":
            averages = Tensor(np.full(3, 0.5)), Tensor(np.full(3, 1.5))
        y = getattr(F, name)(x, *averages, weight, bias, training=mode == "training", eps=1e-3)
        return y[0] if isinstance(y, tuple) else y

    check_second_gradients(function, [x, weight, bias])


def test_third_derivative_of_batch_norm():
    dy = normal(3, 4, 2, 3)

    def gradient(x, weight):
        y = F.batch_norm(x, None, None, weight, training=True)
        return grad(y, x, dy, create_graph=True)[0]

    check_second_gradients(gradient, [normal(3, 4, 2, 3, seed=1), normal(4, seed=2)])


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2, 3)])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy(reduction, smoothing, weighted, shape):
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 3, (shape[0], *shape[2:]))
    labels[0] = 255
    weight = np.array([0.5, 1.0, 3.0]) if weighted else None
    check_second_gradients(
        lambda z: F.cross_entropy(z, labels, weight, 255, reduction, smoothing),
        [normal(*shape)],
    )


# ---- a wrong rule is found -----------------------------------------------------------------------


def cube(x, second):
    """x ** 3, whose gradient is right and whose gradient's gradient is that of `second`."""

    def backward(g, needs, x):
        return (g * 3 * x**2,)

    def differentiable(g, needs, x):
        return (second(g, x),)

    return record("cube", x.data**3, (x,), backward, (x,), differentiable=differentiable)


def test_the_right_rule_passes():
    check_second_gradients(lambda x: cube(x, lambda g, x: g * 3 * x**2), [A])


@pytest.mark.parametrize(
    ("wrong", "argument"),
    [
        (lambda g, x: g * 3 * (x * x).detach(), "argument 0"),  # takes x for a constant
        (lambda g, x: g * 3 * x * x.detach(), "argument 0"),  # half of it
        (lambda g, x: g.detach() * 3 * x**2, "argument 1"),  # takes the cotangent for a constant
        (lambda g, x: g * 3 * x**2 * Tensor(1.001, dtype="float64"), "argument"),
    ],
)
def test_a_wrong_rule_is_rejected(wrong, argument):
    with pytest.raises(GradientError, match=argument):
        check_second_gradients(lambda x: cube(x, wrong), [A])


def test_a_kink_of_the_gradient_is_no_bug():
    with pytest.raises(KinkError):
        check_second_gradients(lambda x: F.relu(x) * x, [np.array([0.0, 1.0])])
