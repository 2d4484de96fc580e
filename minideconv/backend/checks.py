"""Checks of options: each returns the value, or raises one sentence with what, which and what else.

What is no number or no truth value is refused by its type, because arguments that stand in another
order elsewhere come in the place of one another: ``Dropout(0.5, True)`` means in-place there, and
would be a source of random numbers here.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = [
    "check_choice",
    "check_dtype",
    "check_flag",
    "check_generator",
    "check_integer",
    "check_iterable",
    "check_number",
    "shown",
]


def check_flag(op: str, name: str, value: Any, hint: str = "") -> bool:
    """Return `value` if it is True or False; `hint` follows the sentence behind a semicolon."""
    if value is True or value is False:
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    raise TypeError(f"{op}: {name} is {shown(value)}; it must be True or False{_behind(hint)}")


def check_number(
    op: str,
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    above: bool = False,
    legal: str = "",
    hint: str = "",
) -> Any:
    """Return `value` if it is a real number in [low, high], or ``> low`` if `above`.

    NaN is in no range but the one without limits, and a truth value is no number. `legal` says in
    words what it must be.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is out of the range.
    """
    if type(value) is not float and type(value) is not int and not _is_number(value):
        must = legal or "a number"
        raise TypeError(f"{op}: {name} is {shown(value)}; it must be {must}{_behind(hint)}")
    limited = low > -math.inf or high < math.inf
    if limited and not ((low < value if above else low <= value) and value <= high):
        must = legal or _range(low, high, above)
        raise ValueError(f"{op}: {name} is {value!r}; it must be {must}{_behind(hint)}")
    return value


def _is_number(value: Any) -> bool:
    """Return whether it is one real number: Python's, NumPy's or CuPy's, also an array of none."""
    if isinstance(value, (bool, np.bool_, str)):
        return False
    if isinstance(value, (int, float, np.integer, np.floating)):
        return True
    shape, kind = getattr(value, "shape", None), getattr(getattr(value, "dtype", None), "kind", "")
    return shape == () and kind in ("f", "i", "u")


def _range(low: float, high: float, above: bool) -> str:
    if low == -math.inf and high == math.inf:
        return "a number"
    if high == math.inf:
        return f"above {low:g}" if above else f"at least {low:g}"
    return f"in [{low:g}, {high:g}]"


def check_integer(op: str, name: str, value: Any, least: int | None = None, hint: str = "") -> int:
    """Return `value` as an int if it is an integer, and at least `least`; no truth value is one."""
    if type(value) is not int:
        try:
            if isinstance(value, bool):
                raise TypeError
            value = operator.index(value)
        except TypeError:
            raise TypeError(
                f"{op}: {name} is {shown(value)}; it must be an integer{_behind(hint)}"
            ) from None
    if least is not None and value < least:
        raise ValueError(f"{op}: {name} is {value}; it must be at least {least}{_behind(hint)}")
    return int(value)


def check_choice(op: str, name: str, value: Any, choices: Sequence[str], hint: str = "") -> Any:
    """Return `value` if it is one of the words."""
    if isinstance(value, str) and value in choices:
        return value
    words = [repr(choice) for choice in choices]
    listed = f"{', '.join(words[:-1])} or {words[-1]}"
    listed = listed if len(words) < 4 else f"one of {', '.join(words)}"
    raise ValueError(f"{op}: {name} is {shown(value)}; it must be {listed}{_behind(hint)}")


def check_dtype(op: str, dtype: Any) -> np.dtype[Any]:
    """Return `dtype` as NumPy's, or raise TypeError if NumPy does not know it."""
    try:
        return np.dtype(dtype)
    except TypeError:
        raise TypeError(
            f"{op}: dtype is {shown(dtype)}; it must be one of NumPy's, such as 'float32'"
        ) from None


def check_generator(op: str, rng: Any, hint: str = "") -> Any:
    """Return `rng` if it is None or draws numbers as a random generator of NumPy does."""
    if rng is None or hasattr(rng, "random"):
        return rng
    raise TypeError(
        f"{op}: rng is {shown(rng)}; it must be a generator, as in rng=numpy.random.default_rng(0),"
        f" or None{_behind(hint)}"
    )


def check_iterable(op: str, name: str, value: Any, must: str) -> Any:
    """Return `value` if it can be iterated over; `must` says what it has to be."""
    try:
        iter(value)
    except TypeError:
        raise TypeError(f"{op}: {name} is {shown(value)}; it must be {must}") from None
    return value


def shown(value: Any) -> str:
    """Return a value as a sentence names it: what is long by its kind."""
    if hasattr(value, "dtype") and isinstance(getattr(value, "shape", None), tuple):
        return f"an array of shape {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 60 and "\n" not in text else f"a {type(value).__name__}"


def _behind(hint: str) -> str:
    return f"; {hint}" if hint else ""
