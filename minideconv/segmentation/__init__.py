"""Inference on whole images, from scores to masks, and the metrics of masks."""

from minideconv.segmentation.crf import CRFSegmenter, DenseCRF
from minideconv.segmentation.ensemble import Ensemble, multi_scale
from minideconv.segmentation.inference import Segmenter
from minideconv.segmentation.instances import InstanceSegmenter
from minideconv.segmentation.metrics import ConfusionMatrix
from minideconv.segmentation.predictor import Predictor
from minideconv.segmentation.proposals import edge_boxes

__all__ = [
    "CRFSegmenter",
    "ConfusionMatrix",
    "DenseCRF",
    "Ensemble",
    "InstanceSegmenter",
    "Predictor",
    "Segmenter",
    "edge_boxes",
    "multi_scale",
]
