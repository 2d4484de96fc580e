"""Every function of Tensors: the value of its op, and its gradient through the tape."""

from __future__ import annotations

import inspect
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minideconv import Tensor, no_grad, ops
from minideconv import functional as F
from minideconv.distributed import Single
from minideconv.testing import (
    GradientError,
    batch_norm_geometries,
    check_gradients,
    conv_geometries,
    pool_geometries,
    seeds,
    values,
)

shapes = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))


def same(tensor, array):
    """A Tensor holds exactly what its op returns."""
    assert isinstance(tensor, Tensor)
    assert tensor.dtype == array.dtype
    assert np.array_equal(tensor.numpy(), array)


# ---------------------------------------------------------------------------------------------
# Convolutions


@given(conv_geometries(max_channels=2), seeds(), st.booleans())
def test_conv2d(g, seed, with_bias):
    x, w = values(g.x_shape, seed, "normal"), values(g.w_shape, seed + 1, "normal")
    b = values(g.c_out, seed + 2, "normal") if with_bias else None
    args = (g.stride, g.padding, g.dilation, g.groups)
    bias = None if b is None else Tensor(b)
    same(F.conv2d(Tensor(x), Tensor(w), bias, *args), ops.conv2d(x, w, b, *args))
    check_gradients(lambda x, w, b: F.conv2d(x, w, b, *args), [x, w, b], seed=seed)


@given(conv_geometries(max_channels=2), seeds())
def test_conv2d_weight_grad(g, seed):
    x, dy = values(g.x_shape, seed, "normal"), values(g.y_shape, seed + 1, "normal")
    args = (g.kernel, g.stride, g.padding, g.dilation, g.groups)
    same(F.conv2d_weight_grad(Tensor(x), Tensor(dy), *args), ops.conv2d_weight_grad(x, dy, *args))
    check_gradients(lambda x, dy: F.conv2d_weight_grad(x, dy, *args), [x, dy], seed=seed)


@given(conv_geometries(max_channels=2), seeds(), st.booleans())
def test_conv_transpose2d(g, seed, with_bias):
    x, w = values(g.y_shape, seed, "normal"), values(g.w_shape, seed + 1, "normal")
    b = values(g.c_in, seed + 2, "normal") if with_bias else None
    args = (g.stride, g.padding, g.output_padding, g.groups, g.dilation)
    bias = None if b is None else Tensor(b)
    same(
        F.conv_transpose2d(Tensor(x), Tensor(w), bias, *args), ops.conv_transpose2d(x, w, b, *args)
    )
    check_gradients(lambda x, w, b: F.conv_transpose2d(x, w, b, *args), [x, w, b], seed=seed)


# ---------------------------------------------------------------------------------------------
# Pooling and unpooling


@given(pool_geometries(), seeds())
def test_max_pool2d(g, seed):
    x = values(g.x_shape, seed, "distinct")
    y, switches = F.max_pool2d(Tensor(x), **g.kwargs, return_switches=True)
    want, where = ops.max_pool2d(x, **g.kwargs, return_switches=True)
    same(y, want)
    assert np.array_equal(switches.indices, where.indices)
    same(F.max_pool2d(Tensor(x), **g.kwargs), want)
    check_gradients(lambda x: F.max_pool2d(x, **g.kwargs), [x], seed=seed)


@given(pool_geometries(), seeds(), st.sampled_from(["assign", "add"]))
def test_max_unpool2d(g, seed, duplicates):
    y, switches = ops.max_pool2d(
        values(g.x_shape, seed, "distinct"), **g.kwargs, return_switches=True
    )
    x = values(y.shape, seed + 1, "normal")
    same(F.max_unpool2d(Tensor(x), switches, duplicates), ops.max_unpool2d(x, switches, duplicates))
    check_gradients(lambda x: F.max_unpool2d(x, switches, duplicates), [x], seed=seed)


