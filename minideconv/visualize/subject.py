"""The network that is looked at, with all that it takes to show it a photograph: `Subject`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from minideconv.backend import Array, to_device
from minideconv.data.resize import resize_image
from minideconv.data.transforms import Normalize
from minideconv.data.windows import Window, cut, whole_image_window
from minideconv.errors import DataError, UsageError, some
from minideconv.nn import Dropout, Module
from minideconv.nn.utils import device_of_module

__all__ = ["Subject"]

Image = npt.NDArray[np.uint8]

_LEAST = 8  # pixels of a side from which on a picture can show something


@dataclass(frozen=True)
class Subject:
    """A network, its input and its layers.

    Parameters
    ----------
    name : str
        What pictures call it.
    network : Module
        Maps (N, 3, S, S) to scores (N, K) or (N, K, S, S).
    normalize : Normalize
        What it was trained with.
    input_size : int
        S, in pixels.
    classes : sequence of str
        The names of its K classes; empty if it has none that are known.
    whole : bool
        Whether it is shown a photograph as a whole, in the smallest square around it and black
        beside it, as `segmentation.Segmenter` does. Otherwise the largest square in the middle, as
        classification networks are.
    layers : sequence of str, optional
        The layers that have weights of their own, in order: modules directly inside the network.
        All but dropout if left out.
    has_output : bool
        Whether the weights of the whole network are known, so that its scores mean something.
    """

    name: str
    network: Module
    normalize: Normalize
    input_size: int
    classes: Sequence[str] = ()
    whole: bool = True
    layers: Sequence[str] = ()
    has_output: bool = True

    def __post_init__(self) -> None:
        if not self.layers:
            children = self.network.named_children()
            names = tuple(name for name, child in children if not isinstance(child, Dropout))
            object.__setattr__(self, "layers", names)

    @classmethod
    def of_task(cls, name: str, network: Module, task: Any, input_size: int) -> Self:
        """Make it for a trained network and its `tasks.Task`, whose classes it has, if any."""
        classes = getattr(task, "classes", ())
        return cls(name, network, task.normalize, input_size, classes)

    def square(self, photograph: Image) -> Image:
        """Return what the network sees of a photograph: (H, W, 3) uint8 -> (S, S, 3) uint8.

        Raises
        ------
        DataError
            If a side of it is shorter than 8 pixels.
        """
        height, width = photograph.shape[:2]
        if min(height, width) < _LEAST:
            raise DataError(
                f"the picture is {height} x {width} pixels; it must be {_LEAST} x {_LEAST} at least"
            )
        window = whole_image_window(height, width)
        if not self.whole:
            side = min(height, width)
            left, top = (width - side) // 2, (height - side) // 2
            window = Window(left, top, left + side - 1, top + side - 1)
        return resize_image(cut(photograph, window, 0), (self.input_size, self.input_size))

    def numbers(self, square: Image) -> Array:
        """Return a square as the network takes it: (S, S, 3) -> (1, 3, S, S), where it is."""
        return to_device(self.normalize.batch(square[None]), device_of_module(self.network))

    def colours(self, signal: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Return a signal at the input as RGB, the last axis: (3, H, W) -> (H, W, 3)."""
        found = signal.transpose(1, 2, 0)
        return found[..., ::-1] if self.normalize.bgr else found

    def check_layer(self, name: str) -> str:
        """Return the name, if it is a layer, or inside one: ``conv1_1`` or ``conv1_1.layer``.

        Raises
        ------
        UsageError
            If it is not; the sentence names all layers.
        """
        inside = {each for each, _ in self.network.named_modules()}
        if name.split(".")[0] not in self.layers or name not in inside:
            raise UsageError(
                f"layer {name!r} is not in {self.name}, which has {some(self.layers, 99)}"
            )
        return name

    def check_unit(self, layer: str, unit: int, count: int) -> int:
        """Return the unit, if the layer has so many.

        Raises
        ------
        UsageError
            If it has not.
        """
        if not 0 <= unit < count:
            raise UsageError(f"unit {unit} is not in layer {layer}, which has 0..{count - 1}")
        return unit
