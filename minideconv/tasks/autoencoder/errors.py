r"""How far a reconstruction is from its image: mean squared error and PSNR, in grey levels.

    MSE = mean (x - x~)^2,    PSNR = 10 log10(255^2 / MSE) dB

over all values of all images together. Reconstructions are not rounded, nor cut off at 0 and 255.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["ReconstructionErrors", "psnr"]


def psnr(mse: float) -> float | None:
    """Return the peak signal-to-noise ratio in dB of an error in squared grey levels.

    None where there is no error at all.

    >>> round(psnr(25.0**2), 2)
    20.17
    """
    return 10 * math.log10(255**2 / mse) if mse > 0 else None


class ReconstructionErrors:
    """The sum of squared errors, and of how many values; see `tasks.results.Metrics`."""

    def __init__(self) -> None:
        self.counts = np.zeros(2)

    def compute(self) -> dict[str, Any]:
        """Return both metrics as plain JSON; None where they are not defined."""
        total, values = self.counts.tolist()
        if not values:
            return {"psnr": None, "mse": None}
        return {"psnr": psnr(total / values), "mse": total / values}
