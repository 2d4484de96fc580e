"""What each layer of a decoder shows, and where the switches put it: the paper's Figure 4.

For each layer that `layers.decoder_layers` chooses: its most active map (the channel with the
largest mean square). For an unpooling also its switches, on the photograph: a dot where a value of
that map was put, and a line to it from the middle of its window.

Source: Noh, Hong, Han (ICCV 2015), section 3.2 and Figure 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageDraw

from minideconv.backend import to_cpu
from minideconv.data.voc_colors import overlay
from minideconv.nn import MaxUnpool2d
from minideconv.nn.inspection import activations
from minideconv.visualize.boards import (
    Image,
    activation_picture,
    board,
    enlarged,
    heat,
    strongest_map,
    titled,
)
from minideconv.visualize.layers import decoder_layers, starts_level
from minideconv.visualize.subject import Subject

__all__ = ["SIDE", "Panel", "activation_board", "activation_panels", "switch_picture"]

SIDE = 224
"""Pixels of a panel."""
_DOTS = 150
_LINE = 3.0  # pixels: shorter lines are covered by their dots


@dataclass(frozen=True)
class Panel:
    """One layer of the figure.

    Attributes
    ----------
    layer : str
    caption : str
        The layer, its size, and which of its maps is shown.
    map : (S, S, 3) uint8
        The map, dark violet to yellow.
    switches : (S, S, 3) uint8 or None
        The photograph with the switches of an unpooling.
    begins_row : bool
        Whether the resolution changes here.
    """

    layer: str
    caption: str
    map: Image
    switches: Image | None
    begins_row: bool


@dataclass(frozen=True)
class _Unpooled:
    """What an unpooling was given: values (C, H', W'), and their switches."""

    values: npt.NDArray[Any]
    indices: npt.NDArray[Any]
    plane: tuple[int, int]


def activation_panels(
    subject: Subject, square: Image, layers: Sequence[str] = ()
) -> tuple[list[Panel], Image | None]:
    """Compute a network for a photograph, and draw its layers.

    Parameters
    ----------
    subject : Subject
    square : (S, S, 3) uint8
        From `Subject.square`.
    layers : sequence of str
        Which; those of the decoder if empty.

    Returns
    -------
    panels : list of Panel
        In the order of computation.
    prediction : (S, S, 3) uint8 or None
        The most likely classes over the photograph, of a network that scores every pixel.

    Raises
    ------
    UsageError
        If there is no such layer.
    """
    net = subject.network
    for name in layers:
        subject.check_layer(name)
    unpooled: dict[str, _Unpooled] = {}

    def keep(name: str) -> Any:
        def hook(module: Any, args: Any) -> None:
            values, switches = args[0].data, args[1]
            values, indices = to_cpu(values)[0], to_cpu(switches.indices)[0]
            unpooled[name] = _Unpooled(values, indices, switches.plane_shape)

        return hook

    with ExitStack() as stack:
        for name, module in net.named_modules():
            if isinstance(module, MaxUnpool2d):
                stack.callback(module.register_forward_pre_hook(keep(name)).remove)
        seen = activations(net, subject.numbers(square), layers=[*(layers or subject.layers), ""])
    maps = {name: to_cpu(array)[0] for name, array in seen.items() if array.ndim == 4}
    scores = maps.pop("", None)
    chosen = list(maps) if layers else decoder_layers(net, [n for n in maps if "#" not in n])
    panels = [
        _panel(name, maps[name], square, unpooled.get(name), starts_level(_module(net, name)))
        for name in chosen
    ]
    prediction = None
    if scores is not None and len(scores) == len(subject.classes):
        labels = scores.argmax(axis=0).astype(np.uint8)
        if labels.shape == square.shape[:2]:
            prediction = enlarged(overlay(square, labels), SIDE)
    return panels, prediction


def _module(net: Any, name: str) -> Any:
    return net.get_submodule(name.partition("#")[0])


def _panel(
    name: str,
    maps: npt.NDArray[Any],
    square: Image,
    unpooled: _Unpooled | None,
    begins_row: bool,
) -> Panel:
    channel = strongest_map(maps)
    channels, height, width = maps.shape
    caption = f"{name}: {height} x {width}, map {channel} of {channels}"
    shown = None
    if unpooled is not None:
        shown = switch_picture(
            square, unpooled.values[channel], unpooled.indices[channel], unpooled.plane
        )
    return Panel(name, caption, activation_picture(maps, SIDE), shown, begins_row)


def switch_picture(
    square: Image,
    values: npt.NDArray[Any],
    indices: npt.NDArray[Any],
    plane: tuple[int, int],
    side: int = SIDE,
) -> Image:
    """Draw where the strongest values of a map are put, on the photograph.

    Parameters
    ----------
    square : (S, S, 3) uint8
    values : array (H', W')
        One map in front of an unpooling.
    indices : integer array (H', W')
        Its switches, ``row * W + column`` in the plane.
    plane : (H, W)
        The map behind it, which covers the photograph.
    side : int
        Pixels of the picture.

    Returns
    -------
    (side, side, 3) uint8
        The photograph, dimmed; the 150 largest values above 0, dark to bright as they grow.
    """
    dim = (enlarged(square, side).astype(np.float64) * 0.45).astype(np.uint8)
    picture = Pillow.fromarray(dim)
    pen = ImageDraw.Draw(picture)
    flat = values.ravel()
    order = [at for at in np.argsort(-flat, kind="stable")[:_DOTS] if flat[at] > 0]
    radius = max(1.0, min(4.0, 0.25 * side / max(plane)))
    for at in reversed(order):  # the largest on top
        i, j = divmod(int(at), values.shape[1])
        row, column = divmod(int(indices[i, j]), plane[1])
        to = (column + 0.5) / plane[1] * side, (row + 0.5) / plane[0] * side
        start = (j + 0.5) / values.shape[1] * side, (i + 0.5) / values.shape[0] * side
        red, green, blue = heat(np.array([[0.3 + 0.7 * flat[at] / flat[order[0]]]]))[0, 0].tolist()
        colour = (red, green, blue)
        if max(abs(a - b) for a, b in zip(to, start, strict=True)) >= _LINE:
            pen.line([start, to], fill=colour, width=1)
        x, y = to
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
    return np.asarray(picture)


def activation_board(
    name: str, square: Image, panels: Sequence[Panel], prediction: Image | None
) -> Image:
    """Lay the panels out: a row for each resolution, the photograph first, the prediction last."""
    rows: list[list[Image]] = [[titled("photograph", enlarged(square, SIDE))]]
    for panel in panels:
        if panel.begins_row:
            rows.append([])
        rows[-1].append(titled(panel.caption, panel.map))
        if panel.switches is not None:
            rows[-1].append(titled(f"{panel.layer}: its switches", panel.switches))
    if prediction is not None:
        rows.append([titled("prediction", prediction)])
    return titled(name, board(rows))
