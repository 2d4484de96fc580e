"""Losses as functions of Tensors."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from minideconv import ops
from minideconv.autograd import Tensor, record
from minideconv.backend import Array, get_xp
from minideconv.functional.arguments import Grads, Needs, data_of, no_tensor
from minideconv.ops.cross_entropy import CrossEntropySaved, Saved

__all__ = ["cross_entropy"]


def cross_entropy(
    logits: Tensor,
    target: Array | Tensor,
    weight: Array | Tensor | None = None,
    ignore_index: int = 255,
    reduction: Literal["mean", "sum", "none"] = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return ``-log softmax(logits)[target]``, averaged over the labels that count.

    See `ops.cross_entropy`. Neither the target nor the class weights receive a gradient.
    """
    if not isinstance(logits, Tensor):
        raise no_tensor("cross_entropy", logits=logits)
    labels = data_of(target)
    labels = np.asarray(labels) if get_xp(labels) is np else labels
    options: dict[str, Any] = {
        "target": labels,
        "weight": data_of(weight),
        "ignore_index": ignore_index,
        "reduction": reduction,
        "label_smoothing": label_smoothing,
    }
    loss, saved = ops.cross_entropy(logits.data, **options, return_saved=True)

    def backward(dloss: Array, needs: Needs, saved: Saved, *logits_data: Array) -> Grads:
        return (ops.cross_entropy_backward(dloss, saved, **options),)

    # Where the scores themselves are saved, they must not change meanwhile.
    kept = (saved, logits) if isinstance(saved, CrossEntropySaved) else (saved,)
    return record("cross_entropy", loss, (logits,), backward, kept, options, fresh=True)
