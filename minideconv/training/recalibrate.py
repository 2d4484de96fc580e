"""Batch normalisation's statistics measured anew.

While a network learns, the running averages of batch norm trail behind its weights. The authors of
DeconvNet kept none: when training was over they sent some 500 batches through the finished network
and averaged each layer's mean and (unbiased) variance over them: `recalibrate_batch_norm`.

Source: the released code of Noh, Hong, Han (ICCV 2015), the step "make bn layer testable".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from minideconv import random
from minideconv.autograd import Tensor, no_grad
from minideconv.backend import Array
from minideconv.nn import BatchNorm2d, Module
from minideconv.nn.mode import in_mode
from minideconv.nn.utils import device_of_module

__all__ = ["recalibrate_batch_norm"]


def recalibrate_batch_norm(
    model: Module,
    batches: Iterable[Array],
    forward: Callable[[Array], Any] | None = None,
) -> int:
    """Replace the running statistics by plain averages over `batches`; return how many there were.

    Parameters
    ----------
    model : Module
        Its weights, its mode and the statistics of frozen layers stay as they are.
    batches : iterable of (N, 3, H, W) float arrays
        Inputs prepared as for training. With none, nothing changes.
    forward : callable, optional
        Called with a batch instead of the model, where that is not computed as a whole.

    Notes
    -----
    The average over n batches is made as it goes, by batch norm's own momentum of 1, 1/2, 1/3, ...
    Dropout draws from a copy of the random numbers, so a run that recalibrates more or less often
    otherwise stays the same.
    """
    layers = [module for module in model.modules() if isinstance(module, BatchNorm2d)]
    layers = [layer for layer in layers if layer.track_running_stats and not layer.frozen]
    momenta = [layer.momentum for layer in layers]
    random_state, count = random.get_state(), 0
    device = device_of_module(model)
    try:
        with no_grad(), in_mode(training=True):
            for images in batches:
                count += 1
                for layer in layers:
                    if count == 1:
                        layer.reset_running_stats()
                    layer.momentum = 1.0 / count
                if forward is None:
                    model(Tensor(images, device=device))
                else:
                    forward(images)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        random.set_state(random_state)
    return count
