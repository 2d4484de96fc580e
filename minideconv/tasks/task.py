"""What a network learns: the interface `Task`.

A trainer, its steps and the run folder are about how to train; a task is about what for. It turns
the network's outputs for a batch into a loss and metrics, builds the data, decides which result is
better, draws the pictures, and makes its sections of the report.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, ClassVar, Self

import numpy as np

from minideconv.autograd import Tensor
from minideconv.backend import Array, Device, device_of, to_device
from minideconv.data import DataLoader
from minideconv.data.transforms import Normalize
from minideconv.errors import UsageError
from minideconv.nn import Module
from minideconv.segmentation import ScoreMap
from minideconv.segmentation.inference import Segmenter, normalized_on
from minideconv.settings.run import RunConfig
from minideconv.settings.setting import refusal
from minideconv.tasks import data as image_data
from minideconv.tasks.evaluation import evaluate
from minideconv.tasks.inference import InferenceSettings
from minideconv.tasks.results import (
    Details,
    MainMetric,
    Metrics,
    ReportSections,
    RunRecord,
    format_number,
    text_table,
)
from minideconv.tasks.trained import Trained

__all__ = ["Content", "Save", "Task", "Trained"]

Say = Callable[[str], None]
Save = Callable[[str, bytes], None]
"""Writes a file, by its name, into the run's folder of pictures."""

Content = bytes | Callable[[IO[bytes]], object]
"""What a file shall hold: bytes, or a function that writes them to the open file."""


