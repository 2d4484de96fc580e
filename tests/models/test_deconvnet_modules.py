"""DeconvNet's modules: all found, each to be hooked or replaced, and the numbers stay."""

from __future__ import annotations

import numpy as np
import pytest

from minideconv import functional as F
from minideconv import nn, no_grad, random
from minideconv.autograd import Tensor
from minideconv.backend import to_cpu
from minideconv.models import deconvnet
from minideconv.testing import values
from minideconv.visualize import activations

BLOCKS = (
    *("conv1_1", "conv1_2", "conv2_1", "conv2_2", "fc6", "fc7", "fc6_deconv"),
    *("deconv2_1", "deconv2_2", "deconv1_1", "deconv1_2"),
)


def net_of(kind=nn.ReLU, training=True):
    random.manual_seed(2)
    net = deconvnet(num_classes=3, width=2, input_size=(9, 10), fc=4, stages=2)
    if kind is not nn.ReLU:
        for name, module in list(net.named_modules()):
            if isinstance(module, nn.ReLU):
                net.set_submodule(name, kind())
    return net.to(dtype=np.float64).train(training)


def step(net):
    """Return the operations of a step of training, and what it computes, by name."""
    x = Tensor(values((3, 3, 9, 10), seed=1, kind="normal"))
    scores = net(x)
    loss = F.cross_entropy(scores, np.arange(270).reshape(3, 9, 10) % 3)
    tape = kinds(scores)
    loss.backward()
    found = {f"gradient of {name}": p.grad.data for name, p in net.named_parameters()}
    found |= {"scores": scores.data, "loss": loss.data, **dict(net.named_buffers())}
    return tape, {name: to_cpu(array) for name, array in found.items()}


def kinds(scores):
    """Count the operations on the tape that are, or contain, a ReLU."""
    counts, todo, seen = {}, [scores._node], set()
    while todo:
        node = todo.pop()
        if hasattr(node, "edges") and id(node) not in seen:
            seen.add(id(node))
            todo += node.edges
            if "relu" in node.name or "pool2d" in node.name:
                counts[node.name] = counts.get(node.name, 0) + 1
    return counts


FUSED = {"batch_norm_relu": 9, "batch_norm_relu_pool": 2, "max_unpool2d": 2}


def test_modules_are_found_in_the_order_of_computation():
    net = net_of()
    assert [name for name, _ in net.named_children()] == [
        *("conv1_1", "conv1_2", "pool1", "conv2_1", "conv2_2", "pool2", "fc6", "fc7", "fc6_deconv"),
        *("unpool2", "deconv2_1", "deconv2_2", "unpool1", "deconv1_1", "deconv1_2", "seg_score"),
    ]
    kinds = {name: type(module).__name__ for name, module in net.named_modules()}
    for name in BLOCKS:
        layer = "ConvTranspose2d" if "deconv" in name else "Conv2d"
        inside = [kinds[f"{name}.{part}"] for part in ("layer", "bn", "relu")]
        assert inside == [layer, "BatchNorm2d", "ReLU"]
    assert [kinds[name] for name in ("pool1", "pool2", "unpool2", "unpool1")] == [
        *("MaxPool2d", "MaxPool2d", "MaxUnpool2d", "MaxUnpool2d")
    ]
    assert len(kinds) == len(set(net.modules())) == 1 + 4 * len(BLOCKS) + 5


