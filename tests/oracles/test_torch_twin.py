"""The PyTorch twin of every network: equal scores, equal gradients, and states both ways."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from random_state import draw_state
from small_networks import NETWORKS, OPERATIONS, inputs, network

from minideconv import Tensor, models, nn, no_grad
from minideconv import functional as F
from minideconv.errors import UsageError
from minideconv.interop.torch import load_torch_state, torch_state, torch_twin
from minideconv.interop.torch_operations import OPERATIONS as TRANSLATED

pytestmark = [pytest.mark.usefixtures("torch"), pytest.mark.cpu]


def scores(net, x):
    with no_grad():
        return net(Tensor(x)).numpy()


def twin_scores(torch, twin, x):
    with torch.no_grad():
        return twin(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", NETWORKS)
def test_scores_are_ours(torch, name, dtype):
    example = NETWORKS[name]
    net = network(example, dtype)
    twin = torch_twin(net, example.size, example.dynamic)
    for x in inputs(example, dtype):
        ours = scores(net, x)
        theirs = twin_scores(torch, twin, x)
        assert theirs.dtype == dtype
        within = 1e-10 if dtype == np.float64 else 1e-5
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=within * np.ptp(ours))


def test_each_operation_that_is_translated_has_an_example():
    examples = {name.split()[0] for name in OPERATIONS}
    assert examples - {"where", "batch_norm_relu"} == TRANSLATED.keys()


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name.split()[0] in TRANSLATED])
def test_each_operation(torch, name):
    example = OPERATIONS[name]
    net = network(example, np.float64)
    twin = torch_twin(net, example.size, example.dynamic)
    for x in inputs(example, np.float64):
        ours = scores(net, x)
        theirs = twin_scores(torch, twin, x)
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-12 * max(1.0, np.ptp(ours)))


@pytest.mark.parametrize("name", NETWORKS)
def test_states_go_both_ways_bit_by_bit(torch, name):
    example = NETWORKS[name]
    net, other = network(example), network(example, seed=5)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked[...] = 17
    state = net.state_dict()
    twin = torch_twin(net, example.size, example.dynamic)
    assert twin.state_dict().keys() == state.keys()
    assert any((other.state_dict()[k] != state[k]).any() for k in state)
    load_torch_state(other, twin.state_dict())
    for key, array in other.state_dict().items():
        assert array.dtype == state[key].dtype
        assert array.tobytes() == state[key].tobytes(), key
    # And the state of another network into the twin.
    drawn = network(example, seed=6)
    twin.load_state_dict(torch_state(drawn))
    x = inputs(example)[0]
    ours = scores(drawn, x)
    np.testing.assert_allclose(twin_scores(torch, twin, x), ours, rtol=0, atol=1e-5 * np.ptp(ours))


def test_a_state_of_another_network_changes_nothing():
    net = network(NETWORKS["vgg16"])
    before = {k: v.copy() for k, v in net.state_dict().items()}
    state = torch_state(net)
    del state["fc8.bias"]
    with pytest.raises(ValueError, match="fc8"):
        load_torch_state(net, {**state, "fc8.weight": state["fc8.weight"] * 2})
    assert all((net.state_dict()[k] == v).all() for k, v in before.items())


def test_the_twin_has_numbers_of_its_own(torch):
    net = network(NETWORKS["vgg16"])
    twin = torch_twin(net)
    before = net.state_dict()["fc8.bias"].copy()
    with torch.no_grad():
        twin.fc8.bias += 1
    np.testing.assert_array_equal(net.state_dict()["fc8.bias"], before)


def test_modules_are_pytorchs_own(torch):
    twin = torch_twin(network(NETWORKS["deconvnet same, coarse"]), (25, 34))
    assert type(twin.conv1_1.layer) is torch.nn.Conv2d
    assert type(twin.deconv3_1.layer) is torch.nn.ConvTranspose2d
    assert type(twin.fc6.bn) is torch.nn.BatchNorm2d
    assert type(twin.drop6) is torch.nn.Dropout
    assert twin.drop6.p == 0.5
    assert "max_unpool2d" in twin.code
    assert not twin.training


@pytest.mark.parametrize("name", ["deconvnet", "fcn8s same"])
def test_a_training_step_is_ours(torch, name):
    """Batch statistics, gradients and running statistics, in float64."""
    example = NETWORKS[name]
    net = network(example, np.float64)
    if name != "deconvnet":
        for drop in ("drop6", "drop7"):
            getattr(net, drop).p = 0.0
    twin = torch_twin(net, example.size).train()
    net.train()
    x = inputs(example, np.float64)[1]
    ours = net(Tensor(x))
    theirs = twin(torch.from_numpy(x))
    dy = np.random.default_rng(1).standard_normal(ours.shape)
    ours.backward(Tensor(dy))
    theirs.backward(torch.from_numpy(dy))
    compared = 0
    for key, parameter in net.named_parameters():
        if parameter.requires_grad:
            grad = twin.get_parameter(key).grad.numpy()
            scale = np.abs(grad).max()
            np.testing.assert_allclose(
                parameter.grad.numpy(), grad, rtol=1e-7, atol=1e-8 * (scale + 1), err_msg=key
            )
            compared += 1
    assert compared > 20
    state = twin.state_dict()
    for key, array in net.named_buffers():
        np.testing.assert_allclose(array, state[key].numpy(), rtol=1e-9, err_msg=key)


@pytest.mark.parametrize("name", ["fcn8s", "fcn16s", "fcn32s"])
def test_every_remainder_of_the_size_is_right(torch, name):
    example = NETWORKS[name]
    net = network(example, np.float64)
    twin = torch_twin(net, example.size)
    rng = np.random.default_rng(0)
    for more in range(0, 33, 2):
        x = rng.standard_normal((1, 3, example.size[0] + more, example.size[1] + (7 * more) % 33))
        np.testing.assert_allclose(twin_scores(torch, twin, x), scores(net, x), rtol=0, atol=1e-10)


def test_the_twin_is_the_network_that_the_benchmarks_race_against(torch):
    """Which was written by hand, layer for layer."""
    from benchmarks.torch_nets import TorchDeconvNet, copy_weights

    arguments = {"num_classes": 3, "width": 2, "input_size": 20, "fc": 6, "stages": 2}
    net = models.deconvnet(**arguments).to(dtype=np.float64)
    draw_state(net, np.random.default_rng(0), keep=("running",))
    by_hand = TorchDeconvNet(**arguments).double()
    copy_weights(by_hand, net)
    by_hand.load_state_dict(torch_state(net))
    x = np.random.default_rng(0).standard_normal((2, 3, 21, 26))
    twin = torch_twin(net)
    np.testing.assert_allclose(
        twin_scores(torch, twin, x), twin_scores(torch, by_hand.eval(), x), rtol=0, atol=1e-12
    )


def test_a_weight_that_two_layers_share_is_one_parameter():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return F.conv2d(self.first(x), self.first.weight)

    net = Tied().eval()
    twin = torch_twin(net, 4)
    assert [name for name, _ in twin.named_parameters()] == ["first.weight", "first.bias"]


def test_an_operation_without_counterpart_is_named():
    class Net(nn.Module):
        def forward(self, x):
            return x.var(axis=1)

    with pytest.raises(UsageError, match="the operation var of Net has no counterpart"):
        torch_twin(Net(), 4)


def test_overlapping_windows_are_refused():
    class Net(nn.Module):
        def forward(self, x):
            y, switches = F.max_pool2d(x, 3, 2, return_switches=True)
            return F.max_unpool2d(y, switches)

    with pytest.raises(UsageError, match=r"windows that overlap \(kernel \(3, 3\), stride"):
        torch_twin(Net(), 9)


def test_a_twin_can_be_copied_and_saved(torch, tmp_path):
    net = network(NETWORKS["vgg16"])
    twin = copy.deepcopy(torch_twin(net))
    torch.save(twin.state_dict(), tmp_path / "vgg.pth")
    from minideconv.interop import read_weights

    arrays = read_weights(tmp_path / "vgg.pth").arrays
    assert all((arrays[k] == v).all() for k, v in net.state_dict().items())


def test_without_pytorch_it_is_one_sentence(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match="PyTorch is not installed"):
        torch_twin(network(NETWORKS["vgg16"]))


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("factor", [120 / 88, (100 / 88, 2.0)])
def test_a_factor_that_was_rounded_gives_the_same_size(torch, factor, mode):
    layers = nn.Conv2d(3, 2, 1), nn.Upsample(scale_factor=factor, mode=mode)
    net = nn.Sequential(*layers).to(dtype=np.float64).eval()
    images = np.random.default_rng(0).standard_normal((1, 3, 88, 88))
    found = torch_twin(net)(torch.from_numpy(images)).detach().numpy()
    want = net(Tensor(images)).numpy()
    assert found.shape == want.shape == (1, 2, round(88 * np.ravel(factor)[0]), want.shape[3])
    np.testing.assert_allclose(found, want, atol=1e-10)
