r"""Gaussian filtering of values at points of many dimensions, on the permutohedral lattice.

    y_i = sum_j exp(-|f_i - f_j|^2 / 2) v_j          f: N points in d dimensions, v: (N, L) values

Computed as written this takes N^2 d operations; for the pixels of a photograph, whose features are
place and colour, N is 200,000. The lattice does it in N d^2: space is tiled by simplices (triangles
for d = 2, tetrahedra for d = 3), each with d + 1 corners. *Splat*: every point gives its value
to the d + 1 corners around it, with its barycentric coordinates as weights. *Blur*: along each of
the d + 1 directions of the lattice every corner gets half of its two neighbours' values. *Slice*:
every point reads the value at its place, with the same weights. Only corners that some point
touches exist, in a sorted table.

Blurring by (1/2, 1, 1/2) along the directions, and interpolating twice, is a Gaussian of standard
deviation 1 if the corners are as far apart as `embed` makes them. The result is an
approximation: sums of rows come out 0.87 (d = 2) to 0.55 (d = 5) of the exact ones in the tests, so
a mean is ``filter(v) / filter(1)``.

Splat, blur and slice are linear maps, splat and slice are each other's transpose, and blur's
transpose goes through the directions the other way round.

Source: Adams, Baek, Davis, "Fast high-dimensional filtering using the permutohedral lattice"
(Eurographics 2010), sections 3 and 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minideconv.backend import device_of, get_xp, to_cpu, to_device
from minideconv.backend.dispatch import accelerated, device_guard

__all__ = ["Lattice", "Lists", "lattice", "lattice_filter"]

Floats = npt.NDArray[Any]
Indices = npt.NDArray[np.int32]


class Lists(NamedTuple):
    """Which points touch each corner: where splatting is a gather, as on a GPU.

    Entry ``i (d + 1) + k`` of `Lattice.corners`, flattened, is the k-th corner of point i. `order`
    has the entries of the first corner, then those of the second, each corner's from first to last.
    Long lists are cut into pieces, so that many threads share them.
    """

    order: Indices
    """(N (d + 1),) int32."""
    pieces: Indices
    """(P + 1,) int32: where in `order` each piece begins, and at the end N (d + 1)."""
    firsts: Indices
    """(M + 1,) int32: each corner's first piece, and at the end P."""


@dataclass(frozen=True)
class Lattice:
    """The corners around N points in d dimensions, M in all; number M stands for "not there".

    Attributes
    ----------
    corners : (N, d + 1) int32 array
        The numbers of the corners around each point.
    splat, slice : (N, d + 1) float32 arrays
        The weights with which a point gives to its corners, and reads from them: its barycentric
        coordinates, which are not negative and whose sum is 1, unless `scaled`.
    neighbours : (d + 1, M, 2) int32 array, with any strides
        For each direction the corners before and behind each corner.
    lists : Lists or None
        The points of each corner, if what built the lattice made them.
    """

    corners: Indices
    splat: Floats
    slice: Floats
    neighbours: Indices
    lists: Lists | None = None

    def scaled(self, before: Floats, after: Floats) -> Lattice:
        """Return the lattice that filters ``before * v`` and multiplies the result by `after`.

        Both are (N, 1).
        """
        return replace(self, splat=self.splat * before, slice=self.slice * after)


@device_guard
def lattice(points: npt.ArrayLike) -> Lattice:
    """Build the lattice around `points`, of which a Gaussian of standard deviation 1 is wanted.

    Parameters
    ----------
    points : (N, d) array
        Features, each divided by the standard deviation in its direction. The lattice is made on
        the device where they are.

    Raises
    ------
    ValueError
        If the array has not two axes, is empty, or has values that are not finite or so large
        that a corner's coordinates do not fit into 16 bits.
    """
    xp = get_xp(points)
    f = xp.asarray(points, np.float32)
    if f.ndim != 2 or f.size == 0:
        raise ValueError(f"lattice: points has shape {f.shape}; it must be (N, d), not empty")
    if not bool(xp.isfinite(f).all()):
        raise ValueError("lattice: points has values that are not finite")
    y = embed(f)
    d, device = f.shape[1], device_of(f)
    # A corner's first d coordinates (the last one follows: their sum is 0) as one whole number.
    # The margin keeps the neighbours of the outermost corners different from all others.
    lowest, highest = to_cpu(xp.stack([y.min(axis=0), y.max(axis=0)]))
    low = np.floor(lowest).astype(np.int64)[:d] - 3 * (d + 1)
    sizes = [int(size) for size in np.ceil(highest)[:d] + 3 * (d + 1) - low + 1]
    if math.prod(sizes) >= 2**63:
        raise ValueError(
            f"lattice: points range over {sizes} cells of the lattice; the product must be below"
            " 2^63: divide by larger standard deviations"
        )
    radix = np.cumprod([1, *sizes[:-1]])
    codes, weights = simplices(y, to_device(low, device), to_device(radix, device))
    del y
    found, corners, lists = distinct(codes)
    del codes
    steps = np.ones((d + 1, d), np.int64) - (d + 1) * np.eye(d + 1, d, dtype=np.int64)
    neighbours = xp.empty((d + 1, 2, len(found)), np.int32)
    for step, both in zip(steps, neighbours, strict=True):
        both[0] = find(found, found - int(step @ radix))
        both[1] = find(found, found + int(step @ radix))
    return Lattice(corners, weights, weights, neighbours.transpose(0, 2, 1), lists)


