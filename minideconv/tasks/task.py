"""What a network learns: the interface `Task`.

A trainer, its steps and the run folder know how to train; a task knows what for. It turns what the
network says about a batch into a loss and metrics, builds the data, says which result is better,
draws the pictures, and gives its sections of the report.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from minideconv.autograd import Tensor
from minideconv.backend import Array, Device, device_of, get_xp, to_cpu, to_device
from minideconv.data import DataLoader
from minideconv.data.transforms import Normalize
from minideconv.engine.cuda import checks
from minideconv.errors import UsageError
from minideconv.nn import Module
from minideconv.segmentation.inference import Segmenter, normalized_on
from minideconv.settings.run import RunConfig
from minideconv.settings.setting import Settings
from minideconv.tasks import data as image_data
from minideconv.tasks.results import (
    MainMetric,
    Metrics,
    ReportSections,
    RunRecord,
    format_number,
    text_table,
)

__all__ = ["Task", "Trained"]

Save = Callable[[str, bytes], None]
"""Writes a file, by its name, into the run's folder of pictures."""


@dataclass(frozen=True)
class Trained:
    """A trained network ready to use, its task, the checkpoint it came from, and its device."""

    path: Path
    task: Task
    predictor: Any
    header: dict[str, Any]
    device: Device
    description: str


