"""Inference on whole images, from scores to masks, and the metrics of masks."""

from minideconv.segmentation.crf import CRFSegmenter, DenseCRF
from minideconv.segmentation.ensemble import Ensemble, multi_scale
from minideconv.segmentation.inference import Segmenter
from minideconv.segmentation.metrics import ConfusionMatrix
from minideconv.segmentation.predictor import Predictor

__all__ = [
    "CRFSegmenter",
    "ConfusionMatrix",
    "DenseCRF",
    "Ensemble",
    "Predictor",
    "Segmenter",
    "multi_scale",
]
