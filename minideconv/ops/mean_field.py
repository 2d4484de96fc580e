"""One update of a dense CRF's mean field; what it is for stands in `segmentation.crf`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from minideconv.backend.dispatch import accelerated
from minideconv.ops.activations import softmax

__all__ = ["mean_field_update"]

Floats = npt.NDArray[np.float32]


@accelerated
def mean_field_update(log_p: Floats, messages: Sequence[Floats]) -> Floats:
    """Return ``softmax(log_p + sum of messages)`` over each row's labels, all (pixels, labels)."""
    return softmax(sum(messages, log_p), 1)
