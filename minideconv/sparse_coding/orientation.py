r"""Whether filters are oriented, as a number: the coherence of their power spectra.

An edge or a grating has its power along one line through the middle of the spectrum; a blob or
noise has it all around. With the power P at the frequencies w, the matrix

    J = sum_w P(w) w w^T / sum_w P(w) |w|^2

has eigenvalues e1 >= e2 >= 0 that add up to 1. Their difference is 1 for a grating and 0 for a
round blob, whatever its size, contrast, place and direction.

Random filters are not at 0 either: few pixels are never quite round. `random_coherence` says how
coherent they are by chance; a filter above nearly all of them is called oriented.

Source: Bigun, Granlund, "Optimal orientation detection of linear symmetry" (ICCV 1987); Jahne,
"Spatio-temporal image processing" (1993), for the coherence.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.sparse_coding.dictionary import random_filters

__all__ = ["coherence", "oriented", "random_coherence"]

_GRID = 64  # frequencies along an axis
_CONTROLS = 2000


def coherence(filters: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return ``e1 - e2`` of each filter, in [0, 1]: (M, C, kh, kw) -> (M,); 0 for one of zeros.

    The power is summed over the channels; a filter's mean does not count.
    """
    centred = filters.astype(np.float64) - filters.mean(axis=(2, 3), keepdims=True)
    power = (np.abs(np.fft.fft2(centred, (_GRID, _GRID))) ** 2).sum(axis=1)
    # The frequency of half a cycle a pixel is its own negative: it has no direction.
    power[:, _GRID // 2] = power[:, :, _GRID // 2] = 0
    rows = np.fft.fftfreq(_GRID)[:, None]
    columns = rows.T
    across = (power * (columns**2 - rows**2)).sum(axis=(1, 2))
    along = (power * 2 * rows * columns).sum(axis=(1, 2))
    total = (power * (columns**2 + rows**2)).sum(axis=(1, 2))
    return np.hypot(across, along) / np.maximum(total, np.finfo(float).tiny)


def random_coherence(shape: tuple[int, int, int], share: float = 0.95) -> float:
    """Return the coherence that a `share` of random filters (C, kh, kw) of normal numbers has not.

    Of 2000 filters, always the same.
    """
    channels, *kernel = shape
    rng = np.random.default_rng(0)
    controls = random_filters(_CONTROLS, channels, (kernel[0], kernel[1]), rng, np.float64)
    return float(np.quantile(coherence(controls), share))


def oriented(filters: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which filters are more coherent than 95 % of random ones of their shape: (M,)."""
    _, channels, kh, kw = filters.shape
    return coherence(filters) > random_coherence((channels, kh, kw))
