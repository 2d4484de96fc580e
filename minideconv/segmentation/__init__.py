"""Inference on whole images, from scores to masks, and the metrics of masks."""

from minideconv.segmentation.crf import DenseCRF
from minideconv.segmentation.ensemble import Ensemble, multi_scale
from minideconv.segmentation.inference import Segmenter
from minideconv.segmentation.instances import InstanceSegmenter
from minideconv.segmentation.metrics import ConfusionMatrix
from minideconv.segmentation.predictor import Predictor
from minideconv.segmentation.proposals import edge_boxes
from minideconv.segmentation.refinement import CRFSegmenter, all_ways

__all__ = [
    "CRFSegmenter",
    "ConfusionMatrix",
    "DenseCRF",
    "Ensemble",
    "InstanceSegmenter",
    "Predictor",
    "Segmenter",
    "all_ways",
    "edge_boxes",
    "multi_scale",
]