@given(pool_geometries(max_dilation=1), seeds(), st.booleans())
def test_avg_pool2d(g, seed, count_include_pad):
    x = values(g.x_shape, seed, "normal")
    args = (g.kernel, g.stride, g.padding, g.ceil_mode, count_include_pad)
    same(F.avg_pool2d(Tensor(x), *args), ops.avg_pool2d(x, *args))
    check_gradients(lambda x: F.avg_pool2d(x, *args), [x], seed=seed)


# ---------------------------------------------------------------------------------------------
# Normalisation, activations, dropout


@given(batch_norm_geometries(), seeds(), st.booleans(), st.booleans(), st.booleans())
def test_batch_norm(g, seed, training, affine, running):
    x = values(g.x_shape, seed, "distinct")
    w = values(g.channels, seed + 1, "normal") if affine else None
    b = values(g.channels, seed + 2, "normal") if affine else None
    mean = values(g.channels, seed + 3, "normal") if running else None
    var = np.abs(values(g.channels, seed + 4, "normal")) + 0.1 if running else None

    def stats():  # fresh ones: training updates them in place
        return (None, None) if mean is None else (mean.copy(), var.copy())

    ours, theirs = stats(), stats()
    optional = [None if a is None else Tensor(a) for a in (w, b)]
    same(
        F.batch_norm(Tensor(x), *ours, *optional, training),
        ops.batch_norm(x, *theirs, w, b, training),
    )
    for mine, its, before in zip(ours, theirs, stats(), strict=True):
        assert (mine is None and its is None) or np.array_equal(mine, its)
        assert mine is None or np.array_equal(mine, before) != training
    # Two values per channel are normalised to -1 and 1 wherever they are: a derivative of zero.
    check_gradients(
        lambda x, w, b: F.batch_norm(x, *stats(), w, b, training, eps=0.5),
        [x, w, b],
        seed=seed,
    )


@given(batch_norm_geometries(), seeds(), st.booleans(), st.booleans())
def test_batch_norm_relu(g, seed, training, affine):
    x, dy = values(g.x_shape, seed, "distinct"), values(g.x_shape, seed + 5, "normal")
    w, b = (values(g.channels, seed + i, "normal") if affine else None for i in (1, 2))
    mean, var = values(g.channels, seed + 3, "normal"), np.full(g.channels, 0.5)

    def gradients(function):
        tensors = [None if a is None else Tensor(a, requires_grad=True) for a in (x, w, b)]
        stats = mean.copy(), var.copy()
        y = function(tensors[0], *stats, *tensors[1:], training, eps=0.5)
        y.backward(Tensor(dy))
        return [y.numpy(), *stats, *(t.grad.numpy() for t in tensors if t is not None)]

    pair = gradients(lambda *args, **kwargs: F.relu(F.batch_norm(*args, **kwargs)))
    for one, two in zip(gradients(F.batch_norm_relu), pair, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12)


@given(batch_norm_geometries(), seeds(), st.booleans())
def test_sync_batch_norm_of_one_process(g, seed, relu):
    x, dy = values(g.x_shape, seed, "distinct"), values(g.x_shape, seed + 5, "normal")
    w, b = (values(g.channels, seed + i, "normal") for i in (1, 2))

    def gradients(function):
        tensors = [Tensor(a, requires_grad=True) for a in (x, w, b)]
        stats = Tensor(np.zeros(g.channels)), Tensor(np.ones(g.channels))
        y = function(tensors[0], *stats, *tensors[1:])
        y.backward(Tensor(dy))
        return [a.numpy() for a in (y, *stats, *(t.grad for t in tensors))]

    alone = gradients(lambda *args: F.sync_batch_norm(*args, Single(), relu=relu))
    plain = F.batch_norm_relu if relu else F.batch_norm
    for one, two in zip(alone, gradients(partial(plain, training=True)), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12)