@accelerated
def embed(f: Floats) -> npt.NDArray[np.float64]:
    """Return the points in d + 1 coordinates whose sum is 0, (N, d) -> (N, d + 1) float64.

    The columns of this linear map are orthogonal. They are as long as makes two interpolations and
    a blur by (1/2, 1, 1/2) in d + 1 directions, whose variance is (d + 1)^2 2/3, a Gaussian of
    standard deviation 1.
    """
    xp = get_xp(f)
    n, d = f.shape
    axes = xp.arange(1, d + 1)
    scaled = f * xp.asarray(scales(d))
    y = xp.zeros((n, d + 1))
    y[:, 1:] = -axes * scaled
    # Coordinate i gets all scaled features behind it.
    y[:, :d] += xp.cumsum(scaled[:, ::-1], axis=1)[:, ::-1]
    return y


def scales(d: int) -> npt.NDArray[np.float64]:
    """Return by what `embed` multiplies each of d features."""
    axes = np.arange(1, d + 1)
    return (d + 1) * np.sqrt(2 / 3) / np.sqrt(axes * (axes + 1.0))


@accelerated
def simplices(
    y: npt.NDArray[np.float64], low: npt.NDArray[np.int64], radix: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the codes of the corners around each point, and its barycentric coordinates."""
    xp = get_xp(y)
    d = y.shape[1] - 1
    # The nearest point whose coordinates are multiples of d + 1, and the order of the differences
    # to it, tell the simplex that y is in.
    base = (xp.rint(y / (d + 1)) * (d + 1)).astype(np.int64)
    rank = xp.argsort(xp.argsort(base - y, axis=1, kind="stable"), axis=1, kind="stable")
    rank += base.sum(axis=1, keepdims=True) // (d + 1)  # not 0 if rounding left the plane:
    base += (d + 1) * ((rank < 0).astype(np.int64) - (rank > d))  # then go back to it
    rank %= d + 1
    # Barycentric coordinates are the differences between neighbours, in the order of the ranks.
    ordered = xp.empty_like(y)
    xp.put_along_axis(ordered, d - rank, (y - base) / (d + 1), axis=1)
    weights = xp.diff(ordered, axis=1, prepend=ordered[:, -1:] - 1)
    # Corner k of the simplex is k further in every coordinate, but k - (d + 1) in the last ranks.
    k = xp.arange(d + 1)[:, None]
    keys = base[:, None] + k - (d + 1) * (rank[:, None] > d - k)
    return ((keys[..., :d] - low) * radix).sum(axis=-1), weights.astype(np.float32)


@accelerated
def distinct(
    codes: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], Indices, Lists | None]:
    """Return the different codes in order, and for each code its number among them.

    Codes are not negative. Third are the lists of the codes with each number, or None.
    """
    found, numbers = get_xp(codes).unique(codes, return_inverse=True)
    return found, numbers.reshape(codes.shape).astype(np.int32), None


@accelerated
def find(codes: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]) -> Indices:
    """Return where in the sorted `codes` each of `wanted`, sorted too, is; their count if not."""
    xp = get_xp(codes)
    at = xp.minimum(xp.searchsorted(codes, wanted), len(codes) - 1)
    return xp.where(codes[at] == wanted, at, len(codes)).astype(np.int32)


@accelerated
def lattice_filter(values: Floats, points: Lattice, transposed: bool = False) -> Floats:
    """Return the values filtered: (N, L) -> (N, L).

    ``transposed=True`` is the transpose of that linear map, which is nearly the map itself.
    """
    xp = get_xp(values)
    n, corners = points.corners.shape
    count = points.neighbours.shape[1]
    table = xp.zeros((count + 1, values.shape[1]), np.float32)
    flat = points.corners.ravel()
    splat, slice_ = points.splat, points.slice
    if transposed:
        splat, slice_ = slice_, splat
    for label in range(values.shape[1]):  # splat
        weighted = splat * values[:, label, None]
        table[:count, label] = xp.bincount(flat, weighted.ravel(), count)
    directions = points.neighbours[::-1] if transposed else points.neighbours
    for one in directions:  # blur
        table[:count] += 0.5 * (table[one[:, 0]] + table[one[:, 1]])
    filtered = xp.zeros((n, values.shape[1]), np.float32)
    for k in range(corners):  # slice
        filtered += slice_[:, k, None] * table[points.corners[:, k]]
    filtered *= 1 / (1 + 2.0 ** -(corners - 1))  # what blurring and interpolating add up to
    return filtered
