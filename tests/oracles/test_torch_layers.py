"""Layers that are made of others, against PyTorch in float64: values and gradients to order 2."""

from __future__ import annotations

import numpy as np
import pytest
from torch_orders import close, compare

from minideconv import Tensor, nn, no_grad
from minideconv import functional as F
from minideconv.testing import check_gradients, values

IMAGES = (2, 12, 4, 5)


def normal(*shape, seed=0):
    return values(shape, seed, "normal")


# Name here and in PyTorch, arguments, options, shape of the input. Different on all axes.
LAYERS = [
    ("Identity", (), {}, (2, 3)),
    ("ReLU", (), {"inplace": True}, IMAGES),
    ("LeakyReLU", (0.2,), {"inplace": True}, IMAGES),
    ("LeakyReLU", (1.5,), {}, IMAGES),
    ("LeakyReLU", (), {}, (3,)),
    ("Tanh", (), {}, IMAGES),
    ("Sigmoid", (), {}, IMAGES),
    ("Softmax", (1,), {}, IMAGES),
    ("LogSoftmax", (), {"dim": -1}, IMAGES),
    ("Flatten", (), {}, IMAGES),
    ("Flatten", (), {"start_dim": 0, "end_dim": 2}, IMAGES),
    ("PixelShuffle", (2,), {}, IMAGES),
    ("AvgPool2d", ((2, 3),), {"stride": (1, 2), "padding": (1, 0)}, IMAGES),
    ("AvgPool2d", (2,), {"ceil_mode": True, "count_include_pad": False}, IMAGES),
    ("AdaptiveAvgPool2d", (1,), {}, IMAGES),
    ("AdaptiveAvgPool2d", ((3, 2),), {}, IMAGES),
    ("AdaptiveAvgPool2d", ((7, 4),), {}, IMAGES),
    ("GroupNorm", (3, 12), {}, IMAGES),
    ("GroupNorm", (1, 12), {"affine": False, "eps": 0.1}, IMAGES),
    ("GroupNorm", (4, 12), {}, (3, 12)),
    ("GroupNorm", (4, 12), {}, (3, 12, 5)),
    ("InstanceNorm2d", (12,), {}, IMAGES),
    ("InstanceNorm2d", (12,), {"affine": True}, IMAGES),
    ("LayerNorm", (5,), {}, IMAGES),
    ("LayerNorm", ((4, 5),), {}, IMAGES),
    ("LayerNorm", ((4, 5),), {"elementwise_affine": False}, IMAGES),
    ("LayerNorm", ((4, 5),), {"bias": False}, IMAGES),
    ("BatchNorm1d", (12,), {}, (5, 12)),
    ("BatchNorm1d", (12,), {}, (3, 12, 4)),
]


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize(("name", "arguments", "options", "shape"), LAYERS)
def test_layer(torch, name, arguments, options, shape, mode):
    ours, theirs = (getattr(lib, name)(*arguments, **options) for lib in (nn, torch.nn))
    ours.to(dtype=np.float64)
    theirs.double()
    getattr(ours, mode)()
    getattr(theirs, mode)()
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    for number, (mine, its) in enumerate(zip(ours.parameters(), theirs.parameters(), strict=True)):
        start = normal(*mine.shape, seed=number + 1)
        with no_grad():
            mine[...] = start
        its.data = torch.tensor(start)
    x = normal(*shape, seed=9)
    # PyTorch writes over an input where it is told to, but not over a leaf.
    compare(torch, ours, lambda x: theirs(x.clone()), [x], 0, orders=2)

    mine, its = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, y_ref = ours(mine), theirs(its.clone())
    dy = normal(*y.shape, seed=3)
    y.backward(dy)
    y_ref.backward(torch.tensor(dy))
    close(mine.grad, its.grad)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(p.grad, q.grad)


