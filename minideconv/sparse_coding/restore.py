r"""Two uses of sparse coding: taking noise away, and filling in pixels that are not known.

Both code the image by a dictionary learnt from other images, together with a smooth part, and take
what the maps and the smooth part make of it. Noise is not sparse in any dictionary: of maps that
are penalised enough it makes none. A pixel that is not known does not count in the data term, so
what stands there is what the filters that fit its neighbours say.

Before, the image is continued over its borders by its mirror image, as far as a filter reaches:
the model's borders are circular, and the left border of a photograph does not go on at the right.

Channels are restored one by one if the filters have a single one.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log10
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.backend import Array, device_of, to_cpu, to_device
from minideconv.sparse_coding.coding import code, refit
from minideconv.sparse_coding.problem import Problem

__all__ = ["denoise", "inpaint", "psnr"]

Report = Callable[[int, float], None]
Floats = npt.NDArray[Any]

THRESHOLD = 3.0
"""lambda for a noise of standard deviation 1.

This and the other numbers are the best of the few that were tried on four crops of photographs;
``python -m benchmarks.sparse_restoration --sweep`` tries them and others.
"""
SMOOTHNESS = 2.5
"""mu in pixels squared, for `denoise`."""
REFIT = 40
"""Steps of `refit`; with twice as many the noise is fitted again."""
KNOWN_SPARSITY = 0.01
"""lambda for `inpaint`, whose pixels have no noise."""
KNOWN_SMOOTHNESS = 0.2
"""mu for `inpaint`."""


def psnr(image: Floats, truth: Floats) -> float:
    """Return ``10 log10(1 / mean((image - truth)^2))`` in dB, for images in [0, 1]; inf if equal.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if image.shape != truth.shape:
        raise ValueError(f"psnr: image has shape {image.shape} but truth {truth.shape}")
    error = float(((image.astype(np.float64) - truth) ** 2).mean())
    return float("inf") if error == 0 else -10 * log10(error)


def denoise(
    image: Floats,
    filters: Array,
    sigma: float,
    sparsity: float | None = None,
    smoothness: float | None = SMOOTHNESS,
    refits: int = REFIT,
    report: Report = lambda iteration, objective: None,
    **options: Any,
) -> Floats:
    """Take noise away: (C, H, W) -> (C, H, W), floating point numbers around [0, 1].

    Parameters
    ----------
    image : array (C, H, W)
    filters : array (M, 1, kh, kw) or (M, C, kh, kw)
    sigma : float
        Standard deviation of the noise, as a share of white; at least 0.
    sparsity : float, optional
        lambda; ``3 sigma`` if left out.
    smoothness : float, optional
        mu.
    refits : int
        Steps of `refit` after coding; at least 0.
    report : callable
        As `code`'s.
    **options
        Of `code`.

    Raises
    ------
    ValueError, TypeError
        If an argument is not legal.
    """
    if not 0 <= sigma < float("inf"):
        raise ValueError(f"denoise: sigma is {sigma}; it must be a number of at least 0")
    if sparsity is None:
        sparsity = THRESHOLD * sigma
    return _restored(image, None, filters, sparsity, smoothness, refits, report, options)


def inpaint(
    image: Floats,
    known: npt.NDArray[np.bool_],
    filters: Array,
    sparsity: float = KNOWN_SPARSITY,
    smoothness: float | None = KNOWN_SMOOTHNESS,
    report: Report = lambda iteration, objective: None,
    **options: Any,
) -> Floats:
    """Fill in pixels: (C, H, W), known (H, W) -> (C, H, W); known pixels come back as they are.

    Parameters
    ----------
    image : array (C, H, W)
        Finite; what is at pixels that are not known does not count.
    known : array of bool (H, W)
    filters, report, **options
        As `denoise`'s.
    sparsity, smoothness : float
        lambda and mu.

    Raises
    ------
    ValueError, TypeError
        If an argument is not legal.
    """
    if known.shape != image.shape[1:]:
        raise ValueError(
            f"inpaint: known has shape {known.shape}; the image's pixels are {image.shape[1:]}"
        )
    filled = np.where(known, image, image[:, known].mean(axis=1)[:, None, None])
    found = _restored(
        filled.astype(image.dtype), known, filters, sparsity, smoothness, 0, report, options
    )
    return np.where(known, image, found)


def _restored(
    image: Floats,
    known: npt.NDArray[np.bool_] | None,
    filters: Array,
    sparsity: float,
    smoothness: float | None,
    refits: int,
    report: Report,
    options: dict[str, Any],
) -> Floats:
    """Code the image with its borders continued; return A x + l without them."""
    if image.ndim != 3:
        raise ValueError(f"restore: image has shape {image.shape}; it must be (channels, H, W)")
    kh, kw = filters.shape[2:]
    h, w = image.shape[1:]
    reach = ((0, 0), (kh, kh), (kw, kw))
    padded = np.pad(image.astype(filters.dtype), reach, mode="symmetric")
    alone = filters.shape[1] == 1
    images = padded[:, None] if alone else padded[None]
    device = device_of(filters)
    mask = None
    if known is not None:
        mask = to_device(np.pad(known, reach[1:], mode="symmetric")[None, None], device)
    problem = Problem(to_device(images, device), sparsity, mask, smoothness)
    coding = code(problem, filters, report=report, **options)
    result = coding.reconstruction
    if refits:
        maps = refit(problem, filters, coding.maps, refits)
        result = problem.reconstruction(filters, maps)
    found = to_cpu(result)
    channels = found[:, 0] if alone else found[0]
    return np.ascontiguousarray(channels[:, kh : kh + h, kw : kw + w])
