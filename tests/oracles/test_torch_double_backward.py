"""Gradients of gradients against PyTorch's double backward, in float64."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_orders import close, compare

from minideconv import Tensor, grad, nn, no_grad, optim
from minideconv import functional as F
from minideconv.testing import conv_geometries, pool_geometries, seeds, values

GEOMETRIES = 100  # at least so many of each, whatever the profile


def many(test):
    return settings(max_examples=max(GEOMETRIES, settings().max_examples))(test)


# ---- one operation at a time ---------------------------------------------------------------------


@many
@given(conv_geometries(max_out=4), seeds(), st.booleans())
def test_conv2d(torch, g, seed, with_bias):
    x, w = values(g.x_shape, seed, "normal"), values(g.w_shape, seed + 1, "normal")
    b = values(g.c_out, seed + 2, "normal") if with_bias else None
    args = (g.stride, g.padding, g.dilation, g.groups)
    conv2d = torch.nn.functional.conv2d
    compare(
        torch,
        lambda x, w, b: F.conv2d(x, w, b, *args),
        lambda x, w, b: conv2d(x, w, b, *args),
        [x, w, b],
        seed,
    )


@many
@given(conv_geometries(max_out=4), seeds(), st.booleans())
def test_conv_transpose2d(torch, g, seed, with_bias):
    x, w = values(g.y_shape, seed, "normal"), values(g.w_shape, seed + 1, "normal")
    b = values(g.c_in, seed + 2, "normal") if with_bias else None
    args = (g.stride, g.padding, g.output_padding, g.groups, g.dilation)
    conv_transpose2d = torch.nn.functional.conv_transpose2d
    compare(
        torch,
        lambda x, w, b: F.conv_transpose2d(x, w, b, *args),
        lambda x, w, b: conv_transpose2d(x, w, b, *args),
        [x, w, b],
        seed,
        # PyTorch's third derivative refuses output_padding: it takes it for a convolution's.
        orders=2 if any(g.output_padding) else 3,
    )


@many
@given(pool_geometries(), seeds())
def test_max_pool2d_and_unpooling(torch, g, seed):
    """Windows that do not overlap: where they do, PyTorch's unpooling has another backward."""
    x = values(g.x_shape, seed, "distinct") / 7.0
    f = torch.nn.functional
    options = g.kwargs

    def pooled(x):
        return F.max_pool2d(x * x, **options)

    def pooled_ref(x):
        return f.max_pool2d(x * x, **options)

    if len(np.unique(np.abs(x))) == x.size:  # squares without ties
        compare(torch, pooled, pooled_ref, [x], seed)

    h, w = g.kernel
    if g.x_shape[2] >= h and g.x_shape[3] >= w:
        size = g.x_shape[2:]

        def there_and_back(x):
            y, switches = F.max_pool2d(x, (h, w), return_switches=True)
            return F.max_unpool2d(y * y * y, switches)

        def there_and_back_ref(x):
            y, indices = f.max_pool2d(x, (h, w), return_indices=True)
            return f.max_unpool2d(y * y * y, indices, (h, w), output_size=size)

        compare(torch, there_and_back, there_and_back_ref, [x], seed)


@many
@given(pool_geometries(), seeds(), st.booleans())
def test_avg_pool2d(torch, g, seed, count_include_pad):
    x = values(g.x_shape, seed, "normal")
    args = (g.kernel, g.stride, g.padding, g.ceil_mode, count_include_pad)
    compare(
        torch,
        lambda x: F.avg_pool2d(x * x, *args),
        lambda x: torch.nn.functional.avg_pool2d(x * x, *args),
        [x],
        seed,
    )


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
def test_pad(torch, mode):
    compare(
        torch,
        lambda x: F.pad(x * x, (2, 1, 1, 2), mode),
        lambda x: torch.nn.functional.pad(x * x, (2, 1, 1, 2), mode),
        [values((2, 3, 4, 5), 0, "normal")],
        0,
    )


@pytest.mark.parametrize("options", [{"mode": "nearest"}, {"mode": "bilinear"},
                                     {"mode": "bilinear", "align_corners": True}])  # fmt: skip
