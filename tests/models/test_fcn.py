"""FCN-32s, 16s and 8s: the paper's sizes and crops, where their pixels are, what learns."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import Tensor, models
from minideconv.backend import device_of, to_device
from minideconv.models.fcn import Grid
from minideconv.nn import init

NETWORKS = {32: models.FCN32s, 16: models.FCN16s, 8: models.FCN8s}
small = {"num_classes": 3, "width": 2, "fc": 4}


def image(size, seed=0, channels=3):
    rng = np.random.default_rng(seed)
    return Tensor(rng.standard_normal((2, channels, *size)).astype(np.float32))


@pytest.mark.cpu  # half a gigabyte of weights, and a count
@pytest.mark.parametrize(
    ("stride", "parameters"), [(32, 136_152_917), (16, 134_815_994), (8, 134_489_759)]
)
def test_the_default_arguments_are_the_released_networks(stride, parameters):
    assert NETWORKS[stride]().num_parameters() == parameters


def test_the_crops_are_those_of_the_released_networks():
    """Offsets 19; 5 and 27; 5, 9 and 31 of the authors' net.py; here they follow from the grids."""
    found = {stride: [c for *_, c in (*n._fusions, n._last)] for stride, n in built().items()}
    assert found == {32: [19], 16: [5, 27], 8: [5, 9, 31]}


def built(**options):
    return {stride: network(**small, **options) for stride, network in NETWORKS.items()}


@pytest.mark.parametrize("stages", [5, 3])
@pytest.mark.parametrize("padding", ["paper", "same"])
@pytest.mark.parametrize("stride", [32, 16, 8])
@pytest.mark.parametrize("size", [(1, 1), (48, 48), (31, 50), (65, 33)])
def test_scores_have_the_size_of_any_image(stride, padding, size, stages):
    network = NETWORKS[stride](**small, padding=padding, fc_kernel=3, stages=stages)
    assert network(image(size)).shape == (2, 3, *size)


@pytest.mark.parametrize("stages", [5, 4, 3])
@pytest.mark.parametrize("padding", ["paper", "same"])
@pytest.mark.parametrize("stride", [32, 16, 8])
def test_a_mirrored_image_gives_mirrored_scores(stride, padding, stages):
    """With windows that are their own mirror image: else the scores are shifted on the image."""
    network = NETWORKS[stride](**small, padding=padding, fc_kernel=3, stages=stages)
    network.to(dtype=np.float64).eval()
    for number, p in enumerate(network.parameters()):
        rng = np.random.default_rng(number)
        values = rng.standard_normal(p.shape)
        if p.requires_grad:
            values = (values + values[..., ::-1] if p.ndim == 4 else values) * 0.3
            p.data[...] = to_device(values, device_of(p.data))
    # Sizes that all poolings halve: behind conv1_1's border there are 198 pixels more.
    x = image((64, 96) if padding == "same" else (58, 90)).numpy().astype(np.float64)
    scores = network(Tensor(x)).numpy()
    mirrored = network(Tensor(np.ascontiguousarray(x[..., ::-1]))).numpy()
    assert np.ptp(scores) > 0.1
    np.testing.assert_allclose(mirrored, scores[..., ::-1], atol=1e-9 * np.abs(scores).max())


def test_fewer_stages_are_the_first_rows_of_the_table():
    """The scores behind the last of three poolings, and those of the two in front of it."""
    network = models.FCN8s(**small, padding="same", fc_kernel=3, stages=3)
    names = [name for name, _ in network.named_children()]
    assert names == [
        *("conv1_1", "conv1_2", "pool1", "conv2_1", "conv2_2", "pool2"),
        *("conv3_1", "conv3_2", "conv3_3", "pool3", "fc6", "drop6", "fc7", "drop7", "score_fr"),
        *("upscore2", "score_pool2", "upscore_pool2", "score_pool1", "upscore8"),
    ]
    assert network.upscore8.weight.shape == (3, 3, 4, 4)  # the scores of pool1 are doubled
    assert network.score_pool1.weight.shape[1] == 2
    assert network.fc6.layer.weight.shape[1] == 8
    assert "stride=2," in repr(network)