def test_leaky_relu_at_zero(torch):
    x = np.array([-1.0, -0.0, 0.0, 2.0])
    compare(torch, lambda x: F.leaky_relu(x, 0.3),
            lambda x: torch.nn.functional.leaky_relu(x, 0.3), [x], 0, orders=1)  # fmt: skip


def test_softplus(torch):
    x = np.array([-800.0, -40.0, -1.0, 0.0, 0.5, 30.0, 800.0])

    def theirs(x):  # without the threshold at which PyTorch takes softplus for the identity
        return torch.nn.functional.softplus(x, threshold=1e9)

    compare(torch, F.softplus, lambda x: torch.logaddexp(x, torch.zeros_like(x)), [x], 0, orders=1)
    compare(torch, F.softplus, theirs, [x[1:-1]], 0)


@pytest.mark.parametrize("name", ["leaky_relu", "softplus", "sigmoid", "tanh"])
def test_first_gradients_numerically(name):
    check_gradients(getattr(F, name), [normal(3, 4, seed=2)])


def test_group_norm_keeps_images_and_groups_apart():
    """A wrong grouping, by pixels or over the batch, changes what other images do."""
    x = normal(*IMAGES)
    alone = F.group_norm(Tensor(x[:1]), 3).numpy()
    changed = x.copy()
    changed[1:] *= 7.0
    changed[0, 4:] += 3.0
    both = F.group_norm(Tensor(changed), 3).numpy()
    np.testing.assert_allclose(both[0, :4], alone[0, :4], rtol=1e-12)
    groups = both.reshape(2, 3, -1)
    np.testing.assert_allclose(groups.mean(-1), 0.0, atol=1e-12)
    np.testing.assert_allclose(groups.std(-1), 1.0, rtol=1e-4)


def test_dropout2d_drops_channels():
    x = Tensor(np.ones((20, 30, 2, 3)), requires_grad=True)
    y = F.dropout2d(x, 0.3, rng=np.random.default_rng(0))
    planes = y.numpy().reshape(600, 6)
    assert (planes == planes[:, :1]).all()
    assert set(np.unique(planes).round(12)) == {0.0, round(1 / 0.7, 12)}
    assert 0.24 < (planes[:, 0] == 0).mean() < 0.36
    y.backward(np.ones(y.shape))
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())
    np.testing.assert_array_equal(F.dropout2d(x, 0.3, training=False).numpy(), x.numpy())
    layer = nn.Dropout2d(0.5, rng=np.random.default_rng(1))
    assert (layer(x).numpy() == 0).any()
    np.testing.assert_array_equal(layer.eval()(x).numpy(), x.numpy())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.GroupNorm(5, 12), "num_groups is 5; it must divide num_channels 12"),
        (lambda: nn.GroupNorm(0, 12), "num_groups is 0"),
        (lambda: F.group_norm(Tensor(np.ones((2, 6, 3))), 4), "positive divisor of C"),
        (lambda: F.group_norm(Tensor(np.ones((2, 6))), 6), "one value is normalised by itself"),
        (lambda: F.group_norm(Tensor(np.ones((2, 6))), 2, Tensor(np.ones(3))), "weight has shape"),
        (lambda: F.layer_norm(Tensor(np.ones((2, 6))), 5), r"must be normalized_shape = \(5,\)"),
        (lambda: F.layer_norm(Tensor(np.ones((2, 6))), 6, None, Tensor(np.ones(2))), "bias has"),
        (lambda: F.pixel_shuffle(Tensor(np.ones((1, 6, 2, 2))), 2), "upscale_factor is 2"),
        (lambda: F.adaptive_avg_pool2d(Tensor(np.ones((1, 6, 2, 2))), 0), "output_size is"),
        (lambda: F.adaptive_avg_pool2d(Tensor(np.ones((2, 2))), 2), "must have 4 axes"),
        (lambda: F.dropout2d(Tensor(np.ones((6, 2)))), "must have 4 axes"),
        (lambda: nn.Dropout2d(1.5), "probability"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
