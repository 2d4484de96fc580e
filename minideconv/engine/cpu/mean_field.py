"""The update of a dense CRF's mean field on the CPU, compiled, for 16 labels or more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minideconv.backend.algorithms import compiled
from minideconv.engine.cpu.memory import empty
from minideconv.ops import mean_field as reference

__all__ = ["mean_field_update"]

LANES = 16


@reference.mean_field_update.faster("cpu")
def mean_field_update(log_p: np.ndarray, messages: Sequence[np.ndarray]) -> np.ndarray | None:
    """Return the softmax of the sums of two or three arrays' rows."""
    if log_p.shape[1] < LANES or not 1 <= len(messages) <= 2 or not compiled():
        return None
    if any(a.dtype != np.float32 for a in (log_p, *messages)):
        return None
    from minideconv.engine.cpu.compiled.mean_field import update

    arrays = [np.ascontiguousarray(a).ravel() for a in (log_p, messages[0], messages[-1])]
    q = empty(log_p.shape)
    update(*arrays, q.reshape(-1), log_p.shape[1], len(messages) == 2)
    return q