class Task(ABC):
    """What a network learns. A subclass defines the rest; see `register`.

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
    inference : type
        How the network may be applied: a subclass of `InferenceSettings`, whose fields are options
        of `predict` and `evaluate`.
    data_settings : tuple of str
        Settings that are about the files of a data set, and so not about another one.
    trainer_attributes : mapping of str to callable
        What a `Trainer` offers besides, while it trains this task: each is called with the trainer.
    """

    name: ClassVar[str]
    main_metric: ClassVar[MainMetric]
    endings: ClassVar[tuple[str, ...]] = (".png",)
    trained: ClassVar[type[Trained]] = Trained
    inference: ClassVar[type[InferenceSettings]] = InferenceSettings
    data_settings: ClassVar[tuple[str, ...]] = ("classes",)
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
        return cls(Normalize(**header["normalization"]))

    def metadata(self) -> dict[str, Any]:
        """Return, as plain JSON, what checkpoints and results hold about the task."""
        return {}

    def describe(self) -> str:
        """Return the part of a run's first lines that is about the task."""
        return ""

    # -- Data -----------------------------------------------------------------------------------

    @classmethod
    def dataset(cls, config: RunConfig, split: str, count: int = 0) -> Any:
        """Build an image list of the run's data, or its first `count` images."""
        return image_data.dataset(config, split, count)

    @classmethod
    def check_images(cls, config: RunConfig, lists: Mapping[str, Any], say: Say) -> None:
        """Look at all files of image lists before they are used; see `tasks.data.check_images`."""
        image_data.check_images(config, lists, say)

    def samples(self, config: RunConfig, data: Any, stage: str) -> Any:
        """Return what a stage of the curriculum trains on.

        Raises
        ------
        UsageError
            If the task has no such stage.
        """
        if stage != "whole":
            # The setting's own value: `stage` is one of the two that "both" stands for.
            wrong = f"is {config.stage!r}; with the task {self.name} it must be whole"
            raise refusal(lambda name: f"{name('stage')} {wrong}")
        return data

    def loader(self, config: RunConfig, samples: Any, seed: int, **options: Any) -> DataLoader:
        """Build a loader of training batches; see `tasks.data.loader` for the options."""
        return image_data.loader(config, samples, self.normalize, seed, **options)

    def other_data(self, config: RunConfig) -> RunConfig:
        """Return the settings with which the network is evaluated on a folder not of its run."""
        return config

    def data_mismatch(self, data: Any) -> str:
        """Return why the network cannot be evaluated on `data`: the end of a sentence, or ""."""
        return ""

    def inputs(self, images: np.ndarray, device: Device) -> Array:
        """Return (N, H, W, 3) uint8 as the network's numbers, (N, 3, H, W), on a device."""
        return normalized_on(device, images, self.normalize)

    # -- Training -------------------------------------------------------------------------------

    def check(self, targets: np.ndarray) -> None:  # noqa: B027
        """Raise an error about targets that are wrong, while they are still on the host."""

    def weight(self, targets: np.ndarray) -> float:
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

    def training_loss(self, network: Module, x: Tensor, targets: Array) -> tuple[Tensor, Tensor]:
        """Return what the network makes of a training batch, and the mean loss.

        Where the loss is about more than the network's output, maps inside of it for one, this is
        redefined.

        Parameters
        ----------
        network : Module
            In training mode.
        x : Tensor (N, 3, H, W)
        targets : uint8 array (N, H, W)
        """
        outputs: Tensor = network(x)
        return outputs, self.loss(outputs, x.data, targets)

    @abstractmethod
    def metrics(self) -> Metrics:
        """Return metrics of nothing yet."""

    @abstractmethod
    def count(self, counts: Array, outputs: Array, inputs: Array, targets: Array) -> None:
        """Add the sums of a batch to `counts`, an array as in `Metrics`; all on one device.

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
        """Return the content of a file of results, as plain JSON."""
        return metrics.compute()

    def table(self, sets: Mapping[str, Metrics]) -> str:
        """Return the metrics of one or more sets of images as a text table."""
        found = [metrics.compute() for metrics in sets.values()]
        return text_table(sets, [(name, [one[name] for one in found]) for name in found[0]])

    def predictor(
        self,
        model: Module,
        input_size: int,
        inference: InferenceSettings | None = None,
        batch_size: int = 16,
    ) -> Any:
        """Return what applies the network to images of any size.

        That of this class is a `Segmenter`: its ``scores_of`` gives the network's maps at each
        image's own size, whatever they mean.
        """
        flip = inference is not None and inference.flip
        return Segmenter(model, input_size, self.normalize, flip, batch_size)

    def combined(self, predictors: Sequence[Any], inference: InferenceSettings) -> Any:
        """Return one predictor of those of one or more networks: an ensemble, and what follows it.

        Raises
        ------
        UsageError
            If there are several, and the task has no ensembles.
        """
        if len(predictors) > 1:
            raise UsageError(
                f"ensemble: networks of the task {self.name} cannot be joined; name one network"
            )
        return predictors[0]

    def ensemble_mismatch(self, other: Task) -> str:
        """Return why a network of `other` cannot join one of this task: a sentence's end, or ""."""
        if other.name == self.name:
            return ""
        return f"is of the task {other.name}, the first network of {self.name}"

    def details(self) -> Details | None:
        """Return what `evaluate` finds out besides the metrics, empty still; None: nothing."""
        return None

    def mask(self, outputs: ScoreMap) -> bytes:
        """Return the file that ``evaluate --save-masks`` writes of an image's maps (C, H, W)."""
        raise UsageError(f"--save-masks: networks of the task {self.name} have no masks")

    def evaluate(
        self,
        predictor: Any,
        data: Any,
        chosen: Sequence[int],
        each: Callable[[int, int], None] = lambda done, total: None,
        seen: Callable[[int, ScoreMap, np.ndarray], None] = lambda index, outputs, target: None,
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
        seen : callable
            Called with each image's number, the network's maps at its size, and its target.
        """
        return evaluate(self, predictor, data, chosen, each, seen)

    def evaluate_map(
        self, counts: Array, outputs: ScoreMap, image: np.ndarray, target: np.ndarray
    ) -> tuple[Tensor, float]:
        """Count one image as `evaluate_image` does, from maps that need not be there at once."""
        return self.evaluate_image(counts, outputs.whole(), image, target)

    def evaluate_image(
        self, counts: Array, outputs: Array, image: np.ndarray, target: np.ndarray
    ) -> tuple[Tensor, float]:
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

    def image_quality(self, outputs: ScoreMap, target: np.ndarray) -> float | None:
        """Return how good the maps of one image are, the higher the better; None: no saying.

        By this the report chooses the worst and the best images.
        """
        return None

    @abstractmethod
    def predict(self, predictor: Any, image: np.ndarray) -> tuple[Sequence[Content], str]:
        """Return the files to write for an image, one for each of `endings`, and what to print.

        Each is bytes, or a function that writes them to a binary file: of a large image, not all
        of them need be in memory.
        """

    # -- Pictures and report --------------------------------------------------------------------

    def draw_epoch(  # noqa: B027
        self, predictor: Any, data: Any, count: int, epoch: int, save: Save
    ) -> None:
        """Draw `count` validation images after an epoch."""

    def draw_final(
        self, predictor: Any, sets: Mapping[str, Any], count: int, save: Save
    ) -> dict[str, Any]:
        """Draw the finished network's pictures; return what evaluation.json has about them."""
        return {}

    def draw_extremes(
        self, predictor: Any, data: Any, worst: Sequence[int], best: Sequence[int], save: Save
    ) -> dict[str, Any]:
        """Draw the images of `data` of the lowest and the highest quality, those at the ends first.

        Return what evaluation.json has about them. Nothing is drawn of a task without
        `image_quality`.
        """
        return {}

    @classmethod
    def report(cls, record: RunRecord) -> ReportSections:
        """Return the task's part of a run's report."""
        return ReportSections()
