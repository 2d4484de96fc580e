r"""A layer of Zeiler's deconvolutional network, and how it finds maps and filters.

A layer explains its input, y of C channels, as a sum of M sparse maps z, each convolved with a
filter for every channel that it is connected to (g is 1 there, else 0):

    C(z, f) = lam/2 sum_c || sum_m g_mc (z_m * f_mc) - y_c ||^2  +  kappa sum_m |z_m|^p

The first layer's y is an image. **The next layer's y is z of the layer below it**, so its filters
say which maps are active together, and where: a corner is a horizontal edge beside a vertical one.

The sum is A z, transposed convolution, as in `minideconv.sparse_coding.operators`, but with no
circular border: maps are larger than the input by a filter less one pixel, (H+kh-1) x (W+kw-1), and
a stamp that reaches over the border is cut off,

    A   = conv_transpose2d(z, f, padding=(kh-1, kw-1))
    A^T = conv2d(y, f, padding=(kh-1, kw-1))

**The maps**, for fixed filters. The problem is split in halves that can be solved (half-quadratic
splitting): an auxiliary w carries the penalty, and beta ties z to it,

    J(z, w) = lam/2 ||A z - y||^2 + beta/2 ||z - w||^2 + kappa |w|^p
    w :  each number alone, `power_shrink`
    z :  (lam A^T A + beta) z = lam A^T y + beta w,  by steps of conjugate gradients from z

For beta = 1, 10, ..., 1e5, one after the other (continuation), so that z may move far at first and
equals w, which is sparse, in the end.

**The filters**, for fixed z: conjugate gradients on ``min_f ||A_z f - y||^2``, with the same form's
third partial. Then every plane f_mc, one map to one channel, is scaled to norm 1.

Source: Zeiler, Krishnan, Taylor, Fergus, "Deconvolutional networks" (CVPR 2010), section 3, and the
defaults of the authors' toolbox.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from minideconv.backend import Array, get_xp
from minideconv.ops import conv2d, conv2d_weight_grad, conv_transpose2d
from minideconv.sparse_coding.hierarchy.shrink import power_shrink

__all__ = [
    "BETAS",
    "Layer",
    "conjugate_gradients",
    "decode",
    "find_maps",
    "normalize_planes",
    "stamps",
]

BETAS = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
"""The continuation's weights."""


@dataclass(frozen=True)
class Layer:
    """Filters, what they are connected to, and the weights of the objective.

    Parameters
    ----------
    filters : array (M, C, kh, kw)
        0 where there is no connection; `normalize_planes` scales them.
    connections : array (M, C)
        g: 1 where map m has a filter for channel c, else 0; of the filters' dtype.
    lam, kappa : float
        Weights of the error and of the penalty; above 0.
    p : float
        The penalty's power, in (0, 1].
    steps : int
        Steps of conjugate gradients, for each beta and for the filters; at least 1.

    Raises
    ------
    ValueError
        If one is not legal.
    """

    filters: Array
    connections: Array
    lam: float = 1.0
    kappa: float = 1.0
    p: float = 0.8
    steps: int = 2

    def __post_init__(self) -> None:
        shape = self.filters.shape
        if len(shape) != 4 or 0 in shape:
            raise ValueError(
                f"Layer: filters have shape {shape}; they must have 4 axes"
                " (maps, channels, height, width), none of them empty"
            )
        if self.connections.shape != shape[:2]:
            raise ValueError(
                f"Layer: connections have shape {self.connections.shape}; filters of shape {shape}"
                f" have {shape[:2]}"
            )
        for name, value in (("lam", self.lam), ("kappa", self.kappa)):
            if not 0 < value < float("inf"):
                raise ValueError(f"Layer: {name} is {value}; it must be a number above 0")
        if not 0 < self.p <= 1:
            raise ValueError(f"Layer: p is {self.p}; it must be above 0 and at most 1")
        if self.steps < 1:
            raise ValueError(f"Layer: steps is {self.steps}; it must be at least 1")

    @property
    def padding(self) -> tuple[int, int]:
        """By how many rows and columns maps are larger than the input."""
        kh, kw = self.filters.shape[2:]
        return kh - 1, kw - 1

    def synthesis(self, maps: Array) -> Array:
        """Return A z: (N, M, H+kh-1, W+kw-1) -> (N, C, H, W)."""
        return conv_transpose2d(maps, self.filters, padding=self.padding)

    def analysis(self, inputs: Array) -> Array:
        """Return A^T y: (N, C, H, W) -> (N, M, H+kh-1, W+kw-1)."""
        return conv2d(inputs, self.filters, padding=self.padding)

    def filter_gradient(self, inputs: Array, maps: Array) -> Array:
        """Return the transpose of ``f -> A_z f``, for connected planes: -> (M, C, kh, kw)."""
        kernel = self.filters.shape[2:]
        slope = conv2d_weight_grad(inputs, maps, kernel, padding=self.padding)
        return slope * self.connections[:, :, None, None]

    def objective(self, inputs: Array, maps: Array) -> float:
        """Return C of maps that are sparse, of all images together."""
        error = self.synthesis(maps) - inputs
        return 0.5 * self.lam * _square(error) + self.kappa * _penalty(maps, self.p)

    def split_objective(self, inputs: Array, maps: Array, sparse: Array, beta: float) -> float:
        """Return J, which no step with a fixed beta makes larger."""
        error, apart = self.synthesis(maps) - inputs, maps - sparse
        return (
            0.5 * self.lam * _square(error)
            + 0.5 * beta * _square(apart)
            + self.kappa * _penalty(sparse, self.p)
        )

    def infer(
        self,
        inputs: Array,
        betas: Sequence[float] = BETAS,
        report: Callable[[float, Array, Array], None] = lambda beta, maps, sparse: None,
    ) -> Array:
        """Find the maps of images, from 0: (N, C, H, W) -> w, (N, M, H+kh-1, W+kw-1), sparse.

        Every image by itself: how many come together changes nothing but the speed.

        Parameters
        ----------
        inputs : array (N, C, H, W)
        betas : sequence of float
            Of the continuation.
        report : callable
            Called with beta, z and w after each step of either.

        Raises
        ------
        ValueError, TypeError
            If the input's channels or dtype do not fit, a filter is larger than it, or it is not
            finite.
        """
        self._check(inputs)
        fixed = self.lam * self.analysis(inputs)
        maps = get_xp(inputs).zeros_like(fixed)
        sparse = maps
        for beta in map(float, betas):

            def normal(z: Array, beta: float = beta) -> Array:
                return self.lam * self.analysis(self.synthesis(z)) + beta * z

            sparse = power_shrink(maps, self.p, self.kappa, beta)
            report(beta, maps, sparse)
            maps = conjugate_gradients(normal, fixed + beta * sparse, maps, self.steps)
            report(beta, maps, sparse)
        return power_shrink(maps, self.p, self.kappa, betas[-1])

    def learn(self, inputs: Array, maps: Array) -> Layer:
        """Return a layer whose filters fit these maps better, their planes scaled to norm 1."""

        def apply(filters: Array) -> Array:
            return replace(self, filters=filters).synthesis(maps)

        def normal(filters: Array) -> Array:
            return self.filter_gradient(apply(filters), maps)

        target = self.filter_gradient(inputs, maps)
        found = conjugate_gradients(normal, target, self.filters, self.steps, (0, 1, 2, 3))
        return replace(self, filters=normalize_planes(found, self.connections))

    def _check(self, inputs: Array) -> None:
        kh, kw = self.filters.shape[2:]
        if inputs.ndim != 4 or inputs.shape[1] != self.filters.shape[1]:
            raise ValueError(
                f"Layer: inputs have shape {inputs.shape}; they must have 4 axes, with"
                f" {self.filters.shape[1]} channels"
            )
        h, w = inputs.shape[2:]
        if kh > h or kw > w:
            raise ValueError(f"Layer: filters of {kh}x{kw} are larger than the input of {h}x{w}")
        if not bool(get_xp(inputs).isfinite(inputs).all()):
            raise ValueError("Layer: inputs hold numbers that are not finite")


