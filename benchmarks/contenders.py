"""A whole training step of a network, ours or PyTorch's, as a function that returns the loss.

zero_grad, forward, cross entropy, backward, SGD with momentum and weight decay, on one batch that
stays the same.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.modes import OURS, switch, the_torch
from benchmarks.plans import Net
from minideconv import Tensor, models, optim, random
from minideconv import functional as F

__all__ = ["SGD", "STEPS", "batch_of", "network_of", "step"]

SGD = {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}

# PyTorch's: whether tuned, and whether channels last.
TORCH = {
    "default_nchw": (False, False),
    "default_channels_last": (False, True),
    "tuned_nchw": (True, False),
    "tuned_channels_last": (True, True),
}
STEPS = (*OURS, *TORCH)

SEED = 0  # of the weights: a contender begins with the same ones every time


def batch_of(net: Net) -> tuple[np.ndarray, np.ndarray]:
    """Return random images (N, 3, H, W) and labels (N, H, W), 5 % of them void."""
    rng = np.random.default_rng(0)
    size = (net.batch, net.input_size, net.input_size)
    images = rng.standard_normal((net.batch, 3, *size[1:]), np.float32)
    labels = rng.integers(0, net.num_classes, size)
    labels[rng.random(size) < 0.05] = 255
    return images, labels


def network_of(net: Net) -> models.DeconvNet:
    """Return our network."""
    random.manual_seed(SEED)
    return models.deconvnet(**net.arguments())


def step(name: str, net: Net) -> tuple[Callable[[], float], int]:
    """Build a contender; return its step and its number of parameters."""
    return _our_step(name, net) if name in OURS else _torch_step(name, net)


def _our_step(mode: str, net: Net) -> tuple[Callable[[], float], int]:
    switch(mode)
    network, (images, labels) = network_of(net), batch_of(net)
    x, sgd = Tensor(images), optim.SGD(network.parameters(), **SGD)

    def run() -> float:
        sgd.zero_grad()
        loss = F.cross_entropy(network(x), labels, ignore_index=255)
        loss.backward()
        sgd.step()
        return loss.item()

    return run, network.num_parameters()


def _torch_step(name: str, net: Net) -> tuple[Callable[[], float], int]:
    torch = the_torch()
    from benchmarks.torch_nets import TorchDeconvNet

    tuned, channels_last = TORCH[name]
    layout = torch.channels_last if channels_last else torch.contiguous_format
    torch.manual_seed(SEED)
    network = TorchDeconvNet(**net.arguments(), tuned=tuned).to(memory_format=layout)
    images, labels = (torch.from_numpy(array) for array in batch_of(net))
    x = images.contiguous(memory_format=layout)
    sgd = torch.optim.SGD(network.parameters(), **SGD, fused=tuned)

    def run() -> float:
        sgd.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(x), labels, ignore_index=255)
        loss.backward()
        sgd.step()
        return loss.item()

    return run, sum(p.numel() for p in network.parameters())
