"""Training with frozen stages and a rate of its own for the trunk, against PyTorch, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from random_state import draw_state

from minideconv import Tensor
from minideconv import functional as F
from minideconv.backend import to_cpu
from minideconv.models.blocks import STAGES
from minideconv.training import TrainConfig, build

LR, LR_TRUNK, STEPS = 0.05, 0.01, 3


def twin_scores(torch, p, buffers, x, frozen):
    """FCN-16s with padding "same" and batch norm; `frozen` stages use running statistics."""
    functional = torch.nn.functional

    def block(x, name, padding, training):
        y = functional.conv2d(x, p[f"{name}.layer.weight"], p[f"{name}.layer.bias"], 1, padding)
        mean, var = buffers[f"{name}.bn.running_mean"], buffers[f"{name}.bn.running_var"]
        scale, shift = p[f"{name}.bn.weight"], p[f"{name}.bn.bias"]
        return torch.relu(functional.batch_norm(y, mean, var, scale, shift, training))

    size, pools = x.shape[2:], {}
    for number, (convolutions, _) in enumerate(STAGES, 1):
        for i in range(1, len(convolutions) + 1):
            x = block(x, f"conv{number}_{i}", 1, number > frozen)
        x = pools[number] = functional.max_pool2d(x, 2, 2, ceil_mode=True)
    x = block(block(x, "fc6", 1, True), "fc7", 0, True)
    y = functional.conv2d(x, p["score_fr.weight"], p["score_fr.bias"])
    y = functional.conv_transpose2d(y, p["upscore2.weight"], stride=2, padding=1)
    y = y + functional.conv2d(pools[4], p["score_pool4.weight"], p["score_pool4.bias"])
    y = functional.conv_transpose2d(y, p["upscore16.weight"], stride=16)
    return y[:, :, 8 : 8 + size[0], 8 : 8 + size[1]]


@pytest.mark.parametrize("frozen", [0, 2, 5])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_steps_are_those_of_pytorch(torch, frozen, optimizer):
    own_rate = frozen < 5
    config = TrainConfig(
        model="fcn16s", width=2, fc=4, dropout=0.0, freeze=frozen, optimizer=optimizer, lr=LR,
        lr_trunk=LR_TRUNK if own_rate else None, weight_decay=0.1,
    )  # fmt: skip
    network = build.model(config, 3)
    network.to(dtype=np.float64).train()
    rng = np.random.default_rng(frozen)
    start = draw_state(network, rng, keep=("upscore",))
    named = dict(network.named_parameters())
    theirs = {
        name: torch.tensor(p.numpy(), requires_grad=p.requires_grad) for name, p in named.items()
    }
    buffers = {name: torch.tensor(start[name]) for name, _ in network.named_buffers()}
    ours = build.optimizer(config, network, LR)
    learning = [(n, p) for n, p in theirs.items() if p.requires_grad]
    groups = []
    for trunk in (False, True):
        for decayed in (True, False):
            part = [p for n, p in learning if n.startswith("conv") == trunk]
            params = [p for p in part if (p.ndim > 1) == decayed]
            rate, decay = LR_TRUNK if trunk else LR, 0.1 if decayed else 0.0
            groups.append({"params": params, "lr": rate, "weight_decay": decay})
    groups = [group for group in groups if group["params"]]
    if optimizer == "sgd":
        reference = torch.optim.SGD(groups, lr=LR, momentum=0.9, nesterov=True)
    else:
        reference = torch.optim.AdamW(groups, lr=LR)
    for step in range(STEPS):
        values = rng.standard_normal((2, 3, 64, 64))
        target = rng.integers(0, 3, (2, 64, 64))
        loss = F.cross_entropy(network(Tensor(values)), target)
        scores = twin_scores(torch, theirs, buffers, torch.tensor(values), frozen)
        loss_ref = torch.nn.functional.cross_entropy(scores, torch.tensor(target))
        np.testing.assert_allclose(loss.item(), loss_ref.item(), rtol=1e-8, err_msg=str(step))
        ours.zero_grad()
        reference.zero_grad()
        loss.backward()
        loss_ref.backward()
        ours.step()
        reference.step()
    moved = 0
    for name, p in named.items():
        expected = theirs[name].detach().numpy()
        np.testing.assert_allclose(p.numpy(), expected, rtol=1e-6, atol=1e-7, err_msg=name)
        if p.requires_grad and p.ndim == 4:  # a bias in front of batch norm has no gradient
            assert not np.array_equal(p.numpy(), start[name]), name
        elif not p.requires_grad:
            assert np.array_equal(p.numpy(), start[name]), name
        moved += p.requires_grad
    assert moved == len(learning) > 0
    for name, there in network.named_buffers():
        array = to_cpu(there)
        if not name.endswith("tracked"):
            np.testing.assert_allclose(array, buffers[name].numpy(), rtol=1e-7, err_msg=name)
        if name.startswith("conv") and int(name[4]) <= frozen:
            assert np.array_equal(array, start[name]), name
