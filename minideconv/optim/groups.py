"""What a user gives an optimiser to optimise, read and checked: parameters, or groups of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from minideconv.autograd import Tensor
from minideconv.optim.saving import Group

__all__ = ["groups_of", "new_group"]


def groups_of(kind: str, params: Any) -> list[Mapping[str, Any]]:
    """Return `params` as groups: dicts that have parameters and hyper-parameters of their own.

    Raises
    ------
    ValueError, TypeError
        If there are none, or `params` is no iterable of them.
    """
    if isinstance(params, Tensor | Mapping):
        raise TypeError(
            f"{kind}: params is one {type(params).__name__}; it must be an iterable of parameters,"
            " or of dicts that hold groups of them, such as [p]"
        )
    try:
        given: list[Any] = list(params)
    except TypeError:
        raise TypeError(
            f"{kind}: params is {type(params).__name__}, which cannot be iterated over; pass"
            " model.parameters()"
        ) from None
    if not given:
        raise ValueError(f"{kind}: params is empty; there is nothing to optimise")
    return given if isinstance(given[0], Mapping) else [{"params": given}]


def new_group(
    kind: str, group: Mapping[str, Any], options: Sequence[str], before: Iterable[Tensor]
) -> Group:
    """Return a copy of `group` whose parameters are a list; its options are not looked at.

    Parameters
    ----------
    kind : str
        The optimiser, for messages.
    group : dict
    options : sequence of str
        The names that it may have beside ``"params"``.
    before : iterable of Tensor
        The parameters of the groups before it.

    Raises
    ------
    ValueError, TypeError
        If it has no parameters, one that was there before, or an unknown name.
    """
    if not isinstance(group, Mapping) or "params" not in group:
        raise TypeError(f"{kind}: a parameter group is {group!r}; it must be a dict with 'params'")
    unknown = sorted(set(group) - {"params", "initial_lr", *options})
    if unknown:
        raise ValueError(
            f"{kind}: a parameter group has {', '.join(map(repr, unknown))}; it may have"
            f" {', '.join(map(repr, options))}"
        )
    params = group["params"]
    params = [params] if isinstance(params, Tensor) else list(params)
    if not params:
        raise ValueError(f"{kind}: a parameter group has no parameters")
    known = {id(p) for p in before}
    for p in params:
        if not isinstance(p, Tensor):
            raise TypeError(
                f"{kind}: params has a {type(p).__name__}; all of it must be parameters (leaf"
                " Tensors), as model.parameters() gives them"
            )
        if not p.is_leaf:
            raise ValueError(
                f"{kind}: params has a Tensor of shape {p.shape} that is the result of an"
                " operation; only leaves can be optimised"
            )
        if id(p) in known:
            raise ValueError(f"{kind}: a parameter of shape {p.shape} is in params twice")
        known.add(id(p))
    return {**group, "params": params}
