"""Inference on whole images, from scores to masks, and the metrics of masks."""

from minideconv.segmentation.inference import Segmenter
from minideconv.segmentation.instances import InstanceSegmenter
from minideconv.segmentation.metrics import ConfusionMatrix
from minideconv.segmentation.proposals import edge_boxes

__all__ = ["ConfusionMatrix", "InstanceSegmenter", "Segmenter", "edge_boxes"]
