"""Which algorithm computes an operation: `set_algorithm`, and the table that fast paths join.

The operations in `ops` are the reference: one readable algorithm each. Faster ones live in
`engine`, behind the same arguments, and enter themselves here with `accelerates`. An operation asks
`accelerate` first and carries on by itself if the answer is None.

===========  =======================================================================================
reference    what the files in `ops` show, and nothing else
exact        faster ways to make the same sums of the same products, in another order
fast         these, and Winograd's convolution, which makes other products and rounds a little more
===========  =======================================================================================

"fast" is the default; the environment variable ``MINIDECONV_ALGORITHM`` sets another one. Compiled
kernels (the extra ``fast``) belong to "exact" and "fast"; without them NumPy does the same work.
``MINIDECONV_COMPILED=0`` leaves them out.

On a GPU "exact" and "fast" both mean the kernels of `engine.cuda`, "reference" what `ops` shows,
computed by CuPy. How many bits a product has there is another question: `precisions`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import Any, TypeVar

import numpy as np

from minideconv.backend import get_xp
from minideconv.backend.choice import Choice
from minideconv.backend.device_guard import device_guard
from minideconv.errors import UsageError

__all__ = [
    "ALGORITHMS",
    "accelerate",
    "accelerates",
    "algorithm",
    "check_algorithm",
    "compiled",
    "get_algorithm",
    "set_algorithm",
    "use_compiled",
]

ALGORITHMS = ("reference", "exact", "fast")

Faster = TypeVar("Faster", bound=Callable[..., Any])

_faster: dict[str, dict[str, Callable[..., Any]]] = {"cpu": {}, "gpu": {}}


_choice = Choice("algorithm", ALGORITHMS, "MINIDECONV_ALGORITHM", "fast")
_compiled: bool | None = None  # None: nobody asked yet


def check_algorithm(name: str, who: str) -> str:
    """Return `name`, or raise UsageError in the name of `who` if it is no algorithm."""
    return _choice.check(name, who)


def get_algorithm() -> str:
    """Return which algorithms are in use: "reference", "exact" or "fast"."""
    return _choice.get()


def set_algorithm(name: str) -> None:
    """Choose the algorithms of all operations: "reference", "exact" or "fast".

    Raises
    ------
    UsageError (a ValueError)
        If `name` is none of these.
    """
    _choice.set(name, "set_algorithm")


def algorithm(name: str | None) -> AbstractContextManager[None]:
    """Use other algorithms inside a ``with`` block; None changes nothing."""
    return _choice.using(name, "algorithm")


def compiled() -> bool:
    """Return whether compiled kernels are used: numba is installed and not switched off."""
    global _compiled
    if _compiled is None:
        said = os.environ.get("MINIDECONV_COMPILED", "1").lower()
        _compiled = said not in ("0", "false", "no") and find_spec("numba") is not None
    return _compiled


def use_compiled(wanted: bool) -> bool:
    """Switch compiled kernels on or off and return whether they were on.

    Raises
    ------
    UsageError (a ValueError)
        If they are wanted but numba is not installed.
    """
    global _compiled
    before = compiled()
    if wanted and find_spec("numba") is None:
        raise UsageError(
            "use_compiled: wanted is True but numba is not installed; pip install minideconv[fast]"
        )
    _compiled = wanted
    return before


def accelerates(op: str, device: str = "cpu") -> Callable[[Faster], Faster]:
    """Enter a function as the faster way to compute `op` on arrays of a "cpu" or a "gpu".

    It may decline by returning None.
    """

    def enter(function: Faster) -> Faster:
        _faster[device][op] = device_guard(function) if device == "gpu" else function
        return function

    return enter


def accelerate(op: str, *arguments: Any) -> Any:
    """Return the result of the faster way to compute `op`, or None if there is none for these.

    The first argument is an array; where it is decides which way that is.
    """
    if _choice.get() == "reference":
        return None
    function = _faster["cpu" if get_xp(arguments[0]) is np else "gpu"].get(op)
    return None if function is None else function(*arguments)
