"""Adding a bias to rows of few channels."""

from __future__ import annotations

from math import gcd

import numpy as np

__all__ = ["add_bias"]

_TOGETHER = 64


def add_bias(rows: np.ndarray, bias: np.ndarray | None) -> None:
    """Add `bias` (K,), if there is one, to every row of a contiguous (M, K).

    NumPy starts a new loop for every row, which for 16 channels costs more than the sums: several
    rows are therefore taken as one long row.
    """
    if bias is not None:
        together = gcd(len(rows), _TOGETHER)
        lines = rows.reshape(-1, together * len(bias))  # a view
        lines += np.tile(bias, together)
