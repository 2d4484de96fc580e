r"""Dense CRF: labels that agree with the network's, and with their neighbours of like colour.

The energy of a labelling x of N pixels, with their positions p and colours I,

    E(x) = sum_i -log P(x_i)  +  sum_{i<j} [x_i != x_j] k(i, j)
    k(i, j) = w_b exp(-|p_i - p_j|^2 / 2 s_p^2 - |I_i - I_j|^2 / 2 s_c^2)      bilateral
            + w_s exp(-|p_i - p_j|^2 / 2 s_s^2)                                spatial

is small if pixels that are near and alike have the same label. The mean-field approximation looks
for the product of independent distributions, Q(x) = prod_i Q_i(x_i), that is nearest to exp(-E):

    Q_i(l)  <-  softmax_l( log P_i(l)  +  sum_j k(i, j) Q_j(l) )

some times over, starting from P. The sum over all pixels j is a Gaussian filter (with j = i in it,
which changes nothing much): by a matrix of N x N for small images (`method="exact"`), by the
permutohedral lattice (`ops.permutohedral`) for all others.

A filter's weights depend on how many pixels are alike, so each kernel is normalised; with the row
sums n_i = sum_j k(i, j):

    "symmetric"   k(i, j) / sqrt(n_i n_j)      the default, as in pydensecrf
    "after"       k(i, j) / n_i
    "before"      k(i, j) / n_j
    "none"        k(i, j)                      as in DeconvNet's released code

Source: Krähenbühl, Koltun, "Efficient inference in fully connected CRFs with Gaussian edge
potentials" (NIPS 2011), sections 2 and 3, and the authors' released code for the normalisations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from minideconv.backend import Array, device_of, get_xp, to_device
from minideconv.backend.dispatch import on_device_of
from minideconv.engine.cuda import memory
from minideconv.errors import MinideconvError, UsageError, brief
from minideconv.ops.mean_field import mean_field_update
from minideconv.ops.permutohedral import lattice, lattice_filter

__all__ = ["METHODS", "NORMALIZATIONS", "PRESETS", "DenseCRF"]

Filter = Callable[[Array], Array]

EXACT = 64 * 64  # pixels up to which "auto" computes the matrices: 64 MiB each
MOST = 10_000  # pixels up to which they can be asked for: 800 MB while one is made
FAR = 1e9  # standard deviations across an image at most; the lattice has its own limit below
LEAST = 1e-8  # probabilities below count as this
NORMALIZATIONS = ("symmetric", "after", "before", "none")
METHODS = ("auto", "exact", "lattice")


def _number(value: object) -> float:
    """Return a finite number; NaN, which is neither above nor below 0, for all else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if abs(value) < float("inf") else float("nan")
    return float("nan")


def _check(name: str, value: object, legal: bool, what: str) -> None:
    if not legal:
        raise ValueError(f"DenseCRF: {name} is {brief(value)}; it must be {what}")


