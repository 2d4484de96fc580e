"""What segments images, made from networks and the settings of their inference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minideconv.data.transforms import Normalize
from minideconv.nn import Module
from minideconv.segmentation import CRFSegmenter, Ensemble, Predictor, Segmenter, multi_scale
from minideconv.settings.setting import refusal
from minideconv.tasks.inference import InferenceSettings
from minideconv.tasks.segmentation.inference import SegmentationInference

__all__ = ["all_networks", "single_network"]


def single_network(
    model: Module,
    input_size: int,
    normalize: Normalize,
    inference: InferenceSettings | None,
    batch_size: int,
) -> Predictor:
    """Return what applies one network, at one or more input sizes; see `Task.predictor`."""
    options = _options(inference)

    def at_size(size: int) -> Predictor:
        return Segmenter(model, size, normalize, options.flip, batch_size)

    sizes = options.sizes(input_size)
    for size in sizes:
        if size != input_size:
            _try(at_size(size), size)
    return multi_scale(at_size, sizes)


def _try(predictor: Predictor, size: int) -> None:
    """Refuse an input size that the network cannot take."""
    try:
        predictor.scores(np.zeros((size, size, 3), np.uint8))
    except ValueError as error:
        wrong = f"has {size}, which the network cannot take: {error}"
        raise refusal(lambda name: f"{name('scales')} {wrong}") from error


def all_networks(predictors: Sequence[Predictor], inference: InferenceSettings | None) -> Predictor:
    """Return the ensemble of several networks, and the CRF behind them; see `Task.combined`."""
    options = _options(inference)
    found = predictors[0]
    if len(predictors) > 1:
        found = Ensemble(predictors, options.rule)
    elif options.rule != "mean":
        raise refusal(
            lambda name: (
                f"{name('ensemble_rule')} is {options.rule}, but there is one network only; name"
                f" others by {name('ensemble')}"
            )
        )
    crf = options.dense_crf()
    return found if crf is None else CRFSegmenter(found, crf)


def _options(inference: InferenceSettings | None) -> SegmentationInference:
    if isinstance(inference, SegmentationInference):
        return inference
    return SegmentationInference(flip=inference is not None and inference.flip)
