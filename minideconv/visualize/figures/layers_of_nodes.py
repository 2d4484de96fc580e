"""Where the boxes and arrows of a drawn graph go: in rows, so that no arrow crosses a box.

The method of Sugiyama, Tagawa and Toda (1981): every node is put into a row below all that it
comes from; an arrow over several rows gets a slot of its own in each row between; the order in a
row is that of the mean places of the neighbours, improved in a few sweeps.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Layout", "layout"]

_SLOT = 16.0  # pixels that a passing arrow has in a row
_SWEEPS = 6


@dataclass(frozen=True)
class Layout:
    """Places in pixels.

    Attributes
    ----------
    corners : mapping of node to (x, y)
        Top left corner of each box.
    arrows : sequence of (from, to, points)
        One for each edge, in the order given.
    width, height : float
    """

    corners: Mapping[Hashable, tuple[float, float]]
    arrows: Sequence[tuple[Hashable, Hashable, list[tuple[float, float]]]]
    width: float
    height: float


def layout(
    sizes: Mapping[Hashable, tuple[float, float]],
    edges: Sequence[tuple[Hashable, Hashable]],
    gap: tuple[float, float] = (18.0, 40.0),
) -> Layout:
    """Place the nodes of a graph without cycles, sources at the top.

    Parameters
    ----------
    sizes : mapping of node to (width, height)
        In an order in which each node follows those that it comes from.
    edges : sequence of (from, to)
        An edge may be there several times.
    gap : (float, float)
        Pixels between neighbours in a row, and between rows.
    """
    row = _rows(sizes, edges)
    count = 1 + max(row.values())
    wide = dict(sizes)
    members: list[list[Hashable]] = [[] for _ in range(count)]
    for node in sizes:
        members[row[node]].append(node)
    chains: list[list[Hashable]] = []
    neighbours: dict[Hashable, list[Hashable]] = {node: [] for node in sizes}
    for number, (start, end) in enumerate(edges):
        chain = [start]
        for between in range(row[start] + 1, row[end]):
            slot: Hashable = ("slot", number, between)
            wide[slot] = (_SLOT, 0.0)
            members[between].append(slot)
            neighbours[slot] = []
            chain.append(slot)
        chain.append(end)
        for one, other in pairwise(chain):
            neighbours[one].append(other)
            neighbours[other].append(one)
        chains.append(chain)

    x = _places(members, wide, neighbours, gap[0])
    heights = [max(wide[node][1] for node in line) for line in members]
    tops = [sum(heights[:number]) + gap[1] * number for number in range(count)]
    level = {node: number for number, line in enumerate(members) for node in line}

    arrows = []
    arriving: dict[Hashable, list[int]] = {}
    for number, (_, end) in enumerate(edges):
        arriving.setdefault(end, []).append(number)
    # Arrows arrive beside each other, in the order of where they come from.
    port: dict[int, float] = {}
    for end, numbers in arriving.items():
        ordered = sorted(numbers, key=lambda number: x[chains[number][-2]])
        for place, number in enumerate(ordered):
            share = (place + 1) / (len(ordered) + 1)
            port[number] = x[end] + (share - 0.5) * wide[end][0]
    for number, chain in enumerate(chains):
        start, end = chain[0], chain[-1]
        top = tops[level[start]]
        points = [(x[start], top + wide[start][1]), (x[start], top + heights[level[start]])]
        for passed in chain[1:-1]:
            top = tops[level[passed]]
            points += [(x[passed], top), (x[passed], top + heights[level[passed]])]
        points.append((port[number], tops[level[end]]))
        arrows.append((start, end, points))
    corners = {node: (x[node] - wide[node][0] / 2, tops[level[node]]) for node in sizes}
    width = max(x[node] + wide[node][0] / 2 for node in x)
    return Layout(corners, arrows, width, tops[-1] + heights[-1])


def _rows(
    sizes: Mapping[Hashable, tuple[float, float]], edges: Sequence[tuple[Hashable, Hashable]]
) -> dict[Hashable, int]:
    """Return each node's row: below all it comes from; a source just above its first user."""
    before: dict[Hashable, list[Hashable]] = {node: [] for node in sizes}
    after: dict[Hashable, list[Hashable]] = {node: [] for node in sizes}
    for start, end in edges:
        before[end].append(start)
        after[start].append(end)
    row: dict[Hashable, int] = {}
    for node in sizes:
        row[node] = 1 + max((row[other] for other in before[node]), default=-1)
    for node in sizes:
        if not before[node] and after[node]:
            row[node] = min(row[other] for other in after[node]) - 1
    return row


def _places(
    members: list[list[Hashable]],
    wide: Mapping[Hashable, tuple[float, float]],
    neighbours: Mapping[Hashable, list[Hashable]],
    gap: float,
) -> dict[Hashable, float]:
    """Return the middle of each node in its row, by sweeps down and up over the rows."""
    x: dict[Hashable, float] = {}
    for line in members:
        _pack(line, [0.0] * len(line), wide, gap, x)
    for sweep in range(_SWEEPS):
        for line in members if sweep % 2 == 0 else members[::-1]:
            wanted = {
                node: sum(x[other] for other in neighbours[node]) / len(neighbours[node])
                if neighbours[node]
                else x[node]
                for node in line
            }
            line.sort(key=lambda node: wanted[node])
            _pack(line, [wanted[node] for node in line], wide, gap, x)
    left = min(x[node] - wide[node][0] / 2 for node in x)
    return {node: place - left for node, place in x.items()}


def _pack(
    line: list[Hashable], wanted: list[float], wide: Mapping[Hashable, tuple[float, float]],
    gap: float, x: dict[Hashable, float],
) -> None:  # fmt: skip
    """Put a row's nodes beside each other in their order, as near to where they want to be."""
    # Pushed from the left and from the right, the mean of both keeps every distance.
    halves = [wide[node][0] / 2 for node in line]
    right: list[float] = []
    for number, want in enumerate(wanted):
        least = right[-1] + halves[number - 1] + gap + halves[number] if right else want
        right.append(max(want, least))
    left = list(wanted)
    for number in range(len(line) - 2, -1, -1):
        left[number] = min(
            wanted[number], left[number + 1] - halves[number + 1] - gap - halves[number]
        )
    for node, low, high in zip(line, left, right, strict=True):
        x[node] = (low + high) / 2
