"""Layers: the right function with the right arguments, modes, and sentences for wrong arguments."""

from __future__ import annotations

import numpy as np
import pytest

import minideconv as md
from minideconv import functional as F
from minideconv import nn
from minideconv.autograd import Tensor
from minideconv.testing import check_gradients, values


def _x(*shape: int, seed: int = 0) -> Tensor:
    return Tensor(values(shape, seed=seed, kind="normal"))


@pytest.mark.parametrize(
    ("layer", "shape", "function"),
    [
        (
            nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), groups=2),
            (2, 4, 7, 6),
            lambda m, x: F.conv2d(x, m.weight, m.bias, (2, 1), (1, 0), (1, 2), 2),
        ),
        (
            nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 0), (1, 2), groups=2),
            (2, 4, 3, 4),
            lambda m, x: F.conv_transpose2d(x, m.weight, m.bias, (2, 3), (1, 0), (1, 2), 2),
        ),
        (
            nn.MaxPool2d((3, 2), (1, 2), (1, 0), (1, 2), ceil_mode=True),
            (2, 3, 6, 7),
            lambda m, x: F.max_pool2d(x, (3, 2), (1, 2), (1, 0), (1, 2), True),
        ),
        (nn.Linear(5, 3), (4, 5), lambda m, x: F.linear(x, m.weight, m.bias)),
        (nn.ReLU(), (3, 4), lambda m, x: F.relu(x)),
        (
            nn.Upsample((5, 7), mode="bilinear"),
            (1, 2, 3, 4),
            lambda m, x: F.interpolate(x, (5, 7), mode="bilinear"),
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_a_layer_is_its_function(layer, shape, function):
    layer.to(dtype=np.float64)
    layer.to(md.get_default_device())  # made before there was one
    for parameter in layer.parameters():
        with md.no_grad():
            parameter[...] = values(parameter.shape, seed=5, kind="normal")
    x = _x(*shape)
    assert (layer(x).numpy() == function(layer, x).numpy()).all()


def test_pooling_and_unpooling_modules_pass_the_switches():
    x = _x(2, 3, 5, 6)
    y, switches = nn.MaxPool2d(2, return_switches=True)(x)
    assert y.shape == (2, 3, 2, 3)
    assert nn.MaxUnpool2d()(y, switches).shape == x.shape
    assert "add" in repr(nn.MaxUnpool2d("add"))


def test_conv_transpose_works_the_output_padding_out():
    layer = nn.ConvTranspose2d(2, 1, 3, stride=3)
    x = _x(1, 2, 6, 5).numpy().astype(np.float32)
    for height in (18, 19, 20):
        assert layer(Tensor(x), output_size=(height, 16)).shape == (1, 1, height, 16)
    with pytest.raises(ValueError, match=r"asks for 21 .* an input of 6 can give 18\.\.20"):
        layer(Tensor(x), output_size=(21, 16))


def test_batch_norm_learns_in_training_and_remembers_in_evaluation():
    bn = nn.BatchNorm2d(3, momentum=0.5).to(dtype=np.float64)
    x = _x(4, 3, 5, 2) * 3.0 + 7.0
    y = bn(x).numpy()
    assert np.allclose(y.mean((0, 2, 3)), 0)
    assert np.allclose(y.var((0, 2, 3)), 1, atol=1e-4)
    mean, var = x.numpy().mean((0, 2, 3)), x.numpy().var((0, 2, 3), ddof=1)
    before = bn.state_dict()
    assert np.allclose(before["running_mean"], 0.5 * mean)
    assert np.allclose(before["running_var"], 0.5 + 0.5 * var)
    bn.eval()
    z = bn(x).numpy()
    scale = np.sqrt(before["running_var"] + bn.eps)[:, None, None]
    assert np.allclose(z, (x.numpy() - before["running_mean"][:, None, None]) / scale)
    assert (bn.state_dict()["running_mean"] == before["running_mean"]).all()
    assert bn.num_batches_tracked == 1


def test_batch_norm_with_momentum_none_averages_all_batches_equally():
    bn = nn.BatchNorm2d(2, momentum=None).to(dtype=np.float64)
    batches = [_x(3, 2, 4, 5, seed=s).numpy() * (s + 1) + s for s in range(4)]
    for batch in batches:
        bn(Tensor(batch))
    state = bn.state_dict()
    assert np.allclose(state["running_mean"], np.mean([b.mean((0, 2, 3)) for b in batches], 0))
    assert np.allclose(
        state["running_var"], np.mean([b.var((0, 2, 3), ddof=1) for b in batches], 0)
    )
    bn.reset_running_stats()
    assert bn.num_batches_tracked == 0
    assert (bn.running_mean == 0).all()


def test_batch_norm_without_running_statistics_uses_the_batch_in_evaluation_too():
    bn = nn.BatchNorm2d(2, affine=False, track_running_stats=False).eval()
    y = bn(_x(4, 2, 3, 3) + 5.0).numpy()
    assert np.allclose(y.mean((0, 2, 3)), 0)
    assert not list(bn.named_buffers())


def test_batch_norm_passes_gradients_in_both_modes():
    for training in (True, False):
        bn = nn.BatchNorm2d(2).to(dtype=np.float64).train(training)
        bn.running_mean[...], bn.running_var[...] = 0.5, 2.0
        check_gradients(bn, [values((3, 2, 2, 4), seed=1, kind="normal")])


def test_dropout_works_in_training_only_and_by_its_own_generator():
    x = Tensor(np.ones((50, 50)))
    first = nn.Dropout(0.3, np.random.default_rng(1))(x).numpy()
    again = nn.Dropout(0.3, np.random.default_rng(1))(x).numpy()
    assert (first == again).all()
    assert set(np.unique(first)) == {0.0, 1 / 0.7}
    assert 0.2 < (first == 0).mean() < 0.4
    assert (nn.Dropout(0.3).eval()(x).numpy() == 1).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "groups is 2; it must divide in_channels=3"),
        (lambda: nn.Conv2d(0, 4, 3), "in_channels is 0; it must be at least 1"),
        (lambda: nn.ConvTranspose2d(2, 2, 3, 2, output_padding=2), r"must be in 0\.\.1"),
        (lambda: nn.BatchNorm2d(0), "num_features is 0"),
        (lambda: nn.Dropout(1.5), "p is 1.5; it must be a probability"),
        (lambda: nn.Linear(2, 0), "out_features is 0"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
