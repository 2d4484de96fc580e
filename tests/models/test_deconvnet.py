"""DeconvNet: the paper's figures exactly, any size, and gradients through all of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

import minideconv as md
from minideconv import functional as F
from minideconv import models
from minideconv.autograd import Tensor
from minideconv.models import deconvnet
from minideconv.testing import values

# The paper's network, layer by layer: name, output channels, output width for a 224 x 224 image.
# (Figure 2 of the paper and its released network definition; written out here, not computed.)
PAPER = """
conv1_1 64 224  conv1_2 64 224  pool1 64 112
conv2_1 128 112 conv2_2 128 112 pool2 128 56
conv3_1 256 56  conv3_2 256 56  conv3_3 256 56 pool3 256 28
conv4_1 512 28  conv4_2 512 28  conv4_3 512 28 pool4 512 14
conv5_1 512 14  conv5_2 512 14  conv5_3 512 14 pool5 512 7
fc6 4096 1 fc7 4096 1 fc6_deconv 512 7
unpool5 512 14  deconv5_1 512 14 deconv5_2 512 14 deconv5_3 512 14
unpool4 512 28  deconv4_1 512 28 deconv4_2 512 28 deconv4_3 256 28
unpool3 256 56  deconv3_1 256 56 deconv3_2 256 56 deconv3_3 128 56
unpool2 128 112 deconv2_1 128 112 deconv2_2 64 112
unpool1 64 224  deconv1_1 64 224 deconv1_2 64 224
seg_score 21 224
"""


def _small(**changes) -> models.DeconvNet:
    arguments = {"num_classes": 4, "width": 3, "input_size": (19, 23), "fc": 7, "stages": 3}
    return deconvnet(**{**arguments, **changes})


def _image(*shape: int, seed: int = 0, dtype=np.float32) -> np.ndarray:
    return values(shape, seed=seed, kind="normal", dtype=dtype)


@pytest.mark.slow
@pytest.mark.cpu  # a gigabyte of weights, and a count
def test_the_papers_network_has_its_251_805_653_parameters():
    net = deconvnet()
    assert net.num_parameters() == 251_805_653
    kinds: dict[str, int] = {"weights": 0, "biases": 0, "bn": 0}
    for name, parameter in net.named_parameters():
        kind = "bn" if ".bn." in name else "weights" if parameter.ndim == 4 else "biases"
        kinds[kind] += parameter.size
    assert kinds == {"weights": 251_755_520, "biases": 16_725, "bn": 33_408}
    assert net.fc6.layer.weight.shape == (4096, 512, 7, 7)
    assert net.fc6_deconv.layer.weight.shape == (4096, 512, 7, 7)


def test_every_layer_has_the_papers_shape():
    """At a sixteenth of the width, where channel counts are the paper's divided by 16."""
    net = deconvnet(num_classes=21, width=4, fc=256).eval()
    seen = net.activations(_image(1, 3, 224, 224))
    words = PAPER.split()
    rows = list(zip(words[::3], map(int, words[1::3]), map(int, words[2::3]), strict=True))
    assert list(seen) == [name for name, _, _ in rows]
    for name, channels, width in rows:
        wanted = channels if name == "seg_score" else channels // 16
        assert seen[name].shape == (1, wanted, width, width), name


@pytest.mark.parametrize("size", [(19, 23), (25, 24), (16, 31)])
@pytest.mark.parametrize("stages", [1, 2, 3])
def test_sizes_that_the_pools_cannot_halve_are_carried_by_the_switches(size, stages):
    net = _small(input_size=size, stages=stages)
    assert net(Tensor(_image(2, 3, *size))).shape == (2, 4, *size)


def test_a_small_window_of_fc6_makes_the_network_convolutional():
    net = _small(fc_kernel=(1, 2))
    assert net.fc6.layer.weight.shape == (7, 12, 1, 2)
    assert net.fc6_deconv.layer.weight.shape == (7, 12, 1, 2)
    assert net(Tensor(_image(2, 3, 19, 23))).shape == (2, 4, 19, 23)
    again = models.build("deconvnet", json.loads(json.dumps(net.config())))
    assert again.num_parameters() == net.num_parameters()


def test_a_padded_fc6_may_see_more_than_the_map():
    net = _small(fc_kernel=(3, 5), padding="same", deconvolutions=1, output_stride=4)
    assert net(Tensor(_image(2, 3, 19, 23))).shape == (2, 4, 19, 23)
    assert [name for name, _ in net.named_children() if "deconv" in name] == [
        "fc6_deconv",
        "deconv3_1",
    ]
    again = models.build("deconvnet", json.loads(json.dumps(net.config())))
    assert again.config() == net.config()
    assert list(again.state_dict()) == list(net.state_dict())


