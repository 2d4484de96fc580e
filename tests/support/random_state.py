"""A network's state drawn at random, on any device, so that a twin elsewhere can have the same."""

from __future__ import annotations

import numpy as np

from minideconv.backend import to_cpu
from minideconv.nn import Module


def draw_state(
    network: Module, rng: np.random.Generator, keep: tuple[str, ...] = ()
) -> dict[str, np.ndarray]:
    """Load random weights (He's spread) and statistics in [0.5, 1.5] into a network; return them.

    What begins with a name in `keep`, and counts of batches, stay as they are.
    """
    state = {name: to_cpu(array).copy() for name, array in network.state_dict().items()}
    buffers = {name for name, _ in network.named_buffers()}
    for name, array in state.items():
        if name.startswith(keep) or name.endswith("tracked"):
            continue
        if name in buffers:
            array[...] = rng.uniform(0.5, 1.5, array.shape)
        else:
            fan_in = max(1, array.size // array.shape[0])
            array[...] = rng.standard_normal(array.shape) * np.sqrt(2 / fan_in)
    network.load_state_dict(state)
    return state
