r"""What a denoising auto-encoder is given in training: the image, corrupted.

    x' = m (x + sigma n),    n ~ N(0, 1) for each value,    m in {0, 1} for each pixel

Gaussian noise on every value, and pixels that are set to 0 (the mean colour, once images are
normalised) in all channels. The loss compares with the x that was not corrupted. In evaluation
nothing is done, as with dropout.

The numbers are drawn on the CPU, so that a seed means the same on every device.

Source: Vincent, Larochelle, Bengio, Manzagol, "Extracting and composing robust features with
denoising autoencoders" (ICML 2008), section 2; Vincent et al., "Stacked denoising autoencoders"
(JMLR 2010), section 3.3, for the two kinds.
"""

from __future__ import annotations

import numpy as np

from minideconv import random
from minideconv.autograd import Tensor
from minideconv.backend import Array, get_xp
from minideconv.backend.dispatch import device_guard
from minideconv.nn import Module

__all__ = ["Corruption", "corrupted"]


@device_guard
def corrupted(
    x: Array, noise: float, masking: float, rng: np.random.Generator | None = None
) -> Array:
    """Return ``m (x + sigma n)``, a new array.

    Parameters
    ----------
    x : (N, C, H, W) float array
    noise : float
        sigma, at least 0, in the units of `x`.
    masking : float
        The probability in [0, 1) that a pixel is set to 0.
    rng : numpy.random.Generator, optional
        The library's own generator (`minideconv.random`) by default.
    """
    xp, generator = get_xp(x), rng or random.default_rng()
    y = xp.empty_like(x)  # in memory like x
    y[...] = x
    if noise:
        y += xp.asarray(generator.standard_normal(x.shape, dtype="float32") * np.float32(noise))
    if masking:
        pixels = (x.shape[0], 1, *x.shape[2:])
        y *= xp.asarray(generator.random(pixels, dtype="float32") >= masking)
    return y


class Corruption(Module):
    """Corrupts its input in training; returns it as it is in evaluation. See `corrupted`.

    Parameters
    ----------
    noise : float
        Standard deviation of the Gaussian noise.
    masking : float
        Share of the pixels that are set to 0.

    Raises
    ------
    ValueError
        If `noise` is below 0, or `masking` is not in [0, 1).
    """

    def __init__(self, noise: float = 0.0, masking: float = 0.0) -> None:
        super().__init__()
        if not 0 <= noise < float("inf"):
            raise ValueError(f"Corruption: noise is {noise}; it must be finite and >= 0")
        if not 0 <= masking < 1:
            raise ValueError(f"Corruption: masking is {masking}; it must be in [0, 1)")
        self.noise, self.masking = noise, masking

    def forward(self, x: Tensor) -> Tensor:
        """Return the corrupted image, (N, C, H, W) as `x`; no gradient goes through it."""
        if not self.training or not (self.noise or self.masking):
            return x
        return Tensor(corrupted(x.data, self.noise, self.masking), device=x.device)

    def extra_repr(self) -> str:
        """Return how much of both."""
        return f"noise={self.noise}, masking={self.masking}"