def test_the_state_has_the_names_it_always_had():
    parts = ("layer.weight", "layer.bias", "bn.weight", "bn.bias")
    wanted = [f"{block}.{part}" for block in BLOCKS for part in parts]
    wanted += ["seg_score.weight", "seg_score.bias"]
    wanted += [
        f"{block}.bn.{part}"
        for block in BLOCKS
        for part in ("running_mean", "running_var", "num_batches_tracked")
    ]
    assert list(net_of().state_dict()) == wanted


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("hooked", "tape"),
    [
        ("", FUSED),
        ("seg_score", FUSED),
        ("conv1_1", FUSED),
        ("conv2_2.layer", FUSED),
        ("unpool1", FUSED),
        ("fc7.relu", {**FUSED, "batch_norm_relu": 8, "relu": 1}),
        ("deconv1_2.bn", {**FUSED, "batch_norm_relu": 8, "relu": 1}),
        *[
            (name, {**FUSED, "batch_norm_relu": 10, "batch_norm_relu_pool": 1, "max_pool2d": 1})
            for name in ("conv1_2", "pool1")
        ],
        ("conv2_2.relu", {**FUSED, "batch_norm_relu_pool": 1, "relu": 1, "max_pool2d": 1}),
        (None, {"relu": 11, "max_pool2d": 2, "max_unpool2d": 2}),
    ],
)
def test_a_hook_parts_what_it_looks_at_and_changes_no_number(hooked, tape, training):
    """None stands for hooks on every module."""
    plain, net = net_of(training=training), net_of(training=training)
    calls = []
    for name, module in net.named_modules():
        if hooked in (None, name):
            module.register_forward_hook(lambda module, args, output: calls.append(module))
    (fused, wanted), (hooked_tape, found) = step(plain), step(net)
    assert fused == FUSED
    assert hooked_tape == tape
    assert len(calls) == (len(list(net.modules())) if hooked is None else 1)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_hook_on_the_last_block_of_a_stage_sees_the_map_in_front_of_the_pooling():
    net, seen = net_of(), {}
    for name in ("conv1_2", "pool1"):
        net.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: seen.update({name: (args, output)})
        )
    step(net)
    assert seen["conv1_2"][1].shape == (3, 2, 9, 10)
    assert seen["pool1"][0] == (seen["conv1_2"][1],)
    y, switches = seen["pool1"][1]
    assert y.shape == switches.shape == (3, 2, 4, 5)


def test_an_exporter_sees_every_operation_by_itself():
    net = net_of()
    with nn.no_fusion():
        tape, found = step(net)
    assert tape == {"relu": 11, "max_pool2d": 2, "max_unpool2d": 2}
    for name, array in step(net_of())[1].items():
        np.testing.assert_allclose(found[name], array, rtol=1e-9, atol=1e-12, err_msg=name)


class Leaky(nn.Module):
    def forward(self, x):
        return F.relu(x) - 0.1 * F.relu(-x)


class Same(nn.Module):
    """The same function in a class that is not known."""

    def forward(self, x):
        return F.relu(x)


def test_every_relu_can_be_replaced():
    tape, found = step(net_of(Same))
    assert tape["relu"] == 11
    for name, array in step(net_of())[1].items():
        np.testing.assert_allclose(found[name], array, rtol=1e-9, atol=1e-12, err_msg=name)
    x = values((1, 3, 9, 10), seed=1, kind="normal")
    seen = activations(net_of(Leaky, training=False), x)
    for name in BLOCKS:
        before = to_cpu(seen[f"{name}.bn"])
        np.testing.assert_array_equal(
            to_cpu(seen[name]), np.where(before > 0, before, 0.1 * before)
        )


def test_a_block_and_a_pooling_can_be_replaced():
    class Shift(nn.Module):
        def forward(self, x):
            return x + 1.0

    net = net_of(training=False)
    x = Tensor(values((1, 3, 9, 10), seed=1, kind="normal"))
    block = net.conv1_2
    net.set_submodule("conv1_2", nn.Sequential(block, Shift()))
    net.set_submodule("pool2", pool := nn.MaxPool2d(2, 2, return_switches=True))
    with no_grad():
        seen = net.activations(x)
        wanted = block(net.conv1_1(x)) + 1.0
    np.testing.assert_allclose(to_cpu(seen["conv1_2"]), wanted.numpy(), rtol=1e-12)
    np.testing.assert_allclose(to_cpu(seen["pool1"]), net.pool1(wanted)[0].numpy(), rtol=1e-12)
    assert net.pool2 is pool


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.ReLU()])
def test_a_pooling_without_switches_is_refused(pool):
    """For two images the unpacking of one result into two would have worked."""
    net = net_of()
    net.set_submodule("pool1", pool)
    with pytest.raises(TypeError, match=r"^contract: a \w+ in the place of a pooling returned a T"):
        net(Tensor(values((2, 3, 9, 10), seed=1, kind="normal")))


@pytest.mark.parametrize("replaced", ["relu", "block"])
def test_it_recomputes_with_other_modules_too(replaced):
    def run(recompute):
        net = net_of(Leaky)
        if replaced == "block":
            net.set_submodule("conv1_2", nn.Sequential(net.conv1_2))
        net.recompute = recompute
        return step(net)[1]

    kept, again = run(False), run(True)
    for name, array in kept.items():
        assert np.array_equal(again[name], array), name