@given(pool_geometries(), seeds(), st.booleans())
def test_batch_norm_relu_pool(g, seed, training):
    assume(g.batch * g.size[0] * g.size[1] > 1)
    x, dy = values(g.x_shape, seed, "distinct"), values(g.y_shape, seed + 5, "normal")
    w, b = (values(g.channels, seed + i, "normal") for i in (1, 2))
    mean, var = values(g.channels, seed + 3, "normal"), np.full(g.channels, 0.5)

    def gradients(function):
        tensors = [Tensor(a, requires_grad=True) for a in (x, w, b)]
        stats = mean.copy(), var.copy()
        y, switches = function(tensors[0], *stats, *tensors[1:], training, eps=0.5)
        y.backward(Tensor(dy))
        return [y.numpy(), switches.indices, *stats, *(t.grad.numpy() for t in tensors)]

    def one_behind_the_other(*args, **kwargs):
        z = F.batch_norm_relu(*args, **kwargs)
        return F.max_pool2d(z, **g.kwargs, return_switches=True)

    in_one = gradients(partial(F.batch_norm_relu_pool, **g.kwargs))
    for one, two in zip(in_one, gradients(one_behind_the_other), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12)


@given(shapes, seeds())
def test_batch_norm_updates_running_tensors(shape, seed):
    x = values((2, *shape[1:]), seed, "normal")
    mean, var = Tensor(np.zeros(shape[1])), Tensor(np.ones(shape[1]))
    F.batch_norm(Tensor(x), mean, var, training=True, momentum=0.25)
    np.testing.assert_allclose(mean.numpy(), 0.25 * x.mean(axis=(0, 2, 3)), atol=1e-12)
    np.testing.assert_allclose(var.numpy(), 0.75 + 0.25 * x.var(axis=(0, 2, 3), ddof=1), rtol=1e-12)


@given(shapes, seeds())
def test_relu(shape, seed):
    x = values(shape, seed, "distinct")
    same(F.relu(Tensor(x)), ops.relu(x))
    check_gradients(F.relu, [x], seed=seed, allow_zero=not (x > 0).any())


@given(shapes, seeds(), st.integers(-4, 3))
def test_softmax_and_log_softmax(shape, seed, dim):
    x = values(shape, seed, "normal")
    same(F.softmax(Tensor(x), dim), ops.softmax(x, dim))
    same(F.log_softmax(Tensor(x), dim), ops.log_softmax(x, dim))
    constant = shape[dim] == 1
    check_gradients(lambda x: F.softmax(x, dim), [x], seed=seed, allow_zero=constant)
    check_gradients(lambda x: F.log_softmax(x, dim), [x], seed=seed, allow_zero=constant)


@given(shapes, seeds(), st.sampled_from([0.0, 0.3, 0.8]), st.booleans())
def test_dropout(shape, seed, p, training):
    x = values(shape, seed, "normal")

    def rng():
        return np.random.default_rng(seed)

    y = F.dropout(Tensor(x), p, training, rng())
    same(y, ops.dropout(x, p, training, rng()))
    check_gradients(
        lambda x: F.dropout(x, p, training, rng()), [x], seed=seed, allow_zero=not y.numpy().any()
    )


# ---------------------------------------------------------------------------------------------
# Linear, pad, interpolate


@given(
    st.lists(st.integers(1, 3), max_size=2),
    st.integers(1, 4),
    st.integers(1, 4),
    seeds(),
    st.booleans(),
)
def test_linear(batch, c_in, c_out, seed, with_bias):
    x = values((*batch, c_in), seed, "normal")
    w = values((c_out, c_in), seed + 1, "normal")
    b = values(c_out, seed + 2, "normal") if with_bias else None
    bias = None if b is None else Tensor(b)
    same(F.linear(Tensor(x), Tensor(w), bias), ops.linear(x, w, b))
    check_gradients(F.linear, [x, w, b], seed=seed)


