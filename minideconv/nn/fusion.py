"""Fusion: batch normalisation, ReLU and pooling in one pass over memory.

`norm_relu_pool` calls `F.batch_norm_relu_pool` in place of the three modules. With a hook on one of
them, another module in the place of one, or inside ``no_fusion()`` each is called by itself.
"""

from __future__ import annotations

from typing import Any

from minideconv.autograd import Tensor
from minideconv.backend.choice import Block, ContextValue
from minideconv.nn.batch_norm import BatchNorm2d, SyncBatchNorm2d
from minideconv.nn.layers import MaxPool2d, ReLU
from minideconv.nn.module import Module

__all__ = ["fusible", "no_fusion", "norm_relu_pool"]


_fusing = ContextValue("minideconv's fusion", True)


def no_fusion() -> Block:
    """Call every module by itself inside this block, or inside the function it decorates.

    The tape then has an operation for each module: for exporting a network, or explaining it.
    Results are the same up to rounding.
    """
    return _fusing.using(False)


def fusible(module: Module, *kinds: type[Module]) -> bool:
    """Return whether a call of `module` is just the forward of one of these classes."""
    return (
        type(module) in kinds
        and not module._hooks
        and "forward" not in module.__dict__
        and _fusing.get()
    )


def norm_relu_pool(x: Tensor, bn: Module, relu: Module, pool: Module | None = None) -> Any:
    """Return ``relu(bn(x))``, or ``pool(relu(bn(x)))``, in as few passes as the modules allow."""
    if not (fusible(bn, BatchNorm2d, SyncBatchNorm2d) and fusible(relu, ReLU)):
        y = relu(bn(x))
    elif pool is not None and fusible(pool, MaxPool2d) and pool.return_switches:
        return bn(x, relu=True, pool=pool)
    else:
        y = bn(x, relu=True)
    return y if pool is None else pool(y)
