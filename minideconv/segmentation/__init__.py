"""Inference on whole images, from scores to masks, and the metrics of masks."""

from minideconv.segmentation.crf import DenseCRF
from minideconv.segmentation.inference import Segmenter
from minideconv.segmentation.metrics import ConfusionMatrix

__all__ = ["ConfusionMatrix", "DenseCRF", "Segmenter"]
