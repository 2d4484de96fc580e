"""The environment variables of this library: `VARIABLES` lists them, and here they are read.

=============================  ============================  =======================================
variable                       values                        what it does
=============================  ============================  =======================================
``MINIDECONV_ALGORITHM``       reference, exact, fast        `set_algorithm`; fast if not set
``MINIDECONV_COMPILED``        a switch                      `use_compiled`; on if not set
``MINIDECONV_PRECISION``       fp32, tf32, bf16, fp16        `set_precision`; fp32 if not set
``MINIDECONV_GPU_BENCHMARK``   a switch, or a file           `set_benchmark`; off if not set
``MINIDECONV_CACHE``           a folder                      where fetched weights and results of
                                                             checks are kept; the user's cache
                                                             folder if not set
=============================  ============================  =======================================

A switch is 1, on, true or yes, or 0, off, false or no, in capitals or not. An empty variable is as
one that is not set. Any other value is refused where the variable is first needed.
"""

from __future__ import annotations

import os
from pathlib import Path

from minideconv.errors import UsageError

__all__ = ["VARIABLES", "as_switch", "cache_folder", "read_switch", "read_text"]

VARIABLES = (
    "MINIDECONV_ALGORITHM",
    "MINIDECONV_COMPILED",
    "MINIDECONV_PRECISION",
    "MINIDECONV_GPU_BENCHMARK",
    "MINIDECONV_CACHE",
)
"""All of them; what begins with ``MINIDECONV_TEST_`` is the tests' own."""

_SWITCH = {
    **dict.fromkeys(("1", "on", "true", "yes"), True),
    **dict.fromkeys(("0", "off", "false", "no"), False),
}


def read_text(name: str) -> str:
    """Return the value of a variable without spaces around it; "" if it is not set."""
    assert name in VARIABLES
    return os.environ.get(name, "").strip()


def read_switch(name: str, default: bool) -> bool:
    """Return whether a switch is on.

    Raises
    ------
    UsageError
        If the variable has another value.
    """
    value = read_text(name)
    found = as_switch(value) if value else default
    if found is None:
        raise UsageError(f"{name} is {value!r}; it must be one of {', '.join(_SWITCH)}")
    return found


def as_switch(value: str) -> bool | None:
    """Return what a switch with this value is; None for a value that no switch has."""
    return _SWITCH.get(value.lower())


def cache_folder() -> Path:
    """Return where files are kept that can be fetched or made again; it need not exist.

    Raises
    ------
    UsageError
        If neither MINIDECONV_CACHE nor the user's cache folder is known: a container's user may
        have no home folder.
    """
    if chosen := read_text("MINIDECONV_CACHE"):
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minideconv"
    except RuntimeError as error:
        raise UsageError(
            "there is no home folder to keep fetched files in; name a folder by MINIDECONV_CACHE"
        ) from error
