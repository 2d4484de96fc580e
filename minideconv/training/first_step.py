"""Whether the first step can be taken, as far as settings decide it; asked before a run begins."""

from __future__ import annotations

from typing import Any

import numpy as np

from minideconv import random
from minideconv.autograd import Tensor, no_grad
from minideconv.backend import Device, to_device
from minideconv.engine.cuda.streams import computing_on
from minideconv.nn.utils import get_buffers, set_buffers
from minideconv.settings.setting import refusal
from minideconv.training.config import TrainConfig

__all__ = ["check_one_image"]


def check_one_image(model: Any, config: TrainConfig, device: Device) -> None:
    """Refuse batches of one image where a batch norm would see one value per channel.

    A variance needs two. Whether there are two depends on the network's smallest maps, so a black
    image is sent through it; nothing of that stays.

    Raises
    ------
    UsageError
        If there are not.
    """
    training, buffers, state = model.training, get_buffers(model), random.get_state()
    image = np.zeros((1, 3, config.input_size, config.input_size), np.float32)
    try:
        with computing_on(device), no_grad():
            model.train()(Tensor(to_device(image, device), device=device))
    except ValueError as error:
        if "batch_norm: x has shape (1," not in str(error):
            raise
        raise refusal(
            lambda name: (
                f"{name('batch_size')} is 1, but with these options of {name('model')}"
                f" {config.model} and {name('input_size')} {config.input_size} a batch norm sees"
                " one value per channel, which has no variance; it must be >= 2"
            )
        ) from error
    finally:
        set_buffers(model, buffers)
        random.set_state(state)
        model.train(training)
