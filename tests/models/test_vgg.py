"""VGG-16: the paper's number of parameters, sizes, wrong arguments."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import Tensor, models

small = {"num_classes": 3, "width": 2, "fc": 4}


def image(size, channels=3):
    rng = np.random.default_rng(0)
    return Tensor(rng.standard_normal((2, channels, *size)).astype(np.float32))


@pytest.mark.cpu  # half a gigabyte of weights, and a count
def test_the_default_arguments_are_the_papers_network():
    assert models.vgg16().num_parameters() == 138_357_544
    # torchvision's vgg16_bn has a scale and a shift for each of 4224 channels more
    assert models.vgg16(batch_norm=True).num_parameters() == 138_365_992


@pytest.mark.long_on_fakecuda
def test_a_larger_image_is_classified_by_the_mean_over_its_places():
    net = models.vgg16(**small, input_size=32).eval()
    net.conv1_1.layer.weight.data[...] += 0.5  # something is left of the image behind 13 ReLUs
    large = image((64, 32))
    seen = []
    net.fc8.register_forward_hook(lambda module, args, output: seen.append(output.numpy()))
    scores = net(large).numpy()
    assert seen[0].shape == (2, 3, 2, 1)
    np.testing.assert_allclose(scores, seen[0].mean(axis=(2, 3)), rtol=1e-5, atol=1e-7)


def test_its_trunk_can_be_frozen_and_config_rebuilds_it():
    net = models.VGG16(**small, input_size=(32, 64), batch_norm=True, dropout=0.25)
    models.freeze(net, 5)
    assert {n.split(".")[0] for n, p in net.named_parameters() if p.requires_grad} == {
        "fc6", "fc7", "fc8",
    }  # fmt: skip
    again = models.VGG16(**net.config())
    again.load_state_dict(net.state_dict())
    x = image((32, 64))
    np.testing.assert_array_equal(net.eval()(x).numpy(), again.eval()(x).numpy())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_size": 31}, "input_size is .* both sides must be at least 32"),
        ({"width": 0}, "width is 0"),
        ({"dropout": 1.5}, "p is 1.5; it must be a probability"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        models.VGG16(**{**small, **options})


def test_bad_input():
    net = models.vgg16(**small, input_size=64)
    with pytest.raises(ValueError, match=r"VGG16: x has shape .* it must be \(N, 3, H, W\)"):
        net(image((64, 64), 4))
    with pytest.raises(ValueError, match=r"VGG16: x is 64x32 pixels; .* for 64x64 and fc6 needs"):
        net(image((64, 32)))