@dataclass(frozen=True, kw_only=True)
class DenseCRF:
    """The parameters of a dense CRF; `refine` applies it.

    Attributes
    ----------
    bilateral_weight, spatial_weight : float
        w_b and w_s, not negative. With weight 0 a kernel is left out.
    bilateral_position, spatial_position : float
        s_p and s_s, standard deviations in pixels, positive.
    bilateral_color : float
        s_c, standard deviation in grey levels of 0 to 255, positive.
    iterations : int
        Updates of all pixels, 0 to 1000: after some ten there is hardly a change.
    normalization : {"symmetric", "after", "before", "none"}
        See above.
    method : {"auto", "exact", "lattice"}
        How the sums over all pixels are computed. "auto": exactly for images of up to 64 x 64.
    """

    bilateral_weight: float = 10.0
    bilateral_position: float = 80.0
    bilateral_color: float = 13.0
    spatial_weight: float = 3.0
    spatial_position: float = 3.0
    iterations: int = 5
    normalization: str = "symmetric"
    method: str = "auto"

    def __post_init__(self) -> None:
        for name in ("bilateral_position", "bilateral_color", "spatial_position"):
            _check(name, getattr(self, name), _number(getattr(self, name)) > 0, "greater than 0")
        for name in ("bilateral_weight", "spatial_weight"):
            _check(name, getattr(self, name), _number(getattr(self, name)) >= 0, "at least 0")
        whole = isinstance(self.iterations, int) and 0 <= _number(self.iterations) <= 1000
        _check("iterations", self.iterations, whole, "a whole number in 0..1000")
        for name, legal in (("normalization", NORMALIZATIONS), ("method", METHODS)):
            value = getattr(self, name)
            _check(name, value, value in legal, "one of " + ", ".join(legal))

    def refine(self, probabilities: npt.ArrayLike, image: npt.NDArray[np.uint8]) -> Array:
        """Return each pixel's probabilities, given all pixels' and the image.

        All of it is computed where the probabilities are, on the CPU or a GPU.

        Parameters
        ----------
        probabilities : (C, H, W) array
            The network's, in [0, 1].
        image : (H, W, 3) uint8 array
            On any device.

        Returns
        -------
        (C, H, W) float32 array on the device of `probabilities`
            The sum over C is 1.

        Raises
        ------
        ValueError
            If the shapes do not fit, or a probability is not in [0, 1].
        UsageError (a ValueError)
            If the image is too large for the method, or a kernel too narrow for the image.
        MinideconvError
            If the GPU has too little memory for this image.
        """
        with on_device_of(probabilities):
            p = get_xp(probabilities).asarray(probabilities, np.float32)
            if p.ndim != 3 or image.shape != (*p.shape[1:], 3) or image.dtype != np.uint8:
                raise ValueError(
                    f"DenseCRF: probabilities have shape {p.shape} and the image {image.shape},"
                    f" {image.dtype}; they must be (C, H, W) and (H, W, 3) uint8"
                )
            least, most = float(p.min()), float(p.max())
            if not (least >= 0 and most <= 1 + 1e-4):  # NaN is refused too
                raise ValueError(
                    f"DenseCRF: probabilities are from {least} to {most}; they must be in [0, 1]"
                )
            try:
                return self._refined(p, to_device(image, device_of(p)))
            except Exception as error:
                if get_xp(p) is np or memory.bytes_asked(error) is None:
                    raise
                wrong = _too_large(p)
        raise wrong  # here, where no traceback holds the arrays that filled the memory

    def _refined(self, p: Array, image: Array) -> Array:
        xp = get_xp(p)
        rows = xp.ascontiguousarray(p.reshape(len(p), -1).T)  # (pixels, C)
        log_p = xp.log(xp.maximum(rows, LEAST))
        filters = self._filters(image)
        q = mean_field_update(log_p, [])
        for _ in range(self.iterations):
            q = mean_field_update(log_p, [message(q) for message in filters])
        result: Array = xp.ascontiguousarray(q.T).reshape(p.shape)
        return result

    def _filters(self, image: Array) -> list[Filter]:
        """Return the kernels, normalised and weighted, as linear maps of (pixels, C)."""
        xp, pixels = get_xp(image), image.shape[0] * image.shape[1]
        exact = self.method == "exact" or (self.method == "auto" and pixels <= EXACT)
        if exact and pixels > MOST:
            raise UsageError(
                f"DenseCRF: method is exact, but an image has {pixels:,} pixels; with more than"
                f" {MOST:,} the matrices are too large; it must be lattice, or auto"
            )
        if self._deviations(max(image.shape[:2])) > FAR:
            raise _too_narrow(pixels)
        positions = xp.indices(image.shape[:2], np.float32).reshape(2, -1)[::-1].T  # (x, y)
        colors = image.reshape(-1, 3) / np.float32(self.bilateral_color)
        kernels = []
        if self.bilateral_weight > 0:
            features = xp.hstack([positions / np.float32(self.bilateral_position), colors])
            kernels.append((self.bilateral_weight, features))
        if self.spatial_weight > 0:
            kernels.append((self.spatial_weight, positions / np.float32(self.spatial_position)))
        build = _exact if exact else _on_lattice
        return [build(features, weight, self.normalization) for weight, features in kernels]

    def _deviations(self, side: int) -> float:
        """Return how many standard deviations the two ends of a feature's range are apart."""
        spread = [0.0]
        if self.bilateral_weight > 0:
            spread += [side / self.bilateral_position, 255 / self.bilateral_color]
        if self.spatial_weight > 0:
            spread.append(side / self.spatial_position)
        return max(spread)


PRESETS = {
    "default": DenseCRF(),
    "deconvnet": DenseCRF(
        bilateral_weight=5.0,
        bilateral_position=20.0,
        bilateral_color=3.0,
        iterations=10,
        normalization="none",
    ),
}
"""The parameters above, and those of DeconvNet's released code."""


def _too_large(p: Array) -> MinideconvError:
    """Return the error of a GPU whose memory is not enough."""
    classes, height, width = p.shape
    room = memory.room_on_device() / 2**20
    return MinideconvError(
        f"DenseCRF: out of the GPU's memory with {classes} classes at {width} x {height} pixels"
        f" and {room:.0f} MiB for all arrays; refine a smaller image, or on the CPU"
    )


def _too_narrow(pixels: int) -> UsageError:
    return UsageError(
        f"DenseCRF: a kernel is too narrow for an image of {pixels:,} pixels; its standard"
        " deviations must be greater"
    )


def _exact(features: Array, weight: float, normalization: str) -> Filter:
    """Return the map by the matrix of all pairs' Gaussians."""
    xp = get_xp(features)
    points = features.astype(np.float64)
    squares = (points**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * points @ points.T
    kernel = xp.exp(-0.5 * xp.maximum(distances, 0)).astype(np.float32)
    before, after = _scales(kernel.sum(axis=1, keepdims=True), normalization)
    return partial(xp.matmul, weight * after * kernel * before.T)


def _on_lattice(features: Array, weight: float, normalization: str) -> Filter:
    """Return the map by the permutohedral lattice."""
    try:
        points = lattice(features)
    except ValueError as error:
        raise _too_narrow(len(features)) from error
    sums = lattice_filter(get_xp(features).ones((len(features), 1), np.float32), points)
    before, after = _scales(sums, normalization)
    return partial(lattice_filter, points=points.scaled(before, weight * after))


def _scales(sums: Array, normalization: str) -> tuple[Array, Array]:
    """Return what values are multiplied by before and after the filter, each (pixels, 1)."""
    xp = get_xp(sums)
    one, sums = xp.ones_like(sums), sums + np.float32(1e-20)
    root = 1 / xp.sqrt(sums)
    scales = {"symmetric": (root, root), "after": (one, 1 / sums), "before": (1 / sums, one)}
    return scales.get(normalization, (one, one))
