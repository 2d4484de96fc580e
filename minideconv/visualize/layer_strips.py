"""What the layers of a decoder make of an image, as strips: the most active maps of each layer.

A strip is a small PNG at the layer's own resolution; a page enlarges it, so that a layer of 6 x 6
pixels takes some hundred bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.backend import Array, to_cpu, to_device
from minideconv.data.resize import nearest_index
from minideconv.nn import Module
from minideconv.nn.inspection import activations
from minideconv.nn.mode import evaluating
from minideconv.nn.utils import device_of_module
from minideconv.visualize.boards import heat
from minideconv.visualize.layers import decoder_layers
from minideconv.visualize.masks import palette_png_bytes

__all__ = ["STRIP_MAPS", "layer_strips", "strip_png"]

STRIP_MAPS = 6
"""Maps in a strip, the most active ones."""
_SIDE = 96  # pixels of a map at most
_GAP = 255


def layer_strips(net: Module, x: Array) -> list[dict[str, Any]]:
    """Compute a network for one image, and draw the layers that `decoder_layers` chooses.

    Parameters
    ----------
    net : Module
    x : array (1, 3, H, W)
        What the network is given.

    Returns
    -------
    list of dict
        For each layer its ``name``, ``channels``, ``height`` and ``width``, the numbers of the
        ``maps`` that are shown, and ``png``, the strip as bytes.
    """
    names = [name for name, _ in net.named_children()]
    with evaluating():
        seen = activations(net, to_device(x, device_of_module(net)), layers=names)
    strips = []
    for name in decoder_layers(net, list(seen)):
        maps = np.asarray(to_cpu(seen[name]))
        if maps.ndim == 4:
            shown, png = strip_png(maps[0])
            channels, height, width = maps.shape[1:]
            size = {"channels": channels, "height": height, "width": width}
            strips.append({"name": name, **size, "maps": shown, "png": png})
    return strips


def strip_png(maps: npt.NDArray[Any]) -> tuple[list[int], bytes]:
    """Draw the most active maps of a layer (C, H, W) beside each other, dark violet to yellow.

    All have one scale, so that they can be compared. Return their numbers, those with the largest
    mean square first, and the PNG, `STRIP_MAPS` maps wide.
    """
    maps = np.nan_to_num(maps.astype(np.float64))
    order = np.argsort(-(maps**2).mean(axis=(1, 2)), kind="stable")[:STRIP_MAPS]
    sizes = [min(length, _SIDE) for length in maps.shape[1:]]
    rows, columns = (
        nearest_index(length, size) for length, size in zip(maps.shape[1:], sizes, strict=True)
    )
    chosen = maps[order][:, rows[:, None], columns]
    low, high = chosen.min(), chosen.max()
    level = (chosen - low) / (high - low) if high > low else np.zeros_like(chosen)
    height, width = sizes
    gap = max(1, width // 24)
    strip = np.full((height, STRIP_MAPS * (width + gap) - gap), _GAP, np.uint8)
    for place, one in enumerate(level):
        left = place * (width + gap)
        strip[:, left : left + width] = np.rint(one * (_GAP - 1)).astype(np.uint8)
    palette = np.zeros((256, 3), np.uint8)
    palette[:_GAP] = heat(np.linspace(0, 1, _GAP)[None])[0]
    palette[_GAP] = 255  # between the maps
    return [int(number) for number in order], palette_png_bytes(strip, palette)
