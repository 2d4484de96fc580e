"""Where programs keep what they can make or fetch again: `cache_folder`."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """Return the folder of all caches: MINIDECONV_CACHE, or one in the user's cache.

    It need not exist.

    Raises
    ------
    RuntimeError
        If the variable is not set, and the user has no home folder.
    """
    if chosen := os.environ.get("MINIDECONV_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minideconv"
