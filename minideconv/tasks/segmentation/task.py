"""Semantic segmentation as a task: scores of classes, cross entropy, the four metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from minideconv import functional as F
from minideconv.autograd import Tensor
from minideconv.backend import Array, Device, device_of, get_xp, to_device
from minideconv.backend.parallel import map_ordered
from minideconv.data.classes import Classes
from minideconv.data.crops import StageOneCrops, StageTwoCrops
from minideconv.data.label_counts import label_counts
from minideconv.data.layouts import LAYOUTS
from minideconv.data.transforms import Normalize
from minideconv.data.voc_colors import VOID
from minideconv.engine.cuda import confusion as confusion_on_gpu
from minideconv.errors import some
from minideconv.nn import Module
from minideconv.ops.cross_entropy_checks import check_labels
from minideconv.segmentation import ConfusionMatrix, Predictor, ScoreMap
from minideconv.segmentation.metrics import METRICS
from minideconv.segmentation.score_map import ArrayMap
from minideconv.settings.run import RunConfig
from minideconv.tasks.inference import InferenceSettings
from minideconv.tasks.registry import register
from minideconv.tasks.results import MainMetric, Metrics, text_table
from minideconv.tasks.segmentation.class_weights import class_weights
from minideconv.tasks.segmentation.details import SegmentationDetails
from minideconv.tasks.segmentation.extremes import draw_extremes, image_iou
from minideconv.tasks.segmentation.inference import SegmentationInference
from minideconv.tasks.segmentation.layers import draw_segmented_layers
from minideconv.tasks.segmentation.pictures import (
    draw_activations,
    draw_board,
    draw_samples,
    representative,
)
from minideconv.tasks.segmentation.predictors import all_networks, single_network
from minideconv.tasks.segmentation.report import sections
from minideconv.tasks.task import Content, Save, Task, Trained
from minideconv.visualize.masks import palette_png_bytes, write_overlay

__all__ = ["Segmentation"]


class TrainedSegmenter(Trained):
    """A trained network that segments images."""

    @property
    def segmenter(self) -> Predictor:
        """Applies the network, or the ensemble, to images of any size."""
        return self.predictor

    @property
    def classes(self) -> list[str]:
        """The names of its classes."""
        return self.header["classes"]


@register("segmentation")
class Segmentation(Task):
    """Gives every pixel one of some classes; void pixels (255) are not counted.

    Parameters
    ----------
    classes : Classes or sequence of str
        Their names, and their colours in pictures.
    normalize : Normalize, optional
    label_smoothing : float
        Share of the truth spread over all classes, in training.
    class_weights : array (K,), optional
        The weight of each class in the loss; all have the same if left out.
    """

    main_metric = MainMetric("mean_iou", "IoU", "mean IoU")
    endings = (".png", "_overlay.png")
    trained = TrainedSegmenter
    inference = SegmentationInference
    trainer_attributes = MappingProxyType(
        {"classes": lambda trainer: trainer.task.classes, "segmenter": lambda t: t.predictor}
    )

    def __init__(
        self,
        classes: Classes | Sequence[str],
        normalize: Normalize | None = None,
        label_smoothing: float = 0.0,
        class_weights: np.ndarray | None = None,
    ) -> None:
        super().__init__(normalize)
        self.class_table = classes if isinstance(classes, Classes) else Classes(classes)
        self.classes = list(self.class_table.names)
        self.outputs = len(self.classes)
        self.label_smoothing, self.class_weights = label_smoothing, class_weights
        self._weights_there: dict[Device, Array] = {}

    @classmethod
    def from_config(cls, config: RunConfig, data: Any) -> Self:
        """Make it for the classes of `data`."""
        weights = None
        if config.class_weights > 0:
            weights = class_weights(data, len(data.classes), config.class_weights)
        classes = getattr(data, "class_table", data.classes)
        return cls(classes, None, config.label_smoothing, weights)

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> Self:
        """Make it for the classes that the header names."""
        return cls(Classes.from_dict(header), Normalize(**header["normalization"]))

    def metadata(self) -> dict[str, Any]:
        """Return the names of the classes, and their colours if they were chosen."""
        return self.class_table.to_dict()

    def describe(self) -> str:
        """Return how many classes there are, and the names of a few."""
        return f"{len(self.classes)} classes ({some(self.classes)})"

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

    def other_data(self, config: RunConfig) -> RunConfig:
        """Let masks beside which no names are have the names of this network's classes."""
        if config.data == "shapes" or config.classes is not None:
            return config
        own = LAYOUTS[config.data].own_classes(Path(str(config.data_root)))
        known = own is not None and own.names == self.class_table.names
        if known or self.classes[0] != "background":
            return config
        return replace(config, classes=self.class_table.text())

    def data_mismatch(self, data: Any) -> str:
        """Return which classes differ, if some do."""
        return self._other_classes(self.classes, "the data", data.classes)

    def ensemble_mismatch(self, other: Task) -> str:
        """Return which classes differ, if some do."""
        if not isinstance(other, Segmentation):
            return super().ensemble_mismatch(other)
        return self._other_classes(other.classes, "the first network", self.classes)

    @staticmethod
    def _other_classes(mine: Sequence[str], who: str, theirs: Sequence[str]) -> str:
        if list(mine) == list(theirs):
            return ""
        return (
            f"has {len(mine)} classes ({some(mine)}) but {who} has "
            f"{len(theirs)} ({some(theirs)}); they must be the same"
        )

    # -- Training -------------------------------------------------------------------------------

    def check(self, targets: np.ndarray) -> None:
        """Refuse labels that are neither a class nor void."""
        if ((targets >= len(self.classes)) & (targets != VOID)).any():
            check_labels(targets, len(self.classes), VOID)

    def weight(self, targets: np.ndarray) -> float:
        """Return the number of pixels that count, or the sum of their weights."""
        if self.class_weights is None:
            return int(np.count_nonzero(targets != VOID))
        return float(self.class_weights[targets[targets != VOID]].sum(dtype=np.float64))

    def loss(self, outputs: Tensor, inputs: Array, targets: Array) -> Tensor:
        """Return the cross entropy over the pixels that count."""
        return self._cross_entropy(outputs, targets, self.label_smoothing)

    def _cross_entropy(self, outputs: Tensor, targets: Array, label_smoothing: float) -> Tensor:
        if get_xp(targets) is np:
            targets = targets.astype(np.int64)
        device, weight = outputs.device, None
        if self.class_weights is not None:
            if device not in self._weights_there:
                self._weights_there[device] = to_device(self.class_weights, device)
            weight = self._weights_there[device]
        return F.cross_entropy(
            outputs, targets, weight, ignore_index=VOID, label_smoothing=label_smoothing
        )

    def metrics(self) -> ConfusionMatrix:
        """Return an empty confusion matrix."""
        return ConfusionMatrix(len(self.classes))

    def count(self, counts: Array, outputs: Array, inputs: Array, targets: Array) -> None:
        """Count the pairs of true and most likely class, pixel by pixel."""
        if get_xp(counts) is not np:
            confusion_on_gpu.count(counts, targets, outputs)
        else:
            confusion = self.metrics()
            labels = map_ordered(lambda scores: scores.argmax(axis=0), list(outputs))
            for target, found in zip(targets, labels, strict=True):  # none in an empty share
                confusion.update(target, found)
            counts += confusion.counts

    # -- Inference ------------------------------------------------------------------------------

    def predictor(
        self,
        model: Module,
        input_size: int,
        inference: InferenceSettings | None = None,
        batch_size: int = 16,
    ) -> Predictor:
        """Return what applies one network to images of any size."""
        return single_network(model, input_size, self.normalize, inference, batch_size)

    def combined(self, predictors: Sequence[Predictor], inference: InferenceSettings) -> Predictor:
        """Return the ensemble of several networks, and the CRF that refines its probabilities."""
        return all_networks(predictors, inference)

    # -- Results --------------------------------------------------------------------------------

    def details(self) -> SegmentationDetails:
        """Return the metrics near outlines and by the objects' sizes, of nothing yet."""
        return SegmentationDetails(len(self.classes))

    def mask(self, outputs: ScoreMap) -> bytes:
        """Return the labels as a palette PNG."""
        return palette_png_bytes(outputs.labels(), self.class_table.palette())

    def format_metric(self, metrics: Mapping[str, Any]) -> str:
        """Return the mean IoU, and a remark where the truth shows one class alone."""
        alone = metrics.get("classes_in_truth", 2) < 2
        return super().format_metric(metrics) + (" (of one class)" if alone else "")

    def training_metrics(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Return pixel accuracy and mean IoU."""
        return {name: metrics[name] for name in ("pixel_accuracy", "mean_iou")}

    def result(self, metrics: Metrics) -> dict[str, Any]:
        """Return the metrics and the confusion matrix."""
        return {**metrics.compute(), "confusion": metrics.counts.tolist()}

    def table(self, sets: Mapping[str, Any]) -> str:
        """Return the IoU of each class and the four metrics."""
        found = list(sets.values())
        rows: list[tuple[str, Sequence[Any]]] = [
            (name, [one.iou[index] for one in found]) for index, name in enumerate(self.classes)
        ]
        rows += [(title, [getattr(one, name) for one in found]) for name, title in METRICS.items()]
        shown = [f"{one.classes_in_truth} of {len(self.classes)}" for one in found]
        rows.append(("classes in the truth", shown))
        return "\n".join([text_table(sets, rows), *self._notes(sets)])

    def _notes(self, sets: Mapping[str, ConfusionMatrix]) -> list[str]:
        """Return a remark for each set whose truth has one class at most."""
        notes = []
        for name, confusion in sets.items():
            shown = [self.classes[k] for k in np.flatnonzero(confusion.counts.sum(axis=1))]
            if len(shown) < 2:
                notes.append(
                    f"note: the truth of {name} shows {(shown or ['void'])[0]} alone, so these"
                    " metrics do not tell whether the network finds objects"
                )
        return notes

    def evaluate_image(
        self, counts: Array, outputs: Array, image: np.ndarray, target: np.ndarray
    ) -> tuple[Tensor, float]:
        """Count all pixels of an image; the loss is that of some 64 x 64 of them."""
        return self.evaluate_map(counts, ArrayMap(outputs), image, target)

    def evaluate_map(
        self, counts: Array, outputs: ScoreMap, image: np.ndarray, target: np.ndarray
    ) -> tuple[Tensor, float]:
        """Count all pixels of an image; the loss is that of some 64 x 64 of them."""
        device = device_of(outputs.like)
        labels = to_device(target, device)  # a byte a pixel, and once
        if get_xp(counts) is np:
            confusion = self.metrics()
            confusion.update(target, outputs.labels())
            counts += confusion.counts
        else:
            for start, stop in outputs.bands():
                rows = outputs.rows(start, stop)[None]
                self.count(counts, rows, image[None], labels[start:stop][None])
        # The loss is for the curve only: a grid of pixels will do.
        step = slice(None, None, max(1, max(target.shape) // 64))
        some = Tensor(outputs.at(step, step)[None], device=device)
        loss = self._cross_entropy(some, labels[step, step][None], label_smoothing=0.0)
        return loss, self.weight(target[step, step])

    def predict(self, predictor: Predictor, image: np.ndarray) -> tuple[list[Content], str]:
        """Return the mask and its overlay, and which share of the image each class has."""
        labels = predictor.labels(image)
        shares = label_counts(labels)[: len(self.classes)] / labels.size
        order = [index for index in np.argsort(-shares, kind="stable") if shares[index] >= 0.005]
        seen = ", ".join(f"{self.classes[index]} {100 * shares[index]:.0f}%" for index in order)
        palette = self.class_table.palette()
        shown = partial(write_overlay, image, labels, palette=palette)
        return [palette_png_bytes(labels, palette), shown], seen

    # -- Pictures and report --------------------------------------------------------------------

    image_quality = staticmethod(image_iou)
    draw_epoch = staticmethod(draw_board)
    draw_extremes = staticmethod(draw_extremes)
    report = staticmethod(sections)

    def draw_final(
        self, predictor: Any, sets: Mapping[str, Any], count: int, save: Save
    ) -> dict[str, Any]:
        """Draw samples of both sets, and what the layers of the decoder show."""
        samples = {name: draw_samples(predictor, sets[name], name, count, save) for name in sets}
        chosen = representative(predictor, sets["val"])
        draw_activations(predictor, sets["val"], chosen, save)
        draw_segmented_layers(predictor, sets["val"], chosen, save)
        return {"samples": samples}
