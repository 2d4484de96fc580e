"""`Module.load_state_dict`: everything is checked before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from minideconv.autograd import Tensor
from minideconv.backend import (
    Array,
    check_state,
    check_writable,
    device_of,
    saved_array,
    to_cpu,
    to_device,
)
from minideconv.engine.layout import assign

__all__ = ["IncompatibleKeys", "load_state"]


class IncompatibleKeys(NamedTuple):
    """The names that a state and a network do not share; both empty where all were loaded."""

    missing_keys: list[str]
    """In the network, and not in the state."""

    unexpected_keys: list[str]
    """In the state, and not in the network."""


def _under_first_names(module: Any, own: Any, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `state` without second names of shared parameters, under which PyTorch saves them too.

    Raises
    ------
    ValueError
        If a parameter's values differ between two of its names.
    """
    first = {id(parameter): name for name, parameter in module.named_parameters()}
    second = {
        f"{path}.{name}" if path else name: first[id(parameter)]
        for path, owner in module.named_modules(remove_duplicate=False)
        for name, parameter in owner._parameters.items()
    }
    second = {name: kept for name, kept in second.items() if name != kept and name in state}
    if not second:
        return state
    found = {name: state[name] for name in state}
    for name, kept in second.items():
        value = found.pop(name)
        both = [
            to_cpu(saved_array("load_state_dict", repr(one), array, own[kept]))
            for one, array in ((name, value), (kept, found.setdefault(kept, value)))
        ]
        if not np.array_equal(both[0], both[1], equal_nan=True):
            raise ValueError(
                f"load_state_dict: {name!r} and {kept!r} are one parameter in this "
                f"{type(module).__name__}, and the state has two values for it"
            )
    return found


def load_state(module: Any, state: Mapping[str, Array], strict: bool = True) -> IncompatibleKeys:
    """Copy the values of a state into a `Module`; see `Module.load_state_dict`."""
    check_state("load_state_dict", state)
    own = module.arrays()
    state = _under_first_names(module, own, state)
    kind = type(module).__name__
    missing = [name for name in own if name not in state]
    unknown = [name for name in state if name not in own]
    if strict and (missing or unknown):
        what = f"{missing[0]!r} is missing" if missing else f"{unknown[0]!r} is not in the network"
        raise ValueError(
            f"load_state_dict: the state does not fit {kind}: {what} "
            f"({len(missing)} missing, {len(unknown)} unknown names)"
        )
    own = {name: array for name, array in own.items() if name in state}
    new = {
        name: saved_array("load_state_dict", repr(name), array_of(state[name]), array)
        for name, array in own.items()
    }
    wrong = [name for name in own if new[name].shape != own[name].shape]
    if wrong:
        name = wrong[0]
        raise ValueError(
            f"load_state_dict: {name!r} has shape {new[name].shape} in the state "
            f"but {own[name].shape} in this {kind} ({len(wrong)} of {len(own)} shapes differ)"
        )
    check_writable("load_state_dict", ((repr(name), array) for name, array in own.items()))
    # Converted before the first is written: NumPy's errstate decides whether a value that is too
    # large raises. What is left is copying.
    for name, array in own.items():
        new[name] = new[name].astype(array.dtype, copy=False)
    for name, array in own.items():
        assign(array, to_device(new[name], device_of(array)))
    for parameter in module.parameters():
        parameter.bump_version()
    return IncompatibleKeys(missing, unknown)


def array_of(value: Any) -> Any:
    """Return the array of a Tensor, as ``dict(net.named_parameters())`` has them."""
    return value.data if isinstance(value, Tensor) else value