def test_a_grid_follows_a_pixel_through_the_layers():
    grid = Grid(1, 0.0).convolved(3, 1).convolved(2, stride=2)
    assert grid == Grid(2, 0.5)  # pixel 0 is between pixels 0 and 1 of the image
    assert grid.convolved(7) == Grid(2, 6.5)
    assert grid.enlarged(4, 2) == Grid(1, -1.0)  # its first output is one pixel outside
    assert grid.enlarged(4, 2).crop(Grid(1, 0.0)) == 1


def test_scores_start_at_zero_and_enlargement_is_bilinear():
    network = models.FCN8s(**small, padding="same", fc_kernel=3).eval()
    assert not network(image((40, 40))).numpy().any()
    init.constant_(network.score_fr.bias, 2.0)
    scores = network(image((128, 128))).numpy()
    # Bilinear enlargement keeps a constant but for the border, where zeros come in.
    np.testing.assert_allclose(scores[:, :, 48:80, 48:80], 2.0, rtol=1e-5)


def test_a_uniform_head_has_the_spread_of_pytorchs_default():
    network = models.FCN8s(num_classes=21, width=4, fc=64, head_init="uniform")
    for layer, fan_in in ((network.fc6.layer, 32 * 49), (network.fc7.layer, 64)):
        weight = layer.weight.numpy() * np.sqrt(fan_in)  # uniform on [-1, 1]
        assert np.abs(weight).max() <= 1
        assert abs(weight.std() - 1 / np.sqrt(3)) < 0.02
    assert 0.9 / 8 < np.abs(network.score_fr.weight.numpy()).max() <= 1 / 8
    assert not network.score_pool4.weight.numpy().any()


@pytest.mark.parametrize("learn", [False, True])
def test_the_enlargement_learns_only_if_asked_to(learn):
    network = models.FCN16s(**small, padding="same", fc_kernel=3, learn_upsampling=learn)
    for name, p in network.named_parameters():
        assert p.requires_grad == (learn or not name.startswith("upscore")), name
    init.constant_(network.score_fr.bias, 1.0)
    network(image((32, 32))).sum().backward()
    assert (network.upscore2.weight.grad is not None) == learn


def test_config_rebuilds_the_network():
    network = models.FCN8s(**small, padding="same", fc_kernel=3, batch_norm="fc", stages=4)
    network.skip_scale, network.head_init = 0.5, "uniform"
    again = models.build("fcn8s", network.config())
    assert again.config() == network.config()
    again.load_state_dict(network.state_dict())
    x = image((40, 33))
    np.testing.assert_array_equal(network.eval()(x).numpy(), again.eval()(x).numpy())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "FCN8s: width is 0; it must be at least 1"),
        ({"stages": 2}, "FCN8s: stages is 2; it must be in 3..5"),
        ({"stages": 6}, "FCN8s: stages is 6; it must be in 3..5"),
        ({"padding": "valid"}, "FCN8s: padding is 'valid'; it must be 'paper' or 'same'"),
        ({"padding": "same", "fc_kernel": 4}, "with padding 'same' it must be odd"),
        ({"batch_norm": True}, "batch_norm is True; it must be 'all', 'fc' or 'none'"),
        ({"head_init": "zero"}, "head_init is 'zero'; it must be 'he' or 'uniform'"),
        ({"skip_scale": 0.0}, "skip_scale is 0.0; it must be > 0"),
        ({"dropout": 1.5}, "p is 1.5; it must be a probability"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        models.FCN8s(**{**small, **options})


def test_bad_input():
    with pytest.raises(ValueError, match=r"FCN32s: x has shape .* it must be \(N, 3, H, W\)"):
        models.FCN32s(**small)(image((32, 32), channels=4))
