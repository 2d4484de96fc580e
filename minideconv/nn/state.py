"""`Module.load_state_dict`: everything is checked before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minideconv.backend import Array, check_state, check_writable, device_of, saved_array, to_device
from minideconv.engine.layout import assign

__all__ = ["load_state"]


def load_state(module: Any, state: Mapping[str, Array]) -> None:
    """Copy the values of a state into a `Module`; see `Module.load_state_dict`."""
    check_state("load_state_dict", state)
    own = module.arrays()
    kind = type(module).__name__
    missing = [name for name in own if name not in state]
    unknown = [name for name in state if name not in own]
    if missing or unknown:
        what = f"{missing[0]!r} is missing" if missing else f"{unknown[0]!r} is not in the network"
        raise ValueError(
            f"load_state_dict: the state does not fit {kind}: {what} "
            f"({len(missing)} missing, {len(unknown)} unknown names)"
        )
    new = {
        name: saved_array("load_state_dict", repr(name), state[name], array)
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
    for name, array in own.items():
        assign(array, to_device(new[name], device_of(array)))
    for parameter in module.parameters():
        parameter.bump_version()
