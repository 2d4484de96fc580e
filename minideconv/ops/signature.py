"""One signature for two functions: `with_signature_of`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

__all__ = ["with_signature_of"]

Function = TypeVar("Function", bound=Callable[..., Any])


def with_signature_of(function: Function) -> Callable[[Callable[..., Any]], Function]:
    """Give the decorated function the parameters and the types, overloads too, of `function`.

    Examples
    --------
    >>> def power(base: float, exponent: float = 2) -> float:
    ...     return base**exponent
    >>> @with_signature_of(power)
    ... def negative_power(*arguments, **options):
    ...     return -power(*arguments, **options)
    >>> negative_power(3), str(inspect.signature(negative_power))
    (-9, "(base: 'float', exponent: 'float' = 2) -> 'float'")
    """

    def give(decorated: Callable[..., Any]) -> Function:
        decorated.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        return cast("Function", decorated)

    return give