@given(
    st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(3, 5), st.integers(3, 5)),
    st.lists(st.integers(-1, 2), min_size=4, max_size=4),
    st.sampled_from(["constant", "reflect", "replicate"]),
    seeds(),
)
def test_pad(shape, amounts, mode, seed):
    x = values(shape, seed, "normal")
    same(F.pad(Tensor(x), amounts, mode), ops.pad(x, amounts, mode))
    check_gradients(lambda x: F.pad(x, amounts, mode), [x], seed=seed)


@pytest.mark.parametrize(
    "amounts", [(1, 2), (0, 1, 2, 0), (1, 0, 0, 2, 1, 1), (0, 1, -1, 0, 2, 0, 1, 0)]
)
def test_pad_of_any_number_of_axes(amounts):
    x = values((2, 3, 4, 3), 0, "normal")
    assert (
        F.pad(Tensor(x), amounts, value=5.0).numpy().sum()
        != F.pad(Tensor(x), amounts).numpy().sum()
    )
    check_gradients(lambda x: F.pad(x, amounts), [x])


def test_pad_of_a_vector():
    check_gradients(lambda x: F.pad(x, (1, 2)), [values(4, 0, "normal")])


@given(
    shapes,
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.sampled_from([("nearest", False), ("bilinear", False), ("bilinear", True)]),
    seeds(),
)
def test_interpolate_to_size(shape, size, how, seed):
    x = values(shape, seed, "normal")
    same(F.interpolate(Tensor(x), size, None, *how), ops.interpolate(x, size, None, *how))
    check_gradients(lambda x: F.interpolate(x, size, None, *how), [x], seed=seed)


@given(
    shapes,
    st.tuples(st.sampled_from([1.0, 1.3, 1.5, 2.0]), st.sampled_from([1.0, 1.7, 2.5, 3.0])),
    st.sampled_from(["nearest", "bilinear"]),
    seeds(),
)
def test_interpolate_by_factor(shape, factors, mode, seed):
    x = values(shape, seed, "normal")
    same(
        F.interpolate(Tensor(x), scale_factor=factors, mode=mode),
        ops.interpolate(x, scale_factor=factors, mode=mode),
    )
    check_gradients(lambda x: F.interpolate(x, scale_factor=factors, mode=mode), [x], seed=seed)


# ---------------------------------------------------------------------------------------------
# Loss


@given(
    st.tuples(st.integers(1, 3), st.integers(2, 4), st.integers(1, 3), st.integers(1, 3)),
    seeds(),
    st.booleans(),
    st.sampled_from(["mean", "sum", "none"]),
    st.sampled_from([0.0, 0.2]),
    st.sampled_from([0.0, 0.4, 1.0]),
)
def test_cross_entropy(shape, seed, weighted, reduction, smoothing, ignored):
    x = values(shape, seed, "normal")
    rng = np.random.default_rng(seed)
    target = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    target[rng.random(target.shape) < ignored] = 255
    weight = rng.uniform(0.5, 2, shape[1]) if weighted else None
    args = (target, weight, 255, reduction, smoothing)
    loss = F.cross_entropy(Tensor(x), *args)
    same(loss, ops.cross_entropy(x, *args))
    nothing = bool((target == 255).all())
    assert not nothing or not loss.numpy().any()
    check_gradients(lambda x: F.cross_entropy(x, *args), [x], seed=seed, allow_zero=nothing)


def test_cross_entropy_takes_tensors_for_labels_and_weights():
    x, target = values((2, 3), 0, "normal"), np.array([2, 0])
    weight = np.array([1.0, 2.0, 3.0])
    loss = F.cross_entropy(Tensor(x), Tensor(target), Tensor(weight))
    same(loss, ops.cross_entropy(x, target, weight))


# ---------------------------------------------------------------------------------------------
# What all of them share

TESTED = {
    "avg_pool2d",
    "batch_norm",
    "batch_norm_relu",
    "batch_norm_relu_pool",
    "conv2d",
    "conv2d_weight_grad",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "interpolate",
    "linear",
    "log_softmax",
    "max_pool2d",
    "max_unpool2d",
    "pad",
    "relu",
    "softmax",
    "sync_batch_norm",
}