def test_interpolate(torch, options):
    compare(
        torch,
        lambda x: F.interpolate(x * x, (7, 3), **options),
        lambda x: torch.nn.functional.interpolate(x * x, (7, 3), **options),
        [values((2, 3, 4, 5), 0, "normal")],
        0,
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("after", ["", "relu", "relu_pool"])
def test_batch_norm(torch, after, affine, training):
    f = torch.nn.functional
    x = values((3, 4, 4, 5), 0, "normal") * 2 + 1
    weight, bias = values(4, 1, "normal"), values(4, 2, "normal")
    mean, var = values(4, 3, "normal"), np.abs(values(4, 4, "normal")) + 0.5

    def ours(x, weight=None, bias=None):
        averages = Tensor(mean.copy()), Tensor(var.copy())
        if after == "relu_pool":
            args = (x, *averages, weight, bias, training)
            return F.batch_norm_relu_pool(*args, kernel_size=2, stride=(1, 2))[0]
        function = F.batch_norm_relu if after else F.batch_norm
        return function(x, *averages, weight, bias, training)

    def theirs(x, weight=None, bias=None):
        averages = torch.tensor(mean), torch.tensor(var)
        y = f.batch_norm(x, *averages, weight, bias, training)
        if after:
            y = f.relu(y)
        return f.max_pool2d(y, 2, (1, 2)) if after == "relu_pool" else y

    # PyTorch's third derivative in training takes the batch's statistics for constants
    # (`test_third_derivative_of_batch_norm`).
    orders = 2 if training else 3
    compare(torch, ours, theirs, [x, weight, bias] if affine else [x], 5, orders)


def test_third_derivative_of_batch_norm(torch):
    """Against PyTorch's elementary operations; differences agree (`tests/double_backward`)."""

    def theirs(x, weight, bias):
        mean = x.mean((0, 2, 3), keepdim=True)
        std = (x.var((0, 2, 3), correction=0, keepdim=True) + 1e-5) ** 0.5
        return (x - mean) / std * weight[:, None, None] + bias[:, None, None]

    arrays = [values((3, 4, 4, 5), 0, "normal"), values(4, 1, "normal"), values(4, 2, "normal")]
    compare(torch, lambda *xs: F.batch_norm(xs[0], None, None, *xs[1:], training=True), theirs,
            arrays, 5)  # fmt: skip


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("shape", [(5, 4), (2, 4, 3, 2)])
def test_cross_entropy(torch, shape, weighted, smoothing, reduction):
    labels = np.random.default_rng(0).integers(0, 4, (shape[0], *shape[2:]))
    labels[0] = 255
    weight = np.array([0.5, 1.0, 2.0, 3.0]) if weighted else None
    f, target = torch.nn.functional, torch.tensor(labels)
    class_weight = None if weight is None else torch.tensor(weight)
    options = {"ignore_index": 255, "reduction": reduction, "label_smoothing": smoothing}
    compare(
        torch,
        lambda z: F.cross_entropy(z, labels, weight, **options),
        lambda z: f.cross_entropy(z, target, class_weight, **options),
        [values(shape, 1, "normal")],
        2,
    )


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(torch, name):
    compare(
        torch,
        lambda z: getattr(F, name)(z, 1),
        lambda z: getattr(torch.nn.functional, name)(z, 1),
        [values((2, 4, 3), 1, "normal")],
        0,
    )


def test_linear(torch):
    arrays = [values((2, 5, 3), 0, "normal"), values((4, 3), 1, "normal"), values(4, 2, "normal")]
    compare(torch, F.linear, torch.nn.functional.linear, arrays, 0)


# ---- networks ------------------------------------------------------------------------------------

# Layers, theirs under the same names; ReLU behind batch normalisation is one operation here. No
# biases in front of batch normalisation, which takes them away again: their gradients are nothing
# but rounding, and Adam makes steps of that.
CRITIC = [
    ("Conv2d", (2, 4, (3, 2)), {"stride": (2, 1), "padding": (1, 0), "bias": False}),
    ("BatchNorm2d", (4,), {}),
    ("ReLU", (), {}),
    ("MaxPool2d", (2,), {}),
    ("ConvTranspose2d", (4, 3, (2, 3)), {"stride": (1, 2), "bias": False}),
    ("BatchNorm2d", (3,), {}),
    ("ReLU", (), {}),
    ("Conv2d", (3, 1, 2), {"bias": False}),
]  # fmt: skip


def twins(torch, layers):
    """The same network here and in PyTorch, in float64."""
    ours, theirs = (
        lib.Sequential(*(getattr(lib, name)(*args, **options) for name, args, options in layers))
        for lib in (nn, torch.nn)
    )
    ours.to(dtype=np.float64)
    theirs.double()
    for number, (mine, its) in enumerate(zip(ours.parameters(), theirs.parameters(), strict=True)):
        start = values(mine.shape, 30 + number, "normal") * 0.5
        with no_grad():
            mine[...] = start
        its.data = torch.tensor(start)
    return ours, theirs


def penalty(lib_grad, network, x, ones):
    """Mean of (|d critic / dx| - 1)^2 over the images: Gulrajani et al. (2017), equation 3."""
    (slope,) = lib_grad(network(x), x, ones, create_graph=True)
    norms = (slope * slope).sum((1, 2, 3)) ** 0.5
    return ((norms - 1.0) ** 2.0).mean()


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_wgan_gp_step(torch, mode):
    """The critic's loss with a gradient penalty, its gradients, and three steps of Adam."""
    ours, theirs = twins(torch, CRITIC)
    getattr(ours, mode)()
    getattr(theirs, mode)()
    step = optim.Adam(ours.parameters(), lr=1e-2, betas=(0.0, 0.9))
    step_ref = torch.optim.Adam(theirs.parameters(), lr=1e-2, betas=(0.0, 0.9))
    for number in range(3):
        real, fake = (values((3, 2, 9, 10), 2 * number + i, "normal") for i in (0, 1))
        between = 0.3 * real + 0.7 * fake
        x = Tensor(between, requires_grad=True)
        x_ref = torch.tensor(between, requires_grad=True)
        ones = np.ones(ours(x).shape)
        theirs(x_ref)  # the running averages follow once more in both
        loss = (
            ours(Tensor(fake)).mean() - ours(Tensor(real)).mean()
            + 10.0 * penalty(grad, ours, x, ones)
        )  # fmt: skip
        loss_ref = (
            theirs(torch.tensor(fake)).mean() - theirs(torch.tensor(real)).mean()
            + 10.0 * penalty(torch.autograd.grad, theirs, x_ref, torch.tensor(ones))
        )  # fmt: skip
        close(loss, loss_ref, "loss")
        step.zero_grad()
        step_ref.zero_grad()
        loss.backward()
        loss_ref.backward()
        for (name, mine), its in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            close(mine.grad, its.grad, f"step {number}, {name}")
        step.step()
        step_ref.step()
        for (name, mine), its in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            close(mine, its, f"after step {number}, {name}")


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_hessian_vector_product(torch, mode):
    """H v = d/dw <dL/dw, v> of a segmentation loss, by all parameters and the image."""
    layers = [*CRITIC[:-1], ("Conv2d", (3, 5, 2), {})]
    ours, theirs = twins(torch, layers)
    getattr(ours, mode)()
    getattr(theirs, mode)()
    image = values((3, 2, 9, 10), 0, "normal")
    x, x_ref = Tensor(image, requires_grad=True), torch.tensor(image, requires_grad=True)
    z, z_ref = ours(x), theirs(x_ref)
    labels = np.random.default_rng(0).integers(0, 5, (3, *z.shape[2:]))
    loss = F.cross_entropy(z, labels, label_smoothing=0.1)
    loss_ref = torch.nn.functional.cross_entropy(z_ref, torch.tensor(labels), label_smoothing=0.1)
    w, w_ref = [*ours.parameters(), x], [*theirs.parameters(), x_ref]
    v = [values(p.shape, 60 + i, "normal") for i, p in enumerate(w)]
    first = grad(loss, w, create_graph=True)
    first_ref = torch.autograd.grad(loss_ref, w_ref, create_graph=True)
    product = sum((g * a).sum() for g, a in zip(first, v, strict=True))
    product_ref = sum((g * torch.tensor(a)).sum() for g, a in zip(first_ref, v, strict=True))
    for i, (mine, its) in enumerate(
        zip(grad(product, w), torch.autograd.grad(product_ref, w_ref), strict=True)
    ):
        close(mine, its, f"parameter {i}")


def test_backward_accumulates_as_pytorch(torch):
    ours, theirs = twins(torch, CRITIC)
    image = values((3, 2, 9, 10), 0, "normal")
    for _ in range(2):
        (ours(Tensor(image)) ** 2.0).mean().backward(create_graph=True)
        with warnings.catch_warnings():  # of a cycle of references
            warnings.simplefilter("ignore")
            (theirs(torch.tensor(image)) ** 2.0).mean().backward(create_graph=True)
    norm = sum((p.grad * p.grad).sum() for p in ours.parameters())
    norm_ref = sum((p.grad * p.grad).sum() for p in theirs.parameters())
    ours.zero_grad()
    for p in theirs.parameters():
        p.grad = None
    norm.backward()
    norm_ref.backward()
    for (name, mine), its in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        close(mine.grad, its.grad, name)
