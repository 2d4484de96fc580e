"""What single units respond to: in one photograph, and in the nine of a folder that excite it most.

A unit is a channel of a layer. In each photograph it is looked at where its activation is largest;
the projection of that activation to the pixels is cut to the unit's receptive field.

Source: Zeiler and Fergus (2014), section 4.1 and Figure 2, for the nine and for showing both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.autograd import no_grad
from minideconv.backend import Array, to_cpu
from minideconv.visualize.boards import Image, board, fit, titled
from minideconv.visualize.projection import at_unit, forward_to, signal_between
from minideconv.visualize.receptive_field import Box, receptive_field
from minideconv.visualize.signals import projection_picture
from minideconv.visualize.subject import Subject

__all__ = [
    "MOST",
    "Peak",
    "Projection",
    "facts",
    "nine",
    "peaks",
    "peaks_of_layers",
    "project_peak",
    "projection_cells",
    "top_board",
    "top_peaks",
    "unit_board",
]

MOST = 9
"""Photographs that are shown for a unit."""
_SIDE = 96
_BORDER = 2


@dataclass(frozen=True)
class Peak:
    """Where a unit is most active in one photograph."""

    photograph: str
    unit: int
    value: float
    place: tuple[int, ...]
    """Row and column in the layer's map; empty for a layer of scores without places."""


@dataclass(frozen=True)
class Projection:
    """A peak sent back to the pixels."""

    peak: Peak
    box: Box
    """The unit's receptive field in the square that the network saw."""
    colours: npt.NDArray[Any]
    """The signal there, RGB: (h, w, 3)."""
    patch: Image
    """The photograph there: (h, w, 3) uint8."""


def peaks(subject: Subject, square: Image, layer: str, photograph: str = "") -> list[Peak]:
    """Return for each unit of a layer where it is most active.

    Raises
    ------
    UsageError
        If the network has no such layer.
    """
    return peaks_of_layers(subject, square, [layer], photograph)[layer]


def peaks_of_layers(
    subject: Subject, square: Image, layers: Sequence[str], photograph: str = ""
) -> dict[str, list[Peak]]:
    """Return `peaks` of several layers, of which the last one is computed last."""
    for layer in layers:
        subject.check_layer(layer)
    with no_grad():
        _, outputs = forward_to(subject.network, subject.numbers(square), layers[-1], layers[:-1])
    found: dict[str, list[Peak]] = {}
    for layer in layers:
        values = to_cpu(outputs[layer].data)[0]
        flat = values.reshape(len(values), -1)
        found[layer] = []
        for unit, at in enumerate(flat.argmax(axis=1).tolist()):
            place = tuple(int(i) for i in np.unravel_index(at, values.shape[1:]))
            found[layer].append(Peak(photograph, unit, float(flat[unit, at]), place))
    return found


def nine(found: Sequence[Peak], most: int = MOST) -> list[Peak]:
    """Return the largest of the peaks of a unit, of equal ones the earlier."""
    return sorted(found, key=lambda peak: -peak.value)[:most]


def top_peaks(
    subject: Subject, squares: Iterable[tuple[str, Image]], layer: str, most: int = MOST
) -> list[list[Peak]]:
    """Return for each unit its largest activations over many photographs, one of each.

    Parameters
    ----------
    subject : Subject
    squares : iterable of (name, (S, S, 3) uint8)
        Read one after the other, once.
    layer : str
    most : int
        How many are kept.

    Returns
    -------
    list of list of Peak
        By unit; the largest first, and of equal ones that of the earlier photograph.
    """
    kept: list[list[Peak]] = []
    for name, square in squares:
        found = peaks(subject, square, layer, name)
        kept = kept or [[] for _ in found]
        for peak in found:
            kept[peak.unit] = nine([*kept[peak.unit], peak], most)
    return kept


def project_peak(
    subject: Subject, square: Image, layer: str, peak: Peak, rule: str = "deconvnet"
) -> Projection:
    """Send a unit's largest activation back to the pixels of the photograph.

    Raises
    ------
    UsageError
        If there is no such layer, unit or rule.
    """
    source, outputs = forward_to(subject.network, subject.numbers(square), layer)
    output = outputs[layer]
    subject.check_unit(layer, peak.unit, output.shape[1])
    box = receptive_field(output, source, peak.place)
    seed = at_unit(peak.unit, peak.place or None)
    signal: Array = signal_between(output, source, seed(output.data), rule)
    colours = subject.colours(to_cpu(signal)[0])
    return Projection(peak, box, colours[box.slices], square[box.slices])


def unit_board(heading: str, projections: Sequence[Projection], columns: int = 3) -> Image:
    """Lay out projection and patch of each unit beside each other, `columns` units a row."""
    cells = [
        titled(
            f"unit {p.peak.unit}: {p.peak.value:.3g}",
            board([[_cell(projection_picture(p.colours)), _cell(p.patch)]]),
        )
        for p in projections
    ]
    return _with_heading(heading, cells, columns)


def top_board(
    heading: str,
    units: Sequence[Sequence[Projection]],
    photographs: bool = True,
    columns: int = 2,
) -> Image:
    """Lay out the nine projections of each unit, and the nine patches beside them.

    Parameters
    ----------
    heading : str
    units : sequence of sequence of Projection
    photographs : bool
        Whether the patches are shown. Without them the picture holds no part of a photograph, so
        that it may go where the photographs may not.
    columns : int
        Units in a row.
    """
    cells = []
    for projections in units:
        parts = [projection_cells(projections)]
        if photographs:
            parts.append(_in_threes([p.patch for p in projections]))
        cells.append(titled(f"unit {projections[0].peak.unit}", board([parts])))
    return _with_heading(heading, cells, columns)


def facts(projections: Sequence[Projection]) -> dict[str, Any]:
    """Return what is drawn of one unit, as plain JSON."""
    return {
        "unit": projections[0].peak.unit,
        "peaks": [
            {
                "photograph": p.peak.photograph,
                "activation": p.peak.value,
                "place": list(p.peak.place),
                "box": list(p.box),
            }
            for p in projections
        ],
    }


def projection_cells(projections: Sequence[Projection], side: int = _SIDE) -> Image:
    """Return the pictures of projections in rows of three, in cells of `side` pixels."""
    return _in_threes([projection_picture(p.colours) for p in projections], side)


def _in_threes(pictures: Sequence[Image], side: int = _SIDE) -> Image:
    cells = [_cell(picture, side) for picture in pictures]
    return board([cells[at : at + 3] for at in range(0, len(cells), 3)])


def _cell(picture: Image, side: int = _SIDE) -> Image:
    """Return a small picture in the middle of a white square, so that all take the same room."""
    shown = fit(picture, side)
    square = np.full((side, side, 3), 255, np.uint8)
    top, left = ((side - length) // 2 for length in shown.shape[:2])
    square[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    return square


def _with_heading(heading: str, cells: Sequence[Image], columns: int) -> Image:
    sheet = board([cells[at : at + columns] for at in range(0, len(cells), columns)])
    return titled(heading, sheet)