# In tests/oracles/test_torch_layers.py and test_torch_more_losses.py, with their gradients.
TESTED |= {
    "adaptive_avg_pool2d",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "dice_loss",
    "dropout2d",
    "focal_loss",
    "group_norm",
    "instance_norm",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "mse_loss",
    "nll_loss",
    "pixel_shuffle",
    "one_hot",
    "sigmoid",
    "softplus",
    "tanh",
}


@pytest.mark.cpu  # names
def test_every_function_is_tested_here():
    public = {
        name
        for name, function in vars(F).items()
        if inspect.isfunction(function)
        and function.__module__.startswith(F.__name__)
        and not name.startswith("_")
    }
    assert public == TESTED == set(F.__all__)


def test_signatures_are_pytorchs():
    def names(function):
        return list(inspect.signature(function).parameters)

    assert names(F.conv2d) == ["x", "weight", "bias", "stride", "padding", "dilation", "groups"]
    assert names(F.conv_transpose2d) == (
        ["x", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"]
    )
    assert names(F.max_pool2d) == (
        ["x", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_switches"]
    )
    assert names(F.max_unpool2d) == ["x", "switches", "duplicates"]
    assert names(F.batch_norm) == (
        ["x", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"]
    )
    assert names(F.cross_entropy) == (
        ["logits", "target", "weight", "ignore_index", "reduction", "label_smoothing"]
    )


def test_no_grad_records_nothing_and_constants_receive_nothing():
    x, w = values((1, 2, 4, 5), 0, "normal"), values((3, 2, 2, 2), 1, "normal")
    with no_grad():
        assert not F.conv2d(Tensor(x, requires_grad=True), Tensor(w)).requires_grad
    constant, learned = Tensor(x), Tensor(w, requires_grad=True)
    F.conv2d(constant, learned).sum().backward()
    assert constant.grad is None
    assert learned.grad.shape == w.shape


def test_a_value_used_twice_receives_both_gradients():
    x, w = values((1, 1, 4, 5), 0, "normal"), values((1, 1, 3, 3), 1, "normal")

    def twice(x, w):
        y = F.conv2d(x, w, padding=1)
        return F.conv2d(y, w, padding=1) + y * x

    check_gradients(twice, [x, w])


def small_network(x, w1, gamma, beta, w2, b2, w3):
    """One stage of DeconvNet: conv, BN, ReLU, pool, unpool by the switches, deconv, score."""
    y = F.conv2d(x, w1, padding=1)
    y = F.relu(F.batch_norm(y, None, None, gamma, beta, training=True))
    y, switches = F.max_pool2d(y, 2, return_switches=True)
    y = F.relu(F.conv2d(y, w2, b2, padding=(1, 0)))
    y = F.max_unpool2d(F.pad(y, (1, 1)), switches)
    y = F.conv_transpose2d(y, w3, stride=1, padding=1)
    target = np.arange(2 * 6 * 8).reshape(2, 6, 8) % 3
    return F.cross_entropy(y, np.where(target == 2, 255, target))


def network_parameters(seed):
    shapes = [(2, 1, 6, 8), (4, 1, 3, 3), (4,), (4,), (4, 4, 3, 3), (4,), (4, 2, 3, 3)]
    return [values(s, seed + i, "normal") for i, s in enumerate(shapes)]


@pytest.mark.parametrize("seed", range(5))
def test_a_whole_network(seed):
    check_gradients(small_network, network_parameters(seed), rtol=1e-5)


def test_the_network_check_would_notice_a_lost_gradient():
    def broken(x, w1, *rest):
        return small_network(x, w1.detach(), *rest)

    with pytest.raises(GradientError, match="argument 1"):
        check_gradients(broken, network_parameters(0), rtol=1e-5)