class Task(ABC):
    """What a network learns. A subclass says the rest; see `register`.

    The images are those of ``--data``: pairs of an image (H, W, 3) uint8 and a map (H, W) uint8,
    the target. Outputs are maps, (N, `outputs`, H, W). A ``config`` is the settings of a run, a
    `TrainConfig`.

    Attributes
    ----------
    outputs : int
        Channels of the network's output.
    endings : tuple of str
        What `predict` writes for each image: the endings of the files' names.
    trained : type
        What `load_trained` returns.
    inference : subclass of Settings
        The options that `evaluate` and `predict` have for this task; `predictor` gets those given.
    trainer_attributes : mapping of str to callable
        What a `Trainer` offers besides, while it trains this task: each is called with the trainer.
    """

    name: ClassVar[str]
    main_metric: ClassVar[MainMetric]
    endings: ClassVar[tuple[str, ...]] = (".png",)
    trained: ClassVar[type[Trained]] = Trained
    inference: ClassVar[type[Settings]] = Settings
    trainer_attributes: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}
    outputs: int

    def __init__(self, normalize: Normalize | None = None) -> None:
        self.normalize = Normalize() if normalize is None else normalize

    # -- Made from settings, or from a checkpoint -----------------------------------------------

    @classmethod
    def from_config(cls, config: RunConfig, data: Any) -> Self:
        """Make the task of a run that trains on `data`."""
        return cls()

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> Self:
        """Make the task of a checkpoint from its header."""
        return cls(image_data.normalization_from_dict(header["normalization"]))

    def metadata(self) -> dict[str, Any]:
        """Return, as plain JSON, what checkpoints and results say about the task."""
        return {}

    def describe(self) -> str:
        """Return what a run's first lines say about the task."""
        return ""

    # -- Data -----------------------------------------------------------------------------------

    @classmethod
    def dataset(cls, config: RunConfig, split: str, count: int = 0) -> Any:
        """Build an image list of the run's data, or its first `count` images."""
        return image_data.dataset(config, split, count)

    def samples(self, config: RunConfig, data: Any, stage: str) -> Any:
        """Return what a stage of the curriculum trains on.

        Raises
        ------
        UsageError
            If the task has no such stage.
        """
        if stage != "whole":
            raise UsageError(f"the stage is {stage!r}; with the task {self.name} it must be whole")
        return data

    def loader(self, config: RunConfig, samples: Any, seed: int, **options: Any) -> DataLoader:
        """Build a loader of training batches; see `tasks.data.loader` for the options."""
        return image_data.loader(config, samples, self.normalize, seed, **options)

    def data_mismatch(self, data: Any) -> str:
        """Return why the network cannot be evaluated on `data`: the end of a sentence, or ""."""
        return ""

    def inputs(self, images: np.ndarray, device: Device) -> Array:
        """Return (N, H, W, 3) uint8 as the network's numbers, (N, 3, H, W), on a device."""
        return normalized_on(device, images, self.normalize)

    # -- Training -------------------------------------------------------------------------------

    def check(self, targets: np.ndarray) -> None:  # noqa: B027
        """Raise an error about targets that are wrong, while they are still on the host."""

    def weight(self, targets: np.ndarray) -> int:
        """Return of how many things (images, pixels) the loss over `targets` is the mean."""
        return len(targets)

    @abstractmethod
    def loss(self, outputs: Tensor, inputs: Array, targets: Array) -> Tensor:
        """Return the mean loss of a batch: a tensor of no axis.

        Parameters
        ----------
        outputs : Tensor (N, outputs, H, W)
        inputs : float32 array (N, 3, H, W)
            What the network was given.
        targets : uint8 array (N, H, W)
        """

    @abstractmethod
    def metrics(self) -> Metrics:
        """Return metrics of nothing yet."""

    @abstractmethod
    def count(self, counts: Array, outputs: Array, inputs: Array, targets: Array) -> None:
        """Add what a batch says to `counts`, an array as in `Metrics`; all on one device.

        On a GPU the host must not wait in here, nor in `loss`.
        """

    # -- Results --------------------------------------------------------------------------------

    def is_better(self, metrics: Mapping[str, Any], best: float | None) -> bool:
        """Return whether a validation's metrics are better than the best main metric so far."""
        found = metrics[self.main_metric.key]
        if found is None or best is None:
            return found is not None
        return bool(found > best if self.main_metric.higher_is_better else found < best)

    def format_metric(self, metrics: Mapping[str, Any]) -> str:
        """Return the main metric for a line of text."""
        return f"{self.main_metric.name} {format_number(metrics[self.main_metric.key])}"

    def training_metrics(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Return the metrics that are kept of an epoch's training batches."""
        return {self.main_metric.key: metrics[self.main_metric.key]}

    def result(self, metrics: Metrics) -> dict[str, Any]:
        """Return all that a file of results says, as plain JSON."""
        return metrics.compute()

    def table(self, sets: Mapping[str, Metrics]) -> str:
        """Return the metrics of one or more sets of images as a text table."""
        found = [metrics.compute() for metrics in sets.values()]
        return text_table(sets, [(name, [one[name] for one in found]) for name in found[0]])

    def predictor(
        self,
        model: Module,
        input_size: int,
        flip: bool = False,
        batch_size: int = 16,
        **inference: Any,
    ) -> Any:
        """Return what applies the network to images of any size.

        That of this class is a `Segmenter`: its ``scores_of`` gives the network's maps at each
        image's own size, whatever they mean.
        """
        return Segmenter(model, input_size, self.normalize, flip, batch_size)

    def evaluate(
        self,
        predictor: Any,
        data: Any,
        chosen: Sequence[int],
        each: Callable[[int, int], None] = lambda done, total: None,
    ) -> tuple[Metrics, float, float]:
        """Return the metrics of some images, the sum of their losses, and its number of terms.

        Parameters
        ----------
        predictor
            From `predictor`.
        data : data set
            Gives (image, target) pairs of any size.
        chosen : sequence of int
            Which images.
        each : callable
            Called with (images done, images in all) before each; it may raise to stop.
        """
        metrics = self.metrics()
        counts: Any = metrics.counts
        losses: Any = np.zeros(())
        terms = 0
        maps = predictor.scores_of(data[index][0] for index in chosen)
        for done, (index, outputs) in enumerate(zip(chosen, maps, strict=True)):
            each(done, len(chosen))
            xp = get_xp(outputs)
            if get_xp(counts) is not xp:  # a GPU adds up there: the host waits at the end only
                counts, losses = xp.zeros(counts.shape, counts.dtype), xp.zeros(())
            with checks.deferred():
                loss, weight = self.evaluate_image(counts, outputs, *data[index])
            losses += loss.data.astype(np.float64) * weight
            terms += weight
        if counts is not metrics.counts:
            checks.raise_deferred()
            metrics.counts += to_cpu(counts)
        return metrics, float(to_cpu(losses)), terms

    def evaluate_image(
        self, counts: Array, outputs: Array, image: np.ndarray, target: np.ndarray
    ) -> tuple[Tensor, int]:
        """Count one image; return its mean loss, and of how many things that is the mean.

        Parameters
        ----------
        counts : array as in `Metrics`
        outputs : (C, H, W) float array
            The network's maps at the image's own size, on the network's device.
        image, target : (H, W, 3) and (H, W) uint8 arrays
            As the data set gives them.
        """
        device = device_of(outputs)
        inputs = self.inputs(image[None], device)
        targets = to_device(target[None], device)
        self.count(counts, outputs[None], inputs, targets)
        loss = self.loss(Tensor(outputs[None], device=device), inputs, targets)
        return loss, self.weight(target[None])

    @abstractmethod
    def predict(self, predictor: Any, image: np.ndarray) -> tuple[list[bytes], str]:
        """Return the files to write for an image, one for each of `endings`, and what to say."""

    # -- Pictures and report --------------------------------------------------------------------

    def draw_epoch(  # noqa: B027
        self, predictor: Any, data: Any, count: int, epoch: int, save: Save
    ) -> None:
        """Draw `count` validation images after an epoch."""

    def draw_final(
        self, predictor: Any, sets: Mapping[str, Any], count: int, save: Save
    ) -> dict[str, Any]:
        """Draw the finished network's pictures; return what evaluation.json says about them."""
        return {}

    @classmethod
    def report(cls, record: RunRecord) -> ReportSections:
        """Return the task's part of a run's report."""
        return ReportSections()