def test_larger_images_than_the_input_size_are_treated_fully_convolutionally():
    assert _small()(Tensor(_image(2, 3, 37, 40))).shape == (2, 4, 37, 40)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 4, 19, 23), r"x has shape \(2, 4, 19, 23\); it must be \(N, 3, H, W\)"),
        ((3, 19, 23), r"x has shape \(3, 19, 23\); it must be \(N, 3, H, W\)"),
        ((2, 3, 18, 23), "x is 18x23 pixels; this network was built for 19x23"),
    ],
)
def test_wrong_inputs(shape, message):
    with pytest.raises(ValueError, match=message):
        _small()(Tensor(_image(*shape)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages": 6}, r"stages is 6; it must be in 1\.\.5"),
        ({"input_size": (7, 16)}, r"input_size is \(7, 16\); 3 poolings .* at least 8"),
        ({"width": 0}, "width is 0; it must be at least 1"),
        ({"num_classes": 0}, "num_classes is 0"),
        ({"fc": -1}, "fc is -1"),
        ({"fc_kernel": 3}, r"fc_kernel is \(3, 3\); .* must be between \(1, 1\) and \(2, 2\)"),
        ({"fc_kernel": 0}, r"fc_kernel is \(0, 0\)"),
        ({"fc_kernel": 2, "padding": "same"}, r"fc_kernel is \(2, 2\); .*both sides must be odd"),
        ({"padding": "valid"}, "padding is 'valid'; it must be one of 'paper', 'same'"),
        (
            {"batch_norm": True},
            "batch_norm is True; it must be one of 'all', 'head', 'encoder', 'fc', 'none'",
        ),
        ({"output_stride": 8}, "output_stride is 8; it must be one of 1, 2, 4"),
        ({"deconvolutions": 0}, "deconvolutions is 0; it must be at least 1"),
        ({"dropout": 1.5}, "1.5"),
    ],
)
def test_wrong_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        _small(**change)


def test_the_whole_networks_gradient_is_its_derivative():
    """Of the loss, along one random direction in all parameters at once, in float64."""
    net = _small(input_size=(9, 10), stages=2).to(dtype=np.float64)
    for seed, p in enumerate(net.parameters()):
        with md.no_grad():
            p += 0.1 * _image(*p.shape, seed=seed, dtype=np.float64)
    x = Tensor(_image(4, 3, 9, 10, dtype=np.float64))
    labels = np.random.default_rng(1).integers(0, 4, (4, 9, 10))
    labels[0, :3] = 255

    def loss() -> Tensor:
        return F.cross_entropy(net(x), labels)

    loss().backward()
    directions = [_image(*p.shape, seed=100 + i, dtype=np.float64)
                  for i, p in enumerate(net.parameters())]  # fmt: skip
    slope = sum(float((p.grad.numpy() * d).sum())
                for p, d in zip(net.parameters(), directions, strict=True))  # fmt: skip
    start = [p.numpy().copy() for p in net.parameters()]
    ends = []
    for step in (1e-7, -1e-7):
        for p, s, d in zip(net.parameters(), start, directions, strict=True):
            with md.no_grad():
                p[...] = s + step * d
        ends.append(loss().item())
    assert abs(slope) > 1e-3
    assert np.isclose((ends[0] - ends[1]) / 2e-7, slope, rtol=1e-4)


def test_every_parameter_receives_a_gradient():
    """The gradient passes the unpooling: in some ports of the network it did not."""
    net = _small()
    F.cross_entropy(net(Tensor(_image(4, 3, 19, 23))), np.zeros((4, 19, 23), int)).backward()
    for name, p in net.named_parameters():
        assert p.grad is not None, name
        redundant = name.endswith("layer.bias")  # batch norm takes a bias out again
        assert redundant or np.abs(p.grad.numpy()).max() > 0, name


def test_activations_do_not_change_the_network_or_keep_a_tape():
    net = _small().eval()
    before = net.state_dict()
    seen = net.activations(Tensor(_image(2, 3, 19, 23)))
    assert (seen["seg_score"] == net(Tensor(_image(2, 3, 19, 23))).data).all()
    assert all((value == before[name]).all() for name, value in net.state_dict().items())


def test_unpooled_maps_hold_the_values_of_the_map_below_at_the_switches():
    seen = _small().eval().activations(_image(2, 3, 19, 23))
    for number, source in ((3, "fc6_deconv"), (2, "deconv3_3"), (1, "deconv2_2")):
        unpooled, values_ = seen[f"unpool{number}"], seen[source]
        assert np.isclose(unpooled.sum(), values_.sum(), rtol=1e-4)
        assert np.count_nonzero(unpooled) <= values_.size


def test_config_survives_json_and_rebuilds_the_network():
    net = _small()
    config = json.loads(json.dumps(net.config()))
    again = models.build("deconvnet", config)
    again.load_state_dict(net.state_dict())
    x = Tensor(_image(2, 3, 19, 23))
    assert (again.eval()(x).numpy() == net.eval()(x).numpy()).all()


def test_build_checks_networks_and_their_arguments():
    with pytest.raises(ValueError, match="no network is called 'unet'; there are deconvnet"):
        models.build("unet", {})
    with pytest.raises(ValueError, match="deconvnet does not take these arguments"):
        models.build("deconvnet", {"colour": 3})
