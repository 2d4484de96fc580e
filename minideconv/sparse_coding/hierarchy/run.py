"""Layers learnt one after the other from pictures: `Run`, which can stop and go on byte for byte.

A step is one picture: its maps are found from 0, then the filters are moved for them. The first
layer passes over all pictures as often as the settings say; then its maps of all pictures are found
once more, and are the pictures of the next layer.

The order of the pictures, first filters and pairs depend on the seed, the layer and the pass alone,
so filters and the number of steps are all that is needed to go on. The folder::

    hierarchy.npz      all of it
    layer1.png ...     what a unit of each layer stands for in pixels
    firing.png         where units of the last layer fire (written at the end)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.backend import Device, get_xp, to_cpu, to_device
from minideconv.errors import CheckpointError, DataError, MinideconvError, TrainingError
from minideconv.files.atomic import replace_file
from minideconv.sparse_coding.hierarchy.connections import connect
from minideconv.sparse_coding.hierarchy.contrast import prepared
from minideconv.sparse_coding.hierarchy.drawings import drawings
from minideconv.sparse_coding.hierarchy.file import (
    NAME,
    load_hierarchy,
    make_layer,
    save_hierarchy,
)
from minideconv.sparse_coding.hierarchy.layer import Layer, find_maps, normalize_planes, stamps
from minideconv.sparse_coding.hierarchy.settings import HierarchySettings
from minideconv.sparse_coding.images import list_images, random_crop, read_photograph
from minideconv.sparse_coding.pictures import mosaic
from minideconv.visualize.boards import png_bytes

__all__ = ["Run", "write_picture"]


class Run:
    """Learning under way.

    Parameters
    ----------
    images : Path or None
        A folder of photographs; None: pictures are drawn.
    settings : HierarchySettings
    device : Device

    Attributes
    ----------
    layers : list of Layer
        So far; the last may be in the middle of learning.
    step : int
        How many steps have been done.
    objectives : list of float
        Of each step, the objective of its picture before the filters were moved.
    pictures : list of array (H, W)
        Grey, in [0, 1].

    Raises
    ------
    UsageError, DataError
        If the folder or a photograph cannot be used, or filters are larger than the pictures.
    """

    def __init__(self, images: Path | None, settings: HierarchySettings, device: Device) -> None:
        self.images, self.settings, self.device = images, settings, device
        self.step, self.objectives = 0, list[float]()
        self.layers: list[Layer] = []
        self.names: list[str] = []
        size = settings.filter_size
        if size > settings.side:
            raise DataError(
                f"filters of {size}x{size} are larger than the pictures of {settings.side}x"
                f"{settings.side}"
            )
        if images is None:
            drawn = drawings(settings.drawings, settings.side, settings.seed)
            self.pictures = [drawing.image for drawing in drawn]
        else:
            paths = list_images(images, settings.limit or None)
            self.names = [path.name for path in paths]
            self.pictures = [self._crop(k, path) for k, path in enumerate(paths)]
        dtype = np.float64 if settings.double else np.float32
        self.inputs = to_device(prepared(self.pictures, dtype), device)
        """Of the present layer, for all pictures: (N, C, H, W)."""
        self._steps = [epochs * len(self.pictures) for epochs in settings.all_epochs]

    def _crop(self, number: int, path: Path) -> npt.NDArray[Any]:
        side = self.settings.side
        photograph = read_photograph(path, False, (side, side), np.float64)
        return random_crop(photograph, side, self._rng(0, number))[0]

    def _rng(self, *which: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, *which])

    @property
    def steps(self) -> int:
        """Of all layers together."""
        return sum(self._steps)

    def where(self) -> tuple[int, int, int]:
        """Return the next step's layer, pass and picture, all from 0 on."""
        left, at = self.step, 0
        while at < len(self._steps) - 1 and left >= self._steps[at]:
            left -= self._steps[at]
            at += 1
        return at, *divmod(left, len(self.inputs))

    def advance(self) -> None:
        """Do one step.

        Raises
        ------
        TrainingError
            If the filters are no longer finite.
        """
        at, epoch, number = self.where()
        if at == len(self.layers):
            if at:
                self.inputs = find_maps(self.layers[-1:], self.inputs, self.settings.schedule)
            self.layers.append(self.new_layer(at))
        layer = self.layers[at]
        chosen = self._rng(1, at, epoch).permutation(len(self.inputs))[number]
        picture = self.inputs[chosen : chosen + 1]
        maps = layer.infer(picture, self.settings.schedule)
        self.objectives.append(layer.objective(picture, maps))
        self.layers[at] = layer = layer.learn(picture, maps)
        self.step += 1
        if not bool(get_xp(maps).isfinite(layer.filters).all()):
            raise TrainingError(
                f"after step {self.step} the filters are not finite; a larger --kappa may help"
            )

    def new_layer(self, at: int) -> Layer:
        """Return layer `at`, from 0 on, before it has learnt; `inputs` are the present layer's."""
        settings, rng = self.settings, self._rng(2, at)
        maps, channels, size = settings.all_maps[at], self.inputs.shape[1], settings.filter_size
        table = connect(at + 1, maps, channels, rng, self.inputs.dtype)
        noise = rng.standard_normal((maps, channels, size, size)).astype(self.inputs.dtype)
        filters, connections = (to_device(a, self.device) for a in (noise, table))
        return make_layer(settings, at, normalize_planes(filters, connections), connections)

    def learn(self, after: Callable[[Run], bool]) -> None:
        """Do the steps that are left, or until `after`, called after each, returns False."""
        while self.step < self.steps:
            self.advance()
            if not after(self):
                break

    # -------------------------------------------------------------------------------------------
    # On disk

    def save(self, folder: Path) -> None:
        """Write the layers and their pictures; a file is replaced as a whole.

        Raises
        ------
        CheckpointError, DataError
            If one cannot be written.
        """
        header = {
            "settings": dataclasses.asdict(self.settings),
            "images": None if self.images is None else str(self.images),
            "names": self.names,
            "step": self.step,
            "objectives": self.objectives,
        }
        save_hierarchy(folder / NAME, self.layers, header)
        for number in range(1, len(self.layers) + 1):
            picture = mosaic(to_cpu(stamps(self.layers[:number])))
            write_picture(folder / f"layer{number}.png", picture)

    @classmethod
    def resumed(
        cls, folder: Path, device: Device, changes: dict[str, Any], images: Path | None = None
    ) -> Run:
        """Return the run that `save` wrote, to go on byte for byte.

        Parameters
        ----------
        folder : Path
        device : Device
        changes : dict
            Settings that have another value now.
        images : Path, optional
            Where the photographs are now.

        Raises
        ------
        UsageError, DataError, CheckpointError
            If it cannot go on: no such run, or other photographs than before.
        """
        layers, settings, header = load_hierarchy(folder, device)
        settings = dataclasses.replace(settings, **changes)
        try:
            before = None if header["images"] is None else Path(header["images"])
            run = cls(images or before, settings, device)
            if run.names != header["names"]:
                raise DataError(
                    f"{run.images} holds other pictures than when {folder} began; a run goes on"
                    " with the same ones"
                )
            run.step = int(header["step"])
            run.objectives = [float(value) for value in header["objectives"]]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, MinideconvError):
                raise
            raise CheckpointError(f"{folder / NAME} does not fit its settings ({error})") from error
        run.layers = layers
        run.inputs = find_maps(layers[:-1], run.inputs, settings.schedule)
        return run


def write_picture(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    """Write a PNG file, whole or not at all.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    try:
        replace_file(path, png_bytes(picture))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
