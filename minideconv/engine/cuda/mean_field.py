"""The update of a dense CRF's mean field on a GPU: sums and softmax in one kernel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minideconv.backend import Array, get_xp
from minideconv.engine.cuda.cross_entropy import MOST, grid, lanes
from minideconv.engine.cuda.module import launch
from minideconv.engine.layout import contiguous
from minideconv.ops import mean_field as ops

__all__ = ["mean_field_update"]


@ops.mean_field_update.faster("gpu")
def mean_field_update(log_p: Array, messages: Sequence[Array]) -> Array | None:
    """Return the softmax of the sums of one to three arrays' rows."""
    pixels, labels = log_p.shape
    dtype, sharing = log_p.dtype, lanes(labels)
    known = dtype in (np.float32, np.float64) and all(m.dtype == dtype for m in messages)
    if not known or len(messages) > 2 or not 0 < labels <= MOST * 32:
        return None
    q = get_xp(log_p).empty((pixels, labels), dtype)
    first, second = (*messages, log_p, log_p)[:2]  # those that do not count are not read
    arrays = (*map(contiguous, (log_p, first, second)), q)
    defines = (f"LANES={sharing}", f"PER={-(-labels // sharing)}")
    launch("mean_field.cu", "mean_field", pixels, (*arrays, len(messages), pixels, labels), dtype,
           defines=defines, grid=grid(pixels, sharing))  # fmt: skip
    return q
