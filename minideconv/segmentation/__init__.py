"""Inference on whole images, from scores to masks, and the metrics of masks."""

from minideconv.segmentation.crf import DenseCRF
from minideconv.segmentation.ensemble import Ensemble, multi_scale
from minideconv.segmentation.inference import Segmenter
from minideconv.segmentation.instances import InstanceSegmenter
from minideconv.segmentation.metrics import ConfusionMatrix
from minideconv.segmentation.predictor import MapPredictor, Predictor
from minideconv.segmentation.proposals import edge_boxes
from minideconv.segmentation.refinement import CRFSegmenter, all_maps, all_ways
from minideconv.segmentation.score_map import ScoreMap

__all__ = [
    "CRFSegmenter",
    "ConfusionMatrix",
    "DenseCRF",
    "Ensemble",
    "InstanceSegmenter",
    "MapPredictor",
    "Predictor",
    "ScoreMap",
    "Segmenter",
    "all_maps",
    "all_ways",
    "edge_boxes",
    "multi_scale",
]
