"""Freezing the first stages: what stays, what learns, and where backward ends."""

from __future__ import annotations

import re

import numpy as np
import pytest

from minideconv import Tensor, models, nn
from minideconv.autograd import graph
from minideconv.backend import to_cpu, to_device
from minideconv.training import TrainConfig, build, recalibrate_batch_norm

fcn = {
    "num_classes": 3,
    "width": 2,
    "fc": 4,
    "fc_kernel": 3,
    "padding": "same",
    "batch_norm": "all",
}
NETWORKS = {
    "deconvnet": lambda: models.deconvnet(3, width=2, input_size=32, fc=4, fc_kernel=1),
    "fcn8s": lambda: models.FCN8s(**fcn),
}


def image(seed=0, count=2):
    rng = np.random.default_rng(seed)
    return Tensor(rng.standard_normal((count, 3, 32, 32)).astype(np.float32))


def set_values(p, seed):
    values = np.random.default_rng(seed).standard_normal(p.shape).astype(np.float32)
    p.data[...] = to_device(values, p.device)


@pytest.fixture(params=NETWORKS)
def network(request):
    """A network whose running statistics are those of some images, and whose scores are not 0."""
    net = NETWORKS[request.param]()
    for number, p in enumerate(net.parameters()):
        if not p.data.any():
            set_values(p, number)
    net(image(1, 4))
    return net


def test_the_stages_are_those_of_vgg(network):
    assert [len(stage) for stage in models.stages_of(network)] == [2, 2, 3, 3, 3]
    assert models.stages_of(nn.Sequential(nn.Conv2d(3, 3, 1))) == []


@pytest.mark.parametrize("stages", [0, 2, 5])
def test_frozen_stages_get_no_gradient_and_keep_their_statistics(network, stages):
    models.freeze(network, stages)
    before = network.state_dict()
    network.train()
    network(image()).sum().backward()
    frozen = {id(p) for stage in models.stages_of(network)[:stages] for b in stage for p in b.parameters()}  # fmt: skip  # noqa: E501
    for name, p in network.named_parameters():
        if id(p) in frozen:
            assert not p.requires_grad, name
            assert p.grad is None, name
        elif not name.startswith("upscore"):
            assert p.grad is not None, name
    for name, array in network.named_buffers():
        inside = name.startswith("conv") and int(name[4]) <= stages
        assert np.array_equal(to_cpu(array), to_cpu(before[name])) == inside, name


def test_freezing_fewer_stages_lets_the_others_learn_again(network):
    models.freeze(network, 5)
    models.freeze(network, 1)
    stages = models.stages_of(network)
    assert not any(p.requires_grad for block in stages[0] for p in block.parameters())
    assert all(p.requires_grad for stage in stages[1:] for b in stage for p in b.parameters())
    assert [b.bn.frozen for stage in stages for b in stage] == [True] * 2 + [False] * 11


def test_the_tape_begins_behind_the_frozen_stages(network):
    """No operation of a frozen stage is on it, so backward cannot spend anything there."""

    def convolutions():
        shapes = [node.shape for node in graph(network(image()))]
        return sum(shape[1:] == (2, 32, 32) or shape[1:] == (4, 16, 16) for shape in shapes)

    network.train()
    everything = convolutions()
    models.freeze(network, 5)
    assert convolutions() < everything
    models.freeze(network, 0)
    assert convolutions() == everything


def test_a_frozen_image_does_not_depend_on_the_rest_of_the_batch(network):
    models.freeze(network, 5)
    network.train()
    seen = []
    block = models.stages_of(network)[4][2]
    block.register_forward_hook(lambda module, args, output: seen.append(output))
    four = image(count=4)
    network(four)
    network(Tensor(four.numpy()[:2]))
    all_of_them, two = ((s[0] if isinstance(s, tuple) else s).numpy() for s in seen)
    np.testing.assert_allclose(all_of_them[:2], two, rtol=1e-4, atol=1e-5)


def test_recalibration_leaves_frozen_statistics_alone(network):
    models.freeze(network, 3)
    before = network.state_dict()
    recalibrate_batch_norm(network, [image(5, 4).data])
    after = network.state_dict()
    for name in (n for n, _ in network.named_buffers() if n.endswith("running_mean")):
        inside = name.startswith("conv") and int(name[4]) <= 3
        assert np.array_equal(to_cpu(before[name]), to_cpu(after[name])) == inside, name


