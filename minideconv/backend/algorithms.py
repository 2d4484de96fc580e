"""Which algorithms compute the operations: `set_algorithm` and `use_compiled`.

The functions in `ops` are the reference: one readable algorithm each. Faster ones live in `engine`,
behind the same arguments; `dispatch` calls them where it may.

===========  =======================================================================================
reference    what the files in `ops` show, and nothing else
exact        faster ways to make the same sums of the same products, in another order
fast         these, and Winograd's convolution, which makes other products and rounds a little more
===========  =======================================================================================

"fast" is the default; the environment variable ``MINIDECONV_ALGORITHM`` sets another one. Compiled
kernels (the extra ``fast``) belong to "exact" and "fast"; without them NumPy does the same work.
``MINIDECONV_COMPILED=0`` leaves them out, and so does numba's own ``NUMBA_DISABLE_JIT=1``.

On a GPU "exact" and "fast" both mean the kernels of `engine.cuda`, "reference" what `ops` shows,
computed by CuPy. How many bits a product has there is another question: `precisions`.
"""

from __future__ import annotations

import logging
import os
from contextlib import AbstractContextManager
from importlib.util import find_spec

from minideconv.backend.choice import Choice, ContextValue
from minideconv.backend.environment import read_switch
from minideconv.errors import UsageError

__all__ = [
    "ALGORITHMS",
    "algorithm",
    "check_algorithm",
    "choice",
    "compiled",
    "get_algorithm",
    "set_algorithm",
    "use_compiled",
]

ALGORITHMS = ("reference", "exact", "fast")

choice = Choice("algorithm", ALGORITHMS, "MINIDECONV_ALGORITHM", "fast")
_compiled = ContextValue[bool | None]("minideconv's compiled kernels", None)  # not looked up yet


def check_algorithm(name: str, caller: str) -> str:
    """Return `name`, or raise UsageError, naming `caller`, if it is no algorithm."""
    return choice.check(name, caller)


def get_algorithm() -> str:
    """Return which algorithms are in use: "reference", "exact" or "fast"."""
    return choice.get()


def set_algorithm(name: str) -> None:
    """Choose the algorithms of all operations: "reference", "exact" or "fast".

    In the main thread that holds for the program: for every thread that has not chosen for itself.
    In another thread it holds for that thread, and in a ``with`` block for the rest of the block.

    Raises
    ------
    UsageError (a ValueError)
        If `name` is none of these.
    """
    choice.set(choice.check(name, "set_algorithm"))


def algorithm(name: str | None) -> AbstractContextManager[None]:
    """Use other algorithms inside a ``with`` block; None changes nothing."""
    return choice.block(name, "algorithm")


def compiled() -> bool:
    """Return whether compiled kernels are used: numba is installed, works and is not switched off.

    Why an installed one is not used is said once, on the logger ``minideconv``.

    Raises
    ------
    UsageError (a ValueError)
        If ``MINIDECONV_COMPILED`` is no switch.
    """
    found = _compiled.get()
    if found is None:
        found = read_switch("MINIDECONV_COMPILED", True) and find_spec("numba") is not None
        if found and (problem := _numba_problem()):
            found = False
            logging.getLogger("minideconv").warning(
                "compiled kernels are left out, NumPy does their work: %s", problem
            )
        _compiled.begin(found)
    return found


def _numba_problem() -> str:
    """Return why numba, which is installed, cannot be used; "" if it can."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0").strip() not in ("", "0"):
        return "NUMBA_DISABLE_JIT is set"
    try:
        import numba  # noqa: F401
    # Of another version of NumPy or of llvmlite than it wants, and of whatever else.
    except Exception as error:
        return f"numba cannot be imported ({' '.join(str(error).split())})"
    return ""


def use_compiled(wanted: bool) -> bool:
    """Switch compiled kernels on or off, where `set_algorithm` would choose, and return the former.

    Raises
    ------
    UsageError (a ValueError)
        If they are wanted but numba is not installed, or cannot be used.
    """
    before = compiled()
    if wanted and find_spec("numba") is None:
        raise UsageError(
            "use_compiled: wanted is True but numba is not installed; pip install minideconv[fast]"
        )
    if wanted and not before and (problem := _numba_problem()):
        raise UsageError(f"use_compiled: wanted is True but {problem}")
    _compiled.set(wanted)
    return before
