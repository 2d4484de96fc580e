"""The library's one global random generator, and its state as plain JSON.

Weight initialisation and dropout draw from it unless they are given a generator of their own, so
that ``manual_seed`` makes a run repeatable and a checkpoint that stores ``get_state`` makes it
resumable.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv.backend.checks import check_integer

__all__ = ["default_rng", "get_state", "manual_seed", "set_state"]

_generator = np.random.Generator(np.random.PCG64(0))


def manual_seed(seed: int) -> None:
    """Restart the global generator from ``seed`` (an integer >= 0).

    Raises
    ------
    TypeError, ValueError
        If `seed` is no integer, or negative.
    """
    seed = check_integer("manual_seed", "seed", seed, 0)
    _generator.bit_generator.state = np.random.PCG64(seed).state


def default_rng() -> np.random.Generator:
    """Return the global generator itself (not a copy)."""
    return _generator


def get_state() -> dict[str, Any]:
    """Return the global generator's state as a dictionary that ``json`` can write."""
    return dict(_generator.bit_generator.state)


def set_state(state: dict[str, Any]) -> None:
    """Put the global generator back into a state that `get_state` returned."""
    _generator.bit_generator.state = state
