"""A dictionary learnt from a folder of photographs: `Run`, which can stop and go on byte for byte.

The folder that it writes::

    dictionary.npz     the filters, and how they were learnt
    dictionary.png     the filters as a mosaic
    state.npz          the same, and all that is needed to go on (of `batch`: all maps)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minideconv.backend import Device, to_cpu, to_device
from minideconv.errors import CheckpointError, DataError, TrainingError
from minideconv.files.atomic import replace_file
from minideconv.sparse_coding.coding import MAP_COPIES
from minideconv.sparse_coding.dictionary import random_filters
from minideconv.sparse_coding.dictionary_file import (
    NAME,
    load_dictionary,
    save_dictionary,
    settings_of,
)
from minideconv.sparse_coding.images import list_images, random_crop, read_photograph
from minideconv.sparse_coding.learning import BatchLearner, OnlineLearner
from minideconv.sparse_coding.pictures import mosaic
from minideconv.sparse_coding.problem import Problem
from minideconv.sparse_coding.settings import LearnSettings
from minideconv.training.enough_memory import check_memory
from minideconv.visualize.boards import png_bytes

__all__ = ["PICTURE", "STATE", "Run"]

PICTURE = "dictionary.png"
STATE = "state.npz"
_BATCH_COPIES = 7  # of all maps, in memory at once


class Run:
    """Learning under way.

    Parameters
    ----------
    images : Path
        The folder of photographs.
    settings : LearnSettings
    device : Device
    paths : list of Path, optional
        Which of its photographs; all, or as many as the settings say, if left out.

    Attributes
    ----------
    step : int
        How many steps have been done.
    objectives : list of (int, float)
        The objective after some steps: of all crops (batch), or of the step's crop (online).

    Raises
    ------
    UsageError, DataError
        If the folder or a photograph cannot be used.
    """

    def __init__(
        self,
        images: Path,
        settings: LearnSettings,
        device: Device,
        paths: list[Path] | None = None,
    ) -> None:
        self.images, self.settings, self.device = images, settings, device
        self.step = 0
        self.objectives: list[tuple[int, float]] = []
        self.rng = np.random.Generator(np.random.PCG64(settings.seed))
        if settings.filter_size > settings.crop:
            raise DataError(
                f"filters of {settings.filter_size}x{settings.filter_size} are larger than the"
                f" crops of {settings.crop}x{settings.crop}"
            )
        if paths is None:
            paths = list_images(images, settings.limit or None)
        self.names = [path.name for path in paths]
        least = (settings.crop, settings.crop)
        dtype = np.float64 if settings.double else np.float32
        self.photographs = [read_photograph(path, settings.color, least, dtype) for path in paths]
        channels = 3 if settings.color else 1
        kernel = (settings.filter_size, settings.filter_size)
        self._check_memory(np.dtype(dtype).itemsize)
        filters = random_filters(settings.filters, channels, kernel, self.rng, dtype)
        self._learner = self._made(to_device(filters, device))

    def _check_memory(self, itemsize: int) -> None:
        """Refuse more filters than the maps of a step leave memory for."""
        settings = self.settings
        online = settings.learner == "online"
        count, copies = (1, MAP_COPIES) if online else (len(self.photographs), _BATCH_COPIES)
        maps = settings.filters * settings.crop**2 * count
        check_memory(
            lambda name: (
                f"{name('filters')} {settings.filters} with {name('crop')} {settings.crop}"
                + ("" if online else f" and {count} photographs at once")
            ),
            copies * maps * itemsize,
            self.device,
        )

    def _made(self, filters: Any) -> BatchLearner | OnlineLearner:
        settings = self.settings
        smoothness = settings.smoothness or None
        if settings.learner == "online":
            eta = (settings.eta_a, settings.eta_b)
            return OnlineLearner(
                filters,
                settings.sparsity,
                smoothness,
                settings.constraint,
                settings.iterations,
                eta,
            )
        crops = np.stack([random_crop(p, settings.crop, self.rng) for p in self.photographs])
        problem = Problem(to_device(crops, self.device), settings.sparsity, None, smoothness)
        return BatchLearner(problem, filters, settings.constraint)

    @property
    def filters(self) -> npt.NDArray[Any]:
        """The filters as they are now, on the CPU."""
        return to_cpu(self._learner.filters)

    @property
    def pixels(self) -> int:
        """Of all crops together that a step looks at."""
        count = 1 if isinstance(self._learner, OnlineLearner) else len(self.photographs)
        return int(count * self.settings.crop**2)

    def advance(self) -> None:
        """Do one step.

        Raises
        ------
        TrainingError
            If the filters are no longer finite.
        """
        if isinstance(self._learner, OnlineLearner):
            photograph = self.photographs[self.rng.integers(len(self.photographs))]
            crop = random_crop(photograph, self.settings.crop, self.rng)[None]
            self._learner.step(to_device(crop, self.device))
        else:
            self._learner.step()
        self.step += 1
        if not np.isfinite(self.filters).all():
            raise TrainingError(
                f"after step {self.step} the filters are no longer finite; a larger --sparsity or a"
                " smaller --eta-a may help"
            )

    def look(self) -> float:
        """Return the objective now, and keep it."""
        value = self._learner.objective()
        self.objectives.append((self.step, value))
        return value

    def learn(self, steps: int, after: Callable[[Run], bool]) -> None:
        """Do steps until there have been `steps`, or `after`, called after each, returns False."""
        while self.step < steps:
            self.advance()
            if not after(self):
                break

    # -------------------------------------------------------------------------------------------
    # On disk

    def save(self, folder: Path) -> None:
        """Write the dictionary and its picture; a file is replaced as a whole.

        Raises
        ------
        CheckpointError, DataError
            If one cannot be written.
        """
        header = {
            "settings": dataclasses.asdict(self.settings),
            "images": str(self.images),
            "names": self.names,
            "step": self.step,
            "objectives": self.objectives,
        }
        state = {"learner": self._learner.state(), "rng": self.rng.bit_generator.state}
        save_dictionary(folder / STATE, self.filters, header, state)
        save_dictionary(folder / NAME, self.filters, header, {})
        try:
            replace_file(folder / PICTURE, png_bytes(mosaic(self.filters)))
        except OSError as error:
            raise DataError(f"{folder / PICTURE}: {error.strerror or error}") from error

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
        found = load_dictionary(folder / STATE)
        settings = dataclasses.replace(settings_of(folder / STATE, found), **changes)
        header = found.header
        if not (isinstance(header.get("images"), str) and isinstance(header.get("names"), list)):
            raise CheckpointError(f"{folder / STATE} does not say of which photographs it is")
        run = cls(images or Path(header["images"]), settings, device)
        if run.names != header["names"]:
            raise DataError(
                f"{run.images} holds other pictures than when {folder} began; a run goes on with"
                " the same ones"
            )
        try:
            _check_form(run._learner.state(), found.state["learner"], "learner")
            run._learner.set_state(_on(found.state["learner"], device))
            run.rng.bit_generator.state = found.state["rng"]
            run.step = int(header["step"])
            run.objectives = [(int(step), float(f)) for step, f in header["objectives"]]
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{folder / STATE} does not fit its settings ({error})"
            ) from error
        return run


def _check_form(expected: Any, found: Any, name: str) -> None:
    """Refuse a tree whose names, shapes or types are not the expected ones, by a ValueError."""
    if isinstance(expected, dict):
        if not isinstance(found, dict) or expected.keys() != found.keys():
            raise ValueError(f"{name} has other parts")
        for key in expected:
            _check_form(expected[key], found[key], f"{name}.{key}")
    elif hasattr(expected, "shape"):
        form = (expected.shape, expected.dtype)
        if not isinstance(found, np.ndarray) or (found.shape, found.dtype) != form:
            raise ValueError(f"{name} is no array of {expected.dtype}, shape {expected.shape}")
        if not np.isfinite(found).all():
            raise ValueError(f"{name} is not finite")


def _on(tree: Any, device: Device) -> Any:
    """Return a tree of dicts, numbers and arrays with its arrays on `device`."""
    if isinstance(tree, dict):
        return {name: _on(value, device) for name, value in tree.items()}
    return to_device(tree, device) if isinstance(tree, np.ndarray) else tree
