"""Modules that are computed in one pass: only where it makes no visible difference."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from minideconv import functional as F
from minideconv import nn, no_grad
from minideconv.autograd import Tensor
from minideconv.backend import to_cpu
from minideconv.distributed import Single
from minideconv.nn.fusion import norm_relu_pool
from minideconv.testing import values


class Parts:
    """A normalisation, a ReLU, a pooling, and what is done to one of them."""

    def __init__(self, training=True, sync=False):
        self.bn = nn.BatchNorm2d(3).to(dtype=np.float64).train(training)
        with no_grad():
            self.bn.weight[...] = np.array([-1, 0.5, 2])
            self.bn.bias[...] = np.array([0.5, -0.5, 0])
        if sync:
            self.bn = nn.SyncBatchNorm2d.convert_sync_batchnorm(self.bn, Single())
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d((2, 3), 2, return_switches=True)

    def __call__(self, pooled=True):
        self.x = Tensor(values((2, 3, 6, 7), 0, "normal"), requires_grad=True)
        return norm_relu_pool(self.x, self.bn, self.relu, self.pool if pooled else None)


def operations(tensor):
    """Return the operations behind a tensor, the last one first."""
    names, node = [], tensor._node
    while node is not None:
        names.append(node.name)
        node = next((edge for edge in node.edges if hasattr(edge, "edges")), None)
    return names


def hook(name):
    return lambda parts: getattr(parts, name).register_forward_hook(lambda *call: None)


def pre_hook(name):
    return lambda parts: getattr(parts, name).register_forward_pre_hook(lambda *call: None)


class Other(nn.ReLU):
    """A subclass, whose forward may do anything."""


class OtherNorm(nn.BatchNorm2d):
    pass


def other_forward(parts):
    parts.relu.forward = F.relu


THREE, TWO_ONE = ["batch_norm_relu_pool"], ["max_pool2d", "batch_norm_relu"]
ALONE = ["max_pool2d", "relu", "batch_norm"]
CASES = {
    "nothing": (lambda parts: None, THREE),
    "hook on bn": (hook("bn"), ALONE),
    "hook on relu": (hook("relu"), ALONE),
    "hook on pool": (hook("pool"), TWO_ONE),
    "pre-hook on bn": (pre_hook("bn"), ALONE),
    "pre-hook on relu": (pre_hook("relu"), ALONE),
    "pre-hook on pool": (pre_hook("pool"), TWO_ONE),
    "removed": (lambda parts: hook("relu")(parts).remove(), THREE),
    "another relu": (lambda parts: setattr(parts, "relu", Other()), ALONE),
    "another bn": (lambda parts: setattr(parts.bn, "__class__", OtherNorm), ALONE),
    "another forward": (other_forward, ALONE),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_what_is_done_in_one_pass_and_that_it_changes_nothing(case, training):
    change, wanted = CASES[case]
    plain, changed = Parts(training), Parts(training)
    change(changed)
    (y, switches), (found, found_switches) = plain(), changed()
    assert operations(y) == THREE
    assert operations(found) == wanted
    assert np.allclose(found.numpy(), y.numpy(), rtol=1e-12, atol=1e-12)
    assert np.array_equal(to_cpu(found_switches.indices), to_cpu(switches.indices))
    for tensor in (y, found):
        (tensor * tensor).sum().backward()
    assert np.allclose(changed.x.grad.numpy(), plain.x.grad.numpy(), rtol=1e-10, atol=1e-12)
    for name, array in plain.bn.state_dict().items():
        assert np.allclose(changed.bn.state_dict()[name], array, rtol=1e-12), name


def test_without_a_pooling():
    parts = Parts()
    assert operations(parts(pooled=False)) == ["batch_norm_relu"]
    hook("pool")(parts)
    assert operations(parts(pooled=False)) == ["batch_norm_relu"]
    hook("bn")(parts)
    assert operations(parts(pooled=False)) == ["relu", "batch_norm"]


def test_over_several_processes():
    parts = Parts(sync=True)
    assert operations(parts()[0]) == ["max_pool2d", "sync_batch_norm"]  # which rectifies
    hook("relu")(parts)
    assert operations(parts()[0]) == ["max_pool2d", "relu", "sync_batch_norm"]


def test_a_pooling_that_is_another_module_or_gives_no_switches():
    parts = Parts()
    parts.pool.return_switches = False
    assert operations(parts()) == TWO_ONE
    parts.pool = nn.ReLU()
    assert operations(parts()) == ["relu", "batch_norm_relu"]


def test_each_module_sees_what_is_its_own():
    parts, seen = Parts(), {}
    for name in ("bn", "relu", "pool"):
        getattr(parts, name).register_forward_hook(
            lambda module, args, output, name=name: seen.update({name: (args, output)})
        )
    y, switches = parts()
    (x,), z = seen["bn"]
    assert x is parts.x
    assert z.numpy().min() < 0
    assert seen["relu"] == ((z,), seen["pool"][0][0])
    assert np.array_equal(seen["relu"][1].numpy(), np.maximum(z.numpy(), 0))
    assert seen["pool"][1] == (y, switches)


def test_fusion_can_be_left_out_in_a_block_and_in_a_function():
    parts = Parts()
    with nn.no_fusion():
        assert operations(parts()[0]) == ALONE
        with nn.no_fusion():
            pass
        assert operations(parts()[0]) == ALONE
    assert operations(parts()[0]) == THREE
    assert operations(nn.no_fusion()(parts)()[0]) == ALONE
    with pytest.raises(KeyError), nn.no_fusion():
        raise KeyError
    assert operations(parts()[0]) == THREE


def test_other_threads_go_on_as_they_were():
    parts, found = Parts(), []
    with nn.no_fusion():
        thread = threading.Thread(target=lambda: found.append(operations(parts()[0])))
        thread.start()
        thread.join()
    assert found == [THREE]