def test_recompute_and_freezing_go_together():
    net, twice = (models.deconvnet(3, width=2, input_size=32, fc=4, fc_kernel=1) for _ in range(2))
    twice.load_state_dict(net.state_dict())
    twice.recompute = True
    for one in (net, twice):
        models.freeze(one, 2)
        one(image()).sum().backward()
    for (name, p), q in zip(net.named_parameters(), twice.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), name
        assert p.grad is None or np.array_equal(p.grad.numpy(), q.grad.numpy()), name


def test_freeze_refuses_more_stages_than_there_are(network):
    with pytest.raises(ValueError, match=r"freeze: stages is 6, but .* has 5 stages .* 0\.\.5"):
        models.freeze(network, 6)


# -- The optimiser ------------------------------------------------------------------------------


def test_the_optimizer_has_what_learns_and_the_trunk_its_own_rate():
    config = TrainConfig(model="fcn8s", width=2, fc=4, freeze=2, lr=0.5, lr_trunk=0.125)
    network = build.model(config, 3)
    groups = build.optimizer(config, network, 0.25).param_groups
    assert [(g["lr"], g["weight_decay"]) for g in groups] == [
        (0.25, 5e-4), (0.25, 0.0), (0.125, 5e-4), (0.125, 0.0),
    ]  # fmt: skip
    names = {id(p): name for name, p in network.named_parameters()}
    found = [[names[id(p)] for p in group["params"]] for group in groups]
    assert all(p.requires_grad for group in groups for p in group["params"])
    assert {name[:5] for name in found[2] + found[3]} == {"conv3", "conv4", "conv5"}
    # The fixed enlargement and the frozen stages are in no group.
    assert not any(name.startswith(("upscore", "conv1", "conv2")) for names in found for name in names)  # fmt: skip  # noqa: E501
    assert sum(map(len, found)) == sum(p.requires_grad for p in network.parameters())


def test_without_a_rate_of_its_own_the_groups_are_as_ever():
    config = TrainConfig(width=2, fc=4, depth=2)
    groups = build.optimizer(config, build.model(config, 3), 0.25).param_groups
    assert [(g["lr"], g["weight_decay"]) for g in groups] == [(0.25, 5e-4), (0.25, 0.0)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"freeze": 4}, "--freeze is 4; deconvnet has 3 stages .* must be in 0..3"),
        (
            {"freeze": 3, "lr_trunk": 0.1},
            "--lr-trunk is 0.1, but no convolution of VGG-16's learns",
        ),
    ],
)
def test_settings_that_are_about_stages_which_are_not_there(settings, message):
    with pytest.raises(ValueError, match="deconvnet") as caught:
        build.model(TrainConfig(**settings), 3)
    assert re.search(message, caught.value.as_options)


# -- In two parts -------------------------------------------------------------------------------


@pytest.mark.parametrize("stages", range(6))
def test_the_two_parts_are_the_network(network, stages):
    network.eval()
    features = network.encode(image(), stages)
    assert features.stages == stages
    expected = network(image()).numpy()
    assert np.ptp(expected) > 0.01
    np.testing.assert_array_equal(network.decode(features).numpy(), expected)


@pytest.mark.parametrize("stride", [32, 16, 8])
@pytest.mark.parametrize("padding", ["paper", "same"])
def test_the_two_parts_of_each_fcn_at_any_size(stride, padding):
    network = models.fcn(stride, num_classes=3, width=2, fc=4, fc_kernel=3, padding=padding).eval()
    for name, p in network.named_parameters():
        if name.startswith("score"):
            set_values(p, 3)
    x = Tensor(np.random.default_rng(0).standard_normal((1, 3, 45, 61)).astype(np.float32))
    for stages in range(6):
        found = network.decode(network.encode(x, stages)).numpy()
        np.testing.assert_array_equal(found, network(x).numpy(), err_msg=str(stages))


def test_fcn_is_called_by_its_stride():
    assert type(models.fcn(num_classes=3, width=2, fc=4)) is models.FCN8s
    assert type(models.fcn(32, num_classes=3, width=2, fc=4)) is models.FCN32s
    with pytest.raises(ValueError, match="fcn: stride is 4; it must be 32, 16 or 8"):
        models.fcn(4)
