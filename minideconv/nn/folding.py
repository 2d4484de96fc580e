"""Batch normalisation folded into the convolution in front of it.

In evaluation mode both are linear, channel by channel, so one layer computes what the two do:

    y = scale * (W * x + b - mean) / sqrt(var + eps) + shift
      = (a W) * x + (a (b - mean) + shift),         a = scale / sqrt(var + eps)

A network without its normalisations needs no statistics, and is what other programs and devices
take. It computes the same up to rounding, and cannot be trained on as the one that it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.backend.dispatch import on_device_of
from minideconv.nn.batch_norm import BatchNorm2d, SyncBatchNorm2d
from minideconv.nn.containers import Sequential
from minideconv.nn.convolution import Conv2d, ConvTranspose2d
from minideconv.nn.module import Module, Parameter

__all__ = ["fold_arrays", "fold_batch_norm_"]


def fold_arrays(
    weight: Array,
    bias: Array | None,
    mean: Array,
    var: Array,
    scale: Array | None = None,
    shift: Array | None = None,
    eps: float = 1e-5,
    transposed: bool = False,
    groups: int = 1,
) -> tuple[Array, Array]:
    """Return weight and bias of the layer that is a convolution and a batch normalisation in one.

    Parameters
    ----------
    weight : array (C, C_in / groups, kh, kw), or (C_in, C / groups, kh, kw) if transposed
        Of the convolution.
    bias : array (C,), optional
    mean, var : array (C,)
        The running statistics.
    scale, shift : array (C,), optional
        Weight and bias of the normalisation; 1 and 0 if left out.
    eps : float
        Added to the variance.
    transposed : bool
        Whether it is a transposed convolution.
    groups : int
        Of the convolution.

    Notes
    -----
    It is computed in float64, and rounded once.
    """
    xp = get_xp(weight)
    slope = 1 / xp.sqrt(var.astype(np.float64) + eps)
    if scale is not None:
        slope = slope * scale
    moved = -mean.astype(np.float64) if bias is None else bias.astype(np.float64) - mean
    moved = slope * moved if shift is None else slope * moved + shift
    if transposed:  # an input channel of a group feeds the output channels of that group
        inside = weight.reshape(groups, -1, *weight.shape[1:])
        folded = (inside * slope.reshape(groups, 1, -1, 1, 1)).reshape(weight.shape)
    else:
        folded = weight * slope.reshape(-1, 1, 1, 1)
    return folded.astype(weight.dtype), moved.astype(weight.dtype)


def fold_batch_norm_(network: Module) -> int:
    """Fold the batch normalisations of a network, in place; return how many there were.

    Folded is what directly follows a `Conv2d` or `ConvTranspose2d`: in a `Sequential`, and in a
    module whose class says so by an attribute ``folds = ("layer", "bn")``, the names of the two,
    and whose ``forward`` does without the second if that is None. Left alone is one with a hook on
    it or on its convolution, without running statistics, or one of the two that is used twice.

    Parameters
    ----------
    network : Module
        It is put into evaluation mode. For a second network, ``copy.deepcopy`` it first.

    Examples
    --------
    >>> from minideconv import nn
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    >>> fold_batch_norm_(net), len(net)
    (1, 2)
    """
    network.eval()
    uses = Counter(
        id(child) for module in network.modules() for _, child in module.named_children()
    )
    count = 0
    for owner, first, second in list(_pairs(network)):
        layer: Any = getattr(owner, first, None)
        bn: Any = getattr(owner, second, None)
        if max(uses[id(layer)], uses[id(bn)]) > 1 or not _can_be_folded(layer, bn):
            continue
        _fold(layer, bn)
        count += 1
        if isinstance(owner, Sequential):
            delattr(owner, second)
        else:
            setattr(owner, second, None)
    return count


def _pairs(network: Module) -> Iterator[tuple[Module, str, str]]:
    """Yield a module, and the names of two of its own of which the second follows the first."""
    for module in network.modules():
        if isinstance(module, Sequential):
            names = [name for name, _ in module.named_children()]
            for first, second in pairwise(names):
                yield module, first, second
        elif hasattr(module, "folds"):
            yield module, *module.folds


def _can_be_folded(layer: Module | None, bn: Module | None) -> bool:
    return (
        isinstance(layer, Conv2d | ConvTranspose2d)
        and isinstance(bn, BatchNorm2d)
        and type(layer) in (Conv2d, ConvTranspose2d)  # a subclass may compute something else
        and type(bn) in (BatchNorm2d, SyncBatchNorm2d)
        and bn.track_running_stats
        and not (layer._hooks or bn._hooks)
        and not {"forward"} & (vars(layer).keys() | vars(bn).keys())
    )


def _fold(layer: Conv2d | ConvTranspose2d, bn: BatchNorm2d) -> None:
    bias, scale, shift = (None if p is None else p.data for p in (layer.bias, bn.weight, bn.bias))
    with on_device_of(layer.weight.data):
        weight, moved = fold_arrays(
            layer.weight.data,
            bias,
            bn.running_mean,
            bn.running_var,
            scale,
            shift,
            bn.eps,
            layer.transposed,
            layer.groups,
        )
        device = layer.weight.device
        # New ones: another layer may have the same weight. Parameters begin on the default device.
        layer.weight, layer.bias = Parameter(weight), Parameter(moved)
        layer.to(device)
