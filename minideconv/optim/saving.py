"""An optimiser's hyper-parameters and state as a flat dict of plain values and arrays, and back.

kind                    the class
groups.G.size           how many parameters group G has
groups.G.NAME           a hyper-parameter
state.N.NAME            what is remembered of parameter N, counted over all groups
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from minideconv.autograd import Tensor
from minideconv.backend import Array, get_xp, saved_array, to_cpu, to_device
from minideconv.backend.dispatch import on_device_of
from minideconv.backend.sums import sum_type
from minideconv.errors import some
from minideconv.optim.checks import check_count, check_kind, check_range
from minideconv.optim.groups import Group

__all__ = ["State", "read", "stored_like", "write"]

State = dict[str, Any]


def write(
    kind: str,
    groups: Sequence[Group],
    options: Iterable[str],
    states: Mapping[int, State],
    left_out: int,
    copy: bool,
) -> dict[str, Any]:
    """Return all of it, on the host; `left_out` steps were counted but not taken."""
    saved: dict[str, Any] = {"kind": kind}
    for g, group in enumerate(groups):
        saved[f"groups.{g}.size"] = len(group["params"])
        for name in (*options, "initial_lr"):
            if name in group:
                saved[f"groups.{g}.{name}"] = _plain(group[name])
    for n, state in sorted(states.items()):
        for name, value in sorted(state.items()):
            if name == "step":
                value -= left_out
            elif copy:
                value = to_cpu(value).copy()
            else:
                value = to_cpu(value)
            saved[f"state.{n}.{name}"] = value
    return saved


def read(
    kind: str,
    state: Mapping[str, Any],
    groups: Sequence[Group],
    check: Callable[[Group], None],
    remembers: Callable[[Group], tuple[str, ...]],
    counts: bool,
) -> tuple[list[Group], dict[int, State]]:
    """Return hyper-parameters of each group and the state of each parameter, where that is.

    Raises
    ------
    ValueError
        If they are another optimiser's, or of other numbers or shapes of parameters, or lack
        something that `remembers` names, or, with `counts`, the number of steps.
    TypeError
        If `state` is no mapping, or something in it is of a wrong type.
    """
    check_kind(kind, state)
    fields: dict[str, dict[int, dict[str, Any]]] = {"groups": {}, "state": {}}
    try:
        for key in set(state) - {"kind"}:
            part, number, name = key.split(".", 2)
            fields[part].setdefault(int(number), {})[name] = state[key]
        saved = [fields["groups"][g] for g in range(len(fields["groups"]))]
        there = [operator.index(group["size"]) for group in saved]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError(
            f"{kind}: the saved state is not of state_dict(); its keys are {some(list(state))}"
        ) from None
    here = [len(group["params"]) for group in groups]
    if here != there:
        raise ValueError(
            f"{kind}: the saved state has groups of {there} parameters but this optimiser has"
            f" {here}"
        )
    parameters = [p for group in groups for p in group["params"]]
    if beyond := sorted(set(fields["state"]) - set(range(len(parameters)))):
        raise ValueError(
            f"{kind}: the saved state is of parameter {beyond[0]}, and this optimiser has"
            f" parameters 0 to {len(parameters) - 1}"
        )
    options = [_restored(kind, group, old, check) for group, old in zip(groups, saved, strict=True)]
    owners = [g for g, size in enumerate(here) for _ in range(size)]
    for n, old in sorted(fields["state"].items()):
        group = {**groups[owners[n]], **options[owners[n]]}
        for name in (*remembers(group), *(("step",) if counts else ())):
            if name not in old:
                raise ValueError(f"{kind}: the saved state has no state.{n}.{name}")
    states = {
        n: {name: _fitting(kind, parameters[n], n, name, old[name]) for name in sorted(old)}
        for n, old in sorted(fields["state"].items())
    }
    return options, states


def _restored(kind: str, group: Group, saved: Group, check: Callable[[Group], None]) -> Group:
    new = {name: _plain(value) for name, value in saved.items() if name != "size"}
    new = {name: tuple(v) if isinstance(v, list) else v for name, v in new.items()}
    check({**group, **new})
    if "initial_lr" in new:
        check_range(kind, "initial_lr", new["initial_lr"])
    return new


def _fitting(kind: str, p: Tensor, number: int, name: str, value: Any) -> Any:
    if name == "step":
        return check_count(kind, f"the saved step of parameter {number}", value, least=0)
    value = value.data if isinstance(value, Tensor) else value
    value = saved_array(kind, f"the saved {name} of parameter {number}", value, p.data)
    if value.shape != p.shape:
        raise ValueError(
            f"{kind}: the saved {name} of parameter {number} has shape {value.shape} but"
            f" the parameter has {p.shape}"
        )
    return stored_like(p, value)


def stored_like(p: Tensor, value: Array) -> Array:
    """Return a copy of `value` that is stored as the parameter is, and where it is."""
    with on_device_of(p.data):
        fitting: Array = get_xp(p.data).empty_like(p.data, sum_type(p.dtype))
        fitting[...] = to_device(value, p.device)
    return fitting


def _plain(value: Any) -> Any:
    """Return a hyper-parameter as Python's own bool, int, float or list of them."""
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value
