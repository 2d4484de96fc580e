"""What the attributes of a `Module` may be called, and what a buffer may be."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import numpy as np

from minideconv.backend import Array, get_xp

__all__ = ["buffer_array", "check_name", "no_such"]


def check_name(kind: type, name: str) -> None:
    """Raise unless a parameter, a module or a buffer of a module of class `kind` may have a name.

    Names with dots would be those of other modules' parameters, and a method under whose name
    something else is kept could no longer be called. Other attributes of the class are defaults.
    """
    who = f"{kind.__name__}: {name!r}"
    if not name or "." in name:
        raise ValueError(
            f"{who} cannot name a parameter, a module or a buffer; a name must not be empty, nor"
            " have dots, which join the names of modules"
        )
    of_class = inspect.getattr_static(kind, name, None)
    method = isinstance(of_class, property | staticmethod | classmethod)
    if method or inspect.isroutine(of_class) or name in ("training", "_buffer_names", "_hooks"):
        raise ValueError(
            f"{who} is what the module itself needs, and cannot name a parameter, a module or a"
            " buffer; choose another name"
        )


def buffer_array(who: str, value: Any) -> Array:
    """Return what a buffer may be: an array, or a number of NumPy's as one."""
    if isinstance(value, np.generic):
        return np.asarray(value)
    if not isinstance(value, get_xp(value).ndarray):
        raise TypeError(
            f"{who} is a buffer, which must be an array, not a {type(value).__name__}; `del` it"
            " first for anything else"
        )
    array: Array = value
    return array


def no_such(
    what: str, target: str, kind: type, path: str, name: str, there: Iterable[str]
) -> AttributeError:
    """Return the error for a name with dots that leads to no module or parameter."""
    names = ", ".join(there) or "none"
    owner = f"{path!r}, a {kind.__name__}," if path else f"this {kind.__name__}"
    return AttributeError(
        f"no {what} is called {target!r}: {owner} has no {what} {name!r}; it has {names}"
    )
