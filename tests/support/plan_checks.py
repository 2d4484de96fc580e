"""What an inference plan must give: the network's own scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv import Tensor, no_grad
from minideconv.nn.mode import evaluating

BOUND = 1e-5
"""Root mean square of the differences, in units of that of the scores."""


def scores_of(network: Any, x: np.ndarray) -> np.ndarray:
    """Return what the network itself computes in evaluation mode."""
    with no_grad(), evaluating():
        return network(Tensor(x)).numpy()


def distance(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return how far apart two arrays of scores are, in units of the second."""
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    difference = found.astype(np.float64) - wanted
    scale = np.sqrt(np.mean(np.square(wanted, dtype=np.float64)))
    return float(np.sqrt(np.mean(np.square(difference))) / (scale or 1))


def check(plan: Any, network: Any, x: np.ndarray, bound: float = BOUND) -> None:
    """Raise unless the plan's scores are the network's, at the first call and at a later one."""
    wanted = scores_of(network, x)
    for _ in range(2):
        assert distance(plan(Tensor(x)).numpy(), wanted) < bound
