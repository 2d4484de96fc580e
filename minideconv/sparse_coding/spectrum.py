r"""What the Fourier transform is good for: A A^T, between images, is a convolution.

`autocorrelation` is its kernel, ``sum_m d_mc (x) d_mc'``, a few numbers for each pair of channels
c, c'; `gram` is that kernel's transform, for each frequency a Hermitian matrix of C x C. From it:

* `lipschitz`: the largest eigenvalue of A^T A (that of A A^T), the constant of FISTA's step;
* `Resolvent`: (rho H^{-1} + A A^T)^{-1}, the one system that ADMM has to solve.

Only images of C channels are transformed, never the M maps. With matrices of 1 x 1 the inverse is
a division, and what follows in `admm` is the Sherman-Morrison formula; else it is Woodbury's.

All of it is computed on the CPU from the few numbers of the kernel. On a GPU the transform of
images is products with matrices of cosines and sines, which need no other library.

Source: Bristow, Eriksson, Lucey, "Fast convolutional sparse coding" (CVPR 2013); Wohlberg,
"Efficient algorithms for convolutional sparse representations" (IEEE TIP 2016), section III-B.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.backend import Array, device_of, get_xp, to_cpu, to_device
from minideconv.ops import conv2d

__all__ = ["Resolvent", "autocorrelation", "gram", "irfft2", "lipschitz", "rfft2", "roughness"]

Pair = tuple[int, int]


def autocorrelation(filters: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the kernel of A A^T: (M, C, kh, kw) -> (C, C, 2 kh - 1, 2 kw - 1), centre first 0.

    ``a[c, b, i + kh - 1, j + kw - 1] = sum_{m, p, q} d[m, c, p + i, q + j] d[m, b, p, q]``.
    """
    turned = filters.transpose(1, 0, 2, 3)
    padding = (filters.shape[2] - 1, filters.shape[3] - 1)
    return conv2d(turned, turned, padding=padding)


