"""How much memory a patch matrix may take: one byte budget for all convolutions.

The budget bounds the block that `ops.conv` makes at a time. On a CPU a block that fits into the
cache is also the fastest, because the product reads it back before it leaves. On a GPU a block
should be large: a product is done in rounds, as many tiles at once as there are processors, and the
last round is seldom full. With 1 GB, a product of DeconvNet's has some 14 rounds on an H100, and
loses little to it; with 256 MB it would be 3 or 4.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.backend.choice import ContextValue

__all__ = ["get_workspace_limit", "rows_per_block", "set_workspace_limit", "workspace_limit"]

_DEFAULT = {"cpu": 4 << 20, "gpu": 1 << 30}
_limit: ContextValue[int | None] = ContextValue("minideconv's workspace limit", None)


def get_workspace_limit(device_type: str = "cpu") -> int:
    """Return the budget in bytes of one block of a patch matrix on a device type."""
    limit = _limit.get()
    return _DEFAULT[device_type] if limit is None else limit


def set_workspace_limit(limit: int | None) -> None:
    """Set the budget in bytes for every device; None returns to the defaults.

    A single row of the output is never cut, so a budget below one row's patches is exceeded by that
    row. In the main thread this holds for the program, in another thread for that thread, and in a
    ``with`` block for the rest of the block.

    Raises
    ------
    ValueError
        If `limit` is not positive.
    """
    _limit.set(_checked(limit, "set_workspace_limit"))


def workspace_limit(limit: int | None) -> AbstractContextManager[None]:
    """Use another budget inside a ``with`` block."""
    return _limit.using(_checked(limit, "workspace_limit"))


def _checked(limit: int | None, caller: str) -> int | None:
    if limit is not None and limit < 1:
        raise ValueError(f"{caller}: limit is {limit}; it must be a positive number of bytes")
    return limit


def rows_per_block(array: Array, bytes_per_row: int) -> int:
    """Return how many rows of patches of `array` fit into the budget, at least one."""
    device_type = "cpu" if get_xp(array) is np else "gpu"
    return max(1, get_workspace_limit(device_type) // max(1, bytes_per_row))