def conjugate_gradients(
    matrix: Callable[[Array], Array],
    target: Array,
    start: Array,
    steps: int,
    axes: tuple[int, ...] = (1, 2, 3),
) -> Array:
    """Return x after some steps on ``matrix x = target``, of a symmetric positive matrix.

    ``1/2 <x, matrix x> - <x, target>`` becomes smaller with each step, until it is solved.

    Parameters
    ----------
    matrix : callable
    target, start : array
    steps : int
    axes : tuple of int
        Of one system; the others count systems that are solved beside each other.
    """
    x, residual = start, target - matrix(start)
    direction = residual
    square = (residual * residual).sum(axis=axes, keepdims=True)
    for _ in range(steps):
        image = matrix(direction)
        curvature = (direction * image).sum(axis=axes, keepdims=True)
        length = square / (curvature + (curvature == 0))  # 0 / 1 where it is solved
        x = x + length * direction
        residual = residual - length * image
        before, square = square, (residual * residual).sum(axis=axes, keepdims=True)
        direction = residual + square / (before + (before == 0)) * direction
    return x


def normalize_planes(filters: Array, connections: Array) -> Array:
    """Return filters (M, C, kh, kw) with each connected plane of norm 1, the others 0.

    A plane of zeros stays as it is.
    """
    norms = get_xp(filters).sqrt((filters * filters).sum(axis=(2, 3), keepdims=True))
    return filters / (norms + (norms == 0)) * connections[:, :, None, None]


def find_maps(layers: Sequence[Layer], inputs: Array, betas: Sequence[float] = BETAS) -> Array:
    """Return the maps of the last of some layers: each takes the maps of the one below it.

    Picture by picture, for the memory's sake.
    """
    for layer in layers:
        maps = [layer.infer(inputs[k : k + 1], betas) for k in range(len(inputs))]
        inputs = get_xp(inputs).concatenate(maps)
    return inputs


def decode(layers: Sequence[Layer], maps: Array) -> Array:
    """Return the pixels that maps of the last layer stand for: each layer's A, from the top down.

    Parameters
    ----------
    layers : sequence of Layer
        From the first, which makes pixels, to the one that has the maps.
    maps : array (N, M, H, W)
    """
    for layer in reversed(layers):
        maps = layer.synthesis(maps)
    return maps


def stamps(layers: Sequence[Layer]) -> Array:
    """Return what a 1 in each map of the last layer becomes in pixels: (M, C, h, w), none cut off.

    h is 1 more than the sum of all kh - 1, and w likewise: the unit's projection.
    """
    filters = layers[-1].filters
    xp, count = get_xp(filters), len(filters)
    h, w = (1 + sum(layer.padding[axis] for layer in layers) for axis in (0, 1))
    units = xp.zeros((count, count, 2 * h - 1, 2 * w - 1), filters.dtype)
    units[xp.arange(count), xp.arange(count), h - 1, w - 1] = 1
    return decode(layers, units)


def _square(x: Array) -> float:
    return float((x * x).sum())


def _penalty(x: Array, p: float) -> float:
    return float((abs(x) ** p).sum())
