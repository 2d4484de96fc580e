"""Whether batch normalisation's running statistics fit: `train_eval_agreement`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minideconv import random
from minideconv.autograd import Tensor, no_grad
from minideconv.backend import Array, to_cpu
from minideconv.data.voc_colors import VOID
from minideconv.nn import Module
from minideconv.nn.mode import evaluating, in_mode
from minideconv.nn.utils import device_of_module, get_buffers, set_buffers

__all__ = ["Agreement", "train_eval_agreement"]


@dataclass(frozen=True)
class Agreement:
    """How far a network in training mode and in evaluation mode agree on one batch.

    Attributes
    ----------
    labels : float
        Share of the (counted) pixels that get the same label in both modes.
    score_difference : float
        Mean absolute difference of the scores, relative to the mean absolute score.
    """

    labels: float
    score_difference: float


def train_eval_agreement(model: Module, images: Array, truth: Array | None = None) -> Agreement:
    """Compare training mode (statistics of this batch) with evaluation mode (running statistics).

    On data that the network has learned well the two should nearly agree; if they do not, the
    running statistics are wrong: too few batches, batches too small, or never recalibrated. Nothing
    in the model changes.

    Parameters
    ----------
    model : Module
        A network with scores (N, C, H, W).
    images : (N, 3, H, W) float array
        A batch prepared as for training.
    truth : (N, H, W) integer array, optional
        Its masks; pixels that are void (255) in them are left out, because nothing was learned
        about those.

    Notes
    -----
    With a batch of n images some difference is in the method: the layers behind fc6 have one value
    per image, and their running variance is the unbiased one, larger by n / (n - 1).
    """
    buffers, random_state = get_buffers(model), random.get_state()
    x = Tensor(images, device=device_of_module(model))
    try:
        with no_grad():
            with in_mode(training=True):
                training = to_cpu(model(x).data)
            set_buffers(model, buffers)
            with evaluating():
                evaluation = to_cpu(model(x).data)
    finally:
        set_buffers(model, buffers)
        random.set_state(random_state)
    equal = training.argmax(axis=1) == evaluation.argmax(axis=1)
    same = float((equal if truth is None else equal[to_cpu(truth) != VOID]).mean())
    size = float(np.abs(evaluation).mean())
    difference = float(np.abs(training - evaluation).mean())
    return Agreement(same, difference / size if size else difference)
