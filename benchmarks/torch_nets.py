"""`minideconv.models.deconvnet` in PyTorch, layer for layer, as two kinds of people write it.

default    as most code does: fc6, fc7 and their twin are convolutions, as in the paper
tuned      by hand: where such a layer's map is a single pixel it is an ``nn.Linear``, which PyTorch
           computes ten times faster; the optimiser's loop is fused into one kernel

Either may keep its images channels last. Parameters have our names, so that weights can be copied
(`copy_weights`), and the tests compare loss and gradients in float64.

This module imports PyTorch; import it where PyTorch is known to be there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from minideconv.models.blocks import STAGES

__all__ = ["TorchDeconvNet", "copy_weights", "gradients"]


class DenseTranspose(nn.Module):
    """A transposed convolution of one pixel: a matrix product, and a bias per channel."""

    def __init__(self, c_in: int, c_out: int, kernel: int) -> None:
        super().__init__()
        self.linear = nn.Linear(c_in, c_out * kernel * kernel, bias=False)
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.shape = (c_out, kernel, kernel)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(1)).view(-1, *self.shape) + self.bias[:, None, None]


class Dense(nn.Linear):
    """A convolution whose window is the whole map: a matrix product."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.flatten(1))[:, :, None, None]


class Block(nn.Module):
    def __init__(self, layer: nn.Module, channels: int) -> None:
        super().__init__()
        self.layer = layer
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.bn(self.layer(x)))


class TorchDeconvNet(nn.Module):
    """The network; the arguments are those of `minideconv.models.deconvnet`, and `tuned`."""

    def __init__(
        self,
        num_classes: int = 21,
        width: int = 64,
        input_size: int = 224,
        fc: int = 4096,
        stages: int = 5,
        fc_kernel: int | None = None,
        tuned: bool = False,
    ) -> None:
        super().__init__()
        self.stages = stages
        channels = 3
        for number, (convolutions, _) in enumerate(STAGES[:stages], 1):
            for i, multiple in enumerate(convolutions, 1):
                conv = nn.Conv2d(channels, multiple * width, 3, padding=1)
                channels = multiple * width
                setattr(self, f"conv{number}_{i}", Block(conv, channels))

        top = input_size >> stages
        kernel = fc_kernel or top
        if tuned and kernel == top:
            layers = (
                Dense(channels * kernel * kernel, fc),
                Dense(fc, fc),
                DenseTranspose(fc, channels, kernel),
            )
        else:
            layers = (
                nn.Conv2d(channels, fc, kernel),
                nn.Conv2d(fc, fc, 1),
                nn.ConvTranspose2d(fc, channels, kernel),
            )
        self.fc6, self.fc7 = Block(layers[0], fc), Block(layers[1], fc)
        self.fc6_deconv = Block(layers[2], channels)

        for number in range(stages, 0, -1):
            for i, multiple in enumerate(STAGES[number - 1][1], 1):
                deconv = nn.ConvTranspose2d(channels, multiple * width, 3, padding=1)
                channels = multiple * width
                setattr(self, f"deconv{number}_{i}", Block(deconv, channels))
        self.seg_score = nn.Conv2d(channels, num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = []
        for number, (convolutions, _) in enumerate(STAGES[: self.stages], 1):
            for i in range(1, len(convolutions) + 1):
                x = getattr(self, f"conv{number}_{i}")(x)
            size = x.shape[2:]
            x, indices = F.max_pool2d(x, 2, 2, return_indices=True)
            pooled.append((indices, size))
        x = self.fc6_deconv(self.fc7(self.fc6(x)))
        for number in range(self.stages, 0, -1):
            indices, size = pooled.pop()
            x = F.max_unpool2d(x, indices, 2, 2, output_size=size)
            for i in range(1, len(STAGES[number - 1][1]) + 1):
                x = getattr(self, f"deconv{number}_{i}")(x)
        return self.seg_score(x)


def copy_weights(net: TorchDeconvNet, ours: Any) -> None:
    """Give `net` the weights of our network."""
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            _parameter(net, name).copy_(torch.from_numpy(_as_theirs(net, name, parameter.data)))


def gradients(net: TorchDeconvNet, ours: Any) -> dict[str, np.ndarray]:
    """Return the gradients of `net` by our names and in the shapes of our parameters."""
    found = {}
    for name, parameter in ours.named_parameters():
        grad = _parameter(net, name).grad.numpy()
        if _is_twin(net, name):
            grad = grad.T
        found[name] = grad.reshape(parameter.shape)
    return found


def _is_twin(net: TorchDeconvNet, name: str) -> bool:
    return name == "fc6_deconv.layer.weight" and isinstance(net.fc6_deconv.layer, DenseTranspose)


def _parameter(net: TorchDeconvNet, name: str) -> Any:
    if _is_twin(net, name):
        name = "fc6_deconv.layer.linear.weight"
    return net.get_parameter(name)


def _as_theirs(net: TorchDeconvNet, name: str, weight: np.ndarray) -> np.ndarray:
    """(C_in, C_out, k, k) is (C_out k k, C_in) as a linear layer, (K, C, k, k) is (K, C k k)."""
    if _is_twin(net, name):
        return np.ascontiguousarray(weight.reshape(len(weight), -1).T)
    return np.ascontiguousarray(weight).reshape(tuple(_parameter(net, name).shape))
