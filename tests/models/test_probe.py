"""The linear probe: a linear map of a trunk's features, in two parts, and what learns."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import Tensor, models, no_grad
from minideconv import functional as F
from minideconv.models import Probe
from minideconv.models.trunk import SplitNetwork


def images(*shape):
    return Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


@pytest.mark.parametrize(("stages", "batch_norm"), [(1, "all"), (2, "none"), (3, "all")])
def test_scores_are_a_linear_map_of_deconvnet_s_features(stages, batch_norm):
    """The features are those of a DeconvNet with the same convolutions, an oracle of its own."""
    net = Probe(5, width=2, stages=stages, input_size=8, batch_norm=batch_norm).eval()
    other = models.deconvnet(
        5, width=2, input_size=8, fc=3, stages=stages, batch_norm=batch_norm
    ).eval()
    state = other.state_dict()
    trunk = {k: a for k, a in net.state_dict().items() if k.startswith("conv")}
    assert trunk.keys() == {k for k in state if k.startswith("conv")}
    other.load_state_dict({**state, **trunk})
    x = images(2, 3, 13, 10)
    with no_grad():
        features = other.encode(x, stages).maps[-1].numpy()
        scores = net(x).numpy()
    weight, bias = net.score.weight.numpy()[:, :, 0, 0], net.score.bias.numpy()
    coarse = np.einsum("kc,nchw->nkhw", weight, features) + bias[:, None, None]
    expected = F.interpolate(Tensor(coarse), size=(13, 10), mode="bilinear").numpy()
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_it_is_computed_in_two_parts():
    net = Probe(4, width=2, stages=3, input_size=8).eval()
    assert isinstance(net, SplitNetwork)
    x = images(1, 3, 9, 12)
    with no_grad():
        whole = net(x).numpy()
        for stages in range(4):
            part = net.encode(x, stages)
            assert part.stages == stages
            np.testing.assert_array_equal(net.decode(part).numpy(), whole)


def test_frozen_the_scores_alone_learn():
    net = Probe(4, width=2, stages=2, input_size=8)
    models.freeze(net, 2)
    learning = [name for name, p in net.named_parameters() if p.requires_grad]
    assert learning == ["score.weight", "score.bias"]


def test_it_is_built_again_from_its_config():
    net = Probe(4, width=3, stages=2, input_size=(8, 10), batch_norm="none")
    again = models.build("probe", net.config())
    assert again.config() == net.config()
    assert again.state_dict().keys() == net.state_dict().keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stages": 0}, r"Probe: stages is 0; it must be in 1\.\.5"),
        ({"stages": 4, "input_size": 15}, "4 poolings halve it 4 times, so both sides must be at"),
        ({"width": -1}, "Probe: width is -1"),
        ({"batch_norm": "fc"}, "batch_norm is 'fc'; it must be 'all' or 'none'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Probe(**arguments)
    with pytest.raises(ValueError, match=r"x has shape \(1, 3, 3, 8\); it must be \(N, 3, H, W\)"):
        Probe(stages=2, width=1)(images(1, 3, 3, 8))
