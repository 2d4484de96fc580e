"""Refuse before any work what the machine's memory cannot hold: `check_memory` and more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minideconv.autograd import Tensor
from minideconv.backend import Device
from minideconv.engine.cpu.resident import machine_memory
from minideconv.engine.cuda.memory import room_on_device
from minideconv.nn import Module
from minideconv.nn.costs import activation_bytes
from minideconv.settings.setting import refusal
from minideconv.settings.sizes import format_size

__all__ = ["check_memory", "check_network_memory"]

_LARGE = 16
"""Times a network's own input: to look at how much it remembers costs a pass, not done for less."""


def check_memory(
    sentence: Callable[[Callable[[str], str]], str], needed: float, device: Device
) -> None:
    """Refuse what needs more memory than there is.

    A system gives out memory that it has not, and ends the process that uses it. Where the memory
    is not known, nothing is refused.

    Parameters
    ----------
    sentence : callable
        What needs it, in words, with settings named as for `refusal`: ``--size 9000``.
    needed : float
        Bytes, as an estimate that is not too high.
    device : Device
        Where.

    Raises
    ------
    SettingError
        One sentence with both sizes.
    """
    gpu = device.type == "gpu"
    there = room_on_device() if gpu else machine_memory()
    if there and needed > there:
        raise refusal(
            lambda name: (
                f"{sentence(name)} needs about {format_size(needed)}, and this"
                f" {'GPU' if gpu else 'machine'} has {format_size(there)}; choose less"
            )
        )


def check_network_memory(network: Module, side: int, size: tuple[int, int], device: Device) -> None:
    """Refuse an image for which what the network's layers give does not fit into memory.

    Found from its own input, a square of `side` pixels: all of it grows with the image's pixels.

    Raises
    ------
    SettingError
        One sentence that names the option ``--size``.
    """
    h, w = size
    times = h * w / side**2
    if times <= _LARGE:
        return
    channels = getattr(network, "in_channels", 3)
    own = Tensor(np.zeros((1, channels, side, side), np.float32), device=device)
    shown = f"{h}" if h == w else f"{h}x{w}"
    needed = times * activation_bytes(network, own)
    check_memory(lambda name: f"{name('size')} {shown}", needed, device)
