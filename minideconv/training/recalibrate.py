"""Batch normalisation's statistics measured anew, and a check that they fit.

While a network learns, the running averages of batch norm trail behind its weights. The authors of
DeconvNet kept none: when training was over they sent some 500 batches through the finished network
and averaged each layer's mean and (unbiased) variance over them: `recalibrate_batch_norm`.

Source: the released code of Noh, Hong, Han (ICCV 2015), the step "make bn layer testable".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from minideconv import random
from minideconv.autograd import Tensor, no_grad
from minideconv.backend import Array, Device, as_device, device_of, to_cpu
from minideconv.nn import BatchNorm2d, Module
from minideconv.segmentation.metrics import VOID

__all__ = [
    "Agreement",
    "get_buffers",
    "recalibrate_batch_norm",
    "set_buffers",
    "train_eval_agreement",
]


def recalibrate_batch_norm(model: Module, batches: Iterable[Array]) -> int:
    """Replace the running statistics by plain averages over `batches`; return how many there were.

    Parameters
    ----------
    model : Module
        Its weights and its mode stay as they are.
    batches : iterable of (N, 3, H, W) float arrays
        Inputs prepared as for training. With none, nothing changes.

    Notes
    -----
    The average over n batches is made as it goes, by batch norm's own momentum of 1, 1/2, 1/3, ...
    Dropout draws from a copy of the random numbers, so a run that recalibrates more or less often
    otherwise stays the same.
    """
    layers = [module for module in model.modules() if isinstance(module, BatchNorm2d)]
    layers = [layer for layer in layers if layer.track_running_stats]
    momenta = [layer.momentum for layer in layers]
    mode, random_state, count = model.training, random.get_state(), 0
    device = _device_of(model)
    model.train()
    try:
        with no_grad():
            for images in batches:
                count += 1
                for layer in layers:
                    if count == 1:
                        layer.reset_running_stats()
                    layer.momentum = 1.0 / count
                model(Tensor(images, device=device))
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        random.set_state(random_state)
        model.train(mode)
    return count


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

    On data that the network knows well the two should nearly agree; if they do not, the running
    statistics are wrong: too few batches, batches too small, or never recalibrated. Nothing in the
    model changes.

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
    mode, buffers, random_state = model.training, get_buffers(model), random.get_state()
    x = Tensor(images, device=_device_of(model))
    try:
        with no_grad():
            model.train()
            training = to_cpu(model(x).data)
            set_buffers(model, buffers)
            model.eval()
            evaluation = to_cpu(model(x).data)
    finally:
        set_buffers(model, buffers)
        random.set_state(random_state)
        model.train(mode)
    equal = training.argmax(axis=1) == evaluation.argmax(axis=1)
    same = float((equal if truth is None else equal[to_cpu(truth) != VOID]).mean())
    size = float(np.abs(evaluation).mean())
    difference = float(np.abs(training - evaluation).mean())
    return Agreement(same, difference / size if size else difference)


def get_buffers(model: Module) -> dict[str, Array]:
    """Return copies of the running statistics, by name."""
    return {name: array.copy() for name, array in model.named_buffers()}


def set_buffers(model: Module, buffers: dict[str, Array]) -> None:
    """Put back what `get_buffers` returned."""
    for name, array in model.named_buffers():
        array[...] = buffers[name]


def _device_of(model: Module) -> Device:
    parameter = next(iter(model.parameters()), None)
    return as_device(None) if parameter is None else device_of(parameter.data)
