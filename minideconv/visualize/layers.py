"""Which of a network's layers to show: those of the paper's Figure 4, found by what they are."""

from __future__ import annotations

from collections.abc import Sequence

from minideconv.models.upsampling import BilinearUpsampling, FixedUnpool2d, LearnedUpsampling
from minideconv.nn import ConvTranspose2d, MaxPool2d, MaxUnpool2d, Module, Upsample

__all__ = ["decoder_layers", "starts_level"]

_ENLARGING = (MaxUnpool2d, Upsample, FixedUnpool2d, BilinearUpsampling, LearnedUpsampling)


def decoder_layers(net: Module, names: Sequence[str]) -> list[str]:
    """Choose the layers that show how a network gets back to the size of the image.

    Each unpooling, or what is in its place, and the last transposed convolution behind it, also the
    last one in front of the first; and each transposed convolution that enlarges by itself. In a
    network that enlarges nothing, each pooling and the last layer in front of it.

    Parameters
    ----------
    net : Module
    names : sequence of str
        The candidates (`Module.named_modules`), in the order of computation.

    Examples
    --------
    >>> from minideconv import models
    >>> net = models.deconvnet(num_classes=4, width=2, input_size=8, fc=8, stages=1)
    >>> decoder_layers(net, [name for name, _ in net.named_children()])
    ['fc6_deconv', 'unpool1', 'deconv1_2']
    """
    modules = [(name, net.get_submodule(name)) for name in names]
    enlarges = [_has(module, *_ENLARGING, ConvTranspose2d) for _, module in modules]
    chosen = []
    for i, (name, module) in enumerate(modules):
        last = i + 1 == len(modules) or starts_level(modules[i + 1][1])
        if any(enlarges):
            ends = last or not enlarges[i + 1] or _steps(module)
            wanted = enlarges[i] and (starts_level(module) or ends)
        else:
            wanted = last or starts_level(module)
        if wanted:
            chosen.append(name)
    return chosen


def starts_level(module: Module) -> bool:
    """Whether a layer changes the resolution without a convolution: a pooling or an unpooling."""
    return isinstance(module, (MaxPool2d, *_ENLARGING))


def _steps(module: Module) -> bool:
    """Whether a transposed convolution in it has a stride above 1."""
    parts = [part for part in module.modules() if isinstance(part, ConvTranspose2d)]
    return any(max(part.stride) > 1 for part in parts)


def _has(module: Module, *kinds: type[Module]) -> bool:
    return any(isinstance(part, kinds) for part in module.modules())
