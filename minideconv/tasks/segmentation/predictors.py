"""What segments images, made from networks and the settings of their inference."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial

import numpy as np

from minideconv.data.transforms import Normalize
from minideconv.nn import Module
from minideconv.segmentation import (
    CRFSegmenter,
    Ensemble,
    InstanceSegmenter,
    Predictor,
    Segmenter,
    edge_boxes,
    multi_scale,
)
from minideconv.segmentation.predictor import Image
from minideconv.segmentation.proposals import Proposals, selective_search, sliding_windows
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
        whole = Segmenter(model, size, normalize, options.flip, batch_size)
        if size != input_size:
            _try(whole, size)
        if options.proposals is None:
            return whole
        return InstanceSegmenter(
            model, size, normalize, options.flip, batch_size,
            proposals=options.proposals,
            join=options.join,
            min_box=options.proposals_min_box,
            from_zero=options.proposals_from_zero,
            propose=partial(_propose, options.proposals_by),
        )  # fmt: skip

    return multi_scale(at_size, options.sizes(input_size))


def _propose(by: str, image: Image) -> Proposals:
    """Return proposals, those of the last images as they are: each network and size asks anew."""
    return _remembered(by, image.shape, image.tobytes())


@lru_cache(maxsize=2)
def _remembered(by: str, shape: tuple[int, ...], pixels: bytes) -> Proposals:
    image = np.frombuffer(pixels, np.uint8).reshape(shape)
    if by == "sliding-windows":
        return sliding_windows(*shape[:2])
    return selective_search(image) if by == "selective-search" else edge_boxes(image)


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
