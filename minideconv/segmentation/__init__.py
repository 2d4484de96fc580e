"""From scores to masks, and from masks to figures: inference on whole images, and the metrics."""

from minideconv.segmentation.inference import Segmenter
from minideconv.segmentation.metrics import ConfusionMatrix

__all__ = ["ConfusionMatrix", "Segmenter"]
