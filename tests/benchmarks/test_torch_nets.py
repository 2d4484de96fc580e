"""The PyTorch networks that the benchmark races against compute what ours computes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import contenders
from benchmarks.plans import Net
from minideconv import Tensor, models, random
from minideconv import functional as F

torch = pytest.importorskip("torch", reason="needs torch: pip install torch==2.13.0")

NETS = [
    Net("whole map", 2, width=2, input_size=20, fc=6, stages=2, num_classes=4),
    Net("window", 2, width=2, input_size=17, fc=5, stages=2, fc_kernel=2, num_classes=3),
]


def both(net: Net, tuned: bool):
    """Loss and gradients of our network, and of PyTorch's with the same weights, in float64."""
    from benchmarks.torch_nets import TorchDeconvNet, copy_weights, gradients

    ours = models.deconvnet(**net.arguments()).to(dtype=np.float64)
    rng = np.random.default_rng(1)
    for _, parameter in ours.named_parameters():  # biases and batch norm's too are no constants
        parameter.data[...] += 0.1 * rng.standard_normal(parameter.shape)
    images, labels = contenders.batch_of(net)
    images = images.astype(np.float64)
    loss = F.cross_entropy(ours(Tensor(images)), labels, ignore_index=255)
    loss.backward()

    theirs = TorchDeconvNet(**net.arguments(), tuned=tuned).double()
    copy_weights(theirs, ours)
    scores = theirs(torch.from_numpy(images))
    their_loss = torch.nn.functional.cross_entropy(
        scores, torch.from_numpy(labels), ignore_index=255
    )
    their_loss.backward()
    assert sum(p.numel() for p in theirs.parameters()) == ours.num_parameters()
    ours_grads = {name: p.grad.data for name, p in ours.named_parameters()}
    return loss.item(), their_loss.item(), ours_grads, gradients(theirs, ours)


@pytest.mark.parametrize("tuned", [False, True], ids=["default", "tuned"])
@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_same_loss_and_gradients_in_float64(net, tuned):
    loss, their_loss, grads, their_grads = both(net, tuned)
    assert abs(loss - their_loss) < 1e-9
    assert grads.keys() == their_grads.keys()
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, their_grads[name], atol=1e-8, rtol=1e-6, err_msg=name)
    assert max(np.abs(g).max() for g in grads.values()) > 1e-3  # there is something to compare


def test_tuned_has_linear_layers_only_where_the_map_is_one_pixel():
    from benchmarks.torch_nets import TorchDeconvNet

    whole, window = (TorchDeconvNet(**net.arguments(), tuned=True) for net in NETS)
    assert isinstance(whole.fc6.layer, torch.nn.Linear)
    assert isinstance(window.fc6.layer, torch.nn.Conv2d)


def test_the_papers_network_has_the_papers_parameters():
    from benchmarks.plans import PAPER
    from benchmarks.torch_nets import TorchDeconvNet

    with torch.device("meta"):
        for tuned in (False, True):
            net = TorchDeconvNet(**PAPER.arguments(), tuned=tuned)
            assert sum(p.numel() for p in net.parameters()) == 251_805_653


@pytest.mark.parametrize("name", contenders.STEPS)
def test_every_contender_learns_its_batch(name):
    if name in ("fast", "exact"):
        pytest.importorskip("numba", reason="numba is not installed (extra fast)")
    net = replace(NETS[0], width=4)
    run, parameters = contenders.step(name, net)
    losses = [run() for _ in range(16)]
    assert parameters > 0
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", contenders.STEPS)
def test_a_contender_begins_with_the_same_weights_every_time(name):
    """Whatever was drawn before: otherwise one race is not the next, and some do not learn."""
    if name in ("fast", "exact"):
        pytest.importorskip("numba", reason="numba is not installed (extra fast)")

    def first_loss(seed):
        random.manual_seed(seed)
        torch.manual_seed(seed)
        run, _ = contenders.step(name, NETS[0])
        return run()

    assert first_loss(1) == first_loss(2)
