r"""What a projection looks like: a line, a corner, a T or an X, and where its vertex is.

Every shape that drawings are made of is drawn by itself, with arms that reach over the border, and
made relative to its neighbourhood as pictures are. It is laid under the projection at each place,
and compared by the cosine

    s = |<P, Q>| / (|P| |Q|)              P the projection, Q what lies under it

which is 1 for a projection that is the shape, in black or in white. A unit looks like the shape
with the largest s, if that is at least 0.6. The vertex is 2 pixels inside the projection or more:
nearer to its border, a corner is a line.

Nothing that the unit does is asked here, so what it does can be a test of it (`junctions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.sparse_coding.hierarchy.contrast import normalize_contrast
from minideconv.sparse_coding.hierarchy.drawings import DIRECTIONS, KINDS, draw_lines

__all__ = ["ALIKE", "LINE", "Looks", "looks", "shapes"]

LINE = "line"
ALIKE = 0.6
"""From this s on a projection looks like a shape."""
_INSIDE = 2  # pixels from the border to the vertex
_EQUAL = 1e-9


@dataclass(frozen=True)
class Looks:
    """What `looks` found of a layer's units.

    Attributes
    ----------
    kinds : tuple of str
        Of each unit: "line", one of `drawings.KINDS`, or "" if it looks like none.
    likeness : array (M,)
        s of the best shape.
    vertices : array (M, 2)
        Row and column in the projection; of a line, its point nearest to the middle.
    """

    kinds: tuple[str, ...]
    likeness: npt.NDArray[np.float64]
    vertices: npt.NDArray[np.int64]

    @property
    def junctions(self) -> npt.NDArray[np.bool_]:
        """Which units look like a corner or a junction: (M,)."""
        return np.array([kind in KINDS for kind in self.kinds])


@cache
def shapes(side: int) -> tuple[tuple[str, npt.NDArray[np.float64]], ...]:
    """Return the name of each shape, and its picture, (side, side), with the vertex in the middle.

    Lines: 4. Corners of 45 and 90 degrees: 16. T: 4 lines with one of 6 arms. X: 6 pairs of lines.
    """
    middle = np.full(2, side // 2, np.float64)
    ends = [middle + 2 * side * step for step in DIRECTIONS]

    def picture(*segments: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]) -> Any:
        return normalize_contrast(draw_lines(side, list(segments)))

    lines = [(ends[k], ends[k + 4]) for k in range(4)]
    found = [(LINE, picture(line)) for line in lines]
    for k in range(8):
        for turn in (1, 2):
            found.append(("corner", picture((middle, ends[k]), (middle, ends[(k + turn) % 8]))))
    for k, line in enumerate(lines):
        arms = [ends[arm] for arm in range(8) if arm % 4 != k]
        found += [("T", picture(line, (middle, arm))) for arm in arms]
    found += [("X", picture(*pair)) for pair in combinations(lines, 2)]
    return tuple(found)


def looks(projections: npt.NDArray[Any]) -> Looks:
    """Say what projections look like: (M, 1, h, w), of grey pictures."""
    count, _, h, w = projections.shape
    flat = projections.reshape(count, h * w).astype(np.float64)
    flat /= np.maximum(np.sqrt((flat * flat).sum(axis=1, keepdims=True)), np.finfo(float).tiny)
    side = 2 * max(h, w) + 1
    best, kinds = np.full(count, -1.0), np.full(count, "", object)
    vertices = np.zeros((count, 2), np.int64)
    # A line is the same wherever on it the vertex is: the middle comes first, and stays.
    places = [(i, j) for i in range(_INSIDE, h - _INSIDE) for j in range(_INSIDE, w - _INSIDE)]
    places.sort(key=lambda at: np.hypot(at[0] - (h - 1) / 2, at[1] - (w - 1) / 2))
    for kind, picture in shapes(side):
        for row, column in places:
            top, left = side // 2 - row, side // 2 - column
            under = picture[top : top + h, left : left + w].ravel()
            likeness = np.abs(flat @ under) / np.sqrt(under @ under)
            better = likeness > best + _EQUAL
            best[better], kinds[better] = likeness[better], kind
            vertices[better] = row, column
    kinds[best < ALIKE] = ""
    return Looks(tuple(kinds), best, vertices)
