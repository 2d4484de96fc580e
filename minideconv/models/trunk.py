"""VGG-16's stages inside a network: which modules they are, and how to freeze them.

A *trunk* is the part of a network that VGG-16 has too: its convolutions, called ``conv1_1`` to
``conv5_3`` in every network here. A *stage* is the convolutions in front of one pooling. The first
stages may be *frozen*: they keep the weights that they have, and training goes on behind them.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol, cast, runtime_checkable

from minideconv.autograd import Tensor
from minideconv.nn import BatchNorm2d, Module, Parameter
from minideconv.ops.switches import Switches

__all__ = ["Features", "SplitNetwork", "freeze", "split_network", "stages_of", "trunk_parameters"]


class Features(NamedTuple):
    """What the first stages of a trunk hand over to the rest of the network.

    Attributes
    ----------
    stages : int
        How many stages were computed.
    size : (int, int)
        Height and width of the images, in pixels.
    maps : tuple of Tensor (N, C, H', W')
        The last stage's, behind its pooling, and others that are needed later.
    switches : tuple of Switches
        Of the poolings of these stages, in order, for a network that unpools.
    """

    stages: int
    size: tuple[int, int]
    maps: tuple[Tensor, ...]
    switches: tuple[Switches, ...] = ()


@runtime_checkable
class SplitNetwork(Protocol):
    """A network in two parts: ``forward(x) = decode(encode(x, k))`` for every k."""

    def encode(self, x: Tensor, stages: int) -> Features:
        """Compute the first `stages` stages of the trunk."""
        ...

    def decode(self, features: Features) -> Tensor:
        """Compute the rest."""
        ...


def split_network(network: Module) -> SplitNetwork:
    """Return the network, which must be one that can be computed in two parts.

    Raises
    ------
    ValueError
        If it cannot.
    """
    if not isinstance(network, SplitNetwork):
        raise ValueError(
            f"{type(network).__name__} is not computed in two parts: it has no encode and decode"
        )
    return cast(SplitNetwork, network)


def stages_of(network: Module) -> list[list[Module]]:
    """Return the convolutions of VGG-16's stages that a network has, stage by stage.

    They are found by their names, ``convS_I`` for convolution I of stage S. The list is empty for a
    network without such.
    """
    stages: dict[int, list[Module]] = {}
    for name, module in network.named_children():
        if found := re.fullmatch(r"conv([1-9])_[1-9]", name):
            stages.setdefault(int(found[1]), []).append(module)
    return [stages[number] for number in sorted(stages)]


def trunk_parameters(network: Module) -> list[Parameter]:
    """Return the parameters of all stages, frozen or not."""
    return [p for stage in stages_of(network) for block in stage for p in block.parameters()]


def freeze(network: Module, stages: int) -> None:
    """Let the first stages of a network keep their weights, and the others learn.

    Nothing is written on the tape for frozen stages, so backward ends behind them. Their batch
    normalisation uses its running statistics in training too, and leaves them alone: each image is
    then computed by itself, whatever else is in the batch.

    Parameters
    ----------
    network : Module
        One that has VGG-16's stages.
    stages : int
        How many, counted from the image; 0 freezes none.

    Raises
    ------
    ValueError
        If the network has fewer stages.
    """
    found = stages_of(network)
    if not 0 <= stages <= len(found):
        raise ValueError(
            f"freeze: stages is {stages}, but {type(network).__name__} has {len(found)}"
            f" stage{'' if len(found) == 1 else 's'} of VGG-16's; it must be in 0..{len(found)}"
        )
    for number, blocks in enumerate(found, 1):
        for block in blocks:
            for p in block.parameters():
                p.requires_grad = number > stages
            for module in block.modules():
                if isinstance(module, BatchNorm2d):
                    module.frozen = number <= stages
