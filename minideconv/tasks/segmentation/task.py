"""Semantic segmentation as a task: scores of classes, cross entropy, the four figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from minideconv import functional as F
from minideconv.autograd import Tensor
from minideconv.backend import Array, device_of, get_xp, to_device
from minideconv.data.crops import StageOneCrops, StageTwoCrops
from minideconv.data.transforms import Normalize
from minideconv.data.voc_colors import overlay
from minideconv.engine.cuda import confusion as confusion_on_gpu
from minideconv.nn import Module
from minideconv.ops.cross_entropy import check_labels
from minideconv.segmentation import ConfusionMatrix, Segmenter
from minideconv.segmentation.metrics import VOID
from minideconv.settings.run import RunConfig
from minideconv.tasks.data import normalization_from_dict
from minideconv.tasks.registry import register
from minideconv.tasks.results import MainMetric, Metrics, ReportSections, RunRecord, text_table
from minideconv.tasks.segmentation.pictures import draw_activations, draw_board, draw_samples
from minideconv.tasks.segmentation.proposals import ProposalSettings, segmenter_of
from minideconv.tasks.segmentation.report import sections
from minideconv.tasks.task import Task, Trained
from minideconv.visualize.boards import png_bytes
from minideconv.visualize.masks import palette_png_bytes

__all__ = ["Segmentation"]


class TrainedSegmenter(Trained):
    """A trained network that segments images."""

    @property
    def segmenter(self) -> Segmenter:
        """Applies the network to images of any size."""
        return self.predictor

    @property
    def classes(self) -> list[str]:
        """The names of the classes it tells apart."""
        return self.header["classes"]


@register("segmentation")
class Segmentation(Task):
    """Gives every pixel one of some classes; void pixels (255) are not counted.

    Parameters
    ----------
    classes : sequence of str
        Their names.
    normalize : Normalize, optional
    label_smoothing : float
        Share of the truth spread over all classes, in training.
    """

    main_metric = MainMetric("mean_iou", "IoU", "mean IoU", top=1.0)
    endings = (".png", "_overlay.png")
    trained = TrainedSegmenter
    inference = ProposalSettings
    trainer_attributes = MappingProxyType(
        {"classes": lambda trainer: trainer.task.classes, "segmenter": lambda t: t.predictor}
    )

    def __init__(
        self,
        classes: Sequence[str],
        normalize: Normalize | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(normalize)
        self.classes = list(classes)
        self.outputs = len(self.classes)
        self.label_smoothing = label_smoothing

    @classmethod
    def from_config(cls, config: RunConfig, data: Any) -> Self:
        """Make it for the classes of `data`."""
        return cls(data.classes, label_smoothing=config.label_smoothing)

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> Self:
        """Make it for the classes that the header names."""
        return cls(header["classes"], normalization_from_dict(header["normalization"]))

    def metadata(self) -> dict[str, Any]:
        """Return the names of the classes."""
        return {"classes": self.classes}

    def describe(self) -> str:
        """Return how many classes there are."""
        return f"{len(self.classes)} classes"

    # -- Data -----------------------------------------------------------------------------------

    def samples(self, config: RunConfig, data: Any, stage: str) -> Any:
        """Return one object each (stage 1), windows (stage 2), or the images themselves."""
        if stage == "1":
            return StageOneCrops(data, balance=config.class_balance)
        if stage == "2":
            return StageTwoCrops(
                data, per_image=config.windows, balance=config.class_balance, seed=config.seed
            )
        return super().samples(config, data, stage)

    def data_mismatch(self, data: Any) -> str:
        """Return which classes differ, if some do."""
        theirs = list(data.classes)
        if theirs == self.classes:
            return ""
        return (
            f"knows {len(self.classes)} classes ({_some(self.classes)}) but the data has "
            f"{len(theirs)} ({_some(theirs)}); they must be the same"
        )

    # -- Training -------------------------------------------------------------------------------

    def check(self, targets: np.ndarray) -> None:
        """Refuse labels that are neither a class nor void."""
        if ((targets >= len(self.classes)) & (targets != VOID)).any():
            check_labels(targets, len(self.classes), VOID)

    def weight(self, targets: np.ndarray) -> int:
        """Return the number of pixels that count."""
        return int(np.count_nonzero(targets != VOID))

    def loss(self, outputs: Tensor, inputs: Array, targets: Array) -> Tensor:
        """Return the cross entropy over the pixels that count."""
        return _cross_entropy(outputs, targets, self.label_smoothing)

    def metrics(self) -> ConfusionMatrix:
        """Return an empty confusion matrix."""
        return ConfusionMatrix(len(self.classes))

    def count(self, counts: Array, outputs: Array, inputs: Array, targets: Array) -> None:
        """Count the pairs of true and most likely class, pixel by pixel."""
        if get_xp(counts) is not np:
            confusion_on_gpu.count(counts, targets, outputs)
        else:
            confusion = self.metrics()
            confusion.update(targets, outputs.argmax(axis=1))
            counts += confusion.counts

    def predictor(
        self,
        model: Module,
        input_size: int,
        flip: bool = False,
        batch_size: int = 16,
        **inference: Any,
    ) -> Segmenter:
        """Return what segments images of any size; `inference` as in `ProposalSettings`."""
        settings = ProposalSettings(**inference)
        return segmenter_of(model, input_size, self.normalize, flip, batch_size, settings)

    # -- Results --------------------------------------------------------------------------------

    def format_metric(self, metrics: Mapping[str, Any]) -> str:
        """Return the mean IoU, and a remark where the truth shows one class alone."""
        alone = metrics.get("classes_in_truth", 2) < 2
        return super().format_metric(metrics) + (" (of one class)" if alone else "")

    def training_metrics(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Return pixel accuracy and mean IoU."""
        return {name: metrics[name] for name in ("pixel_accuracy", "mean_iou")}

    def result(self, metrics: Metrics) -> dict[str, Any]:
        """Return the figures and the confusion matrix."""
        return {**metrics.compute(), "confusion": metrics.counts.tolist()}

    def table(self, sets: Mapping[str, Any]) -> str:
        """Return the IoU of each class and the four figures."""
        found = list(sets.values())
        rows: list[tuple[str, Sequence[Any]]] = [
            (name, [one.iou[index] for one in found]) for index, name in enumerate(self.classes)
        ]
        for title in ("mean IoU", "pixel accuracy", "mean accuracy", "frequency weighted IoU"):
            name = title.replace(" ", "_").lower()
            rows.append((title, [getattr(one, name) for one in found]))
        shown = [f"{one.classes_in_truth} of {len(self.classes)}" for one in found]
        rows.append(("classes in the truth", shown))
        return "\n".join([text_table(sets, rows), *self._notes(sets)])

    def _notes(self, sets: Mapping[str, ConfusionMatrix]) -> list[str]:
        return [
            f"note: the truth of {name} shows {self._only(confusion)}, so these figures do not tell"
            " whether the network finds objects"
            for name, confusion in sets.items()
            if confusion.classes_in_truth < 2
        ]

    def _only(self, confusion: ConfusionMatrix) -> str:
        """Name the one class of the truth, or none."""
        shown = [self.classes[k] for k in np.flatnonzero(confusion.counts.sum(axis=1))]
        return f"{shown[0]} alone" if shown else "void alone"

    def evaluate_image(
        self, counts: Array, outputs: Array, image: np.ndarray, target: np.ndarray
    ) -> tuple[Tensor, int]:
        """Count all pixels of an image; the loss is that of some 64 x 64 of them."""
        labels = to_device(target, device_of(outputs))
        self.count(counts, outputs[None], image[None], labels[None])
        # The loss is for the curve only: a grid of pixels will do.
        step = slice(None, None, max(1, max(target.shape) // 64))
        some = Tensor(outputs[(slice(None), step, step)][None], device=device_of(outputs))
        return _cross_entropy(some, labels[step, step][None]), self.weight(target[step, step])

    def predict(self, predictor: Segmenter, image: np.ndarray) -> tuple[list[bytes], str]:
        """Return the mask and its overlay, and which share of the image each class has."""
        labels = predictor.labels(image)
        shares = np.bincount(labels.ravel(), minlength=len(self.classes)) / labels.size
        order = [index for index in np.argsort(-shares, kind="stable") if shares[index] >= 0.005]
        seen = ", ".join(f"{self.classes[index]} {100 * shares[index]:.0f}%" for index in order)
        return [palette_png_bytes(labels), png_bytes(overlay(image, labels))], seen

    # -- Pictures and report --------------------------------------------------------------------

    def draw_epoch(
        self, predictor: Segmenter, data: Any, count: int, epoch: int, save: Callable[..., None]
    ) -> None:
        """Draw a board: image, truth, prediction, overlay."""
        draw_board(predictor, data, count, epoch, save)

    def draw_final(
        self, predictor: Segmenter, sets: Mapping[str, Any], count: int, save: Callable[..., None]
    ) -> dict[str, Any]:
        """Draw samples of both sets, and what the layers of the decoder show."""
        samples = {name: draw_samples(predictor, sets[name], name, count, save) for name in sets}
        draw_activations(predictor, sets["val"], save)
        return {"samples": samples}

    @classmethod
    def report(cls, record: RunRecord) -> ReportSections:
        """Return figures, pictures, classes and confusions."""
        return sections(record)


def _cross_entropy(outputs: Tensor, targets: Array, label_smoothing: float = 0.0) -> Tensor:
    if get_xp(targets) is np:
        targets = targets.astype(np.int64)
    return F.cross_entropy(outputs, targets, ignore_index=VOID, label_smoothing=label_smoothing)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