def gram(filters: Array, size: Pair) -> npt.NDArray[Any]:
    """Return A A^T for each frequency of images of `size`: -> (C, C, H, W // 2 + 1), on the CPU.

    Real for one channel, complex and Hermitian for more.
    """
    filters = to_cpu(filters)
    kernel = autocorrelation(filters)
    (c, _, kh, kw), (h, w) = kernel.shape, size
    whole = np.zeros((c, c, -(-kh // h) * h, -(-kw // w) * w), kernel.dtype)
    whole[..., :kh, :kw] = kernel
    # On a small image the kernel meets itself behind the border.
    whole = whole.reshape(c, c, -1, h, whole.shape[-1] // w, w).sum(axis=(2, 4))
    whole = np.roll(whole, (-(filters.shape[2] - 1), -(filters.shape[3] - 1)), axis=(2, 3))
    spectrum = np.fft.rfft2(whole)
    return np.maximum(spectrum.real, 0) if c == 1 else spectrum


def lipschitz(filters: Array, size: Pair) -> float:
    """Return the largest eigenvalue of A^T A, for images of `size`."""
    spectrum = gram(filters, size)
    if len(spectrum) == 1:
        return float(spectrum.max())
    return float(np.linalg.eigvalsh(spectrum.transpose(2, 3, 0, 1)).max())


def roughness(size: Pair, smoothness: float) -> npt.NDArray[np.float64]:
    """Return h of each frequency, ``mu g / (1 + mu g)``: what a smooth part leaves over.

    The smooth part l minimises ``1/2 ||s - l||^2 + mu/2 ||grad l||^2``; then ``s - l`` has the
    transform h s, with g the squared length of the gradient's transform,
    ``4 sin^2(pi p / H) + 4 sin^2(pi q / W)``. h lies in [0, 1) and is 0 at frequency 0.
    """
    rows, columns = (4 * np.sin(np.pi * np.fft.fftfreq(n)) ** 2 for n in size)
    g = smoothness * (rows[:, None] + columns[: size[1] // 2 + 1])
    return g / (1 + g)


class Resolvent:
    """(rho H^{-1} + A A^T + I_or_0)^{-1}, applied to images.

    Parameters
    ----------
    filters : array (M, C, kh, kw)
    size : (int, int)
        Of the images.
    weight : array (H, W // 2 + 1), optional
        The spectrum h of H; 1 if left out.
    masked : bool
        Whether hidden pixels have an image of their own beside the maps, which adds I to A A^T.
    """

    def __init__(self, filters: Array, size: Pair, weight: Any = None, masked: bool = False):
        self._size, self._like = size, filters
        self._gram = gram(filters, size)
        if masked:
            channels = np.arange(len(self._gram))
            self._gram[channels, channels] += 1
        self._weight = None if weight is None else to_cpu(weight)  # as the matrix
        self.rho = 0.0

    def set_rho(self, rho: float) -> None:
        """Prepare the inverse for another rho above 0."""
        self.rho = rho
        h = 1.0 if self._weight is None else self._weight
        channels = len(self._gram)
        if channels == 1:
            inverse = h / (rho + h * self._gram)
        else:
            matrices = (h * self._gram).transpose(2, 3, 0, 1) + rho * np.eye(channels)
            inverse = np.linalg.inv(matrices).transpose(2, 3, 0, 1) * h
        kind = np.result_type(self._gram.dtype, self._like.dtype)
        self._inverse = to_device(inverse.astype(kind), device_of(self._like))

    def __call__(self, images: Array) -> Array:
        """Apply it: (N, C, H, W) -> (N, C, H, W)."""
        spectrum = rfft2(images)
        if len(self._inverse) == 1:
            spectrum *= self._inverse[0]
        else:
            rows = [sum(a * spectrum[:, b] for b, a in enumerate(row)) for row in self._inverse]
            spectrum = get_xp(images).stack(rows, axis=1)
        return irfft2(spectrum, self._size)


# ---------------------------------------------------------------------------------------------
# The transform of real images


def rfft2(images: Array) -> Array:
    """Return the discrete Fourier transform: (..., H, W) real -> (..., H, W // 2 + 1) complex."""
    xp = get_xp(images)
    if xp is np:
        return np.fft.rfft2(images)
    h, w = images.shape[-2:]
    (rc, rs), (cc, cs) = (_fourier(n, images) for n in (h, w))
    real, imaginary = images @ cc[:, : w // 2 + 1], images @ cs[:, : w // 2 + 1]
    return (rc @ real - rs @ imaginary) + 1j * (rc @ imaginary + rs @ real)


def irfft2(spectrum: Array, size: Pair) -> Array:
    """Return the images of `size` whose transform this is: the inverse of `rfft2`."""
    xp = get_xp(spectrum)
    if xp is np:
        return np.fft.irfft2(spectrum, size)
    h, w = size
    real, imaginary = xp.ascontiguousarray(spectrum.real), xp.ascontiguousarray(spectrum.imag)
    (rc, rs), (cc, cs) = (_fourier(n, real) for n in size)
    # The columns that are left out are the conjugates of others: they count twice.
    count = xp.full(w // 2 + 1, 2 / (h * w), real.dtype)
    count[0] = 1 / (h * w)
    if w % 2 == 0:
        count[-1] = 1 / (h * w)
    # The inverse has the opposite sines; only the real part of the second product is wanted.
    first = (rc @ real + rs @ imaginary) * count, (rc @ imaginary - rs @ real) * count
    return first[0] @ cc[: w // 2 + 1] + first[1] @ cs[: w // 2 + 1]


def _fourier(n: int, like: Array) -> tuple[Array, Array]:
    """Return the matrices of ``cos`` and ``-sin`` of ``2 pi p q / n``, where `like` is."""
    device = device_of(like)
    cosines, sines = _waves(n, like.dtype)
    return to_device(cosines, device), to_device(sines, device)


@lru_cache(16)
def _waves(n: int, dtype: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    p = np.arange(n)
    angles = 2 * np.pi / n * (np.outer(p, p) % n)
    return np.cos(angles).astype(dtype), (-np.sin(angles)).astype(dtype)
